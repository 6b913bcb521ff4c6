// The section names that tell a program's type, as libbpf 1.5 knows them (section_defs of tools/lib/bpf/libbpf.c).
import * as uapi from "../uapi/index.ts";

/** How a section's name stands for a program. */
export interface SectionDef {
  /** `name`: exactly that; `name+`: that, or that and `/target`. */
  readonly pattern: string;
  /** BPF_PROG_TYPE_*. */
  readonly progType: number;
  /** The expected attach type (BPF_*), 0 where none is. */
  readonly attachType: number;
  /** The program may sleep: BPF_F_SLEEPABLE. */
  readonly sleepable: boolean;
  /** The program takes multi-buffer packets: BPF_F_XDP_HAS_FRAGS. */
  readonly frags: boolean;
  /** The target after the slash is a kernel function or type, found by its BTF id. */
  readonly attachBtf: boolean;
}

export interface SectionMatch {
  readonly def: SectionDef;
  /** The text after the pattern's slash; "" without one. */
  readonly target: string;
}

type Flag = "sleepable" | "frags" | "btf";

function sec(pattern: string, progType: number, attachType = 0, ...flags: Flag[]): SectionDef {
  return {
    pattern,
    progType,
    attachType,
    sleepable: flags.includes("sleepable"),
    frags: flags.includes("frags"),
    attachBtf: flags.includes("btf"),
  };
}

/** In libbpf's order: the first match counts. */
export const SECTION_TABLE: readonly SectionDef[] = [
  sec("socket", uapi.BPF_PROG_TYPE_SOCKET_FILTER),
  sec("sk_reuseport/migrate", uapi.BPF_PROG_TYPE_SK_REUSEPORT, uapi.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE),
  sec("sk_reuseport", uapi.BPF_PROG_TYPE_SK_REUSEPORT, uapi.BPF_SK_REUSEPORT_SELECT),
  sec("kprobe+", uapi.BPF_PROG_TYPE_KPROBE),
  sec("uprobe+", uapi.BPF_PROG_TYPE_KPROBE),
  sec("uprobe.s+", uapi.BPF_PROG_TYPE_KPROBE, 0, "sleepable"),
  sec("kretprobe+", uapi.BPF_PROG_TYPE_KPROBE),
  sec("uretprobe+", uapi.BPF_PROG_TYPE_KPROBE),
  sec("uretprobe.s+", uapi.BPF_PROG_TYPE_KPROBE, 0, "sleepable"),
  sec("kprobe.multi+", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_KPROBE_MULTI),
  sec("kretprobe.multi+", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_KPROBE_MULTI),
  sec("kprobe.session+", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_KPROBE_SESSION),
  sec("uprobe.multi+", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_UPROBE_MULTI),
  sec("uretprobe.multi+", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_UPROBE_MULTI),
  sec("uprobe.multi.s+", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_UPROBE_MULTI, "sleepable"),
  sec("uretprobe.multi.s+", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_UPROBE_MULTI, "sleepable"),
  sec("ksyscall+", uapi.BPF_PROG_TYPE_KPROBE),
  sec("kretsyscall+", uapi.BPF_PROG_TYPE_KPROBE),
  sec("usdt+", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_UPROBE_MULTI),
  sec("usdt.s+", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_UPROBE_MULTI, "sleepable"),
  sec("tc/ingress", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_TCX_INGRESS),
  sec("tc/egress", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_TCX_EGRESS),
  sec("tcx/ingress", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_TCX_INGRESS),
  sec("tcx/egress", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_TCX_EGRESS),
  sec("tc", uapi.BPF_PROG_TYPE_SCHED_CLS),
  sec("classifier", uapi.BPF_PROG_TYPE_SCHED_CLS),
  sec("action", uapi.BPF_PROG_TYPE_SCHED_ACT),
  sec("netkit/primary", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_NETKIT_PRIMARY),
  sec("netkit/peer", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_NETKIT_PEER),
  sec("tracepoint+", uapi.BPF_PROG_TYPE_TRACEPOINT),
  sec("tp+", uapi.BPF_PROG_TYPE_TRACEPOINT),
  sec("raw_tracepoint+", uapi.BPF_PROG_TYPE_RAW_TRACEPOINT),
  sec("raw_tp+", uapi.BPF_PROG_TYPE_RAW_TRACEPOINT),
  sec("raw_tracepoint.w+", uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE),
  sec("raw_tp.w+", uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE),
  sec("tp_btf+", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_RAW_TP, "btf"),
  sec("fentry+", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_FENTRY, "btf"),
  sec("fmod_ret+", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_MODIFY_RETURN, "btf"),
  sec("fexit+", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_FEXIT, "btf"),
  sec("fentry.s+", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_FENTRY, "btf", "sleepable"),
  sec("fmod_ret.s+", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_MODIFY_RETURN, "btf", "sleepable"),
  sec("fexit.s+", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_FEXIT, "btf", "sleepable"),
  sec("freplace+", uapi.BPF_PROG_TYPE_EXT, 0, "btf"),
  sec("lsm+", uapi.BPF_PROG_TYPE_LSM, uapi.BPF_LSM_MAC, "btf"),
  sec("lsm.s+", uapi.BPF_PROG_TYPE_LSM, uapi.BPF_LSM_MAC, "btf", "sleepable"),
  sec("lsm_cgroup+", uapi.BPF_PROG_TYPE_LSM, uapi.BPF_LSM_CGROUP, "btf"),
  sec("iter+", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_ITER, "btf"),
  sec("iter.s+", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_ITER, "btf", "sleepable"),
  sec("syscall", uapi.BPF_PROG_TYPE_SYSCALL, 0, "sleepable"),
  sec("xdp.frags/devmap", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP_DEVMAP, "frags"),
  sec("xdp/devmap", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP_DEVMAP),
  sec("xdp.frags/cpumap", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP_CPUMAP, "frags"),
  sec("xdp/cpumap", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP_CPUMAP),
  sec("xdp.frags", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP, "frags"),
  sec("xdp", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP),
  sec("perf_event", uapi.BPF_PROG_TYPE_PERF_EVENT),
  sec("lwt_in", uapi.BPF_PROG_TYPE_LWT_IN),
  sec("lwt_out", uapi.BPF_PROG_TYPE_LWT_OUT),
  sec("lwt_xmit", uapi.BPF_PROG_TYPE_LWT_XMIT),
  sec("lwt_seg6local", uapi.BPF_PROG_TYPE_LWT_SEG6LOCAL),
  sec("sockops", uapi.BPF_PROG_TYPE_SOCK_OPS, uapi.BPF_CGROUP_SOCK_OPS),
  sec("sk_skb/stream_parser", uapi.BPF_PROG_TYPE_SK_SKB, uapi.BPF_SK_SKB_STREAM_PARSER),
  sec("sk_skb/stream_verdict", uapi.BPF_PROG_TYPE_SK_SKB, uapi.BPF_SK_SKB_STREAM_VERDICT),
  sec("sk_skb/verdict", uapi.BPF_PROG_TYPE_SK_SKB, uapi.BPF_SK_SKB_VERDICT),
  sec("sk_skb", uapi.BPF_PROG_TYPE_SK_SKB),
  sec("sk_msg", uapi.BPF_PROG_TYPE_SK_MSG, uapi.BPF_SK_MSG_VERDICT),
  sec("lirc_mode2", uapi.BPF_PROG_TYPE_LIRC_MODE2, uapi.BPF_LIRC_MODE2),
  sec("flow_dissector", uapi.BPF_PROG_TYPE_FLOW_DISSECTOR, uapi.BPF_FLOW_DISSECTOR),
  sec("cgroup_skb/ingress", uapi.BPF_PROG_TYPE_CGROUP_SKB, uapi.BPF_CGROUP_INET_INGRESS),
  sec("cgroup_skb/egress", uapi.BPF_PROG_TYPE_CGROUP_SKB, uapi.BPF_CGROUP_INET_EGRESS),
  sec("cgroup/skb", uapi.BPF_PROG_TYPE_CGROUP_SKB),
  sec("cgroup/sock_create", uapi.BPF_PROG_TYPE_CGROUP_SOCK, uapi.BPF_CGROUP_INET_SOCK_CREATE),
  sec("cgroup/sock_release", uapi.BPF_PROG_TYPE_CGROUP_SOCK, uapi.BPF_CGROUP_INET_SOCK_RELEASE),
  sec("cgroup/sock", uapi.BPF_PROG_TYPE_CGROUP_SOCK, uapi.BPF_CGROUP_INET_SOCK_CREATE),
  sec("cgroup/post_bind4", uapi.BPF_PROG_TYPE_CGROUP_SOCK, uapi.BPF_CGROUP_INET4_POST_BIND),
  sec("cgroup/post_bind6", uapi.BPF_PROG_TYPE_CGROUP_SOCK, uapi.BPF_CGROUP_INET6_POST_BIND),
  sec("cgroup/bind4", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET4_BIND),
  sec("cgroup/bind6", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET6_BIND),
  sec("cgroup/connect4", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET4_CONNECT),
  sec("cgroup/connect6", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET6_CONNECT),
  sec("cgroup/connect_unix", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UNIX_CONNECT),
  sec("cgroup/sendmsg4", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UDP4_SENDMSG),
  sec("cgroup/sendmsg6", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UDP6_SENDMSG),
  sec("cgroup/sendmsg_unix", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UNIX_SENDMSG),
  sec("cgroup/recvmsg4", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UDP4_RECVMSG),
  sec("cgroup/recvmsg6", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UDP6_RECVMSG),
  sec("cgroup/recvmsg_unix", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UNIX_RECVMSG),
  sec("cgroup/getpeername4", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET4_GETPEERNAME),
  sec("cgroup/getpeername6", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET6_GETPEERNAME),
  sec("cgroup/getpeername_unix", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UNIX_GETPEERNAME),
  sec("cgroup/getsockname4", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET4_GETSOCKNAME),
  sec("cgroup/getsockname6", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET6_GETSOCKNAME),
  sec("cgroup/getsockname_unix", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UNIX_GETSOCKNAME),
  sec("cgroup/sysctl", uapi.BPF_PROG_TYPE_CGROUP_SYSCTL, uapi.BPF_CGROUP_SYSCTL),
  sec("cgroup/getsockopt", uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT, uapi.BPF_CGROUP_GETSOCKOPT),
  sec("cgroup/setsockopt", uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT, uapi.BPF_CGROUP_SETSOCKOPT),
  sec("cgroup/dev", uapi.BPF_PROG_TYPE_CGROUP_DEVICE, uapi.BPF_CGROUP_DEVICE),
  sec("struct_ops+", uapi.BPF_PROG_TYPE_STRUCT_OPS),
  sec("struct_ops.s+", uapi.BPF_PROG_TYPE_STRUCT_OPS, 0, "sleepable"),
  sec("sk_lookup", uapi.BPF_PROG_TYPE_SK_LOOKUP, uapi.BPF_SK_LOOKUP),
  sec("netfilter", uapi.BPF_PROG_TYPE_NETFILTER, uapi.BPF_NETFILTER),
];

/** Finds what a section's name stands for; a leading `?` (do not load by default) is not part of it. */
export function matchSection(name: string): SectionMatch | undefined {
  for (const def of SECTION_TABLE) {
    const { pattern } = def;
    if (!pattern.endsWith("+")) {
      if (name === pattern) return { def, target: "" };
      continue;
    }
    const prefix = pattern.slice(0, -1);
    if (name === prefix) return { def, target: "" };
    if (name.startsWith(`${prefix}/`)) return { def, target: name.slice(prefix.length + 1) };
  }
  return undefined;
}
