import { InvalidProgramError } from "../../diag/index.ts";
import {
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JMP,
  BPF_JNE,
  BPF_JSET,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
  BPF_X,
} from "../../uapi/index.ts";
import {
  I32,
  OP_ELSE,
  OP_END,
  OP_I32_AND,
  OP_I32_EQ,
  OP_I32_EQZ,
  OP_I32_GE_S,
  OP_I32_GE_U,
  OP_I32_GT_S,
  OP_I32_GT_U,
  OP_I32_LE_S,
  OP_I32_LE_U,
  OP_I32_LT_S,
  OP_I32_LT_U,
  OP_I32_NE,
  OP_I32_SUB,
  OP_I64_AND,
  OP_I64_EQ,
  OP_I64_EQZ,
  OP_I64_GE_S,
  OP_I64_GE_U,
  OP_I64_GT_S,
  OP_I64_GT_U,
  OP_I64_LE_S,
  OP_I64_LE_U,
  OP_I64_LT_S,
  OP_I64_LT_U,
  OP_I64_NE,
  OP_IF,
} from "../wasm/opcodes.ts";
import type { Emitter } from "./emitter.ts";
import { MAY_GOTO } from "./program.ts";

/** Per condition: its opcode on i32 and on i64, and the condition that holds when it does not. */
const COMPARISONS: Readonly<Record<number, readonly [op32: number, op64: number, opposite: number]>> = {
  [BPF_JEQ]: [OP_I32_EQ, OP_I64_EQ, BPF_JNE],
  [BPF_JNE]: [OP_I32_NE, OP_I64_NE, BPF_JEQ],
  [BPF_JGT]: [OP_I32_GT_U, OP_I64_GT_U, BPF_JLE],
  [BPF_JGE]: [OP_I32_GE_U, OP_I64_GE_U, BPF_JLT],
  [BPF_JLT]: [OP_I32_LT_U, OP_I64_LT_U, BPF_JGE],
  [BPF_JLE]: [OP_I32_LE_U, OP_I64_LE_U, BPF_JGT],
  [BPF_JSGT]: [OP_I32_GT_S, OP_I64_GT_S, BPF_JSLE],
  [BPF_JSGE]: [OP_I32_GE_S, OP_I64_GE_S, BPF_JSLT],
  [BPF_JSLT]: [OP_I32_LT_S, OP_I64_LT_S, BPF_JSGE],
  [BPF_JSLE]: [OP_I32_LE_S, OP_I64_LE_S, BPF_JSGT],
};

/** A signed comparison of two numbers below 2^32 is the unsigned one of their low halves. */
const UNSIGNED: Readonly<Record<number, number>> = {
  [BPF_JSGT]: BPF_JGT,
  [BPF_JSGE]: BPF_JGE,
  [BPF_JSLT]: BPF_JLT,
  [BPF_JSLE]: BPF_JLE,
};

/** Times that one may_goto of a running function may be passed: BPF_MAX_LOOPS of the kernel. */
const MAY_GOTO_BUDGET = 8 << 20;

/** Pushes an i32: is the conditional jump at `i` taken (`negate`: not taken)? */
export function emitCondition(e: Emitter, i: number, negate: boolean): void {
  const { slots, values } = e;
  const op = slots.op[i];
  if (op === MAY_GOTO) {
    mayGoto(e, negate);
    return;
  }
  const dst = slots.dst[i];
  const src = slots.src[i];
  const imm = slots.imm[i];
  const useSrc = (op & BPF_X) !== 0;
  const small = values.isZext(dst) && (useSrc ? values.isZext(src) : imm >= 0);
  const narrow = (op & 7) !== BPF_JMP || small;
  let code = op & 0xf0;
  if (narrow) e.get32(dst);
  else e.get64(dst);
  const isZero = !useSrc && imm === 0;
  if (isZero && (code === BPF_JEQ || code === BPF_JNE)) {
    const wantZero = (code === BPF_JEQ) !== negate;
    if (wantZero) e.op(narrow ? OP_I32_EQZ : OP_I64_EQZ);
    else if (!narrow) {
      e.i64(0, 0);
      e.op(OP_I64_NE);
    }
    return;
  }
  if (useSrc) {
    if (narrow) e.get32(src);
    else e.get64(src);
  } else if (narrow) e.i32(imm);
  else e.imm64(imm);
  if (code === BPF_JSET) {
    if (narrow) {
      e.op(OP_I32_AND);
      if (negate) e.op(OP_I32_EQZ);
    } else {
      e.op(OP_I64_AND);
      if (negate) e.op(OP_I64_EQZ);
      else {
        e.i64(0, 0);
        e.op(OP_I64_NE);
      }
    }
    return;
  }
  if (narrow && (op & 7) === BPF_JMP) code = UNSIGNED[code] ?? code;
  let entry = COMPARISONS[code];
  if (entry === undefined) throw new InvalidProgramError(`unknown opcode 0x${op.toString(16)}`, i);
  if (negate) entry = COMPARISONS[entry[2]];
  e.op(narrow ? entry[0] : entry[1]);
}

/** Taken once the budget is used up; until then it costs one. The local counts up from zero. */
function mayGoto(e: Emitter, negate: boolean): void {
  const used = e.mayGotoCounter;
  e.get(used);
  e.i32(MAY_GOTO_BUDGET);
  e.op(OP_I32_EQ);
  e.op(OP_IF);
  e.op(I32);
  e.i32(1);
  e.op(OP_ELSE);
  e.get(used);
  e.i32(-1);
  e.op(OP_I32_SUB);
  e.set(used);
  e.i32(0);
  e.op(OP_END);
  if (negate) e.op(OP_I32_EQZ);
}
