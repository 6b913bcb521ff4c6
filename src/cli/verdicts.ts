// What a program's return value means for a packet, by program type.
import {
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_OUT,
  BPF_PROG_TYPE_LWT_SEG6LOCAL,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
  bpf_ret_code_names,
  xdp_action_names,
} from "../uapi/index.ts";

export interface Verdict {
  readonly name: string;
  /** The packet goes on: through the stack, out again, or elsewhere. */
  readonly keep: boolean;
  /** Bytes of it that go on, where the program cuts packets. */
  readonly length?: number;
}

/** TC_ACT_* of linux/pkt_cls.h from -1 on. */
const TC_ACTIONS = [
  "TC_ACT_UNSPEC",
  "TC_ACT_OK",
  "TC_ACT_RECLASSIFY",
  "TC_ACT_SHOT",
  "TC_ACT_PIPE",
  "TC_ACT_STOLEN",
  "TC_ACT_QUEUED",
  "TC_ACT_REPEAT",
  "TC_ACT_REDIRECT",
  "TC_ACT_TRAP",
];
const TC_DROPS = new Set(["TC_ACT_SHOT", "TC_ACT_STOLEN", "TC_ACT_QUEUED", "TC_ACT_TRAP"]);
/** `retval` is unsigned, as test runs give it. */
export function verdictOf(progType: number, retval: number): Verdict {
  switch (progType) {
    case BPF_PROG_TYPE_XDP: {
      const name = xdp_action_names[retval] ?? "XDP_ABORTED";
      return { name, keep: name !== "XDP_ABORTED" && name !== "XDP_DROP" };
    }
    case BPF_PROG_TYPE_SCHED_CLS:
    case BPF_PROG_TYPE_SCHED_ACT: {
      const name = TC_ACTIONS[(retval | 0) + 1] ?? "TC_ACT_UNSPEC";
      return { name, keep: !TC_DROPS.has(name) };
    }
    case BPF_PROG_TYPE_SOCKET_FILTER:
      return { name: retval === 0 ? "drop" : "accept", keep: retval !== 0, length: retval };
    case BPF_PROG_TYPE_CGROUP_SKB:
      return { name: retval & 1 ? "allow" : "deny", keep: (retval & 1) === 1 };
    case BPF_PROG_TYPE_LWT_IN:
    case BPF_PROG_TYPE_LWT_OUT:
    case BPF_PROG_TYPE_LWT_XMIT:
    case BPF_PROG_TYPE_LWT_SEG6LOCAL: {
      const name = bpf_ret_code_names[retval] ?? String(retval);
      return { name, keep: name !== "BPF_DROP" };
    }
    default:
      return { name: String(retval | 0), keep: true };
  }
}
