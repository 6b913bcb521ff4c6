/** tsbpf run, map dump and filter as processes: results, written captures, pipes, wrong use, broken and long input. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { LINKTYPE_RAW, readCapture, writeCapture } from "../../src/pcap/index.ts";
import { want } from "../support/need.ts";
import { type Finished, tsbpf } from "./tsbpf.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const firewall = "examples/firewall/firewall.bpf.o";
const capture = "examples/firewall/capture.pcap";
const PACKETS = [...readCapture(new Uint8Array(readFileSync(join(root, capture))))];
const dir = mkdtempSync(join(tmpdir(), "tsbpf-run-"));
afterAll(() => rmSync(dir, { recursive: true }));
const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
};
const run = (args: readonly string[], input?: string | Uint8Array): Promise<Finished> =>
  tsbpf(args, { cwd: root, ...(input === undefined ? {} : { input }) });

interface RunJson {
  readonly packets: number;
  readonly skipped: number;
  readonly verdicts: Record<string, { packets: number; bytes: number }>;
  readonly maps: { name: string; type: string; entries: { key: unknown; value: unknown }[] }[];
}

/** IPv4 frames match, others do not. */
const IP = "4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0\n";
const isIp = (data: Uint8Array): boolean => data.length >= 14 && data[12] === 8 && data[13] === 0;

describe("tsbpf run", () => {
  it("counts verdicts, dumps maps and writes what passes, the same on both engines", async () => {
    const results: RunJson[] = [];
    for (const engine of ["jit", "interp"]) {
      const out = join(dir, `${engine}.pcap`);
      const got = await run([
        "run",
        firewall,
        "--pcap",
        capture,
        "--write",
        out,
        "--engine",
        engine,
        "--maps",
        "--json",
      ]);
      expect(got.stderr).toBe("");
      expect(got.status).toBe(0);
      const json = JSON.parse(got.stdout) as RunJson;
      expect(json.packets).toBe(PACKETS.length);
      const passed = [...readCapture(new Uint8Array(readFileSync(out)))];
      expect(passed.length).toBe(json.verdicts["XDP_PASS"]!.packets);
      const total = Object.values(json.verdicts).reduce((sum, row) => sum + row.packets, json.skipped);
      expect(total).toBe(PACKETS.length);
      const counters = json.maps.find((map) => map.name === "counters")!;
      expect(counters.type).toBe("percpu_array");
      const seen = counters.entries.map((entry) => (entry.value as { packets: number }[])[0]!.packets);
      expect(seen.reduce((sum, count) => sum + count, 0)).toBe(PACKETS.length);
      results.push(json);
    }
    expect(results[1]!.verdicts).toEqual(results[0]!.verdicts);
    expect(results[1]!.maps.map((map) => map.entries.length)).toEqual(
      results[0]!.maps.map((map) => map.entries.length),
    );
  });

  it("prints text for people, also unchecked", async () => {
    const { stdout, status } = await run(["run", firewall, "--pcap", capture, "--unchecked"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(
      new RegExp(
        `^firewall \\(xdp\\): ${PACKETS.length} packets, \\d+ bytes\\nXDP_PASS +\\d+ packets +\\d+ bytes\\n`,
      ),
    );
    expect(stdout).toMatch(/\n[\d.]+ ns per packet\n$/);
  });

  it("reads a capture from standard input and writes one to standard output", async () => {
    const bytes = new Uint8Array(readFileSync(join(root, capture)));
    const got = await run(["run", firewall, "--pcap", "-", "--write", "-"], bytes);
    expect(got.status).toBe(0);
    const passed = [...readCapture(new Uint8Array(got.out))];
    expect(passed.length).toBeGreaterThan(0);
    expect(passed.length).toBeLessThan(PACKETS.length);
  });

  it("runs on one packet", async () => {
    const packet = file("packet.bin", PACKETS.find(({ data }) => isIp(data))!.data);
    const json = JSON.parse(
      (await run(["run", firewall, "--data", packet, "--repeat", "10", "-j"])).stdout,
    ) as object;
    expect(json).toMatchObject({ program: "firewall", type: "xdp", data_out: readFileSync(packet, "hex") });
    expect((await run(["run", firewall, "--data", packet])).stdout).toMatch(
      /^firewall \(xdp\): return value \d \(XDP_[A-Z]+\), duration \(average\) \d+ns\ndata:\n0000000 /,
    );
  });

  it("map dump: before and after a run", async () => {
    const before = await run(["map", "dump", firewall, "--map", "counters"]);
    expect(before.stdout).toMatch(/^counters: percpu_array, 9 entries\n {2}0: \[\{packets: 0, bytes: 0\}/);
    const after = await run(["map", "dump", firewall, "--map", "counters", "--pcap", capture, "-j"]);
    const rows = JSON.parse(after.stdout) as RunJson["maps"][number];
    expect(rows.entries.some((entry) => (entry.value as { packets: number }[])[0]!.packets > 0)).toBe(true);
    expect(await run(["map", "dump", firewall, "--map", "nope"])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^tsbpf: .* holds no map "nope"; it holds: counters, /),
    });
  });

  it.each<[string, string[], number, RegExp]>([
    [
      "no input",
      ["run", firewall],
      1,
      /EINVAL; most program types want a packet: give --data FILE or --pcap FILE\n$/,
    ],
    ["both kinds of input", ["run", firewall, "--pcap", capture, "--data", "x"], 2, /give one kind\n$/],
    ["--write alone", ["run", firewall, "--write", "x"], 2, /--write wants the packets of --pcap\n$/],
    ["wrong engine", ["run", firewall, "--engine", "steam"], 2, /Allowed choices are auto, jit, interp/],
    ["wrong repeat", ["run", firewall, "--repeat", "0"], 2, /It must be a number from 1/],
    [
      "missing program",
      ["run", firewall, "--prog", "nope"],
      2,
      /holds no program "nope"; it holds: firewall\n$/,
    ],
    [
      "missing capture",
      ["run", firewall, "--pcap", "nope.pcap"],
      1,
      /^tsbpf: cannot read nope.pcap: no such file or directory\n$/,
    ],
    [
      "no capture",
      ["run", firewall, "--pcap", "package.json"],
      1,
      /^tsbpf: package.json: neither pcap nor pcapng: .*\n$/,
    ],
    [
      "unwritable",
      ["run", firewall, "--pcap", capture, "--write", "/nope/out"],
      1,
      /^tsbpf: cannot write \/nope\/out: no such file or directory\n$/,
    ],
  ])("%s", async (_, args, status, stderr) => {
    const got = await run(args);
    expect(got.stderr).toMatch(stderr);
    expect(got.status).toBe(status);
  });

  it("a capture of another link type, and one that breaks off", async () => {
    const raw = file(
      "raw.pcap",
      writeCapture([{ seconds: 0, nanoseconds: 0, data: new Uint8Array(20) }], { linkType: LINKTYPE_RAW }),
    );
    const other = await run(["run", firewall, "--pcap", raw]);
    expect(other.status).toBe(1);
    expect(other.stderr).toMatch(/link type 101 .*Ethernet frames.*\n$/);
    const cut = file("cut.pcap", readFileSync(join(root, capture)).subarray(0, 5000) as Uint8Array);
    const out = join(dir, "cut-out.pcap");
    const broken = await run(["run", firewall, "--pcap", cut, "--write", out]);
    expect(broken.status).toBe(1);
    expect(broken.stderr).toMatch(/^tsbpf: .*cut.pcap: the file ends inside a packet.*offset 0x/);
    expect([...readCapture(new Uint8Array(readFileSync(out)))].length).toBeGreaterThan(10);
  });
});

describe("tsbpf filter", () => {
  it("selects packets of a capture, on both engines", async () => {
    const expected = PACKETS.flatMap(({ data }, i) => (isIp(data) ? [i] : []));
    for (const engine of ["jit", "interp"]) {
      const out = join(dir, `filter-${engine}.pcap`);
      const got = await run(["filter", "--pcap", capture, "--engine", engine, "--write", out, "--json"], IP);
      expect(JSON.parse(got.stdout)).toEqual({
        packets: PACKETS.length,
        matched: expected.length,
        indices: expected,
      });
      const written = [...readCapture(new Uint8Array(readFileSync(out)))];
      expect(written.map(({ data }) => [...data])).toEqual(expected.map((i) => [...PACKETS[i]!.data]));
    }
    expect((await run(["filter", "--pcap", capture], IP)).stdout).toBe(
      `${expected.length} of ${PACKETS.length} packets match\n`,
    );
  });

  it("wants two inputs in two places", async () => {
    expect(await run(["filter", "--pcap", "-"], IP)).toMatchObject({ status: 2, stdout: "" });
  });

  it("reads a long capture in pieces", async () => {
    // 40 MB in packets of 1,000 bytes, through a pipe.
    const packets = Array.from({ length: 40_000 }, (_, i) => {
      const data = new Uint8Array(1000);
      if (i % 4 === 0) data[12] = 8;
      return { seconds: i, nanoseconds: 0, data };
    });
    const got = await run(
      ["filter", "--pcap", "-", "--file", file("ip.ddd", IP)],
      writeCapture(packets, { linkType: 1 }),
    );
    expect(got).toMatchObject({ status: 0, stdout: "10000 of 40000 packets match\n", stderr: "" });
  });
});

const tcpdump = want("tcpdump");
describe.skipIf(tcpdump.skip)(tcpdump.title("tsbpf filter and tcpdump"), () => {
  it("write the same file", async () => {
    const args = ["-r", join(root, capture), "tcp port 443 or arp"];
    const ddd = spawnSync("tcpdump", ["-ddd", ...args], { encoding: "utf8" }).stdout;
    const theirs = spawnSync("tcpdump", ["-w", "-", ...args]).stdout;
    const ours = await run(["filter", "--pcap", capture, "--write", "-"], ddd);
    expect(ours.out.length).toBeGreaterThan(1000);
    expect(ours.out.equals(theirs as unknown as Uint8Array)).toBe(true);
  });
});
