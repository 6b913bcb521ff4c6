/**
 * Tristate numbers: `value` holds the bits known to be one, `mask` those not known (kernel/bpf/tnum.c; "Sound, Precise,
 * and Fast Abstract Interpretation with Tristate Numbers", Vishwanathan et al., CGO 2022). Every operation writes its
 * result into `out`, which may be one of its operands; a RegState is a Tnum.
 */
import { add64, fls64, hi, mul64, pair, sar64, shl64, shr64, sub64, ult64 } from "./int64.ts";

export interface Tnum {
  valueLo: number;
  valueHi: number;
  maskLo: number;
  maskHi: number;
}

export class TnumValue implements Tnum {
  valueLo = 0;
  valueHi = 0;
  maskLo = 0;
  maskHi = 0;
}

export function tnumSet(out: Tnum, valueLo: number, valueHi: number, maskLo: number, maskHi: number): void {
  out.valueLo = valueLo;
  out.valueHi = valueHi;
  out.maskLo = maskLo;
  out.maskHi = maskHi;
}

export function tnumCopy(out: Tnum, from: Tnum): void {
  tnumSet(out, from.valueLo, from.valueHi, from.maskLo, from.maskHi);
}

export function tnumConst(out: Tnum, lo: number, high: number): void {
  tnumSet(out, lo, high, 0, 0);
}

export function tnumUnknown(out: Tnum): void {
  tnumSet(out, 0, 0, -1, -1);
}

/** The smallest tnum with all of min..max (unsigned). */
export function tnumRange(out: Tnum, minLo: number, minHi: number, maxLo: number, maxHi: number): void {
  const high = minHi ^ maxHi;
  if (high !== 0) {
    const bits = 32 - Math.clz32(high);
    const mask = bits === 32 ? -1 : (1 << bits) - 1;
    tnumSet(out, 0, minHi & ~mask, -1, mask);
  } else {
    const bits = 32 - Math.clz32(minLo ^ maxLo);
    const mask = bits === 32 ? -1 : (1 << bits) - 1;
    tnumSet(out, minLo & ~mask, minHi, mask, 0);
  }
}

export function tnumLsh(out: Tnum, a: Tnum, shift: number): void {
  const { maskLo, maskHi } = a;
  out.valueLo = shl64(a.valueLo, a.valueHi, shift);
  out.valueHi = hi;
  out.maskLo = shl64(maskLo, maskHi, shift);
  out.maskHi = hi;
}

export function tnumRsh(out: Tnum, a: Tnum, shift: number): void {
  const { maskLo, maskHi } = a;
  out.valueLo = shr64(a.valueLo, a.valueHi, shift);
  out.valueHi = hi;
  out.maskLo = shr64(maskLo, maskHi, shift);
  out.maskHi = hi;
}

/** `bits`: 32 or 64; with 32 only the low half counts, and the high half of the result is zero. */
export function tnumArsh(out: Tnum, a: Tnum, shift: number, bits: number): void {
  if (bits === 32) {
    tnumSet(out, a.valueLo >> shift, 0, a.maskLo >> shift, 0);
    return;
  }
  const { maskLo, maskHi } = a;
  out.valueLo = sar64(a.valueLo, a.valueHi, shift);
  out.valueHi = hi;
  out.maskLo = sar64(maskLo, maskHi, shift);
  out.maskHi = hi;
}

export function tnumAdd(out: Tnum, a: Tnum, b: Tnum): void {
  const svLo = add64(a.valueLo, a.valueHi, b.valueLo, b.valueHi);
  const svHi = hi;
  const smLo = add64(a.maskLo, a.maskHi, b.maskLo, b.maskHi);
  const sumLo = add64(smLo, hi, svLo, svHi);
  const muLo = (sumLo ^ svLo) | a.maskLo | b.maskLo;
  const muHi = (hi ^ svHi) | a.maskHi | b.maskHi;
  tnumSet(out, svLo & ~muLo, svHi & ~muHi, muLo, muHi);
}

export function tnumSub(out: Tnum, a: Tnum, b: Tnum): void {
  const dvLo = sub64(a.valueLo, a.valueHi, b.valueLo, b.valueHi);
  const dvHi = hi;
  const alphaLo = add64(dvLo, dvHi, a.maskLo, a.maskHi);
  const alphaHi = hi;
  const betaLo = sub64(dvLo, dvHi, b.maskLo, b.maskHi);
  const muLo = (alphaLo ^ betaLo) | a.maskLo | b.maskLo;
  const muHi = (alphaHi ^ hi) | a.maskHi | b.maskHi;
  tnumSet(out, dvLo & ~muLo, dvHi & ~muHi, muLo, muHi);
}

const zero: Tnum = new TnumValue();

export function tnumNeg(out: Tnum, a: Tnum): void {
  tnumSub(out, zero, a);
}

export function tnumAnd(out: Tnum, a: Tnum, b: Tnum): void {
  const vLo = a.valueLo & b.valueLo;
  const vHi = a.valueHi & b.valueHi;
  const mLo = (a.valueLo | a.maskLo) & (b.valueLo | b.maskLo) & ~vLo;
  const mHi = (a.valueHi | a.maskHi) & (b.valueHi | b.maskHi) & ~vHi;
  tnumSet(out, vLo, vHi, mLo, mHi);
}

export function tnumOr(out: Tnum, a: Tnum, b: Tnum): void {
  const vLo = a.valueLo | b.valueLo;
  const vHi = a.valueHi | b.valueHi;
  tnumSet(out, vLo, vHi, (a.maskLo | b.maskLo) & ~vLo, (a.maskHi | b.maskHi) & ~vHi);
}

export function tnumXor(out: Tnum, a: Tnum, b: Tnum): void {
  const muLo = a.maskLo | b.maskLo;
  const muHi = a.maskHi | b.maskHi;
  tnumSet(out, (a.valueLo ^ b.valueLo) & ~muLo, (a.valueHi ^ b.valueHi) & ~muHi, muLo, muHi);
}

const acc = new TnumValue();
const term = new TnumValue();
const other = new TnumValue();

/**
 * Long multiplication: per bit of `a`, what that bit contributes. Kernels before 6.18 keep the value and the mask apart
 * and add them at the end (`tnumMul`).
 */
export function tnumMul(out: Tnum, a: Tnum, b: Tnum): void {
  let { valueLo: avLo, valueHi: avHi, maskLo: amLo, maskHi: amHi } = a;
  let { valueLo: bvLo, valueHi: bvHi, maskLo: bmLo, maskHi: bmHi } = b;
  const productLo = mul64(avLo, avHi, bvLo, bvHi);
  const productHi = hi;
  tnumSet(acc, 0, 0, 0, 0);
  while ((avLo | avHi | amLo | amHi) !== 0) {
    if (avLo & 1) {
      tnumSet(term, 0, 0, bmLo, bmHi);
      tnumAdd(acc, acc, term);
    } else if (amLo & 1) {
      tnumSet(term, 0, 0, bvLo | bmLo, bvHi | bmHi);
      tnumAdd(acc, acc, term);
    }
    avLo = (avLo >>> 1) | (avHi << 31);
    avHi >>>= 1;
    amLo = (amLo >>> 1) | (amHi << 31);
    amHi >>>= 1;
    bvHi = (bvHi << 1) | (bvLo >>> 31);
    bvLo <<= 1;
    bmHi = (bmHi << 1) | (bmLo >>> 31);
    bmLo <<= 1;
  }
  tnumSet(term, productLo, productHi, 0, 0);
  tnumAdd(out, term, acc);
}

/** What either operand can be: the union of two tnums. */
export function tnumUnion(out: Tnum, a: Tnum, b: Tnum): void {
  const vLo = a.valueLo & b.valueLo;
  const vHi = a.valueHi & b.valueHi;
  const mLo = (a.valueLo ^ b.valueLo) | a.maskLo | b.maskLo;
  const mHi = (a.valueHi ^ b.valueHi) | a.maskHi | b.maskHi;
  tnumSet(out, vLo & ~mLo, vHi & ~mHi, mLo, mHi);
}

/** tnum_mul() of 6.18: an unknown bit of `a` gives the union of both outcomes, so that runs of zeros survive. */
export function tnumMulPrecise(out: Tnum, a: Tnum, b: Tnum): void {
  let { valueLo: avLo, valueHi: avHi, maskLo: amLo, maskHi: amHi } = a;
  tnumCopy(other, b);
  tnumSet(acc, 0, 0, 0, 0);
  while ((avLo | avHi | amLo | amHi) !== 0) {
    if (avLo & 1) {
      tnumAdd(acc, acc, other);
    } else if (amLo & 1) {
      tnumAdd(term, acc, other);
      tnumUnion(acc, acc, term);
    }
    avLo = (avLo >>> 1) | (avHi << 31);
    avHi >>>= 1;
    amLo = (amLo >>> 1) | (amHi << 31);
    amHi >>>= 1;
    tnumLsh(other, other, 1);
  }
  tnumCopy(out, acc);
}

/** Both at once. Where they contradict each other the result has a one. */
export function tnumIntersect(out: Tnum, a: Tnum, b: Tnum): void {
  const muLo = a.maskLo & b.maskLo;
  const muHi = a.maskHi & b.maskHi;
  tnumSet(out, (a.valueLo | b.valueLo) & ~muLo, (a.valueHi | b.valueHi) & ~muHi, muLo, muHi);
}

/**
 * The smallest number of the tnum above `lo`, `high` (low half returned, high half in int64's `hi`); its largest if there
 * is none, its smallest if all are above. tnum_step().
 */
export function tnumStep(t: Tnum, lo: number, high: number): number {
  const { valueLo, valueHi, maskLo, maskHi } = t;
  if (!ult64(lo, high, valueLo | maskLo, valueHi | maskHi)) return pair(valueLo | maskLo, valueHi | maskHi);
  if (ult64(lo, high, valueLo, valueHi)) return pair(valueLo, valueHi);
  // The numbers are `value` plus a choice of mask bits: the next choice above the distance from `value`. Counting up
  // within the mask means to set all other bits first, so that carries pass; and all bits below one that is outside it.
  const dLo = sub64(lo, high, valueLo, valueHi);
  const dHi = hi;
  const outside = fls64(dLo & ~maskLo, dHi & ~maskHi);
  const belowLo = outside >= 32 ? -1 : (1 << outside) - 1;
  const belowHi = outside <= 32 ? 0 : outside === 64 ? -1 : (1 << (outside - 32)) - 1;
  const incLo = add64(dLo | belowLo | ~maskLo, dHi | belowHi | ~maskHi, 1, 0);
  return pair(valueLo | (incLo & maskLo), valueHi | (hi & maskHi));
}

/** Is there a number that both can be? */
export function tnumOverlap(a: Tnum, b: Tnum): boolean {
  return (
    (((a.valueLo ^ b.valueLo) & ~(a.maskLo | b.maskLo)) |
      ((a.valueHi ^ b.valueHi) & ~(a.maskHi | b.maskHi))) ===
    0
  );
}

export function tnumOverlap32(a: Tnum, b: Tnum): boolean {
  return ((a.valueLo ^ b.valueLo) & ~(a.maskLo | b.maskLo)) === 0;
}

/** Cuts to `size` bytes (1..8). */
export function tnumCast(out: Tnum, a: Tnum, size: number): void {
  if (size >= 8) {
    tnumCopy(out, a);
  } else if (size > 4) {
    const mask = (1 << ((size - 4) * 8)) - 1;
    tnumSet(out, a.valueLo, a.valueHi & mask, a.maskLo, a.maskHi & mask);
  } else {
    const mask = size === 4 ? -1 : (1 << (size * 8)) - 1;
    tnumSet(out, a.valueLo & mask, 0, a.maskLo & mask, 0);
  }
}

function swap32(v: number): number {
  return (v << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24);
}

/** Swaps the low `bits` (16, 32, 64) by bytes; what is above is cut off. */
export function tnumByteSwap(out: Tnum, a: Tnum, bits: number): void {
  if (bits === 64) tnumSet(out, swap32(a.valueHi), swap32(a.valueLo), swap32(a.maskHi), swap32(a.maskLo));
  else if (bits === 32) tnumSet(out, swap32(a.valueLo), 0, swap32(a.maskLo), 0);
  else tnumSet(out, swap32(a.valueLo) >>> 16, 0, swap32(a.maskLo) >>> 16, 0);
}

/** `size`: a power of two below 2^31, or 0. */
export function tnumIsAligned(a: Tnum, size: number): boolean {
  return size === 0 || ((a.valueLo | a.maskLo) & (size - 1)) === 0;
}

/** Is every number that `b` can be one that `a` can be? */
export function tnumIn(a: Tnum, b: Tnum): boolean {
  if (((b.maskLo & ~a.maskLo) | (b.maskHi & ~a.maskHi)) !== 0) return false;
  return a.valueLo === (b.valueLo & ~a.maskLo) && a.valueHi === (b.valueHi & ~a.maskHi);
}

export function tnumIsConst(a: Tnum): boolean {
  return (a.maskLo | a.maskHi) === 0;
}

export function tnumIsUnknown(a: Tnum): boolean {
  return (a.maskLo & a.maskHi) === -1;
}

export function tnumEqualsConst(a: Tnum, lo: number, high: number): boolean {
  return (a.maskLo | a.maskHi) === 0 && a.valueLo === lo && a.valueHi === high;
}

export function tnumSubregIsConst(a: Tnum): boolean {
  return a.maskLo === 0;
}
