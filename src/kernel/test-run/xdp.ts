// bpf_prog_test_run_xdp() of net/bpf/test_run.c.
import {
  ETH_HLEN,
  XDP_FRAME_STRUCT_SIZE,
  XDP_MD_DATA,
  XDP_MD_DATA_END,
  XDP_MD_DATA_META,
  XDP_MD_EGRESS_IFINDEX,
  XDP_MD_INGRESS_IFINDEX,
  XDP_MD_RX_QUEUE_INDEX,
  XDP_MD_SIZE,
  XDP_PACKET_HEADROOM,
} from "../../helpers/index.ts";
import {
  BPF_F_TEST_XDP_LIVE_FRAMES,
  BPF_XDP_CPUMAP,
  BPF_XDP_DEVMAP,
  EINVAL,
  ENODEV,
  ENOTSUPP,
} from "../../uapi/index.ts";
import type { TestRun, TestRunEnv } from "../program-type.ts";
import { maxLinear } from "../xdp-buffer.ts";
import { contextIn, failed, finished } from "./result.ts";

const LOOPBACK = 1;
/** xdp_metalen_invalid(): what a u8 counts, rounded down to words. */
const MAX_META = 252;

interface Receiver {
  readonly ifindex: number;
  readonly queue: number;
}

/** xdp_convert_md_to_buff(): where the packet came in, or a negative errno. */
function receiver(env: TestRunEnv, md: DataView | undefined): Receiver | number {
  if (md === undefined) return { ifindex: LOOPBACK, queue: 0 };
  const ifindex = md.getUint32(XDP_MD_INGRESS_IFINDEX, true);
  const queue = md.getUint32(XDP_MD_RX_QUEUE_INDEX, true);
  if (md.getUint32(XDP_MD_EGRESS_IFINDEX, true) !== 0) return -EINVAL;
  if (ifindex === 0) return queue === 0 ? { ifindex: LOOPBACK, queue } : -EINVAL;
  const device = env.device(ifindex);
  if (device === undefined) return -ENODEV;
  return queue < device.rxQueues ? { ifindex, queue } : -EINVAL;
}

export const xdpTestRun: TestRun = (env, program, attr) => {
  const data = attr.data_in ?? new Uint8Array(0);
  const flags = attr.flags ?? 0;
  if (program.expectedAttachType === BPF_XDP_DEVMAP || program.expectedAttachType === BPF_XDP_CPUMAP)
    return failed(-EINVAL);
  if (flags & ~BPF_F_TEST_XDP_LIVE_FRAMES) return failed(-EINVAL);
  // Live frames go to real devices.
  if (flags & BPF_F_TEST_XDP_LIVE_FRAMES) return failed(-ENOTSUPP);
  if (attr.batch_size) return failed(-EINVAL);
  const ctx = contextIn(attr, XDP_MD_SIZE);
  if (typeof ctx === "number") return failed(ctx);
  const md = ctx && new DataView(ctx.buffer);
  let meta = 0;
  let linear = data.length;
  if (md !== undefined) {
    meta = md.getUint32(XDP_MD_DATA, true);
    linear = md.getUint32(XDP_MD_DATA_END, true);
    if (md.getUint32(XDP_MD_DATA_META, true) !== 0 || linear > data.length || meta > linear)
      return failed(-EINVAL);
    if (meta & 3 || meta > MAX_META || meta > XDP_PACKET_HEADROOM - XDP_FRAME_STRUCT_SIZE)
      return failed(-EINVAL);
  }
  linear = Math.min(linear, maxLinear(XDP_PACKET_HEADROOM - meta));
  if (data.length - meta < ETH_HLEN) return failed(-EINVAL);
  const from = receiver(env, md);
  if (typeof from === "number") return failed(from);
  return env.withXdp((xdp) => {
    const err = xdp.place(data, meta, linear, from.ifindex, from.queue);
    if (err !== 0) return failed(err);
    const { retval, duration } = env.runner.repeat(program, xdp.ctx, attr.repeat ?? 0);
    const out = xdp.packet(true);
    if (md !== undefined) {
      md.setUint32(XDP_MD_DATA, xdp.meta, true);
      md.setUint32(XDP_MD_DATA_END, xdp.meta + xdp.linear, true);
    }
    return finished(attr, { retval, duration, data: out, fragsSize: xdp.fragsSize, ctx });
  });
};
