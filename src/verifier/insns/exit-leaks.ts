/** What must not be held where a path ends, in the words of each kernel. */
import { EINVAL } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { checkResourceLeak, hasReferenceLeak } from "./resource-leak.ts";

/** Before an exit (of any frame) or a throw. process_bpf_exit_full(). */
export function checkExitLeaks(env: Env, exceptionExit: boolean): void {
  const { state } = env;
  const outermost = exceptionExit || state.curframe === 0;
  if (env.profile.rules.has("references-in-state")) {
    checkResourceLeak(
      env,
      exceptionExit,
      outermost,
      exceptionExit ? "bpf_throw" : "BPF_EXIT instruction in main prog",
    );
    return;
  }
  if (outermost) {
    if (state.activeLocks !== 0)
      env.reject(
        EINVAL,
        exceptionExit
          ? "bpf_throw cannot be used inside bpf_spin_lock-ed region"
          : "bpf_spin_unlock is missing",
      );
    if (state.activeRcuLock !== 0)
      env.reject(
        EINVAL,
        exceptionExit
          ? "bpf_throw cannot be used inside bpf_rcu_read_lock-ed region"
          : "bpf_rcu_read_unlock is missing",
      );
    const n = state.activePreemptLocks;
    if (n !== 0)
      env.reject(
        EINVAL,
        exceptionExit
          ? "bpf_throw cannot be used inside bpf_preempt_disable-ed region"
          : `${n} bpf_preempt_enable${n === 1 ? " is" : "(s) are"} missing`,
      );
  }
  if (hasReferenceLeak(env, exceptionExit)) env.reject(EINVAL, "");
}
