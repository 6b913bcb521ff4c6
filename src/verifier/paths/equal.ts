/**
 * Is a state covered by one that was explored? "Equal" in the kernel's words: whatever was safe from `old` on is safe
 * from `cur` on. states_equal(), regsafe(), stacksafe().
 */

import type { Env } from "../env.ts";
import { sle64, slt64, ule64, ult32 } from "../numbers/int64.ts";
import { BPF_ADD_CONST } from "../numbers/scalar-id.ts";
import { tnumIn } from "../numbers/tnum.ts";
import { RegState } from "../state/reg.ts";
import { markUnknown } from "../state/reg-ops.ts";
import {
  baseType,
  NOT_INIT,
  PTR_TO_ARENA,
  PTR_TO_BUF,
  PTR_TO_MAP_KEY,
  PTR_TO_MAP_VALUE,
  PTR_TO_MEM,
  PTR_TO_PACKET,
  PTR_TO_PACKET_META,
  PTR_TO_STACK,
  PTR_TO_TP_BUFFER,
  SCALAR_VALUE,
} from "../state/reg-type.ts";
import { isSpilledScalar64 } from "../state/stack-slots.ts";
import {
  type FuncState,
  MAX_BPF_REG,
  MAX_BPF_STACK,
  MAX_CALL_FRAMES,
  REF_TYPE_IRQ,
  REF_TYPE_PTR,
  STACK_DYNPTR,
  STACK_INVALID,
  STACK_IRQ_FLAG,
  STACK_ITER,
  STACK_MISC,
  STACK_SPILL,
  STACK_ZERO,
  type StackSlot,
  type VerifierState,
} from "../state/state.ts";

/** Numbers that `old` does not need exactly may differ. */
export const NOT_EXACT = 0;
/** Everything the same: a loop that makes no progress. */
export const EXACT = 1;
/** As NOT_EXACT, but every number counts: loops whose marks are not complete. */
export const RANGE_WITHIN = 2;

const ID_MAP_SIZE: number = (MAX_BPF_REG + MAX_BPF_STACK / 8) * MAX_CALL_FRAMES;

/** Which id of `cur` stands for which of `old`, in one comparison: struct bpf_idmap. */
class IdMap {
  private readonly old: Int32Array = new Int32Array(ID_MAP_SIZE * 2);
  private readonly cur: Int32Array = new Int32Array(ID_MAP_SIZE * 2);
  private count = 0;
  private temporary = 0;

  reset(env: Env): void {
    this.count = 0;
    this.temporary = env.idGen;
  }

  /** check_ids(). */
  check(oldId: number, curId: number): boolean {
    if (oldId === 0 || curId === 0) return oldId === curId;
    const { old, cur, count } = this;
    for (let i = 0; i < count; i++) {
      if (old[i] === oldId) return cur[i] === curId;
      if (cur[i] === curId) return false;
    }
    if (count === old.length) return false;
    old[count] = oldId;
    cur[count] = curId;
    this.count++;
    return true;
  }

  /** check_scalar_ids(): numbers linked to nothing in `old` may be linked in `cur`; not the other way round. */
  checkScalar(oldId: number, curId: number): boolean {
    if (oldId === 0) return true;
    const cur = curId === 0 ? ++this.temporary : curId;
    if (!this.check(oldId, cur)) return false;
    return (oldId & BPF_ADD_CONST) === 0 || this.check(oldId & ~BPF_ADD_CONST, cur & ~BPF_ADD_CONST);
  }
}

const ids: IdMap = new IdMap();

/** What the kernel's struct has before var_off. */
function sameKind(a: RegState, b: RegState): boolean {
  return (
    a.type === b.type &&
    a.off === b.off &&
    a.range === b.range &&
    a.map === b.map &&
    a.mapUid === b.mapUid &&
    a.btf === b.btf &&
    a.btfId === b.btfId &&
    a.memSize === b.memSize &&
    a.dynptrId === b.dynptrId &&
    a.dynptrType === b.dynptrType &&
    a.dynptrFirstSlot === b.dynptrFirstSlot &&
    a.iterState === b.iterState &&
    a.iterDepth === b.iterDepth &&
    a.irqClass === b.irqClass &&
    a.subprogno === b.subprogno
  );
}

function sameNumber(a: RegState, b: RegState): boolean {
  return (
    a.valueLo === b.valueLo &&
    a.valueHi === b.valueHi &&
    a.maskLo === b.maskLo &&
    a.maskHi === b.maskHi &&
    a.sminLo === b.sminLo &&
    a.sminHi === b.sminHi &&
    a.smaxLo === b.smaxLo &&
    a.smaxHi === b.smaxHi &&
    a.uminLo === b.uminLo &&
    a.uminHi === b.uminHi &&
    a.umaxLo === b.umaxLo &&
    a.umaxHi === b.umaxHi &&
    a.s32Min === b.s32Min &&
    a.s32Max === b.s32Max &&
    a.u32Min === b.u32Min &&
    a.u32Max === b.u32Max
  );
}

/** All but ids: what lies before `id` in the kernel's struct. */
export function sameContents(a: RegState, b: RegState): boolean {
  return a === b || (sameKind(a, b) && sameNumber(a, b));
}

/** regs_exact(). */
function regsExact(old: RegState, cur: RegState): boolean {
  return sameContents(old, cur) && ids.check(old.id, cur.id) && ids.check(old.refObjId, cur.refObjId);
}

/** range_within(). */
function rangeWithin(old: RegState, cur: RegState): boolean {
  return (
    ule64(old.uminLo, old.uminHi, cur.uminLo, cur.uminHi) &&
    ule64(cur.umaxLo, cur.umaxHi, old.umaxLo, old.umaxHi) &&
    sle64(old.sminLo, old.sminHi, cur.sminLo, cur.sminHi) &&
    !slt64(old.smaxLo, old.smaxHi, cur.smaxLo, cur.smaxHi) &&
    !ult32(cur.u32Min, old.u32Min) &&
    !ult32(old.u32Max, cur.u32Max) &&
    old.s32Min <= cur.s32Min &&
    old.s32Max >= cur.s32Max
  );
}

/** regsafe(). `precise`: of the old register. */
function regSafe(env: Env, old: RegState, precise: boolean, cur: RegState, exact: number): boolean {
  if (exact === EXACT) return regsExact(old, cur);
  if (old.type === NOT_INIT && (exact === NOT_EXACT || cur.type === NOT_INIT)) return true;
  if (old.type !== cur.type) return false;
  switch (baseType(old.type)) {
    case SCALAR_VALUE:
      if (env.exploreAluLimits) return sameContents(old, cur) && ids.checkScalar(old.id, cur.id);
      if (!precise && exact === NOT_EXACT) return true;
      if (old.id !== 0 && ((old.id ^ cur.id) & BPF_ADD_CONST) !== 0) return false;
      if ((old.id & BPF_ADD_CONST) !== 0 && old.off !== cur.off) return false;
      return ids.checkScalar(old.id, cur.id) && rangeWithin(old, cur) && tnumIn(old, cur);
    case PTR_TO_MAP_KEY:
    case PTR_TO_MAP_VALUE:
    case PTR_TO_MEM:
    case PTR_TO_BUF:
    case PTR_TO_TP_BUFFER:
      return (
        sameKind(old, cur) &&
        rangeWithin(old, cur) &&
        tnumIn(old, cur) &&
        ids.check(old.id, cur.id) &&
        ids.check(old.refObjId, cur.refObjId)
      );
    case PTR_TO_PACKET_META:
    case PTR_TO_PACKET:
      if (old.range < 0 || cur.range < 0) {
        if (old.range !== cur.range) return false;
      } else if (old.range > cur.range) return false;
      return old.off === cur.off && ids.check(old.id, cur.id) && rangeWithin(old, cur) && tnumIn(old, cur);
    case PTR_TO_STACK:
      return regsExact(old, cur) && old.frameno === cur.frameno;
    case PTR_TO_ARENA:
      return true;
    default:
      return regsExact(old, cur);
  }
}

const anyNumber: RegState = new RegState();
markUnknown(anyNumber);
anyNumber.shared = true;

/** is_stack_all_misc(). */
function isAllMisc(env: Env, slot: StackSlot): boolean {
  if (slot.types === 0x2222_2222) return true;
  for (let b = 0; b < 8; b++) {
    const type = slot.typeAt(b);
    if (type !== STACK_MISC && !(type === STACK_INVALID && env.allowUninitStack)) return false;
  }
  return true;
}

/** The number that a load of the whole slot gives, if it gives one: scalar_reg_for_stack(). */
function asNumber(env: Env, slot: StackSlot): RegState | null {
  if (isSpilledScalar64(slot)) return slot.spilled;
  return isAllMisc(env, slot) ? anyNumber : null;
}

/** One slot of stacksafe(). */
function slotSafe(
  env: Env,
  old: StackSlot,
  precise: boolean,
  cur: StackSlot | undefined,
  exact: number,
): boolean {
  if (exact !== NOT_EXACT && (cur === undefined || old.types !== cur.types)) return false;
  if (old.types === 0) return true;
  if (env.allowUninitStack && old.types === 0x2222_2222) return true;
  let compared = false;
  for (let b = 0; b < 8; b++) {
    const type = old.typeAt(b);
    if (type === STACK_INVALID || (type === STACK_MISC && env.allowUninitStack)) continue;
    if (cur === undefined) return false;
    if (!compared) {
      compared = true;
      const oldNumber = asNumber(env, old);
      const curNumber = oldNumber === null ? null : asNumber(env, cur);
      if (oldNumber !== null && curNumber !== null)
        return regSafe(env, oldNumber, precise && oldNumber !== anyNumber, curNumber, exact);
    }
    const curType = cur.typeAt(b);
    if (type === STACK_MISC && curType === STACK_ZERO) continue;
    if (type !== curType) return false;
  }
  if (cur === undefined) return true;
  const a = old.spilled;
  const c = cur.spilled;
  switch (old.typeAt(7)) {
    case STACK_SPILL:
      return regSafe(env, a, precise, c, exact);
    case STACK_DYNPTR:
      return (
        a.dynptrType === c.dynptrType &&
        a.dynptrFirstSlot === c.dynptrFirstSlot &&
        ids.check(a.refObjId, c.refObjId)
      );
    case STACK_ITER:
      // How often it ran does not matter: loops would never end.
      return (
        a.type === c.type &&
        a.btf === c.btf &&
        a.btfId === c.btfId &&
        a.iterState === c.iterState &&
        ids.check(a.refObjId, c.refObjId)
      );
    case STACK_IRQ_FLAG:
      return ids.check(a.refObjId, c.refObjId) && a.irqClass === c.irqClass;
    case STACK_MISC:
    case STACK_ZERO:
    case STACK_INVALID:
      return true;
    default:
      return false;
  }
}

/** func_states_equal(). */
function framesEqual(env: Env, old: FuncState, cur: FuncState, liveRegs: number, exact: number): boolean {
  if (old.callbackDepth > cur.callbackDepth) return false;
  for (let r = 0; r < MAX_BPF_REG; r++) {
    if (((liveRegs >>> r) & 1) === 0) continue;
    if (!regSafe(env, old.regs[r]!, old.isPrecise(r), cur.regs[r]!, exact)) return false;
  }
  for (let s = 0; s < old.stack.length; s++)
    if (!slotSafe(env, old.stack[s]!, old.isSlotPrecise(s), cur.stack[s], exact)) return false;
  return true;
}

/** refsafe(): the same references, locks and sections. */
function refsEqual(old: VerifierState, cur: VerifierState): boolean {
  if (
    old.refs.length !== cur.refs.length ||
    old.activeLocks !== cur.activeLocks ||
    old.activePreemptLocks !== cur.activePreemptLocks ||
    old.activeRcuLock !== cur.activeRcuLock ||
    !ids.check(old.activeIrqId, cur.activeIrqId) ||
    !ids.check(old.activeLockId, cur.activeLockId) ||
    old.activeLockPtr !== cur.activeLockPtr
  )
    return false;
  for (let i = 0; i < old.refs.length; i++) {
    const a = old.refs[i]!;
    const b = cur.refs[i]!;
    if (!ids.check(a.id, b.id) || a.type !== b.type) return false;
    if (a.type !== REF_TYPE_PTR && a.type !== REF_TYPE_IRQ && a.ptr !== b.ptr) return false;
  }
  return true;
}

/** The instruction at which frame `f` goes on: frame_insn_idx(). */
export function frameInsnIdx(state: VerifierState, f: number): number {
  return f === state.curframe ? state.insnIdx : state.frames[f + 1]!.callsite;
}

/** same_callsites(). */
export function sameCallsites(a: VerifierState, b: VerifierState): boolean {
  if (a.curframe !== b.curframe) return false;
  for (let f = a.curframe; f >= 0; f--) if (a.frames[f]!.callsite !== b.frames[f]!.callsite) return false;
  return true;
}

export function statesEqual(env: Env, old: VerifierState, cur: VerifierState, exact: number): boolean {
  if (old.curframe !== cur.curframe) return false;
  if (old.speculative && !cur.speculative) return false;
  if (old.inSleepable !== cur.inSleepable) return false;
  ids.reset(env);
  if (!refsEqual(old, cur)) return false;
  for (let f = 0; f <= old.curframe; f++) {
    const a = old.frames[f]!;
    const b = cur.frames[f]!;
    if (a.callsite !== b.callsite) return false;
    if (!framesEqual(env, a, b, env.aux[frameInsnIdx(old, f)]!.liveRegs, exact)) return false;
  }
  return true;
}

/** Without the ids' renaming: could this be the same state again? states_maybe_looping(). */
export function maybeLooping(old: VerifierState, cur: VerifierState): boolean {
  if (old.curframe !== cur.curframe) return false;
  const a = old.frame.regs;
  const b = cur.frame.regs;
  for (let r = 0; r < MAX_BPF_REG; r++) {
    const x = a[r]!;
    const y = b[r]!;
    if (x === y) continue;
    if (!sameContents(x, y) || x.id !== y.id || x.refObjId !== y.refObjId) return false;
  }
  return true;
}

/** A comparison outside statesEqual(), for widening: regs_exact() with ids of its own. */
export function resetIds(env: Env): void {
  ids.reset(env);
}

export function regsExactHere(old: RegState, cur: RegState): boolean {
  return regsExact(old, cur);
}
