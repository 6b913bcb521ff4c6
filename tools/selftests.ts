/**
 * Builds Linux 6.12's BPF selftests into the cache ($TSBPF_CACHE or ~/.cache/tsbpf).
 *
 *   npx tsx tools/selftests.ts [--force] [--json] [--other-btf FILE] [NAME...]
 */
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { kernelBtf } from "../tests/support/recorded.ts";
import { type BuildOptions, buildSelftests } from "./selftests-build.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    force: { type: "boolean" },
    json: { type: "boolean" },
    "other-btf": { type: "string" },
  },
});
const other = values["other-btf"] ?? kernelBtf("6.12");
if (other !== undefined && !existsSync(other)) throw new Error(`no such file: ${other}`);
const options: BuildOptions = {
  ...(values.force ? { force: true } : {}),
  ...(positionals.length ? { only: positionals } : {}),
  ...(other ? { otherBtf: other } : {}),
  onProgress: (done, total, file) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${done}/${total} ${file}`);
    else if (done % 100 === 0) process.stderr.write(`${done}/${total}\n`);
  },
};
const result = await buildSelftests(options);
if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
if (values.json) console.log(JSON.stringify(result));
else {
  for (const { file, reason } of result.failed) console.log(`${file}: ${reason}`);
  console.log(result.dir);
  console.log(`selftests: ${result.objects.length} built, ${result.failed.length} failed`);
}
