import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { assemble, decode, decodeSlots, disassemble, encode, INSN_ROWS, rowAt } from "../../src/asm/index.ts";
import { parseElf } from "../../src/elf/index.ts";
import { want } from "../support/need.ts";
import { sampleInsns } from "./samples.ts";

const samples = sampleInsns();
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("the table", () => {
  it("names every row once, and owns each instruction by one row", () => {
    expect(new Set(INSN_ROWS.map((r) => r.name)).size).toBe(INSN_ROWS.length);
    for (const { row, insn } of samples) expect(rowAt(decodeSlots(encode([insn])), 0)?.name).toBe(row.name);
  });

  it("survives the codec", () => {
    for (const { insn } of samples) expect(decode(encode([insn]))).toEqual([insn]);
  });

  it.each(["llvm", "kernel"] as const)("has a text for every instruction in the %s dialect", (dialect) => {
    for (const { row, insn } of samples) {
      const bytes = encode([insn]);
      const text = disassemble(bytes, { dialect });
      expect(text, row.name).not.toContain(".8byte");
      expect(hex(assemble(text, { dialect }).bytes), text).toBe(hex(bytes));
    }
  });
});

const w = want("clang-19");

/** What clang-19's assembler has no text for, or none that says what the kernel wants. */
const BEYOND_CLANG =
  /^(ja32|load_acquire|store_release|gotox|call_local|call_kfunc|lddw_|ldind)|^(lddw|addr_space_cast)$/;

describe.skipIf(w.skip)(w.title("clang's assembler"), () => {
  it("makes the same bytes of every text", () => {
    const list = samples.filter(({ row }) => !BEYOND_CLANG.test(row.name));
    const bytes = encode(list.map(({ insn }) => insn));
    const dir = mkdtempSync(join(tmpdir(), "tsbpf-asm-"));
    try {
      const source = join(dir, "all.s");
      writeFileSync(source, disassemble(bytes));
      execFileSync("clang-19", ["--target=bpf", "-mcpu=v4", "-c", source, "-o", join(dir, "all.o")]);
      const text = parseElf(new Uint8Array(readFileSync(join(dir, "all.o")))).section(".text")!.data;
      expect(hex(text)).toBe(hex(bytes));
      expect(list.length).toBeGreaterThan(500);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
