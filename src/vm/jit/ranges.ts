/**
 * Intervals of the low halves of registers and promoted frame slots, for the bounds-checked mode: an access whose
 * address lies in one array value whatever the run does needs no check. The low half of a sum, difference or product
 * depends on low halves alone, so nothing need be known of the upper ones; `zext` says where they are zero.
 *
 * Loops: a register that every round changes by the same constant has its interval from the number of rounds
 * (trips.ts); others grow to the next constant that the function compares with, and no further if that holds.
 */
import type { Slots } from "../../asm/index.ts";
import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_AND,
  BPF_ATOMIC,
  BPF_B,
  BPF_DIV,
  BPF_DW,
  BPF_END,
  BPF_H,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JMP32,
  BPF_JNE,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
  BPF_LD,
  BPF_LDX,
  BPF_LSH,
  BPF_MEM,
  BPF_MOD,
  BPF_MOV,
  BPF_MUL,
  BPF_OR,
  BPF_PSEUDO_FUNC,
  BPF_RSH,
  BPF_ST,
  BPF_STX,
  BPF_SUB,
  BPF_X,
  BPF_XOR,
} from "../../uapi/index.ts";
import type { FunctionFacts } from "./facts.ts";
import { accessSize, type FrameSlots } from "./frame.ts";
import { isConditional, LD_IMM64, MAY_GOTO } from "./program.ts";
import { type Layout, NODE_BLOCK } from "./shape.ts";
import { type CountedLoop, loopSteps, OPPOSITE, writes } from "./trips.ts";
import { advance, VALUE_FRAME, type ValueContext, Values } from "./values.ts";

const TOP = 0xffffffff;
/** Visits of a loop's header after which its intervals are widened, and after which nothing is known any more. */
const WIDEN_AFTER = 2;
const GIVE_UP_AFTER = 30;
/** More slots than this are not followed. */
const MAX_SLOTS = 32;
/** Functions of more blocks are not worth the time. */
const MAX_BLOCKS = 400;

/** Registers 0..10, then the promoted slots. */
class State {
  readonly lo: Float64Array;
  readonly hi: Float64Array;
  readonly zext: Uint8Array;
  constructor(size: number) {
    this.lo = new Float64Array(size);
    this.hi = new Float64Array(size).fill(TOP);
    this.zext = new Uint8Array(size);
  }
  set(at: number, lo: number, hi: number, zext: boolean): void {
    const fits = lo >= 0 && hi <= TOP;
    this.lo[at] = fits ? lo : 0;
    this.hi[at] = fits ? hi : TOP;
    this.zext[at] = zext && fits ? 1 : 0;
  }
  copy(to: number, from: number): void {
    this.lo[to] = this.lo[from];
    this.hi[to] = this.hi[from];
    this.zext[to] = this.zext[from];
  }
  assign(from: State): void {
    this.lo.set(from.lo);
    this.hi.set(from.hi);
    this.zext.set(from.zext);
  }
  /** The smallest state that holds both; did this one change? */
  join(from: State): boolean {
    let changed = false;
    for (let at = 0; at < this.lo.length; at++) {
      if (from.lo[at] < this.lo[at]) {
        this.lo[at] = from.lo[at];
        changed = true;
      }
      if (from.hi[at] > this.hi[at]) {
        this.hi[at] = from.hi[at];
        changed = true;
      }
      if (this.zext[at] && !from.zext[at]) {
        this.zext[at] = 0;
        changed = true;
      }
    }
    return changed;
  }
}

/** The intervals at one point of a function, moved along in step with its emission. */
export class Ranges {
  private readonly now: State;
  private readonly slots: Slots;
  private readonly atStart: readonly (State | undefined)[];
  private readonly places: ReadonlyMap<number, number>;
  private readonly context: ValueContext;
  private place = -1;

  constructor(
    slots: Slots,
    atStart: readonly (State | undefined)[],
    places: ReadonlyMap<number, number>,
    context: ValueContext,
  ) {
    this.slots = slots;
    this.atStart = atStart;
    this.places = places;
    this.context = context;
    this.now = new State(11 + places.size);
  }

  enter(block: number): void {
    const state = this.atStart[block];
    if (state !== undefined) this.now.assign(state);
    else for (let at = 0; at < this.now.lo.length; at++) this.now.set(at, 0, TOP, false);
  }

  /** Before the instruction at `insn`, of which `values` is known. */
  look(insn: number, values: Values): void {
    this.place = placeOf(this.slots, insn, values, this.places);
  }

  /** Behind it. */
  step(insn: number): void {
    step(this.now, this.slots, insn, this.place, this.context);
  }

  /** Bounds of the low half of a register. */
  lowest(reg: number): number {
    return this.now.lo[reg];
  }
  highest(reg: number): number {
    return this.now.hi[reg];
  }
}

/** The intervals of a function whose blocks all stand in one Wasm function; undefined: not worth it. */
export function analyzeRanges(
  layout: Layout,
  slots: Slots,
  facts: FunctionFacts,
  context: ValueContext,
): Ranges | undefined {
  const { fn } = facts;
  const count = fn.first.length;
  if (count > MAX_BLOCKS) return undefined;
  const places = slotPlaces(facts.frame);
  const size = 11 + places.size;
  const atStart: (State | undefined)[] = new Array(count);
  atStart[0] = new State(size);
  const rank = new Int32Array(count);
  fn.order.forEach((b, k) => {
    rank[b] = k;
  });
  const thresholds = comparedWith(slots, fn.order, fn);
  const steps = countedLoops(layout, slots, facts, context);
  /** Of headers of counted loops: the join of what enters them. */
  const entries = new Map<number, State>();
  const visits = new Int32Array(count);
  const dirty = new Uint8Array(count);
  dirty[0] = 1;
  const state = new State(size);
  const edge = new State(size);
  const values = new Values();
  const arrive = (to: number, from: number): boolean => {
    const back = rank[to] <= rank[from];
    const counted = steps.get(to);
    if (counted !== undefined) {
      if (!back) {
        const entry = entries.get(to);
        if (entry === undefined) entries.set(to, copyOf(edge, size));
        else entry.join(edge);
      }
      // Where a round changes a register by a constant, the rounds tell all; what comes back says nothing new.
      const entry = entries.get(to)!;
      for (let r = 0; r < 10; r++) {
        const by = counted.step[r] * (counted.trips - 1);
        if (counted.step[r] === 0) continue;
        const [lo, hi] = [entry.lo[r] + Math.min(by, 0), entry.hi[r] + Math.max(by, 0)];
        edge.set(r, lo, hi, entry.zext[r] === 1);
      }
    }
    const known = atStart[to];
    if (known === undefined) {
      atStart[to] = copyOf(edge, size);
      return true;
    }
    const before = back ? copyOf(known, size) : undefined;
    if (!known.join(edge)) return false;
    if (before !== undefined && ++visits[to] > WIDEN_AFTER)
      widen(known, before, visits[to] > GIVE_UP_AFTER ? [] : thresholds);
    return true;
  };
  for (let again = true; again; ) {
    again = false;
    for (const b of fn.order) {
      if (!dirty[b]) continue;
      dirty[b] = 0;
      state.assign(atStart[b]!);
      facts.values.read(b, values);
      for (let i = fn.first[b]; i < fn.last[b]; i++) {
        step(state, slots, i, placeOf(slots, i, values, places), context);
        advance(values, slots, i, context);
      }
      const succ = fn.succ[b];
      for (let k = 0; k < succ.length; k++) {
        edge.assign(state);
        if (succ.length === 2 && succ[0] !== succ[1] && !refine(edge, slots, fn.last[b] - 1, k === 0))
          continue;
        if (!arrive(succ[k], b)) continue;
        dirty[succ[k]] = 1;
        if (rank[succ[k]] <= rank[b]) again = true;
      }
    }
  }
  return new Ranges(slots, atStart, places, context);
}

function copyOf(state: State, size: number): State {
  const copy = new State(size);
  copy.assign(state);
  return copy;
}

/** Where the promoted slots of a frame stand in a state, by their offset from r10. */
function slotPlaces(frame: FrameSlots): Map<number, number> {
  const places = new Map<number, number>();
  for (let off = -frame.size.length; off < 0 && places.size < MAX_SLOTS; off++)
    if (frame.at(off) >= 4) places.set(off, 11 + places.size);
  return places;
}

/** The promoted slot that the load or store at `i` is about, as its place in a state; -1: none. */
function placeOf(slots: Slots, i: number, values: Values, places: ReadonlyMap<number, number>): number {
  const cls = slots.op[i] & 7;
  if (places.size === 0 || (cls !== BPF_LDX && cls !== BPF_ST && cls !== BPF_STX)) return -1;
  const base = cls === BPF_LDX ? slots.src[i] : slots.dst[i];
  if (values.kind[base] !== VALUE_FRAME) return -1;
  return places.get(values.lo[base] + slots.off[i]) ?? -1;
}

function countedLoops(
  layout: Layout,
  slots: Slots,
  facts: FunctionFacts,
  context: ValueContext,
): Map<number, CountedLoop> {
  const found = new Map<number, CountedLoop>();
  const { shape, order, pred, rank } = layout;
  for (const node of order) {
    if (shape.kind[node] !== NODE_BLOCK || !pred[node].some((from) => rank[from] >= rank[node])) continue;
    const loop = loopSteps(layout, node, slots, facts, context);
    if (loop !== undefined) found.set(shape.block[node], loop);
  }
  return found;
}

/** Constants that comparisons draw a line at, each the last number on either side of it, in rising order. */
function comparedWith(
  slots: Slots,
  order: readonly number[],
  { last }: { readonly last: readonly number[] },
): number[] {
  const found = new Set<number>();
  for (const b of order) {
    const tail = last[b] - 1;
    const op = slots.op[tail];
    if (!isConditional(op) || op === MAY_GOTO || op & BPF_X) continue;
    const c = slots.imm[tail];
    if (c > 0) found.add(c - 1).add(c);
  }
  return [...found].sort((a, b) => a - b);
}

function widen(state: State, before: State, thresholds: readonly number[]): void {
  for (let at = 0; at < state.lo.length; at++) {
    if (state.lo[at] < before.lo[at]) state.lo[at] = 0;
    if (state.hi[at] <= before.hi[at]) continue;
    state.hi[at] = thresholds.find((limit) => limit >= state.hi[at]) ?? TOP;
  }
}

// ---- comparisons -----------------------------------------------------------------------------------------------------

/** Cuts the compared register to what it can hold where the jump at `i` was (not) taken; false: it cannot come there. */
function refine(state: State, slots: Slots, i: number, taken: boolean): boolean {
  const op = slots.op[i];
  if (op === MAY_GOTO || op & BPF_X) return true;
  const code = taken ? op & 0xf0 : OPPOSITE[op & 0xf0];
  const c = slots.imm[i];
  const dst = slots.dst[i];
  if (code === undefined || c < 0) return true;
  const narrow = (op & 7) === BPF_JMP32;
  const signed = code === BPF_JSGT || code === BPF_JSGE || code === BPF_JSLT || code === BPF_JSLE;
  // Whole value and low half are the same number, and not a negative one.
  const exact = (narrow || state.zext[dst] === 1) && (!signed || !narrow || state.hi[dst] < 0x80000000);
  // Below an unsigned limit the upper half is zero; everything else has to know that already.
  const below = code === BPF_JLT || code === BPF_JLE || code === BPF_JEQ;
  if (!exact && !(below && !narrow)) return true;
  let [lo, hi] = [state.lo[dst], state.hi[dst]];
  switch (code) {
    case BPF_JEQ:
      [lo, hi] = [Math.max(lo, c), Math.min(hi, c)];
      break;
    case BPF_JNE:
      if (lo === c) lo++;
      if (hi === c) hi--;
      break;
    case BPF_JLT:
    case BPF_JSLT:
      hi = Math.min(hi, c - 1);
      break;
    case BPF_JLE:
    case BPF_JSLE:
      hi = Math.min(hi, c);
      break;
    case BPF_JGT:
    case BPF_JSGT:
      lo = Math.max(lo, c + 1);
      break;
    case BPF_JGE:
    case BPF_JSGE:
      lo = Math.max(lo, c);
      break;
  }
  if (lo > hi) return false;
  state.set(dst, lo, hi, state.zext[dst] === 1 || !narrow);
  return true;
}

// ---- instructions ----------------------------------------------------------------------------------------------------

function step(state: State, slots: Slots, i: number, place: number, context: ValueContext): void {
  const op = slots.op[i];
  const dst = slots.dst[i];
  switch (op & 7) {
    case BPF_ALU:
    case BPF_ALU64:
      alu(state, slots, i);
      return;
    case BPF_LD:
      if (op === LD_IMM64) {
        const low = slots.src[i] === BPF_PSEUDO_FUNC ? context.tableIndexAt(i) : slots.imm[i] >>> 0;
        const high = slots.src[i] === BPF_PSEUDO_FUNC ? 0 : slots.imm[i + 1];
        state.set(dst, low, low, high === 0);
      } else if (op !== 0) forget(state, 0x3f);
      return;
    case BPF_LDX: {
      const size = op & 0x18;
      if (place >= 0 && (op & 0xe0) === BPF_MEM && !context.probes(i)) state.copy(dst, place);
      else if ((op & 0xe0) !== BPF_MEM || size === BPF_DW) state.set(dst, 0, TOP, false);
      else state.set(dst, 0, size === BPF_B ? 0xff : size === BPF_H ? 0xffff : TOP, true);
      return;
    }
    case BPF_ST:
    case BPF_STX: {
      if ((op & 0xe0) === BPF_ATOMIC && (op & 7) === BPF_STX) {
        forget(state, writes(slots, i));
        return;
      }
      if (place < 0) return;
      if ((op & 7) === BPF_STX) state.copy(place, slots.src[i]);
      else state.set(place, slots.imm[i] >>> 0, slots.imm[i] >>> 0, slots.imm[i] >= 0);
      if (accessSize(op) < 8) state.zext[place] = 1;
      return;
    }
    default:
      forget(state, writes(slots, i));
  }
}

function forget(state: State, mask: number): void {
  for (let r = 0; r < 10; r++) if (mask & (1 << r)) state.set(r, 0, TOP, false);
}

/** All ones from the highest bit of `n` on down. */
function ones(n: number): number {
  return n === 0 ? 0 : 2 ** (32 - Math.clz32(n)) - 1;
}

function alu(state: State, slots: Slots, i: number): void {
  const op = slots.op[i];
  const dst = slots.dst[i];
  const wide = (op & 7) === BPF_ALU64;
  const code = op & 0xf0;
  const imm = slots.imm[i];
  const useSrc = (op & BPF_X) !== 0 && code !== BPF_END;
  const src = slots.src[i];
  const [aLo, aHi] = [state.lo[dst], state.hi[dst]];
  const aZext = !wide || state.zext[dst] === 1;
  const bLo = useSrc ? state.lo[src] : imm >>> 0;
  const bHi = useSrc ? state.hi[src] : imm >>> 0;
  const bZext = !wide || (useSrc ? state.zext[src] === 1 : imm >= 0);
  const zext = aZext && bZext;
  const unknown = (): void => state.set(dst, 0, TOP, !wide);
  switch (code) {
    case BPF_MOV:
      if (slots.off[i] > 1) unknown();
      else state.set(dst, bLo, bHi, bZext);
      return;
    case BPF_ADD:
      // A negative constant takes away; the sum of two intervals must not wrap.
      if (!useSrc && imm < 0) difference(state, dst, -imm, -imm, wide, aZext);
      else if (aHi + bHi > TOP) unknown();
      else state.set(dst, aLo + bLo, aHi + bHi, zext);
      return;
    case BPF_SUB:
      if (!useSrc && imm < 0) {
        if (aHi - imm > TOP) unknown();
        else state.set(dst, aLo - imm, aHi - imm, aZext);
      } else difference(state, dst, bLo, bHi, wide, zext);
      return;
    case BPF_MUL:
      if (aHi * bHi > TOP) unknown();
      else state.set(dst, aLo * bLo, aHi * bHi, zext);
      return;
    case BPF_AND:
      state.set(dst, 0, Math.min(aHi, bHi), aZext || bZext);
      return;
    case BPF_OR:
      state.set(dst, Math.max(aLo, bLo), Math.max(ones(aHi), ones(bHi)), zext);
      return;
    case BPF_XOR:
      state.set(dst, 0, Math.max(ones(aHi), ones(bHi)), zext);
      return;
    case BPF_LSH: {
      const k = imm & (wide ? 63 : 31);
      if (useSrc || aHi * 2 ** k > TOP) unknown();
      else state.set(dst, aLo * 2 ** k, aHi * 2 ** k, aZext);
      return;
    }
    case BPF_RSH: {
      const k = imm & (wide ? 63 : 31);
      if (useSrc) state.set(dst, 0, aZext ? aHi : TOP, aZext);
      else if (aZext) state.set(dst, Math.floor(aLo / 2 ** k), Math.floor(aHi / 2 ** k), true);
      else if (k >= 32) state.set(dst, 0, 2 ** (64 - k) - 1, true);
      else unknown();
      return;
    }
    case BPF_DIV:
      // Division by zero gives zero.
      if (zext && slots.off[i] === 0) state.set(dst, 0, aHi, true);
      else unknown();
      return;
    case BPF_MOD:
      if (!zext || slots.off[i] !== 0) unknown();
      else state.set(dst, 0, bLo > 0 ? Math.min(aHi, bHi - 1) : aHi, true);
      return;
    case BPF_END:
      if (imm === 16) state.set(dst, 0, 0xffff, true);
      else state.set(dst, 0, TOP, imm === 32);
      return;
    default:
      unknown();
  }
}

function difference(state: State, dst: number, lo: number, hi: number, wide: boolean, zext: boolean): void {
  if (state.lo[dst] < hi) state.set(dst, 0, TOP, !wide);
  else state.set(dst, state.lo[dst] - hi, state.hi[dst] - lo, zext);
}
