/**
 * Windows of the bounds-checked mode: a pointer that loops use, but that was made before them, is looked up in the
 * shadow once, when it is made. The loop then compares an address with the bounds found there (two instructions in
 * place of seven), and asks the shadow only where that fails.
 */
import type { Slots } from "../../asm/index.ts";
import { BPF_ATOMIC, BPF_LDX, BPF_LOAD_ACQ, BPF_ST, BPF_STX } from "../../uapi/index.ts";
import { accessSize } from "./frame.ts";
import type { BpfFunction } from "./program.ts";
import { cycles } from "./shape.ts";
import {
  advance,
  type BlockValues,
  ORIGIN_SOURCE,
  originIndex,
  originTag,
  type ValueContext,
  Values,
} from "./values.ts";

/** Largest access that a source's window must serve, per table; 0: no window. */
export interface Window {
  read: number;
  write: number;
}

/** More windows than this would cost more registers than they save work. */
const MAX_WINDOWS = 6;

/** Sources (as in ORIGIN_SOURCE) that deserve a window. */
export function planWindows(
  slots: Slots,
  fn: BpfFunction,
  values: BlockValues,
  context: ValueContext,
): Map<number, Window> {
  const inLoop = new Uint8Array(fn.first.length);
  for (const component of cycles(fn.succ, fn.order)) for (const b of component) inLoop[b] = 1;
  const madeInLoop = new Set<number>();
  const windows = new Map<number, Window>();
  const state = new Values();
  for (const b of fn.order) {
    if (!inLoop[b]) continue;
    values.read(b, state);
    for (let i = fn.first[b]; i < fn.last[b]; i++) {
      madeInLoop.add(i);
      if (!context.probes(i)) visit(slots, i, state, windows);
      advance(state, slots, i, context);
    }
  }
  for (const source of windows.keys()) if (madeInLoop.has(source)) windows.delete(source);
  return new Map([...windows].slice(0, MAX_WINDOWS));
}

function visit(slots: Slots, i: number, values: Values, windows: Map<number, Window>): void {
  const op = slots.op[i];
  const cls = op & 7;
  if (cls !== BPF_LDX && cls !== BPF_ST && cls !== BPF_STX) return;
  const acquire = cls === BPF_STX && (op & 0xe0) === BPF_ATOMIC && slots.imm[i] === BPF_LOAD_ACQ;
  const reads = cls === BPF_LDX || acquire;
  const origin = values.origin[reads ? slots.src[i] : slots.dst[i]];
  if (originTag(origin) !== ORIGIN_SOURCE) return;
  const source = originIndex(origin);
  let window = windows.get(source);
  if (window === undefined) windows.set(source, (window = { read: 0, write: 0 }));
  const size = accessSize(op);
  if (reads) window.read = Math.max(window.read, size);
  else window.write = Math.max(window.write, size);
}
