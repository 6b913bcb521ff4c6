// Program types on `struct __sk_buff`.

import { SK_BUFF_SIZE } from "../../helpers/index.ts";
import {
  BPF_CGROUP_INET_EGRESS,
  BPF_CGROUP_INET_INGRESS,
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_OUT,
  BPF_PROG_TYPE_LWT_SEG6LOCAL,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SK_SKB,
  BPF_PROG_TYPE_SOCKET_FILTER,
} from "../../uapi/index.ts";
import { helpersOf, type ProgramType } from "../program-type.ts";
import type { SkbView } from "../skb-buffer.ts";
import { skbTestRun } from "../test-run/skb.ts";

const L2: SkbView = { l2: true, write: true };
const L3: SkbView = { l2: false, write: false };
const L3_WRITE: SkbView = { l2: false, write: true };

function skb(type: number, name: string, view: SkbView): ProgramType {
  return {
    type,
    name,
    helpers: helpersOf(type),
    contextSize: SK_BUFF_SIZE,
    testRun: skbTestRun(view),
    skbView: view,
  };
}

export const SKB_TYPES: readonly ProgramType[] = [
  skb(BPF_PROG_TYPE_SOCKET_FILTER, "socket_filter", L3),
  skb(BPF_PROG_TYPE_SCHED_CLS, "sched_cls", L2),
  skb(BPF_PROG_TYPE_SCHED_ACT, "sched_act", L2),
  {
    ...skb(BPF_PROG_TYPE_CGROUP_SKB, "cgroup_skb", L3),
    attachTypes: [BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS],
  },
  skb(BPF_PROG_TYPE_LWT_IN, "lwt_in", L3),
  skb(BPF_PROG_TYPE_LWT_OUT, "lwt_out", L3),
  skb(BPF_PROG_TYPE_LWT_XMIT, "lwt_xmit", L3_WRITE),
  skb(BPF_PROG_TYPE_LWT_SEG6LOCAL, "lwt_seg6local", L3),
  {
    type: BPF_PROG_TYPE_SK_SKB,
    name: "sk_skb",
    helpers: helpersOf(BPF_PROG_TYPE_SK_SKB),
    contextSize: SK_BUFF_SIZE,
  },
];
