import { describe, expect, it } from "vitest";
import { validate } from "../../src/asm/index.ts";
import { want } from "../support/need.ts";
import { type RecordedInsns, type RecordedProgram, recordedRows } from "../support/recorded.ts";

const w = want("shared", "xz");

/** Their exception callback is told by a BTF declaration tag, which instructions alone do not show. */
const CALLBACK_BY_TAG = new Set([
  "exception_ext_mod_cb_runtime",
  "throwing_extension",
  "reject_exception_cb_type_4",
]);

describe.skipIf(w.skip)(w.title("programs that Linux 6.18 judged"), () => {
  it("validate when it accepts them", () => {
    const verdicts = new Map(
      recordedRows<RecordedProgram>("selftests-6.12").map((r) => [`${r.obj}/${r.prog}`, r.verdict]),
    );
    let accepted = 0;
    for (const row of recordedRows<RecordedInsns>("selftests-6.12.insns")) {
      if (verdicts.get(`${row.obj}/${row.prog}`) !== "success") continue;
      const bytes = Uint8Array.from(Buffer.from(row.insns, "hex"));
      accepted++;
      expect(validate(bytes), row.prog).toEqual([]);
      const kernel = validate(bytes, { rules: "kernel" }).map((e) => e.message);
      if (CALLBACK_BY_TAG.has(row.prog)) expect(kernel[0], row.prog).toMatch(/unreachable insn/);
      else expect(kernel, row.prog).toEqual([]);
    }
    expect(accepted).toBe(1788);
  });
});
