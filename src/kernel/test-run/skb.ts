// bpf_prog_test_run_skb() of net/bpf/test_run.c.
import {
  CHECKSUM_COMPLETE,
  ETH_HLEN,
  PAGE_SIZE,
  SHARED_INFO_SIZE,
  SK_BUFF_CB,
  SK_BUFF_GSO_SEGS,
  SK_BUFF_GSO_SIZE,
  SK_BUFF_HWTSTAMP,
  SK_BUFF_IFINDEX,
  SK_BUFF_INGRESS_IFINDEX,
  SK_BUFF_MARK,
  SK_BUFF_PRIORITY,
  SK_BUFF_SIZE,
  SK_BUFF_TSTAMP,
  SK_BUFF_WIRE_LEN,
  SKB_CSUM,
  SKB_IP_SUMMED,
} from "../../helpers/index.ts";
import { BPF_F_TEST_SKB_CHECKSUM_COMPLETE, EBADMSG, EINVAL, ENODEV } from "../../uapi/index.ts";
import { type AddressSpace, SKB_NETWORK_HEADER, SKB_TAIL } from "../../vm/index.ts";
import type { TestRun } from "../program-type.ts";
import type { SkbBuffer, SkbView } from "../skb-buffer.ts";
import { contextIn, failed, finished, isZero } from "./result.ts";

/** NET_SKB_PAD + NET_IP_ALIGN on x86-64. */
const HEADROOM = 64;
const LOOPBACK = 1;
const GSO_LEGACY_MAX_SIZE = 65536;
const GSO_MAX_SEGS = 65535;

/** What of __sk_buff a caller may set, and reads back: offset and size. gso_size goes in only. */
const MEMBERS: readonly (readonly [number, number])[] = [
  [SK_BUFF_MARK, 4],
  [SK_BUFF_PRIORITY, 4],
  [SK_BUFF_INGRESS_IFINDEX, 4],
  [SK_BUFF_IFINDEX, 4],
  [SK_BUFF_CB, 20],
  [SK_BUFF_TSTAMP, 8],
  [SK_BUFF_WIRE_LEN, 4],
  [SK_BUFF_GSO_SEGS, 4],
  [SK_BUFF_GSO_SIZE, 4],
  [SK_BUFF_HWTSTAMP, 8],
];

/** convert___skb_to_skb() */
function convertIn(space: AddressSpace, skb: number, length: number, given: Uint8Array): number {
  let at = 0;
  for (const [offset, size] of MEMBERS) {
    if (!isZero(given, at, offset)) return -EINVAL;
    at = offset + size;
  }
  if (!isZero(given, at, SK_BUFF_SIZE)) return -EINVAL;
  const view = new DataView(given.buffer, given.byteOffset);
  const wireLen = view.getUint32(SK_BUFF_WIRE_LEN, true);
  if (wireLen !== 0 && (wireLen < length || wireLen > GSO_LEGACY_MAX_SIZE)) return -EINVAL;
  if (view.getUint32(SK_BUFF_GSO_SEGS, true) > GSO_MAX_SEGS) return -EINVAL;
  for (const [offset, size] of MEMBERS)
    if (offset !== SK_BUFF_IFINDEX) space.u8.set(given.subarray(offset, offset + size), skb + offset);
  space.dv.setUint32(skb + SK_BUFF_WIRE_LEN, wireLen || length, true);
  // The kernel keeps 16 bits of each.
  const gsoSize = view.getUint32(SK_BUFF_GSO_SIZE, true) & 0xffff;
  space.dv.setUint32(skb + SK_BUFF_GSO_SIZE, gsoSize, true);
  return 0;
}

/** convert_skb_to___skb() */
function convertOut(space: AddressSpace, skb: number, ctx: Uint8Array): void {
  for (const [offset, size] of MEMBERS)
    if (offset !== SK_BUFF_GSO_SIZE) ctx.set(space.u8.subarray(skb + offset, skb + offset + size), offset);
}

/** skb_checksum() from the network header on. */
function networkSum(space: AddressSpace, skb: number): number {
  const from = space.u32[(skb + SKB_NETWORK_HEADER) >>> 2]!;
  return space.core["csum_partial"]!(from, space.u32[(skb + SKB_TAIL) >>> 2]! - from, 0) >>> 0;
}

function fold(sum: number): number {
  const folded = (sum & 0xffff) + (sum >>> 16);
  return ((folded & 0xffff) + (folded >>> 16)) & 0xffff;
}

/** The test run of a program type that sees packets as `view` says. */
export function skbTestRun(view: SkbView): TestRun {
  return (env, program, attr) => {
    const flags = attr.flags ?? 0;
    const frame = attr.data_in ?? new Uint8Array(0);
    if (flags & ~BPF_F_TEST_SKB_CHECKSUM_COMPLETE || attr.cpu || attr.batch_size) return failed(-EINVAL);
    if (frame.length < ETH_HLEN || frame.length > PAGE_SIZE - HEADROOM - SHARED_INFO_SIZE)
      return failed(-EINVAL);
    const ctx = contextIn(attr, SK_BUFF_SIZE);
    if (typeof ctx === "number") return failed(ctx);
    const asked = ctx === undefined ? 0 : new DataView(ctx.buffer).getUint32(SK_BUFF_IFINDEX, true);
    const ifindex = Math.max(asked, LOOPBACK);
    if (env.device(ifindex) === undefined) return failed(-ENODEV);
    return env.withSkb((skb: SkbBuffer) => {
      const { space } = env;
      let err = skb.place(frame, view, ifindex);
      if (err === 0 && ctx !== undefined) err = convertIn(space, skb.ctx, skb.length, ctx);
      if (err !== 0) return failed(err);
      const complete = (flags & BPF_F_TEST_SKB_CHECKSUM_COMPLETE) !== 0;
      if (complete) {
        space.u32[(skb.ctx + SKB_CSUM) >>> 2] = networkSum(space, skb.ctx);
        space.u32[(skb.ctx + SKB_IP_SUMMED) >>> 2] = CHECKSUM_COMPLETE;
      }
      const { retval, duration } = env.runner.repeat(program, skb.ctx, attr.repeat ?? 0);
      if (complete) {
        const kept = space.u32[(skb.ctx + SKB_CSUM) >>> 2]!;
        if (fold(kept) !== fold(networkSum(space, skb.ctx))) return failed(-EBADMSG);
      }
      if (ctx !== undefined) convertOut(space, skb.ctx, ctx);
      return finished(attr, { retval, duration, data: skb.frame(view), ctx });
    });
  };
}
