/** The abstract domain in BigInt, as its definitions read: what the int32 pairs of src/verifier must equal. */
import { fromBigInt, hi, toS64, toU64 } from "../../src/verifier/numbers/int64.ts";
import { RegState } from "../../src/verifier/state/reg.ts";

export const M64: bigint = (1n << 64n) - 1n;
const M32 = (1n << 32n) - 1n;
export const u64 = (v: bigint): bigint => BigInt.asUintN(64, v);
export const s64 = (v: bigint): bigint => BigInt.asIntN(64, v);
export const u32 = (v: bigint): bigint => BigInt.asUintN(32, v);
export const s32 = (v: bigint): bigint => BigInt.asIntN(32, v);
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);

export interface BigTnum {
  value: bigint;
  mask: bigint;
}

export interface BigReg extends BigTnum {
  umin: bigint;
  umax: bigint;
  smin: bigint;
  smax: bigint;
  u32min: bigint;
  u32max: bigint;
  s32min: bigint;
  s32max: bigint;
}

export function toBig(r: RegState): BigReg {
  return {
    value: toU64(r.valueLo, r.valueHi),
    mask: toU64(r.maskLo, r.maskHi),
    umin: toU64(r.uminLo, r.uminHi),
    umax: toU64(r.umaxLo, r.umaxHi),
    smin: toS64(r.sminLo, r.sminHi),
    smax: toS64(r.smaxLo, r.smaxHi),
    u32min: BigInt(r.u32Min >>> 0),
    u32max: BigInt(r.u32Max >>> 0),
    s32min: BigInt(r.s32Min),
    s32max: BigInt(r.s32Max),
  };
}

export function fromBig(b: BigReg): RegState {
  const r = new RegState();
  r.valueLo = fromBigInt(b.value);
  r.valueHi = hi;
  r.maskLo = fromBigInt(b.mask);
  r.maskHi = hi;
  r.uminLo = fromBigInt(b.umin);
  r.uminHi = hi;
  r.umaxLo = fromBigInt(b.umax);
  r.umaxHi = hi;
  r.sminLo = fromBigInt(b.smin);
  r.sminHi = hi;
  r.smaxLo = fromBigInt(b.smax);
  r.smaxHi = hi;
  r.u32Min = Number(s32(b.u32min));
  r.u32Max = Number(s32(b.u32max));
  r.s32Min = Number(b.s32min);
  r.s32Max = Number(b.s32max);
  return r;
}

const tn = (value: bigint, mask: bigint): BigTnum => ({ value: u64(value) & ~u64(mask), mask: u64(mask) });

export const bigTnum = {
  add: (a: BigTnum, b: BigTnum): BigTnum => {
    const sv = u64(a.value + b.value);
    const sigma = u64(sv + a.mask + b.mask);
    return tn(sv, (sigma ^ sv) | a.mask | b.mask);
  },
  sub: (a: BigTnum, b: BigTnum): BigTnum => {
    const dv = u64(a.value - b.value);
    return tn(dv, (u64(dv + a.mask) ^ u64(dv - b.mask)) | a.mask | b.mask);
  },
  and: (a: BigTnum, b: BigTnum): BigTnum => {
    const v = a.value & b.value;
    return tn(v, (a.value | a.mask) & (b.value | b.mask) & ~v);
  },
  or: (a: BigTnum, b: BigTnum): BigTnum => {
    const v = a.value | b.value;
    return { value: v, mask: (a.mask | b.mask) & ~v & M64 };
  },
  xor: (a: BigTnum, b: BigTnum): BigTnum => tn(a.value ^ b.value, a.mask | b.mask),
  mul: (a: BigTnum, b: BigTnum): BigTnum => {
    let acc = tn(0n, 0n);
    for (let i = 0n; i < 64n; i++) {
      if ((a.value >> i) & 1n) acc = bigTnum.add(acc, tn(0n, b.mask << i));
      else if ((a.mask >> i) & 1n) acc = bigTnum.add(acc, tn(0n, (b.value | b.mask) << i));
    }
    return bigTnum.add(tn(a.value * b.value, 0n), acc);
  },
  mulPrecise: (a: BigTnum, b: BigTnum): BigTnum => {
    let acc = tn(0n, 0n);
    for (let i = 0n; i < 64n; i++) {
      const shifted = { value: u64(b.value << i), mask: u64(b.mask << i) };
      if ((a.value >> i) & 1n) acc = bigTnum.add(acc, shifted);
      else if ((a.mask >> i) & 1n) {
        const one = bigTnum.add(acc, shifted);
        acc = tn(acc.value & one.value, (acc.value ^ one.value) | acc.mask | one.mask);
      }
    }
    return acc;
  },
  intersect: (a: BigTnum, b: BigTnum): BigTnum => tn(a.value | b.value, a.mask & b.mask),
  range: (lo: bigint, high: bigint): BigTnum => {
    let bits = 0n;
    while ((lo ^ high) >> bits) bits++;
    return tn(lo, (1n << bits) - 1n);
  },
};

export function bigSync(r: BigReg): void {
  const update = (): void => {
    const v = s32(u32(r.value));
    const m = u32(r.mask);
    r.s32min = max(r.s32min, s32(u32(r.value) | (m & 0x8000_0000n)));
    r.s32max = min(r.s32max, s32(u32(r.value) | (m & 0x7fff_ffffn)));
    r.u32min = max(r.u32min, u32(v));
    r.u32max = min(r.u32max, u32(r.value) | m);
    r.smin = max(r.smin, s64(r.value | (r.mask & (1n << 63n))));
    r.smax = min(r.smax, s64(r.value | (r.mask & ((1n << 63n) - 1n))));
    r.umin = max(r.umin, r.value);
    r.umax = min(r.umax, r.value | r.mask);
  };
  const narrowU32 = (lo: bigint, high: bigint): void => {
    r.u32min = max(r.u32min, u32(lo));
    r.u32max = min(r.u32max, u32(high));
  };
  const narrowS32 = (lo: bigint, high: bigint): void => {
    r.s32min = max(r.s32min, s32(lo));
    r.s32max = min(r.s32max, s32(high));
  };
  const deduce32 = (): void => {
    if (r.umin >> 32n === r.umax >> 32n) {
      narrowU32(r.umin, r.umax);
      if (s32(r.umin) <= s32(r.umax)) narrowS32(r.umin, r.umax);
    }
    if (r.smin >> 32n === r.smax >> 32n) {
      if (u32(r.smin) <= u32(r.smax)) narrowU32(r.smin, r.smax);
      if (s32(r.smin) <= s32(r.smax)) narrowS32(r.smin, r.smax);
    }
    for (const [lo, high] of [
      [r.umin, r.umax],
      [r.smin, r.smax],
    ] as const)
      if (u32((lo >> 32n) + 1n) === u32(high >> 32n) && s32(lo) < 0n && s32(high) >= 0n) narrowS32(lo, high);
    if (s32(r.u32min) <= s32(r.u32max)) narrowS32(r.u32min, r.u32max);
    if (u32(r.s32min) <= u32(r.s32max)) narrowU32(r.s32min, r.s32max);
    else if (r.u32max < u32(r.s32min)) {
      r.s32min = s32(r.u32min);
      r.u32max = min(r.u32max, u32(r.s32max));
    } else if (u32(r.s32max) < r.u32min) {
      r.s32max = s32(r.u32max);
      r.u32min = max(r.u32min, u32(r.s32min));
    }
  };
  const deduce64 = (): void => {
    if (s64(r.umin) <= s64(r.umax)) {
      r.smin = max(r.smin, s64(r.umin));
      r.smax = min(r.smax, s64(r.umax));
    }
    if (u64(r.smin) <= u64(r.smax)) {
      r.umin = max(r.umin, u64(r.smin));
      r.umax = min(r.umax, u64(r.smax));
    } else if (r.umax < u64(r.smin)) {
      r.smin = s64(r.umin);
      r.umax = min(r.umax, u64(r.smax));
    } else if (u64(r.smax) < r.umin) {
      r.smax = s64(r.umax);
      r.umin = max(r.umin, u64(r.smin));
    }
  };
  const mixed = (): void => {
    const put = (v: bigint, low: bigint): bigint => (u64(v) & ~M32) | u32(low);
    const narrow = (lo: bigint, high: bigint): void => {
      r.umin = max(r.umin, put(r.umin, lo));
      r.umax = min(r.umax, put(r.umax, high));
      r.smin = max(r.smin, s64(put(r.smin, lo)));
      r.smax = min(r.smax, s64(put(r.smax, high)));
    };
    narrow(r.u32min, r.u32max);
    if (u32(r.s32min) <= u32(r.s32max)) narrow(r.s32min, r.s32max);
    if (r.s32min >= 0n && r.smin >= -(1n << 31n) && r.smax <= (1n << 31n) - 1n) {
      r.smin = r.s32min;
      r.smax = r.s32max;
      r.umin = u64(r.s32min);
      r.umax = u64(r.s32max);
      Object.assign(r, bigTnum.intersect(r, bigTnum.range(u64(r.smin), u64(r.smax))));
    }
  };
  update();
  for (let i = 0; i < 3; i++) {
    deduce32();
    deduce64();
    mixed();
  }
  const full = bigTnum.intersect(r, bigTnum.range(r.umin, r.umax));
  const low = bigTnum.intersect(
    { value: u32(full.value), mask: u32(full.mask) },
    bigTnum.range(r.u32min, r.u32max),
  );
  r.value = (full.value & ~M32) | low.value;
  r.mask = (full.mask & ~M32) | low.mask;
  update();
}

/** Does the register allow this number? */
export function allows(r: BigReg, v: bigint): boolean {
  const s = s64(v);
  return (
    (v & ~r.mask & M64) === r.value &&
    v >= r.umin &&
    v <= r.umax &&
    s >= r.smin &&
    s <= r.smax &&
    u32(v) >= r.u32min &&
    u32(v) <= r.u32max &&
    s32(v) >= r.s32min &&
    s32(v) <= r.s32max
  );
}

/** Random numbers with many at the edges of the ranges; a fixed seed gives a fixed sequence. */
export class Samples {
  private state: number;
  constructor(seed: number) {
    this.state = seed | 0;
  }
  u32(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  }
  below(n: number): number {
    return this.u32() % n;
  }
  u64(): bigint {
    const edge = [0n, 1n << 31n, 1n << 32n, 1n << 63n, M64, 0xffff_ffffn, 0xffff_ffff_8000_0000n];
    const any = (BigInt(this.u32()) << 32n) | BigInt(this.u32());
    switch (this.below(4)) {
      case 0:
        return u64(edge[this.below(edge.length)]! + BigInt(this.below(9)) - 4n);
      case 1:
        return any >> BigInt(this.below(64));
      case 2:
        return u64(-(any >> BigInt(this.below(64))));
      default:
        return any;
    }
  }
  tnum(): BigTnum {
    const mask = this.below(5) === 0 ? 0n : this.u64();
    return tn(this.u64(), mask);
  }
  /** A register that allows at least the returned number; its ranges need not be in step with each other. */
  reg(): { reg: BigReg; member: bigint } {
    const member = this.u64();
    const mask = this.below(4) === 0 ? M64 : this.u64();
    const around = (v: bigint, to: (x: bigint) => bigint): [bigint, bigint] => {
      if (this.below(5) === 0) return [v, v];
      const a = to(this.u64());
      const b = to(this.u64());
      return [min(v, min(a, b)), max(v, max(a, b))];
    };
    const [umin, umax] = around(member, u64);
    const [smin, smax] = around(s64(member), s64);
    const [u32min, u32max] = around(u32(member), u32);
    const [s32min, s32max] = around(s32(member), s32);
    return { reg: { ...tn(member, mask), umin, umax, smin, smax, u32min, u32max, s32min, s32max }, member };
  }
}
