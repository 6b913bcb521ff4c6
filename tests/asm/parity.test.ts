import { describe, expect, it } from "vitest";
import { measureAsm } from "../../tools/parity-asm.ts";
import { CORPUS_NEEDS } from "../support/corpus.ts";
import { want } from "../support/need.ts";

const w = want(...CORPUS_NEEDS, "llvm-19", "shared");

describe.skipIf(w.skip)(w.title("the 6.12 selftests, disassembled"), () => {
  it("assemble to themselves, print as llvm-objdump prints them, and assemble from clang's text", async () => {
    const r = await measureAsm();
    expect(r.differences).toEqual([]);
    expect(r.programs).toBeGreaterThan(3000);
    expect(r.objects).toBeGreaterThan(700);
    expect(r.lines).toBeGreaterThan(400_000);
    expect(r.sections).toBeGreaterThan(200);
    expect(r.equalSections).toBe(r.sections);
    expect([r.roundtripLlvm, r.roundtripKernel, r.equalLines]).toEqual([r.programs, r.programs, r.lines]);
  }, 1_200_000);
});
