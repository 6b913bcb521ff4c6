import { describe, expect, it } from "vitest";
import { decodeSlots, kernelInsnText } from "../../src/asm/index.ts";
import { want } from "../support/need.ts";
import { type RecordedInsns, recordedRows } from "../support/recorded.ts";

const w = want("shared", "xz");

interface RecordedLog {
  readonly obj: string;
  readonly prog: string;
  readonly log: string;
}

/** `3: (b7) r1 = 0  ; R1=0`, or with the state of the next instruction behind it. */
const LINE = /^(\d+): (\([0-9a-f]{2}\) .*?)\s*(?:;.*| \d+: (?:frame\d+: )?R\d+(?:_w)?=.*)?$/;

describe.skipIf(w.skip)(w.title("verifier logs of Linux 6.18"), () => {
  it("print instructions as kernelInsnText does", () => {
    const programs = new Map(
      recordedRows<RecordedInsns>("selftests-6.12.insns").map((r) => [`${r.obj}/${r.prog}`, r.insns]),
    );
    let lines = 0;
    for (const row of recordedRows<RecordedLog>("logs-6.18")) {
      const insns = programs.get(`${row.obj}/${row.prog}`);
      if (insns === undefined) continue;
      const slots = decodeSlots(Uint8Array.from(Buffer.from(insns, "hex")));
      for (const line of row.log.split("\n")) {
        const m = LINE.exec(line);
        const i = Number(m?.[1]);
        if (!m || i >= slots.count) continue;
        // Names of kfuncs and addresses of maps are the kernel's to know.
        const kfunc = /call (\w+)#-?\d+$/.exec(m[2]!)?.[1];
        const address = slots.src[i] === 0 ? undefined : / = (.*)$/.exec(m[2]!)?.[1];
        const names = {
          ...(kfunc === undefined ? {} : { call: () => kfunc }),
          ...(address === undefined ? {} : { imm64: () => address }),
        };
        expect(kernelInsnText(slots, i, names), `${row.prog}: ${line}`).toBe(m[2]);
        lines++;
      }
    }
    expect(lines).toBeGreaterThan(35_000);
  });
});
