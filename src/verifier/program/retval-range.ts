/** What an LSM hook may return: bpf_lsm_get_retval_range(), get_func_retval_range(). */
import { BPF_LSM_MAC, BPF_PROG_TYPE_LSM } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import type { RetvalRange } from "../state/state.ts";

const MAX_ERRNO = 4095;

/** Hooks that answer yes or no. */
const BOOL_HOOKS: ReadonlySet<string> = new Set([
  "bpf_lsm_audit_rule_known",
  "bpf_lsm_inode_xattr_skipcap",
  "bpf_lsm_xfrm_state_pol_flow_match",
]);

/** null: the program does not decide what the hook returns, or its range is not known. */
export function attachRetvalRange(env: Env): RetvalRange | null {
  if (env.progType !== BPF_PROG_TYPE_LSM || env.expectedAttachType !== BPF_LSM_MAC) return null;
  const func = env.attachFunc;
  if (func === null || func.protoId === 0) return null;
  // void hooks have nothing to return.
  const ret = func.btf.sizeOrType(func.protoId);
  if (ret === 0) return null;
  if (BOOL_HOOKS.has(func.name)) return { min: 0, max: 1 };
  return { min: -MAX_ERRNO, max: 0 };
}
