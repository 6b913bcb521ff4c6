// Runs of interpreted programs: from JavaScript, from other code behind the shared table, or in steps by a debugger.
import {
  DIR_PC, MAX_NEST, NEST_DEPTH, NEST_FIRST, NEST_STATES, PROG_BUDGET, PROG_CODE, PROG_ID, PROG_STEPS, STATE_CTX, STATE_DEPTH, STATE_FAULT,
  STATE_FAULT_ADDR, STATE_FP, STATE_FRESH, STATE_LEFT, STATE_MAY_GOTO, STATE_PC, STATE_PROG, STATE_SIZE, STATE_STACK_END, STATE_TAIL_CALLS, STATE_TOP,
  STOP_BREAK, STOP_EXIT, STOP_FAULT, STOP_STEPS, INSN_SIZE,
} from "../../src/vm/interp/layout";
import {
  CPU_BUDGET, CPU_FAULT, CPU_FAULT_ADDR, CPU_FAULT_INSN, CPU_FAULT_PROG, CPU_ID, CPU_INTERP, CPU_RESULT, CPU_STACK_BASE,
  CPU_STACK_SIZE, CPU_STACK_TOP, CPU_TAIL_CALLS, FAULT_BUDGET, FAULT_NONE, FAULT_STACK, FRAME_SIZE,
} from "../../src/vm/layout";
import { alloc } from "../alloc";
import { cpu } from "../env";
import { pointer } from "../maps/registry";
import { MAX_LOOPS } from "./calls";
import { directoryPc, directoryProg } from "./directory";
import { slice } from "./loop";

/** Steps between two looks at the budget; a fresh call of the loop is also where the host's optimiser comes in. */
const SLICE: i64 = 0x10000;

/** A state at the start of the record `pc` of `prog`, with the frame that ends at `fp`. */
export function interp_start(state: usize, prog: u32, pc: u32, fp: u32, stackEnd: u32): void {
  memory.fill(state, 0, STATE_FRESH);
  store<u32>(state, pc == 0 ? load<u32>(prog, PROG_CODE) : pc, STATE_PC);
  store<u32>(state, prog, STATE_PROG);
  store<u32>(state, fp, STATE_FP);
  store<u32>(state, fp, STATE_TOP);
  store<u32>(state, stackEnd, STATE_STACK_END);
  store<u32>(state, load<u32>(cpu, CPU_TAIL_CALLS), STATE_TAIL_CALLS);
  store<u32>(state, MAX_LOOPS, STATE_MAY_GOTO);
  store<u64>(state, pointer(fp), 80);
}

/** Runs up to `steps` (at least 1) instructions and says why it stopped (STOP_*). */
export function interp_step(state: usize, steps: i32): i32 {
  while (steps > <i32>SLICE) {
    const why = slice(state, <i32>SLICE);
    if (why != STOP_STEPS) {
      store<u32>(state, load<u32>(state, STATE_LEFT) + steps - <i32>SLICE, STATE_LEFT);
      return why;
    }
    steps -= <i32>SLICE;
  }
  return slice(state, steps);
}

/** Runs to the end, within the budget of `prog`; a run around this one keeps what is left of its own. */
function go(state: usize, prog: u32): i32 {
  const outer = load<i64>(cpu, CPU_BUDGET);
  let budget = load<i64>(prog, PROG_BUDGET);
  store<i64>(cpu, budget, CPU_BUDGET);
  while (budget > 0) {
    const steps = min(budget, SLICE);
    const why = slice(state, <i32>steps);
    // The first instruction of a slice runs whatever stands on it: a breakpoint only ends the slice.
    const taken = steps - <i64>load<u32>(state, STATE_LEFT);
    store<i64>(prog, load<i64>(prog, PROG_STEPS) + taken, PROG_STEPS);
    if (why != STOP_STEPS && why != STOP_BREAK) {
      store<i64>(cpu, outer, CPU_BUDGET);
      return why;
    }
    budget -= taken;
  }
  store<u32>(state, FAULT_BUDGET, STATE_FAULT);
  return STOP_FAULT;
}

/** Says at CPU_FAULT what happened, and traps. */
function raise(state: usize, code: u32): void {
  const prog = load<u32>(state, STATE_PROG);
  store<u32>(cpu, code, CPU_FAULT);
  store<u32>(cpu, (load<u32>(state, STATE_PC) - load<u32>(prog, PROG_CODE)) / INSN_SIZE, CPU_FAULT_INSN);
  store<u32>(cpu, load<u32>(prog, PROG_ID), CPU_FAULT_PROG);
  store<u64>(cpu, load<u64>(state, STATE_FAULT_ADDR), CPU_FAULT_ADDR);
  unreachable();
}

/** The state in slot `depth`. */
function slot(depth: u32): usize {
  const nest = cpu + CPU_INTERP;
  if (depth == 0) return nest + NEST_FIRST;
  return load<u32>(nest, NEST_STATES) + (depth - 1) * STATE_SIZE;
}

/**
 * Is the run at `state` over, seen by one whose first frame ends at `fp`? A run that ended in a trap never gave its state
 * back. Stacks grow down, and only a tail call enters another program on the frame that it has.
 */
// @ts-ignore: decorator
@inline
function over(state: usize, fp: u32): bool {
  const top = load<u32>(state, STATE_TOP);
  return top < fp || (top == fp && load<u32>(state, STATE_TAIL_CALLS) >= load<u32>(cpu, CPU_TAIL_CALLS));
}

/** A state for a run whose first frame ends at `fp`; 0: nested too deep. */
function enter(fp: u32): usize {
  const nest = cpu + CPU_INTERP;
  let depth = load<u32>(nest, NEST_DEPTH);
  while (depth > 0 && over(slot(depth - 1), fp)) depth--;
  if (depth >= <u32>MAX_NEST) return 0;
  if (depth > 0 && load<u32>(nest, NEST_STATES) == 0) {
    const states = alloc((MAX_NEST - 1) * STATE_SIZE, 8);
    if (states == 0) return 0;
    store<u32>(nest, states, NEST_STATES);
  }
  store<u32>(nest, depth + 1, NEST_DEPTH);
  return slot(depth);
}

function finish(state: usize, why: i32): void {
  if (why != STOP_EXIT) raise(state, load<u32>(state, STATE_FAULT));
  const nest = cpu + CPU_INTERP;
  store<u32>(nest, load<u32>(nest, NEST_DEPTH) - 1, NEST_DEPTH);
}

// @ts-ignore: decorator
@inline
function stackEnd(): u32 {
  return CPU_STACK_BASE + load<u32>(cpu, CPU_ID) * CPU_STACK_SIZE;
}

function overflow(prog: u32): void {
  store<u32>(cpu, FAULT_STACK, CPU_FAULT);
  store<u32>(cpu, 0, CPU_FAULT_INSN);
  store<u32>(cpu, load<u32>(prog, PROG_ID), CPU_FAULT_PROG);
  store<u64>(cpu, 0, CPU_FAULT_ADDR);
  unreachable();
}

/** Runs `prog` with r1 = pointer to `ctx` on the current CPU; the low half of r0. Traps on a fault. */
export function interp_run(prog: u32, ctx: u32): i32 {
  const tailCalls = load<u32>(cpu, CPU_TAIL_CALLS);
  store<u32>(cpu, 0, CPU_TAIL_CALLS);
  const fp = load<u32>(cpu, CPU_STACK_TOP);
  const end = stackEnd();
  const state = enter(fp);
  if (state == 0 || fp - FRAME_SIZE < end) overflow(prog);
  interp_start(state, prog, 0, fp, end);
  store<u64>(state, pointer(ctx), 8);
  store<u32>(state, ctx, STATE_CTX);
  finish(state, go(state, prog));
  store<u32>(cpu, tailCalls, CPU_TAIL_CALLS);
  const r0 = load<u64>(state);
  store<u64>(cpu, r0, CPU_RESULT);
  return <i32>r0;
}

/** What stands behind `index` of the shared table, called by code that is not interpreted. */
export function interp_enter(index: u32, fp: u32, r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const prog = directoryProg(index);
  const end = stackEnd();
  const state = enter(fp);
  if (state == 0 || fp - FRAME_SIZE < end) overflow(prog);
  interp_start(state, prog, directoryPc(index), fp, end);
  store<u64>(state, r1, 8);
  store<u64>(state, r2, 16);
  store<u64>(state, r3, 24);
  store<u64>(state, r4, 32);
  store<u64>(state, r5, 40);
  store<u32>(state, <u32>r1, STATE_CTX);
  finish(state, go(state, prog));
  return load<u64>(state);
}
