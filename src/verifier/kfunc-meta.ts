/** What is known of a kfunc call, and what its arguments tell: struct bpf_kfunc_call_arg_meta. */
import type { Btf } from "../btf/index.ts";
import {
  EACCES,
  EINVAL,
  KF_ITER_DESTROY,
  KF_ITER_NEW,
  KF_ITER_NEXT,
  KF_RCU,
  KF_RELEASE,
  KF_TRUSTED_ARGS,
} from "../uapi/index.ts";
import type { BtfField } from "./btf-record.ts";
import { protoOf } from "./btf-types.ts";
import type { Env } from "./env.ts";
import { kfuncBtf, kfuncName } from "./insn-kind.ts";
import { SPECIAL_KFUNCS, type SpecialKfunc } from "./kfunc-special.ts";
import type { MapDescription } from "./map-description.ts";

export interface KfuncMeta {
  readonly btf: Btf;
  readonly id: number;
  readonly name: string;
  readonly flags: number;
  /** FUNC_PROTO. */
  readonly proto: number;
  /** What is special about it, if it is one of the kernel's own. */
  readonly special: SpecialKfunc | null;
  refObjId: number;
  releaseRegno: number;
  constant: bigint | null;
  /** A result that points at memory: its size, and whether it may be written. */
  r0Size: number;
  r0ReadOnly: boolean;
  subprogno: number;
  argBtf: Btf | null;
  argBtfId: number;
  owningRef: boolean;
  retBtfId: number;
  map: MapDescription | null;
  mapUid: number;
  listHead: BtfField | null;
  treeRoot: BtfField | null;
  dynptrId: number;
  dynptrType: number;
  dynptrRefObjId: number;
  iterSpi: number;
  iterFrame: number;
}

export function hasFlag(meta: KfuncMeta, flag: number): boolean {
  return (meta.flags & flag) !== 0;
}

/** is_kfunc_trusted_args(): no null, and nothing that could be freed. */
export function wantsTrusted(meta: KfuncMeta): boolean {
  return (meta.flags & (KF_TRUSTED_ARGS | KF_RELEASE)) !== 0;
}

export function wantsRcu(meta: KfuncMeta): boolean {
  return (meta.flags & KF_RCU) !== 0;
}

/** is_iter_kfunc(). */
export function isIterKfunc(meta: KfuncMeta): boolean {
  return (meta.flags & (KF_ITER_NEW | KF_ITER_NEXT | KF_ITER_DESTROY)) !== 0;
}

/** fetch_kfunc_meta(). */
export function fetchKfuncMeta(env: Env, insnIdx: number): KfuncMeta {
  const btf = kfuncBtf(env, insnIdx);
  const name = kfuncName(env, insnIdx);
  if (btf === null || name === "") return env.reject(EINVAL, "");
  const id = env.slots.imm[insnIdx]!;
  const spec = env.profile.kfunc(name);
  if (spec === null || !env.profile.kfuncAllowed(spec, env.resolvedProgType, env.expectedAttachType))
    return env.reject(EACCES, `calling kernel function ${name} is not allowed`);
  return {
    btf,
    id,
    name,
    flags: spec.flags,
    proto: protoOf(btf, id),
    special: btf === env.kernelBtf ? (SPECIAL_KFUNCS.get(name) ?? null) : null,
    refObjId: 0,
    releaseRegno: 0,
    constant: null,
    r0Size: 0,
    r0ReadOnly: false,
    subprogno: 0,
    argBtf: null,
    argBtfId: 0,
    owningRef: false,
    retBtfId: 0,
    map: null,
    mapUid: 0,
    listHead: null,
    treeRoot: null,
    dynptrId: 0,
    dynptrType: 0,
    dynptrRefObjId: 0,
    iterSpi: -1,
    iterFrame: 0,
  };
}
