/**
 * What a register is made into: a known number, any number, nothing, a pointer to the start of something; and what
 * truncation and extension leave of it. Functions of a RegState write to it: own it first (FuncState.own). Functions of
 * a frame and a register number replace that register, and set `precise` as a new value has it.
 */

import type { Env } from "../env.ts";
import {
  boundsSync,
  brokenInvariant,
  lowerS32Max,
  lowerSmax,
  raiseS32Min,
  raiseSmin,
  S32_MAX,
  setKnown,
  setS64,
  setU64,
  unbound,
  unbound32,
} from "../numbers/bounds.ts";
import { toU64 } from "../numbers/int64.ts";
import { tnumCast, tnumRange, tnumSet } from "../numbers/tnum.ts";
import { RegState } from "./reg.ts";
import { NOT_INIT, SCALAR_VALUE } from "./reg-type.ts";
import type { FuncState } from "./state.ts";

/** Clears what depends on the type: all from `off` to the tnum in the kernel's struct. */
function clearTyped(reg: RegState): void {
  reg.off = 0;
  reg.range = 0;
  reg.map = null;
  reg.mapUid = 0;
  reg.btf = null;
  reg.btfId = 0;
  reg.memSize = 0;
  reg.dynptrType = 0;
  reg.dynptrFirstSlot = false;
  reg.iterState = 0;
  reg.iterDepth = 0;
  reg.irqClass = 0;
  reg.subprogno = 0;
}

/** A known number or variable offset; the type stays, all that belongs to it goes: __mark_reg_known(). */
export function markKnown(reg: RegState, lo: number, high: number): void {
  clearTyped(reg);
  reg.id = 0;
  reg.refObjId = 0;
  setKnown(reg, lo, high);
}

/** As the kernel's __mark_reg_known_zero(): then the caller sets the pointer's type. */
export function markKnownZero(reg: RegState): void {
  markKnown(reg, 0, 0);
}

/** The lower half is known: __mark_reg32_known(). */
export function markKnown32(reg: RegState, lo: number): void {
  reg.valueLo = lo;
  reg.maskLo = 0;
  reg.s32Min = lo;
  reg.s32Max = lo;
  reg.u32Min = lo;
  reg.u32Max = lo;
}

/** Any number; says nothing of precision: __mark_reg_unknown_imprecise(). */
export function markUnknown(reg: RegState): void {
  clearTyped(reg);
  reg.type = SCALAR_VALUE;
  reg.id = 0;
  reg.refObjId = 0;
  reg.frameno = 0;
  tnumSet(reg, 0, 0, -1, -1);
  unbound(reg);
}

/** __mark_reg_not_init(). */
export function markNotInit(reg: RegState): void {
  markUnknown(reg);
  reg.type = NOT_INIT;
}

/** A scalar with this value: __mark_reg_known() and its type. */
export function markConstScalar(reg: RegState, lo: number, high: number): void {
  markKnown(reg, lo, high);
  reg.type = SCALAR_VALUE;
}

/** Register `r` for replacing: a register of its own whose contents do not matter (subregDef is kept). */
export function freshReg(frame: FuncState, r: number): RegState {
  const old = frame.regs[r]!;
  if (!old.shared) return old;
  const reg = new RegState();
  reg.subregDef = old.subregDef;
  reg.frameno = old.frameno;
  frame.regs[r] = reg;
  return reg;
}

function setPrecise(frame: FuncState, r: number, precise: boolean): void {
  if (precise) frame.precise |= 1 << r;
  else frame.precise &= ~(1 << r);
}

/** mark_reg_unknown(): without CAP_BPF every number counts as precise from the start. */
export function markRegUnknown(env: Env, frame: FuncState, r: number): RegState {
  const reg = freshReg(frame, r);
  markUnknown(reg);
  setPrecise(frame, r, !env.bpfCapable);
  return reg;
}

/** mark_reg_not_init(). */
export function markRegNotInit(env: Env, frame: FuncState, r: number): RegState {
  const reg = markRegUnknown(env, frame, r);
  reg.type = NOT_INIT;
  return reg;
}

/** mark_reg_known_zero(): the caller sets the pointer's type. Precision is left as it is. */
export function markRegKnownZero(frame: FuncState, r: number): RegState {
  const reg = frame.own(r);
  markKnownZero(reg);
  return reg;
}

/** __mark_reg_const_zero(): a scalar zero. */
export function markRegConstZero(env: Env, frame: FuncState, r: number): RegState {
  const reg = freshReg(frame, r);
  markConstScalar(reg, 0, 0);
  setPrecise(frame, r, !env.bpfCapable);
  return reg;
}

/** A fresh register holding any number. */
export function newUnknown(): RegState {
  const reg = new RegState();
  markUnknown(reg);
  return reg;
}

/** A fresh register that was never written. */
export function newNotInit(): RegState {
  const reg = new RegState();
  markNotInit(reg);
  return reg;
}

/** __mark_reg_s32_range(): narrows to s32 `min`..`max`. */
export function markS32Range(env: Env, reg: RegState, min: number, max: number): void {
  raiseS32Min(reg, min);
  lowerS32Max(reg, max);
  raiseSmin(reg, min, min >> 31);
  lowerSmax(reg, max, max >> 31);
  boundsSync(reg);
  boundsSanityCheck(env, reg, "s32_range");
}

/** reg_bounds_sanity_check(): a broken invariant is an error under BPF_F_TEST_REG_INVARIANTS, else the bounds are dropped. */
export function boundsSanityCheck(env: Env, reg: RegState, context: string): void {
  const broken = brokenInvariant(reg);
  if (broken === null) return;
  const h64 = (lo: number, high: number): string => hexAlt(toU64(lo, high));
  const h32 = (v: number): string => hexAlt(v >>> 0);
  env.verbose(
    `REG INVARIANTS VIOLATION (${context}): ${broken} ` +
      `u64=[${h64(reg.uminLo, reg.uminHi)}, ${h64(reg.umaxLo, reg.umaxHi)}] ` +
      `s64=[${h64(reg.sminLo, reg.sminHi)}, ${h64(reg.smaxLo, reg.smaxHi)}] ` +
      `u32=[${h32(reg.u32Min)}, ${h32(reg.u32Max)}] s32=[${h32(reg.s32Min)}, ${h32(reg.s32Max)}] ` +
      `var_off=(${h64(reg.valueLo, reg.valueHi)}, ${h64(reg.maskLo, reg.maskHi)})\n`,
  );
  if (env.testRegInvariants) env.reject(EFAULT, "");
  unbound(reg);
}

const EFAULT = 14;

/** printf's %#x: no prefix for zero. */
function hexAlt(v: number | bigint): string {
  return v === 0 || v === 0n ? "0" : `0x${v.toString(16)}`;
}

/** 64-bit ranges of a number whose upper half is zero: __reg_assign_32_into_64(). */
export function assign32Into64(reg: RegState): void {
  setU64(reg, reg.u32Min, 0, reg.u32Max, 0);
  if (reg.s32Min >= 0 && reg.s32Max >= 0) setS64(reg, reg.s32Min, 0, reg.s32Max, 0);
  else setS64(reg, 0, 0, -1, 0);
}

/** zext_32_to_64(). */
export function zext32To64(reg: RegState): void {
  reg.valueHi = 0;
  reg.maskHi = 0;
  assign32Into64(reg);
}

/** Cuts to `size` bytes (1, 2, 4), zero-extended: coerce_reg_to_size(). */
export function coerceToSize(reg: RegState, size: number): void {
  tnumCast(reg, reg, size);
  const mask = size === 4 ? -1 : (1 << (size * 8)) - 1;
  if (reg.uminHi === reg.umaxHi && (reg.uminLo & ~mask) === (reg.umaxLo & ~mask))
    setU64(reg, reg.uminLo & mask, 0, reg.umaxLo & mask, 0);
  else setU64(reg, 0, 0, mask, 0);
  setS64(reg, reg.uminLo, 0, reg.umaxLo, 0);
  if (size < 4) unbound32(reg);
  boundsSync(reg);
}

/** Sign-extends the low `size` bytes of an int32. */
function sext(v: number, size: number): number {
  return size === 4 ? v : size === 2 ? (v << 16) >> 16 : (v << 24) >> 24;
}

/** Cuts to `size` bytes (1, 2, 4), sign-extended to 64 bits: coerce_reg_to_size_sx(). */
export function coerceToSizeSx(reg: RegState, size: number): void {
  if ((reg.maskLo | reg.maskHi) === 0) {
    const v = sext(reg.valueLo, size);
    setKnown(reg, v, v >> 31);
    return;
  }
  const keep = size === 4 ? 0 : -1 << (size * 8);
  if (reg.sminHi === reg.smaxHi && (reg.sminLo & keep) === (reg.smaxLo & keep)) {
    const a = sext(reg.smaxLo, size);
    const b = sext(reg.sminLo, size);
    const max = Math.max(a, b);
    const min = Math.min(a, b);
    if (max >= 0 === min >= 0) {
      const minHigh = min >> 31;
      const maxHigh = max >> 31;
      setS64(reg, min, minHigh, max, maxHigh);
      setU64(reg, min, minHigh, max, maxHigh);
      reg.s32Min = min;
      reg.s32Max = max;
      reg.u32Min = min;
      reg.u32Max = max;
      tnumRange(reg, min, minHigh, max, maxHigh);
      return;
    }
  }
  const top = size === 4 ? S32_MAX : (1 << (size * 8 - 1)) - 1;
  setS64(reg, ~top, -1, top, 0);
  setU64(reg, 0, 0, -1, -1);
  reg.s32Min = ~top;
  reg.s32Max = top;
  reg.u32Min = 0;
  reg.u32Max = -1;
  tnumSet(reg, 0, 0, -1, -1);
}

/** Cuts to `size` bytes (1, 2), sign-extended to 32 bits: coerce_subreg_to_size_sx(). The upper half is the caller's. */
export function coerceSubregToSizeSx(reg: RegState, size: number): void {
  if ((reg.maskLo | reg.maskHi) === 0) {
    const v = sext(reg.valueLo, size);
    tnumSet(reg, v, v >> 31, 0, 0);
    reg.s32Min = v;
    reg.s32Max = v;
    reg.u32Min = v;
    reg.u32Max = v;
    return;
  }
  const keep = -1 << (size * 8);
  if ((reg.s32Min & keep) === (reg.s32Max & keep)) {
    const a = sext(reg.s32Max, size);
    const b = sext(reg.s32Min, size);
    const max = Math.max(a, b);
    const min = Math.min(a, b);
    if (max >= 0 === min >= 0) {
      reg.s32Min = min;
      reg.s32Max = max;
      reg.u32Min = min;
      reg.u32Max = max;
      tnumRange(reg, min, min >> 31, max, max >> 31);
      reg.valueHi = 0;
      reg.maskHi = 0;
      return;
    }
  }
  const top = (1 << (size * 8 - 1)) - 1;
  reg.s32Min = ~top;
  reg.s32Max = top;
  reg.u32Min = 0;
  reg.u32Max = -1;
  tnumSet(reg, 0, 0, -1, 0);
}

/** Bits that the largest value needs: get_reg_width(). */
export function regWidth(reg: RegState): number {
  return reg.umaxHi !== 0 ? 64 - Math.clz32(reg.umaxHi) : 32 - Math.clz32(reg.umaxLo);
}

/** is_reg_const(): a scalar whose value (or lower half) is known. */
export function isRegConst(reg: RegState, subreg32: boolean): boolean {
  return reg.type === SCALAR_VALUE && (subreg32 ? reg.maskLo === 0 : (reg.maskLo | reg.maskHi) === 0);
}
