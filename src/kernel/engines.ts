import { type AddressSpace, createInterpreter, createJit, createTiered, type Engine } from "../vm/index.ts";

/** An engine by its name; `maxSteps` bounds one run in the bounds-checked mode. */
export function createEngine(name: Engine["name"], space: AddressSpace, maxSteps: number): Engine {
  const options = { budget: maxSteps };
  if (name === "auto") return createTiered(space, options);
  return name === "jit" ? createJit(space, options) : createInterpreter(space, options);
}
