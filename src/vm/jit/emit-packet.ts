import { InvalidProgramError } from "../../diag/index.ts";
import { BPF_ABS, BPF_B, BPF_DW, BPF_H, BPF_IND, BPF_W } from "../../uapi/index.ts";
import {
  CPU_CTX,
  SKB_DATA,
  SKB_MAC_HEADER,
  SKB_NETWORK_HEADER,
  SKB_TAIL,
  SKF_LL_OFF,
  SKF_NET_OFF,
} from "../layout.ts";
import {
  I32,
  OP_ELSE,
  OP_END,
  OP_I32_ADD,
  OP_I32_AND,
  OP_I32_EQZ,
  OP_I32_GT_U,
  OP_I32_LOAD,
  OP_I32_LOAD8_U,
  OP_I32_LOAD16_U,
  OP_I32_LT_S,
  OP_I32_LT_U,
  OP_I32_NE,
  OP_I32_OR,
  OP_I32_SHL,
  OP_I32_SHR_U,
  OP_I32_SUB,
  OP_IF,
  VOID,
} from "../wasm/opcodes.ts";
import { swap32 } from "./emit-alu.ts";
import type { Emitter } from "./emitter.ts";

const SKB = 6;

/**
 * LD_ABS, LD_IND: r0 = the big-endian value at the packet's `imm` (plus src), counted from the network or the
 * link-layer header below zero; a packet that is too short ends the function with 0. r6 is the run's context, and what
 * stands behind its struct __sk_buff says where the packet is (SKB_DATA and on).
 */
export function emitPacketLoad(e: Emitter, i: number): void {
  const { slots } = e;
  const op = slots.op[i];
  const size = op & 0x18;
  const mode = op & 0xe0;
  const imm = slots.imm[i];
  if ((mode !== BPF_ABS && mode !== BPF_IND) || size === BPF_DW)
    throw new InvalidProgramError(`unknown opcode 0x${op.toString(16)}`, i);
  const bytes = size === BPF_W ? 4 : size === BPF_H ? 2 : 1;
  const base = e.temp("data", I32);
  const offset = e.temp("offset", I32);
  const length = e.temp("length", I32);
  if (e.plan.checked) {
    e.get32(SKB);
    e.cpu();
    e.memory(OP_I32_LOAD, CPU_CTX);
    e.op(OP_I32_NE);
    endWithZero(e);
  }
  if (mode === BPF_ABS) baseOfConstant(e, imm, base, offset);
  else baseOfIndex(e, i, imm, base, offset);
  // length = end of the packet - base; out of bounds: no such header, offset > length, or length - offset < bytes.
  e.get32(SKB);
  e.memory(OP_I32_LOAD, SKB_TAIL);
  e.get(base);
  e.op(OP_I32_SUB);
  e.set(length);
  e.get(base);
  e.op(OP_I32_EQZ);
  e.get(offset);
  e.get(length);
  e.op(OP_I32_GT_U);
  e.op(OP_I32_OR);
  e.get(length);
  e.get(offset);
  e.op(OP_I32_SUB);
  e.i32(bytes);
  e.op(OP_I32_LT_U);
  e.op(OP_I32_OR);
  endWithZero(e);
  e.get(base);
  e.get(offset);
  e.op(OP_I32_ADD);
  e.memory(size === BPF_W ? OP_I32_LOAD : size === BPF_H ? OP_I32_LOAD16_U : OP_I32_LOAD8_U, 0);
  if (size === BPF_W) swap32(e);
  else if (size !== BPF_B) {
    e.set(offset);
    e.get(offset);
    e.i32(8);
    e.op(OP_I32_SHL);
    e.i32(0xff00);
    e.op(OP_I32_AND);
    e.get(offset);
    e.i32(8);
    e.op(OP_I32_SHR_U);
    e.op(OP_I32_OR);
  }
  e.set32(0, true);
  for (let r = 1; r <= 5; r++) e.forget(r);
  e.advance(i);
}

/** Ends the BPF function with r0 = 0 where the i32 on the operand stack is not 0. */
function endWithZero(e: Emitter): void {
  e.op(OP_IF);
  e.op(VOID);
  e.i64(0, 0);
  e.leave();
  e.op(OP_END);
}

function loadBase(e: Emitter, member: number, base: number): void {
  e.get32(SKB);
  e.memory(OP_I32_LOAD, member);
  e.set(base);
}

function baseOfConstant(e: Emitter, imm: number, base: number, offset: number): void {
  const [member, start] =
    imm >= 0
      ? [SKB_DATA, 0]
      : imm >= SKF_NET_OFF
        ? [SKB_NETWORK_HEADER, SKF_NET_OFF]
        : [SKB_MAC_HEADER, SKF_LL_OFF];
  loadBase(e, member, base);
  // Below SKF_LL_OFF it stays negative, which is out of bounds.
  e.i32(imm - start);
  e.set(offset);
}

function baseOfIndex(e: Emitter, i: number, imm: number, base: number, offset: number): void {
  e.i32(imm);
  e.get32(e.slots.src[i]);
  e.op(OP_I32_ADD);
  e.set(offset);
  loadBase(e, SKB_DATA, base);
  const headerAt = (member: number, start: number): void => {
    loadBase(e, member, base);
    e.get(offset);
    e.i32(start);
    e.op(OP_I32_SUB);
    e.set(offset);
  };
  e.get(offset);
  e.i32(0);
  e.op(OP_I32_LT_S);
  e.op(OP_IF);
  e.op(VOID);
  e.get(offset);
  e.i32(SKF_NET_OFF);
  e.op(OP_I32_LT_S);
  e.op(OP_IF);
  e.op(VOID);
  headerAt(SKB_MAC_HEADER, SKF_LL_OFF);
  e.op(OP_ELSE);
  headerAt(SKB_NETWORK_HEADER, SKF_NET_OFF);
  e.op(OP_END);
  e.op(OP_END);
}
