/** Where a kernel takes its time from. Nanoseconds as numbers: exact to below a microsecond for centuries. */
export interface Clock {
  /** CLOCK_MONOTONIC, and CLOCK_BOOTTIME: an embedded kernel is never suspended. */
  monotonicNs(): number;
  /** CLOCK_REALTIME. */
  realNs(): number;
}

/** The host's clock. */
export const hostClock: Clock = {
  monotonicNs: () => Math.round(performance.now() * 1e6),
  realNs: () => Date.now() * 1e6,
};

/** A clock that moves only when it is told to. */
export class FrozenClock implements Clock {
  #ns: number;
  readonly #realOffsetNs: number;

  constructor(monotonicNs = 1_000_000_000, realNs = 1_700_000_000_000_000_000) {
    this.#ns = monotonicNs;
    this.#realOffsetNs = realNs - monotonicNs;
  }

  monotonicNs(): number {
    return this.#ns;
  }

  realNs(): number {
    return this.#ns + this.#realOffsetNs;
  }

  advance(ns: number): void {
    this.#ns += ns;
  }
}
