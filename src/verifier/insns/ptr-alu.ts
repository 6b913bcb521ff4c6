/** Arithmetic on pointers: adjust_ptr_min_max_vals() and the offsets that a pointer may carry. */
import { BPF_ADD, BPF_ALU64, BPF_AND, BPF_OR, BPF_SUB, BPF_XOR, EACCES, EINVAL } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { BPF_MAX_VAR_OFF } from "../limits.ts";
import { regTypeStr } from "../log/type-names.ts";
import { boundsSync, S32_MIN, unbound32 } from "../numbers/bounds.ts";
import { sle64, toNumberS64, toS64, ult64 } from "../numbers/int64.ts";
import { scalarAdd64, scalarSub64 } from "../numbers/scalar-ops.ts";
import { tnumAdd, tnumSub } from "../numbers/tnum.ts";
import { isConst, type RegState } from "../state/reg.ts";
import { markRegUnknown } from "../state/reg-ops.ts";
import {
  baseType,
  CONST_PTR_TO_DYNPTR,
  CONST_PTR_TO_MAP,
  mayBeNull,
  PTR_TO_BTF_ID,
  PTR_TO_BUF,
  PTR_TO_CTX,
  PTR_TO_FLOW_KEYS,
  PTR_TO_FUNC,
  PTR_TO_INSN,
  PTR_TO_MAP_KEY,
  PTR_TO_MAP_VALUE,
  PTR_TO_MEM,
  PTR_TO_PACKET,
  PTR_TO_PACKET_META,
  PTR_TO_STACK,
  PTR_TO_TP_BUFFER,
  PTR_UNTRUSTED,
} from "../state/reg-type.ts";
import { type SanitizeInfo, sanitizeCheckBounds, sanitizeNeeded, sanitizePtr } from "./sanitize.ts";

/** bpf_alu_string, by the operation's number. */
export const ALU_OPERATORS: readonly string[] = [
  "+=",
  "-=",
  "*=",
  "/=",
  "|=",
  "&=",
  "<<=",
  ">>=",
  "neg",
  "%=",
  "^=",
  "=",
  "s>>=",
  "endian",
  "",
  "",
];

export function isPktPointer(type: number): boolean {
  return type === PTR_TO_PACKET || type === PTR_TO_PACKET_META;
}

const WITH_ARITHMETIC: ReadonlySet<number> = new Set([
  PTR_TO_CTX,
  PTR_TO_MAP_VALUE,
  PTR_TO_MAP_KEY,
  PTR_TO_STACK,
  PTR_TO_PACKET_META,
  PTR_TO_PACKET,
  PTR_TO_TP_BUFFER,
  PTR_TO_BTF_ID,
  PTR_TO_MEM,
  PTR_TO_BUF,
  PTR_TO_FUNC,
  PTR_TO_INSN,
  CONST_PTR_TO_DYNPTR,
]);

/** check_reg_sane_offset(): the register (a pointer, or a number added to one of `type`) stays within +-2^29. */
export function checkSaneOffset(env: Env, reg: RegState, type: number): void {
  if (isConst(reg)) {
    const v = toNumberS64(reg.valueLo, reg.valueHi);
    if (v >= BPF_MAX_VAR_OFF || v <= -BPF_MAX_VAR_OFF)
      env.reject(
        EINVAL,
        `math between ${regTypeStr(type)} pointer and ${toS64(reg.valueLo, reg.valueHi)} is not allowed`,
      );
  }
  if (reg.off >= BPF_MAX_VAR_OFF || reg.off <= -BPF_MAX_VAR_OFF)
    env.reject(EINVAL, `${regTypeStr(type)} pointer offset ${reg.off} is not allowed`);
  if (reg.sminHi === S32_MIN && reg.sminLo === 0)
    env.reject(
      EINVAL,
      `math between ${regTypeStr(type)} pointer and register with unbounded min value is not allowed`,
    );
  const smin = toNumberS64(reg.sminLo, reg.sminHi);
  if (smin >= BPF_MAX_VAR_OFF || smin <= -BPF_MAX_VAR_OFF)
    env.reject(
      EINVAL,
      `value ${toS64(reg.sminLo, reg.sminHi)} makes ${regTypeStr(type)} pointer be out of bounds`,
    );
}

/**
 * adjust_ptr_min_max_vals(): the instruction at env.insnIdx applied to a pointer and a number; `ptrReg` names the
 * pointer's register (destination or source).
 */
export function pointerAlu(env: Env, ptrReg: number, off: RegState): void {
  const { slots, insnIdx, frame } = env;
  const op = slots.op[insnIdx]!;
  const opcode = op & 0xf0;
  const dst = slots.dst[insnIdx]!;
  const ptr = frame.regs[ptrReg]!;
  const known = isConst(off);
  const sminIsSmax = off.sminLo === off.smaxLo && off.sminHi === off.smaxHi;
  const uminIsUmax = off.uminLo === off.umaxLo && off.uminHi === off.umaxHi;
  if (
    (known && !(sminIsSmax && uminIsUmax)) ||
    !sle64(off.sminLo, off.sminHi, off.smaxLo, off.smaxHi) ||
    ult64(off.umaxLo, off.umaxHi, off.uminLo, off.uminHi)
  ) {
    // Bounds of a branch that cannot be taken.
    markRegUnknown(env, frame, dst);
    return;
  }
  if ((op & 7) !== BPF_ALU64) {
    if (opcode === BPF_SUB && env.allowPtrLeaks) {
      markRegUnknown(env, frame, dst);
      return;
    }
    env.reject(EACCES, `R${dst} 32-bit pointer arithmetic prohibited`);
  }
  if (mayBeNull(ptr.type))
    env.reject(
      EACCES,
      `R${dst} pointer arithmetic on ${regTypeStr(ptr.type)} prohibited, null-check it first`,
    );
  const base = baseType(ptr.type);
  // Read through probes, which may fail: no need to know where it points.
  if (base === PTR_TO_MEM && (ptr.type & PTR_UNTRUSTED) !== 0) return;
  const addsZero = known && opcode === BPF_ADD && off.sminLo === 0 && off.sminHi === 0;
  const allowed =
    WITH_ARITHMETIC.has(base) ||
    (base === PTR_TO_FLOW_KEYS && known) ||
    ((base === CONST_PTR_TO_MAP || base === PTR_TO_FLOW_KEYS) && addsZero);
  if (!allowed) env.reject(EACCES, `R${dst} pointer arithmetic on ${regTypeStr(ptr.type)} prohibited`);

  const ptrIsDst = ptrReg === dst;
  if (!ptrIsDst) frame.copyReg(dst, ptr, frame.isPrecise(ptrReg));
  checkSaneOffset(env, off, ptr.type);
  checkSaneOffset(env, ptr, ptr.type);
  const src = slots.src[insnIdx]!;
  const info: SanitizeInfo = { aluState: 0, aluLimit: 0, maskToLeft: false };
  if (sanitizeNeeded(opcode)) sanitizePtr(env, op, dst, src, ptr, off, ptrIsDst, info, false);

  const reg = frame.own(dst);
  unbound32(reg);
  switch (opcode) {
    case BPF_ADD: {
      const fixed = reg.off + toNumberS64(off.sminLo, off.sminHi);
      if (known && fixed === (fixed | 0)) {
        reg.off = fixed;
        break;
      }
      scalarAdd64(reg, off, false);
      tnumAdd(reg, reg, off);
      if (isPktPointer(reg.type)) {
        reg.id = env.newId();
        reg.range = 0;
      }
      break;
    }
    case BPF_SUB: {
      if (!ptrIsDst) env.reject(EACCES, `R${dst} tried to subtract pointer from scalar`);
      // JITs may not cope with "invalid fp arithmetic".
      if (reg.type === PTR_TO_STACK) env.reject(EACCES, `R${dst} subtraction from stack pointer prohibited`);
      const fixed = reg.off - toNumberS64(off.sminLo, off.sminHi);
      if (known && fixed === (fixed | 0)) {
        reg.off = fixed;
        break;
      }
      scalarSub64(reg, off, false);
      tnumSub(reg, reg, off);
      if (isPktPointer(reg.type)) {
        reg.id = env.newId();
        // What is known to be accessible stays so where the pointer only moves back.
        if (off.sminHi < 0) reg.range = 0;
      }
      break;
    }
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR:
      return env.reject(
        EACCES,
        `R${dst} bitwise operator ${ALU_OPERATORS[opcode >> 4]} on pointer prohibited`,
      );
    default:
      return env.reject(
        EACCES,
        `R${dst} pointer arithmetic with ${ALU_OPERATORS[opcode >> 4]} operator prohibited`,
      );
  }
  checkSaneOffset(env, reg, ptr.type);
  boundsSync(reg);
  sanitizeCheckBounds(env, dst);
  if (sanitizeNeeded(opcode)) sanitizePtr(env, op, dst, src, reg, off, true, info, true);
}
