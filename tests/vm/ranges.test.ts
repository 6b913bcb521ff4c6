// Random loops over an array, half of which leave it: what the JIT leaves unchecked in the bounds-checked mode
// (src/vm/jit/ranges.ts, trips.ts) must be what the interpreter finds nothing wrong with.
import { describe, expect, it } from "vitest";
import * as bpf from "../../src/asm/index.ts";
import { ProgramFault } from "../../src/diag/index.ts";
import * as u from "../../src/uapi/index.ts";
import * as vm from "../../src/vm/index.ts";
import { Random } from "../../tools/fuzz-isa/random.ts";

const space = new vm.AddressSpace({ maxBytes: 16 << 20 });
const BUDGET = 4000;
const engines = [
  vm.createInterpreter(space, { budget: 64 * BUDGET }),
  vm.createJit(space, { budget: BUDGET }),
];
const ctx = space.alloc(64, "rw");
const VALUE = 96;
// The array, and readable neighbours that an access must not reach.
const below = space.alloc(64, "rw");
const values = space.alloc(VALUE, "rw");
const above = space.alloc(64, "rw");
const map: vm.VmMap = {
  address: space.alloc(64, "none"),
  type: u.BPF_MAP_TYPE_ARRAY,
  keySize: 4,
  valueSize: VALUE,
  maxEntries: 1,
  flags: 0,
  values,
  stride: VALUE,
  cpuStride: 0,
};
const POINTER = (at: number): bigint => (BigInt(vm.POINTER_HIGH) << 32n) | BigInt(at);

const SIZES = [u.BPF_B, u.BPF_H, u.BPF_W, u.BPF_DW];
const FORWARD = [u.BPF_JLT, u.BPF_JLE, u.BPF_JNE, u.BPF_JSLT, u.BPF_JSLE];
const BACKWARD = [u.BPF_JGT, u.BPF_JGE, u.BPF_JNE, u.BPF_JSGT, u.BPF_JSGE];

/** One loop in another or none; r6 walks the array, r7 and r8 count, r9 is the inner loop's own pointer. */
function randomLoop(seed: number): bpf.Insn[] {
  const r = new Random(seed);
  const insns: bpf.Insn[] = [];
  const emit = (...more: bpf.Insn[]): void => void insns.push(...more);
  const array = (reg: number): void =>
    emit(bpf.ldImm64(reg, POINTER(values + (r.chance(70) ? 0 : 8 * r.below(3)))));
  const slots = (list: readonly bpf.Insn[]): number =>
    list.reduce((sum, insn) => sum + (insn.imm64 === undefined ? 1 : 2), 0);

  const access = (base: number): void => {
    const size = r.pick(SIZES);
    const off = r.pick([0, 0, 0, 1, 4, 8, -1, -4, -8]);
    if (r.chance(50)) emit(bpf.ldxMem(size, 2, base, off), bpf.alu64Reg(u.BPF_ADD, 0, 2));
    else emit(bpf.stxMem(size, base, 0, off));
  };
  /** An index in r3, made of the counter or of a byte that only the run knows. */
  const index = (counter: number): void => {
    if (r.chance(70)) emit(r.chance(50) ? bpf.mov64Reg(3, counter) : bpf.mov32Reg(3, counter));
    else emit(bpf.ldxMem(u.BPF_B, 3, 10, -8 * (1 + r.below(2))));
    for (let k = r.below(3); k > 0; k--) {
      const alu = r.chance(50) ? bpf.alu64Imm : bpf.alu32Imm;
      emit(
        r.pick([
          () => alu(u.BPF_AND, 3, r.pick([3, 7, 31, 63, 0x5f, 0x7f])),
          () => alu(u.BPF_LSH, 3, r.below(4)),
          () => alu(u.BPF_RSH, 3, r.below(6)),
          () => alu(u.BPF_ADD, 3, r.below(40) - 12),
          () => alu(u.BPF_SUB, 3, r.below(20) - 4),
          () => alu(u.BPF_MUL, 3, r.below(9)),
          () => alu(u.BPF_MOD, 3, 1 + r.below(100)),
          () => alu(u.BPF_DIV, 3, 1 + r.below(5)),
          () => alu(u.BPF_OR, 3, r.below(32)),
          () => alu(u.BPF_XOR, 3, r.below(64)),
        ])(),
      );
    }
  };
  const guarded = (body: () => void): void => {
    const at = insns.length;
    body();
    const inside = insns.splice(at);
    const jump = r.chance(50) ? bpf.jmpImm : bpf.jmp32Imm;
    const op = r.pick([...FORWARD, ...BACKWARD, u.BPF_JEQ, u.BPF_JSET]);
    emit(jump(op, 3, r.below(110) - 5, slots(inside)), ...inside);
  };
  const statement = (counter: number, pointer: number): void => {
    switch (r.below(5)) {
      case 0:
        access(pointer);
        return;
      case 1:
        // The counter goes through the frame.
        emit(bpf.stxMem(u.BPF_DW, 10, counter, -32), bpf.ldxMem(u.BPF_DW, 3, 10, -32));
        break;
      default:
        index(counter);
    }
    const use = (): void => {
      array(4);
      emit(bpf.alu64Reg(u.BPF_ADD, 4, 3));
      access(4);
    };
    if (r.chance(40)) guarded(use);
    else use();
  };
  const loop = (counter: number, pointer: number, inner?: () => void): void => {
    const up = r.chance(65);
    const step = r.pick([1, 1, 1, 2, 3, 4, 8]);
    const limit = r.below(up ? 110 : 12);
    const start = up ? r.below(12) : r.below(110);
    if (r.chance(80)) emit(bpf.mov64Imm(counter, start));
    else emit(bpf.ldxMem(u.BPF_B, counter, 10, -8), bpf.alu64Imm(u.BPF_AND, counter, 15));
    array(pointer);
    const head = slots(insns);
    const early = r.chance(20) ? insns.length : -1;
    if (early >= 0) emit(bpf.jmpImm(u.BPF_JEQ, counter, r.below(60), 0));
    for (let k = 1 + r.below(3); k > 0; k--) statement(counter, pointer);
    inner?.();
    emit(bpf.alu64Imm(u.BPF_ADD, pointer, r.pick([0, 1, 2, 4, 8, -1])));
    const add = r.chance(75) ? bpf.alu64Imm : bpf.alu32Imm;
    // LLVM compares the register before the sum as often as after.
    const before = r.chance(25);
    if (before) emit(bpf.mov64Reg(5, counter));
    emit(up ? add(u.BPF_ADD, counter, step) : add(u.BPF_SUB, counter, step));
    const jump = r.chance(60) ? bpf.jmpImm : bpf.jmp32Imm;
    const to = (): number => head - slots(insns) - 1;
    emit(jump(r.pick(up ? FORWARD : BACKWARD), before ? 5 : counter, limit, to()));
    if (early >= 0) {
      const jumpOut = insns[early]!;
      insns[early] = { ...jumpOut, off: slots(insns) - slots(insns.slice(0, early)) - 1 };
    }
  };
  emit(bpf.mov64Imm(0, 1), bpf.ldxMem(u.BPF_DW, 2, 1, 0), bpf.stxMem(u.BPF_DW, 10, 2, -8));
  emit(bpf.ldxMem(u.BPF_DW, 2, 1, 8), bpf.stxMem(u.BPF_DW, 10, 2, -16));
  loop(7, 6, r.chance(40) ? () => loop(8, 9) : undefined);
  emit(bpf.exit());
  return insns;
}

interface Outcome {
  readonly fault: number;
  readonly insn: number;
  readonly r0: bigint;
  readonly memory: Uint8Array;
}

function outcome(engine: vm.Engine, insns: readonly bpf.Insn[], seed: number): Outcome {
  space.dv.setBigUint64(ctx, BigInt(seed) * 0x9e3779b97f4a7c15n, true);
  space.dv.setBigUint64(ctx + 8, BigInt(seed) * 0xd6e8feb86659fd93n, true);
  for (const at of [below, above]) space.u8.fill(7, at, at + 64);
  for (let i = 0; i < VALUE; i++) space.u8[values + i] = i;
  const program = engine.load({
    id: 1,
    name: `loop ${seed}`,
    insns: bpf.encode(insns),
    maps: [map],
    mode: "checked",
    helper: () => undefined,
    kfunc: () => undefined,
  });
  let fault = 0;
  let insn = 0;
  try {
    program.run(ctx);
  } catch (error) {
    if (!(error instanceof ProgramFault)) throw error;
    ({ fault, insn } = error as unknown as { fault: number; insn: number });
  }
  program.dispose();
  const r0 = space.dv.getBigUint64(space.cpu.value + vm.CPU_RESULT, true);
  return { fault, insn, r0: fault ? 0n : r0, memory: space.u8.slice(below, above + 64) };
}

describe("loops that the JIT checks less", () => {
  it("fault where the interpreter's do, and nowhere else", () => {
    let [faults, ends] = [0, 0];
    for (let seed = 1; seed <= 1500; seed++) {
      const insns = randomLoop(seed);
      const [want, got] = engines.map((engine) => outcome(engine, insns, seed)) as [Outcome, Outcome];
      if (want.fault === vm.FAULT_BUDGET || got.fault === vm.FAULT_BUDGET) continue;
      // An address beyond all memory traps in the look-up itself, and the instruction is not known.
      const wild = got.insn === -1 && got.fault !== 0 && want.fault !== 0;
      const { fault, insn } = want;
      expect(wild ? { ...got, fault, insn } : got, `seed ${seed}`).toEqual(want);
      if (want.fault) faults++;
      else ends++;
    }
    expect(faults).toBeGreaterThan(250);
    expect(ends).toBeGreaterThan(250);
  }, 120_000);
});
