import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseBtf } from "../../src/btf/index.ts";
import { programOf } from "../../tools/fuzz-verifier/builder.ts";
import { Generator } from "../../tools/fuzz-verifier/generate.ts";
import { checkSound } from "../../tools/fuzz-verifier/sound.ts";
import { makeWorld } from "../../tools/fuzz-verifier/world.ts";
import { want } from "../support/need.ts";
import { kernelBtf } from "../support/recorded.ts";

const PROGRAMS = 40;
const INPUTS = 5;

const need = want("shared", "xz");
describe.skipIf(need.skip)(need.title("soundness by running"), () => {
  it(`${PROGRAMS} accepted programs stay inside what was claimed of their registers`, {
    timeout: 300_000,
  }, () => {
    const btf = parseBtf(new Uint8Array(readFileSync(kernelBtf("6.18")!)));
    const world = makeWorld(null);
    let ran = 0;
    for (let seed = 1; ran < PROGRAMS; seed++) {
      const generator = new Generator(seed, undefined, true);
      const program = programOf(generator.generate());
      if (program === null) continue;
      const verdict = checkSound(program, generator.kind, world, btf, INPUTS, seed);
      if (verdict === "skip") continue;
      expect(verdict, `seed ${seed}`).toBeNull();
      ran++;
    }
  });
});
