import { describe, expect, it } from "vitest";
import { want } from "../support/need.ts";
import { runTool } from "../support/run-tool.ts";

const bpf = want("bpf");

describe("random programs before the kernel and the verifier", () => {
  it.skipIf(bpf.skip)(
    bpf.title("300 get the same verdict and errno"),
    () => {
      const run = runTool("fuzz-verifier.ts", "--count", "300", "--seed", "40000", "--no-reduce");
      expect(run.lastLine, run.text).toMatch(
        /^fuzz verifier: \d+ programs, \d+ % accepted, 0 differences, \d+ messages$/,
      );
      expect(run.status).toBe(0);
    },
    600_000,
  );
});
