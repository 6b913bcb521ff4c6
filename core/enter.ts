// The way from JavaScript into a jitted program: one exported function for all programs, so that a call site that runs
// many of them still sees one target.
import { CPU_BUDGET, CPU_CTX, CPU_RESULT, CPU_STACK_TOP, CPU_TAIL_CALLS } from "../src/vm/layout";
import { cpu } from "./env";
import { pointer } from "./maps/registry";

/**
 * Runs what stands at `index` of the shared table with r1 = pointer to `ctx` on the current CPU; the low half of r0,
 * the whole of it at CPU_RESULT. `budget`: rounds of loops that a checked program may take.
 */
export function enter(index: u32, ctx: u32, budget: u32): i32 {
  const block = cpu;
  store<u32>(block, 0, CPU_TAIL_CALLS);
  // Checked packet loads want to see that r6 is the run's context.
  store<u32>(block, ctx, CPU_CTX);
  store<u64>(block, budget, CPU_BUDGET);
  const r0 = call_indirect<u64>(index, load<u32>(block, CPU_STACK_TOP), pointer(ctx), <u64>0, <u64>0, <u64>0, <u64>0);
  store<u64>(block, r0, CPU_RESULT);
  return <i32>r0;
}
