/** The translation on the running kernel: it loads (the verifier takes it) and answers as the reference machine does. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SKF_AD_OFF } from "../../src/asm/classic/insn.ts";
import { classicToEbpf, disassembleClassic, runClassic, validateClassic } from "../../src/asm/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import { BPF_PROG_TYPE_SCHED_CLS } from "../../src/uapi/index.ts";
import { want } from "../support/need.ts";
import { programs } from "./random-programs.ts";

const bpf = want("bpf");

describe.skipIf(bpf.skip)(bpf.title("classic filters on the running kernel"), () => {
  it("answers as the machine does", async () => {
    const kernel = await LinuxBackend.open();
    let same = 0;
    let nonZero = 0;
    fc.assert(
      fc.property(programs, fc.uint8Array({ minLength: 20, maxLength: 90 }), (insns, data) => {
        // Ancillary values are the device's, save A ^ X; a tc program sees the link-layer header, as captures do.
        if (insns.some(({ code, k }) => code <= 0x30 && k >= SKF_AD_OFF && k !== SKF_AD_OFF + 40)) return;
        if (validateClassic(insns).length > 0) return;
        const insnBytes = classicToEbpf(insns);
        const loaded = kernel.progLoad({
          prog_type: BPF_PROG_TYPE_SCHED_CLS,
          insns: insnBytes,
          license: "GPL",
          log_level: 1,
          log_size: 1 << 20,
        });
        // The verifier refuses dead code, which classic programs may hold.
        if (loaded.fd < 0 && /unreachable insn/.test(loaded.log)) return;
        expect(loaded.fd, `${disassembleClassic(insns)}\n${loaded.log}`).toBeGreaterThan(0);
        const result = kernel.progTestRun(loaded.fd, { data_in: data });
        kernel.close(loaded.fd);
        expect(result.err).toBe(0);
        expect(result.retval, disassembleClassic(insns)).toBe(runClassic(insns, { data }));
        same++;
        if (result.retval !== 0) nonZero++;
      }),
      { numRuns: 2000, seed: 11 },
    );
    expect(same).toBeGreaterThan(500);
    expect(nonZero).toBeGreaterThan(200);
  });
});
