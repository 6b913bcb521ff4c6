// The socket buffer and the helpers that read and write it (net/core/filter.c). Packets are linear.
import {
  BPF_SKB_MAX_LEN,
  CHECKSUM_COMPLETE,
  SKB_CSUM,
  SKB_F_DIRECT_WRITE,
  SKB_FLAGS,
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
  SK_BUFF_HASH,
  SK_BUFF_LEN,
} from "../../src/helpers/net-layout";
import { SKB_DATA, SKB_MAC_HEADER, SKB_NETWORK_HEADER, SKB_TAIL } from "../../src/vm/layout";
import { PERM_NONE, PERM_R, PERM_RW, paint } from "../shadow";
import { context, errno, readable, writable } from "./access";
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
