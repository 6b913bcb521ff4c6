// Test runs that both kernels must answer alike: rules of the input first, then what helpers do to packets.
import {
  BPF_CGROUP_INET_EGRESS,
  BPF_F_SLEEPABLE,
  BPF_F_TEST_RUN_ON_CPU,
  BPF_F_TEST_SKB_CHECKSUM_COMPLETE,
  BPF_F_XDP_HAS_FRAGS,
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_SYSCALL,
  BPF_PROG_TYPE_XDP,
} from "../../src/uapi/index.ts";
import { ARP, type Case, IPV4, IPV6, md, skb, VLAN } from "./notation.ts";

const PASS = "r0 = 1; exit";
const OUT = { data_size_out: 4096 };
const SKB_OUT = { ...OUT, ctx_size_out: 192 };
const XDP_OUT = { ...OUT, ctx_size_out: 24 };
const CLS = BPF_PROG_TYPE_SCHED_CLS;
const XDP = BPF_PROG_TYPE_XDP;

const skbTypes = [
  BPF_PROG_TYPE_SOCKET_FILTER,
  CLS,
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_XMIT,
];

const skbRules: Case[] = skbTypes.flatMap((type) => [
  { name: `type ${type}: 14 bytes`, type, text: PASS, data_in: IPV4.subarray(0, 13) },
  { name: `type ${type}: cut IPv4 header`, type, text: PASS, data_in: IPV4.subarray(0, 33) },
  { name: `type ${type}: cut IPv6 header`, type, text: PASS, data_in: IPV6.subarray(0, 53) },
  { name: `type ${type}: whole frame`, type, text: PASS, data_in: IPV4, ...SKB_OUT },
  { name: `type ${type}: zeros`, type, text: PASS, data_in: new Uint8Array(64), ...SKB_OUT },
  { name: `type ${type}: largest`, type, text: PASS, data_in: new Uint8Array(3712), ...OUT },
  { name: `type ${type}: too large`, type, text: PASS, data_in: new Uint8Array(3713), ...OUT },
  { name: `type ${type}: short buffer`, type, text: PASS, data_in: IPV4, data_size_out: 20 },
  {
    name: `type ${type}: short ctx buffer`,
    type,
    text: PASS,
    data_in: IPV4,
    ctx_in: skb({}),
    ctx_size_out: 80,
  },
  { name: `type ${type}: no such device`, type, text: PASS, data_in: IPV4, ctx_in: skb({ 40: 4000 }) },
  { name: `type ${type}: cpu`, type, text: PASS, data_in: IPV4, cpu: 1 },
  { name: `type ${type}: batch`, type, text: PASS, data_in: IPV4, batch_size: 1 },
  { name: `type ${type}: flags`, type, text: PASS, data_in: IPV4, flags: 1 },
  {
    name: `type ${type}: long ctx`,
    type,
    text: PASS,
    data_in: IPV4,
    ctx_in: new Uint8Array(200),
    ...SKB_OUT,
  },
  {
    name: `type ${type}: long ctx, not zero`,
    type,
    text: PASS,
    data_in: IPV4,
    ctx_in: new Uint8Array(200).fill(1, 196),
  },
  {
    name: `type ${type}: all that may be set`,
    type,
    text: PASS,
    data_in: IPV4,
    ctx_in: skb({
      8: 11,
      32: 12,
      36: 13,
      40: 1,
      48: 1,
      64: 5,
      152: 99,
      156: 7,
      160: 100,
      164: 3,
      176: 10,
      184: 42,
    }),
    ...SKB_OUT,
  },
  ...[0, 4, 12, 16, 20, 24, 28, 44, 68, 72, 76, 80, 84, 88, 92, 96, 132, 140, 144, 168, 180].map((at) => ({
    name: `type ${type}: __sk_buff + ${at} set`,
    type,
    text: PASS,
    data_in: IPV4,
    ctx_in: skb({ [at]: 1 }),
  })),
  { name: `type ${type}: wire_len too small`, type, text: PASS, data_in: IPV4, ctx_in: skb({ 160: 10 }) },
  { name: `type ${type}: wire_len too large`, type, text: PASS, data_in: IPV4, ctx_in: skb({ 160: 65537 }) },
  { name: `type ${type}: gso_segs too many`, type, text: PASS, data_in: IPV4, ctx_in: skb({ 164: 65536 }) },
]);

/** The same reads for several types. */
const skbReads: Case[] = skbTypes.flatMap((type) =>
  [IPV4, IPV6, ARP, VLAN].flatMap((data_in, packet) =>
    [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 68].map((at) => ({
      name: `type ${type}: read __sk_buff + ${at} of packet ${packet}`,
      type,
      // Only some types return any value: mark takes it to the outside.
      text: `r2 = *(u32 *)(r1 + ${at}); *(u32 *)(r1 + ${type === BPF_PROG_TYPE_SOCKET_FILTER ? 52 : 8}) = r2; r0 = 1; exit`,
      data_in,
      ctx_in: skb({ 36: 7, 52: 3 }),
      ...SKB_OUT,
    })),
  ),
);

/** A helper call on the packet, its result as the verdict (TC) and the packet after it. */
const cls = (name: string, text: string, data_in: Uint8Array, more: Partial<Case> = {}): Case => ({
  name,
  type: CLS,
  text,
  data_in,
  ...SKB_OUT,
  ctx_in: skb({}),
  ...more,
});
const xdp = (name: string, text: string, data_in: Uint8Array, more: Partial<Case> = {}): Case => ({
  name,
  type: XDP,
  text,
  data_in,
  ...OUT,
  ...more,
});

/** r6 = ctx; cb[0..2] = len, protocol, r0's errno: what changed is visible from outside. */
const REPORT = `
  r7 = r0
  r1 = r6
  r2 = *(u32 *)(r1 + 0); *(u32 *)(r1 + 48) = r2
  r2 = *(u32 *)(r1 + 16); *(u32 *)(r1 + 52) = r2
  r2 = *(u32 *)(r1 + 20); *(u32 *)(r1 + 56) = r2
  r2 = *(u32 *)(r1 + 24); *(u32 *)(r1 + 60) = r2
  r2 = *(u32 *)(r1 + 80); r3 = *(u32 *)(r1 + 76); r2 -= r3; *(u32 *)(r1 + 64) = r2
  r0 = r7; exit`;
const call = (helper: string, ...args: (string | number)[]): string =>
  `r6 = r1; ${args.map((arg, i) => `r${i + 2} = ${arg}`).join("; ")}; call bpf_${helper}; ${REPORT}`;

const skbHelpers: Case[] = [
  ...[0, 14, 52, 53, 60, -1, 0x7fffffff].map((offset) =>
    cls(
      `skb_load_bytes at ${offset}`,
      `r6 = r1; r2 = ${offset}; r3 = r10; r3 += -8; r4 = 8; r5 = 1 ll; *(u64 *)(r10 - 8) = r5
       call bpf_skb_load_bytes; r3 = *(u32 *)(r10 - 8); *(u32 *)(r6 + 48) = r3; exit`,
      IPV4,
    ),
  ),
  ...[0, 1].flatMap((start) =>
    [0, 4, 38, 46, 52, 0x10000].map((offset) =>
      cls(
        `skb_load_bytes_relative ${start} at ${offset}`,
        `r6 = r1; r2 = ${offset}; r3 = r10; r3 += -8; r4 = 8; r5 = 0; *(u64 *)(r10 - 8) = r5; r5 = ${start}
         call bpf_skb_load_bytes_relative; r3 = *(u32 *)(r10 - 8); *(u32 *)(r6 + 48) = r3; exit`,
        IPV4,
      ),
    ),
  ),
  ...[0, 1, 2, 3, 4].flatMap((flags) =>
    [0, 26, 27, 56, 57].map((offset) =>
      cls(
        `skb_store_bytes at ${offset}, flags ${flags}`,
        `r2 = 0x11223344; *(u32 *)(r10 - 4) = r2
         r2 = ${offset}; r3 = r10; r3 += -4; r4 = 4; r5 = ${flags}; call bpf_skb_store_bytes; exit`,
        IPV4,
        flags === 1 ? { flags: BPF_F_TEST_SKB_CHECKSUM_COMPLETE } : {},
      ),
    ),
  ),
  cls(
    "store without the sum of CHECKSUM_COMPLETE",
    `r2 = 0x11223344; *(u32 *)(r10 - 4) = r2
     r2 = 30; r3 = r10; r3 += -4; r4 = 4; r5 = 0; call bpf_skb_store_bytes; exit`,
    IPV4,
    { flags: BPF_F_TEST_SKB_CHECKSUM_COMPLETE },
  ),
  ...[0, 20, 60, 61, 5000].map((n) => cls(`skb_pull_data ${n}`, call("skb_pull_data", n), IPV4)),
  ...(
    [
      [24, 0x0100000a, 0x0200000a, 4],
      [24, 0x1f90, 0x2000, 2],
      [24, 0, 0x12345678, 0],
      [24, 1, 0x12345678, 0],
      [24, 1, 2, 3],
      [24, 1, 2, 0x10],
      [25, 1, 2, 2],
      [0x10000, 1, 2, 2],
      [58, 1, 2, 2],
      [60, 1, 2, 2],
      [24, 0, 0, 2],
      [24, 0xffff, 0, 2],
    ] as const
  ).map((args) => cls(`l3_csum_replace ${args.join(" ")}`, call("l3_csum_replace", ...args), IPV4)),
  ...(
    [
      [40, 0x0100000a, 0x0200000a, 0x14],
      [40, 0x0100000a, 0x0200000a, 4],
      [40, 0x1f90, 0x2000, 2],
      [40, 0xefbe, 0, 0x22],
      [40, 0, 0x12345678, 0],
      [40, 0, 0x12345678, 0x10],
      [40, 0, 0x12345678, 0x90],
      [40, 1, 2, 0x100],
      [41, 1, 2, 2],
      [60, 1, 2, 2],
      [40, 1, 2, 6],
      [40, 1, 2, 0x62],
    ] as const
  ).flatMap((args) => [
    cls(`l4_csum_replace ${args.join(" ")}`, call("l4_csum_replace", ...args), IPV4),
    cls(
      `l4_csum_replace ${args.join(" ")}, checksum zero`,
      call("l4_csum_replace", ...args),
      Uint8Array.from(IPV4, (b, i) => (i === 40 || i === 41 ? 0 : b)),
    ),
  ]),
  ...([0, 1, 0xffff, 0x12345678, -1] as const).flatMap((seed) =>
    (
      [
        [0, 16],
        [16, 0],
        [16, 16],
        [8, 16],
        [0, 0],
        [4, 6],
      ] as const
    ).map(([from, to]) =>
      cls(
        `csum_diff from ${from} to ${to} seed ${seed}`,
        `r1 = 0x0123456789abcdef ll; *(u64 *)(r10 - 16) = r1; r1 = 0xfedcba9876543210 ll; *(u64 *)(r10 - 8) = r1
         r1 = 0x00ff00ff12345678 ll; *(u64 *)(r10 - 32) = r1; r1 = 0xffff ll; *(u64 *)(r10 - 24) = r1
         r1 = r10; r1 += -16; r2 = ${from}; r3 = r10; r3 += -32; r4 = ${to}; r5 = ${seed}
         call bpf_csum_diff; exit`,
        IPV4,
      ),
    ),
  ),
  cls("csum_update", call("csum_update", 5), IPV4),
  ...[0, 1, 2, 3, 4].map((level) => cls(`csum_level ${level}`, call("csum_level", level), IPV4)),
  cls("csum_level twice", `r6 = r1; r2 = 1; call bpf_csum_level; r1 = r6; ${call("csum_level", 0)}`, IPV4),
  ...[IPV4, IPV6, ARP].flatMap((packet, i) =>
    [0x0008, 0xdd86, 0x0608].map((proto) =>
      cls(`skb_change_proto of packet ${i} to ${proto}`, call("skb_change_proto", proto, 0), packet),
    ),
  ),
  cls("skb_change_proto with flags", call("skb_change_proto", 0xdd86, 1), IPV4),
  ...[0, 1, 3, 4, 7].map((type) => cls(`skb_change_type ${type}`, call("skb_change_type", type), IPV4)),
  ...[0, 10, 14, 40, 60, 100, 2000, 16064, 16065].map((n) =>
    cls(`skb_change_tail ${n}`, call("skb_change_tail", n, 0), IPV4, { data_size_out: 20000 }),
  ),
  cls("skb_change_tail flags", call("skb_change_tail", 60, 1), IPV4),
  ...[0, 1, 14, 200, 4000, 16000, 16065].map((n) =>
    cls(`skb_change_head ${n}`, call("skb_change_head", n, 0), IPV4, { data_size_out: 20000 }),
  ),
  ...[IPV4, IPV6, ARP].flatMap((packet, i) =>
    [0, 4, 8, 100, -4, -8, -20, -26, -40, 4095, 4096].flatMap((diff) =>
      [0, 1, 2].map((mode) =>
        cls(
          `skb_adjust_room packet ${i} by ${diff} mode ${mode}`,
          call("skb_adjust_room", diff, mode, 0),
          packet,
          {
            data_size_out: 8192,
          },
        ),
      ),
    ),
  ),
  ...[0x2, 0x4, 0x6, 0xa, 0x12, 0x1a, 0x14, 0xc, 0x42, 0x80, 0x100, 0x180, 0x200, 0x20, 0x1].flatMap(
    (flags) =>
      [20, 40, -20].flatMap((diff) =>
        [IPV4, IPV6].map((packet, i) =>
          cls(
            `skb_adjust_room packet ${i} by ${diff} flags ${flags}`,
            call("skb_adjust_room", diff, 1, flags),
            packet,
          ),
        ),
      ),
  ),
  ...[IPV4, VLAN, ARP].flatMap((packet, i) =>
    [0x0081, 0xa888, 0x1234].map((proto) =>
      cls(`skb_vlan_push packet ${i} proto ${proto}`, call("skb_vlan_push", proto, 0x2064), packet),
    ),
  ),
  cls(
    "skb_vlan_push twice",
    `r6 = r1; r2 = 0x0081; r3 = 5; call bpf_skb_vlan_push; r1 = r6; ${call("skb_vlan_push", 0xa888, 7)}`,
    IPV4,
  ),
  cls(
    "skb_vlan_push twice, pop once",
    `r6 = r1; r2 = 0x0081; r3 = 5; call bpf_skb_vlan_push; r1 = r6; r2 = 0x0081; r3 = 6; call bpf_skb_vlan_push
     r1 = r6; ${call("skb_vlan_pop")}`,
    IPV4,
  ),
  ...[IPV4, VLAN, ARP].map((packet, i) => cls(`skb_vlan_pop packet ${i}`, call("skb_vlan_pop"), packet)),
  ...[0, 1, 2, 3].flatMap((ecn) => [
    cls(
      `skb_ecn_set_ce IPv4 ${ecn}`,
      call("skb_ecn_set_ce"),
      Uint8Array.from(IPV4, (b, i) => (i === 15 ? 0x40 | ecn : b)),
    ),
    cls(
      `skb_ecn_set_ce IPv6 ${ecn}`,
      call("skb_ecn_set_ce"),
      Uint8Array.from(IPV6, (b, i) => (i === 15 ? ecn << 4 : b)),
    ),
  ]),
  ...(
    [
      [1, 0],
      [1, 1],
      [1, 2],
      [4000, 0],
    ] as const
  ).flatMap(([ifindex, flags]) => [
    cls(`redirect ${ifindex} ${flags}`, `r1 = ${ifindex}; r2 = ${flags}; call bpf_redirect; exit`, IPV4),
    cls(
      `redirect_peer ${ifindex} ${flags}`,
      `r1 = ${ifindex}; r2 = ${flags}; call bpf_redirect_peer; exit`,
      IPV4,
    ),
    xdp(`redirect ${ifindex} ${flags}`, `r1 = ${ifindex}; r2 = ${flags}; call bpf_redirect; exit`, IPV4),
  ]),
  cls("redirect_neigh", "r1 = 1; r2 = 0; r3 = 0; r4 = 0; call bpf_redirect_neigh; exit", IPV4),
  cls(
    "get_tunnel_key",
    "r2 = r10; r2 += -44; r3 = 44; r4 = 0; call bpf_skb_get_tunnel_key; r1 = *(u32 *)(r10 - 44); r0 += r1; exit",
    IPV4,
  ),
  cls("set_hash", "r6 = r1; r2 = 77; call bpf_set_hash; r0 = *(u32 *)(r6 + 68); exit", IPV4),
  cls(
    "get_hash_recalc of ARP",
    "r6 = r1; call bpf_get_hash_recalc; r1 = *(u32 *)(r6 + 68); r0 = r0 == r1; exit".replace(
      "r0 = r0 == r1",
      "r0 -= r1",
    ),
    IPV4,
  ),
  ...[0, 100, 65500, -50].map((diff) =>
    cls(
      `check_mtu of lo by ${diff}`,
      `r2 = 1; r3 = 0; *(u32 *)(r10 - 4) = r3; r3 = r10; r3 += -4; r4 = ${diff}; r5 = 0; call bpf_check_mtu
       r1 = *(u32 *)(r10 - 4); r1 <<= 8; r0 += r1; exit`,
      IPV4,
    ),
  ),
  cls(
    "check_mtu of no device",
    `r2 = 4000; r3 = 0; *(u32 *)(r10 - 4) = r3; r3 = r10; r3 += -4; r4 = 0; r5 = 0; call bpf_check_mtu; exit`,
    IPV4,
  ),
  ...[IPV4, IPV6, ARP].flatMap((packet, i) => [
    cls(
      `the dummy socket of packet ${i}`,
      `r6 = r1; r1 = *(u64 *)(r1 + 168); if r1 == 0 goto out; call bpf_sk_fullsock; if r0 == 0 goto out
       r1 = *(u32 *)(r0 + 4); r2 = *(u32 *)(r0 + 24); *(u32 *)(r6 + 48) = r1; *(u32 *)(r6 + 52) = r2
       r1 = *(u32 *)(r0 + 52); r2 = *(u32 *)(r0 + 72); *(u32 *)(r6 + 56) = r1; *(u32 *)(r6 + 60) = r2
       out: r0 = 0; exit`,
      packet,
    ),
  ]),
  ...["*(u8 *)skb[0]", "*(u16 *)skb[12]", "*(u32 *)skb[26]", "*(u32 *)skb[58]", "*(u8 *)skb[60]"].flatMap(
    (load) => [
      cls(`tc ${load}`, `r6 = r1; r0 = ${load}; exit`, IPV4),
      {
        name: `socket filter ${load}`,
        type: BPF_PROG_TYPE_SOCKET_FILTER,
        text: `r6 = r1; r0 = ${load}; exit`,
        data_in: IPV4,
      },
    ],
  ),
];

const cgroup: Case[] = [0, 1, 2, 3].map((verdict) => ({
  name: `cgroup_skb egress verdict ${verdict}`,
  type: BPF_PROG_TYPE_CGROUP_SKB,
  attach: BPF_CGROUP_INET_EGRESS,
  text: `r0 = ${verdict}; exit`,
  data_in: IPV4,
  ...SKB_OUT,
}));

const xdpRules: Case[] = [
  xdp("13 bytes", PASS, IPV4.subarray(0, 13)),
  xdp("14 bytes", PASS, IPV4.subarray(0, 14)),
  xdp("flags", PASS, IPV4, { flags: 1 }),
  xdp("batch", PASS, IPV4, { batch_size: 1 }),
  xdp("short buffer", PASS, IPV4, { data_size_out: 10 }),
  xdp("ctx", PASS, IPV4, { ctx_in: md(0, 60), ...XDP_OUT }),
  xdp("ctx, short buffer", PASS, IPV4, { ctx_in: md(0, 60), ctx_size_out: 8 }),
  xdp("ctx out only", PASS, IPV4, { ...XDP_OUT }),
  xdp("meta 4", PASS, IPV4, { ctx_in: md(4, 60), ...XDP_OUT }),
  xdp("meta 6", PASS, IPV4, { ctx_in: md(6, 60), ...XDP_OUT }),
  xdp("meta 32", PASS, new Uint8Array(300), { ctx_in: md(32, 300), ...XDP_OUT }),
  xdp("meta 212", PASS, new Uint8Array(300), { ctx_in: md(212, 300), ...XDP_OUT }),
  xdp("meta 216", PASS, new Uint8Array(300), { ctx_in: md(216, 300), ...XDP_OUT }),
  xdp("meta 220", PASS, new Uint8Array(300), { ctx_in: md(220, 300), ...XDP_OUT }),
  xdp("meta leaves 13 bytes", PASS, new Uint8Array(45), { ctx_in: md(32, 45), ...XDP_OUT }),
  xdp("data_end before the end", PASS, IPV4, { ctx_in: md(0, 40), ...XDP_OUT, flags_: BPF_F_XDP_HAS_FRAGS }),
  xdp("data_end behind the end", PASS, IPV4, { ctx_in: md(0, 61), ...XDP_OUT }),
  xdp("data behind data_end", PASS, IPV4, { ctx_in: md(44, 40), ...XDP_OUT }),
  xdp("data_meta set", PASS, IPV4, { ctx_in: md(0, 60, { 8: 4 }), ...XDP_OUT }),
  xdp("egress_ifindex set", PASS, IPV4, { ctx_in: md(0, 60, { 20: 1 }), ...XDP_OUT }),
  xdp("ingress lo", PASS, IPV4, { ctx_in: md(0, 60, { 12: 1 }), ...XDP_OUT }),
  xdp("ingress lo queue 1", PASS, IPV4, { ctx_in: md(0, 60, { 12: 1, 16: 1 }), ...XDP_OUT }),
  xdp("no ingress, queue 1", PASS, IPV4, { ctx_in: md(0, 60, { 16: 1 }), ...XDP_OUT }),
  xdp("ingress of no device", PASS, IPV4, { ctx_in: md(0, 60, { 12: 4000 }), ...XDP_OUT }),
  ...[3520, 3521, 4096, 9000, 65535].flatMap((size) =>
    [0, BPF_F_XDP_HAS_FRAGS].map((flags_) =>
      xdp(
        `${size} bytes, flags ${flags_}`,
        "r2 = *(u32 *)(r1 + 0); r0 = *(u32 *)(r1 + 4); r0 -= r2; exit",
        Uint8Array.from({ length: size }, (_, i) => i * 7),
        { flags_, data_size_out: 70000 },
      ),
    ),
  ),
  xdp("frags, buffer shorter than they are", PASS, new Uint8Array(9000), {
    flags_: BPF_F_XDP_HAS_FRAGS,
    data_size_out: 100,
  }),
  xdp(
    "frags, buffer in between",
    PASS,
    Uint8Array.from({ length: 9000 }, (_, i) => i),
    {
      flags_: BPF_F_XDP_HAS_FRAGS,
      data_size_out: 6000,
    },
  ),
  xdp("too many frags", PASS, new Uint8Array(3520 + 17 * 4096 + 1), { flags_: BPF_F_XDP_HAS_FRAGS }),
];

const GET_LENGTH = "r1 = r6; call bpf_xdp_get_buff_len; r7 <<= 32; r7 s>>= 32; r0 <<= 8; r0 += r7; exit";
const xdpCall = (helper: string, arg: number): string =>
  `r6 = r1; r2 = ${arg}; call bpf_${helper}; r7 = r0; ${GET_LENGTH}`;

const xdpHelpers: Case[] = [
  ...[0, 14, 46, 47, 60, -1, -14, -216, -217, -256].map((n) =>
    xdp(`adjust_head ${n}`, xdpCall("xdp_adjust_head", n), IPV4, { ctx_in: md(0, 60), ...XDP_OUT }),
  ),
  ...[0, 4, -4, 40, -200].map((n) =>
    xdp(`adjust_head ${n} with metadata`, xdpCall("xdp_adjust_head", n), IPV4, {
      ctx_in: md(8, 60),
      ...XDP_OUT,
    }),
  ),
  ...[0, 1, -46, -47, -60, 100, 3460, 3461].map((n) =>
    xdp(`adjust_tail ${n}`, xdpCall("xdp_adjust_tail", n), IPV4),
  ),
  ...[0, 1, -1, -1384, -1385, -5480, -5481, -8986, -8987, 2712, 2713].map((n) =>
    xdp(`adjust_tail ${n} of frags`, xdpCall("xdp_adjust_tail", n), new Uint8Array(9000).fill(5), {
      flags_: BPF_F_XDP_HAS_FRAGS,
      data_size_out: 20000,
    }),
  ),
  ...[0, -4, -6, -32, -216, -220, 4, 8].map((n) =>
    xdp(`adjust_meta ${n}`, xdpCall("xdp_adjust_meta", n), IPV4, { ctx_in: md(4, 60), ...XDP_OUT }),
  ),
  ...(["load", "store"] as const).flatMap((way) =>
    [0, 3516, 3512, 3519, 3520, 7612, 8992, 8993, 0x10000].map((offset) =>
      xdp(
        `xdp_${way}_bytes at ${offset}`,
        `r6 = r1; r2 = 0x1122334455667788 ll; *(u64 *)(r10 - 8) = r2; r2 = ${offset}; r3 = r10; r3 += -8; r4 = 8
         call bpf_xdp_${way}_bytes; r1 = *(u32 *)(r10 - 8); r2 = *(u32 *)(r10 - 4); r0 += r1; r0 ^= r2; exit`,
        Uint8Array.from({ length: 9000 }, (_, i) => i * 3),
        { flags_: BPF_F_XDP_HAS_FRAGS, data_size_out: 20000 },
      ),
    ),
  ),
  ...[0, 65490, -100].map((diff) =>
    xdp(
      `check_mtu ${diff}`,
      `r2 = 1; r3 = 0; *(u32 *)(r10 - 4) = r3; r3 = r10; r3 += -4; r4 = ${diff}; r5 = 0; call bpf_check_mtu
       r1 = *(u32 *)(r10 - 4); r1 <<= 8; r0 += r1; exit`,
      IPV4,
    ),
  ),
  ...[
    [64, 2, 0],
    [64, 10, 0],
    [64, 3, 0],
    [64, 2, 64],
  ].map(([size, family, flags]) =>
    xdp(
      `fib_lookup size ${size} family ${family} flags ${flags}`,
      `r2 = 0; ${[8, 16, 24, 32, 40, 48, 56, 64].map((at) => `*(u64 *)(r10 - ${at}) = r2`).join(";")}
       r2 = ${family}; *(u8 *)(r10 - 64) = r2; r2 = 4000; *(u32 *)(r10 - 56) = r2
       r2 = r10; r2 += -64; r3 = ${size}; r4 = ${flags}; call bpf_fib_lookup; exit`,
      IPV4,
    ),
  ),
];

const READ_ARG = "r0 = *(u64 *)(r1 + 8); exit";
const ctx16 = new Uint8Array(16).fill(9, 8);
const raw: Case[] = [
  { name: "raw_tp", type: BPF_PROG_TYPE_RAW_TRACEPOINT, text: READ_ARG, ctx_in: ctx16 },
  {
    name: "raw_tp, short ctx",
    type: BPF_PROG_TYPE_RAW_TRACEPOINT,
    text: READ_ARG,
    ctx_in: new Uint8Array(8),
  },
  { name: "raw_tp, no ctx", type: BPF_PROG_TYPE_RAW_TRACEPOINT, text: READ_ARG },
  { name: "raw_tp, needs no ctx", type: BPF_PROG_TYPE_RAW_TRACEPOINT, text: PASS },
  { name: "raw_tp, long ctx", type: BPF_PROG_TYPE_RAW_TRACEPOINT, text: PASS, ctx_in: new Uint8Array(97) },
  { name: "raw_tp, longest ctx", type: BPF_PROG_TYPE_RAW_TRACEPOINT, text: PASS, ctx_in: new Uint8Array(96) },
  { name: "raw_tp, repeat", type: BPF_PROG_TYPE_RAW_TRACEPOINT, text: PASS, repeat: 2 },
  { name: "raw_tp, data", type: BPF_PROG_TYPE_RAW_TRACEPOINT, text: PASS, data_in: IPV4 },
  {
    name: "raw_tp, ctx out",
    type: BPF_PROG_TYPE_RAW_TRACEPOINT,
    text: PASS,
    ctx_in: ctx16,
    ctx_size_out: 16,
  },
  { name: "raw_tp, cpu without flag", type: BPF_PROG_TYPE_RAW_TRACEPOINT, text: PASS, cpu: 1 },
  ...[0, 1, 1000].map((cpu) => ({
    name: `raw_tp on cpu ${cpu}`,
    type: BPF_PROG_TYPE_RAW_TRACEPOINT,
    text: "call bpf_get_smp_processor_id; exit",
    flags: BPF_F_TEST_RUN_ON_CPU,
    cpu,
  })),
  {
    name: "syscall writes its ctx",
    type: BPF_PROG_TYPE_SYSCALL,
    flags_: BPF_F_SLEEPABLE,
    text: "r2 = 5; *(u64 *)(r1 + 8) = r2; r0 = *(u32 *)(r1 + 0); exit",
    ctx_in: ctx16,
  },
  {
    name: "syscall, short ctx",
    type: BPF_PROG_TYPE_SYSCALL,
    flags_: BPF_F_SLEEPABLE,
    text: "r0 = *(u32 *)(r1 + 16); exit",
    ctx_in: ctx16,
  },
  ...(["repeat", "flags", "batch_size"] as const).map((what) => ({
    name: `syscall, ${what}`,
    type: BPF_PROG_TYPE_SYSCALL,
    flags_: BPF_F_SLEEPABLE,
    text: PASS,
    [what]: 1,
  })),
];

/** Offsets from the network and the link layer header: SKF_NET_OFF, SKF_LL_OFF. */
export const NEGATIVE_OFFSETS: readonly Case[] = [
  -0x100000,
  -0x100000 + 9,
  -0x200000,
  -0x200000 + 12,
  -0x200000 + 70,
  -1,
].map((at) => ({
  name: `socket filter skb[${at}]`,
  type: BPF_PROG_TYPE_SOCKET_FILTER,
  text: `r6 = r1; r7 = 0; r0 = *(u16 *)skb[${at}]; exit`,
  data_in: IPV4,
}));

export const CASES: readonly Case[] = [
  ...skbRules,
  ...skbReads,
  ...skbHelpers,
  ...cgroup,
  ...xdpRules,
  ...xdpHelpers,
  ...raw,
];
