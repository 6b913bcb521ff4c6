// Records the objects of a folder on the kernel that it runs on: in a guest of tools/record.ts, or here.
//   record-guest.ts FOLDER    prints one line `@@JSON {row}` a program
import { readdirSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { parseBtf } from "../src/btf/index.ts";
import { LinuxBackend } from "../src/linux/index.ts";
import { type RecordTarget, recordObject } from "./record-object.ts";

function readOr(read: () => string, otherwise: string): string {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

let symbols: Map<string, bigint> | undefined;

function kallsyms(name: string): bigint | undefined {
  symbols ??= new Map(
    readFileSync("/proc/kallsyms", "utf8")
      .split("\n")
      .map((line) => line.split(/[ \t]/))
      .map(([address, , symbol]) => [symbol ?? "", BigInt(`0x${address || "0"}`)] as const),
  );
  return symbols.get(name);
}

export async function openTarget(): Promise<RecordTarget> {
  const [major = 0, minor = 0, patch = 0] = release().split(/[.-]/).map(Number);
  return {
    backend: await LinuxBackend.open(),
    btf: parseBtf(new Uint8Array(readFileSync("/sys/kernel/btf/vmlinux"))),
    kconfig: readOr(
      () => readFileSync("/app/config", "utf8"),
      readOr(() => gunzipSync(readFileSync("/proc/config.gz")).toString(), ""),
    ),
    kernelVersion: (major << 16) | (minor << 8) | Math.min(patch || 0, 255),
    ksym: kallsyms,
  };
}

if (process.argv[2] !== undefined && /record-guest|script\.mjs/.test(process.argv[1] ?? "")) {
  const target = await openTarget();
  const folder = process.argv[2];
  for (const file of readdirSync(folder).sort())
    for (const { row, log, attr } of recordObject(target, file, readFileSync(join(folder, file)))) {
      const insns = attr === undefined ? "" : Buffer.from(attr.insns).toString("hex");
      console.log(
        `@@JSON ${JSON.stringify({ row, ...(process.argv.includes("--logs") ? { log, insns } : {}) })}`,
      );
    }
}
