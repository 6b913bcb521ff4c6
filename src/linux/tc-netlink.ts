// A tc filter by rtnetlink, for kernels without tcx (before Linux 6.6): a clsact qdisc and a direct-action bpf filter in it
// (net/sched/sch_ingress.c, cls_bpf.c).
import { EEXIST } from "../uapi/index.ts";
import type { Syscalls } from "./syscall.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_ROUTE = 0;
const NLMSG_ERROR = 2;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;
const RTM_NEWQDISC = 36;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const TC_H_CLSACT = 0xfffffff1;
const CLSACT_HANDLE = 0xffff0000;
const MINOR = { ingress: 0xfff2, egress: 0xfff3 } as const;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const TCA_BPF_FLAG_ACT_DIRECT = 1;
const ETH_P_ALL = 3;
/** Where filters of ours stand: before those that the kernel numbers by itself (from 49152 down). */
const PRIORITY = 1;

function align(n: number): number {
  return (n + 3) & ~3;
}

function attribute(type: number, value: Uint8Array): Uint8Array {
  const out = new Uint8Array(align(4 + value.length));
  const view = new DataView(out.buffer);
  view.setUint16(0, 4 + value.length, true);
  view.setUint16(2, type, true);
  out.set(value, 4);
  return out;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`);
const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value >>> 0).buffer);

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

interface TcMessage {
  readonly type: number;
  readonly flags: number;
  readonly ifindex: number;
  readonly handle: number;
  readonly parent: number;
  readonly info: number;
  readonly attributes: Uint8Array;
}

/** struct nlmsghdr, struct tcmsg, attributes. */
function message(m: TcMessage): Uint8Array {
  const out = new Uint8Array(36 + m.attributes.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, out.length, true);
  view.setUint16(4, m.type, true);
  view.setUint16(6, NLM_F_REQUEST | NLM_F_ACK | m.flags, true);
  view.setUint32(8, 1, true);
  view.setInt32(20, m.ifindex, true);
  view.setUint32(24, m.handle, true);
  view.setUint32(28, m.parent, true);
  view.setUint32(32, m.info, true);
  out.set(m.attributes, 36);
  return out;
}

/** One request and its acknowledgement: 0 or a negative errno. */
function request(sys: Syscalls, m: TcMessage): number {
  const fd = sys.socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  if (fd < 0) return fd;
  try {
    const sent = sys.write(fd, message(m));
    if (sent < 0) return sent;
    const answer = new Uint8Array(4096);
    const n = sys.read(fd, answer);
    if (n < 0) return n;
    const view = new DataView(answer.buffer);
    return view.getUint16(4, true) === NLMSG_ERROR ? view.getInt32(16, true) : 0;
  } finally {
    sys.close(fd);
  }
}

/** What takes the filter off again, or a negative errno. The clsact qdisc stays: others may use it. */
export function attachTcFilter(
  sys: Syscalls,
  progFd: number,
  ifindex: number,
  direction: "ingress" | "egress",
): (() => void) | number {
  const qdisc = request(sys, {
    type: RTM_NEWQDISC,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    ifindex,
    handle: CLSACT_HANDLE,
    parent: TC_H_CLSACT,
    info: 0,
    attributes: attribute(TCA_KIND, text("clsact")),
  });
  if (qdisc < 0 && qdisc !== -EEXIST) return qdisc;
  const protocol = ((ETH_P_ALL & 0xff) << 8) | (ETH_P_ALL >> 8);
  const at = { ifindex, parent: (CLSACT_HANDLE | MINOR[direction]) >>> 0 };
  for (let handle = 1; ; handle++) {
    const filter = { ...at, handle, info: ((PRIORITY << 16) | protocol) >>> 0 };
    const err = request(sys, {
      ...filter,
      type: RTM_NEWTFILTER,
      flags: NLM_F_CREATE | NLM_F_EXCL,
      attributes: concat(
        attribute(TCA_KIND, text("bpf")),
        attribute(
          TCA_OPTIONS,
          concat(
            attribute(TCA_BPF_FD, u32(progFd)),
            attribute(TCA_BPF_NAME, text("tsbpf")),
            attribute(TCA_BPF_FLAGS, u32(TCA_BPF_FLAG_ACT_DIRECT)),
          ),
        ),
      ),
    });
    // Another filter has the handle.
    if (err === -EEXIST && handle < 1024) continue;
    if (err < 0) return err;
    return () =>
      void request(sys, {
        ...filter,
        type: RTM_DELTFILTER,
        flags: 0,
        attributes: attribute(TCA_KIND, text("bpf")),
      });
  }
}
