// What a verified program may do beyond helpers: kernel functions, and loads through BTF pointers. On both engines,
// both modes.
import { describe, expect, it } from "vitest";
import {
  alu64Imm,
  alu64Reg,
  callHelper,
  callKfunc,
  callLocal,
  encode,
  exit,
  type Insn,
  jmpImm,
  ldFunc,
  ldImm64,
  ldxMem,
  ldxMemsx,
  mov64Imm,
  mov64Reg,
  stMem,
  stxMem,
} from "../../src/asm/index.ts";
import { InvalidProgramError, ProgramFault } from "../../src/diag/index.ts";
import { BPF_ADD, BPF_B, BPF_DW, BPF_H, BPF_JEQ, BPF_JNE, BPF_LSH, BPF_W } from "../../src/uapi/index.ts";
import * as vm from "../../src/vm/index.ts";

const space = new vm.AddressSpace({ maxBytes: 32 << 20 });
const ctx = space.alloc(64, "rw");
const pointer = (at: number): bigint => (BigInt(vm.POINTER_HIGH) << 32n) | BigInt(at);
const offset = (p: bigint): number => Number(p & 0xffffffffn);

const ENGINES: readonly [string, vm.Engine, vm.AccessMode][] = [
  ["interpreter, checked", vm.createInterpreter(space), "checked"],
  ["interpreter, unchecked", vm.createInterpreter(space), "unchecked"],
  ["JIT, checked", vm.createJit(space), "checked"],
  ["JIT, unchecked", vm.createJit(space), "unchecked"],
];

type Kfuncs = Readonly<Record<string, vm.HelperBinding>>;

const js = (
  name: string,
  nargs: number,
  fn: (...args: bigint[]) => bigint,
  callsBack = false,
): vm.HelperBinding => ({
  kind: "js",
  name,
  nargs,
  callsBack,
  fn: (cpu) => {
    const { dv } = space;
    const args = Array.from({ length: nargs }, (_, k) => dv.getBigUint64(cpu + vm.CPU_ARGS + 8 * k, true));
    // Memory may have grown meanwhile: a fresh view.
    const r0 = BigInt.asUintN(64, fn(...args));
    space.dv.setBigUint64(cpu + vm.CPU_RESULT, r0, true);
  },
});

describe.each(ENGINES)("%s", (_, engine, mode) => {
  function load(insns: readonly Insn[], kfuncs: Kfuncs = {}, facts?: Uint8Array): vm.LoadedProgram {
    return engine.load({
      id: 7,
      name: "kfuncs",
      insns: encode(insns),
      maps: [],
      mode,
      helper: () => undefined,
      kfunc: (id, off) => kfuncs[off === 0 ? `${id}` : `${id}:${off}`],
      ...(facts && { facts }),
    });
  }

  function run(insns: readonly Insn[], kfuncs: Kfuncs = {}, facts?: Uint8Array): bigint {
    const program = load(insns, kfuncs, facts);
    try {
      program.run(ctx);
      return space.dv.getBigUint64(space.cpu.value + vm.CPU_RESULT, true);
    } finally {
      program.dispose();
    }
  }

  it("passes five 64-bit arguments and takes a 64-bit result", () => {
    const seen: bigint[][] = [];
    const kfunc = js("five", 5, (...args) => {
      seen.push(args);
      return args[0]! ^ args[4]!;
    });
    const args = [0x123456789abcdef0n, 2n, 0xffffffffffffffffn, 4n, 0x1111111111111111n];
    const insns = [...args.map((value, k) => ldImm64(k + 1, value)), callKfunc(31), exit()];
    expect(run(insns, { 31: kfunc })).toBe(args[0]! ^ args[4]!);
    expect(seen).toEqual([args]);
  });

  it("tells kfuncs of modules from the kernel's by the offset", () => {
    const one = js("one", 0, () => 1n);
    const two = js("two", 0, () => 2n);
    const insns = [callKfunc(5), mov64Reg(6, 0), { ...callKfunc(5), off: 3 }, alu64Imm(BPF_LSH, 0, 4)];
    expect(run([...insns, alu64Reg(BPF_ADD, 0, 6), exit()], { "5": one, "5:3": two })).toBe(0x21n);
  });

  it("keeps r6 to r9, and what the function wrote into the caller's frame", () => {
    // An iterator's state on the stack, as bpf_iter_num_new(&it, 3, 6) and its next() keep it.
    const state = (it: bigint): number => offset(it);
    const kfuncs = {
      1: js("bpf_iter_num_new", 3, (it, from, to) => {
        space.dv.setInt32(state(it), Number(BigInt.asIntN(32, from)) - 1, true);
        space.dv.setInt32(state(it) + 4, Number(BigInt.asIntN(32, to)), true);
        return 0n;
      }),
      2: js("bpf_iter_num_next", 1, (it) => {
        const next = space.dv.getInt32(state(it), true) + 1;
        if (next >= space.dv.getInt32(state(it) + 4, true)) return 0n;
        space.dv.setInt32(state(it), next, true);
        return it;
      }),
      3: js("bpf_iter_num_destroy", 1, (it) => {
        space.dv.setBigUint64(state(it), 0n, true);
        return 0n;
      }),
    };
    const insns = [
      mov64Imm(6, 0),
      mov64Reg(1, 10),
      alu64Imm(BPF_ADD, 1, -8),
      mov64Imm(2, 3),
      mov64Imm(3, 6),
      callKfunc(1),
      mov64Reg(1, 10),
      alu64Imm(BPF_ADD, 1, -8),
      callKfunc(2),
      jmpImm(BPF_JEQ, 0, 0, 3),
      ldxMem(BPF_W, 1, 0, 0),
      alu64Reg(BPF_ADD, 6, 1),
      jmpImm(BPF_JNE, 6, -1, -7),
      mov64Reg(1, 10),
      alu64Imm(BPF_ADD, 1, -8),
      callKfunc(3),
      ldxMem(BPF_DW, 0, 10, -8),
      alu64Reg(BPF_ADD, 0, 6),
      exit(),
    ];
    expect(run(insns, kfuncs)).toBe(3n + 4n + 5n);
  });

  it("reaches the core's exports", () => {
    const random: vm.HelperBinding = { kind: "core", name: "bpf_get_prandom_u32", nargs: 0 };
    const seed = space.cpu.value + vm.CPU_RANDOM;
    space.dv.setBigUint64(seed, 5n, true);
    const want = run([callKfunc(9), exit()], { 9: random });
    space.dv.setBigUint64(seed, 5n, true);
    expect(run([callKfunc(9), callKfunc(9), exit()], { 9: random })).not.toBe(want);
    expect(want).toBeGreaterThan(0n);
  });

  it("lets a function allocate, and the program use what it got", () => {
    const made: number[] = [];
    const kfuncs = {
      1: js("bpf_obj_new", 1, (size) => {
        // Enough of it to make the memory grow.
        made.push(space.alloc(Number(size), "rw"));
        return pointer(made.at(-1)!);
      }),
      2: js("bpf_obj_drop", 1, (p) => {
        space.free(offset(p));
        return 0n;
      }),
    };
    const insns = [
      mov64Imm(1, 3 << 20),
      callKfunc(1),
      mov64Reg(7, 0),
      stMem(BPF_DW, 7, (2 << 10) + 8, 77),
      ldxMem(BPF_DW, 8, 7, (2 << 10) + 8),
      mov64Reg(1, 7),
      callKfunc(2),
      mov64Reg(0, 8),
      exit(),
    ];
    const before = space.allocated.blocks;
    expect(run(insns, kfuncs)).toBe(77n);
    expect(made.length).toBe(1);
    expect(space.allocated.blocks).toBe(before);
  });

  it("calls back into the program, as bpf_rbtree_add(root, node, less) does", () => {
    const kfunc = js(
      "bpf_rbtree_add",
      3,
      (root, node, less) => {
        // Two comparisons, the second one of a nested call's result.
        const first = vm.callBack(space, offset(less), [root, node]);
        return first * 100n + vm.callBack(space, offset(less), [node, first]);
      },
      true,
    );
    const insns = [
      mov64Imm(6, 1000),
      stMem(BPF_DW, 10, -8, 4),
      mov64Imm(1, 40),
      mov64Imm(2, 2),
      ldFunc(3, 6),
      callKfunc(8),
      alu64Reg(BPF_ADD, 0, 6),
      // The callback's frame was another one.
      ldxMem(BPF_DW, 1, 10, -8),
      alu64Reg(BPF_ADD, 0, 1),
      exit(),
      // less(a, b): a + b, by way of its own stack and a subprogram.
      stxMem(BPF_DW, 10, 1, -8),
      stxMem(BPF_DW, 10, 2, -16),
      mov64Reg(1, 10),
      callLocal(1),
      exit(),
      ldxMem(BPF_DW, 0, 1, -8),
      ldxMem(BPF_DW, 2, 1, -16),
      alu64Reg(BPF_ADD, 0, 2),
      exit(),
    ];
    expect(run(insns, { 8: kfunc })).toBe(42n * 100n + 44n + 1000n + 4n);
  });

  it("runs a callback while no program runs", () => {
    let less = 0;
    const keep = js("bpf_timer_set_callback", 2, (_timer, fn) => {
      less = offset(fn);
      return 0n;
    });
    const insns = [mov64Imm(1, 0), ldFunc(2, 4), callKfunc(8), mov64Imm(0, 0), exit()];
    const callback = [mov64Reg(0, 1), alu64Reg(BPF_ADD, 0, 3), exit()];
    const program = load([...insns, ...callback], { 8: { ...keep, callsBack: true } });
    program.run(ctx);
    expect(vm.runCallback(space, less, [1n << 40n, 0n, 2n])).toBe((1n << 40n) + 2n);
    program.dispose();
  });

  it("lets what a function throws reach the caller of run()", () => {
    class Thrown extends Error {}
    const kfunc = js("bpf_throw", 1, () => {
      throw new Thrown();
    });
    const insns = [callLocal(1), exit(), mov64Imm(1, 1), callKfunc(4), exit()];
    const program = load(insns, { 4: kfunc });
    expect(() => program.run(ctx)).toThrow(Thrown);
    program.dispose();
    // The next run finds everything as it should be.
    expect(run([mov64Imm(0, 9), exit()])).toBe(9n);
  });

  it("refuses unknown functions at load", () => {
    expect(() => load([callKfunc(1), exit()])).toThrow(InvalidProgramError);
    expect(() => load([callHelper(4711), exit()])).toThrow(InvalidProgramError);
  });

  describe("loads through BTF pointers", () => {
    const object = space.alloc(24, "r");
    space.dv.setBigUint64(object, 0x8070605040302010n, true);
    space.dv.setBigUint64(object + 16, 0xffeeddccbbaa9988n, true);
    const BASES: readonly [string, bigint, number, boolean][] = [
      ["the object", pointer(object), 0, true],
      ["its end", pointer(object), 16, true],
      ["null", 0n, 0, false],
      ["null plus a member's offset", 0n, 8, false],
      ["an error pointer", 0xfffffffffffffff4n, 0, false],
      ["beyond the object", pointer(object), 24, false],
      ["below the object", pointer(object), -8, false],
      ["user memory", 0x7fff12340000n, 0, false],
      ["another half", BigInt(object), 0, false],
      ["beyond the space", pointer(0xfffffff0), 8, false],
      ["the last byte of the space", pointer(space.maxBytes - 1), 0, false],
    ];
    const SIZES: readonly [number, number][] = [
      [BPF_B, 8],
      [BPF_H, 16],
      [BPF_W, 32],
      [BPF_DW, 64],
    ];
    it.each(BASES)("%s", (_name, base, off, reads) => {
      for (const [size, bits] of SIZES)
        for (const signed of size === BPF_DW ? [false] : [false, true]) {
          // r7 and the loop around it tell whether anything else was touched.
          const insns = [
            ldImm64(6, base),
            ldImm64(0, 0x5555555555555555n),
            signed ? ldxMemsx(size, 0, 6, off) : ldxMem(size, 0, 6, off),
            exit(),
          ];
          const facts = new Uint8Array(6);
          facts[4] = vm.FACT_PROBE_READ;
          const raw = BigInt.asUintN(bits, space.dv.getBigUint64(object + (off & 16), true));
          const want = !reads ? 0n : signed ? BigInt.asUintN(64, BigInt.asIntN(bits, raw)) : raw;
          expect(run(insns, {}, facts), `${bits} ${signed}`).toBe(want);
        }
    });

    it("follow chains, one flag a load; other loads fault as before", () => {
      const node = space.alloc(16, "r");
      space.dv.setBigUint64(node, pointer(object), true);
      const insns = [
        ldImm64(1, pointer(node)),
        ldxMem(BPF_DW, 2, 1, 0),
        ldxMem(BPF_DW, 3, 2, 16),
        // 0xffeeddcc... is no pointer of ours.
        ldxMem(BPF_DW, 4, 3, 0),
        ldxMem(BPF_W, 0, 2, 0),
        alu64Reg(BPF_ADD, 0, 4),
        exit(),
      ];
      const facts = new Uint8Array(8);
      facts.fill(vm.FACT_PROBE_READ, 2, 6);
      expect(run(insns, {}, facts)).toBe(0x40302010n);
      if (mode === "checked") {
        facts[4] = 0;
        expect(() => run(insns, {}, facts)).toThrow(ProgramFault);
      }
      space.free(node);
    });
  });
});
