import { describe, expect, it } from "vitest";
import { assemble } from "../asm/index.ts";
import * as uapi from "../uapi/index.ts";
import { Kernel } from "./kernel.ts";

const packet = new Uint8Array(64).fill(7);

function load(kernel: Kernel, source: string, logLevel = 1): { fd: number; log: string } {
  return kernel.progLoad({
    prog_type: uapi.BPF_PROG_TYPE_SCHED_CLS,
    insns: assemble(source).bytes,
    license: "GPL",
    log_level: logLevel,
  });
}

/** Reads the packet's first byte if there is one. */
const FIRST_BYTE = `
  r2 = *(u32 *)(r1 + 76)
  r3 = *(u32 *)(r1 + 80)
  r4 = r2
  r4 += 1
  r0 = 0
  if r4 > r3 goto out
  r0 = *(u8 *)(r2 + 0)
out:
  exit`;

describe("a kernel that verifies", () => {
  const kernel = new Kernel({ verify: true, maxBytes: 32 << 20 });

  it("runs what passes", () => {
    const { fd } = load(kernel, FIRST_BYTE);
    expect(fd).toBeGreaterThanOrEqual(0);
    expect(kernel.progTestRun(fd, { data_in: packet }).retval).toBe(7);
  });

  it("refuses what does not, with Linux's log", () => {
    const unchecked = FIRST_BYTE.replace("if r4 > r3 goto out", "");
    const { fd, log } = load(kernel, unchecked);
    expect(fd).toBe(-uapi.EACCES);
    expect(log).toContain("invalid access to packet, off=0 size=1, R2(id=0,off=0,r=0)\n");
    expect(load(kernel, unchecked, 0).log).toBe("");
  });

  it("runs programs without their dead code", () => {
    const { fd } = load(kernel, "r1 = 3\nif r1 == 3 goto +1\nr10 = 0\nr0 = r1\nexit");
    const info = kernel.progInfo(fd);
    if (typeof info === "number") throw new Error(`no info: ${info}`);
    expect(info.xlated_prog_len).toBe(3 * 8);
    expect(kernel.progTestRun(fd, { data_in: packet }).retval).toBe(3);
  });
});
