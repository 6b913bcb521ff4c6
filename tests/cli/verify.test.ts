/** tsbpf verify: verdicts, exit statuses, the forms of its output. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { tsbpf } from "./tsbpf.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const firewall = "examples/firewall/firewall.bpf.o";
const run = (...args: string[]) => tsbpf(["verify", ...args], { cwd: root });

describe("tsbpf verify", { concurrent: false }, () => {
  it.each<[string, string[], number, RegExp, RegExp]>([
    ["a good object", [firewall], 0, /: success \(\d+ instructions processed\)\n$/, /^$/],
    [
      "several kernels",
      [firewall, "--kernel", "6.1,6.12,6.18"],
      0,
      /^Program +Type +6\.1 +6\.12 +6\.18\n/,
      /^$/,
    ],
    [
      "the log",
      [firewall, "--log", "classic=2"],
      0,
      /0: R1=ctx\(\) R10=fp0\n[\s\S]*processed \d+ insns/,
      /^$/,
    ],
    ["statistics", [firewall, "--stats"], 0, /^Program +Kernel +Verdict +Duration \(us\) +Insns/, /^$/],
    ["an unknown kernel", [firewall, "--kernel", "5.4"], 2, /^$/, /profiles of 6\.1, 6\.12, 6\.18/],
    ["an unknown program", [firewall, "--prog", "nope"], 2, /^$/, /holds no program "nope"/],
    ["a wrong level", [firewall, "--log", "classic=9"], 2, /^$/, /level from 1 to 7/],
    ["one instruction too many", [firewall, "--limit", "3"], 1, /rejected/, /^$/],
  ])("%s", async (_, args, status, out, err) => {
    const result = await run(...args);
    expect(result.stdout).toMatch(out);
    expect(result.stderr).toMatch(err);
    expect(result.status).toBe(status);
  });

  it("JSON has a row for each program and kernel", async () => {
    const rows = JSON.parse((await run(firewall, "--kernel", "6.12,6.18", "--json")).stdout) as {
      kernel: string;
      verdict: string;
      stats: { processed: number };
    }[];
    expect(new Set(rows.map((r) => r.kernel))).toEqual(new Set(["6.12", "6.18"]));
    for (const row of rows) {
      expect(row.verdict).toBe("success");
      expect(row.stats.processed).toBeGreaterThan(0);
    }
  });
});
