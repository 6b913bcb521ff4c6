// pcapng's timestamps: 64-bit counts of ticks, whose length each interface states.

export interface TickClock {
  /** Ticks a second; a number where the fast path can divide by it. */
  readonly perSecond: number | bigint;
  /** Seconds to add. */
  readonly offset: number;
}

export interface Time {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** Divisors up to this keep every step of the long division below 2^53. */
const FAST = 2 ** 36;

export const microsecondClock: TickClock = { perSecond: 1e6, offset: 0 };

/** From if_tsresol (a negative power of 10, or of 2 with the top bit set) and if_tsoffset. */
export function tickClock(resolution: number, offset: bigint): TickClock {
  const exponent = resolution & 0x7f;
  const perSecond = resolution & 0x80 ? 1n << BigInt(exponent) : 10n ** BigInt(exponent);
  return { perSecond: perSecond <= FAST ? Number(perSecond) : perSecond, offset: Number(offset) };
}

/** The time of `high * 2^32 + low` ticks. */
export function toTime(clock: TickClock, high: number, low: number): Time {
  const { perSecond, offset } = clock;
  if (typeof perSecond === "bigint") {
    const ticks = (BigInt(high) << 32n) | BigInt(low);
    const rest = ((ticks % perSecond) * 1_000_000_000n) / perSecond;
    return { seconds: Number(ticks / perSecond) + offset, nanoseconds: Number(rest) };
  }
  // Long division by 16-bit digits: no BigInt for a packet of an ordinary file.
  let seconds = 0;
  let rest = 0;
  for (const digit of [high >>> 16, high & 0xffff, low >>> 16, low & 0xffff]) {
    const part = rest * 0x10000 + digit;
    seconds = seconds * 0x10000 + Math.floor(part / perSecond);
    rest = part % perSecond;
  }
  return { seconds: seconds + offset, nanoseconds: fraction(rest, perSecond) };
}

function fraction(rest: number, perSecond: number): number {
  if (1e9 % perSecond === 0) return rest * (1e9 / perSecond);
  return Math.floor((rest / perSecond) * 1e9);
}
