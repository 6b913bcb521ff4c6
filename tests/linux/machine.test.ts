// Machines that lack something: one clear sentence, and all the rest works. And the commands on the running kernel.
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { LinuxBackend } from "../../src/linux/index.ts";
import { parity } from "../../tools/parity-feature.ts";
import { BUNDLE, tsbpf } from "../cli/tsbpf.ts";
import { want } from "../support/need.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
// The bundle again, where koffi is.
const dir = mkdtempSync(join(tmpdir(), "tsbpf-linux-"));
const MAIN = join(dir, "cli.mjs");
copyFileSync(BUNDLE, MAIN);
symlinkSync(join(root, "node_modules"), join(dir, "node_modules"));
afterAll(() => rmSync(dir, { recursive: true }));
const firewall = join(root, "examples/firewall/firewall.bpf.o");
const capture = join(root, "examples/firewall/capture.pcap");

/** One line, and no stack. */
function sentence(stderr: string): string {
  const lines = stderr.trim().split("\n");
  expect(lines.length).toBe(1);
  return lines[0]!;
}

describe("without koffi", () => {
  // The bundle lies in a folder of its own, where no koffi is.
  it("says so in one sentence", async () => {
    const { status, stdout, stderr } = await tsbpf(["feature", "--linux"]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(sentence(stderr)).toMatch(
      /bpf\(2\) without the optional package koffi is not supported \(npm install koffi/,
    );
    const map = await tsbpf(["map", "show", "--linux"]);
    expect([map.status, sentence(map.stderr)]).toEqual([1, sentence(stderr)]);
  });

  it("does everything else", async () => {
    const run = await tsbpf(["run", firewall, "--pcap", capture, "--json"]);
    expect(run.status).toBe(0);
    expect(JSON.parse(run.stdout)).toMatchObject({ packets: 2000 });
    const feature = await tsbpf(["feature", "--json"]);
    const { program_types, misc } = JSON.parse(feature.stdout);
    expect(program_types.have_xdp_prog_type).toBe(true);
    expect(misc.have_v4_isa_extension).toBe(true);
  });
});

describe("without Linux", () => {
  it.each(["darwin", "win32"])("says so on %s", async (platform) => {
    const real = Object.getOwnPropertyDescriptor(process, "platform")!;
    Object.defineProperty(process, "platform", { ...real, value: platform });
    try {
      await expect(LinuxBackend.open()).rejects.toThrow(
        `bpf(2) on ${platform} is not supported (it is Linux's)`,
      );
    } finally {
      Object.defineProperty(process, "platform", real);
    }
  });
});

const dropped = want("bpf", "setpriv");
describe.skipIf(dropped.skip)(dropped.title("without rights"), () => {
  const run = (caps: string, ...args: string[]): ReturnType<typeof spawnSync> =>
    spawnSync("setpriv", [`--bounding-set=${caps}`, "--inh-caps=-all", process.execPath, MAIN, ...args], {
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" },
    });

  it("says which capability is missing", () => {
    const { status, stdout, stderr } = run("-all", "prog", "show", "--linux");
    expect([status, stdout]).toEqual([1, ""]);
    expect(sentence(String(stderr))).toMatch(
      /bpf\(2\) for this process \(EPERM\).*lacks CAP_BPF: run as root or with CAP_BPF/,
    );
  });

  it("says what more a command takes", () => {
    // Ids of others' objects are CAP_SYS_ADMIN's.
    const { status, stderr } = run("-all,+bpf", "prog", "show", "--linux");
    expect(status).toBe(1);
    expect(sentence(String(stderr))).toMatch(/EPERM: this process lacks .*CAP_SYS_ADMIN/);
  });

  it("does everything else", () => {
    const { status, stdout } = run("-all", "run", firewall, "--pcap", capture, "--json");
    expect(status).toBe(0);
    expect(JSON.parse(String(stdout))).toMatchObject({ packets: 2000 });
  });
});

const live = want("bpf", "unshare");
describe.skipIf(live.skip)(live.title("tsbpf --linux"), () => {
  it("makes, fills, reads and shows maps, loads and runs programs", () => {
    const bpffs = mkdtempSync(join(tmpdir(), "tsbpf-bpffs-"));
    const commands = [
      `map create ${bpffs}/m type hash key 4 value 8 entries 4 name cli_map`,
      `map update pinned ${bpffs}/m key 1 0 0 0 value hex ff 00 00 00 00 00 00 01`,
      `map lookup pinned ${bpffs}/m key hex 01 00 00 00`,
      `map dump name cli_map`,
      `map show name cli_map`,
      `map delete pinned ${bpffs}/m key 1 0 0 0`,
      `map dump pinned ${bpffs}/m`,
      `prog load ${firewall} ${bpffs}/p prog firewall`,
      `prog show pinned ${bpffs}/p`,
      `prog run pinned ${bpffs}/p data_in ${capture} repeat 3`,
      `prog dump xlated pinned ${bpffs}/p`,
      `link show`,
    ];
    // Each command prints one line of JSON.
    const node = [process.execPath, MAIN].join(" ");
    // A capture is no packet, but bytes enough for one.
    const script = [
      `mount -t bpf bpf ${bpffs}`,
      `head -c 200 ${capture} > ${bpffs}.packet`,
      ...commands.map((c) => `${node} ${c.replace(capture, `${bpffs}.packet`)} --linux --json </dev/null`),
      `rm ${bpffs}.packet`,
    ].join(" && ");
    const text = execFileSync("unshare", ["-m", "--propagation", "private", "sh", "-c", script], {
      encoding: "utf8",
    });
    rmdirSync(bpffs);
    const out = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(out[2]).toMatchObject({ key: [1, 0, 0, 0], value: [255, 0, 0, 0, 0, 0, 0, 1] });
    expect(out[3]).toEqual([{ key: "01000000", value: "ff00000000000001" }]);
    expect(out[4]).toMatchObject({
      type: "hash",
      name: "cli_map",
      bytes_key: 4,
      bytes_value: 8,
      max_entries: 4,
    });
    expect(out[6]).toEqual([]);
    expect(out[8]).toMatchObject({ type: "xdp", name: "firewall", gpl_compatible: true });
    expect(out[9]).toMatchObject({ retval: 2 });
    expect(out[10].length).toBeGreaterThan(100);
    expect(Array.isArray(out[11])).toBe(true);
  });
});

const probe = want("bpf", "linux-source-6.12", "gcc");
describe.skipIf(probe.skip)(probe.title("feature probing"), () => {
  it("agrees with bpftool's, entry by entry", async () => {
    const { summary, notes } = await parity([]);
    expect(summary, notes.join("\n")).toMatch(/^feature: (\d+)\/\1$/);
  });
});
