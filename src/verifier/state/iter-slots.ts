/** Open-coded iterators on the stack: `size / 8` slots of STACK_ITER; what is known lies in the first one, slot `spi`. */

import type { Btf } from "../../btf/index.ts";
import { EINVAL, EPROTO } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { BPF_ITER_STATE_ACTIVE } from "../log/type-names.ts";
import { objectSpi, SPI_OUT_OF_RANGE, setSlot } from "./dynptr.ts";
import { acquireReference, releaseReference } from "./references.ts";
import { RegState } from "./reg.ts";
import { inRcuCs } from "./reg-kind.ts";
import { markKnownZero } from "./reg-ops.ts";
import { MEM_RCU, PTR_TO_STACK, PTR_UNTRUSTED } from "./reg-type.ts";
import { BPF_REG_SIZE, STACK_ITER } from "./state.ts";

export function iterSpi(env: Env, reg: RegState, slots: number): number {
  return objectSpi(env, reg, "iter", slots);
}

/** mark_stack_slots_iter(). */
export function markIterSlots(
  env: Env,
  reg: RegState,
  insnIdx: number,
  btf: Btf,
  btfId: number,
  slots: number,
  rcuProtected: boolean,
): void {
  const frame = env.state.frames[reg.frameno]!;
  const spi = iterSpi(env, reg, slots);
  if (spi < 0) env.reject(-spi, "");
  const id = acquireReference(env, insnIdx);
  for (let i = 0; i < slots; i++) {
    const st = new RegState();
    markKnownZero(st);
    st.type = PTR_TO_STACK;
    if (rcuProtected) st.type |= inRcuCs(env) ? MEM_RCU : PTR_UNTRUSTED;
    st.refObjId = i === 0 ? id : 0;
    st.btf = btf;
    st.btfId = btfId;
    st.iterState = BPF_ITER_STATE_ACTIVE;
    setSlot(env, frame, spi - i, STACK_ITER, st);
    env.markSlotScratched(spi - i);
  }
}

/** unmark_stack_slots_iter(). */
export function unmarkIterSlots(env: Env, reg: RegState, slots: number): void {
  const frame = env.state.frames[reg.frameno]!;
  const spi = iterSpi(env, reg, slots);
  if (spi < 0) env.reject(-spi, "");
  releaseReference(env, frame.stack[spi]!.spilled.refObjId);
  for (let i = 0; i < slots; i++) {
    setSlot(env, frame, spi - i, 0, new RegState());
    env.markSlotScratched(spi - i);
  }
}

/** is_iter_reg_valid_uninit(). */
export function isIterUninit(env: Env, reg: RegState, slots: number): boolean {
  const { stack } = env.state.frames[reg.frameno]!;
  const spi = iterSpi(env, reg, slots);
  if (spi === SPI_OUT_OF_RANGE) return true;
  if (spi < 0) return false;
  for (let i = 0; i < slots; i++)
    for (let j = 0; j < BPF_REG_SIZE; j++) if (stack[spi - i]!.typeAt(j) === STACK_ITER) return false;
  return true;
}

/** is_iter_reg_valid_init(): 0, EINVAL or EPROTO. */
export function iterInitError(env: Env, reg: RegState, btf: Btf, btfId: number, slots: number): number {
  const { stack } = env.state.frames[reg.frameno]!;
  const spi = iterSpi(env, reg, slots);
  if (spi < 0) return EINVAL;
  for (let i = 0; i < slots; i++) {
    const slot = stack[spi - i]!;
    const st = slot.spilled;
    if ((st.type & PTR_UNTRUSTED) !== 0) return EPROTO;
    if ((i === 0) !== (st.refObjId !== 0)) return EINVAL;
    if (st.btf !== btf || st.btfId !== btfId) return EINVAL;
    for (let j = 0; j < BPF_REG_SIZE; j++) if (slot.typeAt(j) !== STACK_ITER) return EINVAL;
  }
  return 0;
}
