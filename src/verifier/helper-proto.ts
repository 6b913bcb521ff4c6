/** The prototype that the program gets for a helper: get_helper_proto(). */
import { ARG_DONTCARE } from "./arg-type.ts";
import type { Env } from "./env.ts";
import { isHelperCall, isKfuncCall, kfuncBtf, kfuncName } from "./insn-kind.ts";
import type { HelperSpec, HelperUser } from "./profile.ts";

/** null: unknown, or not for this program. */
export function helperProto(env: Env, id: number): HelperSpec | null {
  return env.profile.helper(id, helperUser(env));
}

const users = new WeakMap<Env, HelperUser>();

/** Who asks. */
export function helperUser(env: Env): HelperUser {
  let user = users.get(env);
  if (user === undefined) {
    const attach = env.attachFunc?.name ?? "";
    user = {
      progType: env.resolvedProgType,
      expectedAttachType: env.expectedAttachType,
      sleepable: env.inSleepableProg,
      bpfCapable: env.bpfCapable,
      perfmonCapable: env.allowPtrLeaks,
      hook: attach,
      iter: attach.replace(/^bpf_iter_/, ""),
      structOps: env.structOpsMember,
    };
    users.set(env, user);
  }
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
