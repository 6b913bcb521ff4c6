/** Kernel pointers in map values, loaded and stored directly: check_map_kptr_access(), map_kptr_match_type(). */
import { BPF_LDX, BPF_MEM, BPF_ST, BPF_STX, EACCES } from "../../uapi/index.ts";
import { type BtfField, hasField, structRecord } from "../btf/btf-record.ts";
import { isKernelBtf, sizeOf } from "../btf/btf-types.ts";
import { btfStructIdsMatch, markBtfLdReg } from "../btf/btf-walk.ts";
import {
  BPF_GRAPH_NODE,
  BPF_KPTR_PERCPU,
  BPF_KPTR_REF,
  BPF_KPTR_UNREF,
  BPF_UPTR,
} from "../btf/field-types.ts";
import type { Env } from "../env.ts";
import { regTypeStr } from "../log/type-names.ts";
import { markChainPrecision } from "../paths/precision.ts";
import { isNullScalar, type RegState } from "../state/reg.ts";
import { inRcuCs, typeIsAlloc } from "../state/reg-kind.ts";
import { markRegKnownZero } from "../state/reg-ops.ts";
import {
  baseType,
  MEM_ALLOC,
  MEM_PERCPU,
  MEM_RCU,
  NON_OWN_REF,
  PTR_MAYBE_NULL,
  PTR_TO_BTF_ID,
  PTR_TO_MEM,
  PTR_TRUSTED,
  PTR_UNTRUSTED,
  typeFlags,
} from "../state/reg-type.ts";
import { checkPtrOffReg } from "./mem-region.ts";

/** Kernel objects that are freed after an RCU grace period: rcu_protected_types. */
const RCU_PROTECTED: ReadonlySet<string> = new Set([
  "prog_test_ref_kfunc",
  "cgroup",
  "bpf_cpumask",
  "task_struct",
  "bpf_crypto_ctx",
]);

/** rcu_safe_kptr(): what it points at lives on through an RCU section. */
function rcuSafe(env: Env, field: BtfField): boolean {
  if (field.type === BPF_KPTR_PERCPU) return true;
  if (field.type !== BPF_KPTR_REF) return false;
  return !isKernelBtf(env, field.kptrBtf) || RCU_PROTECTED.has(field.kptrBtf!.typeName(field.kptrId));
}

/** btf_ld_kptr_type(): flags of a pointer loaded from `field`. */
function loadedFlags(env: Env, field: BtfField): number {
  if (!rcuSafe(env, field) || !inRcuCs(env)) return PTR_MAYBE_NULL | PTR_UNTRUSTED;
  let flags = PTR_MAYBE_NULL | MEM_RCU;
  const kernel = isKernelBtf(env, field.kptrBtf);
  if (field.type === BPF_KPTR_PERCPU) flags |= MEM_PERCPU;
  else if (!kernel) flags |= MEM_ALLOC;
  if (!kernel && hasField(structRecord(env, field.kptrBtf, field.kptrId), BPF_GRAPH_NODE))
    flags |= NON_OWN_REF;
  return flags;
}

/** Whether the pointer in `reg` may be stored in `field`; false after saying why not. map_kptr_match_type(). */
export function mapKptrMatchType(env: Env, field: BtfField, reg: RegState, regno: number): boolean {
  let name = "";
  if (baseType(reg.type) === PTR_TO_BTF_ID) {
    let allowed: number;
    if (isKernelBtf(env, reg.btf)) {
      allowed = PTR_MAYBE_NULL | PTR_TRUSTED | MEM_RCU;
      if (field.type === BPF_KPTR_UNREF) allowed |= PTR_UNTRUSTED;
    } else {
      allowed = PTR_MAYBE_NULL | MEM_ALLOC;
      if (field.type === BPF_KPTR_PERCPU) allowed |= MEM_PERCPU;
    }
    const percpu = (reg.type & MEM_PERCPU) !== 0;
    if ((typeFlags(reg.type) & ~allowed) === 0 && (field.type === BPF_KPTR_PERCPU) === percpu) {
      name = reg.btf!.typeName(reg.btfId);
      checkPtrOffReg(env, reg, regno, true);
      // A referenced kptr must be exactly that type: it will be released as such.
      if (
        btfStructIdsMatch(
          env,
          reg.btf,
          reg.btfId,
          reg.off,
          field.kptrBtf,
          field.kptrId,
          field.type !== BPF_KPTR_UNREF,
          !typeIsAlloc(reg.type),
        )
      )
        return true;
    }
  }
  const target = field.kptrBtf!.typeName(field.kptrId);
  let text = `invalid kptr access, R${regno} type=${regTypeStr(reg.type)}${name} expected=${regTypeStr(PTR_TO_BTF_ID)}${target}`;
  if (field.type === BPF_KPTR_UNREF) text += ` or ${regTypeStr(PTR_TO_BTF_ID | PTR_UNTRUSTED)}${target}`;
  env.verbose(`${text}\n`);
  return false;
}

/** A load from or a store to `field` by the instruction at `insnIdx`. check_map_kptr_access(). */
export function checkMapKptrAccess(env: Env, valueReg: number, insnIdx: number, field: BtfField): void {
  const op = env.slots.op[insnIdx]!;
  const cls = op & 7;
  if ((op & 0xe0) !== BPF_MEM)
    env.reject(EACCES, "kptr in map can only be accessed using BPF_MEM instruction mode");
  if (cls !== BPF_LDX && (field.type === BPF_KPTR_REF || field.type === BPF_KPTR_PERCPU))
    env.reject(EACCES, "store to referenced kptr disallowed");
  if (cls !== BPF_LDX && field.type === BPF_UPTR) env.reject(EACCES, "store to uptr disallowed");
  if (cls === BPF_LDX) {
    if (field.type === BPF_UPTR) {
      const reg = markRegKnownZero(env.frame, valueReg);
      reg.type = PTR_TO_MEM | PTR_MAYBE_NULL;
      reg.memSize = sizeOf(field.kptrBtf!, field.kptrId);
      reg.id = env.newId();
      return;
    }
    markBtfLdReg(
      env,
      env.frame,
      valueReg,
      PTR_TO_BTF_ID,
      field.kptrBtf,
      field.kptrId,
      loadedFlags(env, field),
    );
  } else if (cls === BPF_STX) {
    const reg = env.reg(valueReg);
    if (isNullScalar(reg)) markChainPrecision(env, valueReg);
    else if (!mapKptrMatchType(env, field, reg, valueReg)) env.reject(EACCES, "");
  } else if (cls === BPF_ST) {
    if (env.slots.imm[insnIdx] !== 0)
      env.reject(EACCES, `BPF_ST imm must be 0 when storing to kptr at off=${field.offset}`);
  } else env.reject(EACCES, "kptr in map can only be accessed using BPF_LDX/BPF_STX/BPF_ST");
}
