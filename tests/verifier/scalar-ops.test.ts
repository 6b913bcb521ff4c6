import { describe, expect, it } from "vitest";
import { boundsSync, brokenInvariant } from "../../src/verifier/numbers/bounds.ts";
import * as ops from "../../src/verifier/numbers/scalar-ops.ts";
import * as tnum from "../../src/verifier/numbers/tnum.ts";
import type { RegState } from "../../src/verifier/state/reg.ts";
import { zext32To64 } from "../../src/verifier/state/reg-ops.ts";
import { allows, type BigReg, bigSync, fromBig, Samples, s64, toBig, u32, u64 } from "./slow-domain.ts";

type Op = (dst: RegState, src: RegState) => void;
interface Case {
  name: string;
  ours32: Op;
  ours64: Op;
  tnum: (out: tnum.Tnum, a: tnum.Tnum, b: tnum.Tnum) => void;
  /** The tnum is worked out before the ranges. */
  tnumFirst: boolean;
  real: (a: bigint, b: bigint) => bigint;
}

const cases: Case[] = [false, true].flatMap((keep) => [
  {
    name: keep ? "add, 6.17" : "add",
    ours32: (d, s) => ops.scalarAdd32(d, s, keep),
    ours64: (d, s) => ops.scalarAdd64(d, s, keep),
    tnum: tnum.tnumAdd,
    tnumFirst: false,
    real: (a, b) => a + b,
  },
  {
    name: keep ? "sub, 6.17" : "sub",
    ours32: (d, s) => ops.scalarSub32(d, s, keep),
    ours64: (d, s) => ops.scalarSub64(d, s, keep),
    tnum: tnum.tnumSub,
    tnumFirst: false,
    real: (a, b) => a - b,
  },
  {
    name: keep ? "mul, 6.14" : "mul",
    ours32: keep ? ops.scalarMul32 : ops.scalarMul32Positive,
    ours64: keep ? ops.scalarMul64 : ops.scalarMul64Positive,
    tnum: keep ? tnum.tnumMulPrecise : tnum.tnumMul,
    tnumFirst: true,
    real: (a, b) => a * b,
  },
]);
cases.push(
  {
    name: "and",
    ours32: ops.scalarAnd32,
    ours64: ops.scalarAnd64,
    tnum: tnum.tnumAnd,
    tnumFirst: true,
    real: (a, b) => a & b,
  },
  {
    name: "or",
    ours32: ops.scalarOr32,
    ours64: ops.scalarOr64,
    tnum: tnum.tnumOr,
    tnumFirst: true,
    real: (a, b) => a | b,
  },
  {
    name: "xor",
    ours32: ops.scalarXor32,
    ours64: ops.scalarXor64,
    tnum: tnum.tnumXor,
    tnumFirst: true,
    real: (a, b) => a ^ b,
  },
);

function sample(s: Samples): { reg: RegState; member: bigint } {
  const { reg, member } = s.reg();
  const r = fromBig(reg);
  boundsSync(r);
  return { reg: r, member };
}

function check(reg: RegState, result: bigint, what: () => string): void {
  const big: BigReg = toBig(reg);
  if (!allows(big, result) || brokenInvariant(reg) !== null)
    expect.fail(
      `${what()} = ${result} is not in ${JSON.stringify(big, (_, v) => (typeof v === "bigint" ? v.toString() : v))}`,
    );
}

describe("arithmetic holds every result", () => {
  for (const c of cases)
    it(c.name, () => {
      const s = new Samples(c.name.length);
      for (let i = 0; i < 3_000; i++) {
        const a = sample(s);
        const b = sample(s);
        for (const wide of [true, false]) {
          const dst = a.reg.clone();
          if (c.tnumFirst) c.tnum(dst, dst, b.reg);
          c.ours32(dst, b.reg);
          c.ours64(dst, b.reg);
          if (!c.tnumFirst) c.tnum(dst, dst, b.reg);
          if (!wide) zext32To64(dst);
          boundsSync(dst);
          const v = c.real(a.member, b.member);
          check(dst, wide ? u64(v) : u32(v), () => `${a.member} ${c.name} ${b.member}`);
        }
      }
    });

  it("shifts", () => {
    const s = new Samples(3);
    for (let i = 0; i < 3_000; i++) {
      const { reg, member } = sample(s);
      const n = s.below(64);
      const m = n & 31;
      const run = (op: (r: RegState, n: number) => void, by: number, wide: boolean, v: bigint): void => {
        const dst = reg.clone();
        op(dst, by);
        if (!wide) zext32To64(dst);
        boundsSync(dst);
        check(dst, v, () => `${member} ${op.name} ${by}`);
      };
      run(ops.scalarLsh64, n, true, u64(member << BigInt(n)));
      run(ops.scalarRsh64, n, true, member >> BigInt(n));
      run(ops.scalarArsh64, n, true, u64(s64(member) >> BigInt(n)));
      run(ops.scalarLsh32, m, false, u32(member << BigInt(m)));
      run(ops.scalarRsh32, m, false, u32(member) >> BigInt(m));
      run(ops.scalarArsh32, m, false, u32(BigInt.asIntN(32, member) >> BigInt(m)));
    }
  });

  it("the model and the ranges agree after every sum", () => {
    const s = new Samples(4);
    for (let i = 0; i < 500; i++) {
      const a = sample(s).reg;
      const b = sample(s).reg;
      ops.scalarAdd32(a, b, false);
      ops.scalarAdd64(a, b, false);
      tnum.tnumAdd(a, a, b);
      const model = toBig(a);
      bigSync(model);
      boundsSync(a);
      expect(toBig(a)).toEqual(model);
    }
  });
});
