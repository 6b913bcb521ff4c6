// XDP buffers and the helpers on them (net/core/filter.c).
import {
  ETH_HLEN,
  PAGE_SIZE,
  SHARED_INFO_SIZE,
  XDP_DATA,
  XDP_DATA_END,
  XDP_DATA_HARD_END,
  XDP_DATA_HARD_START,
  XDP_DATA_META,
  XDP_FRAGS,
  XDP_FRAGS_SIZE,
  XDP_FRAME_STRUCT_SIZE,
  XDP_MD_DATA,
  XDP_MD_DATA_END,
  XDP_MD_DATA_META,
  XDP_MD_EGRESS_IFINDEX,
  XDP_MD_INGRESS_IFINDEX,
  XDP_MD_RX_QUEUE_INDEX,
  XDP_NR_FRAGS,
  XDP_PACKET_HEADROOM,
  XDP_PAINTED,
  XDP_PAINTED_SIZE,
} from "../../src/helpers/net-layout";
import { PERM_NONE, PERM_RW, paint } from "../shadow";
import { context, errno, readable, writable } from "./access";

const EACCES = 13;
const EFAULT = 14;
const EINVAL = 22;

/** Tells the program where its packet is now. */
export function xdp_sync(xdp: u32): void {
  const meta = load<u32>(xdp, XDP_DATA_META);
  const end = load<u32>(xdp, XDP_DATA_END);
  store<u32>(xdp, load<u32>(xdp, XDP_DATA), XDP_MD_DATA);
  store<u32>(xdp, end, XDP_MD_DATA_END);
  store<u32>(xdp, meta, XDP_MD_DATA_META);
  if (load<u32>(xdp, XDP_PAINTED) == meta && load<u32>(xdp, XDP_PAINTED_SIZE) == end - meta) return;
  paint(load<u32>(xdp, XDP_PAINTED), load<u32>(xdp, XDP_PAINTED_SIZE), PERM_NONE);
  store<u32>(xdp, meta, XDP_PAINTED);
  store<u32>(xdp, end - meta, XDP_PAINTED_SIZE);
  paint(meta, end - meta, PERM_RW);
}

/**
 * The bytes behind the headroom of the frame at `frame` become a packet without fragments: `linear` bytes, the first
 * `meta` of which are metadata that ends where the headroom does.
 */
export function xdp_place(xdp: u32, frame: u32, meta: u32, linear: u32, ifindex: u32, queue: u32): void {
  const data = frame + XDP_PACKET_HEADROOM;
  memory.fill(frame, 0, XDP_PACKET_HEADROOM - meta);
  store<u32>(xdp, ifindex, XDP_MD_INGRESS_IFINDEX);
  store<u32>(xdp, queue, XDP_MD_RX_QUEUE_INDEX);
  store<u32>(xdp, 0, XDP_MD_EGRESS_IFINDEX);
  store<u32>(xdp, data, XDP_DATA);
  store<u32>(xdp, data - meta + linear, XDP_DATA_END);
  store<u32>(xdp, data - meta, XDP_DATA_META);
  store<u32>(xdp, frame, XDP_DATA_HARD_START);
  store<u32>(xdp, frame + max<u32>(PAGE_SIZE - SHARED_INFO_SIZE, XDP_PACKET_HEADROOM + linear), XDP_DATA_HARD_END);
  store<u32>(xdp, 0, XDP_NR_FRAGS);
  store<u32>(xdp, 0, XDP_FRAGS_SIZE);
  xdp_sync(xdp);
}

// @ts-ignore: decorator
@inline
function linear(xdp: u32): u32 {
  return load<u32>(xdp, XDP_DATA_END) - load<u32>(xdp, XDP_DATA);
}

// @ts-ignore: decorator
@inline
export function xdpLength(xdp: u32): u32 {
  return linear(xdp) + load<u32>(xdp, XDP_FRAGS_SIZE);
}

export function bpf_xdp_get_buff_len(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return xdpLength(context(r1));
}

export function bpf_xdp_adjust_head(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const xdp = context(r1);
  const offset = <i32>r2;
  const meta = load<u32>(xdp, XDP_DATA_META);
  const old = load<u32>(xdp, XDP_DATA);
  const metaLength = old - meta;
  const data = <i64>old + offset;
  if (
    data < <i64>load<u32>(xdp, XDP_DATA_HARD_START) + XDP_FRAME_STRUCT_SIZE + metaLength ||
    data > <i64>load<u32>(xdp, XDP_DATA_END) - ETH_HLEN
  )
    return errno(EINVAL);
  if (metaLength != 0) memory.copy(meta + offset, meta, metaLength);
  store<u32>(xdp, meta + offset, XDP_DATA_META);
  store<u32>(xdp, <u32>data, XDP_DATA);
  xdp_sync(xdp);
  return 0;
}

function frag(xdp: u32, i: u32): u32 {
  return xdp + XDP_FRAGS + (i << 3);
}

function shrinkFrags(xdp: u32, by: u32): u64 {
  if (<i32>by > <i32>(xdpLength(xdp) - ETH_HLEN)) return errno(EINVAL);
  let left = by;
  let count = load<u32>(xdp, XDP_NR_FRAGS);
  let freed: u32 = 0;
  while (count > 0 && left > 0) {
    const f = frag(xdp, count - 1);
    const size = load<u32>(f, 4);
    const cut = min(left, size);
    left -= cut;
    freed += cut;
    if (cut < size) {
      store<u32>(f, size - cut, 4);
      break;
    }
    count--;
  }
  store<u32>(xdp, count, XDP_NR_FRAGS);
  store<u32>(xdp, load<u32>(xdp, XDP_FRAGS_SIZE) - freed, XDP_FRAGS_SIZE);
  if (count == 0) store<u32>(xdp, load<u32>(xdp, XDP_DATA_END) - left, XDP_DATA_END);
  return 0;
}

function growFrags(xdp: u32, by: u32): u64 {
  const f = frag(xdp, load<u32>(xdp, XDP_NR_FRAGS) - 1);
  const size = load<u32>(f, 4);
  if (by > <u32>PAGE_SIZE - size) return errno(EINVAL);
  memory.fill(load<u32>(f) + size, 0, by);
  store<u32>(f, size + by, 4);
  store<u32>(xdp, load<u32>(xdp, XDP_FRAGS_SIZE) + by, XDP_FRAGS_SIZE);
  return 0;
}

export function bpf_xdp_adjust_tail(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const xdp = context(r1);
  const offset = <i32>r2;
  if (load<u32>(xdp, XDP_NR_FRAGS) != 0) {
    const ret = offset < 0 ? shrinkFrags(xdp, -offset) : growFrags(xdp, offset);
    xdp_sync(xdp);
    return ret;
  }
  const old = load<u32>(xdp, XDP_DATA_END);
  const end = <i64>old + offset;
  if (end > <i64>load<u32>(xdp, XDP_DATA_HARD_END) || end < <i64>load<u32>(xdp, XDP_DATA) + ETH_HLEN)
    return errno(EINVAL);
  if (offset > 0) memory.fill(old, 0, offset);
  store<u32>(xdp, <u32>end, XDP_DATA_END);
  xdp_sync(xdp);
  return 0;
}

export function bpf_xdp_adjust_meta(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const xdp = context(r1);
  const data = load<u32>(xdp, XDP_DATA);
  const meta = <i64>load<u32>(xdp, XDP_DATA_META) + <i32>r2;
  if (meta < <i64>load<u32>(xdp, XDP_DATA_HARD_START) + XDP_FRAME_STRUCT_SIZE || meta > <i64>data)
    return errno(EINVAL);
  // xdp_metalen_invalid(): whole words, at most what a u8 counts, rounded down.
  const length = data - <u32>meta;
  if (length & 3 || length > 252) return errno(EACCES);
  store<u32>(xdp, <u32>meta, XDP_DATA_META);
  xdp_sync(xdp);
  return 0;
}

/** bpf_xdp_copy_buf(): between `at` and the packet, whatever fragments the range covers. */
export function xdpCopy(xdp: u32, offset: u32, at: u32, length: u32, store_: bool): void {
  const count = load<u32>(xdp, XDP_NR_FRAGS);
  let from = load<u32>(xdp, XDP_DATA);
  let size = linear(xdp);
  let i: u32 = 0;
  while (length != 0) {
    if (offset < size) {
      const n = min(length, size - offset);
      if (store_) memory.copy(from + offset, at, n);
      else memory.copy(at, from + offset, n);
      at += n;
      length -= n;
      offset = 0;
    } else offset -= size;
    if (i == count) return;
    from = load<u32>(frag(xdp, i));
    size = load<u32>(frag(xdp, i), 4);
    i++;
  }
}

function rangeErrno(xdp: u32, offset: u32, length: u32): u64 {
  if (offset > 0xffff || length > 0xffff) return errno(EFAULT);
  return offset + length > xdpLength(xdp) ? errno(EINVAL) : 0;
}

export function bpf_xdp_load_bytes(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const xdp = context(r1);
  const to = writable(r3, <u32>r4);
  const err = rangeErrno(xdp, <u32>r2, <u32>r4);
  if (err == 0) xdpCopy(xdp, <u32>r2, to, <u32>r4, false);
  return err;
}

export function bpf_xdp_store_bytes(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const xdp = context(r1);
  const from = readable(r3, <u32>r4);
  const err = rangeErrno(xdp, <u32>r2, <u32>r4);
  if (err == 0) xdpCopy(xdp, <u32>r2, from, <u32>r4, true);
  return err;
}
