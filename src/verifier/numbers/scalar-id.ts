/** Ids that say "these two registers hold the same number". */
import type { Env } from "../env.ts";
import type { RegState } from "../state/reg.ts";
import { SCALAR_VALUE } from "../state/reg-type.ts";

/** Bits of RegState.id: the register is `off` more than the one with the bare id; modulo 2^64, or 2^32 and zero-extended. */
export const BPF_ADD_CONST64: number = 1 << 31;
export const BPF_ADD_CONST32: number = 1 << 30;
export const BPF_ADD_CONST: number = BPF_ADD_CONST64 | BPF_ADD_CONST32;

/** clear_scalar_id(). `reg` must be owned. */
export function clearScalarId(reg: RegState): void {
  reg.id = 0;
  reg.off = 0;
}

/** Whether a copy of `reg` wants an id first: a number that is not known, without one (or with an offset to it). */
export function wantsScalarId(reg: RegState): boolean {
  if (reg.type !== SCALAR_VALUE) return false;
  if ((reg.id & BPF_ADD_CONST) !== 0) return true;
  return reg.id === 0 && (reg.maskLo | reg.maskHi) !== 0;
}

/** Before `reg` is copied: gives it an id that both will have. assign_scalar_id_before_mov(); `reg` must be owned. */
export function assignScalarIdBeforeMov(env: Env, reg: RegState): void {
  if (reg.type !== SCALAR_VALUE) return;
  if ((reg.id & BPF_ADD_CONST) !== 0) clearScalarId(reg);
  if (reg.id === 0 && (reg.maskLo | reg.maskHi) !== 0) reg.id = env.newId();
}
