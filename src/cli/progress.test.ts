import { afterEach, describe, expect, it, vi } from "vitest";
import { Progress } from "./progress.ts";

afterEach(() => vi.useRealTimers());

function record(isTTY: boolean, total: number | undefined): string {
  vi.useFakeTimers();
  let text = "";
  const progress = new Progress(total, { isTTY, write: (more: string) => (text += more) });
  for (let done = 0; done <= 10; done++) {
    progress.update(done, () => `${done} packets`);
    vi.advanceTimersByTime(90);
  }
  progress.end();
  return text;
}

describe("progress", () => {
  it("is one line on a terminal, after half a second, at most ten times a second, and goes away", () => {
    expect(record(true, 20)).toBe("\r\x1b[K30% 6 packets\r\x1b[K40% 8 packets\r\x1b[K50% 10 packets\r\x1b[K");
    expect(record(true, undefined)).toContain("\r\x1b[K6 packets");
  });
  it("is nothing elsewhere", () => {
    expect(record(false, 20)).toBe("");
  });
});
