import type { AddressSpace } from "./address-space.ts";
import { asFault } from "./jit/index.ts";
import { CPU_ARGS, CPU_RESULT } from "./layout.ts";

function setArguments(space: AddressSpace, args: readonly bigint[]): number {
  const cpu = space.cpu.value as number;
  for (let k = 0; k < 5; k++) space.dv.setBigUint64(cpu + CPU_ARGS + 8 * k, args[k] ?? 0n, true);
  return cpu;
}

/**
 * Calls the BPF function at `index` of the shared table (what BPF_PSEUDO_FUNC loads) from a helper or kfunc in
 * JavaScript whose binding says `callsBack`, while the program that called that one waits. `args` are r1..r5 as u64;
 * the helper's own, at CPU_ARGS, are gone after it. The function's r0, as u64.
 */
export function callBack(space: AddressSpace, index: number, args: readonly bigint[]): bigint {
  const cpu = setArguments(space, args);
  space.core["call_back"]!(index);
  return space.dv.getBigUint64(cpu + CPU_RESULT, true);
}

/** The same while no program runs on this CPU: timers, work queues, exception handlers. Throws ProgramFault. */
export function runCallback(
  space: AddressSpace,
  index: number,
  args: readonly bigint[],
  budget: number = 2 ** 30,
): bigint {
  const cpu = setArguments(space, args);
  try {
    space.core["enter_callback"]!(index, Math.min(budget, 0xffffffff));
  } catch (error) {
    throw asFault(space, error);
  }
  return space.dv.getBigUint64(cpu + CPU_RESULT, true);
}
