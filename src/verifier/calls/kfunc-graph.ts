/** Lists and trees as arguments: their heads and roots under the right lock, nodes of the right kind. */
import { EFAULT, EINVAL } from "../../uapi/index.ts";
import type { BtfField } from "../btf/btf-record.ts";
import { findField } from "../btf/btf-record.ts";
import { btfStructIdsMatch } from "../btf/btf-walk.ts";
import { BPF_LIST_HEAD, BPF_LIST_NODE, BPF_RB_NODE, BPF_RB_ROOT, fieldTypeName } from "../btf/field-types.ts";
import type { Env } from "../env.ts";
import { isAllocationLocked } from "../state/locks.ts";
import { isConst, type RegState } from "../state/reg.ts";
import { regRecord, typeIsAlloc, typeIsNonOwningRef } from "../state/reg-kind.ts";
import { MEM_ALLOC, PTR_TO_BTF_ID, PTR_TO_MAP_VALUE } from "../state/reg-type.ts";
import type { KfuncMeta } from "./kfunc-meta.ts";
import { inRbtreeCallback } from "./rbtree-callback.ts";

function constant(env: Env, reg: RegState, regno: number, name: string): number {
  if (!isConst(reg))
    env.reject(EINVAL, `R${regno} doesn't have constant offset. ${name} has to be at the constant offset`);
  return (reg.off + reg.valueLo) | 0;
}

/** __process_kf_arg_ptr_to_graph_root(). */
export function processGraphRoot(env: Env, regno: number, meta: KfuncMeta, list: boolean): void {
  const reg = env.reg(regno);
  const arg = regno - 1;
  if (reg.type !== PTR_TO_MAP_VALUE && reg.type !== (PTR_TO_BTF_ID | MEM_ALLOC))
    env.reject(EINVAL, `arg#${arg} expected pointer to map value or allocated object`);
  if (reg.type !== PTR_TO_MAP_VALUE && reg.refObjId === 0)
    env.reject(EINVAL, "allocated object must be referenced");
  if (meta.btf !== env.kernelBtf)
    env.reject(EFAULT, "verifier internal error: unexpected btf mismatch in kfunc call");
  const type = list ? BPF_LIST_HEAD : BPF_RB_ROOT;
  const name = fieldTypeName(type);
  if (meta.special?.graph !== (list ? "list" : "rbtree"))
    env.reject(EFAULT, `verifier internal error: ${name} head arg for unknown kfunc`);
  const at = constant(env, reg, regno, name);
  const record = regRecord(env, reg);
  const field = findField(record, at, type);
  if (field === null || record === null) return env.reject(EINVAL, `${name} not found at offset=${at >>> 0}`);
  if (!isAllocationLocked(env, reg))
    env.reject(EINVAL, `bpf_spin_lock at off=${record.spinLockOff} must be held for ${name}`);
  if (list) meta.listHead = field;
  else meta.treeRoot = field;
}

/** __process_kf_arg_ptr_to_graph_node(). */
export function processGraphNode(env: Env, regno: number, meta: KfuncMeta, list: boolean): void {
  const reg = env.reg(regno);
  const arg = regno - 1;
  if (list || meta.special?.node === "insert") {
    if (reg.type !== (PTR_TO_BTF_ID | MEM_ALLOC))
      env.reject(EINVAL, `arg#${arg} expected pointer to allocated object`);
    if (reg.refObjId === 0) env.reject(EINVAL, "allocated object must be referenced");
  } else borrowed(env, reg, meta);
  if (meta.btf !== env.kernelBtf)
    env.reject(EFAULT, "verifier internal error: unexpected btf mismatch in kfunc call");
  const head = fieldTypeName(list ? BPF_LIST_HEAD : BPF_RB_ROOT);
  const type = list ? BPF_LIST_NODE : BPF_RB_NODE;
  const name = fieldTypeName(type);
  const at = constant(env, reg, regno, name);
  if (findField(regRecord(env, reg), at, type) === null)
    env.reject(EINVAL, `${name} not found at offset=${at >>> 0}`);
  const root: BtfField | null = list ? meta.listHead : meta.treeRoot;
  if (root === null || reg.btf === null) return env.reject(EFAULT, "");
  const expected = root.rootBtf!.typeName(root.valueId);
  if (
    !btfStructIdsMatch(env, reg.btf, reg.btfId, 0, root.rootBtf, root.valueId, true, !typeIsAlloc(reg.type))
  )
    env.reject(
      EINVAL,
      `operation on ${head} expects arg#1 ${name} at offset=${root.nodeOffset} in struct ${expected}, but arg is at offset=${at} in struct ${reg.btf.typeName(reg.btfId)}`,
    );
  meta.argBtf = reg.btf;
  meta.argBtfId = reg.btfId;
  if (at !== root.nodeOffset)
    env.reject(
      EINVAL,
      `arg#1 offset=${at}, but expected ${name} at offset=${root.nodeOffset} in struct ${expected}`,
    );
}

/** A node that is in a tree: borrowed, or (6.16+) one that is also owned. */
function borrowed(env: Env, reg: RegState, meta: KfuncMeta): void {
  if (env.profile.rules.has("rbtree-walk")) {
    if (!typeIsNonOwningRef(reg.type) && reg.refObjId === 0)
      env.reject(EINVAL, `${meta.name} can only take non-owning or refcounted bpf_rb_node pointer`);
    if (inRbtreeCallback(env)) env.reject(EINVAL, `${meta.name} not allowed in rbtree cb`);
  } else {
    if (!typeIsNonOwningRef(reg.type) || reg.refObjId !== 0)
      env.reject(EINVAL, "rbtree_remove node input must be non-owning ref");
    if (inRbtreeCallback(env)) env.reject(EINVAL, "rbtree_remove not allowed in rbtree cb");
  }
}
