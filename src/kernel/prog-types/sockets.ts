// Program types at sockets, cgroups and devices: they load; what runs them comes with their subsystems.
import * as uapi from "../../uapi/index.ts";
import { helpersOf, type ProgramType } from "../program-type.ts";
import { skLookupTestRun } from "../test-run/sk-lookup.ts";

function plain(type: number, name: string, more: Partial<ProgramType> = {}): ProgramType {
  return { type, name, helpers: helpersOf(type), contextSize: 0, ...more };
}

export const SOCKET_TYPES: readonly ProgramType[] = [
  plain(uapi.BPF_PROG_TYPE_CGROUP_SOCK, "cgroup_sock", {
    attachTypes: [
      uapi.BPF_CGROUP_INET_SOCK_CREATE,
      uapi.BPF_CGROUP_INET_SOCK_RELEASE,
      uapi.BPF_CGROUP_INET4_POST_BIND,
      uapi.BPF_CGROUP_INET6_POST_BIND,
    ],
    defaultAttachType: uapi.BPF_CGROUP_INET_SOCK_CREATE,
  }),
  plain(uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "cgroup_sock_addr", {
    attachTypes: [
      uapi.BPF_CGROUP_INET4_BIND,
      uapi.BPF_CGROUP_INET6_BIND,
      uapi.BPF_CGROUP_INET4_CONNECT,
      uapi.BPF_CGROUP_INET6_CONNECT,
      uapi.BPF_CGROUP_UNIX_CONNECT,
      uapi.BPF_CGROUP_INET4_GETPEERNAME,
      uapi.BPF_CGROUP_INET6_GETPEERNAME,
      uapi.BPF_CGROUP_UNIX_GETPEERNAME,
      uapi.BPF_CGROUP_INET4_GETSOCKNAME,
      uapi.BPF_CGROUP_INET6_GETSOCKNAME,
      uapi.BPF_CGROUP_UNIX_GETSOCKNAME,
      uapi.BPF_CGROUP_UDP4_SENDMSG,
      uapi.BPF_CGROUP_UDP6_SENDMSG,
      uapi.BPF_CGROUP_UNIX_SENDMSG,
      uapi.BPF_CGROUP_UDP4_RECVMSG,
      uapi.BPF_CGROUP_UDP6_RECVMSG,
      uapi.BPF_CGROUP_UNIX_RECVMSG,
    ],
  }),
  plain(uapi.BPF_PROG_TYPE_SOCK_OPS, "sock_ops"),
  plain(uapi.BPF_PROG_TYPE_CGROUP_DEVICE, "cgroup_device"),
  plain(uapi.BPF_PROG_TYPE_SK_MSG, "sk_msg"),
  plain(uapi.BPF_PROG_TYPE_LIRC_MODE2, "lirc_mode2"),
  plain(uapi.BPF_PROG_TYPE_SK_REUSEPORT, "sk_reuseport", {
    attachTypes: [uapi.BPF_SK_REUSEPORT_SELECT, uapi.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE],
    defaultAttachType: uapi.BPF_SK_REUSEPORT_SELECT,
  }),
  plain(uapi.BPF_PROG_TYPE_FLOW_DISSECTOR, "flow_dissector"),
  plain(uapi.BPF_PROG_TYPE_CGROUP_SYSCTL, "cgroup_sysctl"),
  plain(uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT, "cgroup_sockopt", {
    attachTypes: [uapi.BPF_CGROUP_SETSOCKOPT, uapi.BPF_CGROUP_GETSOCKOPT],
  }),
  plain(uapi.BPF_PROG_TYPE_SK_LOOKUP, "sk_lookup", {
    attachTypes: [uapi.BPF_SK_LOOKUP],
    testRun: skLookupTestRun,
  }),
  plain(uapi.BPF_PROG_TYPE_NETFILTER, "netfilter", { attachTypes: [uapi.BPF_NETFILTER] }),
];
