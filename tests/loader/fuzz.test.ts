import { describe, expect, it } from "vitest";
import { BpfObject } from "../../src/loader/index.ts";
import { fuzzParsers } from "../../tools/fuzz-parsers.ts";
import { sampleObject } from "../support/samples.ts";

describe("broken input", () => {
  it("starts from an object that opens and links", () => {
    const object = BpfObject.open(sampleObject(), { name: "sample" });
    expect(object.mapList.map((m) => m.name)).toEqual([
      "old",
      "table",
      "sample.data",
      "sample.bss",
      "sample.kconfig",
    ]);
    const linked = object.link("main", { kfunc: () => 7 });
    expect(linked.functions.map((f) => f.fn.name)).toEqual(["main", "sub"]);
    expect(linked.mapReferences.map((r) => r.map.name)).toEqual(["table", "sample.data", "sample.kconfig"]);
    expect([linked.funcInfo?.length, linked.kfuncs.length]).toEqual([undefined, 1]);
  });

  it("gives errors in time, 20,000 times", () => {
    const report = fuzzParsers({ count: 20_000 });
    expect(report.failures.map(({ seed, subject, what }) => `${subject} ${seed}: ${what}`)).toEqual([]);
    expect(report.accepted).toBeGreaterThan(1000);
  }, 600_000);
});
