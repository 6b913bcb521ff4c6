// Calls, returns and tail calls of the interpreter. A caller's frame is pushed into the state, never onto the host's
// stack, so that a run may stop anywhere and be looked at.
import { MAP_MAX_ENTRIES, MAP_TYPE, MAP_VALUES, PROG_SLOT_TABLE_INDEX } from "../../src/maps/layout";
import {
  CALLER_BASE, CALLER_CALLBACK, CALLER_CTX, CALLER_DONE, CALLER_FP, CALLER_KIND, CALLER_MAY_GOTO, CALLER_PC, CALLER_PROG, CALLER_REGS,
  CALLER_SIZE, CALLER_WANTED, CALL_LOCAL, CALL_LOOP, NO_PROG, INSN_DST, INSN_IMM, INSN_SIZE, PROG_CODE, MAX_CALLERS, NEAR_CALLERS, STATE_BASE, STATE_DEPTH, STATE_FAULT,
  STATE_FP, STATE_FRAMES, STATE_MAY_GOTO, STATE_MORE, STATE_PC, STATE_PROG, STATE_STACK_END,
} from "../../src/vm/interp/layout";
import {
  CPU_ARGS, CPU_FAULT, CPU_FAULT_PROG, CPU_FP, CPU_RESULT, CPU_TAIL_CALLS, FAULT_CALL, FAULT_NONE, FAULT_STACK, FRAME_SIZE, MAX_CALL_FRAMES, MAX_TAIL_CALL_CNT,
  CPU_STACK_TOP, SHADOW_BASE, TABLE_BASE,
} from "../../src/vm/layout";
import { alloc } from "../alloc";
import { cpu, js_helper } from "../env";
import { mapOf, pointer } from "../maps/registry";
import { directoryPc, directoryProg } from "./directory";

const R1: usize = 8;
const R2: usize = 16;
const R3: usize = 24;
const R4: usize = 32;
const R5: usize = 40;
const R6: usize = 48;
const R10: usize = 80;

const BPF_MAP_TYPE_PROG_ARRAY: u32 = 3;
const EINVAL: i64 = 22;
const E2BIG: i64 = 7;
/** BPF_MAX_LOOPS: of bpf_loop, and of the may_gotos in one frame. */
export const MAX_LOOPS: u32 = 8 << 20;

/** Where the frame of caller `index` (0: the first function) stands; 0: out of memory. */
function callerAt(state: usize, index: u32): usize {
  if (index < <u32>NEAR_CALLERS) return state + STATE_FRAMES + index * CALLER_SIZE;
  if (index >= <u32>MAX_CALLERS) return 0;
  let more = load<u32>(state, STATE_MORE);
  if (more == 0) {
    more = alloc((MAX_CALLERS - NEAR_CALLERS) * CALLER_SIZE, 8);
    if (more == 0) return 0;
    store<u32>(state, more, STATE_MORE);
  }
  return more + (index - NEAR_CALLERS) * CALLER_SIZE;
}

/** Pushes the caller of the call at `pc` and enters a fresh frame; false: more frames than the kernel allows. */
export function push(state: usize, pc: usize, kind: u32): bool {
  const depth = load<u32>(state, STATE_DEPTH);
  const base = load<u32>(state, STATE_BASE);
  const fp = load<u32>(state, STATE_FP);
  const below = fp - FRAME_SIZE;
  if (depth - base + 1 >= <u32>MAX_CALL_FRAMES || below - FRAME_SIZE < load<u32>(state, STATE_STACK_END)) return false;
  const caller = callerAt(state, depth);
  if (caller == 0) return false;
  store<u32>(caller, base, CALLER_BASE);
  memory.copy(caller + CALLER_REGS, state + R6, 32);
  store<u32>(caller, pc, CALLER_PC);
  store<u32>(caller, load<u32>(state, STATE_PROG), CALLER_PROG);
  store<u32>(caller, fp, CALLER_FP);
  store<u32>(caller, load<u32>(state, STATE_MAY_GOTO), CALLER_MAY_GOTO);
  store<u32>(caller, kind, CALLER_KIND);
  store<u32>(state, depth + 1, STATE_DEPTH);
  store<u32>(state, below, STATE_FP);
  store<u32>(state, MAX_LOOPS, STATE_MAY_GOTO);
  store<u64>(state, pointer(below), R10);
  return true;
}

/** The current frame is done, r0 stands: the record to step on from, or 0 when it was the first frame. */
export function leave(state: usize): usize {
  let depth = load<u32>(state, STATE_DEPTH);
  if (depth == 0) return 0;
  depth--;
  const caller = callerAt(state, depth);
  if (load<u32>(caller, CALLER_KIND) == CALL_LOOP) {
    const done = load<u32>(caller, CALLER_DONE) + 1;
    if (load<u64>(state) == 0 && done < load<u32>(caller, CALLER_WANTED)) {
      store<u32>(caller, done, CALLER_DONE);
      store<u32>(state, MAX_LOOPS, STATE_MAY_GOTO);
      iterate(state, done, load<u64>(caller, CALLER_CTX));
      return load<u32>(caller, CALLER_CALLBACK);
    }
    store<u64>(state, done);
  }
  memory.copy(state + R6, caller + CALLER_REGS, 32);
  const fp = load<u32>(caller, CALLER_FP);
  store<u32>(state, depth, STATE_DEPTH);
  store<u32>(state, load<u32>(caller, CALLER_PROG), STATE_PROG);
  store<u32>(state, load<u32>(caller, CALLER_BASE), STATE_BASE);
  store<u32>(state, fp, STATE_FP);
  store<u32>(state, load<u32>(caller, CALLER_MAY_GOTO), STATE_MAY_GOTO);
  store<u64>(state, pointer(fp), R10);
  return load<u32>(caller, CALLER_PC);
}

function iterate(state: usize, index: u32, ctx: u64): void {
  store<u64>(state, index, R1);
  store<u64>(state, ctx, R2);
  store<u64>(state, 0, R3);
  store<u64>(state, 0, R4);
  store<u64>(state, 0, R5);
}

// @ts-ignore: decorator
@inline
function ready(state: usize, pc: usize): void {
  store<u32>(state, pc, STATE_PC);
  // A helper that traps leaves this as it is: the instruction is ours. Engines that fault name their own.
  store<u32>(cpu, NO_PROG, CPU_FAULT_PROG);
  // A run with a stack of its own lends callbacks the CPU's.
  const fp = load<u32>(state, STATE_FP);
  store<u32>(cpu, fp < <u32>SHADOW_BASE ? fp : load<u32>(cpu, CPU_STACK_TOP) + FRAME_SIZE, CPU_FP);
}

/** A helper or kfunc of the core: (r1..r5: u64) -> u64 behind the table index in imm. */
export function callCore(state: usize, pc: usize): void {
  ready(state, pc);
  const r0 = call_indirect<u64>(
    load<u32>(pc, INSN_IMM),
    load<u64>(state, R1), load<u64>(state, R2), load<u64>(state, R3), load<u64>(state, R4), load<u64>(state, R5),
  );
  store<u64>(state, r0);
}

export function callJs(state: usize, pc: usize): void {
  ready(state, pc);
  memory.copy(cpu + CPU_ARGS, state + R1, 40);
  js_helper(load<u32>(pc, INSN_IMM));
  store<u64>(state, load<u64>(cpu, CPU_RESULT));
}

/** r0 of the function at `index` of the shared table, with the frame that ends at `fp`. */
function foreign(index: u32, fp: u32, r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  // Nothing there, or a function of another type: the call itself traps.
  store<u32>(cpu, FAULT_CALL, CPU_FAULT);
  const r0 = call_indirect<u64>(index, fp, r1, r2, r3, r4, r5);
  store<u32>(cpu, FAULT_NONE, CPU_FAULT);
  return r0;
}

/** The same with the arguments that stand in the registers. */
function foreignCall(state: usize, index: u32, fp: u32): void {
  const r0 = foreign(
    index, fp,
    load<u64>(state, R1), load<u64>(state, R2), load<u64>(state, R3), load<u64>(state, R4), load<u64>(state, R5),
  );
  store<u64>(state, r0);
}

// @ts-ignore: decorator
@inline
function refuse(state: usize, code: u32): usize {
  store<u32>(state, code, STATE_FAULT);
  return 0;
}

/** bpf_loop(nr_loops, callback, ctx, flags), callbacks as frames of this state. */
export function callLoop(state: usize, pc: usize): usize {
  const wanted = load<u32>(state, R1);
  if (load<u64>(state, R4) != 0) {
    store<i64>(state, -EINVAL);
    return pc;
  }
  if (wanted > MAX_LOOPS) {
    store<i64>(state, -E2BIG);
    return pc;
  }
  if (wanted == 0) {
    store<u64>(state, 0);
    return pc;
  }
  const index = load<u32>(state, R2);
  const callback = directoryPc(index);
  const ctx = load<u64>(state, R3);
  if (callback == 0) {
    // A jitted callback: nothing to stop in.
    if (index < <u32>TABLE_BASE) return refuse(state, FAULT_CALL);
    ready(state, pc);
    const fp = load<u32>(state, STATE_FP) - FRAME_SIZE;
    let i: u32 = 0;
    while (i < wanted && foreign(index, fp, i, ctx, 0, 0, 0) == 0) i++;
    store<u64>(state, i < wanted ? i + 1 : i);
    return pc;
  }
  if (!push(state, pc, CALL_LOOP)) return refuse(state, FAULT_STACK);
  const caller = callerAt(state, load<u32>(state, STATE_DEPTH) - 1);
  store<u32>(state, directoryProg(index), STATE_PROG);
  store<u32>(caller, 0, CALLER_DONE);
  store<u32>(caller, wanted, CALLER_WANTED);
  store<u32>(caller, callback - INSN_SIZE, CALLER_CALLBACK);
  store<u64>(caller, ctx, CALLER_CTX);
  iterate(state, 0, ctx);
  return callback - INSN_SIZE;
}

/** callx: the register holds what BPF_PSEUDO_FUNC loaded. */
export function callIndex(state: usize, pc: usize): usize {
  const index = load<u64>(state + load<u16>(pc, INSN_DST));
  if (index < <u64>TABLE_BASE || index > 0xffffffff) return refuse(state, FAULT_CALL);
  const target = directoryPc(<u32>index);
  if (target == 0) {
    ready(state, pc);
    foreignCall(state, <u32>index, load<u32>(state, STATE_FP) - FRAME_SIZE);
    return pc;
  }
  if (!push(state, pc, CALL_LOCAL)) return refuse(state, FAULT_STACK);
  store<u32>(state, directoryProg(<u32>index), STATE_PROG);
  return target - INSN_SIZE;
}

/** bpf_tail_call(ctx, prog_array, index): without a program there, or after too many, simply goes on. */
export function tailCall(state: usize, pc: usize): usize {
  const map = mapOf(load<u64>(state, R2));
  const slot = load<u32>(state, R3);
  if (map == 0 || load<u32>(map, MAP_TYPE) != BPF_MAP_TYPE_PROG_ARRAY) return refuse(state, FAULT_CALL);
  const made = load<u32>(cpu, CPU_TAIL_CALLS);
  if (slot >= load<u32>(map, MAP_MAX_ENTRIES) || made >= <u32>MAX_TAIL_CALL_CNT) return pc;
  const index = load<u32>(load<u32>(map, MAP_VALUES) + (slot << 3), PROG_SLOT_TABLE_INDEX);
  if (index == 0) return pc;
  store<u32>(cpu, made + 1, CPU_TAIL_CALLS);
  const prog = directoryProg(index);
  if (prog == 0) {
    ready(state, pc);
    foreignCall(state, index, load<u32>(state, STATE_FP));
    return leave(state);
  }
  store<u32>(state, prog, STATE_PROG);
  store<u32>(state, load<u32>(state, STATE_DEPTH), STATE_BASE);
  store<u32>(state, MAX_LOOPS, STATE_MAY_GOTO);
  return load<u32>(prog, PROG_CODE) - INSN_SIZE;
}
