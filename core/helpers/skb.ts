// The socket buffer and the helpers that read and write it (net/core/filter.c). Packets are linear.
import {
  BPF_SKB_MAX_LEN,
  CHECKSUM_COMPLETE,
  ETH_HLEN,
  SKB_CSUM,
  SKB_FLAGS,
  SKB_F_DIRECT_WRITE,
  SKB_HASH_VALID,
  SKB_HEAD,
  SKB_IP_SUMMED,
  SKB_META_LEN,
  SKB_PAINTED,
  SKB_PAINTED_PERM,
  SKB_PAINTED_SIZE,
  SK_BUFF_DATA,
  SK_BUFF_DATA_END,
  SK_BUFF_DATA_META,
  SK_BUFF_FAMILY,
  SK_BUFF_HASH,
  SK_BUFF_IFINDEX,
  SK_BUFF_LEN,
  SK_BUFF_LOCAL_IP4,
  SK_BUFF_PKT_TYPE,
  SK_BUFF_PROTOCOL,
  SK_BUFF_REMOTE_IP4,
  SK_BUFF_SIZE,
  SK_BUFF_SK,
  SOCK_DST_IP4,
  SOCK_DST_IP6,
  SOCK_FAMILY,
  SOCK_SRC_IP4,
  SOCK_SRC_IP6,
  SOCK_STATE,
} from "../../src/helpers/net-layout";
import { SKB_DATA, SKB_MAC_HEADER, SKB_NETWORK_HEADER, SKB_TAIL } from "../../src/vm/layout";
import { PERM_NONE, PERM_R, PERM_RW, paint } from "../shadow";
import { context, errno, pointer, readable, writable } from "./access";
import { csumAdd, csumPartial, csumShift, csumSub } from "./checksum";

const EFAULT = 14;
const EINVAL = 22;
const ENOMEM = 12;

const BPF_F_RECOMPUTE_CSUM: u64 = 1;
const BPF_F_INVALIDATE_HASH: u64 = 2;
const BPF_HDR_START_MAC = 0;
const BPF_HDR_START_NET = 1;

// @ts-ignore: decorator
@inline
export function skbLength(skb: u32): u32 {
  return load<u32>(skb, SKB_TAIL) - load<u32>(skb, SKB_DATA);
}

// @ts-ignore: decorator
@inline
export function skbHeadroom(skb: u32): u32 {
  return load<u32>(skb, SKB_DATA) - load<u32>(skb, SKB_HEAD);
}

/** Tells the program where its packet is now. */
export function skb_sync(skb: u32): void {
  const data = load<u32>(skb, SKB_DATA);
  const tail = load<u32>(skb, SKB_TAIL);
  store<u32>(skb, tail - data, SK_BUFF_LEN);
  const flags = load<u32>(skb, SKB_FLAGS);
  const meta = data - load<u32>(skb, SKB_META_LEN);
  store<u32>(skb, data, SK_BUFF_DATA);
  store<u32>(skb, tail, SK_BUFF_DATA_END);
  store<u32>(skb, meta, SK_BUFF_DATA_META);
  const perm = flags & SKB_F_DIRECT_WRITE ? PERM_RW : PERM_R;
  if (
    load<u32>(skb, SKB_PAINTED) == meta &&
    load<u32>(skb, SKB_PAINTED_SIZE) == tail - meta &&
    load<u32>(skb, SKB_PAINTED_PERM) == perm
  )
    return;
  paint(load<u32>(skb, SKB_PAINTED), load<u32>(skb, SKB_PAINTED_SIZE), PERM_NONE);
  store<u32>(skb, meta, SKB_PAINTED);
  store<u32>(skb, tail - meta, SKB_PAINTED_SIZE);
  store<u32>(skb, perm, SKB_PAINTED_PERM);
  paint(meta, tail - meta, perm);
}

const ETH_P_IP: u32 = 0x0008;
const ETH_P_IPV6: u32 = 0xdd86;
const ETH_P_802_3: u32 = 0x0100;
const ETH_P_802_2: u32 = 0x0400;
const AF_INET = 2;
const AF_INET6 = 10;
const PACKET_MULTICAST = 2;
const PACKET_OTHERHOST = 3;

/** eth_skb_pkt_type() on a loopback device, whose address is zero and which has no broadcast address. */
function packetType(mac: u32): u32 {
  if (load<u32>(mac) == 0 && load<u16>(mac, 4) == 0) return 0;
  return load<u8>(mac) & 1 ? PACKET_MULTICAST : PACKET_OTHERHOST;
}

/**
 * The frame of `length` (at least ETH_HLEN) bytes at `mac` becomes the packet, as eth_type_trans() on the device
 * `ifindex` takes it; `l2`: data begins with the Ethernet header. The dummy socket at `sock` gets its addresses, as
 * bpf_prog_test_run_skb() does. -EINVAL: its IP header is cut short.
 */
export function skb_place(skb: u32, mac: u32, length: u32, l2: u32, flags: u32, ifindex: u32, sock: u32): i32 {
  const l3 = mac + ETH_HLEN;
  const end = mac + length;
  memory.fill(skb, 0, SK_BUFF_SIZE);
  // The range painted for the packet before stays noted.
  memory.fill(skb + SKB_DATA, 0, SKB_PAINTED - SKB_DATA);
  store<u32>(skb, l2 ? mac : l3, SKB_DATA);
  store<u32>(skb, end, SKB_TAIL);
  store<u32>(skb, mac, SKB_MAC_HEADER);
  store<u32>(skb, l3, SKB_NETWORK_HEADER);
  store<u32>(skb, flags, SKB_FLAGS);
  store<u32>(skb, 0, SKB_HASH_VALID);
  store<u32>(skb, ifindex, SK_BUFF_IFINDEX);
  store<u32>(skb, packetType(mac), SK_BUFF_PKT_TYPE);
  store<u64>(skb, pointer(sock), SK_BUFF_SK);
  let proto = <u32>load<u16>(mac, 12);
  // eth_proto_is_802_3(): below 0x600 it is a length.
  if (load<u8>(mac, 12) < 6)
    proto = length >= <u32>ETH_HLEN + 2 && load<u16>(mac, 14) == 0xffff ? ETH_P_802_3 : ETH_P_802_2;
  store<u32>(skb, proto, SK_BUFF_PROTOCOL);
  const err = socket(skb, sock, proto, l3, end - l3);
  skb_sync(skb);
  return err;
}

function socket(skb: u32, sock: u32, proto: u32, l3: u32, length: u32): i32 {
  store<u32>(sock, 0, SOCK_FAMILY);
  memory.fill(sock + SOCK_SRC_IP4, 0, SOCK_STATE - SOCK_SRC_IP4);
  let family: u32 = 0;
  if (proto == ETH_P_IP) {
    if (length < 20) return -EINVAL;
    family = AF_INET;
    store<u32>(sock, load<u32>(l3, 12), SOCK_SRC_IP4);
    store<u32>(sock, load<u32>(l3, 16), SOCK_DST_IP4);
    store<u32>(skb, load<u32>(l3, 12), SK_BUFF_LOCAL_IP4);
    store<u32>(skb, load<u32>(l3, 16), SK_BUFF_REMOTE_IP4);
  } else if (proto == ETH_P_IPV6) {
    if (length < 40) return -EINVAL;
    family = AF_INET6;
    memory.copy(sock + SOCK_SRC_IP6, l3 + 8, 16);
    memory.copy(sock + SOCK_DST_IP6, l3 + 24, 16);
  }
  store<u32>(sock, family, SOCK_FAMILY);
  store<u32>(skb, family, SK_BUFF_FAMILY);
  return 0;
}

/** After bytes at skb->data + offset went out of (in to) the sum of CHECKSUM_COMPLETE. */
export function skbPullSum(skb: u32, at: u32, length: u32, offset: u32): void {
  if (load<u32>(skb, SKB_IP_SUMMED) != CHECKSUM_COMPLETE) return;
  const sum = csumShift(csumPartial(at, length, 0), offset);
  store<u32>(skb, csumSub(load<u32>(skb, SKB_CSUM), sum), SKB_CSUM);
}

export function skbPushSum(skb: u32, at: u32, length: u32, offset: u32): void {
  if (load<u32>(skb, SKB_IP_SUMMED) != CHECKSUM_COMPLETE) return;
  const sum = csumShift(csumPartial(at, length, 0), offset);
  store<u32>(skb, csumAdd(load<u32>(skb, SKB_CSUM), sum), SKB_CSUM);
}

export function skbClearHash(skb: u32): void {
  store<u32>(skb, 0, SKB_HASH_VALID);
  store<u32>(skb, 0, SK_BUFF_HASH);
}

/** bpf_try_make_writable(): are the first `length` bytes there? */
// @ts-ignore: decorator
@inline
export function holds(skb: u32, length: u64): bool {
  return length <= skbLength(skb);
}

export function bpf_skb_store_bytes(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  const offset = <u32>r2;
  const length = <u32>r4;
  const from = readable(r3, length);
  if (r5 & ~(BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH)) return errno(EINVAL);
  if (<i32>offset < 0) return errno(EFAULT);
  if (!holds(skb, <u64>offset + length)) return errno(EFAULT);
  const at = load<u32>(skb, SKB_DATA) + offset;
  if (r5 & BPF_F_RECOMPUTE_CSUM) skbPullSum(skb, at, length, offset);
  memory.copy(at, from, length);
  if (r5 & BPF_F_RECOMPUTE_CSUM) skbPushSum(skb, at, length, offset);
  if (r5 & BPF_F_INVALIDATE_HASH) skbClearHash(skb);
  return 0;
}

export function bpf_skb_load_bytes(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  const offset = <u32>r2;
  const length = <u32>r4;
  const to = writable(r3, length);
  if (<i32>offset >= 0 && holds(skb, <u64>offset + length)) {
    memory.copy(to, load<u32>(skb, SKB_DATA) + offset, length);
    return 0;
  }
  memory.fill(to, 0, length);
  return errno(EFAULT);
}

export function bpf_skb_load_bytes_relative(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  const offset = <u32>r2;
  const length = <u32>r4;
  const to = writable(r3, length);
  const start =
    <u32>r5 == BPF_HDR_START_MAC
      ? load<u32>(skb, SKB_MAC_HEADER)
      : <u32>r5 == BPF_HDR_START_NET
        ? load<u32>(skb, SKB_NETWORK_HEADER)
        : 0;
  if (start != 0 && offset <= 0xffff && <u64>start + offset + length <= load<u32>(skb, SKB_TAIL)) {
    memory.copy(to, start + offset, length);
    return 0;
  }
  memory.fill(to, 0, length);
  return errno(EFAULT);
}

export function bpf_skb_pull_data(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return holds(context(r1), <u32>r2) ? 0 : errno(ENOMEM);
}

/** Room for `n` more bytes before data (skb_cow): the buffers that the kernel gives out have plenty. */
export function skbHasHeadroom(skb: u32, n: u32): bool {
  return skbHeadroom(skb) >= n && n <= <u32>BPF_SKB_MAX_LEN;
}
