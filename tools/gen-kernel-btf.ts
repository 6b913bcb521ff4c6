/**
 * Writes data/kernels/VERSION.btf.gz, the BTF that ships with the profiles, from kernels' `.BTF` (xz).
 *
 *   npx tsx tools/gen-kernel-btf.ts DIRECTORY_WITH_VERSION.btf.xz
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { PROFILE_NAMES } from "../src/verifier/index.ts";

const dir = process.argv[2];
if (!dir) throw new Error("usage: tsx tools/gen-kernel-btf.ts DIRECTORY");
const out = fileURLToPath(new URL("../data/kernels", import.meta.url));
mkdirSync(out, { recursive: true });
for (const version of PROFILE_NAMES) {
  const raw = execFileSync("xz", ["-dc", join(dir, `${version}.btf.xz`)], { maxBuffer: 1 << 28 });
  const packed = gzipSync(raw, { level: 9 });
  writeFileSync(join(out, `${version}.btf.gz`), packed);
  console.log(`${version}: ${raw.length} bytes, packed ${packed.length}`);
}
