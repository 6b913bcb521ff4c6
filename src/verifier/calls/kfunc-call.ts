/** A call of a kfunc: arguments, sections that it opens or closes, references, the result. check_kfunc_call(). */
import {
  EACCES,
  EFAULT,
  EINVAL,
  KF_ACQUIRE,
  KF_DESTRUCTIVE,
  KF_ITER_NEXT,
  KF_RCU_PROTECTED,
  KF_RET_NULL,
  KF_SLEEPABLE,
} from "../../uapi/index.ts";
import { isPtr, isScalar, isStruct, isStructPtr, kindName, sizeOf } from "../btf/btf-types.ts";
import { type Env, Rejection } from "../env.ts";
import { checkReturnCode } from "../insns/return-code.ts";
import { DEF_NOT_SUBREG } from "../limits.ts";
import { pushStack } from "../state/branch.ts";
import { unmarkDynptrSlots } from "../state/dynptr.ts";
import { clearCallerSaved } from "../state/frame.ts";
import { convertOwningToNonOwning, setNonOwning } from "../state/owned-refs.ts";
import { clearAllPktPointers } from "../state/packet-pointers.ts";
import { acquireReference, changeRegs, IN_SPILLS_AND_ITERS, releaseReference } from "../state/references.ts";
import { inRcuCs, inSleepable, isRcuReg, mayPointToSpinLock } from "../state/reg-kind.ts";
import { markRegConstZero, markRegKnownZero, markRegUnknown, markS32Range } from "../state/reg-ops.ts";
import {
  MEM_RCU,
  MEM_RDONLY,
  PTR_MAYBE_NULL,
  PTR_TO_BTF_ID,
  PTR_TO_MEM,
  PTR_TRUSTED,
  PTR_UNTRUSTED,
} from "../state/reg-type.ts";
import { pushCallbackCall } from "./callbacks.ts";
import { processIterNext } from "./iter-next.ts";
import { checkKfuncArgs, mayFailToLock } from "./kfunc-args.ts";
import { fetchKfuncMeta } from "./kfunc-fetch.ts";
import { hasFlag, type KfuncMeta } from "./kfunc-meta.ts";
import { nameOf } from "./kfunc-param.ts";
import { inRbtreeCallback, markTreeCall } from "./rbtree-callback.ts";

/** Taking a resilient lock may fail: a path on which it did. */
function forkFailedLock(env: Env, insnIdx: number): void {
  const queued = pushStack(env, insnIdx + 1, insnIdx, false);
  const { frame } = queued;
  clearCallerSaved(frame);
  const r0 = markRegUnknown(env, frame, 0);
  markS32Range(env, r0, -4095, -1);
  r0.subregDef = insnIdx + 1;
}

/** Queues the callback that the kfunc will call; trouble with it is the call's. */
function pushCallback(env: Env, meta: KfuncMeta, insnIdx: number): void {
  const callback = meta.special?.callback;
  if (callback === undefined) return;
  if (meta.special?.graph === "rbtree") markTreeCall(env, insnIdx);
  try {
    pushCallbackCall(env, insnIdx, meta.subprogno, callback, meta.special?.later ?? "");
  } catch (e) {
    if (e instanceof Rejection)
      env.reject(e.errno, `kfunc ${meta.name}#${meta.id} failed callback verification`);
    throw e;
  }
}

/** RCU read sections, sections without preemption: entered, left, and nothing that sleeps in them. */
function checkSections(env: Env, meta: KfuncMeta): void {
  const { state } = env;
  const sleepable = hasFlag(meta, KF_SLEEPABLE);
  const rcu = meta.special?.rcu;
  const nested = env.profile.rules.has("nested-rcu");
  if (state.activeRcuLock !== 0) {
    if (rcu !== undefined && inRbtreeCallback(env))
      env.reject(EACCES, "Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback");
    if (rcu === "lock") {
      if (!nested) env.reject(EINVAL, `nested rcu read lock (kernel function ${meta.name})`);
      state.activeRcuLock++;
    } else if (rcu === "unlock") {
      state.activeRcuLock--;
      if (state.activeRcuLock === 0)
        changeRegs(
          state,
          isRcuReg,
          (reg) => {
            reg.type = (reg.type & ~(MEM_RCU | PTR_MAYBE_NULL)) | PTR_UNTRUSTED;
          },
          IN_SPILLS_AND_ITERS,
        );
    } else if (sleepable)
      env.reject(EACCES, `kernel func ${meta.name} is sleepable within rcu_read_lock region`);
  } else if (rcu === "lock") state.activeRcuLock = 1;
  else if (rcu === "unlock") env.reject(EINVAL, `unmatched rcu read unlock (kernel function ${meta.name})`);

  const preempt = meta.special?.preempt;
  if (preempt === "disable") state.activePreemptLocks++;
  else if (state.activePreemptLocks !== 0) {
    if (preempt === "enable") state.activePreemptLocks--;
    else if (sleepable)
      env.reject(EACCES, `kernel func ${meta.name} is sleepable within non-preemptible region`);
  } else if (preempt === "enable")
    env.reject(EINVAL, `unmatched attempt to enable preemption (kernel function ${meta.name})`);
  if (state.activeIrqId !== 0 && sleepable)
    env.reject(EACCES, `kernel func ${meta.name} is sleepable within IRQ-disabled region`);
  if (hasFlag(meta, KF_RCU_PROTECTED) && env.profile.rules.has("rcu-protected-kfuncs") && !inRcuCs(env))
    env.reject(EACCES, `kernel func ${meta.name} requires RCU critical section protection`);
}

function release(env: Env, meta: KfuncMeta): void {
  const notAcquired = (): never =>
    env.reject(EINVAL, `kfunc ${meta.name}#${meta.id} reference has not been acquired before`);
  if (meta.releaseRegno !== 0) {
    const reg = env.reg(meta.releaseRegno);
    if (meta.dynptrRefObjId !== 0) unmarkDynptrSlots(env, reg);
    else if (!releaseReference(env, reg.refObjId)) notAcquired();
  }
  if (meta.special?.node === "insert") {
    // It is the list's or the tree's now; what pointed at it borrows it.
    const id = env.reg(2).refObjId;
    try {
      convertOwningToNonOwning(env, id);
    } catch (e) {
      if (e instanceof Rejection)
        env.reject(e.errno, `kfunc ${meta.name}#${meta.id} conversion of owning ref to non-owning failed`);
      throw e;
    }
    if (!releaseReference(env, id)) notAcquired();
  }
}

/** is_kfunc_ret_null(): a second reference to what is owned is never null. */
function mayReturnNull(meta: KfuncMeta): boolean {
  if (meta.name === "bpf_refcount_acquire_impl" && meta.owningRef) return false;
  return hasFlag(meta, KF_RET_NULL);
}

function returnPointer(env: Env, meta: KfuncMeta, id: number, insnIdx: number): void {
  const { btf } = meta;
  const { frame } = env;
  const pointee = btf.skipModifiers(btf.sizeOrType(id));
  const returns = meta.special?.returns;
  if (returns !== undefined) returns(env, meta);
  else if (pointee === 0) markRegUnknown(env, frame, 0);
  else if (!isStruct(btf, pointee)) {
    if (meta.r0Size === 0) {
      const size = sizeOf(btf, pointee);
      if (size > 0) {
        meta.r0Size = size;
        meta.r0ReadOnly = true;
      }
    }
    if (meta.r0Size === 0)
      env.reject(
        EINVAL,
        `kernel function ${meta.name} returns pointer type ${kindName(btf, pointee)} ${nameOf(meta, pointee)} is not supported`,
      );
    const r0 = markRegKnownZero(frame, 0);
    r0.type = PTR_TO_MEM | (meta.r0ReadOnly ? MEM_RDONLY : 0);
    r0.memSize = meta.r0Size;
    // Gone with what it belongs to.
    if (meta.refObjId !== 0) r0.refObjId = meta.refObjId;
  } else {
    const r0 = markRegKnownZero(frame, 0);
    r0.btf = btf;
    r0.btfId = pointee;
    r0.type = PTR_TO_BTF_ID;
    if (meta.special?.untrusted === true) r0.type |= PTR_UNTRUSTED;
    else if (hasFlag(meta, KF_RCU_PROTECTED) && env.profile.rules.has("rcu-protected-kfuncs"))
      r0.type |= MEM_RCU;
    if (hasFlag(meta, KF_ITER_NEXT)) {
      const iter = env.state.frames[meta.iterFrame]!.stack[meta.iterSpi]!.spilled;
      r0.type |= isRcuReg(iter) ? MEM_RCU : PTR_TRUSTED;
    }
  }
  const r0 = frame.own(0);
  const orNull = mayReturnNull(meta);
  if (orNull) {
    r0.type |= PTR_MAYBE_NULL;
    r0.id = env.newId();
  }
  r0.subregDef = DEF_NOT_SUBREG;
  if (hasFlag(meta, KF_ACQUIRE)) {
    const ref = acquireReference(env, insnIdx);
    if (orNull) r0.id = ref;
    r0.refObjId = ref;
  } else if (meta.special?.graph !== undefined && returns !== undefined) setNonOwning(env, r0);
  if (r0.id === 0 && mayPointToSpinLock(env, r0)) r0.id = env.newId();
}

export function checkKfuncCall(env: Env, insnIdx: number = env.insnIdx): void {
  // A weak kfunc that the kernel lacks: rejected only if it can be reached once all is known.
  if (env.slots.imm[insnIdx] === 0) return;
  const meta = fetchKfuncMeta(env, insnIdx);
  const { btf, special } = meta;
  env.aux[insnIdx]!.isIterNext = hasFlag(meta, KF_ITER_NEXT);
  if (mayFailToLock(meta)) forkFailedLock(env, insnIdx);
  if (special?.trap === true) env.reject(EFAULT, "unexpected __bpf_trap() due to uninitialized variable?");
  if (hasFlag(meta, KF_DESTRUCTIVE) && env.input.caps?.sysAdmin === false)
    env.reject(EACCES, "destructive kfunc calls require CAP_SYS_BOOT capability");
  if (hasFlag(meta, KF_SLEEPABLE) && !inSleepable(env))
    env.reject(EACCES, `program must be sleepable to call sleepable kfunc ${meta.name}`);

  checkKfuncArgs(env, meta, insnIdx);
  if (special?.memory !== undefined) {
    meta.r0Size = special.memory;
    meta.r0ReadOnly = false;
  }
  pushCallback(env, meta, insnIdx);
  checkSections(env, meta);
  release(env, meta);
  if (special?.throws === true) {
    env.seenException = true;
    if (env.exceptionCallbackSubprog === 0) checkReturnCode(env, 1, "R1");
  }

  clearCallerSaved(env.frame);
  const ret = btf.skipModifiers(btf.sizeOrType(meta.proto));
  if (hasFlag(meta, KF_ACQUIRE) && !isStructPtr(btf, ret) && special?.returns === undefined)
    env.reject(EINVAL, "acquire kernel function does not return PTR_TO_BTF_ID");
  if (isScalar(btf, ret)) {
    const r0 = mayFailToLock(meta) ? markRegConstZero(env, env.frame, 0) : markRegUnknown(env, env.frame, 0);
    r0.subregDef = btf.sizeOrType(ret) === 8 ? DEF_NOT_SUBREG : insnIdx + 1;
  } else if (isPtr(btf, ret)) returnPointer(env, meta, ret, insnIdx);
  if (special?.changesPacket === true) clearAllPktPointers(env);
  if (hasFlag(meta, KF_ITER_NEXT)) processIterNext(env, insnIdx, meta);
}
