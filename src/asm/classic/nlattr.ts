// SKF_AD_NLATTR and SKF_AD_NLATTR_NEST in eBPF; answers to bpf_skb_get_nlattr* of net/core/filter.c and nla_find of
// lib/nlattr.c: A = offset of the attribute of type X in the stream that starts at offset A (or in the attribute that
// stands there), 0 when there is none. Loops through bpf_skb_load_bytes; each round advances at least four bytes.
import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_AND,
  BPF_CALL,
  BPF_H,
  BPF_JEQ,
  BPF_JGT,
  BPF_JLT,
  BPF_JMP,
  BPF_JMP32,
  BPF_JNE,
  BPF_JSLT,
  BPF_K,
  BPF_LDX,
  BPF_MEM,
  BPF_MOV,
  BPF_SUB,
  BPF_W,
  BPF_X,
} from "../../uapi/index.ts";
import type { Emitter } from "./emitter.ts";

const A = 0;
const CTX = 6;
const X = 7;
/** Offset of the attribute under test, and the bytes from there to the end of the stream. */
const AT = 8;
const LEFT = 9;
const FP = 10;

const BPF_FUNC_skb_load_bytes = 26;
/** struct nlattr { u16 nla_len, nla_type; }, read to the stack below the scratch memory. */
const NLA_HDRLEN = 4;
const HEADER = -72;
const NLA_TYPE_MASK = 0x3fff;

export function emitNlattr(out: Emitter, nested: boolean): void {
  const none = out.label();
  const found = out.label();
  const end = out.label();
  const loop = out.label();

  out.emit(BPF_ALU | BPF_MOV | BPF_X, AT, A, 0, 0);
  out.emit(BPF_LDX | BPF_MEM | BPF_W, LEFT, CTX, 0, 0);
  out.emit(BPF_ALU64 | BPF_SUB | BPF_X, LEFT, AT, 0, 0);
  if (nested) {
    loadHeader(out, none);
    out.emit(BPF_ALU64 | BPF_MOV | BPF_X, LEFT, 1, 0, 0);
    out.emit(BPF_ALU64 | BPF_SUB | BPF_K, LEFT, 0, 0, NLA_HDRLEN);
    out.emit(BPF_ALU64 | BPF_ADD | BPF_K, AT, 0, 0, NLA_HDRLEN);
  }
  out.mark(loop);
  loadHeader(out, none);
  out.emit(BPF_LDX | BPF_MEM | BPF_H, 2, FP, HEADER + 2, 0);
  out.emit(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, NLA_TYPE_MASK);
  out.jump(BPF_JMP32 | BPF_JEQ | BPF_X, 2, X, 0, found);
  out.emit(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, 3);
  out.emit(BPF_ALU64 | BPF_AND | BPF_K, 1, 0, 0, -4);
  out.emit(BPF_ALU64 | BPF_ADD | BPF_X, AT, 1, 0, 0);
  out.emit(BPF_ALU64 | BPF_SUB | BPF_X, LEFT, 1, 0, 0);
  out.goto(loop);
  out.mark(none);
  out.emit(BPF_ALU | BPF_MOV | BPF_K, A, 0, 0, 0);
  out.goto(end);
  out.mark(found);
  out.emit(BPF_ALU | BPF_MOV | BPF_X, A, AT, 0, 0);
  out.mark(end);
}

/** r1 = nla_len of the attribute at AT; goes to `none` unless nla_ok. */
function loadHeader(out: Emitter, none: number): void {
  out.jump(BPF_JMP | BPF_JSLT | BPF_K, LEFT, 0, NLA_HDRLEN, none);
  out.emit(BPF_ALU64 | BPF_MOV | BPF_X, 1, CTX, 0, 0);
  out.emit(BPF_ALU64 | BPF_MOV | BPF_X, 2, AT, 0, 0);
  out.emit(BPF_ALU64 | BPF_MOV | BPF_X, 3, FP, 0, 0);
  out.emit(BPF_ALU64 | BPF_ADD | BPF_K, 3, 0, 0, HEADER);
  out.emit(BPF_ALU | BPF_MOV | BPF_K, 4, 0, 0, NLA_HDRLEN);
  out.emit(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_skb_load_bytes);
  out.jump(BPF_JMP | BPF_JNE | BPF_K, 0, 0, 0, none);
  out.emit(BPF_LDX | BPF_MEM | BPF_H, 1, FP, HEADER, 0);
  out.jump(BPF_JMP | BPF_JLT | BPF_K, 1, 0, NLA_HDRLEN, none);
  out.jump(BPF_JMP | BPF_JGT | BPF_X, 1, LEFT, 0, none);
}
