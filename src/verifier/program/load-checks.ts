/**
 * What BPF_PROG_LOAD checks before the verifier runs: privileges, program and attach types. No log is written; only the
 * errno tells. bpf_prog_load(), bpf_prog_load_check_attach().
 */
import * as U from "../../uapi/index.ts";
import { E2BIG, EINVAL, EPERM } from "../../uapi/index.ts";
import type { VerifierInput } from "../input.ts";
import { BPF_COMPLEXITY_LIMIT_INSNS } from "../limits.ts";
import type { Profile } from "../profile.ts";

const FLAGS: number =
  U.BPF_F_STRICT_ALIGNMENT |
  U.BPF_F_ANY_ALIGNMENT |
  U.BPF_F_TEST_RND_HI32 |
  U.BPF_F_TEST_STATE_FREQ |
  U.BPF_F_SLEEPABLE |
  U.BPF_F_XDP_HAS_FRAGS |
  U.BPF_F_XDP_DEV_BOUND_ONLY |
  U.BPF_F_TEST_REG_INVARIANTS;

/** is_net_admin_prog_type(). */
const NET_ADMIN: ReadonlySet<number> = new Set([
  U.BPF_PROG_TYPE_SCHED_CLS,
  U.BPF_PROG_TYPE_SCHED_ACT,
  U.BPF_PROG_TYPE_XDP,
  U.BPF_PROG_TYPE_LWT_IN,
  U.BPF_PROG_TYPE_LWT_OUT,
  U.BPF_PROG_TYPE_LWT_XMIT,
  U.BPF_PROG_TYPE_LWT_SEG6LOCAL,
  U.BPF_PROG_TYPE_SK_SKB,
  U.BPF_PROG_TYPE_SK_MSG,
  U.BPF_PROG_TYPE_FLOW_DISSECTOR,
  U.BPF_PROG_TYPE_CGROUP_DEVICE,
  U.BPF_PROG_TYPE_CGROUP_SOCK,
  U.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
  U.BPF_PROG_TYPE_CGROUP_SOCKOPT,
  U.BPF_PROG_TYPE_CGROUP_SYSCTL,
  U.BPF_PROG_TYPE_SOCK_OPS,
  U.BPF_PROG_TYPE_EXT,
  U.BPF_PROG_TYPE_NETFILTER,
]);

/** is_perfmon_prog_type(). */
const PERFMON: ReadonlySet<number> = new Set([
  U.BPF_PROG_TYPE_KPROBE,
  U.BPF_PROG_TYPE_TRACEPOINT,
  U.BPF_PROG_TYPE_PERF_EVENT,
  U.BPF_PROG_TYPE_RAW_TRACEPOINT,
  U.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
  U.BPF_PROG_TYPE_TRACING,
  U.BPF_PROG_TYPE_LSM,
  U.BPF_PROG_TYPE_STRUCT_OPS,
  U.BPF_PROG_TYPE_EXT,
]);

/** Program types whose expected_attach_type must be one of these. */
const ATTACH_TYPES: ReadonlyMap<number, readonly number[]> = new Map([
  [
    U.BPF_PROG_TYPE_CGROUP_SOCK,
    [
      U.BPF_CGROUP_INET_SOCK_CREATE,
      U.BPF_CGROUP_INET_SOCK_RELEASE,
      U.BPF_CGROUP_INET4_POST_BIND,
      U.BPF_CGROUP_INET6_POST_BIND,
    ],
  ],
  [
    U.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
    [
      U.BPF_CGROUP_INET4_BIND,
      U.BPF_CGROUP_INET6_BIND,
      U.BPF_CGROUP_INET4_CONNECT,
      U.BPF_CGROUP_INET6_CONNECT,
      U.BPF_CGROUP_UNIX_CONNECT,
      U.BPF_CGROUP_INET4_GETPEERNAME,
      U.BPF_CGROUP_INET6_GETPEERNAME,
      U.BPF_CGROUP_UNIX_GETPEERNAME,
      U.BPF_CGROUP_INET4_GETSOCKNAME,
      U.BPF_CGROUP_INET6_GETSOCKNAME,
      U.BPF_CGROUP_UNIX_GETSOCKNAME,
      U.BPF_CGROUP_UDP4_SENDMSG,
      U.BPF_CGROUP_UDP6_SENDMSG,
      U.BPF_CGROUP_UNIX_SENDMSG,
      U.BPF_CGROUP_UDP4_RECVMSG,
      U.BPF_CGROUP_UDP6_RECVMSG,
      U.BPF_CGROUP_UNIX_RECVMSG,
    ],
  ],
  [U.BPF_PROG_TYPE_CGROUP_SKB, [U.BPF_CGROUP_INET_INGRESS, U.BPF_CGROUP_INET_EGRESS]],
  [U.BPF_PROG_TYPE_CGROUP_SOCKOPT, [U.BPF_CGROUP_SETSOCKOPT, U.BPF_CGROUP_GETSOCKOPT]],
  [U.BPF_PROG_TYPE_SK_LOOKUP, [U.BPF_SK_LOOKUP]],
  [U.BPF_PROG_TYPE_SK_REUSEPORT, [U.BPF_SK_REUSEPORT_SELECT, U.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE]],
  [U.BPF_PROG_TYPE_NETFILTER, [U.BPF_NETFILTER]],
  [U.BPF_PROG_TYPE_SYSCALL, [0]],
  [U.BPF_PROG_TYPE_EXT, [0]],
]);

/** bpf_prog_load_fixup_attach_type(): 0 where old programs leave it out. */
export function fixedAttachType(progType: number, attachType: number): number {
  if (attachType !== 0) return attachType;
  if (progType === U.BPF_PROG_TYPE_CGROUP_SOCK) return U.BPF_CGROUP_INET_SOCK_CREATE;
  if (progType === U.BPF_PROG_TYPE_SK_REUSEPORT) return U.BPF_SK_REUSEPORT_SELECT;
  return attachType;
}

/** bpf_prog_load_check_attach(). */
function attachFits(input: VerifierInput, attachType: number): boolean {
  const { progType, attach } = input;
  const btfTarget =
    progType === U.BPF_PROG_TYPE_TRACING ||
    progType === U.BPF_PROG_TYPE_LSM ||
    progType === U.BPF_PROG_TYPE_STRUCT_OPS ||
    progType === U.BPF_PROG_TYPE_EXT;
  if (attach !== null && attach.btfId !== 0 && !btfTarget) return false;
  if (
    attach !== null &&
    attach.program !== null &&
    progType !== U.BPF_PROG_TYPE_TRACING &&
    progType !== U.BPF_PROG_TYPE_EXT
  )
    return false;
  return ATTACH_TYPES.get(progType)?.includes(attachType) ?? true;
}

/** 0, or the positive errno with which BPF_PROG_LOAD fails before it verifies anything. */
export function checkLoad(input: VerifierInput, profile: Profile): number {
  const { bpf = true, perfmon = true, netAdmin = true, sysAdmin = true } = input.caps ?? {};
  const bpfCap = bpf || sysAdmin;
  if ((input.progFlags & ~FLAGS) !== 0) return EINVAL;
  const count = input.insns.length / 8;
  if (count === 0 || count > (bpfCap ? BPF_COMPLEXITY_LIMIT_INSNS : U.BPF_MAXINSNS)) return E2BIG;
  const { progType } = input;
  if (progType !== U.BPF_PROG_TYPE_SOCKET_FILTER && progType !== U.BPF_PROG_TYPE_CGROUP_SKB && !bpfCap)
    return EPERM;
  if (NET_ADMIN.has(progType) && !netAdmin && !sysAdmin) return EPERM;
  if (PERFMON.has(progType) && !perfmon && !sysAdmin) return EPERM;
  if (!attachFits(input, fixedAttachType(progType, input.expectedAttachType))) return EINVAL;
  return profile.programTypes.has(progType) ? 0 : EINVAL;
}
