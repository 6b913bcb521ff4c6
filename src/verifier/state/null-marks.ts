/** A pointer that might be null was compared with null: what it and its copies are on either side. */
import type { Env } from "../env.ts";
import { markPtrNotNull } from "./ptr-null.ts";
import { changeRegs } from "./references.ts";
import type { RegState } from "./reg.ts";
import { isRcuReg, mayPointToSpinLock, typeIsPtrAllocObj } from "./reg-kind.ts";
import { mayBeNull, SCALAR_VALUE } from "./reg-type.ts";
import { REF_TYPE_PTR, type VerifierState } from "./state.ts";

/** mark_ptr_or_null_reg(): `reg` is owned. */
function mark(env: Env, reg: RegState, isNull: boolean): void {
  // No arithmetic is allowed before the test, so there is no offset; helpers give one to the program's own objects.
  if ((reg.sminLo | reg.sminHi | reg.smaxLo | reg.smaxHi | reg.valueLo | reg.maskLo) !== 0) return;
  if (!typeIsPtrAllocObj(reg.type) && reg.off !== 0) return;
  if (isNull) {
    reg.type = SCALAR_VALUE;
    reg.id = 0;
    reg.refObjId = 0;
    return;
  }
  markPtrNotNull(env, reg);
  // Locks are told apart by id.
  if (!mayPointToSpinLock(env, reg)) reg.id = 0;
}

/** Register `r` of the current frame is (or is not) null in `state`, and so are its copies: mark_ptr_or_null_regs(). */
export function markPtrOrNull(env: Env, state: VerifierState, r: number, isNull: boolean): void {
  const { refObjId, id } = state.frame.regs[r]!;
  // A lookup that found nothing holds nothing.
  if (refObjId !== 0 && refObjId === id && isNull)
    state.refs = state.refs.filter((ref) => ref.type !== REF_TYPE_PTR || ref.id !== id);
  changeRegs(
    state,
    (reg) => mayBeNull(reg.type) && reg.id === id && (isRcuReg(reg) || reg.id !== 0),
    (reg) => mark(env, reg, isNull),
  );
}
