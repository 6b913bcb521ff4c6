/** The recorded data of real kernels that stands beside the project: rows of JSON lines under xz. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheDir } from "../../tools/selftests-build.ts";
import { SHARED } from "./need.ts";

function unxz(path: string): Uint8Array {
  return new Uint8Array(execFileSync("xz", ["-dc", path], { maxBuffer: 1 << 30 }));
}

/** Every row of `oracle/NAME.jsonl.xz`. */
export function recordedRows<T>(name: string): T[] {
  const text = new TextDecoder().decode(unxz(join(SHARED, "oracle", `${name}.jsonl.xz`)));
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}

/** Path of a recorded kernel's `.BTF`, unpacked into the cache; undefined where the recording is absent. */
export function kernelBtf(version: "6.1" | "6.12" | "6.18"): string | undefined {
  const path = join(SHARED, "oracle/kernels", `${version}.btf.xz`);
  if (!existsSync(path)) return undefined;
  const out = join(cacheDir(), `kernel-${version}.btf`);
  if (!existsSync(out)) {
    mkdirSync(cacheDir(), { recursive: true });
    const partial = `${out}.${process.pid}`;
    writeFileSync(partial, unxz(path));
    renameSync(partial, out);
  }
  return out;
}

/** A recorded kernel's build configuration; undefined where the recording is absent. */
export function kernelConfig(version: "6.1" | "6.12" | "6.18"): string | undefined {
  const path = join(SHARED, "oracle/kernels", `${version}.config.xz`);
  return existsSync(path) ? new TextDecoder().decode(unxz(path)) : undefined;
}

/** What BPF_PROG_TEST_RUN answered. */
export interface RecordedRun {
  readonly errno: number;
  readonly retval: number;
  readonly ok: boolean;
}

/** One program of `oracle/selftests-6.12.jsonl.xz`. */
export interface RecordedProgram {
  readonly obj: string;
  /** null where the object was not opened or holds no program. */
  readonly prog: string | null;
  readonly sec: string | null;
  readonly type: string | null;
  readonly verdict: string;
  readonly flags?: number;
  readonly insns?: number;
  /** The test's own annotations. */
  readonly expect?: { readonly retval?: number | null } | null;
  readonly run?: RecordedRun;
}

/** One program of `oracle/selftests-6.12.insns.jsonl.xz`. */
export interface RecordedInsns {
  readonly obj: string;
  readonly prog: string;
  readonly prog_type: number;
  readonly expected_attach_type: number;
  readonly prog_flags: number;
  readonly attach_btf_id: number;
  readonly license: string;
  readonly fds: Readonly<Record<string, string>>;
  /** Hex. */
  readonly insns: string;
}
