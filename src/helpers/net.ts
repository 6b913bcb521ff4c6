// Helpers on packets and sockets that need no place beside the jitted code (net/core/filter.c).
import { EAFNOSUPPORT, EBADMSG, EINVAL, ENODEV, EOPNOTSUPP } from "../uapi/index.ts";
import { SKB_DATA, SKB_NETWORK_HEADER, SKB_TAIL } from "../vm/index.ts";
import type { CallFrame, HelperHost, NetDevice } from "./host.ts";
import {
  REDIRECT_FLAGS,
  REDIRECT_INDEX,
  REDIRECT_MAP,
  REDIRECT_SET,
  SK_BUFF_GSO_SIZE,
  SK_BUFF_HASH,
  SK_BUFF_IFINDEX,
  SK_BUFF_PROTOCOL,
  SK_BUFF_SK,
  SK_BUFF_TSTAMP,
  SK_BUFF_TSTAMP_TYPE,
  SKB_HASH_VALID,
  XDP_DATA,
  XDP_DATA_END,
  XDP_MD_INGRESS_IFINDEX,
} from "./net-layout.ts";

const LOOPBACK = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const OVERFLOW_UID = 65534;
const ETH_P_IP = 0x0008;
const ETH_P_IPV6 = 0xdd86;
const BPF_FIB_LOOKUP_SIZE = 64;
const BPF_FIB_LOOKUP_MASK = 0x3f;
const BPF_FIB_LKUP_RET_FWD_DISABLED = 5;
const BPF_MTU_CHK_SEGS = 1;
const BPF_MTU_CHK_RET_FRAG_NEEDED = 1;

/** The kernel's first cookie of a socket and of a network namespace. */
const FIRST_COOKIE = 1;

/** Every socket of a test run belongs to root, in the one network namespace, in no net_cls cgroup. */
export function getSocketCookie(_host: HelperHost, _frame: CallFrame): number | bigint {
  return FIRST_COOKIE;
}
export function getNetnsCookie(_host: HelperHost, _frame: CallFrame): number | bigint {
  return FIRST_COOKIE;
}
export function getSocketUid(_host: HelperHost, frame: CallFrame): number | bigint {
  const skb = frame.context(1);
  return frame.space.u32[(skb + SK_BUFF_SK) >>> 2] === 0 ? OVERFLOW_UID : 0;
}

/** What an embedded kernel knows no instance of: cgroup classes, route realms, socket cgroups, nlattrs... */
export function zero(_host: HelperHost, _frame: CallFrame): number | bigint {
  return 0;
}
/** bpf_skb_cgroup_id() of a socket in the root cgroup. */
export function skbCgroupId(_host: HelperHost, frame: CallFrame): number | bigint {
  frame.context(1);
  return 1;
}

/** A full socket is its own; the ones that test runs hand out are. */
export function skFullsock(_host: HelperHost, frame: CallFrame): number | bigint {
  return frame.u64(1);
}

/** Nobody listens and nobody is connected. */
export function skLookup(_host: HelperHost, frame: CallFrame): number | bigint {
  frame.readable(2, frame.u32(3));
  return 0;
}

export function setHash(_host: HelperHost, frame: CallFrame): number | bigint {
  const skb = frame.context(1);
  frame.space.u32[(skb + SK_BUFF_HASH) >>> 2] = frame.u32(2);
  frame.space.u32[(skb + SKB_HASH_VALID) >>> 2] = 1;
  return 0;
}

export function setHashInvalid(_host: HelperHost, frame: CallFrame): number | bigint {
  const skb = frame.context(1);
  frame.space.u32[(skb + SK_BUFF_HASH) >>> 2] = 0;
  frame.space.u32[(skb + SKB_HASH_VALID) >>> 2] = 0;
  return 0;
}

/** Addresses, protocol and ports through a multiplicative hash; the kernel's own has a secret of the boot. */
function flowHash(u8: Uint8Array, at: number, end: number, protocol: number): number {
  let from = 0;
  let to = 0;
  let next = 0;
  let ports = 0;
  if (protocol === ETH_P_IP && end - at >= 20) {
    [from, to, next, ports] = [at + 12, at + 20, u8[at + 9]!, at + (u8[at]! & 15) * 4];
  } else if (protocol === ETH_P_IPV6 && end - at >= 40) {
    [from, to, next, ports] = [at + 8, at + 40, u8[at + 6]!, at + 40];
  } else return 0;
  let hash = 0x811c9dc5 ^ next;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ u8[i]!, 0x01000193);
  if ((next === 6 || next === 17) && ports + 4 <= end)
    for (let i = ports; i < ports + 4; i++) hash = Math.imul(hash ^ u8[i]!, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0 || 1;
}

export function getHashRecalc(_host: HelperHost, frame: CallFrame): number | bigint {
  const skb = frame.context(1);
  const { u32, u8 } = frame.space;
  if (!u32[(skb + SKB_HASH_VALID) >>> 2]) {
    u32[(skb + SK_BUFF_HASH) >>> 2] = flowHash(
      u8,
      u32[(skb + SKB_NETWORK_HEADER) >>> 2]!,
      u32[(skb + SKB_TAIL) >>> 2]!,
      u32[(skb + SK_BUFF_PROTOCOL) >>> 2]!,
    );
    u32[(skb + SKB_HASH_VALID) >>> 2] = 1;
  }
  return u32[(skb + SK_BUFF_HASH) >>> 2]!;
}

export function skbSetTstamp(_host: HelperHost, frame: CallFrame): number | bigint {
  const skb = frame.context(1);
  const { u32, u8, dv } = frame.space;
  const protocol = u32[(skb + SK_BUFF_PROTOCOL) >>> 2]!;
  if (protocol !== ETH_P_IP && protocol !== ETH_P_IPV6) return -EOPNOTSUPP;
  const type = frame.u32(3);
  const tstamp = frame.u64(2);
  if (type > 2 || (type !== 0 && tstamp === 0n)) return -EINVAL;
  dv.setBigUint64(skb + SK_BUFF_TSTAMP, tstamp, true);
  u8[skb + SK_BUFF_TSTAMP_TYPE] = type;
  return 0;
}

/** No packet of a test run came through a tunnel. */
export function skbGetTunnelKey(_host: HelperHost, frame: CallFrame): number | bigint {
  const size = frame.u32(3);
  const to = frame.writable(2, size);
  frame.space.u8.fill(0, to, to + size);
  return -EINVAL;
}

const TUNNEL_KEY_SIZES: readonly number[] = [8, 24, 26, 28, 44];

export function skbSetTunnelKey(_host: HelperHost, frame: CallFrame): number | bigint {
  const size = frame.u32(3);
  const from = frame.readable(2, size);
  const flags = frame.u64(4);
  if (flags & ~0x1fn || !TUNNEL_KEY_SIZES.includes(size)) return -EINVAL;
  const { dv } = frame.space;
  const ext = size >= 28 ? dv.getUint16(from + 22, true) : 0;
  const label = size >= 28 ? dv.getUint32(from + 24, true) : 0;
  return (!(flags & 1n) && label !== 0) || ext !== 0 ? -EINVAL : 0;
}

/** Forwarding is off on every interface that exists. */
export function fibLookup(host: HelperHost, frame: CallFrame): number | bigint {
  frame.context(1);
  const size = frame.i32(3);
  if (size < BPF_FIB_LOOKUP_SIZE || frame.u32(4) & ~BPF_FIB_LOOKUP_MASK) return -EINVAL;
  const params = frame.writable(2, size);
  const family = frame.space.u8[params]!;
  if (family !== AF_INET && family !== AF_INET6) return -EAFNOSUPPORT;
  const ifindex = frame.space.dv.getUint32(params + 8, true);
  return host.device(ifindex) === undefined ? -ENODEV : BPF_FIB_LKUP_RET_FWD_DISABLED;
}

function checkMtu(host: HelperHost, frame: CallFrame, own: number, length: number, gso: boolean): number {
  const ifindex = frame.u32(2);
  const at = frame.writable(3, 4);
  const diff = frame.i32(4);
  const dev: NetDevice | undefined = host.device(ifindex || own || LOOPBACK);
  if (dev === undefined) return -ENODEV;
  const asked = frame.space.dv.getUint32(at, true);
  const total = ((asked ? asked + dev.hardHeaderLen : length) + diff) | 0;
  frame.space.dv.setUint32(at, dev.mtu, true);
  return total > dev.mtu + dev.hardHeaderLen && !gso ? BPF_MTU_CHK_RET_FRAG_NEEDED : 0;
}

export function skbCheckMtu(host: HelperHost, frame: CallFrame): number | bigint {
  const skb = frame.context(1);
  const { u32, dv } = frame.space;
  const flags = frame.u64(5);
  if (flags & ~BigInt(BPF_MTU_CHK_SEGS)) return -EINVAL;
  if (flags && (frame.u32(4) || dv.getUint32(frame.readable(3, 4), true))) return -EINVAL;
  const length = u32[(skb + SKB_TAIL) >>> 2]! - u32[(skb + SKB_DATA) >>> 2]!;
  return checkMtu(
    host,
    frame,
    u32[(skb + SK_BUFF_IFINDEX) >>> 2]!,
    length,
    u32[(skb + SK_BUFF_GSO_SIZE) >>> 2] !== 0,
  );
}

export function xdpCheckMtu(host: HelperHost, frame: CallFrame): number | bigint {
  const xdp = frame.context(1);
  const { u32 } = frame.space;
  if (frame.u64(5)) return -EINVAL;
  const length = u32[(xdp + XDP_DATA_END) >>> 2]! - u32[(xdp + XDP_DATA) >>> 2]!;
  return checkMtu(host, frame, u32[(xdp + XDP_MD_INGRESS_IFINDEX) >>> 2]!, length, false);
}

/** The copy goes nowhere: what is recorded is the wish. */
export function cloneRedirect(host: HelperHost, frame: CallFrame): number | bigint {
  const skb = frame.context(1);
  const { u32 } = frame.space;
  if (frame.u64(3) & ~1n) return -EINVAL;
  if (u32[(skb + SK_BUFF_GSO_SIZE) >>> 2] !== 0) return -EBADMSG;
  if (host.device(frame.u32(2)) === undefined) return -EINVAL;
  return 0;
}

/** On a miss the low bits of the flags are the verdict. */
export function redirectMap(host: HelperHost, frame: CallFrame): number | bigint {
  const BPF_F_BROADCAST = 1n << 3n;
  const BPF_F_EXCLUDE_INGRESS = 1n << 4n;
  const XDP_REDIRECT = 4;
  const map = frame.u32(1);
  const key = frame.u32(2);
  const flags = frame.u64(3);
  if (flags & ~(3n | BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS)) return 0;
  const { u32 } = frame.space;
  const cpu = frame.cpu;
  if (!host.redirectTarget(map, key) && !(flags & BPF_F_BROADCAST)) {
    u32[(cpu + REDIRECT_SET) >>> 2] = 0;
    return Number(flags & 3n);
  }
  u32[(cpu + REDIRECT_INDEX) >>> 2] = key;
  u32[(cpu + REDIRECT_FLAGS) >>> 2] = Number(flags);
  u32[(cpu + REDIRECT_MAP) >>> 2] = map;
  u32[(cpu + REDIRECT_SET) >>> 2] = 1;
  return XDP_REDIRECT;
}
