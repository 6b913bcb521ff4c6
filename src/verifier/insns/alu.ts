/** Arithmetic instructions: check_alu_op(). */
import {
  BPF_ADD,
  BPF_ALU64,
  BPF_AND,
  BPF_ARSH,
  BPF_DIV,
  BPF_END,
  BPF_LSH,
  BPF_MOD,
  BPF_MOV,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_RSH,
  BPF_SUB,
  BPF_X,
  BPF_XOR,
  EACCES,
  EINVAL,
} from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { DEF_NOT_SUBREG } from "../limits.ts";
import { boundsSync, S32_MIN, unbound } from "../numbers/bounds.ts";
import {
  assignScalarIdBeforeMov,
  BPF_ADD_CONST,
  BPF_ADD_CONST32,
  BPF_ADD_CONST64,
  clearScalarId,
  wantsScalarId,
} from "../numbers/scalar-id.ts";
import * as ops from "../numbers/scalar-ops.ts";
import {
  tnumAdd,
  tnumAnd,
  tnumByteSwap,
  tnumMul,
  tnumMulPrecise,
  tnumNeg,
  tnumOr,
  tnumSub,
  tnumXor,
} from "../numbers/tnum.ts";
import { markChainPrecision } from "../paths/precision.ts";
import { pushStack } from "../state/branch.ts";
import { isConst, RegState } from "../state/reg.ts";
import { checkDstReg, checkSrcReg } from "../state/reg-arg.ts";
import {
  boundsSanityCheck,
  coerceSubregToSizeSx,
  coerceToSize,
  coerceToSizeSx,
  isRegConst,
  markConstScalar,
  markKnown,
  markKnown32,
  markRegUnknown,
  regWidth,
  zext32To64,
} from "../state/reg-ops.ts";
import { PTR_TO_ARENA, SCALAR_VALUE } from "../state/reg-type.ts";
import type { FuncState } from "../state/state.ts";
import { ALU_OPERATORS, pointerAlu } from "./ptr-alu.ts";
import { sanitizeNeeded, sanitizeScalar } from "./sanitize.ts";

/** MOV with this offset casts between address spaces: BPF_ADDR_SPACE_CAST. */
const BPF_ADDR_SPACE_CAST = 1;

/** is_pointer_value(): a pointer that must not leak. */
function leaksPointer(env: Env, r: number): boolean {
  return !env.allowPtrLeaks && env.reg(r).type !== SCALAR_VALUE;
}

/** The instruction at env.insnIdx: check_alu_op(). */
export function checkAluOp(env: Env): void {
  const { slots, insnIdx } = env;
  const op = slots.op[insnIdx]!;
  const opcode = op & 0xf0;
  const dst = slots.dst[insnIdx]!;
  switch (opcode) {
    case BPF_NEG:
    case BPF_END:
      checkUnary(env, op, dst);
      break;
    case BPF_MOV:
      if ((op & BPF_X) !== 0) checkMovReg(env, op, dst);
      else checkMovImm(env, op, dst);
      break;
    default:
      if (opcode > BPF_END) env.reject(EINVAL, `invalid BPF_ALU opcode ${opcode.toString(16)}`);
      checkBinary(env, op, dst);
  }
  const reg = env.frame.regs[dst]!;
  // A register just copied was checked where it was made.
  if (!reg.shared) boundsSanityCheck(env, reg, "alu");
}

function checkUnary(env: Env, op: number, dst: number): void {
  const { slots, insnIdx } = env;
  const imm = slots.imm[insnIdx]!;
  if ((op & 0xf0) === BPF_NEG) {
    if ((op & BPF_X) !== 0 || slots.src[insnIdx] !== 0 || slots.off[insnIdx] !== 0 || imm !== 0)
      env.reject(EINVAL, "BPF_NEG uses reserved fields");
  } else if (
    slots.src[insnIdx] !== 0 ||
    slots.off[insnIdx] !== 0 ||
    (imm !== 16 && imm !== 32 && imm !== 64) ||
    ((op & 7) === BPF_ALU64 && (op & BPF_X) !== 0)
  )
    env.reject(EINVAL, "BPF_END uses reserved fields");
  checkSrcReg(env, dst);
  if (leaksPointer(env, dst)) env.reject(EACCES, `R${dst} pointer arithmetic prohibited`);
  if ((op & 0xf0) === BPF_NEG && env.tracksNeg && env.reg(dst).type === SCALAR_VALUE) {
    checkDstReg(env, dst, false);
    const reg = env.frame.own(dst);
    operand.assign(reg);
    markKnown(reg, 0, 0);
    ops.scalarSub32(reg, operand, env.wrapsKeepRange);
    ops.scalarSub64(reg, operand, env.wrapsKeepRange);
    tnumNeg(reg, operand);
    if ((op & 7) !== BPF_ALU64) zext32To64(reg);
    boundsSync(reg);
  } else if ((op & 0xf0) === BPF_END && env.tracksByteSwaps && env.reg(dst).type === SCALAR_VALUE) {
    checkDstReg(env, dst, false);
    byteSwap(env.frame.own(dst), imm, (op & 7) === BPF_ALU64 || (op & BPF_X) !== 0);
  } else checkDstReg(env, dst, true);
}

/** A conversion to little endian only cuts: the machine is one. scalar_byte_swap(). */
function byteSwap(reg: RegState, bits: number, swaps: boolean): void {
  if (swaps || bits !== 64) clearScalarId(reg);
  if (swaps) {
    tnumByteSwap(reg, reg, bits);
    unbound(reg);
  }
  if (bits !== 64) coerceToSize(reg, bits >> 3);
  boundsSync(reg);
}

function checkMovImm(env: Env, op: number, dst: number): void {
  const { slots, insnIdx } = env;
  if (slots.src[insnIdx] !== 0 || slots.off[insnIdx] !== 0)
    env.reject(EINVAL, "BPF_MOV uses reserved fields");
  checkDstReg(env, dst, true);
  const imm = slots.imm[insnIdx]!;
  markConstScalar(env.frame.own(dst), imm, (op & 7) === BPF_ALU64 ? imm >> 31 : 0);
}

function checkMovReg(env: Env, op: number, dst: number): void {
  const { slots, insnIdx } = env;
  const off = slots.off[insnIdx]!;
  const imm = slots.imm[insnIdx]!;
  const src = slots.src[insnIdx]!;
  const wide = (op & 7) === BPF_ALU64;
  if (wide && off === BPF_ADDR_SPACE_CAST) {
    if (imm !== 1 && imm !== 1 << 16)
      env.reject(EINVAL, "addr_space_cast insn can only convert between address space 1 and 0");
    if (!env.hasArena)
      env.reject(EINVAL, "addr_space_cast insn can only be used in a program that has an associated arena");
  } else if ((off !== 0 && off !== 8 && off !== 16 && !(wide && off === 32)) || imm !== 0)
    env.reject(EINVAL, "BPF_MOV uses reserved fields");
  checkSrcReg(env, src);
  checkDstReg(env, dst, false);
  const { frame } = env;
  if (imm !== 0) {
    const reg = markRegUnknown(env, frame, dst);
    if (imm === 1) {
      reg.type = PTR_TO_ARENA;
      reg.subregDef = insnIdx + 1;
    }
    return;
  }
  if (wide && off === 0) {
    if (wantsScalarId(frame.regs[src]!)) assignScalarIdBeforeMov(env, frame.own(src));
    copyWith(frame, dst, src, DEF_NOT_SUBREG);
    return;
  }
  if (leaksPointer(env, src))
    env.reject(EACCES, `R${src} ${wide ? "sign-extension part" : "partial copy"} of pointer`);
  const reg = frame.regs[src]!;
  if (reg.type !== SCALAR_VALUE) {
    const unknown = markRegUnknown(env, frame, dst);
    if (!wide) {
      zext32To64(unknown);
      boundsSync(unknown);
    }
    return;
  }
  // The copy is the same number where nothing is cut off: then they stay linked.
  const same = off === 0 ? regWidth(reg) <= 32 : reg.umaxHi === 0 && reg.umaxLo >>> 0 < 2 ** (off - 1);
  if (same && wantsScalarId(reg)) assignScalarIdBeforeMov(env, frame.own(src));
  copyWith(frame, dst, src, wide ? DEF_NOT_SUBREG : insnIdx + 1);
  const copy = frame.own(dst);
  if (!same) clearScalarId(copy);
  if (wide) coerceToSizeSx(copy, off >> 3);
  else {
    if (off !== 0) coerceSubregToSizeSx(copy, off >> 3);
    zext32To64(copy);
    boundsSync(copy);
  }
}

/** R`dst` = R`src`, with a subregDef of its own. */
function copyWith(frame: FuncState, dst: number, src: number, subregDef: number): void {
  frame.copyReg(dst, frame.regs[src]!, frame.isPrecise(src));
  if (frame.regs[dst]!.subregDef !== subregDef) frame.own(dst).subregDef = subregDef;
}

function checkBinary(env: Env, op: number, dst: number): void {
  const { slots, insnIdx } = env;
  const opcode = op & 0xf0;
  const off = slots.off[insnIdx]!;
  const imm = slots.imm[insnIdx]!;
  const fromReg = (op & BPF_X) !== 0;
  if (
    (fromReg ? imm !== 0 : slots.src[insnIdx] !== 0) ||
    (off !== 0 && off !== 1) ||
    (off === 1 && opcode !== BPF_MOD && opcode !== BPF_DIV)
  )
    env.reject(EINVAL, "BPF_ALU uses reserved fields");
  if (fromReg) checkSrcReg(env, slots.src[insnIdx]!);
  checkSrcReg(env, dst);
  if (!fromReg) {
    if ((opcode === BPF_MOD || opcode === BPF_DIV) && imm === 0) env.reject(EINVAL, "div by zero");
    if (opcode === BPF_LSH || opcode === BPF_RSH || opcode === BPF_ARSH) {
      const size = (op & 7) === BPF_ALU64 ? 64 : 32;
      if (imm < 0 || imm >= size) env.reject(EINVAL, `invalid shift ${imm}`);
    }
  }
  checkDstReg(env, dst, false);
  adjustReg(env, op, dst);
}

/** Immediate operands, and second operands that are the destination too. */
const operand = new RegState();

/** adjust_reg_min_max_vals(). */
function adjustReg(env: Env, op: number, dst: number): void {
  const { slots, insnIdx, frame } = env;
  const fromReg = (op & BPF_X) !== 0;
  const src = slots.src[insnIdx]!;
  const dstReg = frame.regs[dst]!;
  const srcReg = fromReg ? frame.regs[src]! : operand;

  if (dstReg.type === PTR_TO_ARENA || (fromReg && srcReg.type === PTR_TO_ARENA)) {
    if (dstReg.type !== PTR_TO_ARENA) frame.copyReg(dst, srcReg, frame.isPrecise(src));
    frame.own(dst).subregDef = insnIdx + 1;
    if ((op & 7) === BPF_ALU64) env.aux[insnIdx]!.needsZext = true;
    return;
  }

  if (!fromReg) {
    const imm = slots.imm[insnIdx]!;
    markConstScalar(operand, imm, imm >> 31);
    if (dstReg.type !== SCALAR_VALUE) {
      pointerAlu(env, dst, operand);
      return;
    }
  } else if (srcReg.type !== SCALAR_VALUE) {
    if (dstReg.type !== SCALAR_VALUE) {
      if ((op & 0xf0) === BPF_SUB && env.allowPtrLeaks) {
        markRegUnknown(env, frame, dst);
        return;
      }
      env.reject(EACCES, `R${dst} pointer ${ALU_OPERATORS[op >> 4]} pointer prohibited`);
    }
    markChainPrecision(env, dst);
    // `dstReg` stays as it is: the destination gets a register of its own.
    dstReg.shared = true;
    pointerAlu(env, src, dstReg);
    return;
  } else if (dstReg.type !== SCALAR_VALUE) {
    markChainPrecision(env, src);
    pointerAlu(env, dst, srcReg);
    return;
  } else if (frame.isPrecise(dst)) markChainPrecision(env, src);

  let reg = frame.own(dst);
  let second = fromReg ? frame.regs[src]! : operand;
  if (second === reg) second = operand.assign(reg);
  const fits32 = reg.umaxHi === 0;
  reg = scalarAlu(env, op, dst, reg, second);

  linkDistance(env, op, reg, second, fits32, fromReg && src === dst);
}

/** R1 = R2; R1 += 8: what a later comparison says of one says something of the other. */
function linkDistance(
  env: Env,
  op: number,
  reg: RegState,
  second: RegState,
  fits32: boolean,
  twice: boolean,
): void {
  const opcode = op & 0xf0;
  const wide = (op & 7) === BPF_ALU64;
  const distance = second.valueLo;
  let links =
    env.bpfCapable && reg.id !== 0 && (reg.id & BPF_ADD_CONST) === 0 && !twice && isRegConst(second, !wide);
  if (env.linkedDeltas) {
    links &&= opcode === BPF_ADD || (opcode === BPF_SUB && distance !== S32_MIN);
    // A 32-bit sum is one of the whole number only where that has 32 bits.
    links &&= wide ? second.valueHi === distance >> 31 : fits32;
  } else links &&= opcode === BPF_ADD && wide && second.valueHi === 0 && distance >= 0;
  if (!links) {
    clearScalarId(reg);
    return;
  }
  reg.id |= wide ? BPF_ADD_CONST64 : BPF_ADD_CONST32;
  reg.off = opcode === BPF_SUB ? -distance : distance;
}

/** is_safe_to_compute_dst_reg_range(). */
function isTracked(op: number, src: RegState): boolean {
  const opcode = op & 0xf0;
  switch (opcode) {
    case BPF_ADD:
    case BPF_SUB:
    case BPF_AND:
    case BPF_XOR:
    case BPF_OR:
    case BPF_MUL:
      return true;
    case BPF_LSH:
    case BPF_RSH:
    case BPF_ARSH: {
      const wide = (op & 7) === BPF_ALU64;
      const known = wide
        ? isConst(src) &&
          src.sminLo === src.smaxLo &&
          src.sminHi === src.smaxHi &&
          src.uminLo === src.umaxLo &&
          src.uminHi === src.umaxHi
        : src.maskLo === 0 && src.s32Min === src.s32Max && src.u32Min === src.u32Max;
      return known && src.umaxHi === 0 && src.umaxLo >>> 0 < (wide ? 64 : 32);
    }
    default:
      return false;
  }
}

/** Two numbers; returns the destination's register: adjust_scalar_min_max_vals(). */
function scalarAlu(env: Env, op: number, dst: number, reg: RegState, src: RegState): RegState {
  const wide = (op & 7) === BPF_ALU64;
  const opcode = op & 0xf0;
  if (!isTracked(op, src)) {
    return markRegUnknown(env, env.frame, dst);
  }
  if (sanitizeNeeded(opcode)) sanitizeScalar(env, op, dst);
  switch (opcode) {
    case BPF_ADD:
      ops.scalarAdd32(reg, src, env.wrapsKeepRange);
      ops.scalarAdd64(reg, src, env.wrapsKeepRange);
      tnumAdd(reg, reg, src);
      break;
    case BPF_SUB:
      ops.scalarSub32(reg, src, env.wrapsKeepRange);
      ops.scalarSub64(reg, src, env.wrapsKeepRange);
      tnumSub(reg, reg, src);
      break;
    case BPF_MUL:
      if (env.tnumMulPrecise) tnumMulPrecise(reg, reg, src);
      else tnumMul(reg, reg, src);
      if (env.mulTracksSigned) {
        ops.scalarMul32(reg, src);
        ops.scalarMul64(reg, src);
      } else {
        ops.scalarMul32Positive(reg, src);
        ops.scalarMul64Positive(reg, src);
      }
      break;
    case BPF_AND:
      if (isConst(src)) reg = maybeFork(env, dst, reg);
      tnumAnd(reg, reg, src);
      ops.scalarAnd32(reg, src);
      ops.scalarAnd64(reg, src);
      break;
    case BPF_OR:
      if (isConst(src)) reg = maybeFork(env, dst, reg);
      tnumOr(reg, reg, src);
      ops.scalarOr32(reg, src);
      ops.scalarOr64(reg, src);
      break;
    case BPF_XOR:
      tnumXor(reg, reg, src);
      ops.scalarXor32(reg, src);
      ops.scalarXor64(reg, src);
      break;
    case BPF_LSH:
      if (wide) ops.scalarLsh64(reg, src.umaxLo);
      else ops.scalarLsh32(reg, src.umaxLo);
      break;
    case BPF_RSH:
      if (wide) ops.scalarRsh64(reg, src.umaxLo);
      else ops.scalarRsh32(reg, src.umaxLo);
      break;
    default:
      if (wide) ops.scalarArsh64(reg, src.umaxLo);
      else ops.scalarArsh32(reg, src.umaxLo);
  }
  if (!wide) zext32To64(reg);
  boundsSync(reg);
  return reg;
}

/**
 * maybe_fork_scalars(): a number that is 0 or -1 (a comparison made without a branch) is about to be a mask. It is
 * looked at as 0 in a path of its own, and as -1 here.
 */
function maybeFork(env: Env, dst: number, reg: RegState): RegState {
  if (!env.forksMasks) return reg;
  const wide = (reg.sminLo & reg.sminHi) === -1 && (reg.smaxLo | reg.smaxHi) === 0;
  if (!wide && !(reg.s32Min === -1 && reg.s32Max === 0)) return reg;
  const zero = pushStack(env, env.insnIdx, env.insnIdx, false).frame.own(dst);
  // Both states share the register now.
  const minusOne = env.frame.own(dst);
  if (wide) {
    markKnown(zero, 0, 0);
    markKnown(minusOne, -1, -1);
  } else {
    markKnown32(zero, 0);
    markKnown32(minusOne, -1);
  }
  return minusOne;
}
