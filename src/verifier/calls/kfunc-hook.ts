/** Program types that share their kfuncs: bpf_prog_type_to_kfunc_hook() of kernel/bpf/btf.c. */
import { bpf_prog_type_names, compareVersions } from "../../uapi/index.ts";

const HOOKS: Readonly<Record<string, string>> = {
  XDP: "xdp",
  SCHED_CLS: "tc",
  STRUCT_OPS: "struct_ops",
  TRACING: "tracing",
  LSM: "tracing",
  SYSCALL: "syscall",
};
const SINCE_6_4: Readonly<Record<string, string>> = {
  ...HOOKS,
  CGROUP_SKB: "cgroup",
  SCHED_ACT: "sched_act",
  SK_SKB: "sk_skb",
  SOCKET_FILTER: "socket_filter",
  LWT_OUT: "lwt",
  LWT_IN: "lwt",
  LWT_XMIT: "lwt",
  LWT_SEG6LOCAL: "lwt",
  NETFILTER: "netfilter",
};
const SINCE_6_12: Readonly<Record<string, string>> = {
  ...SINCE_6_4,
  TRACEPOINT: "tracing",
  PERF_EVENT: "tracing",
  CGROUP_SOCK: "cgroup",
  CGROUP_DEVICE: "cgroup",
  CGROUP_SOCK_ADDR: "cgroup",
  CGROUP_SOCKOPT: "cgroup",
  CGROUP_SYSCTL: "cgroup",
  KPROBE: "kprobe",
};
const SINCE_6_15: Readonly<Record<string, string>> = { ...SINCE_6_12, SOCK_OPS: "cgroup" };

/** The hook of a program type, "" for types that have none (they may call what is registered for all). */
export function kfuncHook(kernel: string, progType: number): string {
  const table =
    compareVersions(kernel, "6.4") < 0
      ? HOOKS
      : compareVersions(kernel, "6.12") < 0
        ? SINCE_6_4
        : compareVersions(kernel, "6.15") < 0
          ? SINCE_6_12
          : SINCE_6_15;
  return table[(bpf_prog_type_names[progType] ?? "").replace("BPF_PROG_TYPE_", "")] ?? "";
}
