/** One argument of a helper against its prototype: check_func_arg(). */
import * as U from "../../uapi/index.ts";
import { EACCES, EFAULT, EINVAL } from "../../uapi/index.ts";
import { findStruct } from "../btf/btf-types.ts";
import type { Env } from "../env.ts";
import { checkPtrAlignment } from "../memory/alignment.ts";
import { isPointerValue } from "../memory/mem-access.ts";
import { mayAccessPacket } from "../memory/mem-region.ts";
import { toNumberU64 } from "../numbers/int64.ts";
import { markChainPrecision } from "../paths/precision.ts";
import type { HelperSpec } from "../profile.ts";
import { dynptrSpi } from "../state/dynptr.ts";
import { LOCK, processSpinLock } from "../state/locks.ts";
import { isConst, isNullScalar } from "../state/reg.ts";
import { checkSrcReg } from "../state/reg-arg.ts";
import {
  baseType,
  MEM_ALIGNED,
  MEM_FIXED_SIZE,
  MEM_UNINIT,
  MEM_WRITE,
  mayBeNull,
  OBJ_RELEASE,
  PTR_TO_PACKET,
  PTR_TO_PACKET_META,
  PTR_TO_STACK,
} from "../state/reg-type.ts";
import * as A from "./arg-type.ts";
import type { CallMeta } from "./call-meta.ts";
import { checkConstStr } from "./const-str.ts";
import { processDynptr } from "./dynptr-arg.ts";
import { processKptr, processTimer } from "./helper-fields.ts";
import { checkHelperMemAccess, checkMemSizeReg } from "./helper-mem.ts";
import { canElideNull, constantMapKey } from "./map-key.ts";
import { inRbtreeCallback } from "./rbtree-callback.ts";
import { checkFuncArgRegOff, checkRegType } from "./reg-compat.ts";

/** Whether the helper writes to the memory of an argument. Before 6.12 only MEM_UNINIT said so. */
function writes(argType: number): boolean {
  return (argType & (MEM_WRITE | MEM_UNINIT)) !== 0;
}

/** Sockmaps take sockets for values; a Bloom filter looks a value up. resolve_map_arg_type(). */
function resolveMapArg(env: Env, meta: CallMeta, argType: number): number {
  const { map } = meta;
  if (map === null) return env.reject(EACCES, "invalid map_ptr to access map->type");
  if (map.type === U.BPF_MAP_TYPE_SOCKMAP || map.type === U.BPF_MAP_TYPE_SOCKHASH) {
    if (argType !== A.ARG_PTR_TO_MAP_VALUE) env.reject(EINVAL, "invalid arg_type for sockmap/sockhash");
    return A.ARG_PTR_TO_BTF_ID_SOCK_COMMON;
  }
  if (map.type === U.BPF_MAP_TYPE_BLOOM_FILTER && meta.funcId === U.BPF_FUNC_map_peek_elem)
    return A.ARG_PTR_TO_MAP_VALUE;
  return argType;
}

export function checkFuncArg(env: Env, arg: number, meta: CallMeta, fn: HelperSpec, insnIdx: number): void {
  const regno = arg + 1;
  let argType = fn.args[arg] ?? A.ARG_DONTCARE;
  if (argType === A.ARG_DONTCARE) return;
  checkSrcReg(env, regno);
  const reg = env.reg(regno);
  if (argType === A.ARG_ANYTHING) {
    if (isPointerValue(env, regno)) env.reject(EACCES, `R${regno} leaks addr into helper function`);
    return;
  }
  const regBase = baseType(reg.type);
  if (
    (regBase === PTR_TO_PACKET || regBase === PTR_TO_PACKET_META) &&
    !mayAccessPacket(env, meta.pktAccess, false)
  )
    env.reject(EACCES, "helper access to the packet is not allowed");
  if (baseType(argType) === A.ARG_PTR_TO_MAP_VALUE) argType = resolveMapArg(env, meta, argType);

  const base = baseType(argType);
  if (isNullScalar(reg) && mayBeNull(argType)) {
    if (env.profile.rules.has("null-arg-precise")) markChainPrecision(env, regno);
  } else {
    const name = base === A.ARG_PTR_TO_BTF_ID ? (fn.argBtf[arg] ?? null) : null;
    checkRegType(env, regno, argType, name === null ? 0 : findStruct(env.kernelBtf, name), meta);
    checkFuncArgRegOff(env, reg, regno, argType);
  }
  if ((argType & OBJ_RELEASE) !== 0) checkReleased(env, regno, argType, meta);
  if (reg.refObjId !== 0 && base !== A.ARG_KPTR_XCHG_DEST) {
    if (meta.refObjId !== 0)
      env.reject(
        EFAULT,
        `verifier internal error: more than one arg with ref_obj_id R${regno} ${reg.refObjId} ${meta.refObjId}`,
      );
    meta.refObjId = reg.refObjId;
  }
  checkByType(env, arg, argType, meta, fn, insnIdx);
}

function checkReleased(env: Env, regno: number, argType: number, meta: CallMeta): void {
  const reg = env.reg(regno);
  if (baseType(argType) === A.ARG_PTR_TO_DYNPTR) {
    if (reg.type !== PTR_TO_STACK) env.reject(EINVAL, "cannot release unowned const bpf_dynptr");
    const spi = dynptrSpi(env, reg);
    if (spi < 0 || env.state.frames[reg.frameno]!.stack[spi]!.spilled.refObjId === 0)
      env.reject(EINVAL, `arg ${regno} is an unacquired reference`);
  } else if (reg.refObjId === 0 && !isNullScalar(reg))
    env.reject(EINVAL, `R${regno} must be referenced when passed to release function`);
  if (meta.releaseRegno !== 0) env.reject(EFAULT, "verifier internal error: more than one release argument");
  meta.releaseRegno = regno;
}

function checkByType(
  env: Env,
  arg: number,
  argType: number,
  meta: CallMeta,
  fn: HelperSpec,
  insnIdx: number,
): void {
  const regno = arg + 1;
  const reg = env.reg(regno);
  switch (baseType(argType)) {
    case A.ARG_CONST_MAP_PTR:
      if (meta.map !== null && (meta.map !== reg.map || meta.mapUid !== reg.mapUid))
        env.reject(
          EINVAL,
          `timer pointer in R1 map_uid=${meta.mapUid} doesn't match map pointer in R2 map_uid=${reg.mapUid}`,
        );
      meta.map = reg.map;
      meta.mapUid = reg.mapUid;
      return;
    case A.ARG_PTR_TO_MAP_KEY:
      if (meta.map === null) return env.reject(EACCES, "invalid map_ptr to access map->key");
      checkHelperMemAccess(env, regno, meta.map.keySize, false, false, null);
      if (canElideNull(env, meta.map)) meta.constMapKey = constantMapKey(env, reg, meta.map.keySize);
      return;
    case A.ARG_PTR_TO_MAP_VALUE:
      if (mayBeNull(argType) && isNullScalar(reg)) return;
      if (meta.map === null) return env.reject(EACCES, "invalid map_ptr to access map->value");
      meta.rawMode = (argType & MEM_UNINIT) !== 0;
      return checkHelperMemAccess(env, regno, meta.map.valueSize, writes(argType), false, meta);
    case A.ARG_PTR_TO_PERCPU_BTF_ID:
      if (reg.btfId === 0) env.reject(EACCES, `Helper has invalid btf_id in R${regno}`);
      meta.retBtf = reg.btf;
      meta.retBtfId = reg.btfId;
      return;
    case A.ARG_PTR_TO_SPIN_LOCK:
      if (inRbtreeCallback(env)) env.reject(EACCES, "can't spin_{lock,unlock} in rbtree cb");
      return processSpinLock(env, regno, meta.funcId === U.BPF_FUNC_spin_lock ? LOCK : 0);
    case A.ARG_PTR_TO_TIMER:
      return processTimer(env, regno, meta);
    case A.ARG_PTR_TO_FUNC:
      meta.subprogno = reg.subprogno;
      return;
    case A.ARG_PTR_TO_MEM:
      // Checked with the size behind it, if there is one.
      meta.rawMode = (argType & MEM_UNINIT) !== 0;
      if ((argType & MEM_FIXED_SIZE) === 0) return;
      checkHelperMemAccess(env, regno, fn.argSize[arg] ?? 0, writes(argType), false, meta);
      if ((argType & MEM_ALIGNED) !== 0)
        checkPtrAlignment(env, env.reg(regno), 0, fn.argSize[arg] ?? 0, true);
      return;
    case A.ARG_CONST_SIZE:
      return checkMemSizeReg(env, regno, writes(fn.args[arg - 1] ?? 0), false, meta);
    case A.ARG_CONST_SIZE_OR_ZERO:
      return checkMemSizeReg(env, regno, writes(fn.args[arg - 1] ?? 0), true, meta);
    case A.ARG_PTR_TO_DYNPTR:
      return processDynptr(env, regno, insnIdx, argType, 0);
    case A.ARG_CONST_ALLOC_SIZE_OR_ZERO:
      if (!isConst(reg)) env.reject(EACCES, `R${regno} is not a known constant'`);
      meta.memSize = toNumberU64(reg.valueLo, reg.valueHi);
      return markChainPrecision(env, regno);
    case A.ARG_PTR_TO_CONST_STR:
      return checkConstStr(env, regno);
    case A.ARG_KPTR_XCHG_DEST:
      return processKptr(env, regno, meta);
  }
}
