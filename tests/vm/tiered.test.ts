import { describe, expect, it } from "vitest";
import {
  alu64Imm,
  callHelper,
  encode,
  exit,
  type Insn,
  jmpImm,
  ldxMem,
  mov64Imm,
  raw,
} from "../../src/asm/index.ts";
import { InvalidProgramError, ProgramFault } from "../../src/diag/index.ts";
import { BPF_ADD, BPF_DW, BPF_JEQ, BPF_JGT, BPF_W } from "../../src/uapi/index.ts";
import * as vm from "../../src/vm/index.ts";

const space = new vm.AddressSpace({ maxBytes: 16 << 20 });
const engine = vm.createTiered(space);
const ctx = space.alloc(64, "rw");

function load(
  insns: readonly Insn[],
  helper: vm.VmProgram["helper"] = () => undefined,
  mode: vm.AccessMode = "checked",
): vm.LoadedProgram {
  const program = {
    id: 1,
    name: "tiered",
    insns: encode(insns),
    maps: [],
    mode,
    helper,
    kfunc: () => undefined,
  };
  return engine.load(program);
}

/** Indices of the table in use: translated programs have one. */
const inTable = (): number => {
  let count = 0;
  for (let i = vm.TABLE_BASE; i < space.table.length; i++) if (space.table.get(i) !== null) count++;
  return count;
};

describe("the tiered engine", () => {
  it("interprets a program until it is hot, and gives the same after", () => {
    const before = inTable();
    const program = load([ldxMem(BPF_W, 0, 1, 0), alu64Imm(BPF_ADD, 0, 7), exit()]);
    let switched = -1;
    for (let i = 0; i < 2000; i++) {
      space.dv.setUint32(ctx, i, true);
      expect(program.run(ctx)).toBe(i + 7);
      if (switched < 0 && inTable() > before) switched = i;
    }
    // 3 steps a run, 500 a slot.
    expect(switched).toBe(500);
    program.dispose();
    expect(inTable()).toBe(before);
  });

  it("translates at once what may loop", () => {
    const before = inTable();
    const loop = load([
      mov64Imm(0, 0),
      alu64Imm(BPF_ADD, 0, 1),
      jmpImm(BPF_JGT, 0, 10, 1),
      raw(0x05, 0, 0, -3),
      exit(),
    ]);
    expect(inTable()).toBe(before + 1);
    expect(loop.run(ctx)).toBe(11);
    const binding: vm.HelperBinding = { kind: "js", name: "back", nargs: 0, callsBack: true, fn: () => {} };
    const calls = load([callHelper(77), mov64Imm(0, 3), exit()], (id) => (id === 77 ? binding : undefined));
    expect(inTable()).toBe(before + 2);
    expect(calls.run(ctx)).toBe(3);
    loop.dispose();
    calls.dispose();
  });

  it("translates what others call by its index", () => {
    const before = inTable();
    const program = load([mov64Imm(0, 5), exit()]);
    expect(inTable()).toBe(before);
    expect(space.table.get(program.tableIndex)).not.toBe(null);
    expect(inTable()).toBe(before + 1);
    expect(program.run(ctx)).toBe(5);
    program.dispose();
  });

  it("faults alike on both tiers", () => {
    const program = load([
      ldxMem(BPF_DW, 0, 1, 0),
      jmpImm(BPF_JEQ, 0, 0, 1),
      ldxMem(BPF_DW, 0, 0, 0),
      exit(),
    ]);
    const faultOf = (): unknown => {
      try {
        return program.run(ctx);
      } catch (error) {
        if (!(error instanceof ProgramFault)) throw error;
        return error.message;
      }
    };
    space.dv.setBigUint64(ctx, 16n, true);
    const cold = faultOf();
    space.dv.setBigUint64(ctx, 0n, true);
    for (let i = 0; i < 2000; i++) expect(program.run(ctx)).toBe(0);
    space.dv.setBigUint64(ctx, 16n, true);
    expect(faultOf()).toBe(cold);
    program.dispose();
  });

  it("keeps on the interpreter what the JIT does not take", () => {
    // Runs off the end on a path that nothing takes.
    const program = load([mov64Imm(0, 1), jmpImm(BPF_JEQ, 0, 0, 1), exit(), mov64Imm(0, 2)]);
    for (let i = 0; i < 2000; i++) expect(program.run(ctx)).toBe(1);
    program.dispose();
  });

  it("refuses at load what is no program", () => {
    expect(() => load([raw(0xff)])).toThrow(InvalidProgramError);
    expect(() => load([callHelper(99), exit()])).toThrow(InvalidProgramError);
  });
});
