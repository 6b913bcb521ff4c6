/** Owning and non-owning references to a program's objects: ref_set_non_owning(), ref_convert_owning_non_owning(). */
import { EFAULT } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { changeRegs, hasReference } from "./references.ts";
import type { RegState } from "./reg.ts";
import { regRecord } from "./reg-kind.ts";
import { MEM_RCU, NON_OWN_REF } from "./reg-type.ts";

/** `reg` (owned by the caller of this function) is borrowed until the lock is released. */
export function setNonOwning(env: Env, reg: RegState): void {
  if (env.state.activeLocks === 0)
    env.reject(EFAULT, "verifier internal error: ref_set_non_owning w/o active lock");
  if ((reg.type & NON_OWN_REF) !== 0) env.reject(EFAULT, "verifier internal error: NON_OWN_REF already set");
  const record = regRecord(env, reg);
  reg.type |= NON_OWN_REF;
  if (record !== null && record.refcountOff >= 0) reg.type |= MEM_RCU;
}

/** The object was put into a list or tree: what owned it borrows it now. */
export function convertOwningToNonOwning(env: Env, refObjId: number): void {
  if (refObjId === 0)
    env.reject(EFAULT, "verifier internal error: ref_obj_id is zero for owning -> non-owning conversion");
  if (!hasReference(env.state, refObjId))
    env.reject(EFAULT, "verifier internal error: ref state missing for ref_obj_id");
  changeRegs(
    env.state,
    (reg) => reg.refObjId === refObjId,
    (reg) => {
      reg.refObjId = 0;
      setNonOwning(env, reg);
    },
  );
}
