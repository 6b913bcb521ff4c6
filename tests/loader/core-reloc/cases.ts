/** The cases of Linux 6.12's `core_reloc` selftest, read from its own table at test time (dump.c). */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bpftool, cacheDir, linuxSource, sourceVersion } from "../../../tools/selftests-build.ts";

export interface CoreRelocCase {
  readonly name: string;
  readonly object: string;
  /** The object whose types are the target; "": the running kernel's. */
  readonly btf: string;
  readonly program: string;
  readonly fails: boolean;
  /** It wants the selftests' own kernel module. */
  readonly testmod: boolean;
  readonly input: Uint8Array;
  readonly output: Uint8Array;
}

const here = fileURLToPath(new URL(".", import.meta.url));

/** `dir`: where the objects are. */
export function coreRelocCases(dir: string): CoreRelocCase[] {
  const source = linuxSource();
  const path = join(cacheDir(), `core-reloc-cases-${sourceVersion(source)}`);
  if (!existsSync(path)) {
    mkdirSync(cacheDir(), { recursive: true });
    const library = join(bpftool(source), "../libbpf");
    const includes = [
      join(here, "stub"),
      join(library, "include"),
      join(source, "tools/testing/selftests/bpf"),
      join(source, "tools/include/uapi"),
    ];
    const partial = `${path}.${process.pid}`;
    execFileSync(
      "gcc",
      [
        ...["-w", "-O1", "-ffunction-sections", "-Wl,--gc-sections"],
        ...includes.map((i) => `-I${i}`),
        ...[join(here, "dump.c"), join(library, "libbpf.a"), "-lelf", "-lz", "-o", partial],
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    renameSync(partial, path);
  }
  const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));
  return execFileSync(path, { cwd: dir, encoding: "utf8" })
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const row = JSON.parse(line) as CoreRelocCase & { input: string; output: string };
      return { ...row, input: bytes(row.input), output: bytes(row.output) };
    });
}
