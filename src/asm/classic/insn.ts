// Classic BPF as data (include/uapi/linux/filter.h, bpf_common.h; chk_code_allowed of net/core/filter.c). The validator,
// the disassembler, the translator and the reference machine all read CLASSIC_CODES.
import {
  BPF_ABS,
  BPF_ADD,
  BPF_ALU,
  BPF_AND,
  BPF_B,
  BPF_DIV,
  BPF_H,
  BPF_IMM,
  BPF_IND,
  BPF_JA,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JMP,
  BPF_JSET,
  BPF_K,
  BPF_LD,
  BPF_LDX,
  BPF_LSH,
  BPF_MEM,
  BPF_MOD,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_RSH,
  BPF_ST,
  BPF_STX,
  BPF_SUB,
  BPF_W,
  BPF_X,
  BPF_XOR,
} from "../../uapi/index.ts";

export const BPF_RET = 0x06;
const BPF_MISC = 0x07;
const BPF_LEN = 0x80;
const BPF_MSH = 0xa0;
/** Source of RET. */
const BPF_A = 0x10;
const BPF_TAX = 0x00;
const BPF_TXA = 0x80;
/** Words of scratch memory. */
export const BPF_MEMWORDS = 16;

/** Loads at these offsets (as u32) address something else than the packet's bytes. */
export const SKF_AD_OFF = 0xfffff000;
export const SKF_NET_OFF = 0xfff00000;
export const SKF_LL_OFF = 0xffe00000;

/** SKF_AD_*: what LD_ABS at SKF_AD_OFF + 4 * index reads; the names are those that libpcap prints. */
export const ANCILLARY = [
  "proto",
  "type",
  "ifidx",
  "nla",
  "nlan",
  "mark",
  "queue",
  "hatype",
  "rxhash",
  "cpu",
  "xor_x",
  "vlan_tci",
  "vlanp",
  "poff",
  "random",
  "vlan_tpid",
] as const;

export type Ancillary = (typeof ANCILLARY)[number];

/** struct sock_filter. `k` is unsigned (0 .. 2^32-1). */
export interface ClassicInsn {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

type AluOp = "add" | "sub" | "mul" | "div" | "mod" | "and" | "or" | "xor" | "lsh" | "rsh" | "neg";
type JumpOp = "jeq" | "jgt" | "jge" | "jset";

/** What an opcode does. `size` is in bytes; `source` is the operand's: the constant K or the register X. */
export type ClassicForm =
  | { readonly kind: "load-abs"; readonly mnemonic: string; readonly size: 1 | 2 | 4 }
  | { readonly kind: "load-ind"; readonly mnemonic: string; readonly size: 1 | 2 | 4 }
  | { readonly kind: "load-len" | "load-imm" | "load-mem"; readonly mnemonic: string; readonly to: "a" | "x" }
  | { readonly kind: "load-msh"; readonly mnemonic: string }
  | { readonly kind: "store"; readonly mnemonic: string; readonly from: "a" | "x" }
  | { readonly kind: "alu"; readonly mnemonic: AluOp; readonly source: "k" | "x" }
  | { readonly kind: "jump"; readonly mnemonic: JumpOp; readonly source: "k" | "x" }
  | { readonly kind: "ja"; readonly mnemonic: string }
  | { readonly kind: "ret"; readonly mnemonic: string; readonly source: "k" | "a" }
  | { readonly kind: "tax" | "txa"; readonly mnemonic: string };

const ALU: readonly (readonly [AluOp, number])[] = [
  ["add", BPF_ADD],
  ["sub", BPF_SUB],
  ["mul", BPF_MUL],
  ["div", BPF_DIV],
  ["mod", BPF_MOD],
  ["and", BPF_AND],
  ["or", BPF_OR],
  ["xor", BPF_XOR],
  ["lsh", BPF_LSH],
  ["rsh", BPF_RSH],
];
const JUMPS: readonly (readonly [JumpOp, number])[] = [
  ["jeq", BPF_JEQ],
  ["jgt", BPF_JGT],
  ["jge", BPF_JGE],
  ["jset", BPF_JSET],
];
const SIZES = [
  ["ld", BPF_W, 4],
  ["ldh", BPF_H, 2],
  ["ldb", BPF_B, 1],
] as const;

/** Every opcode that Linux admits, and no other. */
export const CLASSIC_CODES: ReadonlyMap<number, ClassicForm> = new Map<number, ClassicForm>([
  ...SIZES.flatMap(([mnemonic, bits, size]): [number, ClassicForm][] => [
    [BPF_LD | bits | BPF_ABS, { kind: "load-abs", mnemonic, size }],
    [BPF_LD | bits | BPF_IND, { kind: "load-ind", mnemonic, size }],
  ]),
  [BPF_LD | BPF_W | BPF_LEN, { kind: "load-len", mnemonic: "ld", to: "a" }],
  [BPF_LDX | BPF_W | BPF_LEN, { kind: "load-len", mnemonic: "ldx", to: "x" }],
  [BPF_LD | BPF_IMM, { kind: "load-imm", mnemonic: "ld", to: "a" }],
  [BPF_LDX | BPF_IMM, { kind: "load-imm", mnemonic: "ldx", to: "x" }],
  [BPF_LD | BPF_MEM, { kind: "load-mem", mnemonic: "ld", to: "a" }],
  [BPF_LDX | BPF_MEM, { kind: "load-mem", mnemonic: "ldx", to: "x" }],
  [BPF_LDX | BPF_B | BPF_MSH, { kind: "load-msh", mnemonic: "ldxb" }],
  [BPF_ST, { kind: "store", mnemonic: "st", from: "a" }],
  [BPF_STX, { kind: "store", mnemonic: "stx", from: "x" }],
  ...ALU.flatMap(([mnemonic, bits]): [number, ClassicForm][] => [
    [BPF_ALU | bits | BPF_K, { kind: "alu", mnemonic, source: "k" }],
    [BPF_ALU | bits | BPF_X, { kind: "alu", mnemonic, source: "x" }],
  ]),
  [BPF_ALU | BPF_NEG, { kind: "alu", mnemonic: "neg", source: "k" }],
  [BPF_JMP | BPF_JA, { kind: "ja", mnemonic: "ja" }],
  ...JUMPS.flatMap(([mnemonic, bits]): [number, ClassicForm][] => [
    [BPF_JMP | bits | BPF_K, { kind: "jump", mnemonic, source: "k" }],
    [BPF_JMP | bits | BPF_X, { kind: "jump", mnemonic, source: "x" }],
  ]),
  [BPF_RET | BPF_K, { kind: "ret", mnemonic: "ret", source: "k" }],
  [BPF_RET | BPF_A, { kind: "ret", mnemonic: "ret", source: "a" }],
  [BPF_MISC | BPF_TAX, { kind: "tax", mnemonic: "tax" }],
  [BPF_MISC | BPF_TXA, { kind: "txa", mnemonic: "txa" }],
]);

/** The ancillary value that LD_ABS at `k` reads, or undefined where k is an offset. */
export function ancillaryAt(k: number): Ancillary | undefined {
  return k >= SKF_AD_OFF && k % 4 === 0 ? ANCILLARY[(k - SKF_AD_OFF) / 4] : undefined;
}
