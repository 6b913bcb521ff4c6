import { describe, expect, test } from "vitest";
import * as uapi from "../uapi/index.ts";
import { matchSection, SECTION_TABLE } from "./section-table.ts";

describe("section names", () => {
  test("the table has libbpf 1.5's 101 rows, none twice", () => {
    expect(SECTION_TABLE.length).toBe(101);
    expect(new Set(SECTION_TABLE.map((s) => s.pattern)).size).toBe(101);
  });

  const cases: [string, number, number, string, string][] = [
    ["xdp", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP, "", ""],
    ["xdp.frags", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP, "", "frags"],
    ["xdp/cpumap", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP_CPUMAP, "", ""],
    ["tc", uapi.BPF_PROG_TYPE_SCHED_CLS, 0, "", ""],
    ["tcx/ingress", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_TCX_INGRESS, "", ""],
    ["netkit/peer", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_NETKIT_PEER, "", ""],
    ["kprobe/do_sys_open+4", uapi.BPF_PROG_TYPE_KPROBE, 0, "do_sys_open+4", ""],
    ["uprobe.s//bin/bash:readline", uapi.BPF_PROG_TYPE_KPROBE, 0, "/bin/bash:readline", "sleepable"],
    ["usdt/./a.out:p:n", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_UPROBE_MULTI, "./a.out:p:n", ""],
    ["tp/sched/sched_switch", uapi.BPF_PROG_TYPE_TRACEPOINT, 0, "sched/sched_switch", ""],
    ["raw_tp.w/x", uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, 0, "x", ""],
    ["fentry.s/f", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_FENTRY, "f", "sleepable btf"],
    ["lsm/file_open", uapi.BPF_PROG_TYPE_LSM, uapi.BPF_LSM_MAC, "file_open", "btf"],
    ["iter/task", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_ITER, "task", "btf"],
    ["cgroup/connect6", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET6_CONNECT, "", ""],
    ["cgroup_skb/egress", uapi.BPF_PROG_TYPE_CGROUP_SKB, uapi.BPF_CGROUP_INET_EGRESS, "", ""],
    ["struct_ops.s/init", uapi.BPF_PROG_TYPE_STRUCT_OPS, 0, "init", "sleepable"],
    ["syscall", uapi.BPF_PROG_TYPE_SYSCALL, 0, "", "sleepable"],
    ["sk_skb/stream_parser", uapi.BPF_PROG_TYPE_SK_SKB, uapi.BPF_SK_SKB_STREAM_PARSER, "", ""],
  ];
  test.each(cases)("%s", (name, progType, attachType, target, flags) => {
    const match = matchSection(name)!;
    const { def } = match;
    expect([def.progType, def.attachType, match.target]).toEqual([progType, attachType, target]);
    const set = [def.sleepable && "sleepable", def.frags && "frags", def.attachBtf && "btf"].filter(Boolean);
    expect(set.join(" ")).toBe(flags);
  });

  test.each(["xdp/anything", "kprobes", "tcx", "", "unknown/x", "xdp.frag"])("nothing: %s", (name) => {
    expect(matchSection(name)).toBeUndefined();
  });
});
