/** The shipped firewall over the shipped capture: same verdicts, same maps on both engines, in both modes and on Linux. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/index.ts";
import { Kernel } from "../../src/kernel/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import { BpfObject, type LiveMap } from "../../src/loader/index.ts";
import { readCapture } from "../../src/pcap/index.ts";
import { want } from "../support/need.ts";

const read = (name: string): Uint8Array =>
  readFileSync(new URL(`../../examples/firewall/${name}`, import.meta.url));

const rows = (map: LiveMap): string[] =>
  [...map.entriesRaw()]
    .map(([k, v]) => `${Buffer.from(k).toString("hex")} ${Buffer.from(v).toString("hex")}`)
    .sort();

interface Outcome {
  readonly verdicts: readonly number[];
  readonly maps: Readonly<Record<string, readonly string[]>>;
  /** Summed over the CPUs: which one a test run takes is the kernel's choice. */
  readonly counters: readonly (readonly [packets: bigint, bytes: bigint])[];
}

function filter(backend: Backend): Outcome {
  const object = BpfObject.open(read("firewall.bpf.o"), { name: "firewall" });
  object.globals.set("syn_limit", 20);
  using live = object.load(backend);
  const { maps } = live;
  maps["blocked_v4"]!.update({ prefixlen: 24, addr: [192, 0, 2, 0] }, { id: 1, hits: 0 });
  maps["blocked_ports"]!.update({ port: 23, proto: 6, pad: 0 }, { id: 3, hits: 0 });
  const verdicts: number[] = [];
  for (const { data } of readCapture(read("capture.pcap"))) {
    const { err, retval } = live.programs["firewall"]!.testRun({ data_in: data });
    verdicts.push(err < 0 ? err : retval);
  }
  const counters = [...maps["counters"]!.entries()].map(([, perCpu]) => {
    const each = perCpu as { packets: bigint; bytes: bigint }[];
    return [each.reduce((n, c) => n + c.packets, 0n), each.reduce((n, c) => n + c.bytes, 0n)] as const;
  });
  const compared = ["blocked_v4", "blocked_v6", "blocked_ports", "flows"];
  return { verdicts, counters, maps: Object.fromEntries(compared.map((name) => [name, rows(maps[name]!)])) };
}

describe("the firewall", () => {
  const reference = filter(new Kernel({ engine: "interp" }));

  it("passes and drops", () => {
    expect(reference.verdicts.filter((v) => v === 1).length).toBeGreaterThan(200);
    expect(reference.verdicts.filter((v) => v === 2).length).toBeGreaterThan(1000);
    expect(reference.maps["flows"]!.length).toBeGreaterThan(1000);
  });

  it.each([
    ["interpreter, then JIT, checked", { engine: "auto" }],
    ["JIT, checked", { engine: "jit" }],
    ["JIT, unchecked", { engine: "jit", unchecked: true }],
    ["interpreter, unchecked", { engine: "interp", unchecked: true }],
  ] as const)("%s = interpreter", (_, options) => {
    expect(filter(new Kernel(options))).toEqual(reference);
  });

  const linux = want("bpf");
  it.skipIf(linux.skip)(linux.title("Linux = interpreter"), async () => {
    expect(filter(await LinuxBackend.open())).toEqual(reference);
  });
});
