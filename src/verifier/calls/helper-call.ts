/** A call of a helper: its prototype, its arguments, what it does to the state, what it returns. check_helper_call(). */
import * as U from "../../uapi/index.ts";
import { EACCES, EFAULT, EINVAL } from "../../uapi/index.ts";
import { hasField, mapRecord } from "../btf/btf-record.ts";
import { findStruct, isKernelBtf, isStructOrUnion, sizeOf } from "../btf/btf-types.ts";
import { BPF_KPTR_PERCPU, BPF_RES_SPIN_LOCK, BPF_SPIN_LOCK } from "../btf/field-types.ts";
import type { Env } from "../env.ts";
import { DEF_NOT_SUBREG } from "../limits.ts";
import { checkMemAccess } from "../memory/mem-access.ts";
import { toNumberU64 } from "../numbers/int64.ts";
import { markChainPrecision } from "../paths/precision.ts";
import type { HelperSpec } from "../profile.ts";
import { unmarkDynptrSlots } from "../state/dynptr.ts";
import { clearCallerSaved } from "../state/frame.ts";
import { clearAllPktPointers } from "../state/packet-pointers.ts";
import { acquireReference, releaseReference, releaseToKptr } from "../state/references.ts";
import { isConst, isNullScalar } from "../state/reg.ts";
import { inRcuCs, inSleepable } from "../state/reg-kind.ts";
import { boundsSanityCheck, markRegKnownZero, markRegNotInit, markRegUnknown } from "../state/reg-ops.ts";
import {
  baseType,
  CONST_PTR_TO_DYNPTR,
  MEM_ALLOC,
  MEM_PERCPU,
  MEM_RCU,
  MEM_RDONLY,
  mayBeNull,
  PTR_MAYBE_NULL,
  PTR_TO_BTF_ID,
  PTR_TO_MAP_VALUE,
  PTR_TO_MEM,
  PTR_TO_SOCK_COMMON,
  PTR_TO_SOCKET,
  PTR_TO_TCP_SOCK,
  SCALAR_VALUE,
  typeFlags,
} from "../state/reg-type.ts";
import * as A from "./arg-type.ts";
import { type CallMeta, newCallMeta } from "./call-meta.ts";
import { checkFuncArg } from "./helper-arg.ts";
import { helperProto } from "./helper-proto.ts";
import { checkGetFuncIp, HELPER_SPECIALS, type HelperEffects } from "./helper-special.ts";
import {
  acquires,
  changesPacket,
  isAllowed,
  POINTER_CASTS,
  RECORDS_MAP,
  RETURNS_SIZE,
  STORAGE_GETS,
  WRITES_MAP,
} from "./helper-traits.ts";
import { checkMapFuncCompatibility } from "./map-func.ts";
import { canElideNull } from "./map-key.ts";
import { refineReturn } from "./retval-refine.ts";

const MAX_BPF_FUNC_REG_ARGS = 5;
/** nr_cpu_ids where the caller does not say: what bpf_get_smp_processor_id() stays below. */
const NR_CPU_IDS = 64;

/** Region rules: what might sleep must not be called where that is forbidden. */
function checkContext(env: Env, fn: HelperSpec, insnIdx: number): void {
  const { state } = env;
  const sleepable = inSleepable(env);
  const where = (region: string): void => {
    if (fn.mightSleep) env.reject(EINVAL, `sleepable helper ${fn.name}#${fn.id} in ${region}`);
    if (sleepable && STORAGE_GETS.has(fn.id)) env.aux[insnIdx]!.storageGetFuncAtomic = true;
  };
  if (state.activeRcuLock !== 0) where("rcu_read_lock region");
  if (state.activePreemptLocks !== 0) where("non-preemptible region");
  if (state.activeIrqId !== 0) where("IRQ-disabled region");
}

/** record_func_map(), record_func_key(). */
function recordMap(env: Env, meta: CallMeta, func: number): void {
  if (!RECORDS_MAP.has(func)) return;
  const { map } = meta;
  if (map === null) return env.reject(EINVAL, "kernel subsystem misconfigured verifier");
  if ((map.flags & U.BPF_F_RDONLY_PROG) !== 0 && WRITES_MAP.has(func))
    env.reject(EACCES, "write into map forbidden");
  if (func !== U.BPF_FUNC_tail_call) return;
  if (map.type !== U.BPF_MAP_TYPE_PROG_ARRAY) env.reject(EINVAL, "kernel subsystem misconfigured verifier");
  const aux = env.aux[env.insnIdx]!;
  if (aux.tailCallMap === null) aux.tailCallMap = map;
  else if (aux.tailCallMap !== map) aux.tailCallMapsDiffer = true;
  const key = env.reg(3);
  if (key.type === SCALAR_VALUE && isConst(key) && toNumberU64(key.valueLo, key.valueHi) < map.maxEntries)
    markChainPrecision(env, 3);
}

function release(env: Env, meta: CallMeta, fn: HelperSpec): void {
  const regno = meta.releaseRegno;
  if (regno === 0) return;
  const reg = env.reg(regno);
  let ok: boolean;
  if (baseType(fn.args[regno - 1] ?? 0) === A.ARG_PTR_TO_DYNPTR) {
    if (reg.type === CONST_PTR_TO_DYNPTR)
      env.reject(EFAULT, "verifier internal error: CONST_PTR_TO_DYNPTR cannot be released");
    unmarkDynptrSlots(env, reg);
    ok = true;
  } else if (meta.refObjId !== 0)
    ok =
      fn.id === U.BPF_FUNC_kptr_xchg
        ? releaseToKptr(env, meta.refObjId, inRcuCs(env))
        : releaseReference(env, meta.refObjId);
  else ok = isNullScalar(reg);
  if (!ok) env.reject(EINVAL, `func ${fn.name}#${fn.id} reference has not been acquired before`);
}

export function checkHelperCall(env: Env, insnIdx: number = env.insnIdx): void {
  const id = env.slots.imm[insnIdx]!;
  const name = env.profile.helperName(id);
  if (id < 0 || id >= env.profile.helperCount) env.reject(EINVAL, `invalid func ${name}#${id}`);
  const fn = helperProto(env, id);
  if (fn === null) return env.reject(EINVAL, `program of this type cannot use helper ${name}#${id}`);
  if (!env.gplCompatible && fn.gplOnly)
    env.reject(EINVAL, "cannot call GPL-restricted function from non-GPL compatible program");
  if (fn.allowed !== "" && !isAllowed(env, fn.allowed))
    env.reject(EINVAL, "helper call is not allowed in probe");
  if (!inSleepable(env) && fn.mightSleep)
    env.reject(EINVAL, "helper call might sleep in a non-sleepable prog");
  const effects: HelperEffects = { changesPacket: changesPacket(env, id), percpuAlloc: false };
  checkContext(env, fn, insnIdx);

  const meta = newCallMeta(id, fn.pktAccess);
  for (let i = 0; i < MAX_BPF_FUNC_REG_ARGS; i++) checkFuncArg(env, i, meta, fn, insnIdx);
  recordMap(env, meta, id);
  // What the helper fills in is written byte by byte.
  for (let i = 0; i < meta.accessSize; i++)
    checkMemAccess(env, insnIdx, meta.regno, i, 1, true, -1, false, false);
  release(env, meta, fn);
  HELPER_SPECIALS.get(id)?.(env, meta, insnIdx, effects);

  clearCallerSaved(env.frame);
  setReturn(env, fn, meta, effects.percpuAlloc);
  const r0 = env.frame.own(0);
  r0.subregDef = DEF_NOT_SUBREG;
  if (mayBeNull(r0.type)) r0.id = env.newId();
  if (id === U.BPF_FUNC_dynptr_data) r0.dynptrId = meta.dynptrId;
  if (POINTER_CASTS.has(id) || id === U.BPF_FUNC_dynptr_data) r0.refObjId = meta.refObjId;
  else if (acquires(id, meta.map)) {
    const ref = acquireReference(env, insnIdx);
    r0.id = ref;
    r0.refObjId = ref;
  }
  if (fn.ret === A.RET_INTEGER) {
    if (RETURNS_SIZE.has(id)) refineReturn(r0, -4095n, meta.sizeMax);
    else if (id === U.BPF_FUNC_get_smp_processor_id)
      refineReturn(r0, 0n, BigInt((env.options.cpus ?? NR_CPU_IDS) - 1));
    boundsSanityCheck(env, r0, "retval");
  }
  checkMapFuncCompatibility(env, meta.map, id);
  if (id === U.BPF_FUNC_get_func_ip) checkGetFuncIp(env);
  if (effects.changesPacket) clearAllPktPointers(env);
}

/** R0 is what the prototype says. */
function setReturn(env: Env, fn: HelperSpec, meta: CallMeta, percpuAlloc: boolean): void {
  const { frame } = env;
  let flags = typeFlags(fn.ret);
  const base = baseType(fn.ret);
  if (base === A.RET_INTEGER) {
    markRegUnknown(env, frame, 0);
    return;
  }
  if (base === A.RET_VOID) {
    markRegNotInit(env, frame, 0);
    return;
  }
  const r0 = markRegKnownZero(frame, 0);
  switch (base) {
    case A.RET_PTR_TO_MAP_VALUE: {
      const { map } = meta;
      if (map === null) return env.reject(EINVAL, "kernel subsystem misconfigured verifier");
      r0.map = map;
      r0.mapUid = meta.mapUid;
      if (
        fn.id === U.BPF_FUNC_map_lookup_elem &&
        canElideNull(env, map) &&
        meta.constMapKey >= 0 &&
        meta.constMapKey < map.maxEntries
      )
        flags &= ~PTR_MAYBE_NULL;
      r0.type = PTR_TO_MAP_VALUE | flags;
      if (!mayBeNull(flags) && hasField(mapRecord(env, map), BPF_SPIN_LOCK | BPF_RES_SPIN_LOCK))
        r0.id = env.newId();
      return;
    }
    case A.RET_PTR_TO_SOCKET:
      r0.type = PTR_TO_SOCKET | flags;
      return;
    case A.RET_PTR_TO_SOCK_COMMON:
      r0.type = PTR_TO_SOCK_COMMON | flags;
      return;
    case A.RET_PTR_TO_TCP_SOCK:
      r0.type = PTR_TO_TCP_SOCK | flags;
      return;
    case A.RET_PTR_TO_MEM:
      r0.type = PTR_TO_MEM | flags;
      r0.memSize = meta.memSize;
      return;
    case A.RET_PTR_TO_MEM_OR_BTF_ID: {
      const btf = meta.retBtf;
      if (btf === null) return env.bug("a per-CPU variable without BTF");
      const id = btf.skipModifiers(meta.retBtfId);
      if (!isStructOrUnion(btf, id)) {
        const size = sizeOf(btf, id);
        if (size < 0) env.reject(EINVAL, `unable to resolve the size of type '${btf.typeName(id)}': -22`);
        r0.type = PTR_TO_MEM | flags;
        r0.memSize = size;
        return;
      }
      r0.type = percpuAlloc ? PTR_TO_BTF_ID | MEM_ALLOC | MEM_RCU : PTR_TO_BTF_ID | (flags & ~MEM_RDONLY);
      r0.btf = btf;
      r0.btfId = meta.retBtfId;
      return;
    }
    case A.RET_PTR_TO_BTF_ID: {
      r0.type = PTR_TO_BTF_ID | flags;
      if (fn.id === U.BPF_FUNC_kptr_xchg && meta.kptrField !== null) {
        r0.btf = meta.kptrField.kptrBtf;
        r0.btfId = meta.kptrField.kptrId;
        if (!isKernelBtf(env, r0.btf)) {
          r0.type |= MEM_ALLOC;
          if (meta.kptrField.type === BPF_KPTR_PERCPU) r0.type |= MEM_PERCPU;
        }
      } else {
        r0.btf = env.kernelBtf;
        r0.btfId = fn.retBtf === null ? 0 : findStruct(env.kernelBtf, fn.retBtf);
      }
      if (r0.btfId === 0) env.reject(EINVAL, `invalid return type ${base} of func ${fn.name}#${fn.id}`);
      return;
    }
    default:
      env.reject(EINVAL, `unknown return type ${base} of func ${fn.name}#${fn.id}`);
  }
}
