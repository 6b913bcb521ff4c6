import { beforeAll, describe, expect, it } from "vitest";
import {
  referenceAlu,
  referenceJump,
  runReference,
  swapBytes,
} from "../../../tests/support/bpf-reference.ts";
import * as asm from "../../asm/index.ts";
import { ProgramFault } from "../../diag/index.ts";
import * as uapi from "../../uapi/index.ts";
import { AddressSpace } from "../address-space.ts";
import type { AccessMode, Engine, VmProgram } from "../engine.ts";
import {
  CPU_RESULT,
  CPU_STACK_TOP,
  FAULT_BUDGET,
  FAULT_READ,
  FAULT_STACK,
  FAULT_WRITE,
  POINTER_HIGH,
  SKB_DATA,
  SKB_MAC_HEADER,
  SKB_NETWORK_HEADER,
  SKB_TAIL,
  SKF_LL_OFF,
  SKF_NET_OFF,
} from "../layout.ts";
import { createJit } from "./index.ts";

let space: AddressSpace;
let engine: Engine;
let ctx: number;
const MODES: AccessMode[] = ["checked", "unchecked"];
const pointer = (offset: number): bigint => (BigInt(POINTER_HIGH) << 32n) | BigInt(offset);

beforeAll(() => {
  space = new AddressSpace({ maxBytes: 16 << 20 });
  engine = createJit(space, { budget: 100_000 });
  ctx = space.alloc(256, "rw");
});

function program(insns: asm.Insn[], mode: AccessMode, more: Partial<VmProgram> = {}): VmProgram {
  return {
    id: 7,
    name: "test",
    insns: asm.encode(insns),
    maps: [],
    mode,
    helper: () => undefined,
    kfunc: () => undefined,
    ...more,
  };
}

function result(): bigint {
  return space.dv.getBigUint64(space.cpu.value + CPU_RESULT, true);
}

function run(insns: asm.Insn[], mode: AccessMode, more: Partial<VmProgram> = {}): bigint {
  const loaded = engine.load(program(insns, mode, more));
  try {
    const low = loaded.run(ctx);
    expect(low).toBe(Number(BigInt.asIntN(32, result())));
    return result();
  } finally {
    loaded.dispose();
  }
}

const VALUES = [
  0n,
  1n,
  2n,
  7n,
  31n,
  32n,
  33n,
  63n,
  0x7fn,
  0x80n,
  0xffffn,
  0x8000n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x123456789abcdef0n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xfffffffffffffff0n,
  0xffffffffffffffffn,
  0xffffffff00000000n,
];
const IMMEDIATES = [0, 1, 7, 31, 32, 63, 255, 0x7fffffff, -1, -2, -0x80000000];
const SHIFTS = [0x60, 0x70, 0xc0];
const ALU = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0];

/** Stores r0 of many snippets in one program, so that a table of thousands needs a handful of modules. */
class Batch {
  private insns: asm.Insn[] = [];
  private readonly wanted: { name: string; value: bigint }[] = [];

  /** r2 = a, r3 = b (through memory, so that no constant is known; `known`: as constants), then `code`, result in r2. */
  add(name: string, a: bigint, b: bigint, code: asm.Insn[], want: bigint, known = false): void {
    if (known) this.insns.push(asm.ldImm64(2, a), asm.ldImm64(3, b));
    else
      this.insns.push(
        asm.ldImm64(0, a),
        asm.stxMem(uapi.BPF_DW, 6, 0, 0),
        asm.ldImm64(0, b),
        asm.stxMem(uapi.BPF_DW, 6, 0, 8),
        asm.ldxMem(uapi.BPF_DW, 2, 6, 0),
        asm.ldxMem(uapi.BPF_DW, 3, 6, 8),
      );
    this.insns.push(...code, asm.stxMem(uapi.BPF_DW, 7, 2, 0), asm.alu64Imm(uapi.BPF_ADD, 7, 8));
    this.wanted.push({ name, value: want });
  }

  check(mode: AccessMode): void {
    const out = space.alloc(this.wanted.length * 8, "rw");
    const whole = [
      asm.mov64Reg(6, 1),
      asm.ldImm64(7, pointer(out)),
      ...this.insns,
      asm.mov64Imm(0, 0),
      asm.raw(0x95),
    ];
    run(whole, mode);
    const view = space.dv;
    const wrong = this.wanted.flatMap(({ name, value }, i) => {
      const got = view.getBigUint64(out + 8 * i, true);
      return got === value ? [] : [`${name}: got 0x${got.toString(16)}, want 0x${value.toString(16)}`];
    });
    space.free(out);
    expect(wrong.slice(0, 10)).toEqual([]);
    expect(this.wanted.length).toBeGreaterThan(0);
  }
}

describe.each(MODES)("instructions, %s", (mode) => {
  describe.each(ALU)("ALU operation 0x%s", (code) => {
    const shift = SHIFTS.includes(code);
    const signed = code === 0x30 || code === 0x90 ? [0, 1] : [0];
    it.each([false, true])("registers (constants: %s)", (known) => {
      const batch = new Batch();
      for (const off of signed)
        for (const a of VALUES)
          for (const b of VALUES)
            for (const bits of [64, 32] as const) {
              const cls = bits === 64 ? uapi.BPF_ALU64 : uapi.BPF_ALU;
              const insn = asm.raw(cls | code | uapi.BPF_X, 2, 3, off);
              batch.add(`${bits}/${off} ${a} ${b}`, a, b, [insn], referenceAlu(code, a, b, bits, off), known);
              // The low half only, and a dividend or operand that is known to be short.
              const low = [insn, asm.mov32Reg(2, 2)];
              const want = BigInt.asUintN(32, referenceAlu(code, a, b, bits, off));
              batch.add(`${bits}/${off} low ${a} ${b}`, a, b, low, want, known);
              const short = [asm.mov32Reg(2, 2), asm.mov32Reg(3, 3), insn];
              const a32 = BigInt.asUintN(32, a);
              const b32 = BigInt.asUintN(32, b);
              batch.add(
                `${bits}/${off} short ${a} ${b}`,
                a,
                b,
                short,
                referenceAlu(code, a32, b32, bits, off),
                known,
              );
            }
      batch.check(mode);
    });

    it("immediates", () => {
      const batch = new Batch();
      for (const off of signed)
        for (const a of VALUES)
          for (const imm of IMMEDIATES)
            for (const bits of [64, 32] as const) {
              if (shift && (imm < 0 || imm >= bits)) continue;
              const cls = bits === 64 ? uapi.BPF_ALU64 : uapi.BPF_ALU;
              const insn = asm.raw(cls | code, 2, 0, off, imm);
              const want = referenceAlu(code, a, BigInt(imm), bits, off);
              batch.add(`${bits}/${off} ${a} ${imm}`, a, 0n, [insn], want);
              const low = BigInt.asUintN(32, want);
              batch.add(`${bits}/${off} low ${a} ${imm}`, a, 0n, [insn, asm.mov32Reg(2, 2)], low);
              const a32 = BigInt.asUintN(32, a);
              const short = referenceAlu(code, a32, BigInt(imm), bits, off);
              batch.add(`${bits}/${off} short ${a} ${imm}`, a, 0n, [asm.mov32Reg(2, 2), insn], short);
            }
      batch.check(mode);
    });
  });

  it("negation, byte order, sign extension", () => {
    const batch = new Batch();
    for (const a of VALUES) {
      batch.add(`neg64 ${a}`, a, 0n, [asm.neg64(2)], referenceAlu(0x80, a, 0n, 64, 0));
      batch.add(`neg32 ${a}`, a, 0n, [asm.neg32(2)], referenceAlu(0x80, a, 0n, 32, 0));
      for (const bits of [16, 32, 64]) {
        const cut = BigInt.asUintN(bits, a);
        batch.add(`le${bits} ${a}`, a, 0n, [asm.le(bits, 2)], cut);
        batch.add(`be${bits} ${a}`, a, 0n, [asm.be(bits, 2)], swapBytes(cut, bits));
        batch.add(`bswap${bits} ${a}`, a, 0n, [asm.bswap(bits, 2)], swapBytes(cut, bits));
      }
      for (const bits of [8, 16, 32]) {
        const wide = BigInt.asUintN(64, BigInt.asIntN(bits, a));
        batch.add(`movsx64 ${bits} ${a}`, 0n, a, [asm.movsx64(bits, 2, 3)], wide);
        const low = [asm.movsx64(bits, 2, 3), asm.mov32Reg(2, 2)];
        batch.add(`movsx64 low ${bits} ${a}`, 0n, a, low, BigInt.asUintN(32, wide));
        if (bits < 32)
          batch.add(`movsx32 ${bits} ${a}`, 0n, a, [asm.movsx32(bits, 2, 3)], BigInt.asUintN(32, wide));
      }
      batch.add(`cast ${a}`, 0n, a, [asm.addrSpaceCast(2, 3, 0, 1)], a);
    }
    batch.check(mode);
  });

  it("rotations", () => {
    const batch = new Batch();
    const [left, right] = [uapi.BPF_LSH, uapi.BPF_RSH];
    for (const a of VALUES)
      for (const k of [1, 13, 32, 63])
        for (const join of [uapi.BPF_OR, uapi.BPF_XOR, uapi.BPF_ADD]) {
          const want = BigInt.asUintN(64, a << BigInt(k)) | (a >> BigInt(64 - k));
          const one = [
            asm.mov64Reg(4, 2),
            asm.alu64Imm(right, 4, 64 - k),
            asm.alu64Imm(left, 2, k),
            asm.alu64Reg(join, 2, 4),
          ];
          batch.add(`rotate ${k} ${a}`, a, 0n, one, want);
          batch.add(`rotate low ${k} ${a}`, a, 0n, [...one, asm.mov32Reg(2, 2)], BigInt.asUintN(32, want));
          // The value lives on in a third register, and a second rotation begins before the first one ends.
          const two = [
            asm.mov64Reg(4, 2),
            asm.mov64Reg(5, 3),
            asm.mov64Reg(0, 2),
            asm.alu64Imm(left, 4, k),
            asm.alu64Imm(left, 5, 64 - k),
            asm.alu64Imm(right, 2, 64 - k),
            asm.alu64Imm(right, 3, k),
            asm.alu64Reg(join, 3, 5),
            asm.alu64Reg(join, 2, 4),
            asm.alu64Reg(uapi.BPF_SUB, 2, 3),
            asm.alu64Reg(uapi.BPF_SUB, 2, 0),
          ];
          const b = 0xfedcba9876543210n;
          const other = BigInt.asUintN(64, b << BigInt(64 - k)) | (b >> BigInt(k));
          batch.add(`rotate two ${k} ${a}`, a, b, two, BigInt.asUintN(64, want - other - a));
        }
    batch.check(mode);
  });

  it("conditional jumps", () => {
    const batch = new Batch();
    const codes = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
    const outcome = (taken: boolean, jump: asm.Insn): [asm.Insn[], bigint] => [
      [asm.mov64Imm(4, 1), jump, asm.mov64Imm(4, 0), asm.mov64Reg(2, 4)],
      taken ? 1n : 0n,
    ];
    for (const code of codes)
      for (const a of VALUES) {
        for (const b of VALUES.filter((_, k) => k % 3 === 0 || VALUES[k] === a))
          for (const bits of [64, 32] as const) {
            const insn = bits === 64 ? asm.jmpReg(code, 2, 3, 1) : asm.jmp32Reg(code, 2, 3, 1);
            const [body, want] = outcome(referenceJump(code, a, b, bits), insn);
            batch.add(`j${bits} 0x${code.toString(16)} ${a} ${b}`, a, b, body, want);
            const [a32, b32] = [BigInt.asUintN(32, a), BigInt.asUintN(32, b)];
            const [body2, want2] = outcome(referenceJump(code, a32, b32, bits), insn);
            const short = [asm.mov32Reg(2, 2), asm.mov32Reg(3, 3), ...body2];
            batch.add(`j${bits} short 0x${code.toString(16)} ${a} ${b}`, a, b, short, want2);
          }
        for (const imm of IMMEDIATES)
          for (const bits of [64, 32] as const) {
            const insn = bits === 64 ? asm.jmpImm(code, 2, imm, 1) : asm.jmp32Imm(code, 2, imm, 1);
            const [body, want] = outcome(referenceJump(code, a, BigInt(imm), bits), insn);
            batch.add(`j${bits} 0x${code.toString(16)} ${a} imm ${imm}`, a, 0n, body, want);
          }
      }
    batch.check(mode);
  });

  it("loads and stores of all sizes", () => {
    const batch = new Batch();
    for (const base of [6, 10])
      for (const [size, bits] of [
        [uapi.BPF_B, 8],
        [uapi.BPF_H, 16],
        [uapi.BPF_W, 32],
        [uapi.BPF_DW, 64],
      ] as const)
        for (const a of VALUES) {
          const off = base === 10 ? -24 : 40;
          const cut = BigInt.asUintN(bits, a);
          batch.add(
            `store ${bits} r${base} ${a}`,
            a,
            0n,
            [asm.stxMem(size, base, 2, off), asm.ldxMem(size, 2, base, off)],
            cut,
          );
          if (bits < 64)
            batch.add(
              `memsx ${bits} r${base} ${a}`,
              a,
              0n,
              [asm.stxMem(size, base, 2, off), asm.ldxMemsx(size, 2, base, off)],
              BigInt.asUintN(64, BigInt.asIntN(bits, a)),
            );
        }
    batch.check(mode);
  });

  it.each([-1, -512])("store of immediate %d", (imm) => {
    for (const base of [6, 10]) {
      const off = base === 10 ? -16 : 16;
      const insns = [
        asm.mov64Reg(6, 1),
        asm.stMem(uapi.BPF_DW, base, off, imm),
        asm.stMem(uapi.BPF_H, base, off + 2, 0x1234),
        asm.ldxMem(uapi.BPF_DW, 0, base, off),
        asm.raw(0x95),
      ];
      expect(run(insns, mode)).toBe((BigInt.asUintN(64, BigInt(imm)) & ~0xffff0000n) | 0x12340000n);
    }
  });

  it("atomics", () => {
    const batch = new Batch();
    const operations = [0x00, 0x40, 0x50, 0xa0, 0x01, 0x41, 0x51, 0xa1, 0xe1, 0xf1, 0x100, 0x110];
    for (const imm of operations)
      for (const [size, bits] of [
        [uapi.BPF_W, 32],
        [uapi.BPF_DW, 64],
      ] as const)
        for (const base of [6, 10])
          for (const a of [1n, 0x123456789abcdef0n, 0xffffffffffffffffn])
            for (const b of [1n, 0xffffffffn, 0x123456789abcdef0n, 0x9abcdef0n]) {
              const off = base === 10 ? -40 : 32;
              const head = [asm.stxMem(uapi.BPF_DW, base, 2, off), asm.mov64Reg(0, 3)];
              const op = asm.raw(0xc3 | size, imm === 0x100 ? 3 : base, imm === 0x100 ? base : 3, off, imm);
              const memory = new DataView(new ArrayBuffer(16));
              const tails: [string, asm.Insn[]][] = [
                ["memory", [asm.ldxMem(uapi.BPF_DW, 2, base, off)]],
                ["register", [asm.mov64Reg(2, imm === 0xf1 ? 0 : 3)]],
              ];
              for (const [part, tail] of tails) {
                const model = asm.encode([
                  asm.ldImm64(2, a),
                  asm.ldImm64(3, b),
                  asm.mov64Imm(6, -32),
                  asm.mov64Imm(base, base === 10 ? 40 : -32),
                  ...head,
                  op,
                  ...tail,
                  asm.mov64Reg(0, 2),
                  asm.raw(0x95),
                ]);
                const want = runReference(model, memory, 0n, 40n).r0;
                batch.add(
                  `atomic 0x${imm.toString(16)} ${bits} r${base} ${part} ${a} ${b}`,
                  a,
                  b,
                  [...head, op, ...tail],
                  want,
                );
              }
            }
    batch.check(mode);
  });

  it("calls keep r6..r9 and give each frame its own stack", () => {
    const insns = [
      asm.mov64Imm(6, 60),
      asm.mov64Imm(1, 5),
      asm.mov64Imm(2, 7),
      asm.stMem(uapi.BPF_DW, 10, -8, 1000),
      asm.raw(0x85, 0, 1, 0, 4),
      asm.ldxMem(uapi.BPF_DW, 1, 10, -8),
      asm.alu64Reg(uapi.BPF_ADD, 0, 1),
      asm.alu64Reg(uapi.BPF_ADD, 0, 6),
      asm.raw(0x95),
      asm.mov64Imm(6, -1),
      asm.stMem(uapi.BPF_DW, 10, -8, 99),
      asm.mov64Reg(0, 1),
      asm.alu64Reg(uapi.BPF_MUL, 0, 2),
      asm.raw(0x95),
    ];
    expect(run(insns, mode)).toBe(1095n);
  });

  it("a pointer to the frame reaches the callee's memory accesses", () => {
    const insns = [
      asm.mov64Reg(1, 10),
      asm.alu64Imm(uapi.BPF_ADD, 1, -16),
      asm.stMem(uapi.BPF_DW, 10, -16, 5),
      asm.raw(0x85, 0, 1, 0, 2),
      asm.ldxMem(uapi.BPF_DW, 0, 10, -16),
      asm.raw(0x95),
      asm.stMem(uapi.BPF_DW, 1, 0, 77),
      asm.mov64Imm(0, 0),
      asm.raw(0x95),
    ];
    expect(run(insns, mode)).toBe(77n);
  });

  it("may_goto ends a loop", () => {
    const insns = [
      asm.mov64Imm(0, 0),
      asm.mayGoto(2),
      asm.alu64Imm(uapi.BPF_ADD, 0, 1),
      asm.ja(-3),
      asm.raw(0x95),
    ];
    if (mode === "unchecked") expect(run(insns, mode)).toBe(8n << 20n);
    else expect(() => run(insns, mode)).toThrow(/budget/);
  });

  it("helpers: core and JavaScript", () => {
    const calls: bigint[][] = [];
    const helper: VmProgram["helper"] = (id) =>
      id !== 5
        ? undefined
        : {
            kind: "js",
            name: "sum",
            nargs: 5,
            fn: (cpu) => {
              const args = [0, 1, 2, 3, 4].map((k) => space.dv.getBigUint64(cpu + 8 * k, true));
              calls.push(args);
              space.dv.setBigUint64(cpu + CPU_RESULT, args[0] * 2n + args[4], true);
            },
          };
    const insns = [
      asm.ldImm64(1, 0x1_0000_0001n),
      asm.mov64Imm(2, -2),
      asm.mov32Imm(3, -3),
      asm.mov64Imm(4, 4),
      asm.mov64Imm(5, 5),
      asm.raw(0x85, 0, 0, 0, 5),
      asm.raw(0x95),
    ];
    expect(run(insns, mode, { helper })).toBe(0x2_0000_0007n);
    expect(calls).toEqual([[0x1_0000_0001n, 0xfffffffffffffffen, 0xfffffffdn, 4n, 5n]]);
    expect(() => run([asm.raw(0x85, 0, 0, 0, 6), asm.raw(0x95)], mode, { helper })).toThrow(
      "insn 0: unknown helper 6",
    );
  });

  it("callx of a helper and of a callback", () => {
    const helper: VmProgram["helper"] = () => ({
      kind: "js",
      name: "one",
      nargs: 1,
      fn: (cpu) => space.dv.setBigUint64(cpu + CPU_RESULT, 1n, true),
    });
    const direct = [asm.mov64Imm(1, -1), asm.mov64Imm(2, 5), asm.raw(0x8d, 2), asm.raw(0x95)];
    expect(run(direct, mode, { helper })).toBe(1n);
    const callback = [
      asm.ldFunc(6, 7),
      asm.stxMem(uapi.BPF_DW, 1, 6, 0),
      asm.ldxMem(uapi.BPF_DW, 6, 1, 0),
      asm.mov64Imm(1, 20),
      asm.raw(0x8d, 6),
      asm.alu64Imm(uapi.BPF_ADD, 0, 1),
      asm.raw(0x95),
      asm.mov64Reg(0, 1),
      asm.alu64Imm(uapi.BPF_MUL, 0, 2),
      asm.raw(0x95),
    ];
    expect(run(callback, mode)).toBe(41n);
  });

  it("LD_ABS and LD_IND", () => {
    const packet = space.alloc(64, "rw");
    const skb = space.alloc(256, "none");
    for (let k = 0; k < 64; k++) space.dv.setUint8(packet + k, k + 1);
    space.dv.setUint32(skb + SKB_DATA, packet + 4, true);
    space.dv.setUint32(skb + SKB_TAIL, packet + 20, true);
    space.dv.setUint32(skb + SKB_NETWORK_HEADER, packet + 8, true);
    const at = (insns: asm.Insn[]): bigint => {
      const loaded = engine.load(program([asm.mov64Reg(6, 1), ...insns, asm.raw(0x95)], mode));
      loaded.run(skb);
      loaded.dispose();
      return result();
    };
    expect(at([asm.ldAbs(uapi.BPF_B, 15)])).toBe(20n);
    expect(at([asm.ldAbs(uapi.BPF_H, 14)])).toBe(0x1314n);
    expect(at([asm.ldAbs(uapi.BPF_W, 12)])).toBe(0x11121314n);
    expect(at([asm.mov64Imm(2, 4), asm.ldInd(uapi.BPF_W, 2, 2)])).toBe(0x0b0c0d0en);
    expect(at([asm.mov64Imm(2, -1), asm.ldInd(uapi.BPF_B, 2, 2)])).toBe(6n);
    expect(at([asm.ldAbs(uapi.BPF_B, SKF_NET_OFF + 1)])).toBe(10n);
    expect(at([asm.mov64Imm(2, 3), asm.ldInd(uapi.BPF_B, 2, SKF_NET_OFF)])).toBe(12n);
    // No link-layer header is set yet.
    expect(at([asm.ldAbs(uapi.BPF_B, SKF_LL_OFF)])).toBe(0n);
    expect(at([asm.mov64Imm(2, 0), asm.ldInd(uapi.BPF_B, 2, SKF_LL_OFF)])).toBe(0n);
    space.dv.setUint32(skb + SKB_MAC_HEADER, packet, true);
    expect(at([asm.ldAbs(uapi.BPF_B, SKF_LL_OFF)])).toBe(1n);
    expect(at([asm.mov64Imm(2, 19), asm.ldInd(uapi.BPF_B, 2, SKF_LL_OFF)])).toBe(20n);
    for (const [size, offset] of [
      [uapi.BPF_B, 16],
      [uapi.BPF_H, 15],
      [uapi.BPF_W, 13],
      [uapi.BPF_B, SKF_NET_OFF + 12],
      [uapi.BPF_B, SKF_LL_OFF + 20],
      [uapi.BPF_B, SKF_LL_OFF - 1],
      [uapi.BPF_W, -2],
      [uapi.BPF_W, 0x7fffffff],
    ] as const)
      for (const load of [[asm.ldAbs(size, offset)], [asm.mov64Imm(2, offset), asm.ldInd(size, 2, 0)]])
        expect(at([...load, asm.mov64Imm(0, 9)])).toBe(0n);
  });

  it("refuses what it cannot run", () => {
    const cases: [asm.Insn[], string][] = [
      [[asm.mov64Imm(0, 0)], "insn 0: control runs off the end"],
      [[asm.ja(5), asm.raw(0x95)], "insn 0: jump to slot 6"],
      [[asm.ja(-2), asm.raw(0x95)], "insn 0: jump to slot -1"],
      [[asm.raw(0x85, 0, 1, 0, 9), asm.raw(0x95)], "insn 0: call of slot 10"],
      [[asm.mov64Imm(10, 0), asm.raw(0x95)], "insn 0: write to r10"],
      [[asm.mov64Imm(11, 0), asm.raw(0x95)], "insn 0: register r11"],
      [[asm.mov64Reg(0, 12), asm.raw(0x95)], "insn 0: register r12"],
      [[asm.raw(0xff), asm.raw(0x95)], "insn 0: unknown opcode 0xff"],
      [[asm.raw(0xdb, 1, 2, 0, 0x33), asm.raw(0x95)], "insn 0: unknown atomic"],
      [[asm.raw(0x0d, 1), asm.raw(0x95)], "insn 0: unknown opcode 0xd"],
      [[asm.ja(1), asm.ldImm64(0, 1n), asm.raw(0x95)], "insn 1: jump into the middle"],
    ];
    for (const [insns, message] of cases) expect(() => engine.load(program(insns, mode))).toThrow(message);
  });
});

describe("tail calls", () => {
  it.each(MODES)("%s", (mode) => {
    const values = space.alloc(8 * 4, "none");
    const address = space.alloc(256, "none");
    const map = {
      address,
      type: uapi.BPF_MAP_TYPE_PROG_ARRAY,
      keySize: 4,
      valueSize: 4,
      maxEntries: 4,
      flags: 0,
      values,
      stride: 8,
      cpuStride: 0,
    };
    const view = space.dv;
    view.setUint32(address + 16, 4, true);
    view.setUint32(address + 32, values, true);
    view.setUint32(address + 36, 8, true);
    for (const known of [true, false]) {
      const load = known
        ? [asm.ldImm64(2, pointer(address))]
        : [
            asm.ldImm64(2, pointer(address)),
            asm.stxMem(uapi.BPF_DW, 6, 2, 8),
            asm.ldxMem(uapi.BPF_DW, 2, 6, 8),
          ];
      const make = (index: number): asm.Insn[] => [
        asm.mov64Reg(6, 1),
        asm.ldxMem(uapi.BPF_W, 0, 6, 0),
        asm.alu64Imm(uapi.BPF_ADD, 0, 1),
        asm.stxMem(uapi.BPF_W, 6, 0, 0),
        ...load,
        asm.mov64Imm(3, index),
        asm.raw(0x85, 0, 0, 0, 12),
        asm.mov64Imm(0, 77),
        asm.raw(0x95),
      ];
      const looping = engine.load(program(make(1), mode, { maps: [map] }));
      const leaf = engine.load(program([asm.mov64Imm(0, 5), asm.raw(0x95)], mode));
      const missing = engine.load(program(make(2), mode, { maps: [map] }));
      const outside = engine.load(program(make(4), mode, { maps: [map] }));
      view.setUint32(values + 8, looping.tableIndex, true);
      view.setUint32(ctx, 0, true);
      expect(looping.run(ctx)).toBe(77);
      expect(view.getUint32(ctx, true)).toBe(34);
      view.setUint32(values + 8, leaf.tableIndex, true);
      expect(looping.run(ctx)).toBe(5);
      expect(missing.run(ctx)).toBe(77);
      expect(outside.run(ctx)).toBe(77);
    }
    if (mode === "checked") {
      const wild = [asm.mov64Reg(2, 1), asm.mov64Imm(3, 0), asm.raw(0x85, 0, 0, 0, 12), asm.raw(0x95)];
      expect(() => run(wild, mode, { maps: [map] })).toThrow(ProgramFault);
    }
  });
});

describe("faults of the checked mode", () => {
  const fault = (insns: asm.Insn[]): ProgramFault => {
    try {
      run(insns, "checked");
    } catch (error) {
      if (error instanceof ProgramFault) return error;
      throw error;
    }
    throw new Error("no fault");
  };

  it("accesses outside of objects", () => {
    const end = space.alloc(20, "rw");
    const readOnly = space.alloc(16, "r");
    const cases: [string, asm.Insn[], number, number, number][] = [
      ["null", [asm.mov64Imm(2, 0), asm.ldxMem(uapi.BPF_B, 0, 2, 4)], FAULT_READ, 1, 4],
      [
        "straddles the end",
        [asm.ldImm64(2, pointer(end)), asm.ldxMem(uapi.BPF_DW, 0, 2, 16)],
        FAULT_READ,
        2,
        end + 16,
      ],
      [
        "write to read-only memory",
        [asm.ldImm64(2, pointer(readOnly)), asm.stMem(uapi.BPF_W, 2, 8, 1)],
        FAULT_WRITE,
        2,
        readOnly + 8,
      ],
      [
        "below the object",
        [asm.ldxMem(uapi.BPF_B, 0, 1, 0), asm.ldxMem(uapi.BPF_B, 0, 1, -1)],
        FAULT_READ,
        1,
        ctx - 1,
      ],
      [
        "above the stacks",
        [asm.mov64Reg(2, 10), asm.alu64Imm(uapi.BPF_ADD, 2, 1 << 20), asm.stMem(uapi.BPF_DW, 2, 0, 0)],
        FAULT_WRITE,
        2,
        -1,
      ],
    ];
    for (const [name, insns, code, insn, address] of cases) {
      const error = fault([...insns, asm.mov64Imm(0, 0), asm.raw(0x95)]);
      expect({ name, code: error.fault, insn: error.insn }).toEqual({ name, code, insn });
      if (address >= 0) expect(error.address).toBe(BigInt(address));
    }
    space.free(end);
    space.free(readOnly);
  });

  it("writes before a fault have happened", () => {
    const end = space.alloc(24, "rw");
    const error = fault([
      asm.ldImm64(2, pointer(end)),
      asm.stMem(uapi.BPF_DW, 2, 8, 11),
      asm.stMem(uapi.BPF_DW, 2, 16, 12),
      asm.stMem(uapi.BPF_DW, 2, 24, 13),
      asm.mov64Imm(0, 0),
      asm.raw(0x95),
    ]);
    expect(error.insn).toBe(4);
    expect(space.dv.getUint32(end + 16, true)).toBe(12);
    space.free(end);
  });

  it("loops and recursion end", () => {
    expect(fault([asm.mov64Imm(0, 0), asm.ja(-2), asm.raw(0x95)]).fault).toBe(FAULT_BUDGET);
    expect(fault([asm.raw(0x85, 0, 1, 0, -1), asm.mov64Imm(0, 0), asm.raw(0x95)]).fault).toBe(FAULT_STACK);
    // Two loops that enter each other in the middle.
    const crossed = [
      asm.ldxMem(uapi.BPF_W, 2, 1, 0),
      asm.jmpImm(uapi.BPF_JEQ, 2, 0, 1),
      asm.mov64Imm(3, 1),
      asm.mov64Imm(4, 1),
      asm.jmpImm(uapi.BPF_JNE, 2, 99, -3),
      asm.mov64Imm(0, 0),
      asm.raw(0x95),
    ];
    expect(fault(crossed).fault).toBe(FAULT_BUDGET);
  });

  it("loops that pay on entry", () => {
    // r0 counts rounds of "for (r2 = from; r2 != 1000; r2 += step)" and of its relatives.
    const loop = (from: number, step: number, code: number, limit: number): asm.Insn[] => [
      asm.mov64Imm(0, 0),
      asm.mov64Imm(2, from),
      asm.alu64Imm(uapi.BPF_ADD, 0, 1),
      asm.alu64Imm(uapi.BPF_ADD, 2, step),
      asm.jmpImm(code, 2, limit, -3),
      asm.raw(0x95),
    ];
    const cases: [asm.Insn[], bigint][] = [
      [loop(0, 1, uapi.BPF_JNE, 1000), 1000n],
      [loop(10, 5, uapi.BPF_JNE, 1000), 198n],
      [loop(0, 1, uapi.BPF_JLT, 1000), 1000n],
      [loop(0, 3, uapi.BPF_JLE, 1000), 334n],
      [loop(0, 3, uapi.BPF_JSLT, 1000), 334n],
      [loop(1000, -1, uapi.BPF_JGT, 0), 1000n],
      [loop(1000, -1, uapi.BPF_JSGE, 0), 1001n],
      [loop(2000, 1, uapi.BPF_JLT, 1000), 1n],
    ];
    for (const [insns, want] of cases) expect(run(insns, "checked")).toBe(want);
    // The budget of these tests is 100,000 rounds.
    for (const insns of [
      loop(0, 1, uapi.BPF_JNE, 200_000),
      loop(0, 2, uapi.BPF_JNE, 1001),
      loop(1, -2, uapi.BPF_JGT, 0),
      loop(1000, 1, uapi.BPF_JNE, 999),
      loop(1000, 1, uapi.BPF_JSGE, 0),
    ])
      expect(fault(insns).fault).toBe(FAULT_BUDGET);
  });

  it("a window ends where its object ends", () => {
    const object = space.alloc(1000, "rw");
    space.dv.setBigUint64(ctx, pointer(object), true);
    const sum = (from: number, bytes: number): asm.Insn[] => [
      asm.ldxMem(uapi.BPF_DW, 6, 1, 0),
      asm.mov64Imm(0, 0),
      asm.mov64Imm(2, from),
      asm.mov64Reg(3, 6),
      asm.alu64Reg(uapi.BPF_ADD, 3, 2),
      asm.ldxMem(uapi.BPF_H, 4, 3, 0),
      asm.ldxMem(uapi.BPF_B, 5, 3, 2),
      asm.alu64Reg(uapi.BPF_ADD, 0, 4),
      asm.alu64Reg(uapi.BPF_ADD, 0, 5),
      asm.alu64Imm(uapi.BPF_ADD, 2, 1),
      asm.jmpImm(uapi.BPF_JLT, 2, bytes, -8),
      asm.raw(0x95),
    ];
    space.u8.fill(1, object, object + 1000);
    expect(run(sum(0, 998), "checked")).toBe(998n * 258n);
    const error = fault(sum(0, 1001));
    expect([error.insn, error.address]).toEqual([6, BigInt(object + 1000)]);
    expect(fault(sum(-1, 5)).address).toBe(BigInt(object - 1));
    space.free(object);
  });

  it("the host's stack is never the program's limit", () => {
    const top = space.cpu.value + CPU_STACK_TOP;
    expect(space.dv.getUint32(top, true)).toBeGreaterThan(0);
    const insns = [asm.raw(0x85, 0, 1, 0, -1), asm.mov64Imm(0, 0), asm.raw(0x95)];
    const loaded = engine.load(program(insns, "unchecked"));
    expect(() => loaded.run(ctx)).toThrow(ProgramFault);
  });
});
