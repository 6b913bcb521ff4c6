/** Results of special kfuncs, which depend on their arguments: check_special_kfunc(). Each writes R0. */

import type { Btf } from "../../btf/index.ts";
import { EFAULT, EINVAL } from "../../uapi/index.ts";
import { structRecord } from "../btf/btf-record.ts";
import { isArray, isScalar, isStruct, isStructOrUnion, membersOf, typeOf } from "../btf/btf-types.ts";
import type { Env } from "../env.ts";
import { mayAccessPacket } from "../memory/mem-region.ts";
import { dynptrTypeFlag } from "../state/dynptr.ts";
import { markRegKnownZero } from "../state/reg-ops.ts";
import {
  MEM_ALLOC,
  MEM_PERCPU,
  MEM_RDONLY,
  PTR_TO_BTF_ID,
  PTR_TO_MEM,
  PTR_TRUSTED,
  PTR_UNTRUSTED,
} from "../state/reg-type.ts";
import { markGraphNode } from "./callbacks.ts";
import type { KfuncMeta } from "./kfunc-meta.ts";

/** BPF_GLOBAL_PERCPU_MA_MAX_SIZE. */
const PERCPU_MAX_SIZE = 512;

/** Nothing but numbers, four structs deep: __btf_type_is_scalar_struct(). */
export function isScalarStruct(env: Env, btf: Btf, id: number, depth: number): boolean {
  if (!isStructOrUnion(btf, id)) return false;
  for (const member of membersOf(btf, id)) {
    const at = btf.skipModifiers(member.type);
    if (isStructOrUnion(btf, at)) {
      if (depth >= 3) {
        env.verbose("max struct nesting depth exceeded\n");
        return false;
      }
      if (!isScalarStruct(env, btf, at, depth + 1)) return false;
    } else if (isArray(btf, at)) {
      const array = typeOf(btf, at) as { nelems: number; type: number };
      if (array.nelems === 0 || !isScalar(btf, btf.skipModifiers(array.type))) return false;
    } else if (!isScalar(btf, at)) return false;
  }
  return true;
}

/** The constant argument as a type id of `btf`, or -1. */
function constantType(btf: Btf, meta: KfuncMeta): number {
  const value = meta.constant ?? 0n;
  return value < BigInt(btf.typeCount) ? Number(value) : -1;
}

export function returnNewObject(env: Env, meta: KfuncMeta, percpu: boolean): void {
  const value = meta.constant ?? 0n;
  if (BigInt.asUintN(32, value) !== value)
    env.reject(EINVAL, "local type ID argument must be in range [0, U32_MAX]");
  const { btf } = env.input;
  if (btf === null) return env.reject(EINVAL, "bpf_obj_new/bpf_percpu_obj_new requires prog BTF");
  const id = constantType(btf, meta);
  if (id < 0 || !isStruct(btf, id))
    env.reject(EINVAL, "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct");
  if (percpu) {
    const size = btf.sizeOrType(id);
    if (size > PERCPU_MAX_SIZE)
      env.reject(EINVAL, `bpf_percpu_obj_new type size (${size}) is greater than ${PERCPU_MAX_SIZE}`);
    if (!isScalarStruct(env, btf, id, 0))
      env.reject(EINVAL, "bpf_percpu_obj_new type ID argument must be of a struct of scalars");
    if (structRecord(env, btf, id) !== null)
      env.reject(EINVAL, "bpf_percpu_obj_new type ID argument must not contain special fields");
  }
  const r0 = markRegKnownZero(env.frame, 0);
  r0.type = PTR_TO_BTF_ID | MEM_ALLOC | (percpu ? MEM_PERCPU : 0);
  r0.btf = btf;
  r0.btfId = id;
}

export function returnSameObject(env: Env, meta: KfuncMeta): void {
  const r0 = markRegKnownZero(env.frame, 0);
  r0.type = PTR_TO_BTF_ID | MEM_ALLOC;
  r0.btf = meta.argBtf;
  r0.btfId = meta.argBtfId;
}

export function returnGraphNode(env: Env, meta: KfuncMeta): void {
  const root = meta.listHead ?? meta.treeRoot;
  if (root === null) return env.reject(EFAULT, "");
  markGraphNode(markRegKnownZero(env.frame, 0), root);
}

export function returnKernelContext(env: Env, meta: KfuncMeta): void {
  if (!isStruct(meta.btf, meta.retBtfId))
    env.reject(EINVAL, `kern ctx type id ${meta.retBtfId} is not a struct`);
  const r0 = markRegKnownZero(env.frame, 0);
  r0.type = PTR_TO_BTF_ID | PTR_TRUSTED;
  r0.btf = meta.btf;
  r0.btfId = meta.retBtfId;
}

export function returnCast(env: Env, meta: KfuncMeta): void {
  const id = constantType(meta.btf, meta);
  const untrustedMem = env.profile.rules.has("untrusted-rdonly-mem");
  if (id === 0 && untrustedMem) {
    const r0 = markRegKnownZero(env.frame, 0);
    r0.type = PTR_TO_MEM | MEM_RDONLY | PTR_UNTRUSTED;
    return;
  }
  if (id < 0 || !isStructOrUnion(meta.btf, id))
    env.reject(
      EINVAL,
      untrustedMem
        ? `kfunc bpf_rdonly_cast type ID argument must be of a struct or void`
        : "kfunc bpf_rdonly_cast type ID argument must be of a struct",
    );
  const r0 = markRegKnownZero(env.frame, 0);
  r0.type = PTR_TO_BTF_ID | PTR_UNTRUSTED;
  r0.btf = meta.btf;
  r0.btfId = id;
}

export function returnSlice(env: Env, meta: KfuncMeta, writable: boolean): void {
  if (meta.constant === null)
    return env.reject(EFAULT, "verifier internal error: bpf_dynptr_slice(_rdwr) no constant size");
  const r0 = markRegKnownZero(env.frame, 0);
  r0.memSize = Number(BigInt.asUintN(32, meta.constant));
  r0.type = PTR_TO_MEM | dynptrTypeFlag(meta.dynptrType);
  if (!writable) r0.type |= MEM_RDONLY;
  else if (!mayAccessPacket(env, null, true))
    env.reject(EINVAL, "the prog does not allow writes to packet data");
  if (meta.dynptrId === 0) env.reject(EFAULT, "verifier internal error: no dynptr id");
  r0.dynptrId = meta.dynptrId;
}
