/**
 * Soundness by running: programs that our verifier accepts run on random inputs with every access checked, and at every
 * instruction the registers must be inside the bounds that the verifier claimed.
 *
 *   npx tsx tools/soundness.ts [--count N] [--seed FIRST] [--inputs N]
 *
 * N counts programs that ran. Ends in `soundness: N programs, I inputs each, V violations`; exit status 1 when V > 0.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parseBtf } from "../src/btf/index.ts";
import { kernelBtf } from "../tests/support/recorded.ts";
import { programOf } from "./fuzz-verifier/builder.ts";
import { Generator } from "./fuzz-verifier/generate.ts";
import { checkSound } from "./fuzz-verifier/sound.ts";
import { makeWorld } from "./fuzz-verifier/world.ts";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "10000" },
    seed: { type: "string", default: "1" },
    inputs: { type: "string", default: "100" },
  },
});
const path = kernelBtf("6.18");
if (path === undefined) throw new Error("the recorded BTF of 6.18 is missing");
const btf = parseBtf(new Uint8Array(readFileSync(path)));
const world = makeWorld(null);
let ran = 0;
let violations = 0;
const inputs = Number(values.inputs);
for (let seed = Number(values.seed); ran < Number(values.count); seed++) {
  const generator = new Generator(seed, undefined, true);
  const program = programOf(generator.generate());
  if (program === null) continue;
  const verdict = checkSound(program, generator.kind, world, btf, inputs, seed);
  if (verdict === "skip") continue;
  ran++;
  if (verdict === null) continue;
  violations++;
  console.log(`seed ${seed}: ${verdict}`);
  if (violations >= 20) break;
}
console.log(`soundness: ${ran} programs, ${inputs} inputs each, ${violations} violations`);
process.exitCode = violations > 0 ? 1 : 0;
