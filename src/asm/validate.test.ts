import { describe, expect, it } from "vitest";
import { BPF_B, BPF_DW, BPF_JEQ, BPF_LD, BPF_W } from "../uapi/index.ts";
import { assemble } from "./assemble.ts";
import * as b from "./build.ts";
import { encode, type Insn } from "./codec.ts";
import { type ValidateOptions, validate } from "./validate.ts";

const messages = (program: string | Insn[], options?: ValidateOptions): string[] =>
  validate(typeof program === "string" ? assemble(program).bytes : encode(program), options).map(
    (e) => e.message,
  );

describe("validate accepts", () => {
  it.each<[string, string]>([
    ["a loop", "r0 = 0; l: r0 += 1; if r0 != 5 goto l; exit"],
    ["a last jump back", "l: r0 = 0; if r0 == 0 goto e; goto l; e: exit; x: goto x"],
    ["subprograms and callbacks", "r1 = g ll; call f; exit; f: exit; g: gotol +0; exit"],
    ["division by zero and wide shifts", "r0 /= 0; w0 s%= 0; w0 <<= 99; exit"],
    [
      "every pseudo source",
      ".rept 1; ld_pseudo r1, 1, 5; ld_pseudo r2, 2, 0x500000001; ld_pseudo r3, 3, 7; .endr; exit",
    ],
    ["atomics", "r1 = atomic_fetch_or((u64 *)(r10 - 8), r1); w0 = cmpxchg32_32(r10 - 4, w0, w1); exit"],
    ["offsets that exit ignores", ".8byte 0x50095"],
  ])("%s", (_, text) => {
    expect(messages(text)).toEqual([]);
  });
});

describe("validate refuses", () => {
  it.each<[string, string | Insn[], string, ValidateOptions?]>([
    ["nothing", [], "insn 0: no instructions"],
    ["an unknown opcode", [b.raw(0xff), b.exit()], "insn 0: unknown opcode ff"],
    ["LD_IMM of other sizes", [b.raw(BPF_LD), b.exit()], "insn 0: unknown opcode 00"],
    ["byte atomics", [b.atomic(BPF_B, 0, 1, 2, 0), b.exit()], "BPF_ATOMIC uses invalid atomic opcode 00"],
    [
      "unknown atomics",
      [b.atomic(BPF_DW, 0x30, 1, 2, 0), b.exit()],
      "BPF_ATOMIC uses invalid atomic opcode 30",
    ],
    ["a register beyond r10", [b.mov64Reg(1, 11), b.exit()], "insn 0: R11 is invalid"],
    ["off of an addition", [b.raw(0x07, 1, 0, 1, 5), b.exit()], "BPF_ALU uses reserved fields: off is 1"],
    [
      "src of an immediate move",
      [b.raw(0xb7, 1, 2, 0, 5), b.exit()],
      "BPF_MOV uses reserved fields: src is 2",
    ],
    ["imm of a move", [b.raw(0xbf, 1, 2, 0, 5), b.exit()], "BPF_MOV uses reserved fields: imm is 5"],
    ["imm of a negation", [b.raw(0x87, 1, 0, 0, 5), b.exit()], "BPF_NEG uses reserved fields: imm is 5"],
    ["a swap of 8 bits", [b.le(8, 1), b.exit()], "BPF_END uses reserved fields: imm is 8"],
    ["imm of a load", [b.raw(0x61, 1, 2, 0, 5), b.exit()], "BPF_LDX uses reserved fields: imm is 5"],
    ["imm of a store", [b.raw(0x63, 1, 2, 0, 5), b.exit()], "BPF_STX uses reserved fields: imm is 5"],
    ["src of a store", [b.raw(0x62, 1, 2, 0, 5), b.exit()], "BPF_ST uses reserved fields: src is 2"],
    ["dst of LD_ABS", [b.raw(0x20, 1), b.exit()], "BPF_LD_[ABS|IND] uses reserved fields: dst is 1"],
    ["imm of a jump", [b.raw(0x05, 0, 0, 0, 5), b.exit()], "BPF_JA uses reserved fields: imm is 5"],
    ["imm of a register branch", [b.raw(0x1d, 0, 0, 0, 5), b.exit()], "BPF_JMP/JMP32 uses reserved fields"],
    ["off of a call", [b.raw(0x85, 0, 0, 1, 5), b.exit()], "BPF_CALL uses reserved fields: off is 1"],
    [
      "an unknown kind of call",
      [b.raw(0x85, 0, 3, 0, 5), b.exit()],
      "BPF_CALL uses reserved fields: src is 3",
    ],
    ["imm of exit", [b.raw(0x95, 0, 0, 0, 5)], "BPF_EXIT uses reserved fields: imm is 5"],
    ["another JCOND", [b.raw(0xe5, 0, 1, 0, 0), b.exit()], "invalid may_goto off 0 imm 0"],
    ["an unknown pseudo source", [b.ldImm64(1, 5, 7), b.exit()], "unrecognized bpf_ld_imm64 insn: src is 7"],
    [
      "a map fd of 64 bits",
      [b.ldImm64(1, 1n << 32n, 1), b.exit()],
      "unrecognized bpf_ld_imm64 insn: hi is 1",
    ],
    ["half an LD_IMM64", ".8byte 0x118", "insn 0: invalid bpf_ld_imm64 insn"],
    ["a dirty second half", ".8byte 0x118; exit", "insn 0: invalid bpf_ld_imm64 insn"],
    ["a jump out", "goto +1; exit", "jump out of range from insn 0 to 2"],
    ["a jump before", "goto -3; exit", "jump out of range from insn 0 to -2"],
    ["a far gotol", "gotol 0x7fffffff; exit", "jump out of range from insn 0 to 2147483648"],
    ["a jump into LD_IMM64", "goto +1; r1 = 5 ll; exit", "jump into the middle of ldimm64 insn 1"],
    ["a jump to another subprogram", "call f; goto f; f: exit", "jump out of range from insn 1 to 2"],
    ["a call out", [b.callLocal(5), b.exit()], "call to invalid destination 6"],
    ["a callback out", [b.ldFunc(1, -9), b.exit()], "call to invalid destination -8"],
    [
      "a call into LD_IMM64",
      [b.callLocal(1), b.ldImm64(1, 5), b.exit()],
      "call into the middle of ldimm64 insn 1",
    ],
    ["falling off the end", "r0 = 0", "insn 0: last insn is not an exit or jmp"],
    ["falling off with LD_IMM64", "exit; r0 = 0 ll", "insn 2: last insn is not an exit or jmp"],
    ["falling into a subprogram", "call f; f: exit", "insn 0: last insn is not an exit or jmp"],
    ["unreachable code", "exit; r0 = 0; exit", "unreachable insn 1", { rules: "kernel" }],
    ["callx, as Linux does", "callx r1; exit", "insn 0: unknown opcode 8d", { rules: "kernel" }],
    ["no such entry", "exit", "subprogram at 7", { entries: [7] }],
  ])("%s", (_, program, message, options) => {
    expect(messages(program, options)[0]).toContain(message);
  });

  it("pieces of slots", () => {
    expect(validate(new Uint8Array(11)).map((e) => e.message)).toEqual([
      "insn 1: 11 bytes are not a whole number of 8-byte slots",
    ]);
  });

  it("as many errors as asked for", () => {
    const garbage = new Uint8Array(80000).fill(0xff);
    expect(validate(garbage)).toHaveLength(50);
    expect(validate(garbage, { limit: 3 })).toHaveLength(3);
  });

  it("nothing that only an exception callback reaches", () => {
    const text = "exit; r0 = 0; exit";
    expect(messages(text, { rules: "kernel", entries: [1] })).toEqual([]);
  });
});

it("validates 100,000 instructions in a few milliseconds", () => {
  const list: Insn[] = [];
  for (let i = 0; i < 33_333; i++)
    list.push(b.alu64Imm(0, 1, i), b.ldxMem(BPF_W, 2, 10, -8), b.jmpImm(BPF_JEQ, 1, 0, 0));
  const bytes = encode([...list, b.exit()]);
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 10; i++) {
    const start = performance.now();
    expect(validate(bytes)).toEqual([]);
    best = Math.min(best, performance.now() - start);
  }
  expect(best).toBeLessThan(100);
});
