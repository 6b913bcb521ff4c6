import { describe, expect, it } from "vitest";
import { parity } from "../../tools/parity-contract.ts";
import { want } from "../support/need.ts";
import { embeddedSide } from "./side.ts";
import { runContract } from "./suite.ts";

describe("the contract of both kernels", () => {
  it("holds on the embedded kernel", () => {
    const rows = runContract(embeddedSide());
    expect(rows.filter((row) => !row.ok)).toEqual([]);
    expect(rows.length).toBeGreaterThan(1100);
  });

  const live = want("bpf", "unshare", "iproute2", "clang-19");
  it.skipIf(live.skip)(live.title("holds on this machine's kernel"), async () => {
    const { summary, notes } = await parity([]);
    const [, own, all] = /linux (\d+)\/(\d+)$/.exec(summary) ?? [];
    expect(own, notes.join("\n")).toBe(all);
    expect(Number(all)).toBeGreaterThan(1100);
  });
});
