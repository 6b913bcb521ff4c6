import { describe, expect, it } from "vitest";
import { assemble } from "../asm/index.ts";
import { BPF_PROG_TYPE_SOCKET_FILTER } from "../uapi/index.ts";
import type { VerifierInput, VerifierResult } from "./input.ts";
import { findProfile } from "./profiles.ts";
import { verify } from "./verify.ts";

function run(source: string, more: Partial<VerifierInput> = {}): VerifierResult {
  const input: VerifierInput = {
    insns: assemble(source).bytes,
    maps: [],
    progType: BPF_PROG_TYPE_SOCKET_FILTER,
    expectedAttachType: 0,
    progFlags: 0,
    license: "GPL",
    name: "test",
    btf: null,
    funcInfo: [],
    lineInfo: [],
    attach: null,
    ...more,
  };
  return verify(input, findProfile("6.18")!, null, { logLevel: 1 });
}

const NO_CAPS = { bpf: false, perfmon: false, netAdmin: false, sysAdmin: false };

describe("verify", () => {
  it.each([
    ["r0 = 0\nexit", ""],
    ["exit", "R0 !read_ok"],
    ["r0 = 0\nr0 = r2\nexit", "R2 !read_ok"],
    ["r10 = 0\nexit", "frame pointer is read only"],
    ["r0 = *(u32 *)(r1 + 0)\nexit", ""],
    ["r0 = *(u32 *)(r1 + 76)\nexit", "invalid bpf_context access off=76 size=4"],
    ["r1 = 1\n*(u64 *)(r10 - 8) = r1\nr0 = *(u64 *)(r10 - 8)\nexit", ""],
    ["*(u64 *)(r10 - 520) = r1\nr0 = 0\nexit", "invalid write to stack R10 off=-520 size=8"],
    ["r0 = *(u64 *)(r10 + 0)\nexit", "invalid read from stack R10 off=0 size=8"],
    ["r0 = 0\nr0 += r10\nexit", ""],
  ])("%s", (source, message) => {
    const result = run(source);
    expect([result.ok, result.message]).toEqual([message === "", message]);
  });

  it("finds what is not reachable", () => {
    expect(run("r0 = 0\ngoto +1\nr0 = 1\nexit").message).toBe("unreachable insn 2");
  });

  it("lets nobody leak an address without CAP_PERFMON", () => {
    const source = "r0 = r10\nexit";
    expect(run(source).ok).toBe(true);
    const result = run(source, { caps: NO_CAPS });
    expect([result.errno, result.message]).toEqual([13, "R0 leaks addr as return value"]);
  });

  it("wants more capabilities for other program types", () => {
    const result = run("r0 = 0\nexit", { progType: 6, caps: NO_CAPS });
    expect([result.ok, result.errno, result.log]).toEqual([false, 1, ""]);
  });
});
