import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { assemble, decode } from "../../src/asm/index.ts";
import { findProfile, verify } from "../../src/verifier/index.ts";
import { verifierInput } from "../../tools/fuzz-verifier/program.ts";
import { makeWorld } from "../../tools/fuzz-verifier/world.ts";
import { want } from "../support/need.ts";
import { runTool } from "../support/run-tool.ts";

const bpf = want("bpf");
const REGRESS = fileURLToPath(new URL("../regress", import.meta.url));

/** A difference that was found: what the kernel (6.18) said of the program. */
interface Found {
  readonly found: string;
  readonly kernel: { readonly ok: boolean; readonly errno: number; readonly message: string };
  readonly progType: number;
  readonly attachType: number;
  readonly flags: number;
  readonly license: string;
  readonly funcs: readonly { readonly insn: number; readonly name: string }[];
  /** Slots in hex, or assembly. */
  readonly insns?: readonly string[];
  readonly text?: readonly string[];
}

describe("random programs before the kernel and the verifier", () => {
  it.skipIf(bpf.skip)(
    bpf.title("300 get the same verdict and errno"),
    () => {
      const run = runTool("fuzz-verifier.ts", "--count", "300", "--seed", "40000", "--no-reduce");
      expect(run.lastLine, run.text).toMatch(
        /^fuzz verifier: \d+ programs, \d+ % accepted, 0 differences, \d+ messages$/,
      );
      expect(run.status).toBe(0);
    },
    600_000,
  );
});

describe("differences that were found", () => {
  const world = makeWorld(null);
  for (const file of readdirSync(REGRESS).filter((name) => /^verifier-.*\.json$/.test(name)))
    it(file, () => {
      const row = JSON.parse(readFileSync(`${REGRESS}/${file}`, "utf8")) as Found;
      const bytes = row.insns
        ? Uint8Array.from(Buffer.from(row.insns.join(""), "hex"))
        : assemble(row.text!.join("\n")).bytes;
      const input = verifierInput({ ...row, insns: decode(bytes) }, world);
      const r = verify(input, findProfile("6.18")!, null, { logLevel: 1 });
      expect({ ok: r.ok, errno: r.errno, message: r.message }, row.found).toEqual(row.kernel);
    });
});
