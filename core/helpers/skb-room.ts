// Helpers that move a packet's ends or headers (net/core/filter.c, net/core/skbuff.c).
import {
  BPF_SKB_MAX_LEN,
  CHECKSUM_COMPLETE,
  CHECKSUM_NONE,
  CHECKSUM_PARTIAL,
  ETH_HLEN,
  SKB_CSUM,
  SKB_END,
  SKB_F_ENCAPSULATION,
  SKB_FLAGS,
  SKB_IP_SUMMED,
  SKB_TRANSPORT_HEADER,
  SK_BUFF_GSO_SEGS,
  SK_BUFF_GSO_SIZE,
  SK_BUFF_PKT_TYPE,
  SK_BUFF_PROTOCOL,
  SK_BUFF_VLAN_PRESENT,
  SK_BUFF_VLAN_PROTO,
  SK_BUFF_VLAN_TCI,
} from "../../src/helpers/net-layout";
import { SKB_DATA, SKB_MAC_HEADER, SKB_NETWORK_HEADER, SKB_TAIL } from "../../src/vm/layout";
import { context, errno } from "./access";
import { csumAdd, csumSub } from "./checksum";
import { holds, skbClearHash, skbHasHeadroom, skbLength, skbPullSum, skbPushSum, skb_sync } from "./skb";
import { skbResetChecksum } from "./skb-csum";

const ENOMEM = 12;
const EFAULT = 14;
const EINVAL = 22;
const EALREADY = 114;
const ENOTSUPP = 524;

/** __be16 as loaded from memory. */
const ETH_P_IP: u32 = 0x0008;
const ETH_P_IPV6: u32 = 0xdd86;
const ETH_P_8021Q: u32 = 0x0081;
const ETH_P_8021AD: u32 = 0xa888;
const ETH_P_802_3: u32 = 0x0100;
const ETH_P_802_2: u32 = 0x0400;

const IPHDR: u32 = 20;
const IPV6HDR: u32 = 40;
const VLAN_HLEN: u32 = 4;

const ADJ_ROOM_FIXED_GSO: u64 = 1 << 0;
const ENCAP_L3_IPV4: u64 = 1 << 1;
const ENCAP_L3_IPV6: u64 = 1 << 2;
const ENCAP_L4_GRE: u64 = 1 << 3;
const ENCAP_L4_UDP: u64 = 1 << 4;
const NO_CSUM_RESET: u64 = 1 << 5;
const ENCAP_L2_ETH: u64 = 1 << 6;
const DECAP_L3_IPV4: u64 = 1 << 7;
const DECAP_L3_IPV6: u64 = 1 << 8;
const ENCAP_L2_SHIFT: u64 = 56;
const ENCAP_L3_MASK: u64 = ENCAP_L3_IPV4 | ENCAP_L3_IPV6;
const DECAP_L3_MASK: u64 = DECAP_L3_IPV4 | DECAP_L3_IPV6;
const ADJ_ROOM_MASK: u64 =
  ADJ_ROOM_FIXED_GSO |
  ENCAP_L3_MASK |
  ENCAP_L4_GRE |
  ENCAP_L4_UDP |
  ENCAP_L2_ETH |
  (0xff << ENCAP_L2_SHIFT) |
  DECAP_L3_MASK;
const BPF_ADJ_ROOM_NET = 0;
const BPF_ADJ_ROOM_MAC = 1;

function move(skb: u32, member: u32, by: i32): void {
  store<u32>(skb + member, load<u32>(skb + member) + by);
}

/** skb_mac_header_len() */
function macLength(skb: u32): u32 {
  return load<u32>(skb, SKB_NETWORK_HEADER) - load<u32>(skb, SKB_MAC_HEADER);
}

function isGso(skb: u32): bool {
  return load<u32>(skb, SK_BUFF_GSO_SIZE) != 0;
}

/** bpf_skb_net_hdr_push(): `length` zero bytes at `offset`. */
function push(skb: u32, offset: u32, length: u32): i32 {
  if (!skbHasHeadroom(skb, length)) return -ENOMEM;
  const same = load<u32>(skb, SKB_TRANSPORT_HEADER) == load<u32>(skb, SKB_NETWORK_HEADER);
  move(skb, SKB_DATA, -(<i32>length));
  const data = load<u32>(skb, SKB_DATA);
  memory.copy(data, data + length, offset);
  memory.fill(data + offset, 0, length);
  move(skb, SKB_MAC_HEADER, -(<i32>length));
  move(skb, SKB_NETWORK_HEADER, -(<i32>length));
  if (same) store<u32>(skb, load<u32>(skb, SKB_NETWORK_HEADER), SKB_TRANSPORT_HEADER);
  return 0;
}

/** bpf_skb_net_hdr_pop(): the `length` bytes at `offset` go. */
function pop(skb: u32, offset: u32, length: u32): i32 {
  if (!holds(skb, <u64>offset + length)) return -ENOMEM;
  const same = load<u32>(skb, SKB_TRANSPORT_HEADER) == load<u32>(skb, SKB_NETWORK_HEADER);
  const old = load<u32>(skb, SKB_DATA);
  move(skb, SKB_DATA, length);
  skbPullSum(skb, old + offset, length, 0);
  memory.copy(old + length, old, offset);
  move(skb, SKB_MAC_HEADER, length);
  move(skb, SKB_NETWORK_HEADER, length);
  if (same) store<u32>(skb, load<u32>(skb, SKB_NETWORK_HEADER), SKB_TRANSPORT_HEADER);
  return 0;
}

export function bpf_skb_change_proto(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  if (r3 != 0) return errno(EINVAL);
  const from = load<u32>(skb, SK_BUFF_PROTOCOL);
  const to = <u32>r2 & 0xffff;
  let ret: i32 = -ENOTSUPP;
  if (from == ETH_P_IP && to == ETH_P_IPV6) ret = push(skb, macLength(skb), IPV6HDR - IPHDR);
  else if (from == ETH_P_IPV6 && to == ETH_P_IP) ret = pop(skb, macLength(skb), IPV6HDR - IPHDR);
  if (ret == 0) {
    store<u32>(skb, to, SK_BUFF_PROTOCOL);
    skbClearHash(skb);
  }
  skb_sync(skb);
  return <u64>(<i64>ret);
}

export function bpf_skb_change_type(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  // skb_pkt_type_ok(): up to PACKET_OTHERHOST
  if (load<u32>(skb, SK_BUFF_PKT_TYPE) > 3 || <u32>r2 > 3) return errno(EINVAL);
  store<u32>(skb, <u32>r2, SK_BUFF_PKT_TYPE);
  return 0;
}

function grow(skb: u32, offset: u32, length: u32, flags: u64): i32 {
  // The kernel knows no GSO type for a packet of a test run: it is neither TCP nor UDP.
  if (isGso(skb)) return -ENOTSUPP;
  const encap = (flags & ENCAP_L3_MASK) != 0;
  let macLen: u32 = 0;
  const innerMacLen = <u32>(flags >>> ENCAP_L2_SHIFT);
  if (encap) {
    const both = ENCAP_L4_GRE | ENCAP_L4_UDP;
    if ((flags & ENCAP_L3_MASK) == ENCAP_L3_MASK || (flags & both) == both) return -EINVAL;
    if (flags & ENCAP_L2_ETH && innerMacLen < <u32>ETH_HLEN) return -EINVAL;
    if (load<u32>(skb, SKB_FLAGS) & SKB_F_ENCAPSULATION) return -EALREADY;
    macLen = macLength(skb);
    if (innerMacLen > length) return -EINVAL;
  }
  const ret = push(skb, offset, length);
  if (ret < 0 || !encap) return ret;
  store<u32>(skb, load<u32>(skb, SKB_FLAGS) | SKB_F_ENCAPSULATION, SKB_FLAGS);
  const data = load<u32>(skb, SKB_DATA);
  store<u32>(skb, data + macLen, SKB_NETWORK_HEADER);
  if (flags & (ENCAP_L4_GRE | ENCAP_L4_UDP))
    store<u32>(skb, data + macLen + (flags & ENCAP_L3_IPV6 ? IPV6HDR : IPHDR), SKB_TRANSPORT_HEADER);
  const proto = load<u32>(skb, SK_BUFF_PROTOCOL);
  if (proto == ETH_P_IP && flags & ENCAP_L3_IPV6) store<u32>(skb, ETH_P_IPV6, SK_BUFF_PROTOCOL);
  else if (proto == ETH_P_IPV6 && flags & ENCAP_L3_IPV4) store<u32>(skb, ETH_P_IP, SK_BUFF_PROTOCOL);
  return 0;
}

function shrink(skb: u32, offset: u32, length: u32, flags: u64): i32 {
  if (flags & ~(ADJ_ROOM_FIXED_GSO | DECAP_L3_MASK | NO_CSUM_RESET)) return -EINVAL;
  if (isGso(skb)) return -ENOTSUPP;
  const ret = pop(skb, offset, length);
  if (ret < 0) return ret;
  const proto = load<u32>(skb, SK_BUFF_PROTOCOL);
  if (proto == ETH_P_IP && flags & DECAP_L3_IPV6) store<u32>(skb, ETH_P_IPV6, SK_BUFF_PROTOCOL);
  else if (proto == ETH_P_IPV6 && flags & DECAP_L3_IPV4) store<u32>(skb, ETH_P_IP, SK_BUFF_PROTOCOL);
  return 0;
}

export function bpf_skb_adjust_room(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  const flags = r4;
  const diff = <i32>r2;
  const length: u32 = diff < 0 ? -diff : diff;
  if (flags & ~(ADJ_ROOM_MASK | NO_CSUM_RESET)) return errno(EINVAL);
  if (length > 0xfff) return errno(EFAULT);
  const proto = load<u32>(skb, SK_BUFF_PROTOCOL);
  if (proto != ETH_P_IP && proto != ETH_P_IPV6) return errno(ENOTSUPP);
  const base = proto == ETH_P_IP ? IPHDR : IPV6HDR;
  let offset = macLength(skb);
  if (<u32>r3 == BPF_ADJ_ROOM_NET) offset += base;
  else if (<u32>r3 != BPF_ADJ_ROOM_MAC) return errno(ENOTSUPP);
  let least = base;
  if (flags & DECAP_L3_MASK) {
    if (diff >= 0 || (flags & DECAP_L3_MASK) == DECAP_L3_MASK) return errno(EINVAL);
    least = flags & DECAP_L3_IPV4 ? IPHDR : IPV6HDR;
  }
  const current = load<u32>(skb, SKB_TAIL) - load<u32>(skb, SKB_NETWORK_HEADER);
  if (diff < 0 && (length >= current || current - length < least)) return errno(ENOTSUPP);
  if (diff >= 0 && skbLength(skb) + length > <u32>BPF_SKB_MAX_LEN && !isGso(skb)) return errno(ENOTSUPP);
  const ret = diff < 0 ? shrink(skb, offset, length, flags) : grow(skb, offset, length, flags);
  if (ret == 0 && !(flags & NO_CSUM_RESET)) skbResetChecksum(skb);
  skb_sync(skb);
  return <u64>(<i64>ret);
}

export function bpf_skb_change_tail(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  const length = <u32>r2;
  const data = load<u32>(skb, SKB_DATA);
  const transport = load<u32>(skb, SKB_TRANSPORT_HEADER);
  let least = <i32>(load<u32>(skb, SKB_NETWORK_HEADER) - data);
  if (transport != 0 && <i32>(transport - data) > 0) least = <i32>(transport - data);
  if (r3 != 0 || length > <u32>BPF_SKB_MAX_LEN || (least > 0 && length < <u32>least)) return errno(EINVAL);
  if (load<u32>(skb, SKB_FLAGS) & SKB_F_ENCAPSULATION) return errno(ENOTSUPP);
  const old = skbLength(skb);
  if (length > old) {
    if (data + length > load<u32>(skb, SKB_END)) return errno(ENOMEM);
    memory.fill(data + old, 0, length - old);
  } else if (length < old) {
    if (load<u32>(skb, SKB_IP_SUMMED) == CHECKSUM_PARTIAL)
      store<u32>(skb, CHECKSUM_NONE, SKB_IP_SUMMED);
    skbPullSum(skb, data + length, old - length, length);
  }
  store<u32>(skb, data + length, SKB_TAIL);
  if (isGso(skb)) {
    store<u32>(skb, 0, SK_BUFF_GSO_SIZE);
    store<u32>(skb, 0, SK_BUFF_GSO_SEGS);
  }
  skb_sync(skb);
  return 0;
}

export function bpf_skb_change_head(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  const room = <u32>r2;
  const length = <u64>skbLength(skb) + room;
  if (r3 != 0 || (!isGso(skb) && length > <u64>BPF_SKB_MAX_LEN) || length > 0xffffffff) return errno(EINVAL);
  if (!skbHasHeadroom(skb, room)) return errno(ENOMEM);
  move(skb, SKB_DATA, -(<i32>room));
  const data = load<u32>(skb, SKB_DATA);
  memory.fill(data, 0, room);
  store<u32>(skb, data, SKB_MAC_HEADER);
  skb_sync(skb);
  return 0;
}

function isVlan(proto: u32): bool {
  return proto == ETH_P_8021Q || proto == ETH_P_8021AD;
}

/** __vlan_insert_tag(): the tag between the MAC addresses and the rest. */
function insertTag(skb: u32, proto: u32, tci: u32): i32 {
  if (!skbHasHeadroom(skb, VLAN_HLEN)) return -ENOMEM;
  move(skb, SKB_DATA, -(<i32>VLAN_HLEN));
  move(skb, SKB_MAC_HEADER, -(<i32>VLAN_HLEN));
  const data = load<u32>(skb, SKB_DATA);
  memory.copy(data, data + VLAN_HLEN, 12);
  store<u16>(data, proto, 12);
  store<u16>(data, bswap<u16>(<u16>tci), 14);
  return 0;
}

/** __skb_vlan_pop(): the tag leaves the packet; its tci, or a negative errno. */
function removeTag(skb: u32): i32 {
  const data = load<u32>(skb, SKB_DATA);
  if (data != load<u32>(skb, SKB_MAC_HEADER)) return -EINVAL;
  if (!holds(skb, ETH_HLEN + VLAN_HLEN)) return -ENOMEM;
  skbPullSum(skb, data + 12, VLAN_HLEN, 0);
  const tci = <i32>bswap<u16>(load<u16>(data, 14));
  let proto = <u32>load<u16>(data, 16);
  // vlan_set_encap_proto(): a length instead of a type is 802.3.
  if (<u32>bswap<u16>(<u16>proto) < 0x600)
    proto =
      holds(skb, ETH_HLEN + VLAN_HLEN + 2) && load<u16>(data, 18) == 0xffff ? ETH_P_802_3 : ETH_P_802_2;
  memory.copy(data + VLAN_HLEN, data, 12);
  move(skb, SKB_DATA, VLAN_HLEN);
  move(skb, SKB_MAC_HEADER, VLAN_HLEN);
  store<u32>(skb, proto, SK_BUFF_PROTOCOL);
  const least = load<u32>(skb, SKB_DATA) + ETH_HLEN;
  if (load<u32>(skb, SKB_NETWORK_HEADER) < least) store<u32>(skb, least, SKB_NETWORK_HEADER);
  return tci;
}

function setTag(skb: u32, proto: u32, tci: u32): void {
  store<u32>(skb, 1, SK_BUFF_VLAN_PRESENT);
  store<u32>(skb, proto, SK_BUFF_VLAN_PROTO);
  store<u32>(skb, tci, SK_BUFF_VLAN_TCI);
}

export function bpf_skb_vlan_push(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  let proto = <u32>r2 & 0xffff;
  if (!isVlan(proto)) proto = ETH_P_8021Q;
  let ret: i32 = 0;
  if (load<u32>(skb, SK_BUFF_VLAN_PRESENT)) {
    const old = load<u32>(skb, SK_BUFF_VLAN_PROTO);
    if (load<u32>(skb, SKB_DATA) != load<u32>(skb, SKB_MAC_HEADER)) ret = -EINVAL;
    else ret = insertTag(skb, old, load<u32>(skb, SK_BUFF_VLAN_TCI));
    if (ret == 0) {
      store<u32>(skb, old, SK_BUFF_PROTOCOL);
      move(skb, SKB_NETWORK_HEADER, -(<i32>VLAN_HLEN));
      skbPushSum(skb, load<u32>(skb, SKB_DATA) + 12, VLAN_HLEN, 0);
    }
  }
  if (ret == 0) setTag(skb, proto, <u32>r3 & 0xffff);
  skb_sync(skb);
  return <u64>(<i64>ret);
}

export function bpf_skb_vlan_pop(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  let ret: i32 = 0;
  let popped = true;
  if (load<u32>(skb, SK_BUFF_VLAN_PRESENT)) {
    store<u32>(skb, 0, SK_BUFF_VLAN_PRESENT);
    store<u32>(skb, 0, SK_BUFF_VLAN_PROTO);
    store<u32>(skb, 0, SK_BUFF_VLAN_TCI);
  } else if (isVlan(load<u32>(skb, SK_BUFF_PROTOCOL))) {
    ret = removeTag(skb);
    popped = ret >= 0;
  } else popped = false;
  // The next tag of the packet takes the place of the one that the device took off.
  const proto = load<u32>(skb, SK_BUFF_PROTOCOL);
  if (popped && isVlan(proto)) {
    ret = removeTag(skb);
    if (ret >= 0) setTag(skb, proto, ret);
  }
  skb_sync(skb);
  return ret < 0 ? <u64>(<i64>ret) : 0;
}

const INET_ECN_CE: u8 = 3;

/** INET_ECN_set_ce() on the IP header: 1 if it is marked now. */
export function bpf_skb_ecn_set_ce(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  const proto = load<u32>(skb, SK_BUFF_PROTOCOL);
  const at = load<u32>(skb, SKB_NETWORK_HEADER);
  const room = load<u32>(skb, SKB_TAIL) - at;
  if (proto == ETH_P_IP) {
    if (skbLength(skb) < IPHDR || room < IPHDR) return 0;
    const ecn = load<u8>(at, 1) & INET_ECN_CE;
    if (ecn == 0) return 0;
    if (ecn == INET_ECN_CE) return 1;
    store<u8>(at, load<u8>(at, 1) | INET_ECN_CE, 1);
    const add = <u32>bswap<u16>(ecn == 1 ? 0xfffd : 0xfffe);
    const sum = <u32>load<u16>(at, 10) + add;
    store<u16>(at, sum + u32((sum & 0xffff) < add), 10);
    return 1;
  }
  if (proto == ETH_P_IPV6) {
    if (skbLength(skb) < IPV6HDR || room < IPV6HDR) return 0;
    const ecn = (load<u8>(at, 1) >>> 4) & INET_ECN_CE;
    if (ecn == 0) return 0;
    const from = load<u32>(at);
    const to = from | (<u32>INET_ECN_CE << 12);
    store<u32>(at, to);
    if (load<u32>(skb, SKB_IP_SUMMED) == CHECKSUM_COMPLETE)
      store<u32>(skb, csumAdd(csumSub(load<u32>(skb, SKB_CSUM), from), to), SKB_CSUM);
    return 1;
  }
  return 0;
}
