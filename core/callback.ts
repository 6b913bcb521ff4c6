// A BPF function called from JavaScript: a helper or kfunc that takes a callback, a timer, an exception handler.
import {
  CPU_ARGS, CPU_BUDGET, CPU_FP, CPU_RESULT, CPU_STACK_TOP, CPU_TAIL_CALLS, FAULT_CALL, FRAME_SIZE, TABLE_BASE,
} from "../src/vm/layout";
import { cpu } from "./env";
import { fault } from "./helpers/access";
import { callbackFrame } from "./helpers/loop";

/**
 * Calls what stands at `index` of the shared table on the frame below CPU_FP, which a binding with `callsBack` finds set,
 * with r1..r5 from CPU_ARGS; r0 goes to CPU_RESULT.
 */
export function call_back(index: u32): void {
  if (index < <u32>TABLE_BASE) fault(FAULT_CALL, index);
  const block = cpu;
  const outer = load<u32>(block, CPU_FP);
  const r0 = call_indirect<u64>(
    index,
    callbackFrame(),
    load<u64>(block, CPU_ARGS),
    load<u64>(block, CPU_ARGS + 8),
    load<u64>(block, CPU_ARGS + 16),
    load<u64>(block, CPU_ARGS + 24),
    load<u64>(block, CPU_ARGS + 32),
  );
  // The callback's own calls may have moved it.
  store<u32>(block, outer, CPU_FP);
  store<u64>(block, r0, CPU_RESULT);
}

/** The same outside of a run, as a run of its own. `budget`: rounds of loops that a checked program may take. */
export function enter_callback(index: u32, budget: u32): void {
  const block = cpu;
  store<u32>(block, 0, CPU_TAIL_CALLS);
  store<u64>(block, budget, CPU_BUDGET);
  store<u32>(block, load<u32>(block, CPU_STACK_TOP) + FRAME_SIZE, CPU_FP);
  call_back(index);
}
