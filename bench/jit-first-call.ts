/**
 * In a fresh process: translation plus first call of a program of 1,000 instructions, of another one once the JIT is
 * warm, and of one of 100,000 instructions. Prints milliseconds as JSON. Both modes are timed; the slower one counts.
 */
import * as asm from "../src/asm/index.ts";
import * as uapi from "../src/uapi/index.ts";
import { type AccessMode, AddressSpace, createJit } from "../src/vm/index.ts";

/** Like compiled code: arithmetic, loads and stores, spills, and a branch every eight instructions or so. */
function makeProgram(size: number, seed: number): Uint8Array {
  let state = seed;
  const next = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const insns: asm.Insn[] = [asm.mov64Reg(6, 1)];
  for (const r of [0, 2, 3, 4, 5, 7, 8, 9]) insns.push(asm.mov64Imm(r, r));
  const regs = [0, 2, 3, 4, 5, 7, 8, 9];
  const reg = (): number => regs[next(regs.length)];
  while (insns.length < size - 1)
    switch (next(8)) {
      case 0:
        insns.push(asm.ldxMem(uapi.BPF_W, reg(), 6, 4 * next(32)));
        break;
      case 1:
        insns.push(asm.stxMem(uapi.BPF_W, 6, reg(), 4 * next(32)));
        break;
      case 2:
        insns.push(asm.stxMem(uapi.BPF_DW, 10, reg(), -8 * (1 + next(16))));
        break;
      case 3:
        insns.push(asm.alu64Reg(uapi.BPF_ADD, reg(), reg()));
        break;
      case 4:
        insns.push(asm.alu32Imm(uapi.BPF_XOR, reg(), next(1 << 30)));
        break;
      case 5:
        insns.push(asm.jmpReg(uapi.BPF_JGT, reg(), reg(), Math.min(next(12), size - insns.length - 2)));
        break;
      case 6:
        insns.push(asm.alu64Imm(uapi.BPF_RSH, reg(), next(64)));
        break;
      default:
        insns.push(asm.mov64Reg(reg(), reg()));
    }
  insns.push(asm.raw(0x95));
  return asm.encode(insns);
}

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
