/** Spin locks of map values and objects, taken and released: process_spin_lock(). */
import { EACCES, EINVAL } from "../../uapi/index.ts";
import { hasField } from "../btf/btf-record.ts";
import { BPF_RES_SPIN_LOCK, BPF_SPIN_LOCK } from "../btf/field-types.ts";
import type { Env } from "../env.ts";
import { toS64 } from "../numbers/int64.ts";
import { acquireLock, holdsLock, invalidateNonOwningRefs, releaseLock } from "./references.ts";
import { isConst, type RegState } from "./reg.ts";
import { regRecord } from "./reg-kind.ts";
import { MEM_ALLOC, PTR_TO_BTF_ID, PTR_TO_MAP_VALUE } from "./reg-type.ts";
import { REF_TYPE_LOCK, REF_TYPE_RES_LOCK, REF_TYPE_RES_LOCK_IRQ } from "./state.ts";

export const LOCK = 1;
export const RES_LOCK = 2;
export const LOCK_IRQ = 4;

/** Offset that a pointer with a constant variable part points at, as %lld prints it. */
export function constOffset(reg: RegState): bigint {
  return BigInt(reg.off) + toS64(reg.valueLo, reg.valueHi);
}

/** R`regno` points at a lock; `flags`: taken (LOCK) or released, of which kind. */
export function processSpinLock(env: Env, regno: number, flags: number): void {
  const reg = env.reg(regno);
  const res = (flags & RES_LOCK) !== 0;
  const name = res ? "bpf_res_spin" : "bpf_spin";
  if (!isConst(reg))
    env.reject(
      EINVAL,
      `R${regno} doesn't have constant offset. ${name}_lock has to be at the constant offset`,
    );
  const map = reg.type === PTR_TO_MAP_VALUE ? reg.map : null;
  if (map !== null && map.btf === null)
    env.reject(EINVAL, `map '${map.name}' has to have BTF in order to use ${name}_lock`);
  const record = regRecord(env, reg);
  if (record === null || !hasField(record, res ? BPF_RES_SPIN_LOCK : BPF_SPIN_LOCK))
    return env.reject(
      EINVAL,
      `${map === null ? "local" : "map"} '${map === null ? "kptr" : map.name}' has no valid ${name}_lock`,
    );
  const lockOff = res ? record.resSpinLockOff : record.spinLockOff;
  if (BigInt(lockOff) !== constOffset(reg))
    env.reject(
      EINVAL,
      `off ${constOffset(reg)} doesn't point to 'struct ${name}_lock' that is at ${lockOff}`,
    );
  const { state } = env;
  const ptr: object = map ?? reg.btf ?? env;
  const type = !res ? REF_TYPE_LOCK : (flags & LOCK_IRQ) !== 0 ? REF_TYPE_RES_LOCK_IRQ : REF_TYPE_RES_LOCK;
  if ((flags & LOCK) !== 0) {
    if (!res && holdsLock(state, REF_TYPE_LOCK, 0, null))
      env.reject(EINVAL, "Locking two bpf_spin_locks are not allowed");
    if (res && holdsLock(state, REF_TYPE_RES_LOCK | REF_TYPE_RES_LOCK_IRQ, reg.id, ptr))
      env.reject(EINVAL, "Acquiring the same lock again, AA deadlock detected");
    acquireLock(env, env.insnIdx, type, reg.id, ptr);
    return;
  }
  if (state.activeLocks === 0) env.reject(EINVAL, `${name}_unlock without taking a lock`);
  if (!holdsLock(state, type, reg.id, ptr)) env.reject(EINVAL, `${name}_unlock of different lock`);
  if (state.activeLockId !== reg.id || state.activeLockPtr !== ptr)
    env.reject(EINVAL, `${name}_unlock cannot be out of order`);
  releaseLock(env, type, reg.id, ptr);
  invalidateNonOwningRefs(env);
}

/** Is the lock held that guards what `reg` points into? False (or a message and a rejection) otherwise. check_reg_allocation_locked(). */
export function isAllocationLocked(env: Env, reg: RegState): boolean {
  const ptr =
    reg.type === PTR_TO_MAP_VALUE ? reg.map : reg.type === (PTR_TO_BTF_ID | MEM_ALLOC) ? reg.btf : null;
  if (ptr === null) env.reject(EACCES, "verifier bug: unknown reg type for lock check");
  const { state } = env;
  if (state.activeLocks === 0) return false;
  if (!holdsLock(state, REF_TYPE_LOCK | REF_TYPE_RES_LOCK | REF_TYPE_RES_LOCK_IRQ, reg.id, ptr)) {
    env.verbose("held lock and object are not in the same allocation\n");
    return false;
  }
  return true;
}
