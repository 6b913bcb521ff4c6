import { describe, expect, it } from "vitest";
import { want } from "./support/need.ts";
import { runTool } from "./support/run-tool.ts";

const w = want("shared", "bpf");

describe.skipIf(w.skip)(w.title("conformance vectors"), () => {
  it("behave as stated on every engine and on the kernel", () => {
    const run = runTool("parity.ts", "isa");
    const figures = /^isa: interp 313\/313, jit 313\/313, jit-checked 313\/313, kernel (\d+)\/(\d+)$/.exec(
      run.lastLine,
    );
    expect(figures, run.text).not.toBeNull();
    expect(figures![1]).toBe(figures![2]);
    // Refused by the verifier: shifts by immediates out of range, and callx.
    expect(Number(figures![2])).toBeGreaterThanOrEqual(300);
    expect(run.status).toBe(0);
  });
});
