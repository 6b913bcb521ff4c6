/** The prototype that the program gets for a helper: get_helper_proto(). */

import { BPF_PROG_TYPE_LSM, BPF_TRACE_ITER } from "../../uapi/index.ts";
import type { AttachFunc, Env } from "../env.ts";
import { isHelperCall, isKfuncCall, kfuncBtf, kfuncName } from "../insns/insn-kind.ts";
import type { HelperSpec, HelperUser } from "../profile.ts";
import { ARG_DONTCARE } from "./arg-type.ts";

/** null: unknown, or not for this program. */
export function helperProto(env: Env, id: number): HelperSpec | null {
  return id > 0 && id < env.profile.helperCount ? env.profile.helper(id, helperUser(env)) : null;
}

interface User {
  /** env.attachFunc as it was: the control flow is checked before the target is known. */
  readonly attachFunc: AttachFunc | null;
  readonly user: HelperUser;
}

const users = new WeakMap<Env, User>();

/** Who asks, as prototypes depend on it. */
function helperUser(env: Env): HelperUser {
  const known = users.get(env);
  if (known !== undefined && known.attachFunc === env.attachFunc) return known.user;
  const attached = env.attachFunc?.name ?? "";
  const user: HelperUser = {
    progType: env.resolvedProgType,
    expectedAttachType: env.expectedAttachType,
    sleepable: env.inSleepableProg,
    bpfCapable: env.bpfCapable,
    perfmonCapable: env.allowPtrLeaks,
    ...(env.structOpsMember === "" ? {} : { structOps: env.structOpsMember }),
    ...(env.expectedAttachType === BPF_TRACE_ITER ? { iter: attached.replace(/^bpf_iter_/, "") } : {}),
    ...(env.resolvedProgType === BPF_PROG_TYPE_LSM ? { hook: attached } : {}),
  };
  users.set(env, { attachFunc: env.attachFunc, user });
  return user;
}

/** How many arguments the call at `i` takes; -1: not known (the program's own functions). get_call_summary(). */
export function callParams(env: Env, i: number): number {
  const { slots } = env;
  if (isHelperCall(slots, i)) {
    const fn = helperProto(env, slots.imm[i]!);
    if (fn === null) return -1;
    const end = fn.args.indexOf(ARG_DONTCARE);
    return end < 0 ? fn.args.length : end;
  }
  if (!isKfuncCall(slots, i) || kfuncName(env, i) === "") return -1;
  const btf = kfuncBtf(env, i)!;
  return btf.vlen(btf.sizeOrType(slots.imm[i]!));
}
