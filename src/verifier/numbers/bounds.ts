/**
 * The four ranges of a register (u64, s64, u32, s32) and its tnum, and what each says of the others. Every function here
 * only narrows, save those that say otherwise.
 */

import type { RegState } from "../state/reg.ts";
import { hi, sle64, slt64, ule64, ult32, ult64 } from "./int64.ts";
import { type Tnum, TnumValue, tnumIntersect, tnumRange, tnumStep } from "./tnum.ts";

export const S32_MIN: number = -0x8000_0000;
export const S32_MAX = 0x7fff_ffff;

export function raiseUmin(reg: RegState, lo: number, high: number): void {
  if (ult64(reg.uminLo, reg.uminHi, lo, high)) {
    reg.uminLo = lo;
    reg.uminHi = high;
  }
}

export function lowerUmax(reg: RegState, lo: number, high: number): void {
  if (ult64(lo, high, reg.umaxLo, reg.umaxHi)) {
    reg.umaxLo = lo;
    reg.umaxHi = high;
  }
}

export function raiseSmin(reg: RegState, lo: number, high: number): void {
  if (slt64(reg.sminLo, reg.sminHi, lo, high)) {
    reg.sminLo = lo;
    reg.sminHi = high;
  }
}

export function lowerSmax(reg: RegState, lo: number, high: number): void {
  if (slt64(lo, high, reg.smaxLo, reg.smaxHi)) {
    reg.smaxLo = lo;
    reg.smaxHi = high;
  }
}

export function raiseU32Min(reg: RegState, v: number): void {
  if (ult32(reg.u32Min, v)) reg.u32Min = v;
}

export function lowerU32Max(reg: RegState, v: number): void {
  if (ult32(v, reg.u32Max)) reg.u32Max = v;
}

export function raiseS32Min(reg: RegState, v: number): void {
  if (reg.s32Min < v) reg.s32Min = v;
}

export function lowerS32Max(reg: RegState, v: number): void {
  if (v < reg.s32Max) reg.s32Max = v;
}

export function setU64(reg: RegState, minLo: number, minHi: number, maxLo: number, maxHi: number): void {
  reg.uminLo = minLo;
  reg.uminHi = minHi;
  reg.umaxLo = maxLo;
  reg.umaxHi = maxHi;
}

export function setS64(reg: RegState, minLo: number, minHi: number, maxLo: number, maxHi: number): void {
  reg.sminLo = minLo;
  reg.sminHi = minHi;
  reg.smaxLo = maxLo;
  reg.smaxHi = maxHi;
}

/** Any value: __mark_reg64_unbounded() (widens). */
export function unbound64(reg: RegState): void {
  setS64(reg, 0, S32_MIN, -1, S32_MAX);
  setU64(reg, 0, 0, -1, -1);
}

/** Any lower half: __mark_reg32_unbounded() (widens). */
export function unbound32(reg: RegState): void {
  reg.s32Min = S32_MIN;
  reg.s32Max = S32_MAX;
  reg.u32Min = 0;
  reg.u32Max = -1;
}

/** Any value; the tnum stays: __mark_reg_unbounded() (widens). */
export function unbound(reg: RegState): void {
  unbound64(reg);
  unbound32(reg);
}

/** Ranges of the lower half from the tnum: __update_reg32_bounds(). */
export function bounds32FromTnum(reg: RegState): void {
  const { valueLo, maskLo } = reg;
  raiseS32Min(reg, valueLo | (maskLo & S32_MIN));
  lowerS32Max(reg, valueLo | (maskLo & S32_MAX));
  raiseU32Min(reg, valueLo);
  lowerU32Max(reg, valueLo | maskLo);
}

/** 64-bit ranges from the tnum: __update_reg64_bounds(). */
export function bounds64FromTnum(reg: RegState): void {
  const { valueLo, valueHi, maskLo, maskHi } = reg;
  raiseSmin(reg, valueLo, valueHi | (maskHi & S32_MIN));
  lowerSmax(reg, valueLo | maskLo, valueHi | (maskHi & S32_MAX));
  raiseUmin(reg, valueLo, valueHi);
  lowerUmax(reg, valueLo | maskLo, valueHi | maskHi);
  if (singleValues) singleValue(reg);
}

/**
 * Since 6.18 (and its stable kernels) a range and a tnum that share one number make that number known. Set for each
 * verification: it is asked too often to be passed along, and verify() runs to its end.
 */
let singleValues = false;

export function useSingleValues(on: boolean): void {
  singleValues = on;
}

/** The unsigned range and the tnum: do they have just one number in common? */
function singleValue(reg: RegState): void {
  const { uminLo, uminHi, umaxLo, umaxHi, valueLo, valueHi, maskLo, maskHi } = reg;
  if ((maskLo & maskHi) === -1 && !(uminLo === umaxLo && uminHi === umaxHi)) return;
  const inTnum = (uminLo & ~maskLo) === valueLo && (uminHi & ~maskHi) === valueHi;
  const nextLo = tnumStep(reg, uminLo, uminHi);
  const nextHi = hi;
  const past = ult64(umaxLo, umaxHi, nextLo, nextHi);
  if (inTnum) {
    if (past) setKnown(reg, uminLo, uminHi);
  } else if (nextLo === (valueLo | maskLo) && nextHi === (valueHi | maskHi)) setKnown(reg, nextLo, nextHi);
  else if (!past) {
    const thirdLo = tnumStep(reg, nextLo, nextHi);
    if (ult64(umaxLo, umaxHi, thirdLo, hi)) setKnown(reg, nextLo, nextHi);
  }
}

/** The number (or variable offset) is exactly this; type, id and the rest stay: ___mark_reg_known(). */
export function setKnown(reg: RegState, lo: number, high: number): void {
  reg.valueLo = lo;
  reg.valueHi = high;
  reg.maskLo = 0;
  reg.maskHi = 0;
  setS64(reg, lo, high, lo, high);
  setU64(reg, lo, high, lo, high);
  reg.s32Min = lo;
  reg.s32Max = lo;
  reg.u32Min = lo;
  reg.u32Max = lo;
}

/** __update_reg_bounds(). */
export function boundsFromTnum(reg: RegState): void {
  bounds32FromTnum(reg);
  bounds64FromTnum(reg);
}

/**
 * Ranges of the lower half: from the 64-bit ranges where their upper halves agree (or are neighbours, and the lower half
 * crosses zero), then signed and unsigned from each other. __reg32_deduce_bounds().
 */
function deduce32(reg: RegState): void {
  const { uminLo, umaxLo, sminLo, smaxLo } = reg;
  if (reg.uminHi === reg.umaxHi) {
    raiseU32Min(reg, uminLo);
    lowerU32Max(reg, umaxLo);
    if (uminLo <= umaxLo) {
      raiseS32Min(reg, uminLo);
      lowerS32Max(reg, umaxLo);
    }
  }
  if (reg.sminHi === reg.smaxHi) {
    if (sminLo >>> 0 <= smaxLo >>> 0) {
      raiseU32Min(reg, sminLo);
      lowerU32Max(reg, smaxLo);
    }
    if (sminLo <= smaxLo) {
      raiseS32Min(reg, sminLo);
      lowerS32Max(reg, smaxLo);
    }
  }
  if (((reg.uminHi + 1) | 0) === reg.umaxHi && uminLo < 0 && umaxLo >= 0) {
    raiseS32Min(reg, uminLo);
    lowerS32Max(reg, umaxLo);
  }
  if (((reg.sminHi + 1) | 0) === reg.smaxHi && sminLo < 0 && smaxLo >= 0) {
    raiseS32Min(reg, sminLo);
    lowerS32Max(reg, smaxLo);
  }
  if (reg.u32Min <= reg.u32Max) {
    raiseS32Min(reg, reg.u32Min);
    lowerS32Max(reg, reg.u32Max);
  }
  if (reg.s32Min >>> 0 <= reg.s32Max >>> 0) {
    raiseU32Min(reg, reg.s32Min);
    lowerU32Max(reg, reg.s32Max);
  } else if (ult32(reg.u32Max, reg.s32Min)) {
    // The signed range wraps around the unsigned one and only its part from zero up can be meant.
    reg.s32Min = reg.u32Min;
    lowerU32Max(reg, reg.s32Max);
  } else if (ult32(reg.s32Max, reg.u32Min)) {
    // Only its part below zero.
    reg.s32Max = reg.u32Max;
    raiseU32Min(reg, reg.s32Min);
  }
}

/** Signed and unsigned 64-bit ranges from each other: __reg64_deduce_bounds(). */
function deduce64(reg: RegState): void {
  if (sle64(reg.uminLo, reg.uminHi, reg.umaxLo, reg.umaxHi)) {
    raiseSmin(reg, reg.uminLo, reg.uminHi);
    lowerSmax(reg, reg.umaxLo, reg.umaxHi);
  }
  if (ule64(reg.sminLo, reg.sminHi, reg.smaxLo, reg.smaxHi)) {
    raiseUmin(reg, reg.sminLo, reg.sminHi);
    lowerUmax(reg, reg.smaxLo, reg.smaxHi);
  } else if (ult64(reg.umaxLo, reg.umaxHi, reg.sminLo, reg.sminHi)) {
    reg.sminLo = reg.uminLo;
    reg.sminHi = reg.uminHi;
    lowerUmax(reg, reg.smaxLo, reg.smaxHi);
  } else if (ult64(reg.smaxLo, reg.smaxHi, reg.uminLo, reg.uminHi)) {
    reg.smaxLo = reg.umaxLo;
    reg.smaxHi = reg.umaxHi;
    raiseUmin(reg, reg.sminLo, reg.sminHi);
  }
}

const scratch: Tnum = new TnumValue();

/** 64-bit ranges with the lower half's range put in place of their lower halves: __reg_deduce_mixed_bounds(). */
function deduceMixed(reg: RegState): void {
  raiseUmin(reg, reg.u32Min, reg.uminHi);
  lowerUmax(reg, reg.u32Max, reg.umaxHi);
  raiseSmin(reg, reg.u32Min, reg.sminHi);
  lowerSmax(reg, reg.u32Max, reg.smaxHi);
  if (reg.s32Min >>> 0 <= reg.s32Max >>> 0) {
    raiseUmin(reg, reg.s32Min, reg.uminHi);
    lowerUmax(reg, reg.s32Max, reg.umaxHi);
    raiseSmin(reg, reg.s32Min, reg.sminHi);
    lowerSmax(reg, reg.s32Max, reg.smaxHi);
  }
  // A sign-extended number whose lower half is not negative: the upper half is zero.
  if (
    reg.s32Min >= 0 &&
    (reg.sminHi > -1 || (reg.sminHi === -1 && reg.sminLo < 0)) &&
    (reg.smaxHi < 0 || (reg.smaxHi === 0 && reg.smaxLo >= 0))
  ) {
    // The kernel assigns s32 to u64 too, so that a negative maximum of a contradictory range sign-extends.
    const high = reg.s32Max >> 31;
    setS64(reg, reg.s32Min, 0, reg.s32Max, high);
    setU64(reg, reg.s32Min, 0, reg.s32Max, high);
    tnumRange(scratch, reg.sminLo, reg.sminHi, reg.smaxLo, reg.smaxHi);
    tnumIntersect(reg, reg, scratch);
  }
}

/** __reg_deduce_bounds(). */
export function deduceBounds(reg: RegState): void {
  deduce32(reg);
  deduce64(reg);
  deduceMixed(reg);
}

/** The tnum from the unsigned ranges: __reg_bound_offset(). */
export function tnumFromBounds(reg: RegState): void {
  tnumRange(scratch, reg.uminLo, reg.uminHi, reg.umaxLo, reg.umaxHi);
  tnumIntersect(reg, reg, scratch);
  tnumRange(scratch, reg.u32Min, 0, reg.u32Max, 0);
  const mask = reg.maskLo & scratch.maskLo;
  reg.valueLo = (reg.valueLo | scratch.valueLo) & ~mask;
  reg.maskLo = mask;
}

/** Spreads what any of the ranges or the tnum learned: reg_bounds_sync(). */
export function boundsSync(reg: RegState): void {
  boundsFromTnum(reg);
  deduceBounds(reg);
  deduceBounds(reg);
  deduceBounds(reg);
  tnumFromBounds(reg);
  boundsFromTnum(reg);
}

/** All ranges to what the tnum alone says, then spread (widens first). */
export function boundsFromTnumOnly(reg: RegState): void {
  unbound(reg);
  boundsFromTnum(reg);
}

/** The invariant that a register breaks, or null: the tests of reg_bounds_sanity_check(). */
export function brokenInvariant(reg: RegState): string | null {
  if (
    ult64(reg.umaxLo, reg.umaxHi, reg.uminLo, reg.uminHi) ||
    slt64(reg.smaxLo, reg.smaxHi, reg.sminLo, reg.sminHi) ||
    ult32(reg.u32Max, reg.u32Min) ||
    reg.s32Max < reg.s32Min
  )
    return "range bounds violation";
  if ((reg.maskLo | reg.maskHi) === 0) {
    const { valueLo: lo, valueHi: high } = reg;
    if (
      ((reg.uminLo ^ lo) | (reg.umaxLo ^ lo) | (reg.sminLo ^ lo) | (reg.smaxLo ^ lo)) !== 0 ||
      ((reg.uminHi ^ high) | (reg.umaxHi ^ high) | (reg.sminHi ^ high) | (reg.smaxHi ^ high)) !== 0
    )
      return "const tnum out of sync with range bounds";
  }
  if (reg.maskLo === 0) {
    const v = reg.valueLo;
    if (reg.u32Min !== v || reg.u32Max !== v || reg.s32Min !== v || reg.s32Max !== v)
      return "const subreg tnum out of sync with range bounds";
  }
  return null;
}
