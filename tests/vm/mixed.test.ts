// Programs of both engines in one address space: tail calls, callbacks and faults across them.
import { describe, expect, it } from "vitest";
import {
  alu64Imm,
  alu64Reg,
  callHelper,
  callLocal,
  callx,
  encode,
  exit,
  type Insn,
  ja,
  jmpImm,
  ldFunc,
  ldImm64,
  ldxMem,
  mov64Imm,
  mov64Reg,
  stMem,
  stxMem,
} from "../../src/asm/index.ts";
import { ProgramFault } from "../../src/diag/index.ts";
import { type BpfMap, createMap, MapEnv, type MapProgram } from "../../src/maps/index.ts";
import {
  BPF_ADD,
  BPF_DW,
  BPF_JEQ,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_PROG_ARRAY,
  BPF_W,
  EBADF,
} from "../../src/uapi/index.ts";
import * as vm from "../../src/vm/index.ts";

const space = new vm.AddressSpace({ maxBytes: 64 << 20 });
const engines = { interp: vm.createInterpreter(space), jit: vm.createJit(space) };
type Name = keyof typeof engines;
const NAMES: readonly Name[] = ["interp", "jit"];
const PAIRS: readonly [Name, Name][] = NAMES.flatMap((a) => NAMES.map((b): [Name, Name] => [a, b]));

const programs = new Map<number, MapProgram>();
const env = new MapEnv(space, {
  fds: { mapByFd: () => -EBADF, progByFd: (fd) => programs.get(fd) ?? -EBADF },
});
const ctx = space.alloc(64, "rw");

const HELPERS: Readonly<Record<number, vm.HelperBinding>> = {
  1: { kind: "core", name: "bpf_map_lookup_elem", nargs: 2 },
  2: { kind: "core", name: "bpf_map_update_elem", nargs: 4 },
  164: { kind: "core", name: "bpf_for_each_map_elem", nargs: 4, callsBack: true },
  181: { kind: "core", name: "bpf_loop", nargs: 4, callsBack: true },
};

function load(engine: Name, insns: readonly Insn[], maps: readonly BpfMap[] = [], id = 1): vm.LoadedProgram {
  return engines[engine].load({
    id,
    name: "mixed",
    insns: encode(insns),
    maps,
    mode: "checked",
    helper: (number) => HELPERS[number],
    kfunc: () => undefined,
  });
}

function map(type: number, valueSize: number, maxEntries: number): BpfMap {
  const made = createMap(env, {
    map_type: type,
    key_size: 4,
    value_size: valueSize,
    max_entries: maxEntries,
  });
  if (typeof made === "number") throw new Error(`errno ${-made}`);
  return made;
}
const POINTER = (at: number): bigint => (BigInt(vm.POINTER_HIGH) << 32n) | BigInt(at);
const key = (n: number): Uint8Array => new Uint8Array(new Uint32Array([n]).buffer);

function put(array: BpfMap, index: number, program: vm.LoadedProgram): void {
  const fd = 100 + programs.size;
  programs.set(fd, {
    id: fd,
    type: 1,
    expectedAttachType: 0,
    xdpHasFrags: false,
    tableIndex: program.tableIndex,
    get: () => {},
    put: () => {},
  });
  expect(array.update(key(index), key(fd))).toBe(0);
}

describe.each(PAIRS)("%s jumps to %s", (from, to) => {
  it("tail calls, with the stack and the count shared", () => {
    const array = map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4);
    // Counts at *ctx how often it was entered, and jumps to slot 1 and, when that gives up, returns the count.
    const body = (slot: number): Insn[] => [
      mov64Reg(6, 1),
      ldxMem(BPF_W, 2, 6, 0),
      alu64Imm(BPF_ADD, 2, 1),
      stxMem(BPF_W, 6, 2, 0),
      stMem(BPF_DW, 10, -512, 1),
      ldImm64(2, POINTER(array.address)),
      mov64Imm(3, slot),
      callHelper(12),
      ldxMem(BPF_W, 0, 6, 0),
      exit(),
    ];
    const first = load(from, body(1), [array]);
    const second = load(to, body(0), [array]);
    put(array, 0, first);
    put(array, 1, second);
    for (let round = 0; round < 3; round++) {
      space.dv.setUint32(ctx, 0, true);
      expect(first.run(ctx)).toBe(34);
    }
    // An empty slot and one out of range go on.
    for (const slot of [3, 4, -1]) {
      const lone = load(from, body(slot), [array]);
      space.dv.setUint32(ctx, 0, true);
      expect(lone.run(ctx)).toBe(1);
      lone.dispose();
    }
    first.dispose();
    second.dispose();
    array.put();
  });

  it("tail calls out of subprograms keep the callers' frames", () => {
    const array = map(BPF_MAP_TYPE_PROG_ARRAY, 4, 2);
    // main(ctx): (*ctx)++; r6 = 1; r0 = sub(ctx); return r0 + r6. sub(ctx): tail call of slot; return 0.
    const body = (slot: number): Insn[] => [
      mov64Imm(6, 1),
      ldxMem(BPF_W, 2, 1, 0),
      alu64Imm(BPF_ADD, 2, 1),
      stxMem(BPF_W, 1, 2, 0),
      callLocal(2),
      alu64Reg(BPF_ADD, 0, 6),
      exit(),
      ldImm64(2, POINTER(array.address)),
      mov64Imm(3, slot),
      callHelper(12),
      mov64Imm(0, 0),
      exit(),
    ];
    const first = load(from, body(1), [array]);
    const second = load(to, body(0), [array]);
    put(array, 0, first);
    put(array, 1, second);
    for (let round = 0; round < 3; round++) {
      space.dv.setUint32(ctx, 0, true);
      expect([first.run(ctx), space.dv.getUint32(ctx, true)]).toEqual([34, 34]);
    }
    if (first instanceof vm.InterpProgram) {
      const run = first.start(ctx);
      first.setBreakpoint(7);
      while (run.continue() === "breakpoint" && run.frames.length < 12);
      expect(run.frames.length).toBeGreaterThan(to === "interp" ? 11 : 0);
      run.dispose();
      first.clearBreakpoint(7);
    }
    first.dispose();
    second.dispose();
    array.put();
  });

  it("callx, r6..r9 and the frame intact", () => {
    const callee = load(to, [
      mov64Imm(6, 99),
      stMem(BPF_DW, 10, -8, 99),
      mov64Reg(0, 1),
      alu64Imm(BPF_ADD, 0, 1),
      exit(),
    ]);
    const caller = load(from, [
      mov64Imm(6, 5),
      stMem(BPF_DW, 10, -8, 7),
      mov64Imm(1, 30),
      mov64Imm(2, callee.tableIndex),
      callx(2),
      ldxMem(BPF_DW, 1, 10, -8),
      alu64Reg(BPF_ADD, 0, 1),
      alu64Reg(BPF_ADD, 0, 6),
      exit(),
    ]);
    expect(caller.run(ctx)).toBe(31 + 7 + 5);
    caller.dispose();
    callee.dispose();
  });

  it("a fault of the callee stops the whole run, and the next one is sound", () => {
    const array = map(BPF_MAP_TYPE_PROG_ARRAY, 4, 1);
    const bad = load(to, [mov64Imm(1, 0), ldxMem(BPF_W, 0, 1, 16), exit()], [], 2);
    const caller = load(
      from,
      [ldImm64(2, POINTER(array.address)), mov64Imm(3, 0), callHelper(12), exit()],
      [array],
    );
    put(array, 0, bad);
    for (let round = 0; round < 20; round++) {
      try {
        caller.run(ctx);
        expect.fail("ran");
      } catch (error) {
        expect(error).toBeInstanceOf(ProgramFault);
        expect([(error as ProgramFault).fault, (error as ProgramFault).insn]).toEqual([vm.FAULT_READ, 1]);
      }
    }
    bad.dispose();
    caller.dispose();
    array.put();
  });
});

describe.each(NAMES)("%s", (name) => {
  it("bpf_for_each_map_elem", () => {
    const array = map(BPF_MAP_TYPE_ARRAY, 8, 10);
    for (let i = 0; i < 10; i++)
      expect(array.update(key(i), new Uint8Array(new BigUint64Array([BigInt(i * i)]).buffer))).toBe(0);
    // cb(map, key, value, ctx): *ctx += *value; stop at key 6
    const program = load(
      name,
      [
        ldImm64(1, POINTER(array.address)),
        ldFunc(2, 8),
        mov64Reg(3, 10),
        alu64Imm(BPF_ADD, 3, -8),
        stMem(BPF_DW, 3, 0, 0),
        mov64Imm(4, 0),
        callHelper(164),
        ldxMem(BPF_DW, 1, 10, -8),
        alu64Reg(BPF_ADD, 0, 1),
        // slot 11
        exit(),
        ldxMem(BPF_DW, 5, 3, 0),
        ldxMem(BPF_DW, 0, 4, 0),
        alu64Reg(BPF_ADD, 5, 0),
        stxMem(BPF_DW, 4, 5, 0),
        stMem(BPF_DW, 10, -512, 5),
        ldxMem(BPF_W, 5, 2, 0),
        mov64Imm(0, 0),
        jmpImm(BPF_JEQ, 5, 6, 1),
        ja(1),
        mov64Imm(0, 1),
        exit(),
      ].with(1, ldFunc(2, 9)),
    );
    expect(program.run(ctx)).toBe(7 + (0 + 1 + 4 + 9 + 16 + 25 + 36));
    program.dispose();
    array.put();
  });

  it("a callback that loops into itself runs out of frames", () => {
    const program = load(
      name,
      [
        mov64Imm(1, 2),
        ldFunc(2, 4),
        mov64Imm(3, 0),
        mov64Imm(4, 0),
        callHelper(181),
        exit(),
        mov64Imm(1, 2),
        ldFunc(2, -3),
        mov64Imm(3, 0),
        mov64Imm(4, 0),
        callHelper(181),
        mov64Imm(0, 0),
        exit(),
      ]
        .with(1, ldFunc(2, 5))
        .with(7, ldFunc(2, -2)),
    );
    try {
      program.run(ctx);
      expect.fail("ran");
    } catch (error) {
      expect(error).toBeInstanceOf(ProgramFault);
      expect((error as ProgramFault).fault).toBe(vm.FAULT_STACK);
    }
    program.dispose();
  });

  it("a helper that traps faults at its call", () => {
    const array = map(BPF_MAP_TYPE_ARRAY, 8, 1);
    const program = load(
      name,
      [
        ldImm64(1, POINTER(array.address)),
        mov64Imm(2, 64),
        mov64Imm(3, 0),
        mov64Imm(4, 0),
        callHelper(164),
        exit(),
      ],
      [array],
    );
    try {
      program.run(ctx);
      expect.fail("ran");
    } catch (error) {
      expect(error).toBeInstanceOf(ProgramFault);
      expect((error as ProgramFault).fault).toBe(vm.FAULT_CALL);
      if (name === "interp") expect((error as ProgramFault).insn).toBe(5);
    }
    program.dispose();
    array.put();
  });
});
