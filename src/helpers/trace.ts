// bpf_trace_printk, bpf_trace_vprintk, bpf_snprintf (kernel/trace/bpf_trace.c, kernel/bpf/helpers.c).
import { EINVAL } from "../uapi/index.ts";
import { type AddressSpace, POINTER_HIGH } from "../vm/index.ts";
import { bprintf, type FormatMemory } from "./format.ts";
import type { CallFrame, HelperHost } from "./host.ts";

const MAX_BPRINTF_VARARGS = 12;
const MAX_BPRINTF_BUF = 1024;

/** What %s and %pI4 may read: the same bytes as the program. User memory is what has no high half (core/helpers/memory.ts). */
export function formatMemory(space: AddressSpace): FormatMemory {
  const offset = (pointer: bigint): number | undefined => {
    const high = Number(pointer >> 32n);
    return high === POINTER_HIGH || high === 0 ? Number(pointer & 0xffffffffn) : undefined;
  };
  return {
    bytes(pointer, size) {
      const at = offset(pointer);
      return at !== undefined && space.canRead(at, size) ? space.u8.slice(at, at + size) : undefined;
    },
    text(pointer, limit, user) {
      const start = user && pointer >> 32n !== 0n ? undefined : offset(pointer);
      if (start === undefined || !space.canRead(start, 1)) return undefined;
      let end = start;
      while (end - start < limit - 1 && space.canRead(end, 1) && space.u8[end] !== 0) end++;
      return space.u8.slice(start, end);
    },
  };
}

const decoder = new TextDecoder();

function print(host: HelperHost, frame: CallFrame, args: readonly bigint[]): number {
  const at = frame.readable(1, frame.u32(2));
  const end = frame.space.u8.subarray(at, at + frame.u32(2)).indexOf(0);
  if (end < 0) return -EINVAL;
  const text = bprintf(frame.space.u8.slice(at, at + end), args, formatMemory(frame.space), MAX_BPRINTF_BUF);
  if (typeof text === "number") return text;
  host.trace(decoder.decode(text.subarray(0, MAX_BPRINTF_BUF - 1)));
  return text.length;
}

/** The array of u64 that r`n` points to; undefined: its size is not one that the kernel takes. */
function varargs(frame: CallFrame, n: number): bigint[] | undefined {
  const size = frame.u32(n + 1);
  if (size % 8 !== 0 || size > MAX_BPRINTF_VARARGS * 8 || (size !== 0 && frame.u64(n) === 0n))
    return undefined;
  const at = frame.readable(n, size);
  return Array.from({ length: size / 8 }, (_, i) => frame.space.dv.getBigUint64(at + i * 8, true));
}

export function tracePrintk(host: HelperHost, frame: CallFrame): number | bigint {
  return print(host, frame, [frame.u64(3), frame.u64(4), frame.u64(5)]);
}

export function traceVprintk(host: HelperHost, frame: CallFrame): number | bigint {
  const args = varargs(frame, 3);
  if (args === undefined) return -EINVAL;
  return print(host, frame, args);
}

export function snprintf(_host: HelperHost, frame: CallFrame): number | bigint {
  const size = frame.u32(2);
  const to = frame.writable(1, size);
  const args = varargs(frame, 4);
  if (args === undefined) return -EINVAL;
  const text = bprintf(frame.string(3, 1 << 20), args, formatMemory(frame.space), size);
  if (typeof text === "number") return text;
  if (size !== 0) {
    const kept = text.subarray(0, size - 1);
    frame.space.u8.set(kept, to);
    frame.space.u8[to + kept.length] = 0;
  }
  return text.length + 1;
}
