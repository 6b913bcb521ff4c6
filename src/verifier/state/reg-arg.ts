/** Reading and writing a register as an operand: check_reg_arg(), is_reg64(), and the zero-extension marks they leave. */
import type { Slots } from "../../asm/index.ts";
import {
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CALL,
  BPF_CMPXCHG,
  BPF_DW,
  BPF_END,
  BPF_EXIT,
  BPF_FETCH,
  BPF_IMM,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MEMSX,
  BPF_PSEUDO_CALL,
  BPF_ST,
  BPF_STX,
  EACCES,
  EINVAL,
} from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { DEF_NOT_SUBREG } from "../limits.ts";
import type { RegState } from "./reg.ts";
import { markRegUnknown } from "./reg-ops.ts";
import { NOT_INIT, SCALAR_VALUE } from "./reg-type.ts";
import { MAX_BPF_REG } from "./state.ts";

export const BPF_REG_FP = 10;

/** Whether the instruction at `i` uses all 64 bits of the register that it reads (`read`) or defines. is_reg64(). */
export function isReg64(slots: Slots, i: number, reg: RegState | null, read: boolean): boolean {
  const op = slots.op[i]!;
  const cls = op & 7;
  switch (cls) {
    case BPF_JMP: {
      const kind = op & 0xf0;
      if (kind === BPF_EXIT) return true;
      // Arguments go to a subprogram as they are; a helper may read all of each.
      if (kind === BPF_CALL) return slots.src[i] !== BPF_PSEUDO_CALL && read;
      return true;
    }
    case BPF_ALU64:
      return !((op & 0xf0) === BPF_END && (slots.imm[i] === 16 || slots.imm[i] === 32));
    case BPF_ALU:
      return (op & 0xf0) === BPF_END && slots.imm[i] === 64;
    case BPF_JMP32:
      return false;
    case BPF_LDX:
      return read || (op & 0x18) === BPF_DW || (op & 0xe0) === BPF_MEMSX;
    case BPF_STX:
      if (read && reg !== null && reg.type !== SCALAR_VALUE) return true;
      return (op & 0x18) === BPF_DW;
    case BPF_LD:
      return (op & 0xe0) === BPF_IMM || read;
    default:
      return true;
  }
}

/** The register that the instruction at `i` defines, or -1. insn_def_regno(). */
export function insnDefReg(slots: Slots, i: number): number {
  const op = slots.op[i]!;
  const imm = slots.imm[i]!;
  switch (op & 7) {
    case BPF_JMP:
    case BPF_JMP32:
    case BPF_ST:
      return -1;
    case BPF_STX:
      if ((op & 0xe0) !== BPF_ATOMIC) return -1;
      if (imm === BPF_CMPXCHG) return 0;
      if (imm === BPF_LOAD_ACQ) return slots.dst[i]!;
      return (imm & BPF_FETCH) !== 0 ? slots.src[i]! : -1;
    default:
      return slots.dst[i]!;
  }
}

/** Whether the instruction at `i` defines the lower half of a register only. insn_has_def32(). */
export function insnHasDef32(slots: Slots, i: number): boolean {
  return insnDefReg(slots, i) !== -1 && !isReg64(slots, i, null, false);
}

/** All 64 bits of register `r` are read: whoever wrote its lower half only has to zero the upper. mark_insn_zext(). */
export function markInsnZext(env: Env, r: number): void {
  const { subregDef } = env.reg(r);
  if (subregDef === DEF_NOT_SUBREG) return;
  env.aux[subregDef - 1]!.zextDst = true;
  env.frame.own(r).subregDef = DEF_NOT_SUBREG;
}

function checkNumber(env: Env, r: number): void {
  if (r >= MAX_BPF_REG) env.reject(EINVAL, `R${r} is invalid`);
  env.markRegScratched(r);
}

/** The instruction reads `r`. check_reg_arg(SRC_OP). */
export function checkSrcReg(env: Env, r: number): void {
  checkNumber(env, r);
  const reg = env.frame.regs[r]!;
  if (reg.type === NOT_INIT) env.reject(EACCES, `R${r} !read_ok`);
  if (r === BPF_REG_FP) return;
  if (reg.subregDef !== DEF_NOT_SUBREG && isReg64(env.slots, env.insnIdx, reg, true)) markInsnZext(env, r);
}

/** The instruction writes `r`; with `unknown`, it holds an unknown scalar afterwards. check_reg_arg(DST_OP, DST_OP_NO_MARK). */
export function checkDstReg(env: Env, r: number, unknown: boolean): void {
  checkNumber(env, r);
  if (r === BPF_REG_FP) env.reject(EACCES, "frame pointer is read only");
  const wide = isReg64(env.slots, env.insnIdx, env.frame.regs[r]!, false);
  env.frame.written |= 1 << r;
  if (unknown) markRegUnknown(env, env.frame, r);
  env.frame.own(r).subregDef = wide ? DEF_NOT_SUBREG : env.insnIdx + 1;
}
