/**
 * What arithmetic does to the ranges of a number: scalar_min_max_*() and scalar32_min_max_*(). `dst` is owned by the
 * caller and changed in place; `src` is only read and may be `dst` itself where the instruction names one register twice
 * (callers pass a copy then). Bounds need boundsSync() afterwards.
 */

import type { RegState } from "../state/reg.ts";
import { markKnown, markKnown32 } from "../state/reg-ops.ts";
import {
  bounds32FromTnum,
  boundsFromTnum,
  lowerU32Max,
  lowerUmax,
  raiseU32Min,
  raiseUmin,
  S32_MAX,
  S32_MIN,
  setS64,
  setU64,
  unbound32,
  unbound64,
} from "./bounds.ts";
import {
  add64,
  hi,
  mul64,
  mulOverflowsS64,
  mulOverflowsU64,
  sar64,
  shl64,
  shr64,
  sle64,
  slt64,
  sub64,
  ult32,
  ult64,
} from "./int64.ts";
import { tnumArsh, tnumLsh, tnumRsh } from "./tnum.ts";

/**
 * Before 6.17 an addition or subtraction that may wrap leaves no unsigned range; from then on the range stays where both
 * ends wrap.
 */
export function scalarAdd32(dst: RegState, src: RegState, wrapsKeepRange: boolean): void {
  const smin = dst.s32Min + src.s32Min;
  const smax = dst.s32Max + src.s32Max;
  if (smin !== (smin | 0) || smax !== (smax | 0)) {
    dst.s32Min = S32_MIN;
    dst.s32Max = S32_MAX;
  } else {
    dst.s32Min = smin;
    dst.s32Max = smax;
  }
  const umin = (dst.u32Min >>> 0) + (src.u32Min >>> 0);
  const umax = (dst.u32Max >>> 0) + (src.u32Max >>> 0);
  const minWraps = umin > 0xffff_ffff;
  const maxWraps = umax > 0xffff_ffff;
  if (wrapsKeepRange ? !minWraps && maxWraps : minWraps || maxWraps) {
    dst.u32Min = 0;
    dst.u32Max = -1;
  } else {
    dst.u32Min = umin | 0;
    dst.u32Max = umax | 0;
  }
}

export function scalarAdd64(dst: RegState, src: RegState, wrapsKeepRange: boolean): void {
  const sminLo = add64(dst.sminLo, dst.sminHi, src.sminLo, src.sminHi);
  const sminHi = hi;
  const smaxLo = add64(dst.smaxLo, dst.smaxHi, src.smaxLo, src.smaxHi);
  const smaxHi = hi;
  if (
    ((dst.sminHi ^ sminHi) & (src.sminHi ^ sminHi)) < 0 ||
    ((dst.smaxHi ^ smaxHi) & (src.smaxHi ^ smaxHi)) < 0
  )
    setS64(dst, 0, S32_MIN, -1, S32_MAX);
  else setS64(dst, sminLo, sminHi, smaxLo, smaxHi);
  const uminLo = add64(dst.uminLo, dst.uminHi, src.uminLo, src.uminHi);
  const uminHi = hi;
  const umaxLo = add64(dst.umaxLo, dst.umaxHi, src.umaxLo, src.umaxHi);
  const umaxHi = hi;
  const minWraps = ult64(uminLo, uminHi, src.uminLo, src.uminHi);
  const maxWraps = ult64(umaxLo, umaxHi, src.umaxLo, src.umaxHi);
  if (wrapsKeepRange ? !minWraps && maxWraps : minWraps || maxWraps) setU64(dst, 0, 0, -1, -1);
  else setU64(dst, uminLo, uminHi, umaxLo, umaxHi);
}

export function scalarSub32(dst: RegState, src: RegState, wrapsKeepRange: boolean): void {
  const smin = dst.s32Min - src.s32Max;
  const smax = dst.s32Max - src.s32Min;
  if (smin !== (smin | 0) || smax !== (smax | 0)) {
    dst.s32Min = S32_MIN;
    dst.s32Max = S32_MAX;
  } else {
    dst.s32Min = smin;
    dst.s32Max = smax;
  }
  const minWraps = ult32(dst.u32Min, src.u32Max);
  if (wrapsKeepRange ? minWraps && !ult32(dst.u32Max, src.u32Min) : minWraps) {
    dst.u32Min = 0;
    dst.u32Max = -1;
  } else {
    dst.u32Min = (dst.u32Min - src.u32Max) | 0;
    dst.u32Max = (dst.u32Max - src.u32Min) | 0;
  }
}

export function scalarSub64(dst: RegState, src: RegState, wrapsKeepRange: boolean): void {
  const sminLo = sub64(dst.sminLo, dst.sminHi, src.smaxLo, src.smaxHi);
  const sminHi = hi;
  const smaxLo = sub64(dst.smaxLo, dst.smaxHi, src.sminLo, src.sminHi);
  const smaxHi = hi;
  if (
    ((dst.sminHi ^ src.smaxHi) & (dst.sminHi ^ sminHi)) < 0 ||
    ((dst.smaxHi ^ src.sminHi) & (dst.smaxHi ^ smaxHi)) < 0
  )
    setS64(dst, 0, S32_MIN, -1, S32_MAX);
  else setS64(dst, sminLo, sminHi, smaxLo, smaxHi);
  const minWraps = ult64(dst.uminLo, dst.uminHi, src.umaxLo, src.umaxHi);
  if (wrapsKeepRange ? minWraps && !ult64(dst.umaxLo, dst.umaxHi, src.uminLo, src.uminHi) : minWraps) {
    setU64(dst, 0, 0, -1, -1);
    return;
  }
  const uminLo = sub64(dst.uminLo, dst.uminHi, src.umaxLo, src.umaxHi);
  const uminHi = hi;
  const umaxLo = sub64(dst.umaxLo, dst.umaxHi, src.uminLo, src.uminHi);
  setU64(dst, uminLo, uminHi, umaxLo, hi);
}

/** Only for numbers that cannot be negative and fit 16 bits: kernels before 6.14. */
export function scalarMul32Positive(dst: RegState, src: RegState): void {
  if (src.s32Min < 0 || dst.s32Min < 0 || src.u32Max >>> 0 > 0xffff || dst.u32Max >>> 0 > 0xffff) {
    unbound32(dst);
    return;
  }
  dst.u32Min = Math.imul(dst.u32Min, src.u32Min);
  dst.u32Max = Math.imul(dst.u32Max, src.u32Max);
  if (dst.u32Max < 0) {
    dst.s32Min = S32_MIN;
    dst.s32Max = S32_MAX;
  } else {
    dst.s32Min = dst.u32Min;
    dst.s32Max = dst.u32Max;
  }
}

/** Only for numbers that cannot be negative and fit 32 bits: kernels before 6.14. */
export function scalarMul64Positive(dst: RegState, src: RegState): void {
  if (src.sminHi < 0 || dst.sminHi < 0 || src.umaxHi !== 0 || dst.umaxHi !== 0) {
    unbound64(dst);
    return;
  }
  const minLo = mul64(dst.uminLo, 0, src.uminLo, 0);
  const minHi = hi;
  const maxLo = mul64(dst.umaxLo, 0, src.umaxLo, 0);
  setU64(dst, minLo, minHi, maxLo, hi);
  if (dst.umaxHi < 0) setS64(dst, 0, S32_MIN, -1, S32_MAX);
  else setS64(dst, dst.uminLo, dst.uminHi, dst.umaxLo, dst.umaxHi);
}

export function scalarMul32(dst: RegState, src: RegState): void {
  // Products of 32 bits are not exact in a double above 2^53, but then they are too large either way.
  const umin = (dst.u32Min >>> 0) * (src.u32Min >>> 0);
  const umax = (dst.u32Max >>> 0) * (src.u32Max >>> 0);
  if (umin > 0xffff_ffff || umax > 0xffff_ffff) {
    dst.u32Min = 0;
    dst.u32Max = -1;
  } else {
    dst.u32Min = umin | 0;
    dst.u32Max = umax | 0;
  }
  const a = dst.s32Min * src.s32Min;
  const b = dst.s32Min * src.s32Max;
  const c = dst.s32Max * src.s32Min;
  const d = dst.s32Max * src.s32Max;
  const min = Math.min(a, b, c, d);
  const max = Math.max(a, b, c, d);
  if (min < S32_MIN || max > S32_MAX) {
    dst.s32Min = S32_MIN;
    dst.s32Max = S32_MAX;
  } else {
    dst.s32Min = min | 0;
    dst.s32Max = max | 0;
  }
}

const ends = new Int32Array(8);

/** The product of one end of each signed range, as pair `n` of `ends`; false: it needs more than 64 bits. */
function signedProduct(n: number, aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  if (mulOverflowsS64(aLo, aHi, bLo, bHi)) return false;
  ends[n * 2] = mul64(aLo, aHi, bLo, bHi);
  ends[n * 2 + 1] = hi;
  return true;
}

export function scalarMul64(dst: RegState, src: RegState): void {
  if (
    mulOverflowsU64(dst.umaxLo, dst.umaxHi, src.umaxLo, src.umaxHi) ||
    mulOverflowsU64(dst.uminLo, dst.uminHi, src.uminLo, src.uminHi)
  )
    setU64(dst, 0, 0, -1, -1);
  else {
    const minLo = mul64(dst.uminLo, dst.uminHi, src.uminLo, src.uminHi);
    const minHi = hi;
    const maxLo = mul64(dst.umaxLo, dst.umaxHi, src.umaxLo, src.umaxHi);
    setU64(dst, minLo, minHi, maxLo, hi);
  }
  if (
    !signedProduct(0, dst.sminLo, dst.sminHi, src.sminLo, src.sminHi) ||
    !signedProduct(1, dst.sminLo, dst.sminHi, src.smaxLo, src.smaxHi) ||
    !signedProduct(2, dst.smaxLo, dst.smaxHi, src.sminLo, src.sminHi) ||
    !signedProduct(3, dst.smaxLo, dst.smaxHi, src.smaxLo, src.smaxHi)
  ) {
    setS64(dst, 0, S32_MIN, -1, S32_MAX);
    return;
  }
  let min = 0;
  let max = 0;
  for (let i = 2; i < 8; i += 2) {
    if (slt64(ends[i]!, ends[i + 1]!, ends[min]!, ends[min + 1]!)) min = i;
    if (slt64(ends[max]!, ends[max + 1]!, ends[i]!, ends[i + 1]!)) max = i;
  }
  setS64(dst, ends[min]!, ends[min + 1]!, ends[max]!, ends[max + 1]!);
}

/** Signed ranges from unsigned ones that do not cross the sign, else anything. */
function signedFromUnsigned32(dst: RegState): void {
  if (dst.u32Min <= dst.u32Max) {
    dst.s32Min = dst.u32Min;
    dst.s32Max = dst.u32Max;
  } else {
    dst.s32Min = S32_MIN;
    dst.s32Max = S32_MAX;
  }
}

function signedFromUnsigned64(dst: RegState): void {
  if (sle64(dst.uminLo, dst.uminHi, dst.umaxLo, dst.umaxHi))
    setS64(dst, dst.uminLo, dst.uminHi, dst.umaxLo, dst.umaxHi);
  else setS64(dst, 0, S32_MIN, -1, S32_MAX);
}

// AND, OR and XOR: `dst` holds the resulting tnum already. Where both operands are known, so is the result; note that
// this tests the result's tnum, as the kernel does.

export function scalarAnd32(dst: RegState, src: RegState): void {
  if (src.maskLo === 0 && dst.maskLo === 0) {
    markKnown32(dst, dst.valueLo);
    return;
  }
  dst.u32Min = dst.valueLo;
  lowerU32Max(dst, src.u32Max);
  signedFromUnsigned32(dst);
}

export function scalarAnd64(dst: RegState, src: RegState): void {
  if ((src.maskLo | src.maskHi | dst.maskLo | dst.maskHi) === 0) {
    markKnown(dst, dst.valueLo, dst.valueHi);
    return;
  }
  dst.uminLo = dst.valueLo;
  dst.uminHi = dst.valueHi;
  lowerUmax(dst, src.umaxLo, src.umaxHi);
  signedFromUnsigned64(dst);
  boundsFromTnum(dst);
}

export function scalarOr32(dst: RegState, src: RegState): void {
  if (src.maskLo === 0 && dst.maskLo === 0) {
    markKnown32(dst, dst.valueLo);
    return;
  }
  raiseU32Min(dst, src.u32Min);
  dst.u32Max = dst.valueLo | dst.maskLo;
  signedFromUnsigned32(dst);
}

export function scalarOr64(dst: RegState, src: RegState): void {
  if ((src.maskLo | src.maskHi | dst.maskLo | dst.maskHi) === 0) {
    markKnown(dst, dst.valueLo, dst.valueHi);
    return;
  }
  raiseUmin(dst, src.uminLo, src.uminHi);
  dst.umaxLo = dst.valueLo | dst.maskLo;
  dst.umaxHi = dst.valueHi | dst.maskHi;
  signedFromUnsigned64(dst);
  boundsFromTnum(dst);
}

export function scalarXor32(dst: RegState, src: RegState): void {
  if (src.maskLo === 0 && dst.maskLo === 0) {
    markKnown32(dst, dst.valueLo);
    return;
  }
  dst.u32Min = dst.valueLo;
  dst.u32Max = dst.valueLo | dst.maskLo;
  signedFromUnsigned32(dst);
}

export function scalarXor64(dst: RegState, src: RegState): void {
  if ((src.maskLo | src.maskHi | dst.maskLo | dst.maskHi) === 0) {
    markKnown(dst, dst.valueLo, dst.valueHi);
    return;
  }
  setU64(dst, dst.valueLo, dst.valueHi, dst.valueLo | dst.maskLo, dst.valueHi | dst.maskHi);
  signedFromUnsigned64(dst);
  boundsFromTnum(dst);
}

// Shifts: the distance is known and in range.

function shiftLeft32(dst: RegState, n: number): void {
  dst.s32Min = S32_MIN;
  dst.s32Max = S32_MAX;
  if (n > 31 || dst.u32Max >>> 0 > 2 ** (31 - n)) {
    dst.u32Min = 0;
    dst.u32Max = -1;
  } else {
    dst.u32Min <<= n;
    dst.u32Max <<= n;
  }
}

export function scalarLsh32(dst: RegState, n: number): void {
  shiftLeft32(dst, n);
  dst.valueLo <<= n;
  dst.maskLo <<= n;
  dst.valueHi = 0;
  dst.maskHi = 0;
  unbound64(dst);
  bounds32FromTnum(dst);
}

export function scalarLsh64(dst: RegState, n: number): void {
  // A shift by 32 is the first half of the compilers' sign extension: the signed range of the lower half moves up.
  if (n === 32) setS64(dst, 0, dst.s32Min, 0, dst.s32Max);
  else setS64(dst, 0, S32_MIN, -1, S32_MAX);
  const limitLo = shl64(1, 0, 63 - n);
  if (ult64(limitLo, hi, dst.umaxLo, dst.umaxHi)) setU64(dst, 0, 0, -1, -1);
  else {
    dst.uminLo = shl64(dst.uminLo, dst.uminHi, n);
    dst.uminHi = hi;
    dst.umaxLo = shl64(dst.umaxLo, dst.umaxHi, n);
    dst.umaxHi = hi;
  }
  shiftLeft32(dst, n);
  tnumLsh(dst, dst, n);
  boundsFromTnum(dst);
}

export function scalarRsh32(dst: RegState, n: number): void {
  dst.s32Min = S32_MIN;
  dst.s32Max = S32_MAX;
  dst.valueLo = (dst.valueLo >>> n) | 0;
  dst.maskLo = (dst.maskLo >>> n) | 0;
  dst.valueHi = 0;
  dst.maskHi = 0;
  dst.u32Min = (dst.u32Min >>> n) | 0;
  dst.u32Max = (dst.u32Max >>> n) | 0;
  unbound64(dst);
  bounds32FromTnum(dst);
}

export function scalarRsh64(dst: RegState, n: number): void {
  setS64(dst, 0, S32_MIN, -1, S32_MAX);
  tnumRsh(dst, dst, n);
  dst.uminLo = shr64(dst.uminLo, dst.uminHi, n);
  dst.uminHi = hi;
  dst.umaxLo = shr64(dst.umaxLo, dst.umaxHi, n);
  dst.umaxHi = hi;
  unbound32(dst);
  boundsFromTnum(dst);
}

export function scalarArsh32(dst: RegState, n: number): void {
  dst.s32Min >>= n;
  dst.s32Max >>= n;
  tnumArsh(dst, dst, n, 32);
  dst.u32Min = 0;
  dst.u32Max = -1;
  unbound64(dst);
  bounds32FromTnum(dst);
}

export function scalarArsh64(dst: RegState, n: number): void {
  dst.sminLo = sar64(dst.sminLo, dst.sminHi, n);
  dst.sminHi = hi;
  dst.smaxLo = sar64(dst.smaxLo, dst.smaxHi, n);
  dst.smaxHi = hi;
  tnumArsh(dst, dst, n, 64);
  setU64(dst, 0, 0, -1, -1);
  unbound32(dst);
  boundsFromTnum(dst);
}
