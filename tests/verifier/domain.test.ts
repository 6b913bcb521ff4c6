import { describe, expect, it } from "vitest";
import { boundsSync, brokenInvariant } from "../../src/verifier/numbers/bounds.ts";
import * as int64 from "../../src/verifier/numbers/int64.ts";
import * as tnum from "../../src/verifier/numbers/tnum.ts";
import {
  coerceSubregToSizeSx,
  coerceToSize,
  coerceToSizeSx,
  markConstScalar,
  newUnknown,
  zext32To64,
} from "../../src/verifier/state/reg-ops.ts";
import {
  allows,
  type BigTnum,
  bigSync,
  bigTnum,
  fromBig,
  Samples,
  s64,
  toBig,
  u32,
  u64,
} from "./slow-domain.ts";

const small = (t: BigTnum): tnum.TnumValue => {
  const out = new tnum.TnumValue();
  out.valueLo = int64.fromBigInt(t.value);
  out.valueHi = int64.hi;
  out.maskLo = int64.fromBigInt(t.mask);
  out.maskHi = int64.hi;
  return out;
};
const big = (t: tnum.Tnum): BigTnum => ({
  value: int64.toU64(t.valueLo, t.valueHi),
  mask: int64.toU64(t.maskLo, t.maskHi),
});
/** A number that the tnum allows. */
const pick = (t: BigTnum, random: bigint): bigint => t.value | (random & t.mask);
const isIn = (t: BigTnum, v: bigint): boolean => (v & ~t.mask) === t.value;

describe("64-bit pairs", () => {
  const s = new Samples(1);
  it("equal BigInt", () => {
    for (let i = 0; i < 6_000; i++) {
      const a = s.u64();
      const b = s.u64();
      const aLo = int64.fromBigInt(a);
      const aHi = int64.hi;
      const bLo = int64.fromBigInt(b);
      const bHi = int64.hi;
      const result = (lo: number): bigint => int64.toU64(lo, int64.hi);
      const n = Number(b & 63n);
      expect([
        int64.ult64(aLo, aHi, bLo, bHi),
        int64.ule64(aLo, aHi, bLo, bHi),
        int64.slt64(aLo, aHi, bLo, bHi),
        int64.sle64(aLo, aHi, bLo, bHi),
        result(int64.add64(aLo, aHi, bLo, bHi)),
        result(int64.sub64(aLo, aHi, bLo, bHi)),
        result(int64.mul64(aLo, aHi, bLo, bHi)),
        result(int64.shl64(aLo, aHi, n)),
        result(int64.shr64(aLo, aHi, n)),
        result(int64.sar64(aLo, aHi, n)),
        int64.mulOverflowsU64(aLo, aHi, bLo, bHi),
        int64.mulOverflowsS64(aLo, aHi, bLo, bHi),
        int64.fls64(aLo, aHi),
      ]).toEqual([
        a < b,
        a <= b,
        s64(a) < s64(b),
        s64(a) <= s64(b),
        u64(a + b),
        u64(a - b),
        u64(a * b),
        u64(a << BigInt(n)),
        a >> BigInt(n),
        u64(s64(a) >> BigInt(n)),
        a * b !== u64(a * b),
        s64(a) * s64(b) !== s64(a * b),
        a === 0n ? 0 : a.toString(2).length,
      ]);
    }
  });
});

describe("tnum", () => {
  const concrete: Record<string, (a: bigint, b: bigint) => bigint> = {
    Add: (a, b) => a + b,
    Sub: (a, b) => a - b,
    And: (a, b) => a & b,
    Or: (a, b) => a | b,
    Xor: (a, b) => a ^ b,
    Mul: (a, b) => a * b,
    MulPrecise: (a, b) => a * b,
  };
  const model: Record<string, (a: BigTnum, b: BigTnum) => BigTnum> = {
    Add: bigTnum.add,
    Sub: bigTnum.sub,
    And: bigTnum.and,
    Or: bigTnum.or,
    Xor: bigTnum.xor,
    Mul: bigTnum.mul,
    MulPrecise: bigTnum.mulPrecise,
  };
  const ours: Record<string, (out: tnum.Tnum, a: tnum.Tnum, b: tnum.Tnum) => void> = {
    Add: tnum.tnumAdd,
    Sub: tnum.tnumSub,
    And: tnum.tnumAnd,
    Or: tnum.tnumOr,
    Xor: tnum.tnumXor,
    Mul: tnum.tnumMul,
    MulPrecise: tnum.tnumMulPrecise,
  };
  for (const name of Object.keys(ours))
    it(`${name}: equals the model, holds every result, may write to its operand`, () => {
      const s = new Samples(name.length * 77);
      for (let i = 0; i < (name.startsWith("Mul") ? 400 : 1500); i++) {
        const a = s.tnum();
        const b = s.tnum();
        const out = small(a);
        ours[name]!(out, out, small(b));
        const right = small(b);
        ours[name]!(right, small(a), right);
        expect(big(out)).toEqual(model[name]!(a, b));
        expect(big(right)).toEqual(big(out));
        const v = u64(concrete[name]!(pick(a, s.u64()), pick(b, s.u64())));
        expect(isIn(big(out), v)).toBe(true);
      }
    });

  it("shifts, casts, ranges and relations", () => {
    const s = new Samples(5);
    for (let i = 0; i < 2000; i++) {
      const a = s.tnum();
      const b = s.tnum();
      const member = pick(a, s.u64());
      const n = s.below(64);
      const size = 1 + s.below(8);
      const out = new tnum.TnumValue();
      const check = (v: bigint): void => expect(isIn(big(out), v)).toBe(true);
      tnum.tnumLsh(out, small(a), n);
      check(u64(member << BigInt(n)));
      tnum.tnumRsh(out, small(a), n);
      check(member >> BigInt(n));
      tnum.tnumArsh(out, small(a), n, 64);
      check(u64(s64(member) >> BigInt(n)));
      tnum.tnumArsh(out, small(a), n & 31, 32);
      check(u32(BigInt.asIntN(32, member) >> BigInt(n & 31)));
      tnum.tnumCast(out, small(a), size);
      check(BigInt.asUintN(size * 8, member));
      tnum.tnumNeg(out, small(a));
      check(u64(-member));
      tnum.tnumUnion(out, small(a), small(b));
      check(member);
      check(pick(b, s.u64()));
      const [lo, high] = member < b.value ? [member, b.value] : [b.value, member];
      int64.fromBigInt(lo);
      tnum.tnumRange(out, int64.fromBigInt(lo), Number(s64(lo) >> 32n), int64.fromBigInt(high), int64.hi);
      expect(big(out)).toEqual(bigTnum.range(lo, high));
      const overlap = ((a.value ^ b.value) & ~(a.mask | b.mask)) === 0n;
      expect(tnum.tnumOverlap(small(a), small(b))).toBe(overlap);
      tnum.tnumIntersect(out, small(a), small(b));
      expect(big(out)).toEqual(bigTnum.intersect(a, b));
      const within = (b.mask & ~a.mask) === 0n && (b.value & ~a.mask) === a.value;
      expect(tnum.tnumIn(small(a), small(b))).toBe(within);
    }
  });
});

describe("bounds", () => {
  it("spread as the model spreads them, and lose no number", () => {
    const s = new Samples(9);
    for (let i = 0; i < 6_000; i++) {
      const { reg, member } = s.reg();
      const r = fromBig(reg);
      boundsSync(r);
      bigSync(reg);
      expect(toBig(r)).toEqual(reg);
      expect(allows(toBig(r), member)).toBe(true);
      expect(brokenInvariant(r)).toBeNull();
    }
  });

  it("spread the same when they contradict each other", () => {
    const s = new Samples(10);
    for (let i = 0; i < 3_000; i++) {
      const { reg } = s.reg();
      Object.assign(reg, s.tnum(), { umin: s.u64(), smax: s64(s.u64()), s32max: BigInt.asIntN(32, s.u64()) });
      const r = fromBig(reg);
      boundsSync(r);
      bigSync(reg);
      expect(toBig(r)).toEqual(reg);
    }
  });

  it("truncation and extension hold every number", () => {
    const s = new Samples(11);
    for (let i = 0; i < 6_000; i++) {
      const { reg, member } = s.reg();
      const base = fromBig(reg);
      boundsSync(base);
      for (const size of [1, 2, 4]) {
        const bits = size * 8;
        const zx = base.clone();
        coerceToSize(zx, size);
        expect(allows(toBig(zx), BigInt.asUintN(bits, member))).toBe(true);
        const sx = base.clone();
        coerceToSizeSx(sx, size);
        expect(allows(toBig(sx), u64(BigInt.asIntN(bits, member)))).toBe(true);
        if (size === 4) continue;
        const sub = base.clone();
        coerceSubregToSizeSx(sub, size);
        zext32To64(sub);
        boundsSync(sub);
        expect(allows(toBig(sub), u32(BigInt.asIntN(bits, member)))).toBe(true);
      }
      const z = base.clone();
      zext32To64(z);
      boundsSync(z);
      expect(allows(toBig(z), u32(member))).toBe(true);
    }
  });

  it("a constant is constant in every view", () => {
    const r = newUnknown();
    markConstScalar(r, -1, -1);
    expect(toBig(r)).toEqual({
      value: (1n << 64n) - 1n,
      mask: 0n,
      umin: (1n << 64n) - 1n,
      umax: (1n << 64n) - 1n,
      smin: -1n,
      smax: -1n,
      u32min: 0xffff_ffffn,
      u32max: 0xffff_ffffn,
      s32min: -1n,
      s32max: -1n,
    });
  });
});
