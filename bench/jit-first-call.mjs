// In a fresh process, on the built package (dist/): load plus first call of a program of 1,000 instructions, of others
// like it once the engine is warm, and of one of 100,000 instructions. Argument: the engine ("auto" or "jit"); standard
// input: the programs as base64, one a line, the large one last. Prints milliseconds as JSON; the slower mode counts.
// Milliseconds are processor time of the whole process, V8's own threads among it: a busy machine adds little to them.
import { readFileSync } from "node:fs";
import { AddressSpace, createJit, createTiered } from "../dist/vm/index.js";

const programs = readFileSync(0, "utf8")
  .trim()
  .split("\n")
  .map((line) => new Uint8Array(Buffer.from(line, "base64")));
const space = new AddressSpace();
const ctx = space.alloc(128, "rw");
const engine = process.argv[2] === "jit" ? createJit(space) : createTiered(space);

/** Milliseconds of processor time so far. */
function spent() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function time(insns, mode) {
  const from = spent();
  const loaded = engine.load({
    id: 1,
    name: "first",
    insns,
    maps: [],
    mode,
    helper: () => undefined,
    kfunc: () => undefined,
  });
  loaded.run(ctx);
  return spent() - from;
}

const big = programs.pop();
const cold = time(programs[0], "checked");
const warmTimes = programs.slice(1).map((insns, k) => time(insns, k % 2 ? "checked" : "unchecked"));
const last = warmTimes.slice(warmTimes.length >> 1).sort((a, b) => a - b);
const warm = last[last.length >> 1];
const large = Math.max(time(big, "checked"), time(big, "unchecked"));
console.log(JSON.stringify({ cold, warm, large }));
// V8 may still be optimising the large one in the background.
process.exit(0);
