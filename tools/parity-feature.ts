/**
 * What `tsbpf feature --linux --json` says of this machine against `bpftool feature probe`, entry by entry.
 *
 *   npm run parity -- feature [--bpftool PATH]
 *
 * Without a path: the bpftool of Linux 6.12's tree, built into the cache. Debian 12's own (7.1) predates the verifier's
 * words of Linux 6.10 for a helper that a program type lacks, and so counts every helper as there.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { LinuxBackend, probeFeatures, readSystemConfig } from "../src/linux/index.ts";
import type { ParityReport } from "./parity.ts";
import { cacheDir, linuxSource, sourceVersion } from "./selftests-build.ts";

type Section = Readonly<Record<string, unknown>>;

/** The whole bpftool, feature probe included (selftests-build.ts makes a small one). */
function fullBpftool(): string {
  const source = linuxSource();
  const dir = join(cacheDir(), `bpftool-full-${sourceVersion(source)}`);
  const path = join(dir, "bpftool");
  if (existsSync(path)) return path;
  mkdirSync(dir, { recursive: true });
  const args = ["-s", "-C", join(source, "tools/bpf/bpftool"), `OUTPUT=${dir}/`, "-j2"];
  execFileSync("make", args, { stdio: ["ignore", "ignore", "pipe"] });
  return path;
}

export async function parity(args: readonly string[]): Promise<ParityReport> {
  const given = args.indexOf("--bpftool");
  const bpftool = given >= 0 ? args[given + 1]! : fullBpftool();
  const theirs = JSON.parse(
    execFileSync(bpftool, ["-j", "feature", "probe"], { encoding: "utf8", maxBuffer: 1 << 26 }),
  ) as Readonly<Record<string, Section>>;
  const linux = await LinuxBackend.open();
  const ours: Readonly<Record<string, Section>> = {
    system_config: readSystemConfig(),
    syscall_config: { have_bpf_syscall: true },
    ...probeFeatures(linux),
  };
  const notes: string[] = [];
  const rows: object[] = [];
  let [equal, all] = [0, 0];
  const compare = (entry: string, a: unknown, b: unknown): void => {
    all++;
    if (a === b) equal++;
    else {
      notes.push(`${entry}: ours ${String(a)}, bpftool's ${String(b)}`);
      rows.push({ entry, ours: a, theirs: b });
    }
  };
  for (const [section, entries] of Object.entries(theirs))
    for (const [key, value] of Object.entries(entries)) {
      const own = ours[section]?.[key];
      if (!Array.isArray(value)) {
        compare(`${section}.${key}`, own, value);
        continue;
      }
      // One entry a helper: those that either side names.
      const [mine, listed] = [new Set(own as string[]), new Set(value as string[])];
      for (const helper of new Set([...mine, ...listed]))
        compare(`${key}.${helper}`, mine.has(helper), listed.has(helper));
    }
  const more = Object.entries(ours).flatMap(([section, entries]) =>
    Object.keys(entries).filter((key) => !(key in (theirs[section] ?? {}))),
  );
  if (more.length > 0) notes.push(`only ours: ${more.join(", ")}`);
  return { summary: `feature: ${equal}/${all}`, notes, rows, ok: equal === all };
}
