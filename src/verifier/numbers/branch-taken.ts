/** Which way a conditional jump goes, as far as the bounds of its operands tell: is_branch_taken(). */
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
} from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { BPF_MAX_VAR_OFF } from "../limits.ts";
import { isConst, type RegState } from "../state/reg.ts";
import { isTrustedReg } from "../state/reg-kind.ts";
import { isRegConst } from "../state/reg-ops.ts";
import {
  baseType,
  CONST_PTR_TO_MAP,
  mayBeNull,
  PTR_TO_BTF_ID,
  PTR_TO_BUF,
  PTR_TO_MAP_KEY,
  PTR_TO_MAP_VALUE,
  PTR_TO_MEM,
  PTR_TO_PACKET,
  PTR_TO_PACKET_END,
  PTR_TO_PACKET_META,
  PTR_TO_SOCK_COMMON,
  PTR_TO_SOCKET,
  PTR_TO_TCP_SOCK,
  PTR_TO_XDP_SOCK,
  SCALAR_VALUE,
} from "../state/reg-type.ts";
import { sle64, slt64, ule64, ult32, ult64 } from "./int64.ts";
import { smaxOf, sminOf } from "./range.ts";
import { tnumOverlap, tnumOverlap32 } from "./tnum.ts";

/** RegState.range of a packet pointer that was compared with the packet's end and lost. */
export const AT_PKT_END = -1;
export const BEYOND_PKT_END = -2;

export const TAKEN = 1;
export const NOT_TAKEN = 0;
export const UNKNOWN: number = -1;

/** "a op b" as "b op a": flip_opcode(). */
export function flipOpcode(opcode: number): number {
  switch (opcode) {
    case BPF_JGE:
      return BPF_JLE;
    case BPF_JGT:
      return BPF_JLT;
    case BPF_JLE:
      return BPF_JGE;
    case BPF_JLT:
      return BPF_JGT;
    case BPF_JSGE:
      return BPF_JSLE;
    case BPF_JSGT:
      return BPF_JSLT;
    case BPF_JSLE:
      return BPF_JSGE;
    case BPF_JSLT:
      return BPF_JSGT;
    default:
      return opcode;
  }
}

/** reg_is_pkt_pointer_any(). */
export function isPktPointerAny(type: number): boolean {
  return type === PTR_TO_PACKET || type === PTR_TO_PACKET_META || type === PTR_TO_PACKET_END;
}

const NOT_NULL: ReadonlySet<number> = new Set([
  PTR_TO_SOCKET,
  PTR_TO_TCP_SOCK,
  PTR_TO_XDP_SOCK,
  PTR_TO_BUF,
  PTR_TO_MAP_VALUE,
  PTR_TO_MAP_KEY,
  PTR_TO_SOCK_COMMON,
  PTR_TO_MEM,
  CONST_PTR_TO_MAP,
]);

/** reg_not_null(): the pointer cannot be null, nor become it by what was added to it. */
export function isNotNull(env: Env, reg: RegState): boolean {
  if (mayBeNull(reg.type)) return false;
  if (sminOf(reg) <= -BPF_MAX_VAR_OFF || smaxOf(reg) >= BPF_MAX_VAR_OFF) return false;
  const base = baseType(reg.type);
  return NOT_NULL.has(base) || (base === PTR_TO_BTF_ID && isTrustedReg(env, reg));
}

/** TAKEN, NOT_TAKEN or UNKNOWN. */
export function isBranchTaken(env: Env, a: RegState, b: RegState, opcode: number, is32: boolean): number {
  if (a.type === SCALAR_VALUE && b.type === SCALAR_VALUE)
    return is32 ? scalarTaken32(a, b, opcode) : scalarTaken64(a, b, opcode);
  if (is32) return UNKNOWN;
  if (isPktPointerAny(a.type) && isPktPointerAny(b.type)) return packetTaken(a, b, opcode);
  const constant = isRegConst(b, false) ? b : a;
  const pointer = constant === b ? a : b;
  if (!isRegConst(constant, false) || (constant.valueLo | constant.valueHi) !== 0) return UNKNOWN;
  if (!isNotNull(env, pointer)) return UNKNOWN;
  if (opcode === BPF_JEQ) return NOT_TAKEN;
  return opcode === BPF_JNE ? TAKEN : UNKNOWN;
}

/** is_pkt_ptr_branch_taken(). */
function packetTaken(a: RegState, b: RegState, opcode: number): number {
  let pkt: RegState;
  if (b.type === PTR_TO_PACKET_END) pkt = a;
  else if (a.type === PTR_TO_PACKET_END) {
    pkt = b;
    opcode = flipOpcode(opcode);
  } else return UNKNOWN;
  if (pkt.range >= 0) return UNKNOWN;
  switch (opcode) {
    case BPF_JLE:
    case BPF_JGT:
      if (pkt.range === BEYOND_PKT_END) return opcode === BPF_JGT ? TAKEN : NOT_TAKEN;
      break;
    case BPF_JLT:
    case BPF_JGE:
      return opcode === BPF_JGE ? TAKEN : NOT_TAKEN;
  }
  return UNKNOWN;
}

function yes(answer: boolean): number {
  return answer ? TAKEN : NOT_TAKEN;
}

/** Are the ranges of the whole numbers, or of their lower halves, apart? */
function apart64(a: RegState, b: RegState): boolean {
  return (
    !tnumOverlap(a, b) ||
    ult64(b.umaxLo, b.umaxHi, a.uminLo, a.uminHi) ||
    ult64(a.umaxLo, a.umaxHi, b.uminLo, b.uminHi) ||
    slt64(b.smaxLo, b.smaxHi, a.sminLo, a.sminHi) ||
    slt64(a.smaxLo, a.smaxHi, b.sminLo, b.sminHi) ||
    rangesApart32(a, b)
  );
}

function rangesApart32(a: RegState, b: RegState): boolean {
  return ult32(b.u32Max, a.u32Min) || ult32(a.u32Max, b.u32Min) || b.s32Max < a.s32Min || a.s32Max < b.s32Min;
}

/** is_scalar_branch_taken() of whole registers. */
function scalarTaken64(a: RegState, b: RegState, opcode: number): number {
  switch (opcode) {
    case BPF_JEQ:
    case BPF_JNE:
      if (isConst(a) && isConst(b))
        return yes((a.valueLo === b.valueLo && a.valueHi === b.valueHi) === (opcode === BPF_JEQ));
      return apart64(a, b) ? yes(opcode === BPF_JNE) : UNKNOWN;
    case BPF_JSET: {
      const constant = isConst(b) ? b : a;
      const other = constant === b ? a : b;
      if (!isConst(constant)) return UNKNOWN;
      const { valueLo, valueHi } = constant;
      if (((other.valueLo & valueLo) | (other.valueHi & valueHi)) !== 0) return TAKEN;
      const possible =
        ((other.valueLo | other.maskLo) & valueLo) | ((other.valueHi | other.maskHi) & valueHi);
      return possible === 0 ? NOT_TAKEN : UNKNOWN;
    }
    case BPF_JGT:
      if (ult64(b.umaxLo, b.umaxHi, a.uminLo, a.uminHi)) return TAKEN;
      return ule64(a.umaxLo, a.umaxHi, b.uminLo, b.uminHi) ? NOT_TAKEN : UNKNOWN;
    case BPF_JSGT:
      if (slt64(b.smaxLo, b.smaxHi, a.sminLo, a.sminHi)) return TAKEN;
      return sle64(a.smaxLo, a.smaxHi, b.sminLo, b.sminHi) ? NOT_TAKEN : UNKNOWN;
    case BPF_JLT:
      if (ult64(a.umaxLo, a.umaxHi, b.uminLo, b.uminHi)) return TAKEN;
      return ule64(b.umaxLo, b.umaxHi, a.uminLo, a.uminHi) ? NOT_TAKEN : UNKNOWN;
    case BPF_JSLT:
      if (slt64(a.smaxLo, a.smaxHi, b.sminLo, b.sminHi)) return TAKEN;
      return sle64(b.smaxLo, b.smaxHi, a.sminLo, a.sminHi) ? NOT_TAKEN : UNKNOWN;
    case BPF_JGE:
      if (ule64(b.umaxLo, b.umaxHi, a.uminLo, a.uminHi)) return TAKEN;
      return ult64(a.umaxLo, a.umaxHi, b.uminLo, b.uminHi) ? NOT_TAKEN : UNKNOWN;
    case BPF_JSGE:
      if (sle64(b.smaxLo, b.smaxHi, a.sminLo, a.sminHi)) return TAKEN;
      return slt64(a.smaxLo, a.smaxHi, b.sminLo, b.sminHi) ? NOT_TAKEN : UNKNOWN;
    case BPF_JLE:
      if (ule64(a.umaxLo, a.umaxHi, b.uminLo, b.uminHi)) return TAKEN;
      return ult64(b.umaxLo, b.umaxHi, a.uminLo, a.uminHi) ? NOT_TAKEN : UNKNOWN;
    case BPF_JSLE:
      if (sle64(a.smaxLo, a.smaxHi, b.sminLo, b.sminHi)) return TAKEN;
      return slt64(b.smaxLo, b.smaxHi, a.sminLo, a.sminHi) ? NOT_TAKEN : UNKNOWN;
    default:
      return UNKNOWN;
  }
}

/** is_scalar_branch_taken() of lower halves. */
function scalarTaken32(a: RegState, b: RegState, opcode: number): number {
  switch (opcode) {
    case BPF_JEQ:
    case BPF_JNE:
      if ((a.maskLo | b.maskLo) === 0) return yes((a.valueLo === b.valueLo) === (opcode === BPF_JEQ));
      return !tnumOverlap32(a, b) || rangesApart32(a, b) ? yes(opcode === BPF_JNE) : UNKNOWN;
    case BPF_JSET: {
      const constant = b.maskLo === 0 ? b : a;
      const other = constant === b ? a : b;
      if (constant.maskLo !== 0) return UNKNOWN;
      if ((other.valueLo & constant.valueLo) !== 0) return TAKEN;
      return ((other.valueLo | other.maskLo) & constant.valueLo) === 0 ? NOT_TAKEN : UNKNOWN;
    }
    case BPF_JGT:
      if (ult32(b.u32Max, a.u32Min)) return TAKEN;
      return !ult32(b.u32Min, a.u32Max) ? NOT_TAKEN : UNKNOWN;
    case BPF_JSGT:
      if (a.s32Min > b.s32Max) return TAKEN;
      return a.s32Max <= b.s32Min ? NOT_TAKEN : UNKNOWN;
    case BPF_JLT:
      if (ult32(a.u32Max, b.u32Min)) return TAKEN;
      return !ult32(a.u32Min, b.u32Max) ? NOT_TAKEN : UNKNOWN;
    case BPF_JSLT:
      if (a.s32Max < b.s32Min) return TAKEN;
      return a.s32Min >= b.s32Max ? NOT_TAKEN : UNKNOWN;
    case BPF_JGE:
      if (!ult32(a.u32Min, b.u32Max)) return TAKEN;
      return ult32(a.u32Max, b.u32Min) ? NOT_TAKEN : UNKNOWN;
    case BPF_JSGE:
      if (a.s32Min >= b.s32Max) return TAKEN;
      return a.s32Max < b.s32Min ? NOT_TAKEN : UNKNOWN;
    case BPF_JLE:
      if (!ult32(b.u32Min, a.u32Max)) return TAKEN;
      return ult32(b.u32Max, a.u32Min) ? NOT_TAKEN : UNKNOWN;
    case BPF_JSLE:
      if (a.s32Max <= b.s32Min) return TAKEN;
      return a.s32Min > b.s32Max ? NOT_TAKEN : UNKNOWN;
    default:
      return UNKNOWN;
  }
}
