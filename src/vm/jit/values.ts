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
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_LSH,
  BPF_MEM,
  BPF_MOD,
  BPF_MOV,
  BPF_OR,
  BPF_PSEUDO_FUNC,
  BPF_RSH,
  BPF_STX,
  BPF_SUB,
  BPF_W,
  BPF_X,
  BPF_XOR,
} from "../../uapi/index.ts";
import { POINTER_HIGH } from "../layout.ts";
import type { Demand } from "./demand.ts";
import { type BpfFunction, CALL, CALLX, LD_IMM64 } from "./program.ts";

/** Not reached yet. */
export const VALUE_NONE = 0;
/** A known constant: lo, hi. */
export const VALUE_CONST = 1;
/** r10 + lo. */
export const VALUE_FRAME = 2;
/** The high 32 bits are zero. */
export const VALUE_ZEXT = 3;
export const VALUE_ANY = 4;
/** Derived from r10 in a way that this analysis does not follow. */
export const VALUE_FRAME_ANY = 5;

/**
 * Where a pointer seems to come from. For the bounds-checked mode's fast paths only: a wrong guess costs time, never
 * safety; but ORIGIN_LOOKUP is exact. The tag stands in the high byte, an index below.
 */
export const ORIGIN_NONE = 0;
/** Into the only value of an array: index of the map. */
export const ORIGIN_REGION: number = 1 << 24;
/** Made by the instruction at that slot (a load or a call), or, above the last slot, by parameter r1..r5. */
export const ORIGIN_SOURCE: number = 2 << 24;
/** Into the function's own frame, at an offset that is not known. */
export const ORIGIN_FRAME: number = 4 << 24;
/** What a lookup in an array returned, or null, plus `delta`: index of the map. */
export const ORIGIN_LOOKUP: number = 3 << 24;
const ORIGIN_TAG: number = 0xff << 24;

export function originTag(origin: number): number {
  return origin & ORIGIN_TAG;
}
export function originIndex(origin: number): number {
  return origin & ~ORIGIN_TAG;
}

/** What the analysis asks about the program. */
export interface ValueContext {
  /** Value of the BPF_PSEUDO_FUNC at that slot. */
  tableIndexAt(insn: number): number;
  /** Index of the map with a single value whose bytes hold that offset; -1: none. */
  regionAt(address: number): number;
  /** Index of the array that the call at `insn` looks up in, given the offset of the map in r1; -1: it does not. */
  arrayLookedUp(insn: number, map: number): number;
  /** Is the load at that slot one that needs no check (FACT_PROBE_READ)? */
  probes(insn: number): boolean;
  /** Number of slots: parameters' sources come behind them. */
  readonly slotCount: number;
}

const REGS = 11;

/** What is known of r0..r10 at one point. */
export class Values {
  readonly kind: Uint8Array = new Uint8Array(REGS).fill(VALUE_ANY);
  readonly lo: Int32Array = new Int32Array(REGS);
  readonly hi: Int32Array = new Int32Array(REGS);
  readonly origin: Int32Array = new Int32Array(REGS);
  /** ORIGIN_LOOKUP: distance from what the lookup returned. */
  readonly delta: Int32Array = new Int32Array(REGS);
  /** Bit r: the low half of register r is not zero. */
  nonzero = 0;

  constructor() {
    this.set(10, VALUE_FRAME, 0, 0);
  }

  set(reg: number, kind: number, lo: number, hi: number): void {
    this.kind[reg] = kind;
    this.lo[reg] = lo;
    this.hi[reg] = hi;
    this.origin[reg] = ORIGIN_NONE;
    this.nonzero &= ~(1 << reg);
  }

  isNonzero(reg: number): boolean {
    return (this.nonzero & (1 << reg)) !== 0 || (this.kind[reg] === VALUE_CONST && this.lo[reg] !== 0);
  }

  /** Takes all that `from` knows of one register. */
  copy(from: Values, reg: number): void {
    this.kind[reg] = from.kind[reg];
    this.lo[reg] = from.lo[reg];
    this.hi[reg] = from.hi[reg];
    this.origin[reg] = from.origin[reg];
    this.delta[reg] = from.delta[reg];
    this.nonzero = (this.nonzero & ~(1 << reg)) | (from.nonzero & (1 << reg));
  }

  setOrigin(reg: number, origin: number, delta: number): void {
    this.origin[reg] = origin;
    this.delta[reg] = delta;
  }

  isConst(reg: number): boolean {
    return this.kind[reg] === VALUE_CONST;
  }

  /** Are the high 32 bits known to be zero? */
  isZext(reg: number): boolean {
    const kind = this.kind[reg];
    return kind === VALUE_ZEXT || (kind === VALUE_CONST && this.hi[reg] === 0);
  }

  /** Need the register have no local, since its value can be made from nothing? */
  isFree(reg: number): boolean {
    const kind = this.kind[reg];
    return kind === VALUE_CONST || kind === VALUE_FRAME;
  }
}

/** Values at the start of every block. */
export class BlockValues {
  readonly kind: Uint8Array;
  readonly lo: Int32Array;
  readonly hi: Int32Array;
  readonly origin: Int32Array;
  readonly delta: Int32Array;
  readonly nonzero: Uint16Array;

  constructor(blocks: number) {
    this.kind = new Uint8Array(blocks * REGS);
    this.lo = new Int32Array(blocks * REGS);
    this.hi = new Int32Array(blocks * REGS);
    this.origin = new Int32Array(blocks * REGS);
    this.delta = new Int32Array(blocks * REGS);
    this.nonzero = new Uint16Array(blocks).fill(0xffff);
  }

  read(block: number, into: Values): void {
    into.nonzero = this.nonzero[block];
    for (let r = 0, at = block * REGS; r < REGS; r++, at++) {
      into.kind[r] = this.kind[at];
      into.lo[r] = this.lo[at];
      into.hi[r] = this.hi[at];
      into.origin[r] = this.origin[at];
      into.delta[r] = this.delta[at];
    }
  }

  isFree(block: number, reg: number): boolean {
    const kind = this.kind[block * REGS + reg];
    return kind === VALUE_CONST || kind === VALUE_FRAME;
  }

  isZext(block: number, reg: number): boolean {
    return this.kind[block * REGS + reg] === VALUE_ZEXT;
  }

  /** Merges what arrives over an edge; registers that nobody reads are of no interest. */
  join(block: number, values: Values, live: number): boolean {
    const { kind, lo, hi, origin, delta } = this;
    let nonzero = values.nonzero & live;
    for (let r = 0; r < 10; r++) if (live & (1 << r) && values.isNonzero(r)) nonzero |= 1 << r;
    const stays = this.nonzero[block] & nonzero;
    let changed = stays !== this.nonzero[block];
    this.nonzero[block] = stays;
    for (let r = 0; r < REGS; r++) {
      const at = block * REGS + r;
      const old = kind[at];
      if (r !== 10 && !(live & (1 << r))) {
        kind[at] = VALUE_ANY;
        continue;
      }
      let next = values.kind[r];
      if (old === VALUE_NONE) {
        origin[at] = values.origin[r];
        delta[at] = values.delta[r];
      } else {
        const same = old === next && lo[at] === values.lo[r] && hi[at] === values.hi[r];
        if (!same) next = merge(old, hi[at], next, values.hi[r]);
        if (origin[at] !== ORIGIN_NONE) {
          const lookup = originTag(origin[at]) === ORIGIN_LOOKUP;
          if (origin[at] !== values.origin[r] || (lookup && delta[at] !== values.delta[r])) {
            origin[at] = ORIGIN_NONE;
            changed = true;
          }
        }
      }
      if (next === old) continue;
      changed = true;
      const keep = next === VALUE_CONST || next === VALUE_FRAME;
      kind[at] = next;
      lo[at] = keep ? values.lo[r] : 0;
      hi[at] = keep ? values.hi[r] : 0;
    }
    return changed;
  }
}

function merge(a: number, aHigh: number, b: number, bHigh: number): number {
  const frame = (kind: number): boolean => kind === VALUE_FRAME || kind === VALUE_FRAME_ANY;
  if (frame(a) || frame(b)) return VALUE_FRAME_ANY;
  const zext = (kind: number, high: number): boolean =>
    kind === VALUE_ZEXT || (kind === VALUE_CONST && high === 0);
  return zext(a, aHigh) && zext(b, bHigh) ? VALUE_ZEXT : VALUE_ANY;
}

/** Forward analysis of one function to a fixed point. */
export function analyzeValues(
  slots: Slots,
  fn: BpfFunction,
  demand: Demand,
  context: ValueContext,
): BlockValues {
  const count = fn.first.length;
  const result = new BlockValues(count);
  const state = new Values();
  for (let r = 1; r <= 5; r++) state.setOrigin(r, ORIGIN_SOURCE | (context.slotCount + r), 0);
  result.join(0, state, 0b111110);
  const rank = new Int32Array(count);
  for (let i = 0; i < fn.order.length; i++) rank[fn.order[i]] = i;
  // Sweeps in reverse postorder over the blocks that changed.
  const dirty = new Uint8Array(count);
  dirty[0] = 1;
  for (let again = true; again; ) {
    again = false;
    for (const b of fn.order) {
      if (!dirty[b]) continue;
      dirty[b] = 0;
      result.read(b, state);
      for (let i = fn.first[b]; i < fn.last[b]; i++) advance(state, slots, i, context);
      for (const to of fn.succ[b])
        if (result.join(to, state, demand.live[to])) {
          dirty[to] = 1;
          if (rank[to] <= rank[b]) again = true;
        }
    }
  }
  return result;
}

/** The effect of the instruction at slot `i` on what is known. */
export function advance(values: Values, slots: Slots, i: number, context: ValueContext): void {
  const op = slots.op[i];
  const dst = slots.dst[i];
  const src = slots.src[i];
  switch (op & 7) {
    case BPF_ALU64:
    case BPF_ALU: {
      const nonzero = leavesNonzero(values, op, dst, src, slots.off[i], slots.imm[i]);
      if ((op & 7) === BPF_ALU64) alu64(values, op, dst, src, slots.off[i], slots.imm[i], context);
      else alu32(values, op, dst, src, slots.off[i], slots.imm[i]);
      if (nonzero) values.nonzero |= 1 << dst;
      return;
    }
    case BPF_LD:
      if (op === LD_IMM64) {
        if (src === BPF_PSEUDO_FUNC) values.set(dst, VALUE_CONST, context.tableIndexAt(i), 0);
        else values.set(dst, VALUE_CONST, slots.imm[i], slots.imm[i + 1]);
      } else if (op !== 0) {
        for (let r = 1; r <= 5; r++) values.set(r, VALUE_ANY, 0, 0);
        values.set(0, VALUE_ZEXT, 0, 0);
      }
      return;
    case BPF_LDX:
      load(values, slots, i, context);
      return;
    case BPF_STX:
      if ((op & 0xe0) === BPF_ATOMIC) {
        const loaded = (op & 0x18) !== BPF_DW ? VALUE_ZEXT : VALUE_ANY;
        const imm = slots.imm[i];
        if (imm === BPF_LOAD_ACQ) values.set(dst, loaded, 0, 0);
        else if (imm === BPF_CMPXCHG) values.set(0, loaded, 0, 0);
        else if (imm & BPF_FETCH) values.set(src, loaded, 0, 0);
      }
      return;
    default:
      if (op === CALL || op === CALLX) {
        const array = values.isConst(1) ? context.arrayLookedUp(i, values.lo[1]) : -1;
        for (let r = 0; r <= 5; r++) values.set(r, VALUE_ANY, 0, 0);
        values.setOrigin(0, array >= 0 ? ORIGIN_LOOKUP | array : ORIGIN_SOURCE | i, 0);
      }
  }
}

/** Pointers are loaded as DW, or as W from the context (`data`, `data_end`). */
function load(values: Values, slots: Slots, i: number, context: ValueContext): void {
  const op = slots.op[i];
  const size = op & 0x18;
  const dst = slots.dst[i];
  const plain = (op & 0xe0) === BPF_MEM;
  const context1 = ORIGIN_SOURCE | (context.slotCount + 1);
  const pointer = plain && (size === BPF_DW || (size === BPF_W && values.origin[slots.src[i]] === context1));
  values.set(dst, plain && size !== BPF_DW ? VALUE_ZEXT : VALUE_ANY, 0, 0);
  if (pointer) values.setOrigin(dst, ORIGIN_SOURCE | i, 0);
}

function isFrame(kind: number): boolean {
  return kind === VALUE_FRAME || kind === VALUE_FRAME_ANY;
}

/** Is the low half of what a MOV or OR leaves in dst known not to be zero? */
function leavesNonzero(
  values: Values,
  op: number,
  dst: number,
  src: number,
  off: number,
  imm: number,
): boolean {
  const code = op & 0xf0;
  if (code !== BPF_OR && !(code === BPF_MOV && off < 8)) return false;
  const source = op & BPF_X ? values.isNonzero(src) : imm !== 0;
  return source || (code === BPF_OR && values.isNonzero(dst));
}

function alu32(values: Values, op: number, dst: number, src: number, off: number, imm: number): void {
  const { kind, lo } = values;
  const code = op & 0xf0;
  const useSrc = (op & BPF_X) !== 0 && code !== BPF_END;
  let result = VALUE_ZEXT;
  let low = 0;
  const known = !useSrc || kind[src] === VALUE_CONST;
  const b = useSrc ? lo[src] : imm;
  if (code === BPF_MOV) {
    if (known && off === 0) {
      result = VALUE_CONST;
      low = b;
    } else if (useSrc && isFrame(kind[src])) result = VALUE_FRAME_ANY;
  } else if (isFrame(kind[dst]) || (useSrc && isFrame(kind[src]))) result = VALUE_FRAME_ANY;
  else if (code === BPF_END) {
    if (imm === 64) result = VALUE_ANY;
  } else if (known && kind[dst] === VALUE_CONST) {
    const a = lo[dst];
    result = VALUE_CONST;
    if (code === BPF_ADD) low = (a + b) | 0;
    else if (code === BPF_SUB) low = (a - b) | 0;
    else if (code === BPF_AND) low = a & b;
    else if (code === BPF_OR) low = a | b;
    else if (code === BPF_XOR) low = a ^ b;
    else if (code === BPF_LSH) low = a << (b & 31);
    else if (code === BPF_RSH) low = (a >>> (b & 31)) | 0;
    else if (code === BPF_ARSH) low = a >> (b & 31);
    else result = VALUE_ZEXT;
  }
  values.set(dst, result, low, 0);
}

function alu64(
  values: Values,
  op: number,
  dst: number,
  src: number,
  off: number,
  imm: number,
  context: ValueContext,
): void {
  const { kind, lo, hi } = values;
  const code = op & 0xf0;
  const useSrc = (op & BPF_X) !== 0 && code !== BPF_END;
  const bKind = useSrc ? kind[src] : VALUE_CONST;
  const bLow = useSrc ? lo[src] : imm;
  const bHigh = useSrc ? hi[src] : imm >> 31;
  if (code === BPF_MOV) {
    // off 1 is addr_space_cast: a plain move; 8, 16, 32 extend the sign.
    if (off === 0 || off === 1) {
      const origin = useSrc ? values.origin[src] : ORIGIN_NONE;
      values.set(dst, bKind, bLow, bHigh);
      values.setOrigin(dst, origin, useSrc ? values.delta[src] : 0);
    } else values.set(dst, isFrame(bKind) ? VALUE_FRAME_ANY : VALUE_ANY, 0, 0);
    return;
  }
  const aKind = kind[dst];
  const aLow = lo[dst];
  const aHigh = hi[dst];
  const bConst = bKind === VALUE_CONST;
  if (isFrame(aKind) || isFrame(bKind)) {
    if (aKind === VALUE_FRAME && bConst && bHigh === bLow >> 31 && (code === BPF_ADD || code === BPF_SUB)) {
      const off = code === BPF_ADD ? aLow + bLow : aLow - bLow;
      if (off === (off | 0)) {
        values.set(dst, VALUE_FRAME, off, 0);
        return;
      }
    }
    if (bKind === VALUE_FRAME && aKind === VALUE_CONST && code === BPF_ADD && aHigh === aLow >> 31) {
      const off = aLow + bLow;
      if (off === (off | 0)) {
        values.set(dst, VALUE_FRAME, off, 0);
        return;
      }
    }
    values.set(dst, VALUE_FRAME_ANY, 0, 0);
    if (code === BPF_ADD || code === BPF_SUB) values.setOrigin(dst, ORIGIN_FRAME, 0);
    return;
  }
  const aZext = aKind === VALUE_ZEXT || (aKind === VALUE_CONST && aHigh === 0);
  const bZext = bKind === VALUE_ZEXT || (bConst && bHigh === 0);
  const both = aKind === VALUE_CONST && bConst;
  let zext = false;
  switch (code) {
    case BPF_ADD:
    case BPF_SUB:
      if (both) {
        const low = code === BPF_ADD ? (aLow >>> 0) + (bLow >>> 0) : (aLow >>> 0) - (bLow >>> 0);
        const carry = low > 0xffffffff ? 1 : low < 0 ? -1 : 0;
        const high = code === BPF_ADD ? aHigh + bHigh : aHigh - bHigh;
        values.set(dst, VALUE_CONST, low | 0, (high + carry) | 0);
        return;
      }
      add(values, dst, useSrc ? src : -1, code === BPF_ADD ? imm : -imm, code === BPF_ADD, context);
      return;
    case BPF_AND:
      if (both) {
        values.set(dst, VALUE_CONST, aLow & bLow, aHigh & bHigh);
        return;
      }
      zext = aZext || bZext;
      break;
    case BPF_OR:
    case BPF_XOR:
      if (both) {
        const or = code === BPF_OR;
        values.set(dst, VALUE_CONST, or ? aLow | bLow : aLow ^ bLow, or ? aHigh | bHigh : aHigh ^ bHigh);
        return;
      }
      zext = aZext && bZext;
      break;
    case BPF_LSH:
      if (both) {
        const k = bLow & 63;
        if (k === 0) values.set(dst, VALUE_CONST, aLow, aHigh);
        else if (k >= 32) values.set(dst, VALUE_CONST, 0, aLow << (k - 32));
        else values.set(dst, VALUE_CONST, aLow << k, (aHigh << k) | (aLow >>> (32 - k)));
        return;
      }
      break;
    case BPF_RSH:
      if (both) {
        const k = bLow & 63;
        if (k === 0) values.set(dst, VALUE_CONST, aLow, aHigh);
        else if (k >= 32) values.set(dst, VALUE_CONST, (aHigh >>> (k - 32)) | 0, 0);
        else values.set(dst, VALUE_CONST, (aLow >>> k) | (aHigh << (32 - k)), (aHigh >>> k) | 0);
        return;
      }
      zext = aZext || (bConst && (bLow & 63) >= 32);
      break;
    case BPF_ARSH:
      zext = aZext;
      break;
    case BPF_DIV:
    case BPF_MOD:
      // Unsigned only (off 0): the quotient and the remainder never exceed the dividend.
      zext = aZext && off === 0;
      break;
    case BPF_END:
      zext = imm !== 64;
      break;
  }
  values.set(dst, zext ? VALUE_ZEXT : VALUE_ANY, 0, 0);
}

/** dst += src (or, src < 0, += imm; `plus`: not a subtraction of src), where the sum is no constant. */
function add(
  values: Values,
  dst: number,
  src: number,
  imm: number,
  plus: boolean,
  context: ValueContext,
): void {
  const { origin, delta } = values;
  let result = origin[dst];
  let distance = 0;
  if (src < 0 || (values.isConst(src) && originTag(result) === ORIGIN_LOOKUP)) {
    distance = delta[dst] + (src < 0 ? imm : plus ? values.lo[src] : -values.lo[src]);
    if (Math.abs(distance) > 0x10000) result = ORIGIN_NONE;
  } else {
    const other = values.isConst(src) ? regionOf(values, src, context) : origin[src];
    if (values.isConst(dst)) result = regionOf(values, dst, context);
    // An exact origin does not survive a sum with something unknown.
    if (originTag(result) === ORIGIN_LOOKUP) result = ORIGIN_NONE;
    if (plus && originTag(other) !== ORIGIN_LOOKUP)
      if (originTag(other) === ORIGIN_REGION || result === ORIGIN_NONE) result = other;
  }
  values.set(dst, VALUE_ANY, 0, 0);
  values.setOrigin(dst, result, distance);
}

function regionOf(values: Values, reg: number, context: ValueContext): number {
  if (values.hi[reg] !== (POINTER_HIGH | 0)) return ORIGIN_NONE;
  const map = context.regionAt(values.lo[reg]);
  return map < 0 ? ORIGIN_NONE : ORIGIN_REGION | map;
}
