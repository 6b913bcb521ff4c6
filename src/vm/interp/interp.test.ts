import { describe, expect, it } from "vitest";
import {
  alu32Imm,
  alu32Reg,
  alu64Imm,
  alu64Reg,
  atomic,
  be,
  bswap,
  callHelper,
  callKfunc,
  callLocal,
  callx,
  encode,
  exit,
  type Insn,
  ja,
  jal,
  jmp32Imm,
  jmp32Reg,
  jmpImm,
  jmpReg,
  ldAbs,
  ldFunc,
  ldImm64,
  ldInd,
  ldxMem,
  ldxMemsx,
  le,
  loadAcquire,
  mayGoto,
  mov32Reg,
  mov64Imm,
  mov64Reg,
  movsx32,
  movsx64,
  neg32,
  neg64,
  raw,
  salu32Imm,
  salu32Reg,
  salu64Imm,
  salu64Reg,
  stMem,
  storeRelease,
  stxMem,
} from "../../asm/index.ts";
import { InvalidProgramError, LoadError, ProgramFault } from "../../diag/index.ts";
import * as bpf from "../../uapi/index.ts";
import * as vm from "../index.ts";

const space = new vm.AddressSpace({ maxBytes: 32 << 20 });
const engine = vm.createInterpreter(space);
const ctx = space.alloc(1024, "rw");
const POINTER = (at: number): bigint => (BigInt(vm.POINTER_HIGH) << 32n) | BigInt(at);

interface Options {
  readonly mode?: vm.AccessMode;
  readonly helpers?: Readonly<Record<number, vm.HelperBinding>>;
  readonly kfuncs?: Readonly<Record<number, vm.HelperBinding>>;
  readonly engine?: vm.Interpreter;
}

function load(insns: readonly Insn[], options: Options = {}): vm.InterpProgram {
  return (options.engine ?? engine).load({
    id: 7,
    name: "test",
    insns: encode(insns),
    maps: [],
    mode: options.mode ?? "checked",
    helper: (id) => options.helpers?.[id],
    kfunc: (id) => options.kfuncs?.[id],
  });
}

/** The whole r0. */
function run(insns: readonly Insn[], options?: Options): bigint {
  const program = load(insns, options);
  try {
    const low = program.run(ctx);
    const r0 = space.dv.getBigUint64(space.cpu.value + vm.CPU_RESULT, true);
    expect(low).toBe(Number(BigInt.asIntN(32, r0)));
    return r0;
  } finally {
    program.dispose();
  }
}

function fault(insns: readonly Insn[], options?: Options): ProgramFault {
  try {
    run(insns, options);
  } catch (error) {
    if (error instanceof ProgramFault) return error;
    throw error;
  }
  throw new Error("no fault");
}

const U64 = (x: bigint): bigint => BigInt.asUintN(64, x);
const S64 = (x: bigint): bigint => BigInt.asIntN(64, x);
const hex = (x: bigint): string => `0x${x.toString(16)}`;

const VALUES = [
  0n,
  1n,
  2n,
  7n,
  31n,
  32n,
  33n,
  63n,
  64n,
  0x7fn,
  0x80n,
  0x7fffn,
  0x8000n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x123456789abcdef0n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xfffffffffffffff9n,
  0xfffffffffffffffen,
  0xffffffffffffffffn,
];

/** RFC 9669 section 4.1 over mathematical integers; `a`, `b` and the result are unsigned of `bits` bits. */
function reference(op: number, bits: number, a: bigint, b: bigint, signed: boolean): bigint {
  const S = (x: bigint): bigint => BigInt.asIntN(bits, x);
  const shift = b & BigInt(bits - 1);
  switch (op) {
    case bpf.BPF_ADD:
      return a + b;
    case bpf.BPF_SUB:
      return a - b;
    case bpf.BPF_MUL:
      return a * b;
    case bpf.BPF_DIV:
      return b === 0n ? 0n : signed ? S(a) / S(b) : a / b;
    case bpf.BPF_MOD:
      return b === 0n ? a : signed ? S(a) % S(b) : a % b;
    case bpf.BPF_OR:
      return a | b;
    case bpf.BPF_AND:
      return a & b;
    case bpf.BPF_XOR:
      return a ^ b;
    case bpf.BPF_LSH:
      return a << shift;
    case bpf.BPF_RSH:
      return a >> shift;
    case bpf.BPF_ARSH:
      return S(a) >> shift;
    case bpf.BPF_MOV:
      return b;
    default:
      throw new Error(`no operation ${op}`);
  }
}

describe("arithmetic", () => {
  const ops = {
    ADD: bpf.BPF_ADD,
    SUB: bpf.BPF_SUB,
    MUL: bpf.BPF_MUL,
    DIV: bpf.BPF_DIV,
    MOD: bpf.BPF_MOD,
    OR: bpf.BPF_OR,
    AND: bpf.BPF_AND,
    XOR: bpf.BPF_XOR,
    LSH: bpf.BPF_LSH,
    RSH: bpf.BPF_RSH,
    ARSH: bpf.BPF_ARSH,
    MOV: bpf.BPF_MOV,
    SDIV: bpf.BPF_DIV,
    SMOD: bpf.BPF_MOD,
  };
  for (const [name, op] of Object.entries(ops))
    for (const bits of [64, 32])
      it(`${name}${bits}`, () => {
        const signed = name.startsWith("S") && (op === bpf.BPF_DIV || op === bpf.BPF_MOD);
        const reg = bits === 64 ? (signed ? salu64Reg : alu64Reg) : signed ? salu32Reg : alu32Reg;
        const imm = bits === 64 ? (signed ? salu64Imm : alu64Imm) : signed ? salu32Imm : alu32Imm;
        // One program computes all of b for one a, into the context.
        for (const a of VALUES) {
          const insns: Insn[] = [mov64Reg(9, 1)];
          const want: bigint[] = [];
          for (const b of VALUES) {
            const [x, y] = [BigInt.asUintN(bits, a), BigInt.asUintN(bits, b)];
            want.push(BigInt.asUintN(bits, reference(op, bits, x, y, signed)));
            insns.push(
              ldImm64(2, a),
              ldImm64(3, b),
              reg(op, 2, 3),
              stxMem(bpf.BPF_DW, 9, 2, want.length * 8 - 8),
            );
            if (BigInt.asIntN(32, b) === S64(b) && want.length < 120) {
              want.push(want.at(-1)!);
              insns.push(
                ldImm64(2, a),
                imm(op, 2, Number(S64(b))),
                stxMem(bpf.BPF_DW, 9, 2, want.length * 8 - 8),
              );
            }
          }
          insns.push(exit());
          run(insns);
          const got = want.map((_, i) => hex(space.dv.getBigUint64(ctx + i * 8, true)));
          expect([hex(a), ...got]).toEqual([hex(a), ...want.map(hex)]);
        }
      });

  const unary: readonly [string, Insn, (x: bigint) => bigint][] = [
    ["neg64", neg64(2), (x) => U64(-x)],
    ["neg32", neg32(2), (x) => BigInt.asUintN(32, -x)],
    ["mov32", mov32Reg(2, 2), (x) => BigInt.asUintN(32, x)],
    ["movsx64 8", movsx64(8, 2, 2), (x) => U64(BigInt.asIntN(8, x))],
    ["movsx64 16", movsx64(16, 2, 2), (x) => U64(BigInt.asIntN(16, x))],
    ["movsx64 32", movsx64(32, 2, 2), (x) => U64(BigInt.asIntN(32, x))],
    ["movsx32 8", movsx32(8, 2, 2), (x) => BigInt.asUintN(32, BigInt.asIntN(8, x))],
    ["movsx32 16", movsx32(16, 2, 2), (x) => BigInt.asUintN(32, BigInt.asIntN(16, x))],
    ["le16", le(16, 2), (x) => x & 0xffffn],
    ["le32", le(32, 2), (x) => x & 0xffffffffn],
    ["le64", le(64, 2), (x) => x],
    ["be16", be(16, 2), (x) => swap(x, 2)],
    ["be32", be(32, 2), (x) => swap(x, 4)],
    ["be64", be(64, 2), (x) => swap(x, 8)],
    ["bswap16", bswap(16, 2), (x) => swap(x, 2)],
    ["bswap32", bswap(32, 2), (x) => swap(x, 4)],
    ["bswap64", bswap(64, 2), (x) => swap(x, 8)],
  ];
  function swap(x: bigint, bytes: number): bigint {
    let y = 0n;
    for (let i = 0; i < bytes; i++) y = (y << 8n) | ((x >> BigInt(8 * i)) & 0xffn);
    return y;
  }
  it.each(unary)("%s", (_name, insn, want) => {
    for (const x of VALUES)
      expect(hex(run([ldImm64(2, x), insn, mov64Reg(0, 2), exit()]))).toBe(hex(want(x)));
  });
});

describe("jumps", () => {
  const ops: readonly [string, number, (a: bigint, b: bigint, s: (x: bigint) => bigint) => boolean][] = [
    ["JEQ", bpf.BPF_JEQ, (a, b) => a === b],
    ["JNE", bpf.BPF_JNE, (a, b) => a !== b],
    ["JGT", bpf.BPF_JGT, (a, b) => a > b],
    ["JGE", bpf.BPF_JGE, (a, b) => a >= b],
    ["JLT", bpf.BPF_JLT, (a, b) => a < b],
    ["JLE", bpf.BPF_JLE, (a, b) => a <= b],
    ["JSGT", bpf.BPF_JSGT, (a, b, s) => s(a) > s(b)],
    ["JSGE", bpf.BPF_JSGE, (a, b, s) => s(a) >= s(b)],
    ["JSLT", bpf.BPF_JSLT, (a, b, s) => s(a) < s(b)],
    ["JSLE", bpf.BPF_JSLE, (a, b, s) => s(a) <= s(b)],
    ["JSET", bpf.BPF_JSET, (a, b) => (a & b) !== 0n],
  ];
  it.each(ops)("%s", (_name, op, holds) => {
    for (const a of VALUES)
      for (const bits of [64, 32]) {
        // r0 collects one bit per comparison.
        const insns: Insn[] = [mov64Imm(0, 0)];
        let want = 0n;
        const add = (jump: Insn, yes: boolean): void => {
          insns.push(alu64Imm(bpf.BPF_LSH, 0, 1), jump, ja(1), alu64Imm(bpf.BPF_OR, 0, 1));
          want = U64((want << 1n) | (yes ? 1n : 0n));
        };
        insns.push(ldImm64(2, a));
        for (const b of VALUES) {
          const [x, y] = [BigInt.asUintN(bits, a), BigInt.asUintN(bits, b)];
          const yes = holds(x, y, (v) => BigInt.asIntN(bits, v));
          insns.push(ldImm64(3, b));
          add((bits === 64 ? jmpReg : jmp32Reg)(op, 2, 3, 1), yes);
          if (BigInt.asIntN(32, b) === S64(b))
            add((bits === 64 ? jmpImm : jmp32Imm)(op, 2, Number(S64(b)), 1), yes);
        }
        insns.push(exit());
        expect([hex(a), bits, hex(run(insns))]).toEqual([hex(a), bits, hex(want)]);
      }
  });

  it("gotol jumps by imm, may_goto runs out after BPF_MAX_LOOPS", () => {
    expect(run([mov64Imm(0, 1), jal(1), mov64Imm(0, 2), exit()])).toBe(1n);
    expect(run([mov64Imm(0, 0), mayGoto(2), alu64Imm(bpf.BPF_ADD, 0, 1), ja(-3), exit()])).toBe(8n << 20n);
  });
});

describe("memory", () => {
  const fill = (): void => {
    for (let i = 0; i < 64; i++) space.u8[ctx + i] = 0x80 + i;
  };
  const sizes: readonly [number, number][] = [
    [bpf.BPF_B, 1],
    [bpf.BPF_H, 2],
    [bpf.BPF_W, 4],
    [bpf.BPF_DW, 8],
  ];

  it.each(["checked", "unchecked"] as const)("loads and stores, %s", (mode) => {
    for (const [size, n] of sizes) {
      fill();
      const bits = BigInt("0x8f8e8d8c8b8a8988") & ((1n << BigInt(n * 8)) - 1n);
      expect(hex(run([ldxMem(size, 0, 1, 8), exit()], { mode }))).toBe(hex(bits));
      expect(hex(run([loadAcquire(size, 0, 1, 8), exit()], { mode }))).toBe(hex(bits));
      if (n < 8)
        expect(hex(run([ldxMemsx(size, 0, 1, 8), exit()], { mode }))).toBe(
          hex(U64(BigInt.asIntN(n * 8, bits))),
        );
      for (const store of [stxMem(size, 1, 2, 16), storeRelease(size, 1, 2, 16)]) {
        fill();
        run([ldImm64(2, 0x1122334455667788n), store, mov64Imm(0, 0), exit()], { mode });
        const want = Array.from({ length: 10 }, (_, i) =>
          i < n ? [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11][i] : 0x90 + i,
        );
        expect([...space.u8.subarray(ctx + 16, ctx + 26)]).toEqual(want);
      }
      fill();
      run([stMem(size, 1, 16, -2), mov64Imm(0, 0), exit()], { mode });
      expect(space.u8[ctx + 16]).toBe(0xfe);
      expect(space.u8[ctx + 16 + n - 1]).toBe(n === 1 ? 0xfe : 0xff);
      expect(space.u8[ctx + 16 + n]).toBe(0x90 + n);
    }
    expect(
      hex(
        run(
          [
            ldImm64(2, 0xdeadbeefcafef00dn),
            stxMem(bpf.BPF_DW, 10, 2, -512),
            ldxMem(bpf.BPF_DW, 0, 10, -512),
            exit(),
          ],
          { mode },
        ),
      ),
    ).toBe("0xdeadbeefcafef00d");
  });

  const outside: readonly [string, Insn[], number, number, (top: number) => number][] = [
    ["null", [mov64Imm(1, 0), ldxMem(bpf.BPF_W, 0, 1, 8)], vm.FAULT_READ, 1, () => 8],
    ["behind the context", [ldxMem(bpf.BPF_DW, 0, 1, 1017)], vm.FAULT_READ, 0, () => ctx + 1017],
    ["before the context", [stMem(bpf.BPF_B, 1, -1, 0)], vm.FAULT_WRITE, 0, () => ctx - 1],
    ["above the frame", [stxMem(bpf.BPF_DW, 10, 10, -4)], vm.FAULT_WRITE, 0, (top) => top - 4],
    [
      "beyond the address space",
      [ldImm64(2, 0xfffffff0n), ldxMem(bpf.BPF_DW, 0, 2, 0)],
      vm.FAULT_READ,
      2,
      () => 0xfffffff0,
    ],
    [
      "the other shadow's range",
      [ldImm64(2, BigInt(32 << 20)), ldxMem(bpf.BPF_DW, 0, 2, 0)],
      vm.FAULT_READ,
      2,
      () => 32 << 20,
    ],
    [
      "atomic",
      [mov64Imm(2, 1), atomic(bpf.BPF_DW, bpf.BPF_ADD, 1, 2, 1020)],
      vm.FAULT_WRITE,
      1,
      () => ctx + 1020,
    ],
  ];
  it.each(outside)("faults: %s", (_name, insns, code, insn, at) => {
    const error = fault([...insns, mov64Imm(0, 0), exit()]);
    const top = space.dv.getUint32(space.cpu.value + vm.CPU_STACK_TOP, true);
    expect([error.fault, error.insn, Number(BigInt.asUintN(32, error.address))]).toEqual([
      code,
      insn,
      at(top),
    ]);
  });

  it("honours read-only objects", () => {
    const object = space.alloc(16, "r");
    expect(run([ldImm64(2, POINTER(object)), ldxMem(bpf.BPF_DW, 0, 2, 8), exit()])).toBe(0n);
    expect(fault([ldImm64(2, POINTER(object)), stMem(bpf.BPF_DW, 2, 8, 1), exit()]).fault).toBe(
      vm.FAULT_WRITE,
    );
    space.free(object);
  });

  it("an unchecked program that leaves the memory faults too", () => {
    expect(
      fault([ldImm64(2, 0xfffffff0n), ldxMem(bpf.BPF_DW, 0, 2, 0), exit()], { mode: "unchecked" }).fault,
    ).toBe(vm.FAULT_READ);
  });

  const F = bpf.BPF_FETCH;
  const atomics: readonly [string, number, bigint, bigint, bigint | undefined][] = [
    // name, imm, memory after, ... with 0xf0000000_0000000f in memory and 0x10000000_000000ff in r2
    ["add", bpf.BPF_ADD, 0x10en, 0n, undefined],
    ["or", bpf.BPF_OR, 0xf0000000000000ffn, 0n, undefined],
    ["and", bpf.BPF_AND, 0x100000000000000fn, 0n, undefined],
    ["xor", bpf.BPF_XOR, 0xe0000000000000f0n, 0n, undefined],
    ["fetch add", bpf.BPF_ADD | F, 0x10en, 0n, 0xf00000000000000fn],
    ["fetch or", bpf.BPF_OR | F, 0xf0000000000000ffn, 0n, 0xf00000000000000fn],
    ["fetch and", bpf.BPF_AND | F, 0x100000000000000fn, 0n, 0xf00000000000000fn],
    ["fetch xor", bpf.BPF_XOR | F, 0xe0000000000000f0n, 0n, 0xf00000000000000fn],
    ["xchg", bpf.BPF_XCHG, 0x10000000000000ffn, 0n, 0xf00000000000000fn],
  ];
  it.each(atomics)("atomic %s", (_name, imm, after, _r0, old) => {
    for (const mode of ["checked", "unchecked"] as const)
      for (const [size, mask] of [
        [bpf.BPF_DW, 2n ** 64n - 1n],
        [bpf.BPF_W, 0xffffffffn],
      ] as const) {
        space.dv.setBigUint64(ctx, 0xf00000000000000fn, true);
        const r2 = 0x10000000000000ffn;
        const got = run([ldImm64(2, r2), atomic(size, imm, 1, 2, 0), mov64Reg(0, 2), exit()], { mode });
        const high = size === bpf.BPF_W ? 0xf000000000000000n : 0n;
        const low = size === bpf.BPF_W && imm === (bpf.BPF_ADD as number) ? 0x10en : after & mask;
        expect(hex(space.dv.getBigUint64(ctx, true))).toBe(
          hex(size === bpf.BPF_W ? high | (low & mask) : after === 0x10en ? 0x10en : after),
        );
        expect(hex(got)).toBe(hex(old === undefined ? r2 : old & mask));
      }
  });
  it("atomic cmpxchg", () => {
    for (const [size, mask] of [
      [bpf.BPF_DW, 2n ** 64n - 1n],
      [bpf.BPF_W, 0xffffffffn],
    ] as const)
      for (const same of [true, false]) {
        const memory = 0xf00000000000000fn;
        space.dv.setBigUint64(ctx, memory, true);
        const r0 = run([
          ldImm64(0, same ? memory : 5n),
          mov64Imm(2, 42),
          atomic(size, bpf.BPF_CMPXCHG, 1, 2, 0),
          exit(),
        ]);
        expect(hex(r0)).toBe(hex(memory & mask));
        const want = same ? (memory & ~mask) | 42n : memory;
        expect(hex(space.dv.getBigUint64(ctx, true))).toBe(hex(want));
      }
  });
});

describe("calls", () => {
  it("local: r1..r5 pass, r6..r9 are saved, each frame has its stack", () => {
    const insns = [
      mov64Imm(6, 6),
      mov64Imm(9, 9),
      stMem(bpf.BPF_DW, 10, -8, 1),
      mov64Imm(1, 40),
      mov64Imm(2, 2),
      callLocal(5),
      alu64Reg(bpf.BPF_ADD, 0, 6),
      alu64Reg(bpf.BPF_ADD, 0, 9),
      ldxMem(bpf.BPF_DW, 2, 10, -8),
      alu64Reg(bpf.BPF_ADD, 0, 2),
      exit(),
      mov64Imm(6, 100),
      mov64Imm(9, 100),
      stMem(bpf.BPF_DW, 10, -8, 100),
      mov64Reg(0, 1),
      alu64Reg(bpf.BPF_ADD, 0, 2),
      exit(),
    ];
    expect(run(insns)).toBe(58n);
  });

  it("eight frames, not nine", () => {
    // f(n) = n ? f(n - 1) + 1 : 0
    const depth = (n: number): Insn[] => [
      mov64Imm(1, n),
      callLocal(1),
      exit(),
      mov64Imm(0, 0),
      jmpImm(bpf.BPF_JEQ, 1, 0, 3),
      alu64Imm(bpf.BPF_ADD, 1, -1),
      callLocal(-4),
      alu64Imm(bpf.BPF_ADD, 0, 1),
      exit(),
    ];
    expect(run(depth(6))).toBe(6n);
    const error = fault(depth(7));
    expect([error.fault, error.insn]).toEqual([vm.FAULT_STACK, 6]);
    expect(run(depth(6))).toBe(6n);
  });

  const read = (at: number, i: number): bigint => space.dv.getBigUint64(at + vm.CPU_ARGS + i * 8, true);
  const sum: vm.HelperBinding = {
    kind: "js",
    name: "sum",
    nargs: 5,
    fn: (at) =>
      space.dv.setBigUint64(
        at + vm.CPU_RESULT,
        U64([0, 1, 2, 3, 4].reduce((s, i) => s + read(at, i), 0n)),
        true,
      ),
  };
  const args = [1, 2, 3, 4, 5].map((r) => mov64Imm(r, -(10 ** r)));

  it("helpers and kfuncs in JavaScript", () => {
    expect(S64(run([...args, callHelper(900), exit()], { helpers: { 900: sum } }))).toBe(-111110n);
    expect(S64(run([...args, callKfunc(31), exit()], { kfuncs: { 31: sum } }))).toBe(-111110n);
  });

  it("helpers of the core", () => {
    const lookup: vm.HelperBinding = { kind: "core", name: "bpf_map_lookup_elem", nargs: 2 };
    expect(run([mov64Imm(1, 0), mov64Imm(2, 0), callHelper(1), exit()], { helpers: { 1: lookup } })).toBe(0n);
  });

  it("an error of a helper in JavaScript comes through as it is", () => {
    const boom: vm.HelperBinding = {
      kind: "js",
      name: "boom",
      nargs: 0,
      fn: () => {
        throw new TypeError("boom");
      },
    };
    expect(() => run([callHelper(900), exit()], { helpers: { 900: boom } })).toThrow(TypeError);
    expect(run([mov64Imm(0, 3), exit()])).toBe(3n);
  });

  it("helpers may run programs", () => {
    const inner = load([mov64Imm(0, 5), exit()]);
    const nested: vm.HelperBinding = {
      kind: "js",
      name: "nested",
      nargs: 0,
      fn: (at) => {
        const { dv } = space;
        const top = dv.getUint32(at + vm.CPU_STACK_TOP, true);
        dv.setUint32(at + vm.CPU_STACK_TOP, dv.getUint32(at + vm.CPU_FP, true) - vm.FRAME_SIZE, true);
        const r0 = inner.run(ctx);
        dv.setUint32(at + vm.CPU_STACK_TOP, top, true);
        dv.setBigUint64(at + vm.CPU_RESULT, BigInt(r0), true);
      },
    };
    expect(
      run([mov64Imm(6, 1), callHelper(900), alu64Reg(bpf.BPF_ADD, 0, 6), exit()], {
        helpers: { 900: nested },
      }),
    ).toBe(6n);
    inner.dispose();
  });

  const loopHelper = {
    181: { kind: "core", name: "bpf_map_lookup_elem", nargs: 4, callsBack: true },
  } as const;
  /** bpf_loop(n, cb, ctx, flags); cb adds its index to *ctx and returns what `last` leaves in r0. */
  const loop = (n: number, flags: number, last: Insn[]): Insn[] => [
    mov64Imm(6, 77),
    mov64Imm(1, n),
    ldFunc(2, 8),
    mov64Reg(3, 10),
    alu64Imm(bpf.BPF_ADD, 3, -8),
    stMem(bpf.BPF_DW, 3, 0, 0),
    mov64Imm(4, flags),
    callHelper(181),
    ldxMem(bpf.BPF_DW, 1, 10, -8),
    exit(),
    ldxMem(bpf.BPF_DW, 3, 2, 0),
    alu64Reg(bpf.BPF_ADD, 3, 1),
    stxMem(bpf.BPF_DW, 2, 3, 0),
    mov64Imm(6, 0),
    mov64Imm(0, 0),
    ...last,
    exit(),
  ];
  it("bpf_loop", () => {
    expect(run(loop(0, 0, []), { helpers: loopHelper })).toBe(0n);
    expect(run(loop(1000, 0, []), { helpers: loopHelper })).toBe(1000n);
    expect(run(loop(1000, 0, [jmpImm(bpf.BPF_JNE, 1, 9, 1), mov64Imm(0, 1)]), { helpers: loopHelper })).toBe(
      10n,
    );
    expect(S64(run(loop(3, 1, []), { helpers: loopHelper }))).toBe(-22n);
    expect(S64(run(loop((8 << 20) + 1, 0, []), { helpers: loopHelper }))).toBe(-7n);
  });

  it("callx", () => {
    expect(
      run([
        ldFunc(2, 4),
        mov64Imm(1, 20),
        callx(2),
        exit(),
        mov64Reg(0, 1),
        alu64Imm(bpf.BPF_ADD, 0, 1),
        exit(),
      ]),
    ).toBe(21n);
    for (const value of [0n, 5n, 1n << 32n, 0xffffffffn])
      expect([value, fault([ldImm64(2, value), callx(2), exit()]).fault]).toEqual([value, vm.FAULT_CALL]);
  });

  it("runs from the shared table with the frame it is given", () => {
    const program = load([
      stMem(bpf.BPF_DW, 10, -8, 3),
      ldxMem(bpf.BPF_DW, 0, 10, -8),
      alu64Reg(bpf.BPF_ADD, 0, 2),
      exit(),
    ]);
    const fp = space.dv.getUint32(space.cpu.value + vm.CPU_STACK_TOP, true);
    const enter = space.table.get(program.tableIndex) as (...args: unknown[]) => bigint;
    expect(enter(fp, 1n, 2n, 0n, 0n, 0n)).toBe(5n);
    const { tableIndex } = program;
    program.dispose();
    expect(space.table.get(tableIndex)).toBe(null);
  });
});

describe("packets", () => {
  const packet = space.alloc(64, "none");
  const skb = space.alloc(256, "none");
  space.paint(skb, 192, "rw");
  for (let i = 0; i < 64; i++) space.u8[packet + i] = i + 0x81;
  const { dv } = space;
  dv.setUint32(skb + vm.SKB_DATA, packet, true);
  dv.setUint32(skb + vm.SKB_TAIL, packet + 60, true);
  dv.setUint32(skb + vm.SKB_MAC_HEADER, packet, true);
  dv.setUint32(skb + vm.SKB_NETWORK_HEADER, packet + 14, true);

  const cases: readonly [string, Insn, bigint][] = [
    ["byte", ldAbs(bpf.BPF_B, 3), 0x84n],
    ["half", ldAbs(bpf.BPF_H, 3), 0x8485n],
    ["word", ldAbs(bpf.BPF_W, 56), 0xb9babbbcn],
    ["one too far", ldAbs(bpf.BPF_W, 57), 0n],
    ["far away", ldAbs(bpf.BPF_B, 0x7fffffff), 0n],
    ["index", ldInd(bpf.BPF_B, 7, 3), 0x86n],
    ["negative", ldAbs(bpf.BPF_B, -1), 0n],
    ["network", ldAbs(bpf.BPF_H, vm.SKF_NET_OFF + 2), 0x9192n],
    ["link layer", ldAbs(bpf.BPF_H, vm.SKF_LL_OFF + 2), 0x8384n],
    ["below all", ldAbs(bpf.BPF_H, vm.SKF_LL_OFF - 2), 0n],
  ];
  it.each(cases)("%s", (_name, insn, want) => {
    const program = load([mov64Reg(6, 1), mov64Imm(7, 2), mov64Imm(0, 99), insn, exit()]);
    expect(program.run(skb) >>> 0).toBe(Number(want));
    program.dispose();
  });
});

describe("refuses", () => {
  const bad: readonly [string, Insn[], number][] = [
    ["an unknown opcode", [raw(0xff)], 0],
    ["a jump out", [mov64Imm(0, 0), ja(5), exit()], 1],
    ["a jump before", [ja(-2), exit()], 0],
    ["a jump into LD_IMM64", [ja(1), ldImm64(2, 1n), exit()], 0],
    ["r11", [raw(0xb7, 11)], 0],
    ["a write to r10", [mov64Imm(10, 0)], 0],
    ["an unknown helper", [callHelper(4711), exit()], 0],
    ["an unknown kfunc", [callKfunc(4711), exit()], 0],
    ["a map that nobody resolved", [ldImm64(1, 3n, 1), exit()], 0],
    ["a local call out", [callLocal(100), exit()], 0],
    ["a callback out", [ldFunc(2, 100), exit()], 0],
    ["atomic bytes", [raw(0xd3, 1, 2, 0, bpf.BPF_ADD), exit()], 0],
  ];
  it.each(bad)("%s", (_name, insns, insn) => {
    const before = space.allocated.blocks;
    try {
      load(insns);
      expect.fail("loaded");
    } catch (error) {
      expect(error).toBeInstanceOf(InvalidProgramError);
      expect((error as InvalidProgramError).insn).toBe(insn);
    }
    expect(space.allocated.blocks).toBe(before);
  });

  it("half an LD_IMM64, half an instruction, nothing", () => {
    const program = {
      id: 1,
      name: "x",
      maps: [],
      mode: "checked",
      helper: () => undefined,
      kfunc: () => undefined,
    } as const;
    for (const [bytes, error] of [
      [8, InvalidProgramError],
      [4, LoadError],
      [0, LoadError],
    ] as const)
      expect(() =>
        engine.load({ ...program, insns: new Uint8Array([0x18, 0, 0, 0, 0, 0, 0, 0]).subarray(0, bytes) }),
      ).toThrow(error);
  });

  it("to run off the end, and for ever", () => {
    expect(fault([mov64Imm(0, 0)]).fault).toBe(vm.FAULT_INSN);
    const short = vm.createInterpreter(space, { budget: 100_000 });
    const error = fault([mov64Imm(0, 0), ja(-1)], { engine: short });
    expect([error.fault, error.insn]).toEqual([vm.FAULT_BUDGET, 1]);
  });
});

describe("InterpRun", () => {
  const sumTo = [
    mov64Imm(0, 0),
    mov64Imm(1, 3),
    alu64Reg(bpf.BPF_ADD, 0, 1),
    alu64Imm(bpf.BPF_ADD, 1, -1),
    jmpImm(bpf.BPF_JNE, 1, 0, -3),
    exit(),
  ];

  it("steps", () => {
    const program = load(sumTo);
    const run = program.start(ctx);
    expect(run.registers()[1]).toBe(POINTER(ctx));
    const trace: [number, bigint, bigint][] = [];
    while (run.step() === "steps") trace.push([run.pc, run.registers()[0]!, run.registers()[1]!]);
    expect(trace.slice(0, 5)).toEqual([
      [1, 0n, POINTER(ctx)],
      [2, 0n, 3n],
      [3, 3n, 3n],
      [4, 3n, 2n],
      [2, 3n, 2n],
    ]);
    expect([run.stopped, run.pc, run.registers()[0]]).toEqual(["exit", 5, 6n]);
    expect([trace.length + 1, run.steps]).toEqual([12, 12]);
    expect(run.step()).toBe("exit");
    run.dispose();
    program.dispose();
  });

  it("takes n steps exactly, across jumps and calls", () => {
    const insns = [
      mov64Imm(1, 5),
      callLocal(2),
      ldImm64(3, 7n),
      exit(),
      alu64Imm(bpf.BPF_ADD, 1, -1),
      jmpImm(bpf.BPF_JNE, 1, 0, -2),
      exit(),
    ];
    const program = load(insns);
    const one = program.start(ctx);
    const pcs = [one.pc];
    while (one.step() === "steps") pcs.push(one.pc);
    for (let n = 1; n < pcs.length; n++) {
      const many = program.start(ctx);
      expect(many.step(n)).toBe("steps");
      expect([n, many.pc, many.steps]).toEqual([n, pcs[n], n]);
      many.dispose();
    }
    one.dispose();
    program.dispose();
  });

  it("stops at breakpoints, changes registers, goes on", () => {
    const program = load(sumTo);
    program.setBreakpoint(3);
    const run = program.start(ctx);
    expect(run.continue()).toBe("breakpoint");
    expect([run.pc, run.registers()[0]]).toEqual([3, 3n]);
    run.setRegister(1, 1n);
    expect(run.continue()).toBe("exit");
    expect(run.registers()[0]).toBe(3n);
    run.dispose();
    // A plain run does not mind.
    expect(program.run(ctx)).toBe(6);
    program.setBreakpoint(0);
    const again = program.start(ctx);
    expect([again.continue(), again.pc]).toEqual(["breakpoint", 0]);
    program.clearBreakpoint(0);
    program.clearBreakpoint(3);
    expect(again.continue(4)).toBe("steps");
    again.pc = 5;
    expect([again.continue(), again.registers()[0]]).toEqual(["exit", 3n]);
    again.dispose();
    program.dispose();
  });

  it("shows frames and faults", () => {
    const program = load([
      mov64Imm(6, 5),
      callLocal(1),
      exit(),
      mov64Imm(6, 8),
      mov64Imm(1, 0),
      ldxMem(bpf.BPF_W, 0, 1, 4),
      exit(),
    ]);
    const run = program.start(ctx);
    expect(run.continue()).toBe("fault");
    expect([run.fault?.fault, run.fault?.insn, run.fault?.address]).toEqual([vm.FAULT_READ, 5, 4n]);
    expect(run.frames.map((f) => [f.pc, f.saved[0]])).toEqual([
      [5, 8n],
      [1, 5n],
    ]);
    expect(run.frames[0]!.fp).toBe(run.frames[1]!.fp - 512);
    run.dispose();
    program.dispose();
    expect(space.allocated.blocks).toBeGreaterThan(0);
  });

  it("leaves nothing behind", () => {
    const before = space.allocated;
    const program = load(sumTo);
    const run = program.start(ctx);
    run.continue();
    run.dispose();
    run.dispose();
    expect(program.tableIndex).toBeGreaterThanOrEqual(vm.TABLE_BASE);
    program.dispose();
    expect(space.allocated.blocks).toBeLessThanOrEqual(before.blocks + 1);
  });
});
