import { createRequire } from "node:module";

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

const require = createRequire(import.meta.url);

/** CPU time of this thread in ns: what other processes take from it does not count. */
export const threadTime: () => number = (() => {
  const koffi = require("koffi") as {
    load(path: null): { func(text: string): (...args: unknown[]) => number };
  };
  const clockGettime = koffi.load(null).func("int clock_gettime(int clock, int64_t *time)");
  const THREAD_CPUTIME = 3;
  const out = new BigInt64Array(2);
  return () => {
    clockGettime(THREAD_CPUTIME, out);
    return Number(out[0]) * 1e9 + Number(out[1]);
  };
})();

/** Nanoseconds of one call of `run`, over `repeat` calls. */
export function timeCalls(run: () => unknown, repeat: number): number {
  const from = threadTime();
  for (let i = 0; i < repeat; i++) run();
  return (threadTime() - from) / repeat;
}
