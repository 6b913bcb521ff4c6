import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { decode } from "../src/asm/index.ts";
import { ENGINE_NAMES, EngineTarget, KernelTarget } from "../tools/engines.ts";
import { compare } from "../tools/fuzz-isa/compare.ts";
import { want } from "./support/need.ts";
import { runTool } from "./support/run-tool.ts";

const bpf = want("bpf");

describe("random programs", () => {
  it.skipIf(bpf.skip)(
    bpf.title("10,000 agree on interpreter, JIT and kernel, large ones among them"),
    () => {
      const run = runTool("fuzz-isa.ts", "--large", "--count", "10000");
      expect(run.lastLine, run.text).toBe("fuzz isa: 10000 programs, 0 differences");
      expect(run.status).toBe(0);
    },
    600_000,
  );

  it("500 agree on interpreter and JIT, large ones among them", () => {
    const run = runTool("fuzz-isa.ts", "--no-kernel", "--large", "--count", "500", "--seed", "100001");
    expect(run.lastLine, run.text).toBe("fuzz isa: 500 programs, 0 differences");
  }, 120_000);
});

interface Found {
  readonly found: string;
  readonly insns: readonly string[];
  readonly memory: string;
  readonly retval: number;
  readonly result: string;
  /** Linux's verifier may remove code of it that runs (docs/parity). */
  readonly pruned?: boolean;
}

const dir = fileURLToPath(new URL("regress", import.meta.url));
const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));

describe("programs that once differed", () => {
  const targets = ENGINE_NAMES.map((name) => new EngineTarget(name));
  const files = readdirSync(dir).filter((file) => /^isa-.*\.json$/.test(file));
  const read = (file: string): Found => JSON.parse(readFileSync(`${dir}/${file}`, "utf8")) as Found;
  it.each(files)("%s", (file) => {
    const row = read(file);
    for (const target of targets) {
      const got = target.run(decode(unhex(row.insns.join(""))), unhex(row.memory));
      expect(got, target.name).toEqual({ retval: row.retval, memory: unhex(row.result) });
    }
  });

  it.skipIf(bpf.skip)(bpf.title("agree with the running kernel"), async () => {
    const kernel = await KernelTarget.open();
    for (const file of files) {
      const row = read(file);
      const { kind } = compare([kernel, ...targets], decode(unhex(row.insns.join(""))), unhex(row.memory));
      expect(row.pruned ? ["pruned", "same"] : ["same"], file).toContain(kind);
    }
    kernel.close();
  });
});
