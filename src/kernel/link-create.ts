// BPF_LINK_CREATE: which program goes to which attach point (link_create() and bpf_prog_attach_check_attach_type() of
// kernel/bpf/syscall.c).
import type { LinkCreateAttr } from "../backend/index.ts";
import type { NetDevice } from "../helpers/index.ts";
import * as uapi from "../uapi/index.ts";
import type { AttachPoint, Link } from "./link.ts";
import type { Program } from "./program.ts";

/** What creating links needs of its kernel. */
export interface LinkHost {
  device(ifindex: number): NetDevice | undefined;
  links(): Iterable<Link>;
}

export interface LinkPlan {
  /** BPF_LINK_TYPE_* */
  readonly type: number;
  readonly point: AttachPoint;
}

/** Attach types of program types that take any of a few. */
const ATTACH_TYPES: Readonly<Record<number, readonly number[]>> = {
  [uapi.BPF_PROG_TYPE_XDP]: [uapi.BPF_XDP],
  [uapi.BPF_PROG_TYPE_SCHED_CLS]: [
    uapi.BPF_TCX_INGRESS,
    uapi.BPF_TCX_EGRESS,
    uapi.BPF_NETKIT_PRIMARY,
    uapi.BPF_NETKIT_PEER,
  ],
  [uapi.BPF_PROG_TYPE_CGROUP_SKB]: [uapi.BPF_CGROUP_INET_INGRESS, uapi.BPF_CGROUP_INET_EGRESS],
  [uapi.BPF_PROG_TYPE_SOCK_OPS]: [uapi.BPF_CGROUP_SOCK_OPS],
  [uapi.BPF_PROG_TYPE_CGROUP_DEVICE]: [uapi.BPF_CGROUP_DEVICE],
  [uapi.BPF_PROG_TYPE_CGROUP_SYSCTL]: [uapi.BPF_CGROUP_SYSCTL],
  [uapi.BPF_PROG_TYPE_FLOW_DISSECTOR]: [uapi.BPF_FLOW_DISSECTOR],
  [uapi.BPF_PROG_TYPE_SK_LOOKUP]: [uapi.BPF_SK_LOOKUP],
  [uapi.BPF_PROG_TYPE_NETFILTER]: [uapi.BPF_NETFILTER],
  [uapi.BPF_PROG_TYPE_PERF_EVENT]: [uapi.BPF_PERF_EVENT],
  [uapi.BPF_PROG_TYPE_TRACEPOINT]: [uapi.BPF_PERF_EVENT],
  [uapi.BPF_PROG_TYPE_KPROBE]: [
    uapi.BPF_PERF_EVENT,
    uapi.BPF_TRACE_KPROBE_MULTI,
    uapi.BPF_TRACE_KPROBE_SESSION,
    uapi.BPF_TRACE_UPROBE_MULTI,
  ],
  // BPF_RAW_TRACEPOINT_OPEN, in the one command that there is here.
  [uapi.BPF_PROG_TYPE_RAW_TRACEPOINT]: [uapi.BPF_TRACE_RAW_TP],
  [uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE]: [uapi.BPF_TRACE_RAW_TP],
};

/** Program types whose expected_attach_type says all. */
const AS_EXPECTED: ReadonlySet<number> = new Set([
  uapi.BPF_PROG_TYPE_CGROUP_SOCK,
  uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
  uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT,
  uapi.BPF_PROG_TYPE_TRACING,
  uapi.BPF_PROG_TYPE_LSM,
]);

const CGROUP_TYPES: ReadonlySet<number> = new Set([
  uapi.BPF_PROG_TYPE_CGROUP_SKB,
  uapi.BPF_PROG_TYPE_CGROUP_SOCK,
  uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
  uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT,
  uapi.BPF_PROG_TYPE_CGROUP_DEVICE,
  uapi.BPF_PROG_TYPE_CGROUP_SYSCTL,
  uapi.BPF_PROG_TYPE_SOCK_OPS,
]);

function linkType(program: Program, attachType: number): number {
  if (CGROUP_TYPES.has(program.type)) return uapi.BPF_LINK_TYPE_CGROUP;
  switch (program.type) {
    case uapi.BPF_PROG_TYPE_XDP:
      return uapi.BPF_LINK_TYPE_XDP;
    case uapi.BPF_PROG_TYPE_SCHED_CLS:
      return attachType === uapi.BPF_TCX_INGRESS || attachType === uapi.BPF_TCX_EGRESS
        ? uapi.BPF_LINK_TYPE_TCX
        : uapi.BPF_LINK_TYPE_NETKIT;
    case uapi.BPF_PROG_TYPE_FLOW_DISSECTOR:
    case uapi.BPF_PROG_TYPE_SK_LOOKUP:
      return uapi.BPF_LINK_TYPE_NETNS;
    case uapi.BPF_PROG_TYPE_NETFILTER:
      return uapi.BPF_LINK_TYPE_NETFILTER;
    case uapi.BPF_PROG_TYPE_RAW_TRACEPOINT:
    case uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
      return uapi.BPF_LINK_TYPE_RAW_TRACEPOINT;
    case uapi.BPF_PROG_TYPE_TRACING:
    case uapi.BPF_PROG_TYPE_LSM:
      return uapi.BPF_LINK_TYPE_TRACING;
    default:
      return uapi.BPF_LINK_TYPE_PERF_EVENT;
  }
}

/** Where the link goes, or a negative errno. */
export function planLink(host: LinkHost, program: Program, attr: LinkCreateAttr): LinkPlan | number {
  const { attach_type: attachType, target_fd: target } = attr;
  const allowed = AS_EXPECTED.has(program.type)
    ? attachType === program.expectedAttachType
    : ATTACH_TYPES[program.type]?.includes(attachType) === true;
  if (!allowed) return -uapi.EINVAL;
  if (attr.flags) return -uapi.EINVAL;
  const type = linkType(program, attachType);
  const point: AttachPoint = { attachType, target };
  if (type === uapi.BPF_LINK_TYPE_XDP) {
    if (host.device(target) === undefined) return -uapi.EINVAL;
    // One program a device.
    for (const link of host.links())
      if (link.type === type && link.program !== undefined && link.point.target === target)
        return -uapi.EBUSY;
  } else if (type === uapi.BPF_LINK_TYPE_TCX || type === uapi.BPF_LINK_TYPE_NETKIT) {
    if (host.device(target) === undefined) return -uapi.ENODEV;
  } else if (type === uapi.BPF_LINK_TYPE_CGROUP && target <= 0) return -uapi.EBADF;
  return { type, point };
}

/** Links that BPF_LINK_DETACH takes off their attach point while they live on. */
export const DETACHABLE: ReadonlySet<number> = new Set([
  uapi.BPF_LINK_TYPE_XDP,
  uapi.BPF_LINK_TYPE_CGROUP,
  uapi.BPF_LINK_TYPE_NETNS,
  uapi.BPF_LINK_TYPE_TCX,
  uapi.BPF_LINK_TYPE_NETKIT,
]);
