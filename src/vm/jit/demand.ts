import type { Slots } from "../../asm/index.ts";
import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_AND,
  BPF_ARSH,
  BPF_ATOMIC,
  BPF_CMPXCHG,
  BPF_DIV,
  BPF_DW,
  BPF_END,
  BPF_FETCH,
  BPF_IND,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_LSH,
  BPF_MOD,
  BPF_MOV,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_RSH,
  BPF_ST,
  BPF_STORE_REL,
  BPF_STX,
  BPF_SUB,
  BPF_X,
  BPF_XOR,
} from "../../uapi/index.ts";
import { type CallSites, HELPER_TAIL_CALL } from "./calls.ts";
import {
  type BpfFunction,
  CALL,
  CALLX,
  callxRegister,
  EXIT,
  isConditional,
  LD_IMM64,
  MAY_GOTO,
} from "./program.ts";

/** How much of an instruction's result is read later. */
export const DEMAND_NONE = 0;
export const DEMAND_LOW = 1;
export const DEMAND_FULL = 2;

/** Backward analysis of one function: which registers are alive, and which of them in all 64 bits. */
export interface Demand {
  /** Per block, bit r: register r is read after the block's start before it is written. */
  readonly live: Uint16Array;
  /** ... and more than its low 32 bits. */
  readonly full: Uint16Array;
  /** Per slot of the function (index: slot - start): DEMAND_* of the destination register. */
  readonly result: Uint8Array;
}

const ARGS = 0b111110;

/** The state that runs backward through a block. */
class Backward {
  live = 0;
  full = 0;

  low(reg: number): void {
    this.live |= 1 << reg;
  }
  all(reg: number): void {
    this.live |= 1 << reg;
    this.full |= 1 << reg;
  }
  as(reg: number, demand: number): void {
    if (demand === DEMAND_FULL) this.all(reg);
    else this.low(reg);
  }
  kill(mask: number): void {
    this.live &= ~mask;
    this.full &= ~mask;
  }
  of(reg: number): number {
    if (!(this.live & (1 << reg))) return DEMAND_NONE;
    return this.full & (1 << reg) ? DEMAND_FULL : DEMAND_LOW;
  }
}

/** `arguments_[f]`: which of r1..r5 function f reads, as a register mask. */
export function analyzeDemand(
  slots: Slots,
  fn: BpfFunction,
  calls: CallSites,
  arguments_: readonly number[],
): Demand {
  const count = fn.first.length;
  const live = new Uint16Array(count);
  const full = new Uint16Array(count);
  const result = new Uint8Array(fn.end - fn.start);
  const pred: number[][] = fn.first.map(() => []);
  for (const b of fn.order) for (const to of fn.succ[b]) pred[to].push(b);
  const state = new Backward();
  const queue = [...fn.order];
  const queued = new Uint8Array(count).fill(1);
  for (let b = queue.pop(); b !== undefined; b = queue.pop()) {
    queued[b] = 0;
    state.live = 0;
    state.full = 0;
    for (const to of fn.succ[b]) {
      state.live |= live[to];
      state.full |= full[to];
    }
    for (let i = fn.last[b] - 1; i >= fn.first[b]; i--) {
      // The second slot of LD_IMM64 has opcode 0, which no instruction has.
      if (slots.op[i] === 0) continue;
      step(state, slots, i, result, fn.start, calls, arguments_);
    }
    if (state.live === live[b] && state.full === full[b]) continue;
    live[b] = state.live;
    full[b] = state.full;
    for (const from of pred[b])
      if (!queued[from]) {
        queued[from] = 1;
        queue.push(from);
      }
  }
  return { live, full, result };
}

function step(
  state: Backward,
  slots: Slots,
  i: number,
  result: Uint8Array,
  base: number,
  calls: CallSites,
  arguments_: readonly number[],
): void {
  const op = slots.op[i];
  const dst = slots.dst[i];
  const src = slots.src[i];
  const demand = state.of(dst);
  switch (op & 7) {
    case BPF_ALU:
    case BPF_ALU64:
      result[i - base] = demand;
      if (demand !== DEMAND_NONE) alu(state, op, dst, src, slots.off[i], slots.imm[i], demand);
      return;
    case BPF_LD:
      if (op === LD_IMM64) {
        result[i - base] = demand;
        state.kill(1 << dst);
        return;
      }
      result[i - base] = state.of(0);
      state.kill(ARGS | 1);
      state.low(6);
      if ((op & 0xe0) === BPF_IND) state.low(src);
      return;
    case BPF_LDX:
      result[i - base] = demand;
      state.kill(1 << dst);
      state.low(src);
      return;
    case BPF_ST:
      state.low(dst);
      return;
    case BPF_STX:
      if ((op & 0xe0) === BPF_ATOMIC) {
        atomic(state, slots, i, result, base);
        return;
      }
      state.low(dst);
      state.as(src, (op & 0x18) === BPF_DW ? DEMAND_FULL : DEMAND_LOW);
      return;
    case BPF_JMP:
    case BPF_JMP32:
      jump(state, slots, i, result, base, calls, arguments_);
  }
}

function alu(
  state: Backward,
  op: number,
  dst: number,
  src: number,
  off: number,
  imm: number,
  demand: number,
): void {
  const wide = (op & 7) === BPF_ALU64;
  const useSrc = (op & BPF_X) !== 0;
  const need = wide ? demand : DEMAND_LOW;
  switch (op & 0xf0) {
    case BPF_MOV:
      state.kill(1 << dst);
      // Sign extensions and truncations read the low half only.
      if (useSrc) state.as(src, off === 8 || off === 16 || off === 32 ? DEMAND_LOW : need);
      return;
    case BPF_ADD:
    case BPF_SUB:
    case BPF_MUL:
    case BPF_OR:
    case BPF_XOR:
      state.kill(1 << dst);
      state.as(dst, need);
      if (useSrc) state.as(src, need);
      return;
    case BPF_AND:
      state.kill(1 << dst);
      if (useSrc) {
        state.as(dst, need);
        state.as(src, need);
      } else state.as(dst, imm >= 0 ? DEMAND_LOW : need);
      return;
    case BPF_NEG:
      state.kill(1 << dst);
      state.as(dst, need);
      return;
    case BPF_LSH:
      state.kill(1 << dst);
      if (useSrc) {
        // A count that reads the low half of the result needs the wide shift only where it may exceed 31.
        state.as(dst, need);
        state.low(src);
      } else state.as(dst, (imm & 63) >= 32 ? DEMAND_LOW : need);
      return;
    case BPF_RSH:
    case BPF_ARSH:
      state.kill(1 << dst);
      state.as(dst, wide ? DEMAND_FULL : DEMAND_LOW);
      if (useSrc) state.low(src);
      return;
    case BPF_DIV:
    case BPF_MOD:
      state.kill(1 << dst);
      state.as(dst, wide ? DEMAND_FULL : DEMAND_LOW);
      if (useSrc) state.as(src, wide ? DEMAND_FULL : DEMAND_LOW);
      return;
    case BPF_END:
      state.kill(1 << dst);
      state.as(dst, imm === 64 ? DEMAND_FULL : DEMAND_LOW);
  }
}

function atomic(state: Backward, slots: Slots, i: number, result: Uint8Array, base: number): void {
  const { dst, src, imm, op } = { dst: slots.dst[i], src: slots.src[i], imm: slots.imm[i], op: slots.op[i] };
  const width = (op & 0x18) === BPF_DW ? DEMAND_FULL : DEMAND_LOW;
  if (imm === BPF_LOAD_ACQ) {
    result[i - base] = state.of(dst);
    state.kill(1 << dst);
    state.low(src);
    return;
  }
  if (imm === BPF_STORE_REL) {
    state.low(dst);
    state.as(src, width);
    return;
  }
  if (imm === BPF_CMPXCHG) {
    result[i - base] = state.of(0);
    state.kill(1);
    state.as(0, width);
  } else if (imm & BPF_FETCH) {
    result[i - base] = state.of(src);
    state.kill(1 << src);
  }
  state.low(dst);
  state.as(src, width);
}

function jump(
  state: Backward,
  slots: Slots,
  i: number,
  result: Uint8Array,
  base: number,
  calls: CallSites,
  arguments_: readonly number[],
): void {
  const op = slots.op[i];
  if (op === EXIT) {
    state.all(0);
    return;
  }
  if (op === CALL) {
    const site = calls.at(i);
    result[i - base] = state.of(0);
    state.kill(ARGS | 1);
    let mask: number;
    if (site.callee >= 0) mask = arguments_[site.callee];
    else if (site.helper === HELPER_TAIL_CALL) {
      mask = 0b110;
      state.low(3);
    } else mask = (2 << site.binding!.nargs) - 2;
    state.live |= mask;
    state.full |= mask;
    return;
  }
  if (op === CALLX) {
    result[i - base] = state.of(0);
    state.kill(ARGS | 1);
    state.live |= ARGS;
    state.full |= ARGS;
    state.all(callxRegister(slots, i));
    return;
  }
  if (op === MAY_GOTO || !isConditional(op)) return;
  const width = (op & 7) === BPF_JMP ? DEMAND_FULL : DEMAND_LOW;
  state.as(slots.dst[i], width);
  if (op & BPF_X) state.as(slots.src[i], width);
}
