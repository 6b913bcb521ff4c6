/**
 * Dynptrs on the stack: two slots of STACK_DYNPTR, the first (the lower address, slot `spi`) marked as such. Making one,
 * destroying one (by overwriting, by releasing), and questions about one.
 */

import { EFAULT, EINVAL } from "../../uapi/index.ts";
import { ARG_PTR_TO_DYNPTR } from "../calls/arg-type.ts";
import type { Env } from "../env.ts";
import {
  BPF_DYNPTR_TYPE_FILE,
  BPF_DYNPTR_TYPE_INVALID,
  BPF_DYNPTR_TYPE_LOCAL,
  BPF_DYNPTR_TYPE_RINGBUF,
  BPF_DYNPTR_TYPE_SKB,
  BPF_DYNPTR_TYPE_SKB_META,
  BPF_DYNPTR_TYPE_XDP,
} from "../log/type-names.ts";
import { acquireReference, invalidateRegs, releaseReference } from "./references.ts";
import { isConst, RegState } from "./reg.ts";
import { markKnownZero } from "./reg-ops.ts";
import {
  CONST_PTR_TO_DYNPTR,
  DYNPTR_TYPE_FILE,
  DYNPTR_TYPE_LOCAL,
  DYNPTR_TYPE_RINGBUF,
  DYNPTR_TYPE_SKB,
  DYNPTR_TYPE_SKB_META,
  DYNPTR_TYPE_XDP,
  PTR_MAYBE_NULL,
  PTR_TO_MEM,
} from "./reg-type.ts";
import { BPF_REG_SIZE, type FuncState, STACK_DYNPTR, StackSlot } from "./state.ts";

export const BPF_DYNPTR_SIZE = 16;
const NR_SLOTS = 2;

/** What stack_slot_obj_get_spi() returns instead of a slot: the offset is wrong (a message was logged); not yet stack. */
export const SPI_INVALID: number = -22;
export const SPI_OUT_OF_RANGE: number = -34;

const TYPES: readonly (readonly [number, number])[] = [
  [DYNPTR_TYPE_LOCAL, BPF_DYNPTR_TYPE_LOCAL],
  [DYNPTR_TYPE_RINGBUF, BPF_DYNPTR_TYPE_RINGBUF],
  [DYNPTR_TYPE_SKB, BPF_DYNPTR_TYPE_SKB],
  [DYNPTR_TYPE_XDP, BPF_DYNPTR_TYPE_XDP],
  [DYNPTR_TYPE_SKB_META, BPF_DYNPTR_TYPE_SKB_META],
  [DYNPTR_TYPE_FILE, BPF_DYNPTR_TYPE_FILE],
];

export const DYNPTR_TYPE_FLAG_MASK: number = TYPES.reduce((all, [flag]) => all | flag, 0);

/** arg_to_dynptr_type(). */
export function argToDynptrType(argType: number): number {
  return TYPES.find(([flag]) => flag === (argType & DYNPTR_TYPE_FLAG_MASK))?.[1] ?? BPF_DYNPTR_TYPE_INVALID;
}

/** get_dynptr_type_flag(). */
export function dynptrTypeFlag(type: number): number {
  return TYPES.find(([, t]) => t === type)?.[0] ?? 0;
}

/** dynptr_type_refcounted(). */
export function dynptrTypeRefcounted(type: number): boolean {
  return type === BPF_DYNPTR_TYPE_RINGBUF || type === BPF_DYNPTR_TYPE_FILE;
}

/** The slot of an object of `slots` slots that `reg` points at, or SPI_*. stack_slot_obj_get_spi(). */
export function objectSpi(env: Env, reg: RegState, kind: string, slots: number): number {
  if (!isConst(reg)) {
    env.verbose(`${kind} has to be at a constant offset\n`);
    return SPI_INVALID;
  }
  const off = (reg.off + reg.valueLo) | 0;
  const spi = ((-off - 1) / BPF_REG_SIZE) | 0;
  if (off % BPF_REG_SIZE !== 0 || spi + 1 < slots) {
    env.verbose(`cannot pass in ${kind} at an offset=${off}\n`);
    return SPI_INVALID;
  }
  const { stack } = env.state.frames[reg.frameno]!;
  return spi - slots + 1 >= 0 && spi < stack.length ? spi : SPI_OUT_OF_RANGE;
}

export function dynptrSpi(env: Env, reg: RegState): number {
  return objectSpi(env, reg, "dynptr", NR_SLOTS);
}

/** A register or slot that is a dynptr. __mark_dynptr_reg(). */
export function markDynptrReg(reg: RegState, type: number, first: boolean, id: number): void {
  markKnownZero(reg);
  reg.type = CONST_PTR_TO_DYNPTR;
  reg.id = id;
  reg.dynptrType = type;
  reg.dynptrFirstSlot = first;
}

/** Puts `reg` into a slot whose eight bytes are all of `kind`. */
export function setSlot(env: Env, frame: FuncState, spi: number, kind: number, reg: RegState): void {
  let types = 0;
  for (let i = 0; i < BPF_REG_SIZE; i++) types |= kind << (i * 4);
  frame.stack[spi] = new StackSlot(types, reg);
  frame.setSlotPrecise(spi, false);
  env.stackLiveness?.markWrite(env, frame.frameno, spi);
}

function clearDynptr(env: Env, frame: FuncState, spi: number): void {
  for (const i of [spi, spi - 1]) {
    const nothing = new RegState();
    setSlot(env, frame, i, 0, nothing);
    env.markSlotScratched(i);
  }
}

/** The slot is written to: the dynptr in it, if there is one, is gone. destroy_if_dynptr_stack_slot(). */
export function destroyIfDynptrSlot(env: Env, frame: FuncState, at: number): void {
  const slot = frame.stack[at];
  if (slot === undefined || slot.typeAt(0) !== STACK_DYNPTR) return;
  const spi = slot.spilled.dynptrFirstSlot ? at : at + 1;
  const { dynptrType, id } = frame.stack[spi]!.spilled;
  if (dynptrTypeRefcounted(dynptrType)) env.reject(EINVAL, "cannot overwrite referenced dynptr");
  clearDynptr(env, frame, spi);
  invalidateRegs(env, (reg) => (reg.type & ~PTR_MAYBE_NULL) === PTR_TO_MEM && reg.dynptrId === id);
}

/** A dynptr begins to live where `reg` points. mark_stack_slots_dynptr(). */
export function markDynptrSlots(
  env: Env,
  reg: RegState,
  argType: number,
  insnIdx: number,
  cloneRefObjId: number,
): void {
  const frame = env.state.frames[reg.frameno]!;
  const spi = dynptrSpi(env, reg);
  if (spi < 0) env.reject(EINVAL, "");
  destroyIfDynptrSlot(env, frame, spi);
  destroyIfDynptrSlot(env, frame, spi - 1);
  const type = argToDynptrType(argType);
  if (type === BPF_DYNPTR_TYPE_INVALID) env.reject(EINVAL, "");
  const first = new RegState();
  const second = new RegState();
  const id = env.newId();
  markDynptrReg(first, type, true, id);
  markDynptrReg(second, type, false, id);
  if (dynptrTypeRefcounted(type)) {
    const ref = cloneRefObjId !== 0 ? cloneRefObjId : acquireReference(env, insnIdx);
    first.refObjId = ref;
    second.refObjId = ref;
  }
  setSlot(env, frame, spi, STACK_DYNPTR, first);
  setSlot(env, frame, spi - 1, STACK_DYNPTR, second);
}

/** A dynptr is released: with a reference, its clones and slices go too. unmark_stack_slots_dynptr(). */
export function unmarkDynptrSlots(env: Env, reg: RegState): void {
  const frame = env.state.frames[reg.frameno]!;
  const spi = dynptrSpi(env, reg);
  if (spi < 0) env.reject(EINVAL, "");
  const { dynptrType, refObjId } = frame.stack[spi]!.spilled;
  if (!dynptrTypeRefcounted(dynptrType)) {
    clearDynptr(env, frame, spi);
    return;
  }
  releaseReference(env, refObjId);
  for (let i = 1; i < frame.stack.length; i++) {
    const slot = frame.stack[i]!;
    if (slot.spilled.refObjId !== refObjId) continue;
    if (slot.typeAt(0) !== STACK_DYNPTR) env.reject(EFAULT, "verifier bug: misconfigured ref_obj_id");
    if (slot.spilled.dynptrFirstSlot) clearDynptr(env, frame, i);
  }
}

/** is_dynptr_reg_valid_uninit(). */
export function isDynptrUninit(env: Env, reg: RegState): boolean {
  if (reg.type === CONST_PTR_TO_DYNPTR) return false;
  const spi = dynptrSpi(env, reg);
  return spi >= 0 || spi === SPI_OUT_OF_RANGE;
}

/** is_dynptr_reg_valid_init(). */
export function isDynptrInit(env: Env, reg: RegState): boolean {
  if (reg.type === CONST_PTR_TO_DYNPTR) return true;
  const { stack } = env.state.frames[reg.frameno]!;
  const spi = dynptrSpi(env, reg);
  if (spi < 0 || !stack[spi]!.spilled.dynptrFirstSlot) return false;
  for (let i = 0; i < BPF_REG_SIZE; i++)
    if (stack[spi]!.typeAt(i) !== STACK_DYNPTR || stack[spi - 1]!.typeAt(i) !== STACK_DYNPTR) return false;
  return true;
}

/** The register that holds what is known of the dynptr that `reg` points at. Only after isDynptrInit(). */
export function dynptrOf(env: Env, reg: RegState): RegState {
  if (reg.type === CONST_PTR_TO_DYNPTR) return reg;
  const spi = dynptrSpi(env, reg);
  if (spi < 0) return env.bug("no dynptr there");
  return env.state.frames[reg.frameno]!.stack[spi]!.spilled;
}

/** is_dynptr_type_expected(). */
export function isDynptrTypeExpected(env: Env, reg: RegState, argType: number): boolean {
  return argType === ARG_PTR_TO_DYNPTR || dynptrOf(env, reg).dynptrType === argToDynptrType(argType);
}
