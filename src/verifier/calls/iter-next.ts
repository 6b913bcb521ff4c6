/** Iterators as arguments, and the two ways that a call of their next() can go: process_iter_arg(), process_iter_next_call(). */
import { EFAULT, EINVAL, EPROTO, KF_ITER_DESTROY, KF_ITER_NEW, KF_RCU_PROTECTED } from "../../uapi/index.ts";
import { isPtr, isStruct, paramsOf } from "../btf/btf-types.ts";
import type { Env } from "../env.ts";
import {
  BPF_ITER_STATE_ACTIVE,
  BPF_ITER_STATE_DRAINED,
  iterStateStr,
  iterTypeStr,
} from "../log/type-names.ts";
import { checkMemAccess } from "../memory/mem-access.ts";
import { findPrevEntry, widenImpreciseScalars } from "../paths/widen.ts";
import { pushStack } from "../state/branch.ts";
import { isIterUninit, iterInitError, iterSpi, markIterSlots, unmarkIterSlots } from "../state/iter-slots.ts";
import { markPtrNotNull } from "../state/ptr-null.ts";
import { markRegConstZero } from "../state/reg-ops.ts";
import { PTR_TO_STACK } from "../state/reg-type.ts";
import { BPF_REG_SIZE, type VerifierState } from "../state/state.ts";
import { hasFlag, type KfuncMeta } from "./kfunc-meta.ts";

/** The type that parameter `i` points at, if it can be an iterator: btf_check_iter_arg(). -1: it cannot. */
function iterTypeId(meta: KfuncMeta, i: number): number {
  const { btf } = meta;
  const param = paramsOf(btf, meta.proto)[i];
  if (param === undefined) return -1;
  const ptr = btf.skipModifiers(param.type);
  if (!isPtr(btf, ptr)) return -1;
  const id = btf.skipModifiers(btf.sizeOrType(ptr));
  if (!isStruct(btf, id) || !btf.typeName(id).startsWith("bpf_iter_")) return -1;
  return id;
}

export function processIterArg(env: Env, regno: number, insnIdx: number, meta: KfuncMeta): void {
  const reg = env.reg(regno);
  const { btf } = meta;
  if (reg.type !== PTR_TO_STACK)
    env.reject(EINVAL, `arg#${regno - 1} expected pointer to an iterator on stack`);
  const id = iterTypeId(meta, regno - 1);
  if (id < 0) env.reject(EINVAL, `expected valid iter pointer as arg #${regno - 1}`);
  const slots = btf.sizeOrType(id) / BPF_REG_SIZE;
  if (hasFlag(meta, KF_ITER_NEW)) {
    if (!isIterUninit(env, reg, slots))
      env.reject(EINVAL, `expected uninitialized iter_${iterTypeStr(btf, id)} as arg #${regno - 1}`);
    for (let i = 0; i < slots; i++)
      checkMemAccess(env, insnIdx, regno, i * BPF_REG_SIZE, 8, true, -1, false, false);
    markIterSlots(env, reg, insnIdx, btf, id, slots, hasFlag(meta, KF_RCU_PROTECTED));
    return;
  }
  const errno = iterInitError(env, reg, btf, id, slots);
  if (errno === EINVAL)
    env.reject(EINVAL, `expected an initialized iter_${iterTypeStr(btf, id)} as arg #${regno - 1}`);
  if (errno === EPROTO) env.reject(EPROTO, `expected an RCU CS when using ${meta.name}`);
  const spi = iterSpi(env, reg, slots);
  for (let i = 0; i < slots; i++) {
    env.markSlotScratched(spi - i);
    env.stackLiveness?.markRead(env, reg.frameno, insnIdx, spi - i);
  }
  meta.iterSpi = spi;
  meta.iterFrame = reg.frameno;
  meta.refObjId = env.state.frames[reg.frameno]!.stack[spi]!.spilled.refObjId;
  if (hasFlag(meta, KF_ITER_DESTROY)) unmarkIterSlots(env, reg, slots);
}

/** Slot of the iterator in a state, for writing. */
function iterIn(state: VerifierState, meta: KfuncMeta): ReturnType<VerifierState["frame"]["ownSpilled"]> {
  return state.frames[meta.iterFrame]!.ownSpilled(meta.iterSpi);
}

/** One path goes on with an element, this one with none. */
export function processIterNext(env: Env, insnIdx: number, meta: KfuncMeta): void {
  const { state } = env;
  const iter = iterIn(state, meta);
  if (iter.iterState !== BPF_ITER_STATE_ACTIVE && iter.iterState !== BPF_ITER_STATE_DRAINED)
    env.reject(
      EFAULT,
      `verifier internal error: unexpected iterator state ${iter.iterState} (${iterStateStr(iter.iterState)})`,
    );
  if (iter.iterState === BPF_ITER_STATE_ACTIVE) {
    // The call is a checkpoint of its own: the loop's last round is the one before that.
    const prev = findPrevEntry(env, state.parent, insnIdx);
    const queued = pushStack(env, insnIdx + 1, insnIdx, false);
    const next = iterIn(queued, meta);
    next.iterState = BPF_ITER_STATE_ACTIVE;
    next.iterDepth++;
    if (prev !== null) widenImpreciseScalars(env, prev, queued);
    markPtrNotNull(env, queued.frame.own(0));
  }
  iterIn(state, meta).iterState = BPF_ITER_STATE_DRAINED;
  markRegConstZero(env, env.frame, 0);
}
