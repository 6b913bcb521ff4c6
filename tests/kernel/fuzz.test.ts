// Hostile instructions through PROG_LOAD and PROG_TEST_RUN in the bounds-checked mode: refused, stopped, or run; never a
// crash, a hang or an internal error. TSBPF_FUZZ sets how many programs.
import { describe, expect, it } from "vitest";
import { ProgramFault } from "../../src/diag/index.ts";
import { Kernel } from "../../src/kernel/index.ts";
import { BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH, errnoName } from "../../src/uapi/index.ts";
import { CASES } from "./cases.ts";
import { insnsOf } from "./notation.ts";

const COUNT = Number(process.env["TSBPF_FUZZ"] ?? 1500);

/** xorshift32 */
function generator(seed: number): (limit: number) => number {
  let x = seed;
  return (limit) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % limit;
  };
}

const OPS = [
  0x07, 0x0f, 0xb7, 0xbf, 0x61, 0x79, 0x63, 0x7b, 0x15, 0x1d, 0x05, 0x85, 0x18, 0xdb, 0x95, 0x20, 0x40,
];

describe.each(["interp", "jit"] as const)("mutated programs on %s", (engine) => {
  it(`${COUNT} of them`, () => {
    const random = generator(0x5eed);
    const kernel = new Kernel({ engine, maxSteps: 20_000, seed: 1, maxBytes: 64 << 20 });
    for (const map_type of [BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH])
      kernel.mapCreate({ map_type, key_size: 4, value_size: 8, max_entries: 4 });
    const seeds = CASES.filter((_, i) => i % 7 === 0).map((c) => ({ ...c, insns: insnsOf(c.text) }));
    const outcomes = new Map<string, number>();
    const count = (what: string): unknown => outcomes.set(what, (outcomes.get(what) ?? 0) + 1);
    for (let n = 0; n < COUNT; n++) {
      const seed = seeds[random(seeds.length)]!;
      const insns = seed.insns.slice();
      for (let edits = random(4); edits >= 0; edits--) {
        const at = random(insns.length);
        if (random(3) === 0) insns[at & ~7] = OPS[random(OPS.length)]!;
        else if (random(2) === 0) insns[at] = random(256);
        else insns[at] = insns[at]! ^ (1 << random(8));
      }
      const { fd, log } = kernel.progLoad({
        prog_type: seed.type,
        expected_attach_type: seed.attach ?? 0,
        prog_flags: seed.flags_ ?? 0,
        insns,
        license: "GPL",
      });
      if (fd < 0) {
        expect(log, errnoName(fd)).not.toBe("");
        count("refused");
        continue;
      }
      try {
        kernel.progTestRun(fd, { data_in: new Uint8Array(60), data_size_out: 100 });
        count("ran");
      } catch (error) {
        if (!(error instanceof ProgramFault)) throw error;
        count("stopped");
      }
      expect(kernel.close(fd)).toBe(0);
    }
    for (const what of ["refused", "ran", "stopped"])
      expect(outcomes.get(what) ?? 0, what).toBeGreaterThan(COUNT / 50);
  });
});
