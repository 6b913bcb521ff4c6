import { InvalidProgramError } from "../../diag/index.ts";
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
} from "../../uapi/index.ts";
import {
  I32,
  I64,
  OP_I32_ADD,
  OP_I32_AND,
  OP_I32_EXTEND8_S,
  OP_I32_EXTEND16_S,
  OP_I32_MUL,
  OP_I32_OR,
  OP_I32_ROTL,
  OP_I32_SHL,
  OP_I32_SHR_S,
  OP_I32_SHR_U,
  OP_I32_SUB,
  OP_I32_WRAP_I64,
  OP_I32_XOR,
  OP_I64_ADD,
  OP_I64_AND,
  OP_I64_EXTEND_I32_S,
  OP_I64_EXTEND8_S,
  OP_I64_EXTEND16_S,
  OP_I64_MUL,
  OP_I64_OR,
  OP_I64_ROTL,
  OP_I64_SHL,
  OP_I64_SHR_S,
  OP_I64_SHR_U,
  OP_I64_SUB,
  OP_I64_XOR,
} from "../wasm/opcodes.ts";
import { DEMAND_LOW, DEMAND_NONE } from "./demand.ts";
import { DIVIDE32, DIVIDE64, emitDivision } from "./emit-divide.ts";
import type { Emitter } from "./emitter.ts";
import { VALUE_CONST, VALUE_FRAME } from "./values.ts";

const OPS32: Readonly<Record<number, number>> = {
  [BPF_ADD]: OP_I32_ADD,
  [BPF_SUB]: OP_I32_SUB,
  [BPF_MUL]: OP_I32_MUL,
  [BPF_OR]: OP_I32_OR,
  [BPF_AND]: OP_I32_AND,
  [BPF_LSH]: OP_I32_SHL,
  [BPF_RSH]: OP_I32_SHR_U,
  [BPF_XOR]: OP_I32_XOR,
  [BPF_ARSH]: OP_I32_SHR_S,
};
const OPS64: Readonly<Record<number, number>> = {
  [BPF_ADD]: OP_I64_ADD,
  [BPF_SUB]: OP_I64_SUB,
  [BPF_MUL]: OP_I64_MUL,
  [BPF_OR]: OP_I64_OR,
  [BPF_AND]: OP_I64_AND,
  [BPF_LSH]: OP_I64_SHL,
  [BPF_RSH]: OP_I64_SHR_U,
  [BPF_XOR]: OP_I64_XOR,
  [BPF_ARSH]: OP_I64_SHR_S,
};

/** Emits an instruction of class ALU or ALU64, and advances what is known. */
export function emitAlu(e: Emitter, i: number): void {
  const { slots, values } = e;
  const dst = slots.dst[i];
  if (dst >= 10) throw new InvalidProgramError(`write to r${dst}`, i);
  const demand = e.facts.demand.result[i - e.facts.fn.start];
  if (demand === DEMAND_NONE) {
    e.advance(i);
    e.forget(dst);
    return;
  }
  // A result that is known or relative to the frame costs nothing until it is used.
  const { before } = e;
  before.copy(values, dst);
  e.advance(i);
  const kind = values.kind[dst];
  if (kind === VALUE_CONST || kind === VALUE_FRAME) {
    e.forget(dst);
    return;
  }
  // The operands are read as they were.
  const { after } = e;
  after.copy(values, dst);
  values.copy(before, dst);
  if ((slots.op[i] & 7) === BPF_ALU64) alu64(e, i, demand);
  else alu32(e, i);
  values.copy(after, dst);
}

function alu32(e: Emitter, i: number): void {
  const { op: ops, dst: dsts, off: offs } = e.slots;
  const code = ops[i] & 0xf0;
  const dst = dsts[i];
  switch (code) {
    case BPF_MOV:
      operand32(e, i);
      if (offs[i] === 8) e.op(OP_I32_EXTEND8_S);
      else if (offs[i] === 16) e.op(OP_I32_EXTEND16_S);
      else if (offs[i] !== 0) throw new InvalidProgramError(`mov with offset ${offs[i]}`, i);
      break;
    case BPF_NEG:
      e.i32(0);
      e.get32(dst);
      e.op(OP_I32_SUB);
      break;
    case BPF_DIV:
    case BPF_MOD:
      emitDivision(e, i, DIVIDE32);
      break;
    case BPF_END:
      if (ops[i] & BPF_X) swap(e, i);
      else truncate(e, i);
      return;
    default: {
      const opcode = OPS32[code];
      if (opcode === undefined) throw new InvalidProgramError(`unknown opcode 0x${ops[i].toString(16)}`, i);
      e.get32(dst);
      operand32(e, i);
      e.op(opcode);
    }
  }
  e.set32(dst, true);
}

/** Pushes the low half of the source operand. */
function operand32(e: Emitter, i: number): void {
  if (e.slots.op[i] & BPF_X) e.get32(e.slots.src[i]);
  else e.i32(e.slots.imm[i]);
}

function operand64(e: Emitter, i: number): void {
  if (e.slots.op[i] & BPF_X) e.get64(e.slots.src[i]);
  else e.imm64(e.slots.imm[i]);
}

/** dst = dst op source on 32 bits; `zext`: that is the whole result. */
function binary32(e: Emitter, i: number, zext: boolean): void {
  const dst = e.slots.dst[i];
  e.get32(dst);
  operand32(e, i);
  e.op(OPS32[e.slots.op[i] & 0xf0]);
  e.set32(dst, zext);
}

function binary64(e: Emitter, i: number): void {
  const dst = e.slots.dst[i];
  e.get64(dst);
  operand64(e, i);
  e.op(OPS64[e.slots.op[i] & 0xf0]);
  e.set64(dst);
}

function alu64(e: Emitter, i: number, demand: number): void {
  const { op: ops, dst: dsts, src: srcs, off: offs, imm: imms } = e.slots;
  const { values } = e;
  const code = ops[i] & 0xf0;
  const dst = dsts[i];
  const src = srcs[i];
  const imm = imms[i];
  const useSrc = (ops[i] & BPF_X) !== 0;
  const low = demand === DEMAND_LOW;
  const dstZext = values.isZext(dst);
  const srcZext = useSrc ? values.isZext(src) : imm >= 0;
  const constCount = useSrc ? (values.isConst(src) ? values.lo[src] & 63 : -1) : imm & 63;
  switch (code) {
    case BPF_MOV:
      if (!useSrc || offs[i] === 0 || offs[i] === 1) {
        if (src >= 10) throw new InvalidProgramError(`read of r${src}`, i);
        e.copy(dst, src, !low);
      } else signExtend(e, i, low);
      return;
    case BPF_ADD:
    case BPF_SUB:
    case BPF_MUL:
      if (low) binary32(e, i, false);
      else binary64(e, i);
      return;
    case BPF_AND:
      if (low || dstZext || srcZext) binary32(e, i, dstZext || srcZext);
      else binary64(e, i);
      return;
    case BPF_OR:
    case BPF_XOR:
      if (low || (dstZext && srcZext)) binary32(e, i, dstZext && srcZext);
      else binary64(e, i);
      return;
    case BPF_NEG:
      if (low) {
        e.i32(0);
        e.get32(dst);
        e.op(OP_I32_SUB);
        e.set32(dst, false);
      } else {
        e.i64(0, 0);
        e.get64(dst);
        e.op(OP_I64_SUB);
        e.set64(dst);
      }
      return;
    case BPF_LSH:
      if (low && constCount >= 0) {
        if (constCount >= 32) e.i32(0);
        else {
          e.get32(dst);
          e.i32(constCount);
          e.op(OP_I32_SHL);
        }
        e.set32(dst, false);
        return;
      }
      e.getLow64(dst);
      shiftCount(e, i);
      e.op(OP_I64_SHL);
      e.set64(dst);
      return;
    case BPF_RSH:
    case BPF_ARSH:
      if (constCount >= 0 && dstZext) {
        if (constCount >= 32) e.i32(0);
        else {
          e.get32(dst);
          e.i32(constCount);
          e.op(OP_I32_SHR_U);
        }
        e.set32(dst, true);
        return;
      }
      e.get64(dst);
      shiftCount(e, i);
      e.op(OPS64[code]);
      if (code === BPF_RSH && constCount >= 32) {
        e.op(OP_I32_WRAP_I64);
        e.set32(dst, true);
      } else e.set64(dst);
      return;
    case BPF_DIV:
    case BPF_MOD:
      if (offs[i] === 0 && dstZext && (srcZext || (useSrc && values.isZext(src)))) {
        emitDivision(e, i, DIVIDE32);
        e.set32(dst, true);
      } else {
        emitDivision(e, i, DIVIDE64);
        e.set64(dst);
      }
      return;
    case BPF_END:
      swap(e, i);
      return;
    default:
      throw new InvalidProgramError(`unknown opcode 0x${ops[i].toString(16)}`, i);
  }
}

/** The count of a 64-bit shift as i64; Wasm masks it as BPF does. */
function shiftCount(e: Emitter, i: number): void {
  if (e.slots.op[i] & BPF_X) e.getLow64(e.slots.src[i]);
  else e.i64(e.slots.imm[i] & 63, 0);
}

function signExtend(e: Emitter, i: number, low: boolean): void {
  const { dst, src, off } = { dst: e.slots.dst[i], src: e.slots.src[i], off: e.slots.off[i] };
  if (off !== 8 && off !== 16 && off !== 32) throw new InvalidProgramError(`mov with offset ${off}`, i);
  if (low || off === 32) {
    e.get32(src);
    if (off === 8) e.op(OP_I32_EXTEND8_S);
    else if (off === 16) e.op(OP_I32_EXTEND16_S);
    if (low) {
      e.set32(dst, false);
      return;
    }
    e.op(OP_I64_EXTEND_I32_S);
  } else {
    e.getLow64(src);
    e.op(off === 8 ? OP_I64_EXTEND8_S : OP_I64_EXTEND16_S);
  }
  e.set64(dst);
}

/** BPF_TO_LE on a little-endian machine: truncates. */
function truncate(e: Emitter, i: number): void {
  const dst = e.slots.dst[i];
  const width = e.slots.imm[i];
  if (width === 64) {
    // The value stays, and is no known constant from here on: it must stand in its local.
    e.get64(dst);
    e.set64(dst);
    return;
  }
  if (width !== 16 && width !== 32) throw new InvalidProgramError(`byte swap of ${width} bits`, i);
  e.get32(dst);
  if (width === 16) {
    e.i32(0xffff);
    e.op(OP_I32_AND);
  }
  e.set32(dst, true);
}

/** BPF_TO_BE and BSWAP: Wasm has no byte swap. */
function swap(e: Emitter, i: number): void {
  const dst = e.slots.dst[i];
  const width = e.slots.imm[i];
  if (width === 16) {
    e.get32(dst);
    e.i32(8);
    e.op(OP_I32_SHL);
    e.i32(0xff00);
    e.op(OP_I32_AND);
    e.get32(dst);
    e.i32(8);
    e.op(OP_I32_SHR_U);
    e.i32(0xff);
    e.op(OP_I32_AND);
    e.op(OP_I32_OR);
    e.set32(dst, true);
  } else if (width === 32) {
    e.get32(dst);
    swap32(e);
    e.set32(dst, true);
  } else if (width === 64) {
    e.get64(dst);
    swap64(e);
    e.set64(dst);
  } else throw new InvalidProgramError(`byte swap of ${width} bits`, i);
}

/** Reverses the bytes of the i32 on the stack: two rotations, each right in every other byte. */
export function swap32(e: Emitter): void {
  const t = e.temp("swap32", I32);
  e.set(t);
  e.get(t);
  e.i32(8);
  e.op(OP_I32_ROTL);
  e.i32(0x00ff00ff);
  e.op(OP_I32_AND);
  e.get(t);
  e.i32(24);
  e.op(OP_I32_ROTL);
  e.i32(0xff00ff00 | 0);
  e.op(OP_I32_AND);
  e.op(OP_I32_OR);
}

function swap64(e: Emitter): void {
  const t = e.temp("swap64", I64);
  e.set(t);
  // Bytes within 16-bit pairs, pairs within halves, then the halves.
  e.get(t);
  e.i64(8, 0);
  e.op(OP_I64_SHL);
  e.i64(0xff00ff00 | 0, 0xff00ff00 | 0);
  e.op(OP_I64_AND);
  e.get(t);
  e.i64(8, 0);
  e.op(OP_I64_SHR_U);
  e.i64(0x00ff00ff, 0x00ff00ff);
  e.op(OP_I64_AND);
  e.op(OP_I64_OR);
  e.set(t);
  e.get(t);
  e.i64(16, 0);
  e.op(OP_I64_SHL);
  e.i64(0xffff0000 | 0, 0xffff0000 | 0);
  e.op(OP_I64_AND);
  e.get(t);
  e.i64(16, 0);
  e.op(OP_I64_SHR_U);
  e.i64(0x0000ffff, 0x0000ffff);
  e.op(OP_I64_AND);
  e.op(OP_I64_OR);
  e.i64(32, 0);
  e.op(OP_I64_ROTL);
}
