/** The verifier beside recorded kernels, over the files that the selftests' own runner drives; the whole is a command. */
import { describe, expect, it } from "vitest";
import { CORPUS_NEEDS } from "./support/corpus.ts";
import { want } from "./support/need.ts";
import { runTool } from "./support/run-tool.ts";

const w = want(...CORPUS_NEEDS, "shared");

describe.skipIf(w.skip)(w.title("the verifier and Linux 6.12, 6.18"), () => {
  it("agree on verdicts, messages and unprivileged verdicts as far as docs/parity/verifier.md says", () => {
    const run = runTool("parity.ts", "verifier", "--only", "verifier_", "--seconds", "120", "--json");
    const report = JSON.parse(run.stdout) as { summary: string; notes: string[] };
    const m =
      /^verifier: annotated (\d+)\/(\d+), programs-6.12 (\d+)\/(\d+), programs-6.18 (\d+)\/(\d+), messages (\d+)\/(\d+), unprivileged (\d+)\/(\d+), unsafe-accepts (\d+)$/.exec(
        report.summary,
      );
    expect(m, report.summary).not.toBeNull();
    const lacking = [1, 3, 5, 7, 9].map((i) => Number(m![i + 1]) - Number(m![i]));
    const [annotated, k612, k618, messages, unprivileged] = lacking as [
      number,
      number,
      number,
      number,
      number,
    ];
    expect({ summary: report.summary, ok: annotated <= LACKING.annotated }).toMatchObject({ ok: true });
    expect(k612).toBeLessThanOrEqual(LACKING.k612);
    expect(k618).toBeLessThanOrEqual(LACKING.k618);
    expect(messages).toBeLessThanOrEqual(LACKING.messages);
    expect(unprivileged).toBeLessThanOrEqual(LACKING.unprivileged);
    expect(Number(m![11])).toBe(0);
  }, 1_200_000);
});

/** What was measured; docs/parity/verifier.md names each. */
const LACKING = { annotated: 1, k612: 1, k618: 1, messages: 9, unprivileged: 0 };
