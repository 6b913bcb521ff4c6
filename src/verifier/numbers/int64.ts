/**
 * 64-bit integers as pairs of int32, low half first. A function whose result has 64 bits returns the low half and leaves
 * the high half in `hi`: read it before the next call. (A BigInt costs ten times as much; an object or array per result
 * would be garbage by the million.)
 */

/** High half of the last result. */
export let hi = 0;

export function ult64(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  return aHi === bHi ? aLo >>> 0 < bLo >>> 0 : aHi >>> 0 < bHi >>> 0;
}

export function ule64(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  return aHi === bHi ? aLo >>> 0 <= bLo >>> 0 : aHi >>> 0 < bHi >>> 0;
}

export function slt64(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  return aHi === bHi ? aLo >>> 0 < bLo >>> 0 : aHi < bHi;
}

export function sle64(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  return aHi === bHi ? aLo >>> 0 <= bLo >>> 0 : aHi < bHi;
}

export function ult32(a: number, b: number): boolean {
  return a >>> 0 < b >>> 0;
}

/** Leaves the pair as a result. */
export function pair(lo: number, high: number): number {
  hi = high;
  return lo;
}

export function add64(aLo: number, aHi: number, bLo: number, bHi: number): number {
  const lo = (aLo + bLo) | 0;
  hi = (aHi + bHi + (lo >>> 0 < aLo >>> 0 ? 1 : 0)) | 0;
  return lo;
}

export function sub64(aLo: number, aHi: number, bLo: number, bHi: number): number {
  hi = (aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0;
  return (aLo - bLo) | 0;
}

/** Upper 32 bits of a 32 x 32 bit unsigned product. */
function mulHigh32(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const mid = a1 * b0 + ((a0 * b0) >>> 16);
  const mid2 = a0 * b1 + (mid & 0xffff);
  return (a1 * b1 + (mid >>> 16) + (mid2 >>> 16)) | 0;
}

/** Wraps. */
export function mul64(aLo: number, aHi: number, bLo: number, bHi: number): number {
  hi = (mulHigh32(aLo, bLo) + Math.imul(aLo, bHi) + Math.imul(aHi, bLo)) | 0;
  return Math.imul(aLo, bLo);
}

/** Does the product of two unsigned numbers need more than 64 bits? */
export function mulOverflowsU64(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  if (aHi !== 0 && bHi !== 0) return true;
  if (aHi === 0 && bHi === 0) return false;
  const cross = (aHi >>> 0) * (bLo >>> 0) + (bHi >>> 0) * (aLo >>> 0);
  return cross + (mulHigh32(aLo, bLo) >>> 0) > 0xffff_ffff;
}

/** Does the product of two signed numbers need more than 64 bits? The product modulo 2^64 must be the one passed. */
export function mulOverflowsS64(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  const negative = aHi < 0 !== bHi < 0;
  if (aHi < 0) {
    aLo = sub64(0, 0, aLo, aHi);
    aHi = hi;
  }
  if (bHi < 0) {
    bLo = sub64(0, 0, bLo, bHi);
    bHi = hi;
  }
  if (mulOverflowsU64(aLo, aHi, bLo, bHi)) return true;
  const lo = mul64(aLo, aHi, bLo, bHi);
  // The magnitude may be 2^63 if the product is negative.
  return hi < 0 && !(negative && hi === -0x8000_0000 && lo === 0);
}

/** `n` in 0..63. */
export function shl64(lo: number, high: number, n: number): number {
  if (n === 0) {
    hi = high;
    return lo;
  }
  if (n < 32) {
    hi = (high << n) | (lo >>> (32 - n));
    return lo << n;
  }
  hi = lo << (n - 32);
  return 0;
}

export function shr64(lo: number, high: number, n: number): number {
  if (n === 0) {
    hi = high;
    return lo;
  }
  if (n < 32) {
    hi = (high >>> n) | 0;
    return (lo >>> n) | (high << (32 - n));
  }
  hi = 0;
  return (high >>> (n - 32)) | 0;
}

export function sar64(lo: number, high: number, n: number): number {
  if (n === 0) {
    hi = high;
    return lo;
  }
  if (n < 32) {
    hi = high >> n;
    return (lo >>> n) | (high << (32 - n));
  }
  hi = high >> 31;
  return high >> (n - 32);
}

/** Number of the highest bit set, from 1; 0 for 0. */
export function fls64(lo: number, high: number): number {
  return high !== 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(lo);
}

/** For printing only. */
export function toU64(lo: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(lo >>> 0);
}

export function toS64(lo: number, high: number): bigint {
  return (BigInt(high) << 32n) | BigInt(lo >>> 0);
}

/** As a JavaScript number: exact within +-2^53. */
export function toNumberS64(lo: number, high: number): number {
  return high * 0x1_0000_0000 + (lo >>> 0);
}

export function toNumberU64(lo: number, high: number): number {
  return (high >>> 0) * 0x1_0000_0000 + (lo >>> 0);
}

/** Sets `hi` and gives the low half: a BigInt's low 64 bits. */
export function fromBigInt(value: bigint): number {
  hi = Number(BigInt.asIntN(32, value >> 32n));
  return Number(BigInt.asIntN(32, value));
}
