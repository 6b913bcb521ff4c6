/**
 * Explanations: programs broken in one classic way each. `explain/NAME.bpf.c` is the broken source; what `#ifdef REPAIRED`
 * adds is its repair, which has to pass; `explain/NAME.txt` is what a person is told. UPDATE_EXPLAIN=1 rewrites those.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { type Btf, parseBtf } from "../../src/btf/index.ts";
import { type CheckResult, checkProgram, explain, formatExplanation } from "../../src/check/index.ts";
import { BpfObject } from "../../src/loader/index.ts";
import { shippedKernelBtf } from "../../src/platform/node.ts";
import { want } from "../support/need.ts";

const here = fileURLToPath(new URL("explain/", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "tsbpf-explain-"));
afterAll(() => rmSync(dir, { recursive: true }));
const names = readdirSync(here)
  .filter((f) => f.endsWith(".bpf.c"))
  .map((f) => f.replace(".bpf.c", ""));
const btfs = new Map<string, Btf>();

function check(name: string, repaired: boolean): CheckResult {
  const out = join(dir, `${name}.o`);
  const include = "/usr/include/x86_64-linux-gnu";
  execFileSync("clang-19", [
    ...["-g", "-O2", "--target=bpf", "-mcpu=v3", `-I${include}`],
    ...(repaired ? ["-DREPAIRED"] : []),
    ...["-c", join(here, `${name}.bpf.c`), "-o", out],
  ]);
  // `// kernel: 6.1` in a source: for what newer kernels allow.
  const kernel =
    /^\/\/ kernel: (\S+)/m.exec(readFileSync(join(here, `${name}.bpf.c`), "utf8"))?.[1] ?? "6.18";
  let btf = btfs.get(kernel);
  if (!btf) btfs.set(kernel, (btf = parseBtf(shippedKernelBtf(kernel)!)));
  const object = BpfObject.open(new Uint8Array(readFileSync(out)), { name: "test" });
  return checkProgram(object, object.programs["prog"]!, { kernel, kernelBtf: btf, kconfig: "", logLevel: 1 });
}

const w = want("clang-19", "libbpf-headers");

describe.skipIf(w.skip)(w.title("explanations"), () => {
  it("are at least forty", () => expect(names.length).toBeGreaterThanOrEqual(40));

  it.each(names)(
    "%s",
    (name) => {
      const broken = check(name, false);
      expect(broken.error?.message).toBeUndefined();
      expect(broken.verdict?.ok).toBe(false);
      const explanation = explain(broken)!;
      const text = `${explanation.code}\n${formatExplanation(explanation, "prog")}`;
      const golden = join(here, `${name}.txt`);
      if (process.env["UPDATE_EXPLAIN"]) writeFileSync(golden, text);
      expect(text).toBe(readFileSync(golden, "utf8"));
      expect(explanation.code).not.toBe("other");
      const repaired = check(name, true);
      expect([repaired.error?.message, repaired.verdict?.message]).toEqual([undefined, ""]);
      expect(repaired.verdict?.ok).toBe(true);
    },
    60_000,
  );
});
