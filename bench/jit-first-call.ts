/**
 * In a fresh process: translation plus first call of a program of 1,000 instructions, of another one once the JIT is
 * warm, and of one of 100,000 instructions. Prints milliseconds as JSON. Both modes are timed; the slower one counts.
 */
import { type AccessMode, AddressSpace, createJit } from "../src/vm/index.ts";
import { makeProgram } from "./make-program.ts";

const space = new AddressSpace();
const ctx = space.alloc(128, "rw");
const jit = createJit(space);

function time(insns: Uint8Array, mode: AccessMode): number {
  const from = performance.now();
  const loaded = jit.load({
    id: 1,
    name: "first",
    insns,
    maps: [],
    mode,
    helper: () => undefined,
    kfunc: () => undefined,
  });
  loaded.run(ctx);
  return performance.now() - from;
}

const small = Array.from({ length: 21 }, (_, k) => makeProgram(1000, k + 1));
const big = makeProgram(100_000, 99);
const cold = time(small[0], "checked");
const warmTimes = small.slice(1).map((insns, k) => time(insns, k % 2 ? "checked" : "unchecked"));
const warm = warmTimes.slice(10).sort((a, b) => a - b)[5];
const large = Math.max(time(big, "checked"), time(big, "unchecked"));
console.log(JSON.stringify({ cold, warm, large }));
// V8 may still be optimising the large one in the background.
process.exit(0);
