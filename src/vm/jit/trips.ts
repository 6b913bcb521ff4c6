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
  BPF_DW,
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
  BPF_MEM,
  BPF_MOV,
  BPF_ST,
  BPF_STX,
  BPF_SUB,
  BPF_X,
} from "../../uapi/index.ts";
import type { FunctionFacts } from "./facts.ts";
import type { FrameSlots } from "./frame.ts";
import { CALL, CALLX, isConditional, LD_IMM64, MAY_GOTO } from "./program.ts";
import { type Layout, NODE_BLOCK } from "./shape.ts";
import { advance, VALUE_FRAME, VALUE_FRAME_ANY, type ValueContext, Values } from "./values.ts";

const MAX_LOOP_BLOCKS = 64;
const MAX_TRIPS = 2 ** 31;

export const OPPOSITE: Readonly<Record<number, number>> = {
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

/** A loop whose rounds are counted. */
export interface CountedLoop {
  /** Most rounds that it takes once entered. */
  readonly trips: number;
  /** Per register: what a round adds to it; 0 where that is not known to be the same every time. */
  readonly step: Float64Array;
}

/** Most rounds of the loop that `header` heads; undefined: not known. */
export function maxTrips(
  layout: Layout,
  header: number,
  slots: Slots,
  facts: FunctionFacts,
  context: ValueContext,
): number | undefined {
  return loopSteps(layout, header, slots, facts, context)?.trips;
}

export function loopSteps(
  layout: Layout,
  header: number,
  slots: Slots,
  facts: FunctionFacts,
  context: ValueContext,
): CountedLoop | undefined {
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

  // Registers as "root + offset" over those at the latch's start.
  const forms = new Forms();
  const known = new Values();
  facts.values.read(block, known);
  for (let i = fn.first[block]; i < tail; i++) {
    forms.step(slots, i, facts.frame, known);
    advance(known, slots, i, context);
  }
  const { root, offset } = forms;
  const compared = root[slots.dst[tail]];
  if (compared < 0 || compared > 9) return undefined;
  // A register may follow the counter at a distance: each round it becomes what the counter was made.
  const counter = root[compared];
  if (counter < 0 || counter > 9 || root[counter] !== counter) return undefined;
  const others = writtenBefore(layout, header, latch, slots, facts);
  const step = new Float64Array(11);
  for (let r = 0; r < 10; r++) if (root[r] === r && !(others & (1 << r))) step[r] = offset[r];
  if (compared !== counter && others & (1 << compared)) return undefined;
  const trips = step[counter] === 0 ? undefined : rounds();
  return trips !== undefined && trips > 0 && trips <= MAX_TRIPS ? { trips, step } : undefined;

  function rounds(): number | undefined {
    const distance = compared === counter ? 0 : offset[compared] - step[counter];
    const at = offset[slots.dst[tail]] + distance;
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
        state.lo[counter] >= 0 &&
        (compared === counter ||
          (state.isConst(compared) &&
            state.hi[compared] === 0 &&
            state.lo[compared] === state.lo[counter] + distance));
      starts.push(known ? state.lo[counter] : Number.NaN);
    }
    const farthest = step[counter] > 0 ? Math.min(...starts) : Math.max(...starts);
    const same = goesOn !== BPF_JNE || starts.every((start) => start === farthest);
    const first = Number.isNaN(farthest) || !same ? undefined : farthest;
    if (first === undefined && compared !== counter) return undefined;
    if (forms.narrow[slots.dst[tail]] | forms.narrow[counter]) {
      // A 32-bit sum below zero is a large number, and one above 2^31 a negative one: neither may come about.
      const by = step[counter];
      if (by < 0 && goesOn !== BPF_JNE && (limit + by < 0 || limit + 2 * by - at < 0)) return undefined;
      if (by < 0 && goesOn === BPF_JNE && limit - at + by < 0) return undefined;
      if (by > 0 && limit + 2 * by + Math.abs(at) >= 2 ** 31) return undefined;
    }
    return count(goesOn, first, step[counter], at, limit);
  }
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
      if (step < 0) return undefined;
      // Below the limit one more step wraps nothing, wherever the count began.
      if (first === undefined || first + at < 0) return Math.floor(limit / step) + 2;
      return Math.max(0, Math.ceil((limit + (goesOn === BPF_JLE ? 1 : 0) - at - first) / step)) + 1;
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

/**
 * Registers and promoted frame slots in terms of the registers at some point before: moves and sums with constants keep
 * the form. 32-bit ones do as long as all values stay below 2^31, which whoever asks has to see to (`narrow`).
 */
class Forms {
  readonly root: Int32Array = Int32Array.from({ length: 11 }, (_, r) => r);
  readonly offset: Float64Array = new Float64Array(11);
  /** Did a 32-bit operation take part? */
  readonly narrow: Uint8Array = new Uint8Array(11);
  /** What was stored in slots since, by their offset from r10. */
  private readonly slot = new Map<
    number,
    { readonly root: number; readonly offset: number; readonly narrow: number }
  >();

  /** `values`: what is known before the instruction. */
  step(slots: Slots, i: number, frame: FrameSlots, values: Values): void {
    const { root, offset } = this;
    const op = slots.op[i];
    const cls = op & 7;
    const dst = slots.dst[i];
    const src = slots.src[i];
    const code = op & 0xf0;
    if (cls === BPF_ALU64 || cls === BPF_ALU) {
      const immediate = (op & BPF_X) === 0;
      if (cls === BPF_ALU) this.narrow[dst] = 1;
      if (code === BPF_MOV && !immediate && slots.off[i] === 0) {
        root[dst] = root[src];
        offset[dst] = offset[src];
        this.narrow[dst] = cls === BPF_ALU ? 1 : this.narrow[src];
      } else if ((code === BPF_ADD || code === BPF_SUB) && immediate)
        offset[dst] += code === BPF_ADD ? slots.imm[i] : -slots.imm[i];
      else root[dst] = -1;
      return;
    }
    const whole = (op & 0xf8) === (BPF_MEM | BPF_DW);
    if (cls === BPF_ST || cls === BPF_STX) {
      // Nothing but a pointer that is known to be one into the frame reaches a promoted slot.
      const at = values.lo[dst] + slots.off[i];
      if (values.kind[dst] !== VALUE_FRAME) {
        if (values.kind[dst] === VALUE_FRAME_ANY) this.slot.clear();
      } else if (cls === BPF_STX && whole && frame.at(at) === 8)
        this.slot.set(at, { root: root[src], offset: offset[src], narrow: this.narrow[src] });
      else this.slot.delete(at);
    } else if (cls === BPF_LDX && whole && values.kind[src] === VALUE_FRAME) {
      const stored = this.slot.get(values.lo[src] + slots.off[i]);
      if (stored !== undefined) {
        root[dst] = stored.root;
        offset[dst] = stored.offset;
        this.narrow[dst] = stored.narrow;
        return;
      }
    }
    const written = writes(slots, i);
    for (let r = 0; r < 10; r++) if (written & (1 << r)) root[r] = -1;
  }
}

/** Registers that an instruction writes, as a mask. */
export function writes(slots: Slots, i: number): number {
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

/** Registers that blocks of the loop other than its latch write, as a mask; all where the loop is too large to tell. */
function writtenBefore(
  layout: Layout,
  header: number,
  latch: number,
  slots: Slots,
  { fn }: FunctionFacts,
): number {
  const { shape, pred } = layout;
  const inside = new Set<number>([header, latch]);
  const work = header === latch ? [] : [latch];
  for (let node = work.pop(); node !== undefined; node = work.pop())
    for (const from of pred[node]) {
      if (inside.has(from)) continue;
      inside.add(from);
      if (inside.size > MAX_LOOP_BLOCKS || shape.kind[from] !== NODE_BLOCK) return 0x3ff;
      work.push(from);
    }
  let mask = 0;
  for (const node of inside) {
    if (node === latch) continue;
    const block = shape.block[node];
    for (let i = fn.first[block]; i < fn.last[block]; i++) mask |= writes(slots, i);
  }
  return mask;
}
