// Checksum helpers (net/core/filter.c, net/core/utils.c).
import {
  CHECKSUM_COMPLETE,
  CHECKSUM_NONE,
  CHECKSUM_PARTIAL,
  CHECKSUM_UNNECESSARY,
  SKB_CSUM,
  SKB_CSUM_LEVEL,
  SKB_IP_SUMMED,
} from "../../src/helpers/net-layout";
import { SKB_DATA } from "../../src/vm/layout";
import { context, errno, readable } from "./access";
import {
  csumAdd,
  csumFold,
  csumFrom32to16,
  csumPartial,
  csumReplace2,
  csumReplace4,
  csumReplaceByDiff,
  csumSub,
} from "./checksum";
import { holds } from "./skb";

const EACCES = 13;
const EFAULT = 14;
const EINVAL = 22;
const ENOTSUPP = 524;

const BPF_F_HDR_FIELD_MASK: u64 = 0xf;
const BPF_F_PSEUDO_HDR: u64 = 1 << 4;
const BPF_F_MARK_MANGLED_0: u64 = 1 << 5;
const BPF_F_MARK_ENFORCE: u64 = 1 << 6;
const BPF_F_IPV6: u64 = 1 << 7;
const CSUM_MANGLED_0: u16 = 0xffff;
const SKB_MAX_CSUM_LEVEL: u32 = 3;

/** The checksum that lies `offset` bytes into the packet; 0: the errno is -EFAULT. */
function sumAt(skb: u32, offset: u32): u32 {
  if (offset > 0xffff || offset & 1) return 0;
  return holds(skb, offset + 2) ? load<u32>(skb, SKB_DATA) + offset : 0;
}

export function bpf_l3_csum_replace(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  if (r5 & ~BPF_F_HDR_FIELD_MASK) return errno(EINVAL);
  const at = sumAt(skb, <u32>r2);
  if (at == 0) return errno(EFAULT);
  const field = <u32>(r5 & BPF_F_HDR_FIELD_MASK);
  if (field == 4) csumReplace4(at, <u32>r3, <u32>r4);
  else if (field == 2) csumReplace2(at, <u32>r3, <u32>r4);
  else if (field == 0 && r3 == 0) csumReplaceByDiff(at, <u32>r4);
  else return errno(EINVAL);
  return 0;
}

function protoReplace4(at: u32, skb: u32, from: u32, to: u32, pseudo: bool): void {
  const summed = load<u32>(skb, SKB_IP_SUMMED);
  if (summed == CHECKSUM_PARTIAL) {
    if (pseudo) store<u16>(at, ~csumFold(csumAdd(csumSub(load<u16>(at), from), to)));
    return;
  }
  csumReplace4(at, from, to);
  if (summed == CHECKSUM_COMPLETE && pseudo)
    store<u32>(skb, ~csumAdd(csumSub(~load<u32>(skb, SKB_CSUM), from), to), SKB_CSUM);
}

function protoReplaceByDiff(at: u32, skb: u32, diff: u32, pseudo: bool, ipv6: bool): void {
  const summed = load<u32>(skb, SKB_IP_SUMMED);
  if (summed == CHECKSUM_PARTIAL) {
    if (pseudo) store<u16>(at, ~csumFold(csumAdd(diff, load<u16>(at))));
    return;
  }
  csumReplaceByDiff(at, diff);
  if (summed == CHECKSUM_COMPLETE && pseudo && !ipv6)
    store<u32>(skb, ~csumSub(diff, load<u32>(skb, SKB_CSUM)), SKB_CSUM);
}

export function bpf_l4_csum_replace(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  const pseudo = (r5 & BPF_F_PSEUDO_HDR) != 0;
  const mangled = (r5 & BPF_F_MARK_MANGLED_0) != 0;
  if (
    r5 &
    ~(BPF_F_MARK_MANGLED_0 | BPF_F_MARK_ENFORCE | BPF_F_PSEUDO_HDR | BPF_F_HDR_FIELD_MASK | BPF_F_IPV6)
  )
    return errno(EINVAL);
  const at = sumAt(skb, <u32>r2);
  if (at == 0) return errno(EFAULT);
  if (mangled && !(r5 & BPF_F_MARK_ENFORCE) && load<u16>(at) == 0) return 0;
  const field = <u32>(r5 & BPF_F_HDR_FIELD_MASK);
  // inet_proto_csum_replace2() differs from the 4-byte one in its types only.
  if (field == 4) protoReplace4(at, skb, <u32>r3, <u32>r4, pseudo);
  else if (field == 2) protoReplace4(at, skb, <u32>r3 & 0xffff, <u32>r4 & 0xffff, pseudo);
  else if (field == 0 && r3 == 0) protoReplaceByDiff(at, skb, <u32>r4, pseudo, (r5 & BPF_F_IPV6) != 0);
  else return errno(EINVAL);
  if (mangled && load<u16>(at) == 0) store<u16>(at, CSUM_MANGLED_0);
  return 0;
}

/** As Linux 6.13 and later compute it on every architecture: of any size, the result folded to 16 bits. */
export function bpf_csum_diff(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const fromSize = <u32>r2;
  const toSize = <u32>r4;
  const from = readable(r1, fromSize);
  const to = readable(r3, toSize);
  let sum = <u32>r5;
  if (fromSize != 0 && toSize != 0)
    sum = csumSub(csumPartial(to, toSize, sum), csumPartial(from, fromSize, 0));
  else if (toSize != 0) sum = csumPartial(to, toSize, sum);
  else if (fromSize != 0) sum = ~csumPartial(from, fromSize, ~sum);
  return csumFrom32to16(sum);
}

export function bpf_csum_update(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  if (load<u32>(skb, SKB_IP_SUMMED) != CHECKSUM_COMPLETE) return errno(ENOTSUPP);
  const sum = csumAdd(load<u32>(skb, SKB_CSUM), <u32>r2);
  store<u32>(skb, sum, SKB_CSUM);
  return sum;
}

/** __skb_reset_checksum_unnecessary() */
export function skbResetChecksum(skb: u32): void {
  if (load<u32>(skb, SKB_IP_SUMMED) != CHECKSUM_UNNECESSARY) return;
  store<u32>(skb, CHECKSUM_NONE, SKB_IP_SUMMED);
  store<u32>(skb, 0, SKB_CSUM_LEVEL);
}

export function bpf_csum_level(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const skb = context(r1);
  const summed = load<u32>(skb, SKB_IP_SUMMED);
  const level = load<u32>(skb, SKB_CSUM_LEVEL);
  if (r2 == 0) return summed == CHECKSUM_UNNECESSARY ? level : errno(EACCES);
  if (r2 == 1) {
    if (summed == CHECKSUM_UNNECESSARY) {
      if (level < SKB_MAX_CSUM_LEVEL) store<u32>(skb, level + 1, SKB_CSUM_LEVEL);
    } else if (summed == CHECKSUM_NONE) {
      store<u32>(skb, 0, SKB_CSUM_LEVEL);
      store<u32>(skb, CHECKSUM_UNNECESSARY, SKB_IP_SUMMED);
    }
  } else if (r2 == 2) {
    if (summed == CHECKSUM_UNNECESSARY) {
      if (level == 0) store<u32>(skb, CHECKSUM_NONE, SKB_IP_SUMMED);
      else store<u32>(skb, level - 1, SKB_CSUM_LEVEL);
    }
  } else if (r2 == 3) skbResetChecksum(skb);
  else return errno(EINVAL);
  return 0;
}

/** csum_partial() for the kernel side: the sum of `size` bytes at `at`. */
export function csum_partial(at: u32, size: u32, seed: u32): u32 {
  return csumPartial(at, size, seed);
}
