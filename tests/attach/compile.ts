import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The object of programs.bpf.c. */
export function compilePrograms(): Uint8Array {
  const dir = mkdtempSync(join(tmpdir(), "tsbpf-attach-"));
  try {
    const out = join(dir, "programs.bpf.o");
    const source = fileURLToPath(new URL("programs.bpf.c", import.meta.url));
    const triple = execFileSync("gcc", ["-dumpmachine"], { encoding: "utf8" }).trim();
    execFileSync("clang-19", [
      ...["-g", "-O2", "--target=bpf", "-mcpu=v3", `-I/usr/include/${triple}`, "-c", source, "-o", out],
    ]);
    return new Uint8Array(readFileSync(out));
  } finally {
    rmSync(dir, { recursive: true });
  }
}
