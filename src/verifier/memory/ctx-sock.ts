/** Contexts and pointees that describe sockets: struct bpf_sock, bpf_tcp_sock, bpf_xdp_sock, bpf_sock_addr, bpf_sock_ops... */
import {
  BPF_CGROUP_INET_SOCK_CREATE,
  BPF_CGROUP_INET_SOCK_RELEASE,
  BPF_CGROUP_INET4_BIND,
  BPF_CGROUP_INET4_CONNECT,
  BPF_CGROUP_INET4_GETPEERNAME,
  BPF_CGROUP_INET4_GETSOCKNAME,
  BPF_CGROUP_INET4_POST_BIND,
  BPF_CGROUP_INET6_BIND,
  BPF_CGROUP_INET6_CONNECT,
  BPF_CGROUP_INET6_GETPEERNAME,
  BPF_CGROUP_INET6_GETSOCKNAME,
  BPF_CGROUP_INET6_POST_BIND,
  BPF_CGROUP_UDP4_RECVMSG,
  BPF_CGROUP_UDP4_SENDMSG,
  BPF_CGROUP_UDP6_RECVMSG,
  BPF_CGROUP_UDP6_SENDMSG,
} from "../../uapi/index.ts";
import {
  PTR_MAYBE_NULL,
  PTR_TO_PACKET,
  PTR_TO_PACKET_END,
  PTR_TO_SOCK_COMMON,
  PTR_TO_SOCKET,
  PTR_TO_TCP_SOCK,
  PTR_TO_XDP_SOCK,
} from "../state/reg-type.ts";
import { type CtxInfo, type Field, fieldAccess, fixed, narrow } from "./ctx-fields.ts";

/** struct bpf_sock: bpf_sock_is_valid_access(). */
const SOCK_HEAD: readonly Field[] = [
  fixed(0, 4, 4, { write: 4 }), // bound_dev_if
  narrow(4, 5, 4), // family
  fixed(5, 8, 4),
  narrow(8, 9, 4), // type
  fixed(9, 12, 4),
  narrow(12, 13, 4), // protocol
  fixed(13, 16, 4),
  fixed(16, 24, 4, { write: 4 }), // mark, priority
];
const SOCK_TAIL: readonly Field[] = [
  narrow(24, 44, 4, { write: 7 }), // src_ip4, src_ip6
  narrow(44, 45, 4, { write: 7 }), // src_port
  fixed(45, 48, 4),
  // dst_port has two bytes; four are allowed where it begins.
  fixed(48, 50, 7),
  narrow(52, 72, 4), // dst_ip4, dst_ip6
  narrow(72, 73, 4), // state
  fixed(73, 76, 4),
  narrow(76, 77, 4), // rx_queue_mapping
];
const SOCK: readonly Field[] = [...SOCK_HEAD, ...SOCK_TAIL];
/** struct sock_common has no type, protocol, mark, priority: those bytes are not there. */
const SOCK_COMMON: readonly Field[] = [...SOCK_HEAD.filter((f) => f.at < 8), ...SOCK_TAIL];

const TCP_SOCK: readonly Field[] = [
  fixed(0, 80, 4),
  fixed(80, 81, 8, { exact: true }),
  fixed(81, 88, 4),
  fixed(88, 89, 8, { exact: true }),
  fixed(89, 112, 4),
];

const XDP_SOCK: readonly Field[] = [fixed(0, 4, 4)];

const BY_POINTER: ReadonlyMap<number, readonly Field[]> = new Map([
  [PTR_TO_SOCKET, SOCK],
  [PTR_TO_SOCK_COMMON, SOCK_COMMON],
  [PTR_TO_TCP_SOCK, TCP_SOCK],
  [PTR_TO_XDP_SOCK, XDP_SOCK],
]);

/** A load through a socket pointer of that type. */
export function sockFieldAccess(type: number, off: number, size: number): boolean {
  return fieldAccess(BY_POINTER.get(type) ?? [], off, size, false, false) !== null;
}

/** BPF_PROG_TYPE_CGROUP_SOCK: sock_filter_is_valid_access(). */
export function cgroupSockAccess(
  attach: number,
  off: number,
  size: number,
  write: boolean,
  signed: boolean,
): CtxInfo | null {
  const info = fieldAccess(SOCK, off, size, false, signed);
  if (info === null) return null;
  const creating = attach === BPF_CGROUP_INET_SOCK_CREATE || attach === BPF_CGROUP_INET_SOCK_RELEASE;
  const bound4 = attach === BPF_CGROUP_INET4_POST_BIND;
  const bound6 = attach === BPF_CGROUP_INET6_POST_BIND;
  if (off === 0 || off === 16 || off === 20) return creating ? info : null;
  if (write) return null;
  if (off >= 24 && off < 28) return bound4 ? info : null;
  if (off >= 28 && off < 44) return bound6 ? info : null;
  if (off >= 44 && off < 48) return bound4 || bound6 ? info : null;
  return info;
}

const ADDR4: ReadonlySet<number> = new Set([
  BPF_CGROUP_INET4_BIND,
  BPF_CGROUP_INET4_CONNECT,
  BPF_CGROUP_INET4_GETPEERNAME,
  BPF_CGROUP_INET4_GETSOCKNAME,
  BPF_CGROUP_UDP4_SENDMSG,
  BPF_CGROUP_UDP4_RECVMSG,
]);
const ADDR6: ReadonlySet<number> = new Set([
  BPF_CGROUP_INET6_BIND,
  BPF_CGROUP_INET6_CONNECT,
  BPF_CGROUP_INET6_GETPEERNAME,
  BPF_CGROUP_INET6_GETSOCKNAME,
  BPF_CGROUP_UDP6_SENDMSG,
  BPF_CGROUP_UDP6_RECVMSG,
]);

/** struct bpf_sock_addr by attach type: sock_addr_is_valid_access(). */
export function sockAddrFields(attach: number): readonly Field[] {
  const fields: Field[] = [
    fixed(0, 4, 4),
    narrow(24, 28, 4, { write: 4 }), // user_port
    fixed(28, 40, 4), // family, type, protocol
    fixed(64, 72, 8, { regType: PTR_TO_SOCKET }),
  ];
  if (ADDR4.has(attach)) fields.push(narrow(4, 8, 4, { write: 4 }));
  if (ADDR6.has(attach)) fields.push(narrow(8, 24, 4, { write: 4, wide: true }));
  if (attach === BPF_CGROUP_UDP4_SENDMSG) fields.push(narrow(40, 44, 4, { write: 4 }));
  if (attach === BPF_CGROUP_UDP6_SENDMSG) fields.push(narrow(44, 60, 4, { write: 4, wide: true }));
  return fields;
}

export const SOCK_OPS: readonly Field[] = [
  fixed(0, 4, 4),
  fixed(4, 8, 4, { write: 4 }), // reply
  fixed(8, 164, 4),
  fixed(164, 168, 4, { write: 4 }), // sk_txhash
  fixed(168, 184, 8), // bytes_received, bytes_acked
  fixed(184, 192, 8, { regType: PTR_TO_SOCKET | PTR_MAYBE_NULL }),
  fixed(192, 200, 8, { regType: PTR_TO_PACKET }),
  fixed(200, 208, 8, { regType: PTR_TO_PACKET_END }),
  fixed(208, 212, 4),
  narrow(212, 213, 4), // skb_tcp_flags
  fixed(213, 216, 4),
  fixed(216, 224, 8), // skb_hwtstamp
];

export const SK_MSG: readonly Field[] = [
  fixed(0, 8, 8, { regType: PTR_TO_PACKET }),
  fixed(8, 16, 8, { regType: PTR_TO_PACKET_END }),
  fixed(16, 72, 4),
  fixed(72, 80, 8, { regType: PTR_TO_SOCKET }),
];

export const SK_REUSEPORT: readonly Field[] = [
  fixed(0, 1, 8, { regType: PTR_TO_PACKET }),
  fixed(8, 9, 8, { regType: PTR_TO_PACKET_END }),
  narrow(16, 20, 4), // len
  { ...narrow(20, 24, 4), read: 6 }, // eth_protocol: not single bytes
  narrow(24, 32, 4), // ip_protocol, bind_inany
  fixed(32, 33, 4), // hash
  fixed(40, 41, 8, { regType: PTR_TO_SOCKET }),
  fixed(48, 49, 8, { regType: PTR_TO_SOCK_COMMON | PTR_MAYBE_NULL }),
];

export const SK_LOOKUP: readonly Field[] = [
  fixed(0, 8, 8, { regType: PTR_TO_SOCKET | PTR_MAYBE_NULL }),
  narrow(8, 36, 4), // family, protocol, remote_ip4, remote_ip6
  fixed(36, 38, 7), // remote_port: two bytes; four for old programs
  narrow(38, 40, 2),
  narrow(40, 68, 4), // local_ip4, local_ip6, local_port, ingress_ifindex
];
