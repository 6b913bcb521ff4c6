/** What a comparison's outcome says of the numbers compared: reg_set_min_max(). */
import {
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JNE,
  BPF_JSET,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
  BPF_X,
} from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import type { RegState } from "../state/reg.ts";
import { boundsSanityCheck, isRegConst } from "../state/reg-ops.ts";
import { SCALAR_VALUE } from "../state/reg-type.ts";
import {
  boundsSync,
  lowerS32Max,
  lowerSmax,
  lowerU32Max,
  lowerUmax,
  raiseS32Min,
  raiseSmin,
  raiseU32Min,
  raiseUmin,
  unbound,
} from "./bounds.ts";
import { flipOpcode } from "./branch-taken.ts";
import { add64, hi, sub64 } from "./int64.ts";
import { tnumCopy, tnumIntersect } from "./tnum.ts";

/** The condition that holds where "a op b" does not; JSET has none of its own: rev_opcode(). */
function reverse(opcode: number): number {
  switch (opcode) {
    case BPF_JEQ:
      return BPF_JNE;
    case BPF_JNE:
      return BPF_JEQ;
    case BPF_JSET:
      return BPF_JSET | BPF_X;
    case BPF_JGE:
      return BPF_JLT;
    case BPF_JGT:
      return BPF_JLE;
    case BPF_JLE:
      return BPF_JGT;
    case BPF_JLT:
      return BPF_JGE;
    case BPF_JSGE:
      return BPF_JSLT;
    case BPF_JSGT:
      return BPF_JSLE;
    case BPF_JSLE:
      return BPF_JSGT;
    default:
      return BPF_JSGE;
  }
}

/**
 * Narrows all four: the operands where the jump is taken and where it is not. They are owned by the caller; both
 * operands may be one register.
 */
export function refineBranches(
  env: Env,
  trueA: RegState,
  trueB: RegState,
  falseA: RegState,
  falseB: RegState,
  opcode: number,
  is32: boolean,
): void {
  if (falseA.type !== SCALAR_VALUE || falseB.type !== SCALAR_VALUE) return;
  refine(falseA, falseB, reverse(opcode), is32);
  boundsSync(falseA);
  boundsSync(falseB);
  refine(trueA, trueB, opcode, is32);
  boundsSync(trueA);
  boundsSync(trueB);
  boundsSanityCheck(env, trueA, "true_reg1");
  boundsSanityCheck(env, trueB, "true_reg2");
  boundsSanityCheck(env, falseA, "false_reg1");
  boundsSanityCheck(env, falseB, "false_reg2");
}

/** "a op b" holds: regs_refine_cond_op(). */
function refine(a: RegState, b: RegState, opcode: number, is32: boolean): void {
  if (opcode === BPF_JGE || opcode === BPF_JGT || opcode === BPF_JSGE || opcode === BPF_JSGT) {
    opcode = flipOpcode(opcode);
    const t = a;
    a = b;
    b = t;
  }
  switch (opcode) {
    case BPF_JEQ:
      if (is32) equal32(a, b);
      else equal64(a, b);
      break;
    case BPF_JNE:
      withConstant(a, b, is32, is32 ? notEqual32 : notEqual64);
      break;
    case BPF_JSET:
      withConstant(a, b, is32, is32 ? set32 : set64);
      break;
    case BPF_JSET | BPF_X:
      withConstant(a, b, is32, is32 ? clear32 : clear64);
      break;
    case BPF_JLE:
      if (is32) {
        lowerU32Max(a, b.u32Max);
        raiseU32Min(b, a.u32Min);
      } else {
        lowerUmax(a, b.umaxLo, b.umaxHi);
        raiseUmin(b, a.uminLo, a.uminHi);
      }
      break;
    case BPF_JLT:
      if (is32) {
        lowerU32Max(a, (b.u32Max - 1) | 0);
        raiseU32Min(b, (a.u32Min + 1) | 0);
      } else {
        const max = sub64(b.umaxLo, b.umaxHi, 1, 0);
        lowerUmax(a, max, hi);
        const min = add64(a.uminLo, a.uminHi, 1, 0);
        raiseUmin(b, min, hi);
      }
      break;
    case BPF_JSLE:
      if (is32) {
        lowerS32Max(a, b.s32Max);
        raiseS32Min(b, a.s32Min);
      } else {
        lowerSmax(a, b.smaxLo, b.smaxHi);
        raiseSmin(b, a.sminLo, a.sminHi);
      }
      break;
    case BPF_JSLT:
      if (is32) {
        lowerS32Max(a, (b.s32Max - 1) | 0);
        raiseS32Min(b, (a.s32Min + 1) | 0);
      } else {
        const max = sub64(b.smaxLo, b.smaxHi, 1, 0);
        lowerSmax(a, max, hi);
        const min = add64(a.sminLo, a.sminHi, 1, 0);
        raiseSmin(b, min, hi);
      }
      break;
  }
}

/** `apply` to the number and the constant compared with it, if one is constant. */
function withConstant(
  a: RegState,
  b: RegState,
  is32: boolean,
  apply: (reg: RegState, lo: number, high: number) => void,
): void {
  if (isRegConst(b, is32)) apply(a, b.valueLo, b.valueHi);
  else if (isRegConst(a, is32)) apply(b, a.valueLo, a.valueHi);
}

function equal32(a: RegState, b: RegState): void {
  raiseU32Min(a, b.u32Min);
  lowerU32Max(a, b.u32Max);
  raiseS32Min(a, b.s32Min);
  lowerS32Max(a, b.s32Max);
  b.u32Min = a.u32Min;
  b.u32Max = a.u32Max;
  b.s32Min = a.s32Min;
  b.s32Max = a.s32Max;
  const mask = a.maskLo & b.maskLo;
  const value = (a.valueLo | b.valueLo) & ~mask;
  a.valueLo = value;
  a.maskLo = mask;
  b.valueLo = value;
  b.maskLo = mask;
}

function equal64(a: RegState, b: RegState): void {
  raiseUmin(a, b.uminLo, b.uminHi);
  lowerUmax(a, b.umaxLo, b.umaxHi);
  raiseSmin(a, b.sminLo, b.sminHi);
  lowerSmax(a, b.smaxLo, b.smaxHi);
  b.uminLo = a.uminLo;
  b.uminHi = a.uminHi;
  b.umaxLo = a.umaxLo;
  b.umaxHi = a.umaxHi;
  b.sminLo = a.sminLo;
  b.sminHi = a.sminHi;
  b.smaxLo = a.smaxLo;
  b.smaxHi = a.smaxHi;
  tnumIntersect(a, a, b);
  tnumCopy(b, a);
}

// Not equal: says something where the constant is an end of a range.

function notEqual32(reg: RegState, v: number): void {
  if (reg.u32Min === v) reg.u32Min = (v + 1) | 0;
  if (reg.u32Max === v) reg.u32Max = (v - 1) | 0;
  if (reg.s32Min === v) reg.s32Min = (v + 1) | 0;
  if (reg.s32Max === v) reg.s32Max = (v - 1) | 0;
}

function notEqual64(reg: RegState, lo: number, high: number): void {
  const upLo = add64(lo, high, 1, 0);
  const upHi = hi;
  const downLo = sub64(lo, high, 1, 0);
  const downHi = hi;
  if (reg.uminLo === lo && reg.uminHi === high) {
    reg.uminLo = upLo;
    reg.uminHi = upHi;
  }
  if (reg.umaxLo === lo && reg.umaxHi === high) {
    reg.umaxLo = downLo;
    reg.umaxHi = downHi;
  }
  if (reg.sminLo === lo && reg.sminHi === high) {
    reg.sminLo = upLo;
    reg.sminHi = upHi;
  }
  if (reg.smaxLo === lo && reg.smaxHi === high) {
    reg.smaxLo = downLo;
    reg.smaxHi = downHi;
  }
}

// "a & K" is not zero: says something where K is one bit.

function isPowerOf2(v: number): boolean {
  return v !== 0 && (v & (v - 1)) === 0;
}

function set32(reg: RegState, v: number): void {
  if (!isPowerOf2(v)) return;
  reg.valueLo |= v;
  reg.maskLo &= ~v;
}

function set64(reg: RegState, lo: number, high: number): void {
  if (!(high === 0 ? isPowerOf2(lo) : lo === 0 && isPowerOf2(high))) return;
  reg.valueLo |= lo;
  reg.valueHi |= high;
  reg.maskLo &= ~lo;
  reg.maskHi &= ~high;
}

// "a & K" is zero. The ranges are dropped first: on a path that cannot be, they would contradict the bits.

function clear32(reg: RegState, v: number): void {
  unbound(reg);
  reg.valueLo &= ~v;
  reg.maskLo &= ~v;
}

function clear64(reg: RegState, lo: number, high: number): void {
  unbound(reg);
  reg.valueLo &= ~lo;
  reg.valueHi &= ~high;
  reg.maskLo &= ~lo;
  reg.maskHi &= ~high;
}
