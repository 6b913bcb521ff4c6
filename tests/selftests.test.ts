import { describe, expect, it } from "vitest";
import { CORPUS_NEEDS, selftests } from "./support/corpus.ts";
import { want } from "./support/need.ts";
import { type RecordedProgram, recordedRows } from "./support/recorded.ts";

const w = want(...CORPUS_NEEDS, "shared");

describe.skipIf(w.skip)(w.title("Linux 6.12's BPF selftests"), () => {
  it("build, every one that a recorded kernel judged", async () => {
    const corpus = await selftests();
    expect(corpus.failed).toEqual([]);
    const recorded = new Set(recordedRows<RecordedProgram>("selftests-6.12").map((row) => row.obj));
    expect(corpus.objects).toEqual([...recorded].sort());
    for (const object of corpus.objects)
      expect([...corpus.read(object).subarray(0, 4)]).toEqual([0x7f, 0x45, 0x4c, 0x46]);
  }, 1_200_000);
});
