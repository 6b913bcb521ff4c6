/** What is known of a kfunc before its arguments are looked at. */
import { EACCES, EINVAL } from "../../uapi/index.ts";
import { protoOf } from "../btf/btf-types.ts";
import type { Env } from "../env.ts";
import { kfuncBtf, kfuncName } from "../insns/insn-kind.ts";
import type { KfuncMeta } from "./kfunc-meta.ts";
import { SPECIAL_KFUNCS } from "./kfunc-special.ts";

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
