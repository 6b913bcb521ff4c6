/**
 * The program as it will run: code that no path comes to is gone. opt_hard_wire_dead_code_branches(),
 * opt_remove_dead_code(), opt_remove_nops(); without CAP_BPF, dead code stays and turns into jumps to itself.
 */
import type { Slots } from "../asm/index.ts";
import {
  BPF_CALL,
  BPF_DW,
  BPF_EXIT,
  BPF_IMM,
  BPF_JA,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
} from "../uapi/index.ts";
import type { Env } from "./env.ts";

const JA = BPF_JMP | BPF_JA;
const GOTOL = BPF_JMP32 | BPF_JA;
const CALL = BPF_JMP | BPF_CALL;
const LD_IMM64 = BPF_LD | BPF_IMM | BPF_DW;

export interface Rewritten {
  readonly insns: Uint8Array;
  /** Where each remaining slot stood. */
  readonly origin: Int32Array;
}

function isCondJump(op: number): boolean {
  const cls = op & 7;
  const kind = op & 0xf0;
  if (cls === BPF_JMP32) return kind !== BPF_JA;
  return cls === BPF_JMP && kind !== BPF_JA && kind !== BPF_EXIT && kind !== BPF_CALL;
}

/** A jump that goes one way only becomes one that says so. */
function hardWire(env: Env, s: Slots): void {
  for (let i = 0; i < s.count; i++) {
    if (!env.aux[i]!.seen || !isCondJump(s.op[i]!) || s.op[i] === (BPF_JMP | BPF_JCOND)) continue;
    const off = s.off[i]!;
    let target = off;
    if (!env.aux[i + 1]!.seen) target = off;
    else if (!env.aux[i + 1 + off]!.seen) target = 0;
    else continue;
    s.op[i] = JA;
    s.dst[i] = 0;
    s.src[i] = 0;
    s.off[i] = target;
    s.imm[i] = 0;
  }
}

/** Removes the slots that `drop` marks; jumps to one go to what stood behind it. */
function remove(s: Slots, origin: Int32Array, drop: Uint8Array): { slots: Slots; origin: Int32Array } {
  const place = new Int32Array(s.count + 1);
  let count = 0;
  for (let i = 0; i < s.count; i++) {
    place[i] = count;
    if (drop[i] === 0) count++;
  }
  place[s.count] = count;
  if (count === s.count) return { slots: s, origin };
  const out = {
    count,
    op: new Uint8Array(count),
    dst: new Uint8Array(count),
    src: new Uint8Array(count),
    off: new Int16Array(count),
    imm: new Int32Array(count),
  };
  const from = new Int32Array(count);
  for (let i = 0; i < s.count; i++) {
    if (drop[i] !== 0) continue;
    const to = place[i]!;
    const op = s.op[i]!;
    let off = s.off[i]!;
    let imm = s.imm[i]!;
    const cls = op & 7;
    const kind = op & 0xf0;
    if (
      op === GOTOL ||
      (op === CALL && s.src[i] === BPF_PSEUDO_CALL) ||
      (op === LD_IMM64 && s.src[i] === BPF_PSEUDO_FUNC)
    )
      imm = place[i + 1 + imm]! - to - 1;
    else if ((cls === BPF_JMP || cls === BPF_JMP32) && kind !== BPF_CALL && kind !== BPF_EXIT)
      off = place[i + 1 + off]! - to - 1;
    out.op[to] = op;
    out.dst[to] = s.dst[i]!;
    out.src[to] = s.src[i]!;
    out.off[to] = off;
    out.imm[to] = imm;
    from[to] = origin[i]!;
  }
  return { slots: out, origin: from };
}

function deadSlots(env: Env, s: Slots): Uint8Array {
  const drop = new Uint8Array(s.count);
  for (let i = 0; i < s.count; i++) drop[i] = env.aux[i]!.seen ? 0 : 1;
  return drop;
}

/** goto +0, and may_goto +0. */
function nopSlots(s: Slots): Uint8Array {
  const drop = new Uint8Array(s.count);
  for (let i = 0; i < s.count; i += s.op[i] === LD_IMM64 ? 2 : 1)
    if (s.off[i] === 0 && s.imm[i] === 0 && (s.op[i] === JA || s.op[i] === (BPF_JMP | BPF_JCOND)))
      drop[i] = 1;
  return drop;
}

function encode(s: Slots): Uint8Array {
  const bytes = new Uint8Array(s.count * 8);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < s.count; i++) {
    bytes[i * 8] = s.op[i]!;
    bytes[i * 8 + 1] = s.dst[i]! | (s.src[i]! << 4);
    view.setInt16(i * 8 + 2, s.off[i]!, true);
    view.setInt32(i * 8 + 4, s.imm[i]!, true);
  }
  return bytes;
}

/** Of an accepted program. */
export function rewrite(env: Env): Rewritten {
  const { count, op, dst, src, off, imm } = env.slots;
  let slots: Slots = {
    count,
    op: op.slice(),
    dst: dst.slice(),
    src: src.slice(),
    off: off.slice(),
    imm: imm.slice(),
  };
  let origin: Int32Array = Int32Array.from({ length: count }, (_, i) => i);
  if (!env.bpfCapable) {
    for (let i = 0; i < count; i++) {
      if (env.aux[i]!.seen) continue;
      slots.op[i] = JA;
      slots.dst[i] = 0;
      slots.src[i] = 0;
      slots.off[i] = -1;
      slots.imm[i] = 0;
    }
    return { insns: encode(slots), origin };
  }
  hardWire(env, slots);
  ({ slots, origin } = remove(slots, origin, deadSlots(env, slots)));
  ({ slots, origin } = remove(slots, origin, nopSlots(slots)));
  return { insns: encode(slots), origin };
}
