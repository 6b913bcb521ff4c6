/** Questions about registers: trusted, owned, what special fields they point at; and where in a lock or RCU section we are. */
import { BTF_KIND_STRUCT } from "../../btf/index.ts";
import { type BtfRecord, hasField, mapRecord, structRecord } from "../btf/btf-record.ts";
import { findId } from "../btf/btf-types.ts";
import { BPF_RES_SPIN_LOCK, BPF_SPIN_LOCK } from "../btf/field-types.ts";
import type { Env } from "../env.ts";
import type { RegState } from "./reg.ts";
import {
  baseType,
  CONST_PTR_TO_MAP,
  MEM_ALLOC,
  MEM_RCU,
  NON_OWN_REF,
  PTR_TO_BTF_ID,
  PTR_TO_MAP_VALUE,
  PTR_TO_SOCK_COMMON,
  PTR_TO_SOCKET,
  PTR_TO_TCP_SOCK,
  PTR_TRUSTED,
  typeFlags,
} from "./reg-type.ts";

/** BPF_REG_TRUSTED_MODIFIERS. */
export const TRUSTED_MODIFIERS: number = MEM_ALLOC | PTR_TRUSTED | NON_OWN_REF;

/** bpf_type_has_unsafe_modifiers(). */
export function hasUnsafeModifiers(type: number): boolean {
  return (typeFlags(type) & ~TRUSTED_MODIFIERS) !== 0;
}

const REG_BTF_NAMES: ReadonlyMap<number, string> = new Map([
  [PTR_TO_SOCKET, "sock"],
  [PTR_TO_SOCK_COMMON, "sock_common"],
  [PTR_TO_TCP_SOCK, "tcp_sock"],
  [CONST_PTR_TO_MAP, "bpf_map"],
]);

/** The kernel type that a register of this base type stands for, or 0: reg2btf_ids. */
export function reg2btfId(env: Env, base: number): number {
  if (base === CONST_PTR_TO_MAP && !env.profile.rules.has("map-ptr-is-btf-id")) return 0;
  const name = REG_BTF_NAMES.get(base);
  return name === undefined ? 0 : findId(env.kernelBtf, name, BTF_KIND_STRUCT);
}

/** is_trusted_reg(). */
export function isTrustedReg(env: Env, reg: RegState): boolean {
  if (reg.refObjId !== 0) return true;
  if (reg2btfId(env, baseType(reg.type)) !== 0 && !hasUnsafeModifiers(reg.type)) return true;
  return (reg.type & TRUSTED_MODIFIERS) !== 0 && !hasUnsafeModifiers(reg.type);
}

/** is_rcu_reg(). */
export function isRcuReg(reg: RegState): boolean {
  return (reg.type & MEM_RCU) !== 0;
}

/** type_is_alloc(). */
export function typeIsAlloc(type: number): boolean {
  return (type & MEM_ALLOC) !== 0;
}

/** An object of the program's: type_is_ptr_alloc_obj(). */
export function typeIsPtrAllocObj(type: number): boolean {
  return baseType(type) === PTR_TO_BTF_ID && (type & MEM_ALLOC) !== 0;
}

/** type_is_non_owning_ref(). */
export function typeIsNonOwningRef(type: number): boolean {
  return typeIsPtrAllocObj(type) && (type & NON_OWN_REF) !== 0;
}

/** The special fields of what `reg` points at: reg_btf_record(). */
export function regRecord(env: Env, reg: RegState): BtfRecord | null {
  if (reg.type === PTR_TO_MAP_VALUE) return reg.map === null ? null : mapRecord(env, reg.map);
  return typeIsPtrAllocObj(reg.type) ? structRecord(env, reg.btf, reg.btfId) : null;
}

/** reg_may_point_to_spin_lock(). */
export function mayPointToSpinLock(env: Env, reg: RegState): boolean {
  return hasField(regRecord(env, reg), BPF_SPIN_LOCK | BPF_RES_SPIN_LOCK);
}

/** in_sleepable(). */
export function inSleepable(env: Env): boolean {
  return env.inSleepableProg || env.state.inSleepable;
}

/** RCU-protected pointers may be followed here: in_rcu_cs(). */
export function inRcuCs(env: Env): boolean {
  return env.state.activeRcuLock !== 0 || env.state.activeLocks !== 0 || !inSleepable(env);
}
