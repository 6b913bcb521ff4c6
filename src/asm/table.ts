/**
 * Every eBPF instruction, declared once. The validator, both disassemblers and the assembler read this table and hold no
 * opcode of their own. Sources: RFC 9669; include/uapi/linux/bpf.h; kernel/bpf/disasm.c (kernel texts); LLVM's
 * BPFInstrInfo.td (LLVM texts); bpf_conformance (mnemonics).
 *
 * Texts are templates (template.ts): the first one of a dialect is what that dialect's own tool prints, the others are
 * also read, and print what the first one drops. A field that a template lacks takes its only legal value, or 0.
 */
import {
  BPF_ABS,
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_AND,
  BPF_ARSH,
  BPF_ATOMIC,
  BPF_B,
  BPF_CALL,
  BPF_CMPXCHG,
  BPF_DIV,
  BPF_DW,
  BPF_END,
  BPF_EXIT,
  BPF_FETCH,
  BPF_H,
  BPF_IMM,
  BPF_IND,
  BPF_JA,
  BPF_JCOND,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JMP,
  BPF_JMP32,
  BPF_JNE,
  BPF_JSET,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
  BPF_K,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_LSH,
  BPF_MEM,
  BPF_MEMSX,
  BPF_MOD,
  BPF_MOV,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_PSEUDO_MAP_VALUE,
  BPF_RSH,
  BPF_ST,
  BPF_STORE_REL,
  BPF_STX,
  BPF_SUB,
  BPF_W,
  BPF_X,
  BPF_XCHG,
  BPF_XOR,
} from "../uapi/index.ts";

/** What a reader of instructions wants to tell apart; each kind has one shape of operands. */
export type InsnKind =
  | "alu" // dst = dst op (src | imm), 32 or 64 bits; mov, neg
  | "movsx"
  | "end" // byte swaps
  | "cast" // addr_space_cast
  | "ldimm64"
  | "skb" // LD_ABS, LD_IND
  | "load"
  | "store"
  | "atomic" // read, modify, write
  | "acquire" // load-acquire, store-release
  | "jump"
  | "branch" // conditional jumps
  | "maygoto"
  | "gotox"
  | "call"
  | "callx"
  | "exit";

/**
 * What a field may hold: one value, one of a list, anything (`any`), a register r0..r10 (`reg`), a register that the
 * instruction writes, r0..r9 (`out`), or a value that nothing reads and nobody checks (`ignored`).
 */
export type FieldRule = number | readonly number[] | "any" | "reg" | "out" | "ignored";

export interface InsnRow {
  /** Unique; what the mnemonic dialect calls it, `_imm` or `_reg` where it has both. */
  readonly name: string;
  readonly op: number;
  readonly kind: InsnKind;
  readonly dst: FieldRule;
  readonly src: FieldRule;
  readonly off: FieldRule;
  readonly imm: FieldRule;
  /** imm of the second slot; LD_IMM64 only. */
  readonly hi?: FieldRule;
  readonly llvm: readonly string[];
  readonly kernel: readonly string[];
  readonly mnemonic: readonly string[];
  /** Below -mcpu=v3 (objdump's default, unless told) LLVM knows this text instead; null: it knows none. */
  readonly llvmV1?: string | null;
  /** No part of the instruction set of Linux 6.18. */
  readonly beyondKernel?: boolean;
}

const rows: InsnRow[] = [];
function row(
  r: Omit<InsnRow, "dst" | "src" | "off" | "imm" | "mnemonic"> &
    Partial<Omit<InsnRow, "name" | "op" | "kind">>,
): void {
  rows.push({ dst: 0, src: 0, off: 0, imm: 0, mnemonic: [], ...r });
}

// ---- arithmetic ------------------------------------------------------------------------------------------------
const ALU_OPS: readonly (readonly [op: number, name: string, sign: string])[] = [
  [BPF_ADD, "add", "+="],
  [BPF_SUB, "sub", "-="],
  [BPF_MUL, "mul", "*="],
  [BPF_DIV, "div", "/="],
  [BPF_OR, "or", "|="],
  [BPF_AND, "and", "&="],
  [BPF_LSH, "lsh", "<<="],
  [BPF_RSH, "rsh", ">>="],
  [BPF_MOD, "mod", "%="],
  [BPF_XOR, "xor", "^="],
  [BPF_MOV, "mov", "="],
  [BPF_ARSH, "arsh", "s>>="],
];
for (const [cls, w, bits] of [
  [BPF_ALU64, "", 64],
  [BPF_ALU, "w", 32],
] as const) {
  const suffix = bits === 64 ? "" : "32";
  for (const [op, name, sign] of ALU_OPS) {
    const divides = op === BPF_DIV || op === BPF_MOD;
    for (const off of divides ? [0, 1] : [0]) {
      const s = off ? "s" : "";
      const text = `{${w}dst} ${s}${sign}`;
      row({
        name: `${s}${name}${suffix}_imm`,
        op: cls | op | BPF_K,
        kind: "alu",
        dst: "out",
        off,
        imm: "any",
        llvm: [`${text} {imm}`],
        kernel: [`${text} {imm}`],
        mnemonic: [`${s}${name}${suffix} {dst}, {imm}`],
      });
      row({
        name: `${s}${name}${suffix}_reg`,
        op: cls | op | BPF_X,
        kind: "alu",
        dst: "out",
        src: "reg",
        off,
        // The compiler writes `r1 = w2` where it counts on the cleared upper half.
        llvm: op === BPF_MOV && w ? [`${text} {wsrc}`, "{dst} = {wsrc}"] : [`${text} {${w}src}`],
        kernel: [`${text} {${w}src}`],
        mnemonic: [`${s}${name}${suffix} {dst}, {src}`],
      });
    }
  }
  row({
    name: `neg${suffix}`,
    op: cls | BPF_NEG | BPF_K,
    kind: "alu",
    dst: "out",
    llvm: [`{${w}dst} = -{${w}dst}`],
    kernel: [`{${w}dst} = -{${w}dst}`],
    mnemonic: [`neg${suffix} {dst}`],
  });
  for (const from of bits === 64 ? [8, 16, 32] : [8, 16]) {
    row({
      name: `movsx${from}${bits}`,
      op: cls | BPF_MOV | BPF_X,
      kind: "movsx",
      dst: "out",
      src: "reg",
      off: from,
      llvm: [`{${w}dst} = (s${from}){${w}src}`],
      kernel: [`{${w}dst} = (s${from}){${w}src}`],
      mnemonic: [`movsx${from}${bits} {dst}, {src}`],
    });
  }
}
for (const [op, name] of [
  [BPF_ALU | BPF_END | BPF_K, "le"],
  [BPF_ALU | BPF_END | BPF_X, "be"],
  [BPF_ALU64 | BPF_END | BPF_K, "bswap"],
] as const)
  for (const bits of [16, 32, 64])
    row({
      name: `${name}${bits}`,
      op,
      kind: "end",
      dst: "out",
      imm: bits,
      llvm: [`{dst} = ${name}${bits} {dst}`],
      kernel: [`{dst} = ${name}${bits} {dst}`],
      mnemonic: name === "bswap" ? [`bswap${bits} {dst}`, `swap${bits} {dst}`] : [`${name}${bits} {dst}`],
    });
row({
  name: "addr_space_cast",
  op: BPF_ALU64 | BPF_MOV | BPF_X,
  kind: "cast",
  dst: "out",
  src: "reg",
  off: 1,
  imm: [1, 1 << 16],
  llvm: ["{dst} = addr_space_cast({src}, {dstas}, {srcas})"],
  kernel: ["{dst} = addr_space_cast({src}, {dstas}, {srcas})"],
});

// ---- 64-bit immediates -----------------------------------------------------------------------------------------
const LD_IMM64 = { op: BPF_LD | BPF_IMM | BPF_DW, kind: "ldimm64", dst: "out" } as const;
row({
  name: "lddw",
  ...LD_IMM64,
  imm: "any",
  hi: "any",
  llvm: ["{dst} = {imm64} ll"],
  kernel: ["{dst} = {imm64}"],
  mnemonic: ["lddw {dst}, {imm64}"],
});
// `kernel`: 0x%llx in the kernel's own log, which drops src; what is read back follows bpftool's names.
for (const [src, name, hi, text] of [
  [BPF_PSEUDO_MAP_FD, "lddw_map_fd", 0, "map[fd:{lo}]"],
  [BPF_PSEUDO_MAP_VALUE, "lddw_map_value", "any", "map[fd:{lo}][0]+{hi}"],
  [BPF_PSEUDO_BTF_ID, "lddw_btf_id", "any", "btf[fd:{hi}][id:{lo}]"],
  [BPF_PSEUDO_FUNC, "lddw_func", "ignored", "subprog[{rel}]"],
  [BPF_PSEUDO_MAP_IDX, "lddw_map_idx", 0, "map[idx:{lo}]"],
  [BPF_PSEUDO_MAP_IDX_VALUE, "lddw_map_idx_value", "any", "map[idx:{lo}][0]+{hi}"],
] as const)
  row({
    name,
    ...LD_IMM64,
    src,
    imm: "any",
    hi,
    llvm: ["ld_pseudo\t{dst}, {pseudo}, {lo}", "ld_pseudo\t{dst}, {pseudo}, {imm64}"],
    kernel: [`{dst} = {imm64}`, `{dst} = ${text}`],
  });

// ---- memory ----------------------------------------------------------------------------------------------------
const SIZES: readonly (readonly [size: number, bits: number, letter: string])[] = [
  [BPF_B, 8, "b"],
  [BPF_H, 16, "h"],
  [BPF_W, 32, "w"],
  [BPF_DW, 64, "dw"],
];
for (const [size, bits, letter] of SIZES) {
  const u = `u${bits}`;
  // With ALU32 LLVM knows loads and stores below 64 bits by their w registers only; without, by r registers only.
  const w = bits === 64 ? "" : "w";
  row({
    name: `ldx${letter}`,
    op: BPF_LDX | BPF_MEM | size,
    kind: "load",
    dst: "out",
    src: "reg",
    off: "any",
    llvm: [`{${w}dst} = *(${u} *)({src}{off})`, ...(w ? [`{dst} = *(${u} *)({src}{off})`] : [])],
    ...(w ? { llvmV1: `{dst} = *(${u} *)({src}{off})` } : {}),
    kernel: [`{dst} = *(${u} *)({src} {off})`],
    mnemonic: [`ldx${letter} {dst}, [{src}{off}]`],
  });
  if (bits !== 64)
    row({
      name: `ldxs${letter}`,
      op: BPF_LDX | BPF_MEMSX | size,
      kind: "load",
      dst: "out",
      src: "reg",
      off: "any",
      llvm: [`{dst} = *(s${bits} *)({src}{off})`],
      kernel: [`{dst} = *(s${bits} *)({src} {off})`],
      mnemonic: [`ldxs${letter} {dst}, [{src}{off}]`],
    });
  row({
    name: `stx${letter}`,
    op: BPF_STX | BPF_MEM | size,
    kind: "store",
    dst: "reg",
    src: "reg",
    off: "any",
    llvm: [`*(${u} *)({dst}{off}) = {${w}src}`, ...(w ? [`*(${u} *)({dst}{off}) = {src}`] : [])],
    ...(w ? { llvmV1: `*(${u} *)({dst}{off}) = {src}` } : {}),
    kernel: [`*(${u} *)({dst} {off}) = {src}`],
    mnemonic: [`stx${letter} [{dst}{off}], {src}`],
  });
  row({
    name: `st${letter}`,
    op: BPF_ST | BPF_MEM | size,
    kind: "store",
    dst: "reg",
    off: "any",
    imm: "any",
    llvm: [`*(${u} *)({dst}{off}) = {imm}`],
    kernel: [`*(${u} *)({dst} {off}) = {imm}`],
    mnemonic: [`st${letter} [{dst}{off}], {imm}`],
  });
  row({
    name: `load_acquire${bits}`,
    op: BPF_STX | BPF_ATOMIC | size,
    kind: "acquire",
    dst: "out",
    src: "reg",
    off: "any",
    imm: BPF_LOAD_ACQ,
    // LLVM 20 and later, which name the narrow ones by w registers.
    llvm: [
      `{${w}dst} = load_acquire((${u} *)({src}{off}))`,
      ...(w ? [`{dst} = load_acquire((${u} *)({src}{off}))`] : []),
    ],
    llvmV1: null,
    kernel: [`{dst} = load_acquire((${u} *)({src} {off}))`],
  });
  row({
    name: `store_release${bits}`,
    op: BPF_STX | BPF_ATOMIC | size,
    kind: "acquire",
    dst: "reg",
    src: "reg",
    off: "any",
    imm: BPF_STORE_REL,
    llvm: [
      `store_release((${u} *)({dst}{off}), {${w}src})`,
      ...(w ? [`store_release((${u} *)({dst}{off}), {src})`] : []),
    ],
    llvmV1: null,
    kernel: [`store_release((${u} *)({dst} {off}), {src})`],
  });
  if (bits === 64) continue;
  row({
    name: `ldabs${letter}`,
    op: BPF_LD | BPF_ABS | size,
    kind: "skb",
    imm: "any",
    llvm: [`r0 = *(${u} *)skb[{imm}]`],
    kernel: [`r0 = *(${u} *)skb[{imm}]`],
  });
  row({
    name: `ldind${letter}`,
    op: BPF_LD | BPF_IND | size,
    kind: "skb",
    src: "reg",
    imm: "any",
    llvm: [`r0 = *(${u} *)skb[{src}]`, `r0 = *(${u} *)skb[{src} + {imm}]`],
    kernel: [`r0 = *(${u} *)skb[{src} + {imm}]`],
  });
}

// ---- atomics ---------------------------------------------------------------------------------------------------
for (const [size, bits] of [
  [BPF_W, 32],
  [BPF_DW, 64],
] as const) {
  const op = BPF_STX | BPF_ATOMIC | size;
  const at = { op, kind: "atomic", dst: "reg", off: "any" } as const;
  const u = `u${bits}`;
  const w = bits === 64 ? "" : "w";
  const suffix = bits === 64 ? "" : "32";
  const v1 = w ? { llvmV1: null } : {};
  for (const [imm, name, sign] of [
    [BPF_ADD, "add", "+="],
    [BPF_OR, "or", "|="],
    [BPF_AND, "and", "&="],
    [BPF_XOR, "xor", "^="],
  ] as const) {
    row({
      name: `lock_${name}${suffix}`,
      ...at,
      src: "reg",
      imm,
      llvm: [
        `lock *(${u} *)({dst}{off}) ${sign} {${w}src}`,
        ...(w ? [`lock *(${u} *)({dst}{off}) ${sign} {src}`] : []),
      ],
      ...v1,
      ...(w && imm === BPF_ADD ? { llvmV1: `lock *(${u} *)({dst}{off}) += {src}` } : {}),
      kernel: [`lock *(${u} *)({dst} {off}) ${sign} {src}`],
      mnemonic: [`lock ${name}${suffix} [{dst}{off}], {src}`],
    });
    row({
      name: `lock_fetch_${name}${suffix}`,
      ...at,
      src: "out",
      imm: imm | BPF_FETCH,
      llvm: [
        `{${w}src} = atomic_fetch_${name}((${u} *)({dst}{off}), {${w}src})`,
        ...(w ? [`{src} = atomic_fetch_${name}((${u} *)({dst}{off}), {src})`] : []),
      ],
      ...v1,
      kernel: [`{src} = atomic${w ? "" : "64"}_fetch_${name}((${u} *)({dst} {off}), {src})`],
      mnemonic: [`lock fetch ${name}${suffix} [{dst}{off}], {src}`],
    });
  }
  const llvmSize = w ? "32_32" : "_64";
  row({
    name: `lock_xchg${suffix}`,
    ...at,
    src: "out",
    imm: BPF_XCHG,
    llvm: [
      `{${w}src} = xchg${llvmSize}({dst}{off}, {${w}src})`,
      ...(w ? [`{wsrc} = xchg_32({dst}{off}, {wsrc})`] : []),
    ],
    ...v1,
    kernel: [`{src} = atomic${w ? "" : "64"}_xchg((${u} *)({dst} {off}), {src})`],
    mnemonic: [`lock xchg${suffix} [{dst}{off}], {src}`],
  });
  row({
    name: `lock_cmpxchg${suffix}`,
    ...at,
    src: "reg",
    imm: BPF_CMPXCHG,
    llvm: [
      `${w || "r"}0 = cmpxchg${llvmSize}({dst}{off}, ${w || "r"}0, {${w}src})`,
      ...(w ? ["w0 = cmpxchg_32({dst}{off}, w0, {wsrc})"] : []),
    ],
    ...v1,
    kernel: [`r0 = atomic${w ? "" : "64"}_cmpxchg((${u} *)({dst} {off}), r0, {src})`],
    mnemonic: [`lock cmpxchg${suffix} [{dst}{off}], {src}`],
  });
}

// ---- jumps -----------------------------------------------------------------------------------------------------
for (const [op, name, sign] of [
  [BPF_JEQ, "jeq", "=="],
  [BPF_JGT, "jgt", ">"],
  [BPF_JGE, "jge", ">="],
  [BPF_JSET, "jset", "&"],
  [BPF_JNE, "jne", "!="],
  [BPF_JSGT, "jsgt", "s>"],
  [BPF_JSGE, "jsge", "s>="],
  [BPF_JLT, "jlt", "<"],
  [BPF_JLE, "jle", "<="],
  [BPF_JSLT, "jslt", "s<"],
  [BPF_JSLE, "jsle", "s<="],
] as const)
  for (const [cls, w, suffix] of [
    [BPF_JMP, "", ""],
    [BPF_JMP32, "w", "32"],
  ] as const) {
    row({
      name: `${name}${suffix}_imm`,
      op: cls | op | BPF_K,
      kind: "branch",
      dst: "reg",
      off: "any",
      imm: "any",
      llvm: [`if {${w}dst} ${sign} {imm} goto {jmp}`],
      kernel: [`if {${w}dst} ${sign} {ximm} goto pc{jmp}`],
      mnemonic: [`${name}${suffix} {dst}, {imm}, {jmp}`],
    });
    row({
      name: `${name}${suffix}_reg`,
      op: cls | op | BPF_X,
      kind: "branch",
      dst: "reg",
      src: "reg",
      off: "any",
      llvm: [`if {${w}dst} ${sign} {${w}src} goto {jmp}`],
      kernel: [`if {${w}dst} ${sign} {${w}src} goto pc{jmp}`],
      mnemonic: [`${name}${suffix} {dst}, {src}, {jmp}`],
    });
  }
row({
  name: "ja",
  op: BPF_JMP | BPF_JA,
  kind: "jump",
  off: "any",
  llvm: ["goto {jmp}"],
  kernel: ["goto pc{jmp}"],
  mnemonic: ["ja {jmp}"],
});
row({
  name: "ja32",
  op: BPF_JMP32 | BPF_JA,
  kind: "jump",
  imm: "any",
  llvm: ["gotol {jmpl}"],
  kernel: ["gotol pc{jmpl}"],
  mnemonic: ["ja32 {jmpl}"],
});
row({
  name: "gotox",
  beyondKernel: true,
  op: BPF_JMP | BPF_JA | BPF_X,
  kind: "gotox",
  dst: "reg",
  llvm: ["gotox {dst}"],
  llvmV1: null,
  kernel: ["gotox {dst}"],
});
row({
  name: "may_goto",
  op: BPF_JMP | BPF_JCOND,
  kind: "maygoto",
  off: "any",
  llvm: ["may_goto {jmp}"],
  kernel: ["may_goto pc{jmp}"],
});

// ---- calls -----------------------------------------------------------------------------------------------------
// A tail call is a call of helper 12. LLVM's own text is `call 0x5` whatever src says.
row({
  name: "call",
  op: BPF_JMP | BPF_CALL,
  kind: "call",
  imm: "any",
  llvm: ["call {helper}"],
  kernel: ["call {name}#{imm}"],
  mnemonic: ["call {helper}"],
});
row({
  name: "call_local",
  op: BPF_JMP | BPF_CALL,
  kind: "call",
  src: BPF_PSEUDO_CALL,
  imm: "any",
  llvm: ["call {imm}", "call pc{jmpl}"],
  kernel: ["call pc{jmpl}"],
  mnemonic: ["call local {jmpl}"],
});
row({
  name: "call_kfunc",
  op: BPF_JMP | BPF_CALL,
  kind: "call",
  src: BPF_PSEUDO_KFUNC_CALL,
  off: "any",
  imm: "any",
  llvm: ["call {imm}", "call kfunc {imm}", "call kfunc {imm}, {fdidx}"],
  kernel: ["call {kfunc}#{imm}", "call {kfunc}#{imm} fd_array[{fdidx}]"],
});
row({
  name: "callx",
  beyondKernel: true,
  op: BPF_JMP | BPF_CALL | BPF_X,
  kind: "callx",
  dst: "reg",
  llvm: ["callx {dst}"],
  kernel: ["callx {dst}"],
  mnemonic: ["call {dst}", "callx {dst}"],
});
row({
  name: "exit",
  op: BPF_JMP | BPF_EXIT,
  kind: "exit",
  off: "ignored",
  llvm: ["exit"],
  kernel: ["exit"],
  mnemonic: ["exit"],
});

/** The table. */
export const INSN_ROWS: readonly InsnRow[] = rows;
