/** What the control-flow walk wants to know of a kfunc call before the call is checked: fetch_kfunc_meta(). */
import type { Env } from "../env.ts";
import { kfuncName } from "../insns/insn-kind.ts";

const KF_SLEEPABLE = 1 << 5;
const KF_ITER_NEXT = 1 << 9;

export interface KfuncFacts {
  readonly iterNext: boolean;
  readonly sleepable: boolean;
}

/** null: no such kfunc, or not for this program; the call will be rejected when it is reached. */
export function kfuncFacts(env: Env, i: number): KfuncFacts | null {
  const spec = env.profile.kfunc(kfuncName(env, i));
  if (spec === null) return null;
  if (!env.profile.kfuncAllowed(spec, env.resolvedProgType, env.expectedAttachType)) return null;
  return {
    iterNext: (spec.flags & KF_ITER_NEXT) !== 0,
    sleepable: (spec.flags & KF_SLEEPABLE) !== 0,
  };
}
