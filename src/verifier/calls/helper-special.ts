/** Helpers that need more than their prototype says: a table from id to what is checked after the arguments. */
import * as U from "../../uapi/index.ts";
import { EACCES, EFAULT, EINVAL } from "../../uapi/index.ts";
import { isStructOrUnion } from "../btf/btf-types.ts";
import type { Env } from "../env.ts";
import { checkResourceLeak } from "../insns/resource-leak.ts";
import {
  BPF_DYNPTR_TYPE_INVALID,
  BPF_DYNPTR_TYPE_SKB,
  BPF_DYNPTR_TYPE_SKB_META,
  regTypeStr,
} from "../log/type-names.ts";
import { umaxOf } from "../numbers/range.ts";
import { markChainPrecision } from "../paths/precision.ts";
import { dynptrOf } from "../state/dynptr.ts";
import type { SetCalleeState } from "../state/frame.ts";
import { isNullScalar } from "../state/reg.ts";
import { isRcuReg } from "../state/reg-kind.ts";
import { PTR_TO_MAP_VALUE } from "../state/reg-type.ts";
import type { CallMeta } from "./call-meta.ts";
import {
  pushCallbackCall,
  setFindVmaCallback,
  setLoopCallback,
  setMapElemCallback,
  setTimerCallback,
  setUserRingbufCallback,
} from "./callbacks.ts";
import { constStr, isFormatOk } from "./const-str.ts";

/** What a special helper tells the rest of the call. */
export interface HelperEffects {
  changesPacket: boolean;
  /** bpf_per_cpu_ptr() of an allocated per-CPU object. */
  percpuAlloc: boolean;
}

type Special = (env: Env, meta: CallMeta, insnIdx: number, effects: HelperEffects) => void;

function callback(set: SetCalleeState, async: "" | "atomic" = ""): Special {
  return (env, meta, insnIdx) => pushCallbackCall(env, insnIdx, meta.subprogno, set, async);
}

const loopStates = new WeakMap<Env, Map<number, { fit: boolean; callback: number }>>();

/** Whether the flags are surely 0 decides if the call can be inlined: update_loop_inline_state(). */
function updateLoopInline(env: Env, insnIdx: number, subprog: number): void {
  let states = loopStates.get(env);
  if (states === undefined) {
    states = new Map();
    loopStates.set(env, states);
  }
  const zero = (): boolean => {
    const isZero = isNullScalar(env.reg(4));
    if (isZero) markChainPrecision(env, 4);
    return isZero;
  };
  const known = states.get(insnIdx);
  if (known === undefined) states.set(insnIdx, { fit: zero(), callback: subprog });
  else if (known.fit) known.fit = zero() && known.callback === subprog;
}

const loop: Special = (env, meta, insnIdx) => {
  updateLoopInline(env, insnIdx, meta.subprogno);
  // How often the callback ran must be compared with an exact number.
  markChainPrecision(env, 1);
  const { frame } = env;
  if (frame.callbackDepth < umaxOf(env.reg(1))) {
    pushCallbackCall(env, insnIdx, meta.subprogno, setLoopCallback);
    return;
  }
  frame.callbackDepth = 0;
  if ((env.log.level & 2) !== 0) env.verbose(`frame${env.state.curframe} bpf_loop iteration limit reached\n`);
};

const perCpuPtr: Special = (env, _meta, insnIdx, effects) => {
  const reg = env.reg(1);
  if (!isRcuReg(reg)) return;
  if (reg.btf === null || !isStructOrUnion(reg.btf, reg.btfId))
    env.reject(EFAULT, "Helper has invalid btf/btf_id in R1");
  effects.percpuAlloc = true;
  env.aux[insnIdx]!.callWithPercpuAllocPtr = true;
};

export const HELPER_SPECIALS: ReadonlyMap<number, Special> = new Map<number, Special>([
  [U.BPF_FUNC_tail_call, (env) => checkResourceLeak(env, false, true, "tail_call")],
  [
    U.BPF_FUNC_get_local_storage,
    (env) => {
      if (!isNullScalar(env.reg(2))) env.reject(EINVAL, "get_local_storage() doesn't support non-zero flags");
      if (env.profile.rules.has("null-arg-precise")) markChainPrecision(env, 2);
    },
  ],
  [U.BPF_FUNC_for_each_map_elem, callback(setMapElemCallback)],
  [U.BPF_FUNC_timer_set_callback, callback(setTimerCallback, "atomic")],
  [U.BPF_FUNC_find_vma, callback(setFindVmaCallback)],
  [U.BPF_FUNC_user_ringbuf_drain, callback(setUserRingbufCallback)],
  [U.BPF_FUNC_loop, loop],
  [
    U.BPF_FUNC_snprintf,
    (env) => {
      const size = env.reg(5).valueLo;
      if (size % 8 !== 0) env.reject(EINVAL, "");
      const format = constStr(env.reg(3));
      if (format !== null && !isFormatOk(format, size / 8)) env.reject(EINVAL, "Invalid format string");
    },
  ],
  [
    U.BPF_FUNC_dynptr_from_mem,
    (env) => {
      const { type } = env.reg(1);
      if (type !== PTR_TO_MAP_VALUE)
        env.reject(EACCES, `Unsupported reg type ${regTypeStr(type)} for bpf_dynptr_from_mem data`);
    },
  ],
  [
    U.BPF_FUNC_set_retval,
    (env) => {
      if (env.resolvedProgType !== U.BPF_PROG_TYPE_LSM || env.expectedAttachType !== U.BPF_LSM_CGROUP) return;
      const func = env.attachFunc;
      if (func !== null && func.protoId !== 0 && func.btf.sizeOrType(func.protoId) === 0)
        env.reject(EINVAL, "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!");
    },
  ],
  [
    U.BPF_FUNC_dynptr_data,
    (env, meta) => {
      const dynptr = dynptrOf(env, env.reg(1));
      meta.dynptrId = dynptr.id;
      meta.refObjId = dynptr.refObjId;
    },
  ],
  [
    U.BPF_FUNC_dynptr_write,
    (env, _meta, _insnIdx, effects) => {
      const { dynptrType } = dynptrOf(env, env.reg(1));
      if (dynptrType === BPF_DYNPTR_TYPE_INVALID) env.reject(EFAULT, "");
      // Slices of it may be stale now.
      if (dynptrType === BPF_DYNPTR_TYPE_SKB || dynptrType === BPF_DYNPTR_TYPE_SKB_META)
        effects.changesPacket = true;
    },
  ],
  [U.BPF_FUNC_per_cpu_ptr, perCpuPtr],
  [U.BPF_FUNC_this_cpu_ptr, perCpuPtr],
]);

/** bpf_get_func_ip() is there for trampolines and kprobes alone: check_get_func_ip(). */
export function checkGetFuncIp(env: Env): void {
  const name = env.profile.helperName(U.BPF_FUNC_get_func_ip);
  const id = U.BPF_FUNC_get_func_ip;
  if (env.resolvedProgType === U.BPF_PROG_TYPE_KPROBE) return;
  if (env.resolvedProgType !== U.BPF_PROG_TYPE_TRACING)
    env.reject(U.ENOTSUPP, `func ${name}#${id} not supported for program type ${env.resolvedProgType}`);
  const trampoline: readonly number[] = [U.BPF_TRACE_FENTRY, U.BPF_TRACE_FEXIT, U.BPF_MODIFY_RETURN];
  if (!trampoline.includes(env.expectedAttachType))
    env.reject(U.ENOTSUPP, `func ${name}#${id} supported only for fentry/fexit/fmod_ret programs`);
}
