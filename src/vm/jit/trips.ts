/**
 * Counted loops: how many rounds a loop can take at most, where its only way back ends in a comparison of a register
 * that every round changes by the same constant. Such a loop pays for all its rounds when it is entered.
 */
import type { Slots } from "../../asm/index.ts";
import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JNE,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
  BPF_LD,
  BPF_LDX,
  BPF_MOV,
  BPF_STX,
  BPF_SUB,
  BPF_X,
} from "../../uapi/index.ts";
import type { FunctionFacts } from "./emitter.ts";
import { CALL, CALLX, isConditional, LD_IMM64, MAY_GOTO } from "./program.ts";
import { type Layout, NODE_BLOCK } from "./shape.ts";
import { advance, type ValueContext, Values } from "./values.ts";

const MAX_LOOP_BLOCKS = 64;
const MAX_TRIPS = 2 ** 31;

const OPPOSITE: Readonly<Record<number, number>> = {
  [BPF_JEQ]: BPF_JNE,
  [BPF_JNE]: BPF_JEQ,
  [BPF_JGT]: BPF_JLE,
  [BPF_JGE]: BPF_JLT,
  [BPF_JLT]: BPF_JGE,
  [BPF_JLE]: BPF_JGT,
  [BPF_JSGT]: BPF_JSLE,
  [BPF_JSGE]: BPF_JSLT,
  [BPF_JSLT]: BPF_JSGE,
  [BPF_JSLE]: BPF_JSGT,
};

/** Most rounds of the loop that `header` heads; undefined: not known. */
export function maxTrips(
  layout: Layout,
  header: number,
  slots: Slots,
  facts: FunctionFacts,
  context: ValueContext,
): number | undefined {
  const { shape, pred, rank } = layout;
  const back = pred[header].filter((from) => rank[from] >= rank[header]);
  if (back.length !== 1 || shape.kind[header] !== NODE_BLOCK || shape.kind[back[0]] !== NODE_BLOCK)
    return undefined;
  const latch = back[0];
  const { fn } = facts;
  const block = shape.block[latch];
  const tail = fn.last[block] - 1;
  const succ = shape.succ[latch];
  if (succ.length !== 2 || succ[0] === succ[1]) return undefined;
  const op = slots.op[tail];
  if (!isConditional(op) || op === MAY_GOTO) return undefined;
  const code = op & 0xf0;
  const goesOn = succ[0] === header ? code : OPPOSITE[code];
  if (goesOn === undefined) return undefined;

  // The compared register as "root + offset" over the registers at the latch's start.
  const root = Int32Array.from({ length: 11 }, (_, r) => r);
  const offset = new Float64Array(11);
  for (let i = fn.first[block]; i < tail; i++) linear(slots, i, root, offset);
  const counter = root[slots.dst[tail]];
  if (counter < 0 || counter > 9 || root[counter] !== counter) return undefined;
  const step = offset[counter];
  const at = offset[slots.dst[tail]];
  if (step === 0) return undefined;
  if (!onlyLatchWrites(layout, header, latch, slots, facts, counter)) return undefined;

  const state = new Values();
  let limit = slots.imm[tail];
  if (op & BPF_X) {
    stateAtEnd(state, block, slots, facts, context);
    const src = slots.src[tail];
    if (!state.isConst(src) || state.hi[src] !== state.lo[src] >> 31) return undefined;
    limit = state.lo[src];
  }
  if (limit < 0) return undefined;
  const starts: number[] = [];
  for (const from of pred[header]) {
    if (from === latch) continue;
    if (shape.kind[from] === NODE_BLOCK) stateAtEnd(state, shape.block[from], slots, facts, context);
    const known =
      shape.kind[from] === NODE_BLOCK &&
      state.isConst(counter) &&
      state.hi[counter] === 0 &&
      state.lo[counter] >= 0;
    starts.push(known ? state.lo[counter] : Number.NaN);
  }
  const farthest = step > 0 ? Math.min(...starts) : Math.max(...starts);
  const same = goesOn !== BPF_JNE || starts.every((start) => start === farthest);
  const first = Number.isNaN(farthest) || !same ? undefined : farthest;
  const trips = count(goesOn, first, step, at, limit);
  return trips !== undefined && trips > 0 && trips <= MAX_TRIPS ? trips : undefined;
}

/** Round t (from 0) compares first + at + step * t with `limit`, and another one follows while `goesOn` holds. */
function count(
  goesOn: number,
  first: number | undefined,
  step: number,
  at: number,
  limit: number,
): number | undefined {
  const down = -step;
  switch (goesOn) {
    case BPF_JNE: {
      if (first === undefined) return undefined;
      const rounds = (limit - at - first) / step;
      return Number.isInteger(rounds) && rounds >= 0 ? rounds + 1 : undefined;
    }
    case BPF_JLT:
    case BPF_JLE:
      // Below the limit one more step wraps nothing, wherever the count began.
      return step > 0 ? Math.floor(limit / step) + 2 : undefined;
    case BPF_JSLT:
    case BPF_JSLE:
      if (first === undefined || step < 0) return undefined;
      return Math.max(0, Math.floor((limit - at - first) / step)) + 2;
    case BPF_JGT:
    case BPF_JGE:
      if (first === undefined || step > 0 || limit < down || first + at < 0) return undefined;
      return Math.max(0, Math.floor((first + at - limit) / down)) + 2;
    case BPF_JSGT:
    case BPF_JSGE:
      if (first === undefined || step > 0) return undefined;
      return Math.max(0, Math.floor((first + at - limit) / down)) + 2;
  }
  return undefined;
}

function stateAtEnd(
  state: Values,
  block: number,
  slots: Slots,
  facts: FunctionFacts,
  context: ValueContext,
): void {
  facts.values.read(block, state);
  for (let i = facts.fn.first[block]; i < facts.fn.last[block]; i++) advance(state, slots, i, context);
}

/** Moves and sums with constants keep a register's form; 32-bit ones too, since all values stay below 2^31. */
function linear(slots: Slots, i: number, root: Int32Array, offset: Float64Array): void {
  const op = slots.op[i];
  const cls = op & 7;
  const dst = slots.dst[i];
  const code = op & 0xf0;
  if (cls === BPF_ALU64 || cls === BPF_ALU) {
    const immediate = (op & BPF_X) === 0;
    if (code === BPF_MOV && !immediate && slots.off[i] === 0) {
      root[dst] = root[slots.src[i]];
      offset[dst] = offset[slots.src[i]];
    } else if ((code === BPF_ADD || code === BPF_SUB) && immediate)
      offset[dst] += code === BPF_ADD ? slots.imm[i] : -slots.imm[i];
    else root[dst] = -1;
    return;
  }
  const written = writes(slots, i);
  for (let r = 0; r < 10; r++) if (written & (1 << r)) root[r] = -1;
}

/** Registers that an instruction writes, as a mask. */
function writes(slots: Slots, i: number): number {
  const op = slots.op[i];
  switch (op & 7) {
    case BPF_ALU:
    case BPF_ALU64:
    case BPF_LDX:
      return 1 << slots.dst[i];
    case BPF_LD:
      return op === LD_IMM64 ? 1 << slots.dst[i] : op === 0 ? 0 : 0x3f;
    case BPF_STX:
      return (op & 0xe0) === BPF_ATOMIC ? 1 | (1 << slots.src[i]) | (1 << slots.dst[i]) : 0;
    default:
      return op === CALL || op === CALLX ? 0x3f : 0;
  }
}

/** Does no block of the loop but its latch write the register? */
function onlyLatchWrites(
  layout: Layout,
  header: number,
  latch: number,
  slots: Slots,
  { fn }: FunctionFacts,
  reg: number,
): boolean {
  const { shape, pred } = layout;
  const inside = new Set<number>([header, latch]);
  const work = header === latch ? [] : [latch];
  for (let node = work.pop(); node !== undefined; node = work.pop())
    for (const from of pred[node]) {
      if (inside.has(from)) continue;
      inside.add(from);
      if (inside.size > MAX_LOOP_BLOCKS || shape.kind[from] !== NODE_BLOCK) return false;
      work.push(from);
    }
  for (const node of inside) {
    if (node === latch) continue;
    const block = shape.block[node];
    for (let i = fn.first[block]; i < fn.last[block]; i++) if (writes(slots, i) & (1 << reg)) return false;
  }
  return true;
}
