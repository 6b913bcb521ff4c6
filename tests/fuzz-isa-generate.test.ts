import { describe, expect, it } from "vitest";
import { encode } from "../src/asm/index.ts";
import { LinuxBackend } from "../src/linux/index.ts";
import * as u from "../src/uapi/index.ts";
import { VALUE_SIZE } from "../tools/fuzz-isa/builder.ts";
import { generate } from "../tools/fuzz-isa/generate.ts";
import { want } from "./support/need.ts";

describe("random programs", () => {
  it("depend on the seed alone", () => {
    const first = generate(7);
    const again = generate(7);
    expect(encode(again.insns)).toEqual(encode(first.insns));
    expect(again.memory).toEqual(first.memory);
    expect(encode(generate(8).insns)).not.toEqual(encode(first.insns));
  });

  it("hold every kind of instruction", () => {
    const ops = new Set<number>();
    const kinds = new Set<string>();
    for (let seed = 1; seed <= 1500; seed++)
      for (const { op, off, imm, src } of generate(seed).insns) {
        ops.add(op);
        if ((op & 0xe7) === (u.BPF_STX | u.BPF_ATOMIC)) kinds.add(`atomic ${op & u.BPF_DW} ${imm}`);
        if ((op & 7) === u.BPF_ALU || (op & 7) === u.BPF_ALU64) kinds.add(`alu ${op} ${off}`);
        if ((op & 0xf7) === (u.BPF_ALU | u.BPF_END) || (op & 0xf7) === (u.BPF_ALU64 | u.BPF_END))
          kinds.add(`end ${op} ${imm}`);
        if (op === (u.BPF_JMP | u.BPF_CALL)) kinds.add(`call ${src}`);
      }
    const missing: string[] = [];
    const has = (name: string, ok: boolean): void => {
      if (!ok) missing.push(name);
    };
    for (const cls of [u.BPF_ALU, u.BPF_ALU64])
      for (let code = u.BPF_ADD; code <= u.BPF_ARSH; code += 0x10)
        for (const source of code === u.BPF_NEG ? [u.BPF_K] : [u.BPF_K, u.BPF_X])
          has(`alu ${cls | code | source}`, ops.has(cls | code | source));
    for (const cls of [u.BPF_JMP, u.BPF_JMP32])
      for (let code = u.BPF_JEQ; code <= u.BPF_JSLE; code += 0x10)
        if (code !== u.BPF_CALL && code !== u.BPF_EXIT)
          for (const source of [u.BPF_K, u.BPF_X])
            has(`jump ${cls | code | source}`, ops.has(cls | code | source));
    for (const size of [u.BPF_B, u.BPF_H, u.BPF_W, u.BPF_DW]) {
      for (const cls of [u.BPF_LDX, u.BPF_ST, u.BPF_STX])
        has(`access ${cls | u.BPF_MEM | size}`, ops.has(cls | u.BPF_MEM | size));
      if (size !== u.BPF_DW) has(`memsx ${size}`, ops.has(u.BPF_LDX | u.BPF_MEMSX | size));
      for (const imm of [u.BPF_LOAD_ACQ, u.BPF_STORE_REL])
        has(`atomic ${size} ${imm}`, kinds.has(`atomic ${size} ${imm}`));
    }
    for (const size of [u.BPF_W, u.BPF_DW])
      for (const op of [u.BPF_ADD, u.BPF_OR, u.BPF_AND, u.BPF_XOR])
        for (const imm of [op, op | u.BPF_FETCH, u.BPF_XCHG, u.BPF_CMPXCHG])
          has(`atomic ${size} ${imm}`, kinds.has(`atomic ${size} ${imm}`));
    for (const bits of [8, 16, 32])
      has(`movsx ${bits}`, kinds.has(`alu ${u.BPF_ALU64 | u.BPF_MOV | u.BPF_X} ${bits}`));
    for (const op of [u.BPF_DIV, u.BPF_MOD])
      for (const cls of [u.BPF_ALU, u.BPF_ALU64]) has(`signed ${cls | op}`, kinds.has(`alu ${cls | op} 1`));
    for (const op of [u.BPF_ALU, u.BPF_ALU | u.BPF_X, u.BPF_ALU64])
      for (const bits of [16, 32, 64]) has(`end ${op}`, kinds.has(`end ${op | u.BPF_END} ${bits}`));
    has("goto", ops.has(u.BPF_JMP | u.BPF_JA));
    has("gotol", ops.has(u.BPF_JMP32 | u.BPF_JA));
    has("may_goto", ops.has(u.BPF_JMP | u.BPF_JCOND));
    has("call", kinds.has(`call ${u.BPF_PSEUDO_CALL}`));
    has("ld_imm64", ops.has(u.BPF_LD | u.BPF_IMM | u.BPF_DW));
    expect(missing).toEqual([]);
  });
});

const bpf = want("bpf");

describe.skipIf(bpf.skip)(bpf.title("random programs and the running kernel"), () => {
  it("are accepted", async () => {
    const kernel = await LinuxBackend.open();
    const map = kernel.mapCreate({
      map_type: u.BPF_MAP_TYPE_ARRAY,
      key_size: 4,
      value_size: VALUE_SIZE,
      max_entries: 1,
    });
    for (let seed = 1; seed <= 300; seed++) {
      const insns = generate(seed).insns.map((insn) =>
        insn.src === u.BPF_PSEUDO_MAP_VALUE && insn.imm64 !== undefined
          ? { ...insn, imm64: insn.imm64 | BigInt(map) }
          : insn,
      );
      const { fd, log } = kernel.progLoad({
        prog_type: u.BPF_PROG_TYPE_SYSCALL,
        insns: encode(insns),
        license: "GPL",
        prog_flags: 1 << 4,
      });
      if (fd < 0) throw new Error(`seed ${seed}: ${fd} ${log}`);
      kernel.close(fd);
    }
    kernel.close(map);
  });
});
