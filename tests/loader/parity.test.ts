import { describe, expect, it } from "vitest";
import { measureLoader } from "../../tools/parity-loader.ts";
import { CORPUS_NEEDS } from "../support/corpus.ts";
import { want } from "../support/need.ts";

const w = want(...CORPUS_NEEDS, "shared");

describe.skipIf(w.skip)(w.title("the 6.12 selftests, linked"), () => {
  it("give the instructions that libbpf gave the kernel", async () => {
    const r = await measureLoader();
    expect(r.differences).toEqual([]);
    expect(r.programs).toBeGreaterThan(3000);
    expect(r.relocated).toBeGreaterThan(500);
    expect(r.kallsyms).toBeLessThan(10);
  }, 1_200_000);
});
