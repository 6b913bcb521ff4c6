/**
 * Loads and stores through pointers to BTF types, and through map pointers: check_ptr_to_btf_access(),
 * check_ptr_to_map_access(). How far the result is trusted depends on the pointer, the field and the RCU section.
 */
import type { Btf } from "../../btf/index.ts";
import { EACCES, EFAULT, EINVAL, ENOTSUPP, EPERM } from "../../uapi/index.ts";
import { mapStructName } from "../calls/map-types.ts";
import type { Env } from "../env.ts";
import { varOffText } from "../log/text.ts";
import { checkStructWrite } from "../memory/struct-write.ts";
import { isConst, type RegState } from "../state/reg.ts";
import {
  inRcuCs,
  isRcuReg,
  isTrustedReg,
  TRUSTED_MODIFIERS,
  typeIsAlloc,
  typeIsNonOwningRef,
  typeIsPtrAllocObj,
} from "../state/reg-kind.ts";
import { markRegKnownZero, markRegUnknown } from "../state/reg-ops.ts";
import {
  MEM_PERCPU,
  MEM_RCU,
  MEM_USER,
  mayBeNull,
  PTR_MAYBE_NULL,
  PTR_TO_BTF_ID,
  PTR_TO_MEM,
  PTR_TRUSTED,
  PTR_UNTRUSTED,
} from "../state/reg-type.ts";
import type { FuncState } from "../state/state.ts";
import { btfStructAccess, isListedField } from "./btf-struct.ts";
import { findStruct, isKernelBtf } from "./btf-types.ts";

export { btfStructIdsMatch } from "./btf-struct.ts";

/** Makes R`r` what a load through a BTF pointer gives. mark_btf_ld_reg(). */
export function markBtfLdReg(
  env: Env,
  frame: FuncState,
  r: number,
  type: number,
  btf: Btf | null,
  id: number,
  flags: number,
): void {
  if (type !== PTR_TO_BTF_ID && type !== PTR_TO_MEM) {
    markRegUnknown(env, frame, r);
    return;
  }
  const reg = markRegKnownZero(frame, r);
  reg.type = type | flags;
  if (type === PTR_TO_MEM) {
    reg.memSize = 0;
    return;
  }
  reg.btf = btf;
  reg.btfId = id;
  if (mayBeNull(flags)) reg.id = env.newId();
}

/** Flags of a pointer that was read from `field` of what `reg` points at. */
function trustOf(env: Env, reg: RegState, field: string, id: number, found: number): number {
  const listed = (suffix: string): boolean => isListedField(reg, field, id, suffix);
  if ((reg.type & PTR_UNTRUSTED) !== 0) return PTR_UNTRUSTED;
  if (!isTrustedReg(env, reg) && !isRcuReg(reg)) return found & ~(TRUSTED_MODIFIERS | MEM_RCU);
  let flags = found;
  if (listed("__safe_trusted")) flags |= PTR_TRUSTED;
  else if (listed("__safe_trusted_or_null")) flags |= PTR_TRUSTED | PTR_MAYBE_NULL;
  else if (inRcuCs(env) && !mayBeNull(reg.type)) {
    const orNull = listed("__safe_rcu_or_null");
    if (listed("__safe_rcu")) flags |= MEM_RCU;
    else if ((flags & MEM_RCU) !== 0 || orNull) {
      flags |= MEM_RCU | PTR_MAYBE_NULL;
      if (orNull) flags &= ~PTR_UNTRUSTED;
    } else if ((flags & (MEM_PERCPU | MEM_USER)) === 0) flags &= ~(TRUSTED_MODIFIERS | MEM_RCU);
  } else flags = PTR_UNTRUSTED;
  return flags;
}

/** check_ptr_to_btf_access(). */
export function checkPtrToBtfAccess(
  env: Env,
  regno: number,
  off: number,
  size: number,
  write: boolean,
  valueReg: number,
): void {
  const reg = env.reg(regno);
  const { btf } = reg;
  if (btf === null) return env.bug("a BTF pointer without BTF");
  const name = btf.typeName(reg.btfId);
  if (!env.allowPtrLeaks)
    env.reject(EPERM, `'struct ${name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN`);
  if (!env.gplCompatible && isKernelBtf(env, btf))
    env.reject(EINVAL, `Cannot access kernel 'struct ${name}' from non-GPL compatible program`);
  if (off < 0) env.reject(EACCES, `R${regno} is ptr_${name} invalid negative access: off=${off}`);
  if (!isConst(reg) || (reg.valueLo | reg.valueHi) !== 0)
    env.reject(
      EACCES,
      `R${regno} is ptr_${name} invalid variable offset: off=${off}, var_off=${varOffText(reg)}`,
    );
  if ((reg.type & MEM_USER) !== 0)
    env.reject(EACCES, `R${regno} is ptr_${name} access user memory: off=${off}`);
  if ((reg.type & MEM_PERCPU) !== 0)
    env.reject(EACCES, `R${regno} is ptr_${name} access percpu memory: off=${off}`);
  if (write && (reg.type & PTR_UNTRUSTED) !== 0) env.reject(EACCES, "only read is supported");

  if (write && !typeIsAlloc(reg.type) && checkStructWrite(env, reg, off, size)) return;
  if (write && !typeIsPtrAllocObj(reg.type)) env.reject(EACCES, "only read is supported");
  if (typeIsAlloc(reg.type) && !typeIsNonOwningRef(reg.type) && !isRcuReg(reg) && reg.refObjId === 0)
    env.reject(EFAULT, "verifier bug: ref_obj_id for allocated object must be non-zero");

  const access = btfStructAccess(env, btf, reg.btfId, reg.type, off, size);
  if (access.type < 0) env.reject(-access.type, "");
  if (write || valueReg < 0) return;
  const flags =
    access.type === PTR_TO_BTF_ID
      ? trustOf(env, reg, access.fieldName, access.id, access.flags)
      : access.flags;
  markBtfLdReg(env, env.frame, valueReg, access.type, btf, access.id, flags);
}

/** check_ptr_to_map_access(): fields of struct bpf_map and of what embeds it. */
export function checkPtrToMapAccess(
  env: Env,
  regno: number,
  off: number,
  size: number,
  write: boolean,
  valueReg: number,
): void {
  const { map } = env.reg(regno);
  if (map === null) return env.bug("a map pointer without map");
  const btf = env.kernelBtf;
  if (btf === null) return env.reject(ENOTSUPP, "map_ptr access not supported without CONFIG_DEBUG_INFO_BTF");
  const name = mapStructName(map.type);
  const id = name === null ? 0 : findStruct(btf, name);
  if (id === 0) env.reject(ENOTSUPP, `map_ptr access not supported for map type ${map.type}`);
  if (!env.allowPtrLeaks)
    env.reject(EPERM, `'struct ${name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN`);
  if (off < 0) env.reject(EACCES, `R${regno} is ${name} invalid negative access: off=${off}`);
  if (write) env.reject(EACCES, `only read from ${name} is supported`);
  const access = btfStructAccess(env, btf, id, PTR_TO_BTF_ID, off, size);
  if (access.type < 0) env.reject(-access.type, "");
  if (valueReg >= 0) markBtfLdReg(env, env.frame, valueReg, access.type, btf, access.id, access.flags);
}
