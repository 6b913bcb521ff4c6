/**
 * Instructions from their parts, for tests and generators: our words for the macros of include/linux/filter.h.
 * `size` is BPF_B, BPF_H, BPF_W or BPF_DW; `aluOp` BPF_ADD...; `jmpOp` BPF_JEQ...; displacements are in bytes, jump
 * offsets in slots from the next instruction.
 */
import {
  BPF_ABS,
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CALL,
  BPF_DW,
  BPF_END,
  BPF_EXIT,
  BPF_IMM,
  BPF_IND,
  BPF_JA,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_K,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MEM,
  BPF_MEMSX,
  BPF_MOV,
  BPF_NEG,
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_PSEUDO_MAP_VALUE,
  BPF_ST,
  BPF_STORE_REL,
  BPF_STX,
  BPF_X,
} from "../uapi/index.ts";
import type { Insn } from "./codec.ts";

/** Any instruction. */
export function raw(op: number, dst = 0, src = 0, off = 0, imm = 0): Insn {
  return { op, dst, src, off, imm };
}

export function alu64Imm(aluOp: number, dst: number, imm: number): Insn {
  return raw(BPF_ALU64 | aluOp | BPF_K, dst, 0, 0, imm);
}
export function alu64Reg(aluOp: number, dst: number, src: number): Insn {
  return raw(BPF_ALU64 | aluOp | BPF_X, dst, src);
}
export function alu32Imm(aluOp: number, dst: number, imm: number): Insn {
  return raw(BPF_ALU | aluOp | BPF_K, dst, 0, 0, imm);
}
export function alu32Reg(aluOp: number, dst: number, src: number): Insn {
  return raw(BPF_ALU | aluOp | BPF_X, dst, src);
}
export function mov64Imm(dst: number, imm: number): Insn {
  return alu64Imm(BPF_MOV, dst, imm);
}
export function mov64Reg(dst: number, src: number): Insn {
  return alu64Reg(BPF_MOV, dst, src);
}
export function mov32Imm(dst: number, imm: number): Insn {
  return alu32Imm(BPF_MOV, dst, imm);
}
export function mov32Reg(dst: number, src: number): Insn {
  return alu32Reg(BPF_MOV, dst, src);
}
/** Sign-extending move of the low `bits` (8, 16, 32). */
export function movsx64(bits: number, dst: number, src: number): Insn {
  return raw(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, bits);
}
/** Sign-extending move of the low `bits` (8, 16) into 32 bits. */
export function movsx32(bits: number, dst: number, src: number): Insn {
  return raw(BPF_ALU | BPF_MOV | BPF_X, dst, src, bits);
}
export function neg64(dst: number): Insn {
  return raw(BPF_ALU64 | BPF_NEG | BPF_K, dst);
}
export function neg32(dst: number): Insn {
  return raw(BPF_ALU | BPF_NEG | BPF_K, dst);
}
/** Signed division or modulo: BPF_DIV or BPF_MOD with off 1. */
export function salu64Imm(aluOp: number, dst: number, imm: number): Insn {
  return raw(BPF_ALU64 | aluOp | BPF_K, dst, 0, 1, imm);
}
export function salu64Reg(aluOp: number, dst: number, src: number): Insn {
  return raw(BPF_ALU64 | aluOp | BPF_X, dst, src, 1);
}
export function salu32Imm(aluOp: number, dst: number, imm: number): Insn {
  return raw(BPF_ALU | aluOp | BPF_K, dst, 0, 1, imm);
}
export function salu32Reg(aluOp: number, dst: number, src: number): Insn {
  return raw(BPF_ALU | aluOp | BPF_X, dst, src, 1);
}
/** To little-endian; `bits` 16, 32 or 64. */
export function le(bits: number, dst: number): Insn {
  return raw(BPF_ALU | BPF_END | BPF_K, dst, 0, 0, bits);
}
/** To big-endian. */
export function be(bits: number, dst: number): Insn {
  return raw(BPF_ALU | BPF_END | BPF_X, dst, 0, 0, bits);
}
/** Unconditional byte swap. */
export function bswap(bits: number, dst: number): Insn {
  return raw(BPF_ALU64 | BPF_END | BPF_K, dst, 0, 0, bits);
}
export function addrSpaceCast(dst: number, src: number, dstAs: number, srcAs: number): Insn {
  return raw(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 1, (dstAs << 16) | srcAs);
}

export function ldxMem(size: number, dst: number, src: number, off: number): Insn {
  return raw(BPF_LDX | BPF_MEM | size, dst, src, off);
}
/** Sign-extending load (BPF_B, BPF_H, BPF_W). */
export function ldxMemsx(size: number, dst: number, src: number, off: number): Insn {
  return raw(BPF_LDX | BPF_MEMSX | size, dst, src, off);
}
export function stxMem(size: number, dst: number, src: number, off: number): Insn {
  return raw(BPF_STX | BPF_MEM | size, dst, src, off);
}
export function stMem(size: number, dst: number, off: number, imm: number): Insn {
  return raw(BPF_ST | BPF_MEM | size, dst, 0, off, imm);
}
/** `op`: BPF_ADD, BPF_AND, BPF_OR, BPF_XOR, each with or without BPF_FETCH; BPF_XCHG; BPF_CMPXCHG. */
export function atomic(size: number, op: number, dst: number, src: number, off: number): Insn {
  return raw(BPF_STX | BPF_ATOMIC | size, dst, src, off, op);
}
export function loadAcquire(size: number, dst: number, src: number, off: number): Insn {
  return atomic(size, BPF_LOAD_ACQ, dst, src, off);
}
export function storeRelease(size: number, dst: number, src: number, off: number): Insn {
  return atomic(size, BPF_STORE_REL, dst, src, off);
}
export function ldAbs(size: number, imm: number): Insn {
  return raw(BPF_LD | BPF_ABS | size, 0, 0, 0, imm);
}
export function ldInd(size: number, src: number, imm: number): Insn {
  return raw(BPF_LD | BPF_IND | size, 0, src, 0, imm);
}

/** A 64-bit constant, or with `src` (BPF_PSEUDO_*) what the kernel puts in its place. */
export function ldImm64(dst: number, value: bigint | number, src = 0): Insn {
  const imm64 = BigInt.asUintN(64, BigInt(value));
  return { op: BPF_LD | BPF_IMM | BPF_DW, dst, src, off: 0, imm: Number(BigInt.asIntN(32, imm64)), imm64 };
}
function pair(dst: number, src: number, low: number, high: number): Insn {
  return ldImm64(dst, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0), src);
}
export function ldMapFd(dst: number, fd: number): Insn {
  return pair(dst, BPF_PSEUDO_MAP_FD, fd, 0);
}
export function ldMapValue(dst: number, fd: number, off: number): Insn {
  return pair(dst, BPF_PSEUDO_MAP_VALUE, fd, off);
}
export function ldMapIdx(dst: number, idx: number): Insn {
  return pair(dst, BPF_PSEUDO_MAP_IDX, idx, 0);
}
export function ldMapIdxValue(dst: number, idx: number, off: number): Insn {
  return pair(dst, BPF_PSEUDO_MAP_IDX_VALUE, idx, off);
}
/** Address of a kernel variable; `btfObjFd` 0 is vmlinux. */
export function ldBtfId(dst: number, btfId: number, btfObjFd = 0): Insn {
  return pair(dst, BPF_PSEUDO_BTF_ID, btfId, btfObjFd);
}
/** A callback; `delta` in slots from the slot after this one (the instruction's own second half). */
export function ldFunc(dst: number, delta: number): Insn {
  return pair(dst, BPF_PSEUDO_FUNC, delta, 0);
}

export function ja(off: number): Insn {
  return raw(BPF_JMP | BPF_JA, 0, 0, off);
}
/** `gotol`: 32-bit offset. */
export function jal(imm: number): Insn {
  return raw(BPF_JMP32 | BPF_JA, 0, 0, 0, imm);
}
/** `gotox`: jump to the address in `dst`. */
export function jax(dst: number): Insn {
  return raw(BPF_JMP | BPF_JA | BPF_X, dst);
}
export function jmpImm(jmpOp: number, dst: number, imm: number, off: number): Insn {
  return raw(BPF_JMP | jmpOp | BPF_K, dst, 0, off, imm);
}
export function jmpReg(jmpOp: number, dst: number, src: number, off: number): Insn {
  return raw(BPF_JMP | jmpOp | BPF_X, dst, src, off);
}
export function jmp32Imm(jmpOp: number, dst: number, imm: number, off: number): Insn {
  return raw(BPF_JMP32 | jmpOp | BPF_K, dst, 0, off, imm);
}
export function jmp32Reg(jmpOp: number, dst: number, src: number, off: number): Insn {
  return raw(BPF_JMP32 | jmpOp | BPF_X, dst, src, off);
}
export function mayGoto(off: number): Insn {
  return raw(BPF_JMP | BPF_JCOND, 0, 0, off);
}
export function callHelper(id: number): Insn {
  return raw(BPF_JMP | BPF_CALL, 0, 0, 0, id);
}
/** Call of a subprogram; `delta` in slots from the next instruction. */
export function callLocal(delta: number): Insn {
  return raw(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, delta);
}
/** Call of a kernel function; `off` indexes fd_array (0: vmlinux). */
export function callKfunc(btfId: number, off = 0): Insn {
  return raw(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, off, btfId);
}
/** Indirect call of the function in `dst`. */
export function callx(dst: number): Insn {
  return raw(BPF_JMP | BPF_CALL | BPF_X, dst);
}
export function exit(): Insn {
  return raw(BPF_JMP | BPF_EXIT);
}
