import type { Slots } from "../../asm/index.ts";
import { BPF_ATOMIC, BPF_LD, BPF_LDX, BPF_LOAD_ACQ, BPF_ST, BPF_STX } from "../../uapi/index.ts";
import type { VmMap } from "../engine.ts";
import { FRAME_SIZE } from "../layout.ts";
import { type CallSites, HELPER_MAP_LOOKUP_ELEM, HELPER_TAIL_CALL, isLookupInlined } from "./calls.ts";
import { type BpfFunction, CALL, CALLX } from "./program.ts";
import {
  advance,
  type BlockValues,
  VALUE_FRAME,
  VALUE_FRAME_ANY,
  type ValueContext,
  Values,
} from "./values.ts";

const SIZES: readonly number[] = [4, 2, 1, 8];

/** Bytes that a load or store with this opcode moves. */
export function accessSize(op: number): number {
  return SIZES[(op >> 3) & 3];
}

/**
 * Which memory a helper touches through its pointer arguments, where that follows from its other arguments:
 * `key` and `value` name the register that points to a key or value of the map in r1, `memory` pairs a pointer with
 * the register that holds its size. A helper that is not listed may touch the whole frame.
 */
interface Footprint {
  readonly key?: number;
  readonly value?: number;
  readonly memory?: readonly (readonly [pointer: number, size: number])[];
}

const R1_R2: Footprint = { memory: [[1, 2]] };
const R2_R3: Footprint = { memory: [[2, 3]] };
const R3_R4: Footprint = { memory: [[3, 4]] };
const FOOTPRINTS: Readonly<Record<number, Footprint>> = {
  1: { key: 2 }, // map_lookup_elem
  2: { key: 2, value: 3 }, // map_update_elem
  3: { key: 2 }, // map_delete_elem
  4: R1_R2, // probe_read
  6: R1_R2, // trace_printk
  9: R3_R4, // skb_store_bytes
  16: R1_R2, // get_current_comm
  25: { memory: [[4, 5]] }, // perf_event_output
  26: R3_R4, // skb_load_bytes
  28: {
    memory: [
      [1, 2],
      [3, 4],
    ],
  }, // csum_diff
  45: R1_R2, // probe_read_str
  68: R3_R4, // skb_load_bytes_relative
  69: R2_R3, // fib_lookup
  87: { value: 2 }, // map_push_elem
  88: { value: 2 }, // map_pop_elem
  89: { value: 2 }, // map_peek_elem
  112: R1_R2, // probe_read_user
  113: R1_R2, // probe_read_kernel
  114: R1_R2, // probe_read_user_str
  115: R1_R2, // probe_read_kernel_str
  130: R2_R3, // ringbuf_output
  189: R3_R4, // xdp_load_bytes
  190: R3_R4, // xdp_store_bytes
  195: { key: 2 }, // map_lookup_percpu_elem
};

/** Which parts of a function's frame live in Wasm locals: no pointer reaches them, and all accesses agree. */
export class FrameSlots {
  /** Per byte of the frame (index: offset + FRAME_SIZE): size of the promoted slot that begins there, or 0. */
  readonly size: Uint8Array = new Uint8Array(FRAME_SIZE);

  /** Size of the promoted slot at r10 + `off`, or 0 when that is memory. */
  at(off: number): number {
    return off >= -FRAME_SIZE && off < 0 ? this.size[off + FRAME_SIZE] : 0;
  }
}

const MIXED = 0xffff;

class Survey {
  /** Per byte: 0 = untouched, start << 4 | size of the only kind of access, or MIXED. */
  readonly use: Uint16Array = new Uint16Array(FRAME_SIZE);
  escaped = false;

  access(off: number, size: number): void {
    this.mark(off, size, ((off + FRAME_SIZE) << 4) | size);
  }

  /** Bytes that must stay in memory. */
  memory(off: number, size: number): void {
    this.mark(off, size, MIXED);
  }

  private mark(off: number, size: number, key: number): void {
    const from = Math.max(off + FRAME_SIZE, 0);
    const to = Math.min(off + FRAME_SIZE + size, FRAME_SIZE);
    const whole = to - from === size;
    for (let at = from; at < to; at++)
      this.use[at] = whole && (this.use[at] === 0 || this.use[at] === key) ? key : MIXED;
  }
}

export function promoteFrame(
  slots: Slots,
  fn: BpfFunction,
  values: BlockValues,
  calls: CallSites,
  arguments_: readonly number[],
  context: ValueContext,
): FrameSlots {
  const survey = new Survey();
  const state = new Values();
  for (const b of fn.order) {
    values.read(b, state);
    for (let i = fn.first[b]; i < fn.last[b] && !survey.escaped; i++) {
      visit(survey, slots, i, state, calls, arguments_);
      advance(state, slots, i, context);
    }
  }
  const result = new FrameSlots();
  if (survey.escaped) return result;
  for (let at = 0; at < FRAME_SIZE; at++) {
    const key = survey.use[at];
    if (key === 0 || key === MIXED || key >> 4 !== at) continue;
    const size = key & 15;
    if (survey.use.subarray(at, at + size).every((byte) => byte === key)) result.size[at] = size;
  }
  return result;
}

function visit(
  survey: Survey,
  slots: Slots,
  i: number,
  values: Values,
  calls: CallSites,
  arguments_: readonly number[],
): void {
  const op = slots.op[i];
  switch (op & 7) {
    case BPF_LDX:
      access(survey, values, slots.src[i], slots.off[i], accessSize(op));
      return;
    case BPF_ST:
      access(survey, values, slots.dst[i], slots.off[i], accessSize(op));
      return;
    case BPF_STX: {
      const atomic = (op & 0xe0) === BPF_ATOMIC;
      const load = atomic && slots.imm[i] === BPF_LOAD_ACQ;
      const base = load ? slots.src[i] : slots.dst[i];
      const value = load ? slots.dst[i] : slots.src[i];
      if (!load && isFrame(values, value)) survey.escaped = true;
      if (atomic && values.kind[base] === VALUE_FRAME)
        survey.memory(values.lo[base] + slots.off[i], accessSize(op));
      else access(survey, values, base, slots.off[i], accessSize(op));
      return;
    }
    case BPF_LD:
      return;
    default:
      if (op === CALL) call(survey, i, values, calls, arguments_);
      else if (op === CALLX) argumentsEscape(survey, values, 0b111110);
  }
}

function isFrame(values: Values, reg: number): boolean {
  const kind = values.kind[reg];
  return kind === VALUE_FRAME || kind === VALUE_FRAME_ANY;
}

function access(survey: Survey, values: Values, base: number, off: number, size: number): void {
  if (values.kind[base] === VALUE_FRAME_ANY) survey.escaped = true;
  else if (values.kind[base] === VALUE_FRAME) survey.access(values.lo[base] + off, size);
}

function argumentsEscape(survey: Survey, values: Values, mask: number): void {
  for (let r = 1; r <= 5; r++) if (mask & (1 << r) && isFrame(values, r)) survey.escaped = true;
}

function call(
  survey: Survey,
  i: number,
  values: Values,
  calls: CallSites,
  arguments_: readonly number[],
): void {
  const site = calls.at(i);
  if (site.callee >= 0) {
    argumentsEscape(survey, values, arguments_[site.callee]);
    return;
  }
  // The next program owns the frame after a tail call; its arguments are the context, a map and an index.
  const nargs = site.helper === HELPER_TAIL_CALL ? 3 : site.binding!.nargs;
  let open = 0;
  for (let r = 1; r <= nargs; r++) if (isFrame(values, r)) open |= 1 << r;
  if (open === 0) return;
  const footprint = FOOTPRINTS[site.helper];
  const touch = (pointer: number, size: number | undefined): void => {
    if (size === undefined || values.kind[pointer] !== VALUE_FRAME) return;
    survey.memory(values.lo[pointer], size);
    open &= ~(1 << pointer);
  };
  if (footprint !== undefined) {
    const map: VmMap | undefined = values.isConst(1) ? calls.map(values.lo[1]) : undefined;
    if (site.helper === HELPER_MAP_LOOKUP_ELEM && map !== undefined && isLookupInlined(map)) {
      // The inlined lookup reads the key as any load does.
      access(survey, values, 2, 0, 4);
      open &= ~(1 << 2);
    } else if (footprint.key !== undefined) touch(footprint.key, map?.keySize);
    if (footprint.value !== undefined) touch(footprint.value, map?.valueSize);
    for (const [pointer, size] of footprint.memory ?? [])
      touch(pointer, values.isConst(size) ? values.lo[size] >>> 0 : undefined);
  }
  if (open !== 0) survey.escaped = true;
}
