import { describe, expect, it } from "vitest";
import { AsmError } from "../diag/index.ts";
import {
  BPF_ADD,
  BPF_DW,
  BPF_FETCH,
  BPF_H,
  BPF_JSET,
  BPF_JSGT,
  BPF_MOV,
  BPF_W,
  BPF_XCHG,
} from "../uapi/index.ts";
import { type AssembleOptions, assemble } from "./assemble.ts";
import * as b from "./build.ts";
import { decodeSlots, encode } from "./codec.ts";
import { disassemble, kernelInsnText } from "./disassemble.ts";

const hex = (bytes: Uint8Array): string =>
  (Buffer.from(bytes).toString("hex").match(/.{16}/g) ?? []).join(" ");
const asm = (text: string, options?: AssembleOptions): string => hex(assemble(text, options).bytes);
const insns = (...list: Parameters<typeof encode>[0]): string => hex(encode(list));

describe("assemble: llvm", () => {
  it.each([
    ["r0 = *(u32 *)(r1 + 4)", [b.ldxMem(BPF_W, 0, 1, 4)]],
    ["w0=*(u16*)(r1-4)", [b.ldxMem(BPF_H, 0, 1, -4)]],
    ["r0 = *(u32 *)(r1 + (4 * 2 - 1))", [b.ldxMem(BPF_W, 0, 1, 7)]],
    ["lock *(u64 *)(r1+0) += r2", [b.atomic(BPF_DW, BPF_ADD, 1, 2, 0)]],
    ["r2 = atomic_fetch_add((u64 *)(r1 - 8), r2)", [b.atomic(BPF_DW, BPF_ADD | BPF_FETCH, 1, 2, -8)]],
    ["w2 = xchg32_32(r1 + 0, w2)", [b.atomic(BPF_W, BPF_XCHG, 1, 2, 0)]],
    ["r1 = load_acquire((u64 *)(r2 + 8))", [b.loadAcquire(BPF_DW, 1, 2, 8)]],
    ["store_release((u16 *)(r1 + 8), w2)", [b.storeRelease(BPF_H, 1, 2, 8)]],
    ["r1 = addr_space_cast(r1, 0, 1)", [b.addrSpaceCast(1, 1, 0, 1)]],
    ["r1 = (s8)r2; w1 = (s16)w2", [b.movsx64(8, 1, 2), b.movsx32(16, 1, 2)]],
    ["r1 s/= r2; w1 s%= -3", [b.salu64Reg(0x30, 1, 2), b.salu32Imm(0x90, 1, -3)]],
    ["if w1 s> 3 goto +5", [b.jmp32Imm(BPF_JSGT, 1, 3, 5)]],
    ["if r1 & 0x8 goto -1", [b.jmpImm(BPF_JSET, 1, 8, -1)]],
    ["r1 = -1 ll", [b.ldImm64(1, -1n)]],
    ["r1 = 0xffffffff", [b.mov64Imm(1, -1)]],
    ["goto +5; gotol -2; may_goto 3; gotox r4", [b.ja(5), b.jal(-2), b.mayGoto(3), b.jax(4)]],
    ["callx r1 # comment\n // another\n call 12 /* a\n b */; exit", [b.callx(1), b.callHelper(12), b.exit()]],
    ["call bpf_tail_call", [b.callHelper(12)]],
    ["l0: goto l1; l1: goto l0", [b.ja(0), b.ja(-2)]],
    ["1: goto 1f; 1: goto 1b; goto 1f; 1: exit", [b.ja(0), b.ja(-1), b.ja(0), b.exit()]],
    ["l_%=: r1 = 1 ll; if r1 == 1 goto l_%=", [b.ldImm64(1, 1), b.jmpImm(0x10, 1, 1, -3)]],
    ["call f; exit; f: exit", [b.callLocal(1), b.exit(), b.exit()]],
    ["r1 = f ll; exit; f: exit", [b.ldFunc(1, 2), b.exit(), b.exit()]],
    [".8byte 0x95", [b.exit()]],
    [".byte 0xe5; .byte 0; .short 7; .long 0", [b.mayGoto(7)]],
    [".rept 3; r0 += 1; .endr", [b.alu64Imm(0, 0, 1), b.alu64Imm(0, 0, 1), b.alu64Imm(0, 0, 1)]],
    ["four = 1 << 2; .set eight, four * 2; r0 = four | eight", [b.mov64Imm(0, 12)]],
    ["goto +1 <main+0x10>", [b.ja(1)]],
    ["r0 = *(u8 *)skb[r3]; r0 = *(u8 *)skb[0x17]", [b.ldInd(0x10, 3, 0), b.ldAbs(0x10, 23)]],
  ])("%s", (text, list) => {
    expect(asm(text)).toBe(insns(...list));
  });

  it("takes names from outside", () => {
    const resolve: AssembleOptions["resolve"] = (name, use) =>
      ({ value: 7, call: { src: 2, value: 1234 }, imm64: { src: 1, value: 5 } })[use] ?? name;
    expect(asm("r1 = %[size] * 2; call bpf_kfunc; r1 = map ll", { resolve })).toBe(
      insns(b.mov64Imm(1, 14), b.callKfunc(1234), b.ldMapFd(1, 5)),
    );
  });

  it("keeps sections and labels apart", () => {
    const out = assemble('r0 = 1\n.section "xdp", "ax"\nf: r0 = 2\nexit\n.text\ng: exit');
    expect(hex(out.bytes)).toBe(insns(b.mov64Imm(0, 1), b.exit()));
    expect([...out.labels]).toEqual([["g", 8]]);
    expect(hex(out.sections.get("xdp")!)).toBe(insns(b.mov64Imm(0, 2), b.exit()));
  });
});

describe("assemble: mnemonic", () => {
  const dialect = "mnemonic";
  it.each([
    ["mov %r1, -1", [b.mov64Imm(1, -1)]],
    ["mov32 %r1, %r2", [b.alu32Reg(BPF_MOV, 1, 2)]],
    ["stxdw [%r10-8], %r0", [b.stxMem(BPF_DW, 10, 0, -8)]],
    ["ldxh %r0, [%r1]", [b.ldxMem(BPF_H, 0, 1, 0)]],
    ["lock fetch add32 [%r10-4], %r1", [b.atomic(BPF_W, BPF_ADD | BPF_FETCH, 10, 1, -4)]],
    ["call %r2", [b.callx(2)]],
    ["call local f\nexit\nf: # comment\nexit", [b.callLocal(1), b.exit(), b.exit()]],
    ["ja exit\nexit\nexit", [b.ja(1), b.exit(), b.exit()]],
    ["swap16 %r0\nle32 %r1", [b.bswap(16, 0), b.le(32, 1)]],
  ])("%s", (text, list) => {
    expect(asm(text, { dialect })).toBe(insns(...list));
  });
});

describe("disassemble and assemble again", () => {
  const program = encode([
    b.ldMapFd(1, 3),
    b.ldMapValue(2, 3, 16),
    b.ldBtfId(3, 100, 7),
    b.ldFunc(4, 4),
    b.ldMapIdx(5, 1),
    b.ldMapIdxValue(6, 1, 8),
    b.ldInd(BPF_W, 3, -5),
    b.callHelper(12),
    b.callHelper(5000),
    b.callLocal(2),
    b.callKfunc(1234),
    b.callKfunc(1234, 2),
    b.raw(0x95, 0, 0, 5, 0),
    b.raw(0x18, 1, 9),
    b.raw(0xff, 15, 15, -1, -1),
  ]);
  it("llvm", () => {
    const text = disassemble(program);
    expect(text).toMatchInlineSnapshot(`
      "ld_pseudo	r1, 0x1, 0x3
      ld_pseudo	r2, 0x2, 0x1000000003
      ld_pseudo	r3, 0x3, 0x700000064
      ld_pseudo	r4, 0x4, 0x4
      ld_pseudo	r5, 0x5, 0x1
      ld_pseudo	r6, 0x6, 0x800000001
      r0 = *(u32 *)skb[r3 + -0x5]
      call 0xc
      call 0x1388
      call pc+0x2
      call kfunc 0x4d2
      call kfunc 0x4d2, 0x2
      .8byte 0x0000000000050095
      .8byte 0x0000000000009118
      .8byte 0x0000000000000000
      .8byte 0xffffffffffffffff
      "
    `);
    expect(hex(assemble(text).bytes)).toBe(hex(program));
  });
  it("kernel", () => {
    const text = disassemble(program, { dialect: "kernel", numbers: true });
    expect(text).toMatchInlineSnapshot(`
      "0: (18) r1 = map[fd:3]
      2: (18) r2 = map[fd:3][0]+16
      4: (18) r3 = btf[fd:7][id:100]
      6: (18) r4 = subprog[+4]
      8: (18) r5 = map[idx:1]
      10: (18) r6 = map[idx:1][0]+8
      12: (40) r0 = *(u32 *)skb[r3 + -5]
      13: (85) call bpf_tail_call#12
      14: (85) call unknown#5000
      15: (85) call pc+2
      16: (85) call kernel-function#1234
      17: (85) call kernel-function#1234 fd_array[2]
      18: .8byte 0x0000000000050095
      19: .8byte 0x0000000000009118
      20: .8byte 0x0000000000000000
      21: .8byte 0xffffffffffffffff
      "
    `);
    expect(hex(assemble(text, { dialect: "kernel" }).bytes)).toBe(hex(program));
  });
});

describe("the kernel's text of what it refuses", () => {
  it.each<[ReturnType<typeof b.raw>, string]>([
    [b.be(8, 1), "(dc) r1 = be8 r1"],
    [b.movsx32(32, 1, 2), "(bc) w1 = (s32)w2"],
    [b.raw(0x85, 0, 3, 0, 1), "(85) call unknown#1"],
    [b.atomic(BPF_DW, 0x30, 1, 2, 0), "BUG_db"],
    [b.raw(0x07, 1, 2, 3, 4), "(07) r1 += 4"],
    [b.raw(0xe1), "BUG_ldx_e1"],
  ])("%o", (insn, text) => {
    expect(kernelInsnText(decodeSlots(encode([insn])), 0)).toBe(text);
  });
});

describe("assemble refuses", () => {
  it.each<[string, RegExp, AssembleOptions?]>([
    ["exit\nr0 = r12", /line 2: .*r12 in "r0 = r12"/],
    ["r0 += w1", /unexpected "w1"/],
    ["r0 += 0x100000000", /4294967296 does not fit 32 bits/],
    ["r0 = *(u32 *)(r1 + 40000)", /40000 does not fit 16 bits/],
    ["goto nowhere", /unknown name nowhere/],
    ["goto 1b; 1: exit", /no label 1 there/],
    ["a: exit; a: exit", /label a is already defined/],
    ["r1 = -r2", /expected r1 again, found r2/],
    ["r0 = ", /cut short/],
    ["r0", /cut short/],
    ["frob r0", /unexpected "frob"/],
    [".frob 1", /unknown directive .frob/],
    [".rept 5", /without its .endr/],
    [".rept 1000000; .fill 1000, 8; .endr", /more than \d+ bytes/],
    [".rept 100000; .rept 100000; a = 1; .endr; .endr", /more than \d+ repeated/],
    [`${".rept 1;".repeat(40)}${".endr;".repeat(40)}`, /nested deeper than 32/],
    [`r0 = ${"9".repeat(1000)}`, /too long a number/],
    [`r0 = ${"(".repeat(1000)}`, /nested too deeply/],
    [".byte 256", /256 does not fit 8 bits/],
    ["r0 = @", /unexpected "@"/],
    ["r0 = `", /unexpected "`"/],
    ["r1 = addr_space_cast(r1, 2, 3)", /addr_space_cast does not take 131075/],
    ["r0 = 0", /opcode in parentheses/, { dialect: "kernel" }],
    ["(b7) r0 += 0", /unexpected "\+="/, { dialect: "kernel" }],
    ["call %r2, 5", /unexpected ","/, { dialect: "mnemonic" }],
  ])("%s", (text, message, options) => {
    expect(() => assemble(text, options)).toThrow(AsmError);
    expect(() => assemble(text, options)).toThrow(message);
  });
});
