// bpf_strtol, bpf_strtoul (kernel/bpf/helpers.c, lib/kstrtox.c).
import { EINVAL, ERANGE } from "../uapi/index.ts";
import type { CallFrame, HelperHost } from "./host.ts";

const BPF_STRTOX_BASE_MASK = 0x1fn;
const isSpace = (c: number): boolean => c === 32 || (c >= 9 && c <= 13) || c === 0xa0;
const digitOf = (c: number | undefined): number => {
  if (c === undefined) return 99;
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const lower = c | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : 99;
};

interface Parsed {
  readonly consumed: number;
  readonly value: bigint;
  readonly negative: boolean;
}

/** __bpf_strtoull(): a negative errno, or what it read. */
export function parseInteger(text: Uint8Array, flags: bigint): Parsed | number {
  let base = Number(flags & BPF_STRTOX_BASE_MASK);
  if (text.length === 0 || (base !== 0 && base !== 8 && base !== 10 && base !== 16)) return -EINVAL;
  if (flags & ~BPF_STRTOX_BASE_MASK) return -EINVAL;
  let at = 0;
  while (at < text.length && isSpace(text[at]!)) at++;
  const negative = text[at] === 0x2d;
  if (negative) at++;
  if (at === text.length) return -EINVAL;
  // The kernel copies 63 bytes aside.
  const end = Math.min(text.length, at + 63);
  const digit = (i: number): number => digitOf(i < end ? text[i] : undefined);
  const isX = (i: number): boolean => i < end && (text[i]! | 0x20) === 0x78;
  if (base === 0) base = text[at] !== 0x30 ? 10 : isX(at + 1) && digit(at + 2) < 16 ? 16 : 8;
  if (base === 16 && text[at] === 0x30 && isX(at + 1)) at += 2;
  const first = at;
  let value = 0n;
  for (; digit(at) < base; at++) value = value * BigInt(base) + BigInt(digit(at));
  if (value >> 64n) return -ERANGE;
  return at === first ? -EINVAL : { consumed: at, value, negative };
}

function convert(frame: CallFrame, signed: boolean): number {
  const length = frame.u32(2);
  const from = frame.readable(1, length);
  const to = frame.writable(4, 8);
  const text = frame.space.u8.slice(from, from + length);
  frame.space.dv.setBigUint64(to, 0n, true);
  const parsed = parseInteger(text, frame.u64(3));
  if (typeof parsed === "number") return parsed;
  let value = parsed.value;
  if (signed) {
    if (value > (parsed.negative ? 1n << 63n : (1n << 63n) - 1n)) return -ERANGE;
    if (parsed.negative) value = -value;
  } else if (parsed.negative) return -EINVAL;
  frame.space.dv.setBigUint64(to, BigInt.asUintN(64, value), true);
  return parsed.consumed;
}

export function strtol(_host: HelperHost, frame: CallFrame): number | bigint {
  return convert(frame, true);
}

export function strtoul(_host: HelperHost, frame: CallFrame): number | bigint {
  return convert(frame, false);
}
