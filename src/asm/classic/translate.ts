// Classic BPF to eBPF; answers to bpf_convert_filter and convert_bpf_extensions of Linux's net/core/filter.c. The kernel
// writes its internal `struct sk_buff` accesses; this writes the UAPI's `struct __sk_buff`, so that any eBPF engine or
// kernel that has BPF_LD_ABS and BPF_LD_IND takes the result as a socket filter (or tc) program.
//
//   r0 = A   r6 = ctx   r7 = X   r10 - 4 * (n + 1) = M[n]   r1-r5, r8, r9: scratch
import { UnsupportedError } from "../../diag/index.ts";
import {
  BPF_ABS,
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_AND,
  BPF_CALL,
  BPF_DIV,
  BPF_END,
  BPF_EXIT,
  BPF_IND,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JMP,
  BPF_JMP32,
  BPF_JNE,
  BPF_JSET,
  BPF_K,
  BPF_LD,
  BPF_LDX,
  BPF_LSH,
  BPF_MEM,
  BPF_MOD,
  BPF_MOV,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_RSH,
  BPF_STX,
  BPF_SUB,
  BPF_W,
  BPF_X,
  BPF_XOR,
} from "../../uapi/index.ts";
import { Emitter } from "./emitter.ts";
import { type Ancillary, ancillaryAt, CLASSIC_CODES, type ClassicForm, type ClassicInsn } from "./insn.ts";
import { emitNlattr } from "./nlattr.ts";
import { validateClassic } from "./validate.ts";

/**
 * Whose answers count where they differ. Linux shifts by X modulo 32, and lets X + K wrap around to an offset in range;
 * libpcap, which filters captures itself, shifts everything out and calls such an offset out of bounds, and knows no
 * ancillary loads in a capture: they are out of bounds too.
 */
export type ClassicSemantics = "linux" | "libpcap";

export interface ClassicToEbpfOptions {
  readonly semantics?: ClassicSemantics;
  /** What SKF_AD_HATYPE reads (ARPHRD_*): `struct __sk_buff` has no such field. Default 1, ARPHRD_ETHER. */
  readonly hatype?: number;
}

const A = 0;
const CTX = 6;
const X = 7;
const TMP = 2;
const FP = 10;

/** Offsets in struct __sk_buff. */
const SKB = {
  len: 0,
  pkt_type: 4,
  mark: 8,
  queue_mapping: 12,
  protocol: 16,
  vlan_present: 20,
  vlan_tci: 24,
  vlan_proto: 28,
  ifindex: 40,
  hash: 68,
} as const;

const BPF_FUNC_get_prandom_u32 = 7;
const BPF_FUNC_get_smp_processor_id = 8;
const BPF_TO_BE = 0x08;

const ALU_BITS = {
  add: BPF_ADD,
  sub: BPF_SUB,
  mul: BPF_MUL,
  div: BPF_DIV,
  mod: BPF_MOD,
  and: BPF_AND,
  or: BPF_OR,
  xor: BPF_XOR,
  lsh: BPF_LSH,
  rsh: BPF_RSH,
  neg: BPF_NEG,
} as const;
const JUMP_BITS = { jeq: BPF_JEQ, jgt: BPF_JGT, jge: BPF_JGE, jset: BPF_JSET } as const;
/** The opposite condition; jset has none. */
const INVERSE_BITS = { jeq: BPF_JNE, jgt: BPF_JLE, jge: BPF_JLT, jset: undefined } as const;
const SIZE_BITS = { 4: BPF_W, 2: 0x08, 1: 0x10 } as const;

/**
 * Translates a filter that validateClassic admits (its first error is thrown otherwise) to eBPF slots, little-endian.
 * r0 at the end is the filter's verdict: how many bytes to keep, 0 = drop. Throws UnsupportedError for SKF_AD_PAY_OFFSET,
 * which needs the kernel's flow dissector and has no helper.
 */
export function classicToEbpf(insns: readonly ClassicInsn[], options: ClassicToEbpfOptions = {}): Uint8Array {
  const [error] = validateClassic(insns);
  if (error !== undefined) throw error;
  const out = new Emitter(insns.length);
  moveImm(out, A, 0);
  moveImm(out, X, 0);
  moveReg(out, CTX, 1);
  insns.forEach((insn, i) => {
    out.begin(i);
    translate(out, CLASSIC_CODES.get(insn.code)!, insn, i, options);
  });
  return out.finish();
}

function translate(
  out: Emitter,
  form: ClassicForm,
  insn: ClassicInsn,
  index: number,
  options: ClassicToEbpfOptions,
): void {
  const { k } = insn;
  const libpcap = options.semantics === "libpcap";
  switch (form.kind) {
    case "load-abs": {
      const ancillary = ancillaryAt(k);
      if (libpcap && k > 0x7fffffff) exitWithZero(out);
      else if (ancillary !== undefined) translateAncillary(out, ancillary, options);
      else out.emit(BPF_LD | SIZE_BITS[form.size] | BPF_ABS, 0, 0, 0, k);
      return;
    }
    case "load-ind":
      if (libpcap) outOfBoundsWhereIndexWraps(out, k);
      out.emit(BPF_LD | SIZE_BITS[form.size] | BPF_IND, 0, X, 0, k);
      return;
    case "load-msh":
      moveReg(out, X, A);
      if (libpcap && k > 0x7fffffff) exitWithZero(out);
      else out.emit(BPF_LD | SIZE_BITS[1] | BPF_ABS, 0, 0, 0, k);
      out.emit(BPF_ALU | BPF_AND | BPF_K, A, 0, 0, 0xf);
      out.emit(BPF_ALU | BPF_LSH | BPF_K, A, 0, 0, 2);
      moveReg(out, TMP, X);
      moveReg(out, X, A);
      moveReg(out, A, TMP);
      return;
    case "load-len":
      loadSkb(out, form.to === "a" ? A : X, SKB.len);
      return;
    case "load-imm":
      moveImm(out, form.to === "a" ? A : X, k);
      return;
    case "load-mem":
      out.emit(BPF_LDX | BPF_MEM | BPF_W, form.to === "a" ? A : X, FP, -4 * (k + 1), 0);
      return;
    case "store":
      out.emit(BPF_STX | BPF_MEM | BPF_W, FP, form.from === "a" ? A : X, -4 * (k + 1), 0);
      return;
    case "alu":
      translateAlu(out, form, k, libpcap);
      return;
    case "ja":
      out.goto(index + 1 + k);
      return;
    case "jump":
      translateJump(out, form, insn, index);
      return;
    case "ret":
      if (form.source === "k") moveImm(out, A, k);
      out.emit(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
      return;
    case "tax":
      moveReg(out, X, A);
      return;
    case "txa":
      moveReg(out, A, X);
      return;
  }
}

function translateAlu(
  out: Emitter,
  form: Extract<ClassicForm, { kind: "alu" }>,
  k: number,
  libpcap: boolean,
): void {
  const op = form.mnemonic;
  if (form.source === "k") {
    out.emit(BPF_ALU | ALU_BITS[op] | BPF_K, A, 0, 0, op === "neg" ? 0 : k);
    return;
  }
  const compute = (): void => out.emit(BPF_ALU | ALU_BITS[op] | BPF_X, A, X, 0, 0);
  if (op === "div" || op === "mod") {
    const nonZero = out.label();
    out.jump(BPF_JMP32 | BPF_JNE | BPF_K, X, 0, 0, nonZero);
    exitWithZero(out);
    out.mark(nonZero);
    compute();
  } else if ((op === "lsh" || op === "rsh") && libpcap) {
    const small = out.label();
    const end = out.label();
    out.jump(BPF_JMP32 | BPF_JLE | BPF_K, X, 0, 31, small);
    moveImm(out, A, 0);
    out.goto(end);
    out.mark(small);
    compute();
    out.mark(end);
  } else compute();
}

/** A and X hold zero-extended u32 values; 32-bit jumps compare against any K without a register for it. */
function translateJump(
  out: Emitter,
  form: Extract<ClassicForm, { kind: "jump" }>,
  insn: ClassicInsn,
  index: number,
): void {
  const [source, register, imm] = form.source === "x" ? [BPF_X, X, 0] : [BPF_K, 0, insn.k];
  const onTrue = index + 1 + insn.jt;
  const onFalse = index + 1 + insn.jf;
  const inverse = INVERSE_BITS[form.mnemonic];
  if (insn.jt === 0 && insn.jf !== 0 && inverse !== undefined) {
    out.jump(BPF_JMP32 | inverse | source, A, register, imm, onFalse);
    return;
  }
  out.jump(BPF_JMP32 | JUMP_BITS[form.mnemonic] | source, A, register, imm, onTrue);
  if (insn.jf !== 0) out.goto(onFalse);
}

function translateAncillary(out: Emitter, what: Ancillary, options: ClassicToEbpfOptions): void {
  switch (what) {
    case "proto":
      loadSkb(out, A, SKB.protocol);
      out.emit(BPF_ALU | BPF_END | BPF_TO_BE, A, 0, 0, 16);
      return;
    case "type":
      loadSkb(out, A, SKB.pkt_type);
      return;
    case "ifidx": {
      // Without a device the kernel ends the program and leaves A as it is.
      const present = out.label();
      loadSkb(out, TMP, SKB.ifindex);
      out.jump(BPF_JMP | BPF_JNE | BPF_K, TMP, 0, 0, present);
      out.emit(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
      out.mark(present);
      moveReg(out, A, TMP);
      return;
    }
    case "nla":
      emitNlattr(out, false);
      return;
    case "nlan":
      emitNlattr(out, true);
      return;
    case "mark":
      loadSkb(out, A, SKB.mark);
      return;
    case "queue":
      loadSkb(out, A, SKB.queue_mapping);
      return;
    case "hatype":
      moveImm(out, A, options.hatype ?? 1);
      return;
    case "rxhash":
      loadSkb(out, A, SKB.hash);
      return;
    case "cpu":
      out.emit(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_smp_processor_id);
      return;
    case "xor_x":
      out.emit(BPF_ALU | BPF_XOR | BPF_X, A, X, 0, 0);
      return;
    case "vlan_tci":
      loadSkb(out, A, SKB.vlan_tci);
      return;
    case "vlanp":
      loadSkb(out, A, SKB.vlan_present);
      return;
    case "poff":
      throw new UnsupportedError(
        "the ancillary load SKF_AD_PAY_OFFSET",
        "it needs the kernel's flow dissector; load the offset from the headers instead",
      );
    case "random":
      out.emit(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_prandom_u32);
      return;
    case "vlan_tpid":
      loadSkb(out, A, SKB.vlan_proto);
      out.emit(BPF_ALU | BPF_END | BPF_TO_BE, A, 0, 0, 16);
      return;
  }
}

/** Returns 0 unless X + k, as unsigned 33-bit sum, stays below 2^31. */
function outOfBoundsWhereIndexWraps(out: Emitter, k: number): void {
  const inRange = out.label();
  out.emit(BPF_ALU | BPF_MOV | BPF_K, TMP, 0, 0, k);
  out.emit(BPF_ALU64 | BPF_ADD | BPF_X, TMP, X, 0, 0);
  out.jump(BPF_JMP | BPF_JLE | BPF_K, TMP, 0, 0x7fffffff, inRange);
  exitWithZero(out);
  out.mark(inRange);
}

function exitWithZero(out: Emitter): void {
  moveImm(out, A, 0);
  out.emit(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

function moveImm(out: Emitter, dst: number, imm: number): void {
  out.emit(BPF_ALU | BPF_MOV | BPF_K, dst, 0, 0, imm);
}

function moveReg(out: Emitter, dst: number, src: number): void {
  out.emit(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}

function loadSkb(out: Emitter, dst: number, offset: number): void {
  out.emit(BPF_LDX | BPF_MEM | BPF_W, dst, CTX, offset, 0);
}
