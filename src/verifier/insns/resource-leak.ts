/** What must not be held where the program ends or jumps away: check_reference_leak(), check_resource_leak(). */
import { BPF_PROG_TYPE_STRUCT_OPS, EINVAL } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { REF_TYPE_PTR } from "../state/state.ts";

/** True, after a message each, if references are held. `exception`: bpf_throw() ends all frames at once. */
export function hasReferenceLeak(env: Env, exception: boolean): boolean {
  const { state, frame } = env;
  const inState = env.profile.rules.has("references-in-state");
  // Before 6.14, a callback had to release what it had taken; what its callers hold was not its business.
  const callback = !inState && frame.inCallbackFn;
  if (!exception && state.curframe !== 0 && !callback) return false;
  let leak = false;
  for (const ref of state.refs) {
    if (ref.type !== REF_TYPE_PTR) continue;
    if (!exception && callback && ref.callbackFrame !== frame.frameno) continue;
    // A struct_ops function may give a reference to the kernel.
    if (
      inState &&
      !exception &&
      env.resolvedProgType === BPF_PROG_TYPE_STRUCT_OPS &&
      env.reg(0).refObjId === ref.id
    )
      continue;
    env.verbose(`Unreleased reference id=${ref.id} alloc_insn=${ref.insnIdx}\n`);
    leak = true;
  }
  return leak;
}

/** Rejects if something is held; `what` goes into the message ("BPF_EXIT instruction in main prog", "tail_call"). */
export function checkResourceLeak(env: Env, exception: boolean, checkLock: boolean, what: string): void {
  const { state } = env;
  if (checkLock && state.activeLocks !== 0)
    env.reject(EINVAL, `${what} cannot be used inside bpf_spin_lock-ed region`);
  if (hasReferenceLeak(env, exception)) env.reject(EINVAL, `${what} would lead to reference leak`);
  if (!checkLock) return;
  if (state.activeIrqId !== 0)
    env.reject(EINVAL, `${what} cannot be used inside bpf_local_irq_save-ed region`);
  if (state.activeRcuLock !== 0)
    env.reject(EINVAL, `${what} cannot be used inside bpf_rcu_read_lock-ed region`);
  if (state.activePreemptLocks !== 0)
    env.reject(EINVAL, `${what} cannot be used inside bpf_preempt_disable-ed region`);
}
