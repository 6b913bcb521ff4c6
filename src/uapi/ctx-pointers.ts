/**
 * Fields of program contexts that load as pointers: what the `is_valid_access` of each program type puts into
 * `reg_type`. Offsets are those of the UAPI structs named beside them.
 */
import {
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
  BPF_PROG_TYPE_CGROUP_SOCKOPT,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_OUT,
  BPF_PROG_TYPE_LWT_SEG6LOCAL,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_NETFILTER,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SK_MSG,
  BPF_PROG_TYPE_SK_REUSEPORT,
  BPF_PROG_TYPE_SK_SKB,
  BPF_PROG_TYPE_SOCK_OPS,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
} from "./generated/enums.ts";

export interface CtxPointer {
  readonly off: number;
  /** Names of the verifier's register types. */
  readonly type:
    | "PTR_TO_PACKET"
    | "PTR_TO_PACKET_META"
    | "PTR_TO_PACKET_END"
    | "PTR_TO_FLOW_KEYS"
    | "PTR_TO_SOCKET"
    | "PTR_TO_SOCK_COMMON"
    | "PTR_TO_TP_BUFFER"
    | "PTR_TO_BTF_ID";
  readonly mayBeNull?: true;
  /** PTR_TO_BTF_ID: a trusted pointer to this struct. */
  readonly btf?: string;
}

/** struct __sk_buff. */
const SKB: readonly CtxPointer[] = [
  { off: 76, type: "PTR_TO_PACKET" },
  { off: 80, type: "PTR_TO_PACKET_END" },
  { off: 140, type: "PTR_TO_PACKET_META" },
  { off: 168, type: "PTR_TO_SOCK_COMMON", mayBeNull: true },
];

export const CTX_POINTERS: ReadonlyMap<number, readonly CtxPointer[]> = new Map<
  number,
  readonly CtxPointer[]
>([
  [BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, [{ off: 0, type: "PTR_TO_TP_BUFFER" }]],
  ...[
    BPF_PROG_TYPE_SOCKET_FILTER,
    BPF_PROG_TYPE_SCHED_CLS,
    BPF_PROG_TYPE_SCHED_ACT,
    BPF_PROG_TYPE_CGROUP_SKB,
    BPF_PROG_TYPE_LWT_IN,
    BPF_PROG_TYPE_LWT_OUT,
    BPF_PROG_TYPE_LWT_XMIT,
    BPF_PROG_TYPE_LWT_SEG6LOCAL,
    BPF_PROG_TYPE_SK_SKB,
  ].map((type): [number, readonly CtxPointer[]] => [type, SKB]),
  [
    BPF_PROG_TYPE_FLOW_DISSECTOR,
    [
      { off: 76, type: "PTR_TO_PACKET" },
      { off: 80, type: "PTR_TO_PACKET_END" },
      { off: 144, type: "PTR_TO_FLOW_KEYS" },
    ],
  ],
  // struct xdp_md
  [
    BPF_PROG_TYPE_XDP,
    [
      { off: 0, type: "PTR_TO_PACKET" },
      { off: 4, type: "PTR_TO_PACKET_END" },
      { off: 8, type: "PTR_TO_PACKET_META" },
    ],
  ],
  // struct sk_msg_md
  [
    BPF_PROG_TYPE_SK_MSG,
    [
      { off: 0, type: "PTR_TO_PACKET" },
      { off: 8, type: "PTR_TO_PACKET_END" },
      { off: 72, type: "PTR_TO_SOCKET" },
    ],
  ],
  // struct bpf_sock_ops
  [
    BPF_PROG_TYPE_SOCK_OPS,
    [
      { off: 184, type: "PTR_TO_SOCKET", mayBeNull: true },
      { off: 192, type: "PTR_TO_PACKET" },
      { off: 200, type: "PTR_TO_PACKET_END" },
    ],
  ],
  // struct sk_reuseport_md
  [
    BPF_PROG_TYPE_SK_REUSEPORT,
    [
      { off: 0, type: "PTR_TO_PACKET" },
      { off: 8, type: "PTR_TO_PACKET_END" },
      { off: 40, type: "PTR_TO_SOCKET" },
      { off: 48, type: "PTR_TO_SOCK_COMMON", mayBeNull: true },
    ],
  ],
  // struct bpf_sockopt
  [
    BPF_PROG_TYPE_CGROUP_SOCKOPT,
    [
      { off: 0, type: "PTR_TO_SOCKET" },
      { off: 8, type: "PTR_TO_PACKET" },
      { off: 16, type: "PTR_TO_PACKET_END" },
    ],
  ],
  // struct bpf_sk_lookup
  [BPF_PROG_TYPE_SK_LOOKUP, [{ off: 0, type: "PTR_TO_SOCKET", mayBeNull: true }]],
  // struct bpf_sock_addr
  [BPF_PROG_TYPE_CGROUP_SOCK_ADDR, [{ off: 64, type: "PTR_TO_SOCKET" }]],
  // struct bpf_nf_ctx
  [
    BPF_PROG_TYPE_NETFILTER,
    [
      { off: 0, type: "PTR_TO_BTF_ID", btf: "nf_hook_state" },
      { off: 8, type: "PTR_TO_BTF_ID", btf: "sk_buff" },
    ],
  ],
]);
