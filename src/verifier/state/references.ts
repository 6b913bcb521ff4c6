/**
 * Acquired references, held locks and saved IRQ states of the current path, and what happens to registers when one
 * of them goes. They lie in one list, in the order in which they were taken.
 */
import { EACCES, EINVAL } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import type { RegState } from "./reg.ts";
import { typeIsNonOwningRef } from "./reg-kind.ts";
import { markNotInit, markUnknown } from "./reg-ops.ts";
import { MEM_ALLOC, MEM_PERCPU, MEM_RCU } from "./reg-type.ts";
import {
  type FuncState,
  REF_TYPE_IRQ,
  REF_TYPE_LOCK,
  REF_TYPE_PTR,
  REF_TYPE_RES_LOCK,
  REF_TYPE_RES_LOCK_IRQ,
  type Reference,
  STACK_ITER,
  STACK_SPILL,
  type VerifierState,
} from "./state.ts";

const LOCKS: number = REF_TYPE_LOCK | REF_TYPE_RES_LOCK | REF_TYPE_RES_LOCK_IRQ;

/** Kinds of slots whose register counts: bits 1 << STACK_*. */
export const IN_SPILLS: number = 1 << STACK_SPILL;
export const IN_SPILLS_AND_ITERS: number = IN_SPILLS | (1 << STACK_ITER);

/**
 * Changes every register of the state, spilled ones included, that `test` picks. bpf_for_each_reg_in_vstate().
 * `change` gets a register that may be written, and where it lies (slot -1: it is a register).
 */
export function changeRegs(
  state: VerifierState,
  test: (reg: RegState) => boolean,
  change: (reg: RegState, frame: FuncState, r: number, spi: number) => void,
  slotKinds: number = IN_SPILLS,
): void {
  for (let f = 0; f <= state.curframe; f++) {
    const frame = state.frames[f]!;
    const { regs, stack } = frame;
    for (let r = 0; r < regs.length; r++) if (test(regs[r]!)) change(frame.own(r), frame, r, -1);
    for (let i = 0; i < stack.length; i++) {
      const slot = stack[i]!;
      if (((1 << (slot.types >>> 28)) & slotKinds) !== 0 && test(slot.spilled))
        change(frame.ownSpilled(i), frame, -1, i);
    }
  }
}

/** Registers that `test` picks hold nothing useful any more. mark_reg_invalid(). */
export function invalidateRegs(env: Env, test: (reg: RegState) => boolean): void {
  changeRegs(env.state, test, (reg, frame, r, spi) => {
    if (env.allowPtrLeaks) markUnknown(reg);
    else markNotInit(reg);
    const precise = !env.bpfCapable;
    if (spi >= 0) frame.setSlotPrecise(spi, precise);
    else if (precise) frame.precise |= 1 << r;
    else frame.precise &= ~(1 << r);
  });
}

function push(env: Env, ref: Reference): void {
  env.state.refs = [...env.state.refs, ref];
}

function removeAt(state: VerifierState, i: number): void {
  state.refs = state.refs.filter((_, k) => k !== i);
}

/** A new reference, taken at `insnIdx`; returns its id. acquire_reference(). */
export function acquireReference(env: Env, insnIdx: number): number {
  const id = env.newId();
  const { frame } = env;
  push(env, {
    type: REF_TYPE_PTR,
    id,
    insnIdx,
    ptr: null,
    callbackFrame: frame.inCallbackFn ? frame.frameno : 0,
  });
  return id;
}

/** Forgets a reference, registers left alone; false: it is not held (here). release_reference_nomark(). */
export function dropReference(env: Env, id: number): boolean {
  const { state, frame } = env;
  for (let i = 0; i < state.refs.length; i++) {
    const ref = state.refs[i]!;
    if (ref.type !== REF_TYPE_PTR || ref.id !== id) continue;
    // Until 6.13, a callback could not release what its caller holds.
    if (
      frame.inCallbackFn &&
      ref.callbackFrame !== frame.frameno &&
      !env.profile.rules.has("references-in-state")
    )
      return false;
    removeAt(state, i);
    return true;
  }
  return false;
}

/** Releases a reference: whatever belongs to it is invalid. release_reference(). */
export function releaseReference(env: Env, id: number): boolean {
  if (!dropReference(env, id)) return false;
  invalidateRegs(env, (reg) => reg.refObjId === id);
  return true;
}

/** bpf_kptr_xchg() took the reference: RCU keeps per-CPU objects readable. */
export function releaseToKptr(env: Env, id: number, inRcu: boolean): boolean {
  if (!dropReference(env, id)) return false;
  const stays = (reg: RegState): boolean =>
    inRcu && (reg.type & MEM_ALLOC) !== 0 && (reg.type & MEM_PERCPU) !== 0;
  changeRegs(
    env.state,
    (reg) => reg.refObjId === id && stays(reg),
    (reg) => {
      reg.refObjId = 0;
      reg.type = (reg.type & ~MEM_ALLOC) | MEM_RCU;
    },
  );
  invalidateRegs(env, (reg) => reg.refObjId === id);
  return true;
}

export function hasReference(state: VerifierState, id: number): boolean {
  return state.refs.some((ref) => ref.type === REF_TYPE_PTR && ref.id === id);
}

/** Non-owning references die with the lock that guarded them. invalidate_non_owning_refs(). */
export function invalidateNonOwningRefs(env: Env): void {
  invalidateRegs(env, (reg) => typeIsNonOwningRef(reg.type));
}

/** acquire_lock_state(). */
export function acquireLock(env: Env, insnIdx: number, type: number, id: number, ptr: object): void {
  push(env, { type, id, insnIdx, ptr, callbackFrame: 0 });
  const { state } = env;
  state.activeLocks++;
  state.activeLockId = id;
  state.activeLockPtr = ptr;
}

/** find_lock_state(): a held lock of one of the types; without `ptr`, any. */
export function holdsLock(state: VerifierState, types: number, id: number, ptr: object | null): boolean {
  return state.refs.some(
    (ref) => (ref.type & types) !== 0 && (ptr === null || (ref.id === id && ref.ptr === ptr)),
  );
}

/** release_lock_state(). */
export function releaseLock(env: Env, type: number, id: number, ptr: object): boolean {
  const { state } = env;
  let previous: Reference | null = null;
  for (let i = 0; i < state.refs.length; i++) {
    const ref = state.refs[i]!;
    if (ref.type === type && ref.id === id && ref.ptr === ptr) {
      removeAt(state, i);
      state.activeLocks--;
      state.activeLockId = previous?.id ?? 0;
      state.activeLockPtr = previous?.ptr ?? null;
      return true;
    }
    if ((ref.type & LOCKS) !== 0) previous = ref;
  }
  return false;
}

/** acquire_irq_state(): returns the id of the saved flags. */
export function acquireIrq(env: Env, insnIdx: number): number {
  const id = env.newId();
  push(env, { type: REF_TYPE_IRQ, id, insnIdx, ptr: null, callbackFrame: 0 });
  env.state.activeIrqId = id;
  return id;
}

/** release_irq_state(): 0, EACCES (not the last one saved) or EINVAL. */
export function releaseIrq(env: Env, id: number): number {
  const { state } = env;
  if (id !== state.activeIrqId) return EACCES;
  let previous = 0;
  for (let i = 0; i < state.refs.length; i++) {
    const ref = state.refs[i]!;
    if (ref.type !== REF_TYPE_IRQ) continue;
    if (ref.id === id) {
      removeAt(state, i);
      state.activeIrqId = previous;
      return 0;
    }
    previous = ref.id;
  }
  return EINVAL;
}
