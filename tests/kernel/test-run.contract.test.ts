// BPF_PROG_TEST_RUN on the embedded kernel, against the running Linux where bpf(2) is allowed.
import { beforeAll, describe, expect, it } from "vitest";
import { Kernel } from "../../src/kernel/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import { want } from "../support/need.ts";
import { CASES, NEGATIVE_OFFSETS } from "./cases.ts";
import { outcome } from "./notation.ts";

const live = want("bpf");

describe.skipIf(live.skip)(live.title("test runs as Linux does them"), () => {
  let linux: LinuxBackend;
  const interp = new Kernel({ engine: "interp" });
  const kernels = [interp, new Kernel({ engine: "jit" })];
  beforeAll(async () => {
    linux = await LinuxBackend.open();
  });

  it.each(CASES)("$name", (c) => {
    const expected = outcome(linux, c);
    for (const kernel of kernels) expect(outcome(kernel, c)).toEqual(expected);
  });

  it.each(NEGATIVE_OFFSETS)("$name", (c) => {
    expect(outcome(interp, c)).toEqual(outcome(linux, c));
  });
});
