import { describe, expect, it } from "vitest";
import { CORPUS_NEEDS } from "./support/corpus.ts";
import { want } from "./support/need.ts";
import { runTool } from "./support/run-tool.ts";

const w = want(...CORPUS_NEEDS, "shared");

describe.skipIf(w.skip)(w.title("annotated return values of the selftests"), () => {
  it("are right wherever the program needs only what there is", () => {
    const run = runTool("parity.ts", "retval", "--json");
    const report = JSON.parse(run.stdout) as {
      summary: string;
      notes: string[];
    };
    expect(report.notes.filter((note) => note.startsWith("wrong:"))).toEqual([]);
    const figures = /^retval: jit (\d+)\/569, interp (\d+)\/569$/.exec(report.summary);
    expect(figures, report.summary).not.toBeNull();
    // The rest waits for kfuncs, arenas, storage and socket maps, and BTF pointers.
    expect(Number(figures![1])).toBeGreaterThanOrEqual(535);
    expect(Number(figures![2])).toBeGreaterThanOrEqual(535);
  }, 1_200_000);
});
