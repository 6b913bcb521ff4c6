// Nanoseconds per instruction of the interpreter, over small programs of different character.
import {
  alu32Imm,
  alu32Reg,
  alu64Imm,
  alu64Reg,
  encode,
  exit,
  type Insn,
  ja,
  jmpImm,
  jmpReg,
  ldxMem,
  mov32Imm,
  mov64Imm,
  mov64Reg,
  stMem,
  stxMem,
} from "../src/asm/index.ts";
import * as bpf from "../src/uapi/index.ts";
import { type AccessMode, AddressSpace, createInterpreter } from "../src/vm/index.ts";

/** Bytes of the context, which the programs use as their data. */
const CTX_SIZE = 0x10000;
const WARM_UP = 50;

/** FNV-1a, byte by byte over 32 KiB. */
const fnv: Insn[] = [
  mov32Imm(0, 0x811c9dc5 | 0),
  mov64Reg(2, 1),
  mov64Reg(3, 1),
  alu64Imm(bpf.BPF_ADD, 3, 0x8000),
  ldxMem(bpf.BPF_B, 4, 2, 0),
  alu32Reg(bpf.BPF_XOR, 0, 4),
  alu32Imm(bpf.BPF_MUL, 0, 0x01000193),
  alu64Imm(bpf.BPF_ADD, 2, 1),
  jmpReg(bpf.BPF_JLT, 2, 3, -5),
  exit(),
];

/** Sieve of Eratosthenes over 16 KiB of flags; r0 = primes. */
const sieve: Insn[] = [
  mov64Imm(0, 0),
  mov64Imm(2, 0),
  mov64Reg(3, 1),
  alu64Reg(bpf.BPF_ADD, 3, 2),
  stMem(bpf.BPF_B, 3, 0, 0),
  alu64Imm(bpf.BPF_ADD, 2, 1),
  jmpImm(bpf.BPF_JLT, 2, 0x4000, -5),
  mov64Imm(2, 2),
  // outer: skip composites
  mov64Reg(3, 1),
  alu64Reg(bpf.BPF_ADD, 3, 2),
  ldxMem(bpf.BPF_B, 4, 3, 0),
  jmpImm(bpf.BPF_JNE, 4, 0, 8),
  alu64Imm(bpf.BPF_ADD, 0, 1),
  mov64Reg(5, 2),
  alu64Reg(bpf.BPF_ADD, 5, 2),
  jmpImm(bpf.BPF_JGE, 5, 0x4000, 4),
  mov64Reg(3, 1),
  alu64Reg(bpf.BPF_ADD, 3, 5),
  stMem(bpf.BPF_B, 3, 0, 1),
  ja(-6),
  alu64Imm(bpf.BPF_ADD, 2, 1),
  jmpImm(bpf.BPF_JLT, 2, 0x4000, -14),
  exit(),
];

/** Internet checksum of 32 KiB in 16-bit words. */
const checksum: Insn[] = [
  mov64Imm(0, 0),
  mov64Imm(2, 0),
  mov64Reg(3, 1),
  ldxMem(bpf.BPF_H, 4, 3, 0),
  alu64Reg(bpf.BPF_ADD, 0, 4),
  alu64Imm(bpf.BPF_ADD, 3, 2),
  alu64Imm(bpf.BPF_ADD, 2, 2),
  jmpImm(bpf.BPF_JLT, 2, 0x8000, -5),
  mov64Reg(4, 0),
  alu64Imm(bpf.BPF_RSH, 4, 16),
  alu64Imm(bpf.BPF_AND, 0, 0xffff),
  alu64Reg(bpf.BPF_ADD, 0, 4),
  jmpImm(bpf.BPF_JGT, 0, 0xffff, -5),
  exit(),
];

/** xorshift64 and a spill to the stack, 20,000 rounds. */
const xorshift: Insn[] = [
  mov64Imm(0, 0x9e3779b9 | 0),
  mov64Imm(2, 0),
  mov64Reg(3, 0),
  alu64Imm(bpf.BPF_LSH, 3, 13),
  alu64Reg(bpf.BPF_XOR, 0, 3),
  mov64Reg(3, 0),
  alu64Imm(bpf.BPF_RSH, 3, 7),
  alu64Reg(bpf.BPF_XOR, 0, 3),
  mov64Reg(3, 0),
  alu64Imm(bpf.BPF_LSH, 3, 17),
  alu64Reg(bpf.BPF_XOR, 0, 3),
  stxMem(bpf.BPF_DW, 10, 0, -8),
  ldxMem(bpf.BPF_DW, 4, 10, -8),
  alu64Imm(bpf.BPF_ADD, 2, 1),
  jmpImm(bpf.BPF_JLT, 2, 20000, -13),
  exit(),
];

/** Collatz lengths of 1..300: branches that nobody predicts, and a division. */
const collatz: Insn[] = [
  mov64Imm(0, 0),
  mov64Imm(2, 1),
  mov64Reg(3, 2),
  jmpImm(bpf.BPF_JEQ, 3, 1, 8),
  alu64Imm(bpf.BPF_ADD, 0, 1),
  mov64Reg(4, 3),
  alu64Imm(bpf.BPF_MOD, 4, 2),
  jmpImm(bpf.BPF_JNE, 4, 0, 2),
  alu64Imm(bpf.BPF_DIV, 3, 2),
  ja(-7),
  alu64Imm(bpf.BPF_MUL, 3, 3),
  // + 1, and back
  ja(2),
  alu64Imm(bpf.BPF_ADD, 2, 1),
  jmpImm(bpf.BPF_JLT, 2, 300, -12),
  exit(),
];
collatz.splice(10, 5);
collatz.push(
  alu64Imm(bpf.BPF_MUL, 3, 3),
  alu64Imm(bpf.BPF_ADD, 3, 1),
  ja(-10),
  alu64Imm(bpf.BPF_ADD, 2, 1),
  jmpImm(bpf.BPF_JLT, 2, 300, -13),
  exit(),
);
collatz[3] = jmpImm(bpf.BPF_JEQ, 3, 1, 9);

const programs: Readonly<Record<string, readonly Insn[]>> = { fnv, sieve, checksum, xorshift, collatz };

export interface InterpFigure {
  readonly program: string;
  readonly mode: AccessMode;
  readonly nsPerInsn: number;
  readonly result: number;
}

/** The median of `rounds` timings of every program in both modes. */
export function interpFigures(rounds = 200): InterpFigure[] {
  const space = new AddressSpace({ maxBytes: 16 << 20 });
  const engine = createInterpreter(space);
  const ctx = space.alloc(CTX_SIZE, "rw");
  const rows: InterpFigure[] = [];
  for (const [name, insns] of Object.entries(programs))
    for (const mode of ["unchecked", "checked"] as const) {
      const loaded = engine.load({
        id: 1,
        name,
        insns: encode(insns),
        maps: [],
        mode,
        helper: () => undefined,
        kfunc: () => undefined,
      });
      for (let i = 0; i < CTX_SIZE; i++) space.u8[ctx + i] = i * 7;
      const counted = loaded.start(ctx);
      counted.continue();
      const { steps } = counted;
      counted.dispose();
      // Windows of a fraction of a millisecond: what else the machine does falls between most of them.
      const times: number[] = [];
      let result = 0;
      for (let round = 0; round < rounds + WARM_UP; round++) {
        const from = performance.now();
        result = loaded.run(ctx);
        const ns = (performance.now() - from) * 1e6;
        if (round >= WARM_UP) times.push(ns / steps);
      }
      times.sort((a, b) => a - b);
      rows.push({ program: name, mode, nsPerInsn: times[times.length >> 1]!, result });
      loaded.dispose();
    }
  return rows;
}

/** Nanoseconds per instruction, the mean over programs and modes. */
export async function measureInterp(): Promise<number> {
  const rows = interpFigures();
  return rows.reduce((sum, row) => sum + row.nsPerInsn, 0) / rows.length;
}
