/** Registers that hold the same number (or one a constant apart): what a comparison says of one it says of all. */

import type { Env } from "../env.ts";
import { packLinked } from "../paths/precision.ts";
import { RegState } from "../state/reg.ts";
import { BPF_REG_FP } from "../state/reg-arg.ts";
import { markConstScalar, zext32To64 } from "../state/reg-ops.ts";
import { SCALAR_VALUE } from "../state/reg-type.ts";
import { isSpilledReg } from "../state/stack-slots.ts";
import type { FuncState, VerifierState } from "../state/state.ts";
import { boundsSync } from "./bounds.ts";
import { BPF_ADD_CONST, BPF_ADD_CONST32, clearScalarId } from "./scalar-id.ts";
import { scalarAdd32, scalarAdd64 } from "./scalar-ops.ts";
import { tnumAdd } from "./tnum.ts";

/** As many as the kernel's history entry has room for; the rest lose their link. */
const LINKED_REGS_MAX = 6;

/** Adds to `linked` (packed as HistoryEntry.linked) what has the id `id`: collect_linked_regs(). */
export function collectLinked(state: VerifierState, id: number, linked: number[]): void {
  id &= ~BPF_ADD_CONST;
  const has = (reg: RegState): boolean => reg.type === SCALAR_VALUE && (reg.id & ~BPF_ADD_CONST) === id;
  for (let f = state.curframe; f >= 0; f--) {
    const frame = state.frames[f]!;
    for (let r = 0; r < BPF_REG_FP; r++) {
      if (!has(frame.regs[r]!)) continue;
      if (linked.length < LINKED_REGS_MAX) linked.push(packLinked(f, r, true));
      else clearScalarId(frame.own(r));
    }
    for (let s = 0; s < frame.stack.length; s++) {
      const slot = frame.stack[s]!;
      if (!isSpilledReg(slot) || !has(slot.spilled)) continue;
      if (linked.length < LINKED_REGS_MAX) linked.push(packLinked(f, s, false));
      else clearScalarId(frame.ownSpilled(s));
    }
  }
}

const delta = new RegState();

function setPrecise(frame: FuncState, index: number, isReg: boolean, precise: boolean): void {
  if (!isReg) frame.setSlotPrecise(index, precise);
  else if (precise) frame.precise |= 1 << index;
  else frame.precise &= ~(1 << index);
}

/** Gives what register `r` of the current frame holds to all that are linked with it: sync_linked_regs(). */
export function syncLinked(env: Env, state: VerifierState, r: number, linked: readonly number[]): void {
  const known = state.frame.regs[r]!;
  const precise = state.frame.isPrecise(r);
  for (let i = 0; i < linked.length; i++) {
    const packed = linked[i]!;
    const isReg = (packed & 512) !== 0;
    const index = (packed >> 3) & 63;
    const f = packed & 7;
    if (isReg && f === state.curframe && index === r) continue;
    const frame = state.frames[f]!;
    const reg = isReg ? frame.regs[index]! : frame.stack[index]!.spilled;
    if (reg.type !== SCALAR_VALUE) continue;
    if ((reg.id & ~BPF_ADD_CONST) !== (known.id & ~BPF_ADD_CONST)) continue;
    // One 32 and one 64 bits wide: the distance between them is not known.
    if (((reg.id ^ known.id) & BPF_ADD_CONST) === BPF_ADD_CONST) continue;
    const { subregDef, off, id } = reg;
    const copy = isReg ? frame.own(index) : frame.ownSpilled(index);
    copy.assign(known);
    copy.subregDef = subregDef;
    setPrecise(frame, index, isReg, precise);
    if (((id | known.id) & BPF_ADD_CONST) === 0 || off === known.off) continue;
    const distance = off - known.off;
    const wrapped = distance | 0;
    if (env.linkedDeltas) markConstScalar(delta, wrapped, distance < 0 ? -1 : 0);
    else markConstScalar(delta, wrapped, wrapped >> 31);
    copy.off = off;
    copy.id = id;
    scalarAdd32(copy, delta, env.wrapsKeepRange);
    scalarAdd64(copy, delta, env.wrapsKeepRange);
    tnumAdd(copy, copy, delta);
    if (!env.linkedDeltas) continue;
    if (((id | known.id) & BPF_ADD_CONST32) !== 0) zext32To64(copy);
    boundsSync(copy);
  }
}
