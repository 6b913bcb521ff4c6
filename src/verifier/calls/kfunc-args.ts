/** The arguments of a kfunc call: check_kfunc_args(). */
import {
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_TRACING,
  BPF_TRACE_ITER,
  EACCES,
  EFAULT,
  EINVAL,
  KF_RELEASE,
} from "../../uapi/index.ts";
import { mapRecord } from "../btf/btf-record.ts";
import { findStruct, isScalar, kindName, sizeOf } from "../btf/btf-types.ts";
import { BPF_TASK_WORK, BPF_WORKQUEUE } from "../btf/field-types.ts";
import { kernelContextTypeOf } from "../btf/prog-ctx-type.ts";
import { type Env, Rejection } from "../env.ts";
import { BPF_DYNPTR_TYPE_INVALID, regTypeStr } from "../log/type-names.ts";
import { toU64 } from "../numbers/int64.ts";
import { markChainPrecision } from "../paths/precision.ts";
import { dynptrOf, dynptrTypeFlag, dynptrTypeRefcounted } from "../state/dynptr.ts";
import { processIrqFlag } from "../state/irq-flag.ts";
import { LOCK, processSpinLock } from "../state/locks.ts";
import { isConst, isNullScalar } from "../state/reg.ts";
import {
  inSleepable,
  isRcuReg,
  isTrustedReg,
  regRecord,
  typeIsNonOwningRef,
  typeIsPtrAllocObj,
} from "../state/reg-kind.ts";
import {
  CONST_PTR_TO_DYNPTR,
  MEM_ALLOC,
  MEM_PERCPU,
  MEM_RDONLY,
  MEM_UNINIT,
  mayBeNull,
  OBJ_RELEASE,
  PTR_TO_BTF_ID,
  PTR_TO_CTX,
  PTR_TO_FUNC,
  PTR_TO_MAP_VALUE,
  PTR_TO_STACK,
  SCALAR_VALUE,
} from "../state/reg-type.ts";
import { ARG_DONTCARE, ARG_PTR_TO_DYNPTR } from "./arg-type.ts";
import { checkConstStr } from "./const-str.ts";
import { processDynptr } from "./dynptr-arg.ts";
import { checkMapFieldPointer } from "./helper-fields.ts";
import { checkKfuncMemSizeReg, checkMemReg } from "./helper-mem.ts";
import { processIterArg } from "./iter-next.ts";
import { checkPtrToBtfArg } from "./kfunc-btf-arg.ts";
import { processGraphNode, processGraphRoot } from "./kfunc-graph.ts";
import { hasFlag, type KfuncMeta, wantsRcu, wantsTrusted } from "./kfunc-meta.ts";
import {
  isOptional,
  type KfuncArgKind,
  type KfuncParam,
  kfuncArgKind,
  kfuncParams,
  nameOf,
} from "./kfunc-param.ts";
import { checkFuncArgRegOff } from "./reg-compat.ts";

const MAX_BPF_FUNC_REG_ARGS = 5;

function scalarArg(env: Env, i: number, param: KfuncParam, meta: KfuncMeta): void {
  const regno = i + 1;
  const reg = env.reg(regno);
  if (reg.type !== SCALAR_VALUE) env.reject(EINVAL, `R${regno} is not a scalar`);
  if (param.name.endsWith("__k")) {
    if (meta.constant !== null)
      env.reject(EFAULT, "verifier internal error: only one constant argument permitted");
    if (!isConst(reg)) env.reject(EINVAL, `R${regno} must be a known constant`);
    markChainPrecision(env, regno);
    meta.constant = toU64(reg.valueLo, reg.valueHi);
    return;
  }
  if (param.name !== "rdonly_buf_size" && param.name !== "rdwr_buf_size") return;
  if (param.name === "rdonly_buf_size") meta.r0ReadOnly = true;
  if (meta.r0Size !== 0) {
    env.verbose("2 or more rdonly/rdwr_buf_size parameters for kfunc");
    env.reject(EINVAL, "");
  }
  if (!isConst(reg)) env.reject(EINVAL, `R${regno} is not a const`);
  if (reg.valueHi !== 0) env.reject(EINVAL, `R${regno} rdonly/rdwr_buf_size exceeds u32 max`);
  meta.r0Size = reg.valueLo >>> 0;
  markChainPrecision(env, regno);
}

/** Which iterators may stand still: check_css_task_iter_allowlist(). */
function mayIterateCssTasks(env: Env): boolean {
  if (env.resolvedProgType === BPF_PROG_TYPE_LSM) return true;
  if (env.resolvedProgType === BPF_PROG_TYPE_TRACING && env.expectedAttachType === BPF_TRACE_ITER)
    return true;
  return inSleepable(env);
}

/** Checks all arguments; `meta` knows afterwards what they tell. */
export function checkKfuncArgs(env: Env, meta: KfuncMeta, insnIdx: number): void {
  const params = kfuncParams(meta);
  if (params.length > MAX_BPF_FUNC_REG_ARGS)
    env.reject(EINVAL, `Function ${meta.name} has ${params.length} > ${MAX_BPF_FUNC_REG_ARGS} args`);
  for (let i = 0; i < params.length; i++) {
    const param = params[i]!;
    const regno = i + 1;
    const reg = env.reg(regno);
    if (param.name.endsWith("__prog")) {
      env.aux[insnIdx]!.argProg = regno;
      continue;
    }
    if (param.name.endsWith("__ign")) continue;
    if (isScalar(meta.btf, param.id)) {
      scalarArg(env, i, param, meta);
      continue;
    }
    if (!param.isPtr) env.reject(EINVAL, `Unrecognized arg#${i} type ${kindName(meta.btf, param.id)}`);
    if (
      (wantsTrusted(meta) || wantsRcu(meta)) &&
      (isNullScalar(reg) || mayBeNull(reg.type)) &&
      !param.name.endsWith("__nullable")
    )
      env.reject(EACCES, `Possibly NULL pointer passed to trusted arg${i}`);
    const releases = hasFlag(meta, KF_RELEASE);
    if (reg.refObjId !== 0) {
      if (releases && meta.refObjId !== 0)
        env.reject(
          EFAULT,
          `verifier internal error: more than one arg with ref_obj_id R${regno} ${reg.refObjId} ${meta.refObjId}`,
        );
      meta.refObjId = reg.refObjId;
      if (releases) meta.releaseRegno = regno;
    }
    const kind = kfuncArgKind(env, meta, params, i);
    if (kind === "null") continue;
    if (kind === "map") mapArg(env, regno, meta);
    if (kind === "map" || kind === "alloc" || kind === "btf-id") trust(env, regno, meta);
    checkFuncArgRegOff(env, reg, regno, releases && reg.refObjId !== 0 ? OBJ_RELEASE : ARG_DONTCARE);
    checkKind(env, meta, params, i, kind, insnIdx);
    // The size behind it was checked with it.
    if (kind === "mem-size") i++;
  }
  if (hasFlag(meta, KF_RELEASE) && meta.releaseRegno === 0)
    env.reject(EINVAL, `release kernel function ${meta.name} expects refcounted PTR_TO_BTF_ID`);
}

function mapArg(env: Env, regno: number, meta: KfuncMeta): void {
  const reg = env.reg(regno);
  if (reg.map === null) {
    // A struct bpf_map from a context or another object is one too.
    if (reg.btf === null) env.reject(EINVAL, `pointer in R${regno} isn't map pointer`);
    return;
  }
  const record = mapRecord(env, reg.map);
  const work = (record?.taskWorkOff ?? -1) >= 0;
  if (meta.map !== null && ((record?.wqOff ?? -1) >= 0 || work)) {
    if (meta.map !== reg.map || meta.mapUid !== reg.mapUid)
      env.reject(
        EINVAL,
        work
          ? `bpf_task_work pointer in R2 map_uid=${meta.mapUid} doesn't match map pointer in R3 map_uid=${reg.mapUid}`
          : `workqueue pointer in R1 map_uid=${meta.mapUid} doesn't match map pointer in R2 map_uid=${reg.mapUid}`,
      );
  }
  meta.map = reg.map;
  meta.mapUid = reg.mapUid;
}

function trust(env: Env, regno: number, meta: KfuncMeta): void {
  if (!wantsTrusted(meta) && !wantsRcu(meta)) return;
  const reg = env.reg(regno);
  if (isTrustedReg(env, reg)) return;
  if (!wantsRcu(meta)) env.reject(EINVAL, `R${regno} must be referenced or trusted`);
  if (!isRcuReg(reg)) env.reject(EINVAL, `R${regno} must be a rcu pointer`);
}

function dynptrArg(env: Env, regno: number, param: KfuncParam, meta: KfuncMeta, insnIdx: number): void {
  const reg = env.reg(regno);
  let type = ARG_PTR_TO_DYNPTR;
  let cloneRef = 0;
  if (reg.type === CONST_PTR_TO_DYNPTR) type |= MEM_RDONLY;
  if (param.name.endsWith("__uninit")) type |= MEM_UNINIT;
  const made = meta.special?.dynptr;
  if (typeof made === "number") type |= made;
  else if (made === "clone" && (type & MEM_UNINIT) !== 0) {
    if (meta.dynptrType === BPF_DYNPTR_TYPE_INVALID)
      env.reject(EFAULT, "verifier internal error: no dynptr type for parent of clone");
    type |= dynptrTypeFlag(meta.dynptrType);
    cloneRef = meta.dynptrRefObjId;
    if (dynptrTypeRefcounted(meta.dynptrType) && cloneRef === 0)
      env.reject(EFAULT, "verifier internal error: missing ref obj id for parent of clone");
  }
  processDynptr(env, regno, insnIdx, type, cloneRef);
  if ((type & MEM_UNINIT) !== 0) return;
  const dynptr = dynptrOf(env, env.reg(regno));
  meta.dynptrId = dynptr.id;
  meta.dynptrType = dynptr.dynptrType;
  meta.dynptrRefObjId = dynptr.refObjId;
}

function checkKind(
  env: Env,
  meta: KfuncMeta,
  params: readonly KfuncParam[],
  i: number,
  kind: KfuncArgKind,
  insnIdx: number,
): void {
  const regno = i + 1;
  const reg = env.reg(regno);
  const param = params[i]!;
  const { special } = meta;
  switch (kind) {
    case "ctx":
      if (reg.type !== PTR_TO_CTX)
        env.reject(EINVAL, `arg#${i} expected pointer to ctx, but got ${regTypeStr(reg.type)}`);
      if (special?.takesContext === true) {
        meta.retBtfId = kernelContextTypeOf(env, env.resolvedProgType);
        if (meta.retBtfId === 0) env.reject(EINVAL, "");
      }
      return;
    case "alloc": {
      const percpu = reg.type === (PTR_TO_BTF_ID | MEM_ALLOC | MEM_PERCPU);
      if (reg.type !== (PTR_TO_BTF_ID | MEM_ALLOC) && !percpu)
        env.reject(EINVAL, `arg#${i} expected pointer to allocated object`);
      if (special?.drops !== (percpu ? "percpu" : "object"))
        env.reject(EINVAL, `arg#${i} expected for bpf_${percpu ? "percpu_" : ""}obj_drop_impl()`);
      if (reg.refObjId === 0) env.reject(EINVAL, "allocated object must be referenced");
      meta.argBtf = reg.btf;
      meta.argBtfId = reg.btfId;
      return;
    }
    case "dynptr":
      return dynptrArg(env, regno, param, meta, insnIdx);
    case "iter":
      if (special?.cssTaskIter === true && !mayIterateCssTasks(env))
        env.reject(EINVAL, "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs");
      return processIterArg(env, regno, insnIdx, meta);
    case "list-head":
    case "rb-root":
      return processGraphRoot(env, regno, meta, kind === "list-head");
    case "list-node":
    case "rb-node":
      return processGraphNode(env, regno, meta, kind === "list-node");
    case "map":
      return checkPtrToBtfArg(env, i, meta, env.kernelBtf!, findStruct(env.kernelBtf, "bpf_map"));
    case "btf-id":
      return checkPtrToBtfArg(env, i, meta, meta.btf, param.pointee);
    case "mem": {
      const size = sizeOf(meta.btf, param.pointee);
      if (size < 0)
        env.reject(
          EINVAL,
          `arg#${i} reference type('${kindName(meta.btf, param.pointee)} ${nameOf(meta, param.pointee)}') size cannot be determined: -22`,
        );
      return checkMemReg(env, regno, size);
    }
    case "mem-size":
      return memSize(env, meta, params, i);
    case "callback":
      if (reg.type !== PTR_TO_FUNC) env.reject(EINVAL, `arg${i} expected pointer to func`);
      meta.subprogno = reg.subprogno;
      return;
    case "refcounted": {
      if (!typeIsPtrAllocObj(reg.type)) env.reject(EINVAL, `arg#${i} is neither owning or non-owning ref`);
      if (!typeIsNonOwningRef(reg.type) && reg.refObjId !== 0) meta.owningRef = true;
      const record = regRecord(env, reg);
      if (record === null) return env.reject(EFAULT, "verifier internal error: Couldn't find btf_record");
      if (record.refcountOff < 0)
        env.reject(EINVAL, `arg#${i} doesn't point to a type with bpf_refcount field`);
      meta.argBtf = reg.btf;
      meta.argBtfId = reg.btfId;
      return;
    }
    case "const-str":
      if (reg.type !== PTR_TO_MAP_VALUE) env.reject(EINVAL, `arg#${i} doesn't point to a const string`);
      return checkConstStr(env, regno);
    case "workqueue":
    case "task-work": {
      if (reg.type !== PTR_TO_MAP_VALUE) env.reject(EINVAL, `arg#${i} doesn't point to a map value`);
      const wq = kind === "workqueue";
      meta.map = checkMapFieldPointer(env, regno, wq ? BPF_WORKQUEUE : BPF_TASK_WORK, (r) =>
        wq ? r.wqOff : r.taskWorkOff,
      );
      meta.mapUid = reg.mapUid;
      return;
    }
    case "irq-flag": {
      if (reg.type !== PTR_TO_STACK) env.reject(EINVAL, `arg#${i} doesn't point to an irq flag on stack`);
      const irq = special?.irq;
      if (irq === undefined) return env.reject(EFAULT, "");
      return processIrqFlag(env, regno, irq.save, irq.by);
    }
    case "res-spin-lock":
      if (reg.type !== PTR_TO_MAP_VALUE && reg.type !== (PTR_TO_BTF_ID | MEM_ALLOC))
        env.reject(EINVAL, `arg#${i} doesn't point to map value or allocated object`);
      if (special?.lock === undefined) return env.reject(EFAULT, "");
      return processSpinLock(env, regno, special.lock);
  }
}

function memSize(env: Env, meta: KfuncMeta, params: readonly KfuncParam[], i: number): void {
  const size = params[i + 1]!;
  const sizeReg = env.reg(i + 2);
  if (!isNullScalar(env.reg(i + 1)) || !isOptional(params[i]!)) {
    try {
      checkKfuncMemSizeReg(env, i + 2);
    } catch (e) {
      if (e instanceof Rejection)
        env.reject(e.errno, `arg#${i} arg#${i + 1} memory, len pair leads to invalid memory access`);
      throw e;
    }
  }
  if (!size.name.endsWith("__szk")) return;
  if (meta.constant !== null)
    env.reject(EFAULT, "verifier internal error: only one constant argument permitted");
  if (!isConst(sizeReg)) env.reject(EINVAL, `R${i + 2} must be a known constant`);
  meta.constant = toU64(sizeReg.valueLo, sizeReg.valueHi);
}

/** Whether the lock that a special kfunc takes may fail, on a path of its own. */
export function mayFailToLock(meta: KfuncMeta): boolean {
  return ((meta.special?.lock ?? 0) & LOCK) !== 0;
}
