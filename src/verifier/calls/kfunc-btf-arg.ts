/** A pointer to a kernel object where a kfunc wants one of a certain type: process_kf_arg_ptr_to_btf_id(). */
import type { Btf } from "../../btf/index.ts";
import { EINVAL, KF_RELEASE } from "../../uapi/index.ts";
import { kindName } from "../btf/btf-types.ts";
import { btfStructIdsMatch } from "../btf/btf-walk.ts";
import { isProjectionOf } from "../btf/prog-ctx-type.ts";
import type { Env } from "../env.ts";
import { regTypeStr } from "../log/type-names.ts";
import {
  hasUnsafeModifiers,
  isRcuReg,
  reg2btfId,
  TRUSTED_MODIFIERS,
  typeIsAlloc,
} from "../state/reg-kind.ts";
import { baseType, PTR_TO_BTF_ID, typeFlags } from "../state/reg-type.ts";
import { hasFlag, type KfuncMeta } from "./kfunc-meta.ts";

const NOCAST = "___init";

/** One is the other with a suffix that forbids taking one for the other: btf_type_ids_nocast_alias(). */
function isNoCastAlias(a: string, b: string): boolean {
  return a === b + NOCAST || b === a + NOCAST;
}

export function checkPtrToBtfArg(env: Env, i: number, meta: KfuncMeta, needBtf: Btf, needId: number): void {
  const regno = i + 1;
  const reg = env.reg(regno);
  const base = baseType(reg.type);
  const standsFor = reg2btfId(env, base);
  if ((base !== PTR_TO_BTF_ID || (hasUnsafeModifiers(reg.type) && !isRcuReg(reg))) && standsFor === 0)
    env.reject(
      EINVAL,
      `arg#${i} is ${regTypeStr(reg.type)} expected ${regTypeStr(base | (typeFlags(reg.type) & TRUSTED_MODIFIERS))} or socket`,
    );
  const btf = base === PTR_TO_BTF_ID ? reg.btf : env.kernelBtf;
  if (btf === null) return env.bug("a BTF pointer without BTF");
  const id = btf.skipModifiers(base === PTR_TO_BTF_ID ? reg.btfId : standsFor);
  const name = btf.typeName(id);
  const needName = needBtf.typeName(needId);
  const strict = (hasFlag(meta, KF_RELEASE) && reg.refObjId !== 0) || isNoCastAlias(name, needName);
  const same = btfStructIdsMatch(env, btf, id, reg.off, needBtf, needId, strict, !typeIsAlloc(reg.type));
  // A program's view of a context stands for the kernel's.
  if (!same && !isProjectionOf(needName, name))
    env.reject(
      EINVAL,
      `kernel function ${meta.name} args#${i} expected pointer to ${kindName(needBtf, needId)} ${needName} but R${regno} has a pointer to ${kindName(btf, id)} ${name}`,
    );
}
