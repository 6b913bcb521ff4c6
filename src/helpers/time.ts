// Clocks (kernel/bpf/helpers.c).
import type { CallFrame, HelperHost } from "./host.ts";

/** The recording machine's, and Debian's. */
const HZ = 250;
/** INITIAL_JIFFIES: the counter wraps five minutes after boot. */
const INITIAL_JIFFIES = 2 ** 32 - 300 * HZ;
/** International atomic time is ahead of UTC by the leap seconds since 1972. */
const TAI_OFFSET_NS = 37e9;

export function ktimeGetNs(host: HelperHost, _frame: CallFrame): number | bigint {
  return host.clock.monotonicNs();
}

/** CLOCK_MONOTONIC_COARSE: the time of the last tick. */
export function ktimeGetCoarseNs(host: HelperHost, _frame: CallFrame): number | bigint {
  const now = host.clock.monotonicNs();
  return now - (now % (1e9 / HZ));
}

export function ktimeGetTaiNs(host: HelperHost, _frame: CallFrame): number | bigint {
  return host.clock.realNs() + TAI_OFFSET_NS;
}

export function jiffies64(host: HelperHost, _frame: CallFrame): number | bigint {
  return INITIAL_JIFFIES + Math.floor(host.clock.monotonicNs() / (1e9 / HZ));
}
