export {
  AddressSpace,
  type AddressSpaceOptions,
  type Allocated,
  type Permission,
} from "./address-space.ts";
export { callBack, runCallback } from "./callback.ts";
export type { CoreExports } from "./core.ts";
export type {
  AccessMode,
  DirectCalls,
  Engine,
  HashLayout,
  HelperBinding,
  LoadedProgram,
  VmMap,
  VmProgram,
} from "./engine.ts";
export { FACT_BOUNDED, FACT_PROBE_READ } from "./engine.ts";
export {
  createInterpreter,
  InterpProgram,
  type Interpreter,
  type InterpreterOptions,
} from "./interp/interpreter.ts";
export { type DecodedProgram, InterpRun, type RunFrame, type StopReason } from "./interp/run.ts";
export { createJit, type JitOptions } from "./jit/index.ts";
export * from "./layout.ts";
export { createTiered, type TieredOptions } from "./tiered.ts";
