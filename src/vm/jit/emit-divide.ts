/** BPF_DIV and BPF_MOD, signed and unsigned, at both widths. */
import { InvalidProgramError } from "../../diag/index.ts";
import { BPF_MOD, BPF_X } from "../../uapi/index.ts";
import {
  I32,
  I64,
  OP_ELSE,
  OP_END,
  OP_I32_DIV_S,
  OP_I32_DIV_U,
  OP_I32_EQ,
  OP_I32_EQZ,
  OP_I32_REM_S,
  OP_I32_REM_U,
  OP_I32_SUB,
  OP_I64_DIV_S,
  OP_I64_DIV_U,
  OP_I64_EQ,
  OP_I64_EQZ,
  OP_I64_REM_S,
  OP_I64_REM_U,
  OP_I64_SUB,
  OP_IF,
} from "../wasm/opcodes.ts";
import type { Emitter } from "./emitter.ts";

/** What differs between 32 and 64 bits. */
export interface DivisionWidth {
  readonly type: number;
  readonly signed: { readonly div: number; readonly rem: number };
  readonly unsigned: { readonly div: number; readonly rem: number };
  readonly sub: number;
  readonly eq: number;
  readonly eqz: number;
  register(e: Emitter, reg: number): void;
  constant(e: Emitter, value: number): void;
}

export const DIVIDE32: DivisionWidth = {
  type: I32,
  signed: { div: OP_I32_DIV_S, rem: OP_I32_REM_S },
  unsigned: { div: OP_I32_DIV_U, rem: OP_I32_REM_U },
  sub: OP_I32_SUB,
  eq: OP_I32_EQ,
  eqz: OP_I32_EQZ,
  register: (e, reg) => e.get32(reg),
  constant: (e, value) => e.i32(value),
};

export const DIVIDE64: DivisionWidth = {
  type: I64,
  signed: { div: OP_I64_DIV_S, rem: OP_I64_REM_S },
  unsigned: { div: OP_I64_DIV_U, rem: OP_I64_REM_U },
  sub: OP_I64_SUB,
  eq: OP_I64_EQ,
  eqz: OP_I64_EQZ,
  register: (e, reg) => e.get64(reg),
  constant: (e, value) => e.imm64(value),
};

/**
 * Leaves the quotient or remainder on the operand stack. Division by zero gives 0, modulo by zero leaves the dividend,
 * and the most negative number over -1 wraps.
 */
export function emitDivision(e: Emitter, i: number, width: DivisionWidth): void {
  const { op, dst, src, imm, off } = e.slots;
  const modulo = (op[i] & 0xf0) === BPF_MOD;
  const signed = off[i] === 1;
  if (off[i] !== 0 && !signed) throw new InvalidProgramError(`division with offset ${off[i]}`, i);
  const useSrc = (op[i] & BPF_X) !== 0;
  const opcodes = signed ? width.signed : width.unsigned;
  const dividend = (): void => width.register(e, dst[i]);
  const divisor = (): void => (useSrc ? width.register(e, src[i]) : width.constant(e, imm[i]));
  const divide = (): void => {
    dividend();
    divisor();
    e.op(modulo ? opcodes.rem : opcodes.div);
  };
  const byZero = (): void => {
    if (modulo) dividend();
    else width.constant(e, 0);
  };
  // Wasm's remainder of the most negative number by -1 is 0, as BPF wants it; only the division traps.
  const byMinusOne = (): void => {
    width.constant(e, 0);
    dividend();
    e.op(width.sub);
  };
  // A register's known 32 bits are all that a 32-bit division reads of it.
  const known = !useSrc || (width === DIVIDE32 && e.values.isConst(src[i]));
  if (known) {
    const constant = useSrc ? e.values.lo[src[i]] : imm[i];
    if (constant === 0) byZero();
    else if (constant === -1 && signed && !modulo) byMinusOne();
    else divide();
    return;
  }
  if (!signed && e.values.isNonzero(src[i])) {
    divide();
    return;
  }
  divisor();
  e.op(width.eqz);
  e.op(OP_IF);
  e.op(width.type);
  byZero();
  e.op(OP_ELSE);
  if (signed && !modulo) {
    divisor();
    width.constant(e, -1);
    e.op(width.eq);
    e.op(OP_IF);
    e.op(width.type);
    byMinusOne();
    e.op(OP_ELSE);
    divide();
    e.op(OP_END);
  } else divide();
  e.op(OP_END);
}
