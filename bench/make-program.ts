import * as asm from "../src/asm/index.ts";
import * as uapi from "../src/uapi/index.ts";

/** Like compiled code: arithmetic, loads and stores, spills, and a branch every eight instructions or so. */
export function makeProgram(size: number, seed: number): Uint8Array {
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
