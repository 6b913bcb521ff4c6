/**
 * Attaches a program where its section's name says, or where the options say (bpf_program__attach and its sisters of
 * tools/lib/bpf/libbpf.c).
 */
import type { Backend, LinkCreateAttr, LinkPosition, PerfEventSpec } from "../backend/index.ts";
import { BackendError, LoadError, UnsupportedError } from "../diag/index.ts";
import * as uapi from "../uapi/index.ts";
import { BpfLink } from "./bpf-link.ts";
import { matchingFunctions, uprobeOffset } from "./probe-targets.ts";
import type { ProgramSpec } from "./spec.ts";

export interface AttachOptions {
  /**
   * XDP, tc, netkit: an ifindex. cgroup programs: an fd of the cgroup's folder. sk_lookup, flow dissector: an fd of the
   * network namespace. sk_skb, sk_msg: a map's fd. perf_event: a perf event's fd. freplace: the target program's fd.
   */
  readonly target?: number;
  /** What the program reads by bpf_get_attach_cookie(). */
  readonly cookie?: bigint;
  /** Flags of the link: XDP_FLAGS_*, BPF_F_BEFORE... */
  readonly flags?: number;
  /** tcx, netkit, cgroup: where among the programs that are there. */
  readonly position?: LinkPosition;
  /** Instead of what the section's name says: a function, `category/name` of a tracepoint, a raw tracepoint's name. */
  readonly name?: string;
  /** kprobes and uprobes: bytes from the start of the function. */
  readonly offset?: number;
  /** uprobes: the file; the name is a function in it. Without a name `offset` counts from the file's start. */
  readonly path?: string;
  /** uprobes: one process; -1 is any. */
  readonly pid?: number;
  /** kprobes and uprobes: fire on return. The section's name says so too. */
  readonly retprobe?: boolean;
  /** kprobe.multi, uprobe.multi: the functions. */
  readonly names?: readonly string[];
  /** tc programs whose section names no direction. */
  readonly direction?: "ingress" | "egress";
  readonly netfilter?: LinkCreateAttr["netfilter"];
  /** Iterators: bytes of `union bpf_iter_link_info`. */
  readonly iterInfo?: Uint8Array;
  /** freplace: the function's BTF id in the target program's BTF. */
  readonly targetBtfId?: number;
}

interface Attached {
  readonly fd: number;
  readonly alsoFd?: number;
  readonly undo?: () => void;
}

type How = (ctx: Context) => Attached | number;

interface Context {
  readonly backend: Backend;
  readonly spec: ProgramSpec;
  readonly fd: number;
  readonly options: AttachOptions;
  /** The section's name up to the target. */
  readonly prefix: string;
  /** What is attached to, by name; "" where the section's name has none. */
  readonly name: string;
}

const linked = (fd: number): Attached | number => (fd < 0 ? fd : { fd });

function target(ctx: Context, what: string): number {
  if (ctx.options.target === undefined)
    throw new LoadError(`program '${ctx.spec.name}': attaching wants { target: ${what} }`, uapi.EINVAL);
  return ctx.options.target;
}

function link(
  ctx: Context,
  targetFd: number,
  attachType: number,
  more: Partial<LinkCreateAttr> = {},
): number {
  const { flags } = ctx.options;
  return ctx.backend.linkCreate({
    prog_fd: ctx.fd,
    target_fd: targetFd,
    attach_type: attachType,
    ...(flags === undefined ? {} : { flags }),
    ...more,
  });
}

/** A link on a perf event: kprobes, uprobes, tracepoints. */
function onPerfEvent(ctx: Context, event: PerfEventSpec): Attached | number {
  const { backend, options } = ctx;
  const event_fd = backend.perfEventOpen(event);
  if (event_fd < 0) return event_fd;
  const fd = link(ctx, event_fd, uapi.BPF_PERF_EVENT, {
    perf_event: options.cookie === undefined ? {} : { bpf_cookie: options.cookie },
  });
  if (fd < 0) {
    backend.close(event_fd);
    return fd;
  }
  return { fd, alsoFd: event_fd };
}

function named(ctx: Context, what: string): string {
  if (ctx.name === "")
    throw new LoadError(`program '${ctx.spec.name}': attaching wants { name: ${what} }`, uapi.EINVAL);
  return ctx.name;
}

const isReturn = (ctx: Context): boolean => ctx.options.retprobe ?? /^[ku]ret/.test(ctx.prefix);

/** `function+0x10` */
function functionOffset(text: string): { symbol: string; offset: number } {
  const [symbol, offset] = text.split("+");
  return { symbol: symbol!, offset: offset === undefined ? 0 : Number(offset) };
}

/** What architectures put before a system call's name. */
const SYSCALL_PREFIXES = ["__x64_sys_", "__arm64_sys_", "__riscv_sys_", "__s390x_sys_", "sys_"];

const kprobe: How = (ctx) => {
  const { symbol, offset } = functionOffset(named(ctx, "a kernel function"));
  const kind = isReturn(ctx) ? "kretprobe" : "kprobe";
  const open = (name: string): Attached | number =>
    onPerfEvent(ctx, { kind, symbol: name, offset: ctx.options.offset ?? offset });
  if (!/^k(ret)?syscall$/.test(ctx.prefix)) return open(symbol);
  let result: Attached | number = -uapi.ENOENT;
  for (const prefix of SYSCALL_PREFIXES) {
    result = open(prefix + symbol);
    if (result !== -uapi.ENOENT && result !== -uapi.EINVAL) break;
  }
  return result;
};

/** `path:function+offset`, or the options' own. */
function uprobeTarget(ctx: Context): { path: string; offset: bigint } {
  const at = ctx.name.lastIndexOf(":");
  const path = ctx.options.path ?? (at > 0 ? ctx.name.slice(0, at) : "");
  const text = at >= 0 ? ctx.name.slice(at + 1) : ctx.options.path === undefined ? "" : ctx.name;
  if (path === "")
    throw new LoadError(`program '${ctx.spec.name}': attaching wants { path: a file }`, uapi.EINVAL);
  const { symbol, offset } = functionOffset(text);
  const extra = BigInt(ctx.options.offset ?? offset);
  return { path, offset: symbol === "" ? extra : uprobeOffset(ctx.backend, path, symbol) + extra };
}

const uprobe: How = (ctx) => {
  const { pid } = ctx.options;
  return onPerfEvent(ctx, {
    kind: isReturn(ctx) ? "uretprobe" : "uprobe",
    ...uprobeTarget(ctx),
    ...(pid === undefined ? {} : { pid }),
  });
};

const MULTI_RETURN = 1;

const kprobeMulti: How = (ctx) => {
  const pattern = ctx.options.names ?? [named(ctx, "kernel functions")];
  const syms = pattern.flatMap((p) => (/[*?]/.test(p) ? matchingFunctions(ctx.backend, p) : [p]));
  if (syms.length === 0) return -uapi.ENOENT;
  const { cookie } = ctx.options;
  return linked(
    link(ctx, 0, ctx.spec.attachType, {
      kprobe_multi: {
        syms,
        flags: isReturn(ctx) ? MULTI_RETURN : 0,
        ...(cookie === undefined ? {} : { cookies: syms.map(() => cookie) }),
      },
    }),
  );
};

const uprobeMulti: How = (ctx) => {
  const { names, pid, cookie } = ctx.options;
  const one = names === undefined ? uprobeTarget(ctx) : undefined;
  const path = one?.path ?? ctx.options.path ?? ctx.name.split(":")[0]!;
  const offsets = one ? [one.offset] : names!.map((name) => uprobeOffset(ctx.backend, path, name));
  return linked(
    link(ctx, 0, uapi.BPF_TRACE_UPROBE_MULTI, {
      uprobe_multi: {
        path,
        offsets,
        flags: isReturn(ctx) ? MULTI_RETURN : 0,
        ...(pid === undefined ? {} : { pid }),
        ...(cookie === undefined ? {} : { cookies: offsets.map(() => cookie) }),
      },
    }),
  );
};

const tracepoint: How = (ctx) => {
  const [category = "", name = ""] = named(ctx, "category/name").split("/");
  return onPerfEvent(ctx, { kind: "tracepoint", category, name });
};

const rawTracepoint: How = (ctx) =>
  linked(ctx.backend.rawTracepointOpen(ctx.fd, named(ctx, "a tracepoint"), ctx.options.cookie));

/** fentry, fexit, fmod_ret, tp_btf, LSM: the target went with the program. */
const tracing: How = (ctx) => {
  const { cookie } = ctx.options;
  if (cookie === undefined) return linked(ctx.backend.rawTracepointOpen(ctx.fd));
  return linked(link(ctx, 0, ctx.spec.attachType, { tracing: { cookie } }));
};

const freplace: How = (ctx) => {
  const { target: targetFd, targetBtfId } = ctx.options;
  if (targetFd === undefined) return linked(ctx.backend.rawTracepointOpen(ctx.fd));
  return linked(link(ctx, targetFd, 0, targetBtfId === undefined ? {} : { target_btf_id: targetBtfId }));
};

const iterator: How = (ctx) => {
  const { iterInfo } = ctx.options;
  return linked(link(ctx, 0, uapi.BPF_TRACE_ITER, iterInfo === undefined ? {} : { iter_info: iterInfo }));
};

const device: How = (ctx) => linked(link(ctx, target(ctx, "ifindex"), uapi.BPF_XDP));

const tc: How = (ctx) => {
  const ifindex = target(ctx, "ifindex");
  const { attachType } = ctx.spec;
  if (attachType === uapi.BPF_NETKIT_PRIMARY || attachType === uapi.BPF_NETKIT_PEER)
    return linked(link(ctx, ifindex, attachType, { netkit: ctx.options.position ?? {} }));
  const egress =
    ctx.options.direction === undefined
      ? attachType === uapi.BPF_TCX_EGRESS
      : ctx.options.direction === "egress";
  const fd = link(ctx, ifindex, egress ? uapi.BPF_TCX_EGRESS : uapi.BPF_TCX_INGRESS, {
    tcx: ctx.options.position ?? {},
  });
  // Before Linux 6.6 the attach type is unknown.
  if (fd !== -uapi.EINVAL || ctx.options.position !== undefined) return linked(fd);
  const undo = ctx.backend.tcAttach?.(ctx.fd, ifindex, egress ? "egress" : "ingress");
  if (undo === undefined) return fd;
  return typeof undo === "number" ? undo : { fd: -1, undo };
};

const cgroup: How = (ctx) =>
  linked(
    link(ctx, target(ctx, "fd of a cgroup"), ctx.spec.attachType, { cgroup: ctx.options.position ?? {} }),
  );

const netns: How = (ctx) => linked(link(ctx, target(ctx, "fd of a network namespace"), ctx.spec.attachType));

const netfilter: How = (ctx) => {
  const { netfilter: nf } = ctx.options;
  if (nf === undefined)
    throw new LoadError(
      `program '${ctx.spec.name}': attaching wants { netfilter: { pf, hooknum, priority } }`,
      uapi.EINVAL,
    );
  return linked(link(ctx, 0, uapi.BPF_NETFILTER, { netfilter: nf }));
};

const perfEvent: How = (ctx) =>
  linked(
    link(ctx, target(ctx, "fd of a perf event"), uapi.BPF_PERF_EVENT, {
      perf_event: ctx.options.cookie === undefined ? {} : { bpf_cookie: ctx.options.cookie },
    }),
  );

const onMap: How = (ctx) => {
  const mapFd = target(ctx, "a map's fd");
  const fd = link(ctx, mapFd, ctx.spec.attachType);
  // Before Linux 6.10 such programs have no links.
  if (fd !== -uapi.EINVAL && fd !== -uapi.EOPNOTSUPP) return linked(fd);
  const attr = { target_fd: mapFd, attach_bpf_fd: ctx.fd, attach_type: ctx.spec.attachType };
  const err = ctx.backend.progAttach(attr);
  return err < 0 ? err : { fd: -1, undo: () => void ctx.backend.progDetach(attr) };
};

function howTo(spec: ProgramSpec): How | undefined {
  switch (spec.type) {
    case uapi.BPF_PROG_TYPE_KPROBE: {
      const prefix = spec.section?.def.pattern ?? "";
      if (spec.attachType === uapi.BPF_TRACE_UPROBE_MULTI)
        return prefix.startsWith("usdt") ? undefined : uprobeMulti;
      if (spec.attachType !== 0) return kprobeMulti;
      return prefix.startsWith("u") ? uprobe : kprobe;
    }
    case uapi.BPF_PROG_TYPE_TRACEPOINT:
      return tracepoint;
    case uapi.BPF_PROG_TYPE_RAW_TRACEPOINT:
    case uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
      return rawTracepoint;
    case uapi.BPF_PROG_TYPE_TRACING:
      return spec.attachType === uapi.BPF_TRACE_ITER ? iterator : tracing;
    case uapi.BPF_PROG_TYPE_LSM:
      return spec.attachType === uapi.BPF_LSM_CGROUP ? cgroup : tracing;
    case uapi.BPF_PROG_TYPE_EXT:
      return freplace;
    case uapi.BPF_PROG_TYPE_XDP:
      return device;
    case uapi.BPF_PROG_TYPE_SCHED_CLS:
      return tc;
    case uapi.BPF_PROG_TYPE_CGROUP_SKB:
    case uapi.BPF_PROG_TYPE_CGROUP_SOCK:
    case uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
    case uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT:
    case uapi.BPF_PROG_TYPE_CGROUP_DEVICE:
    case uapi.BPF_PROG_TYPE_CGROUP_SYSCTL:
    case uapi.BPF_PROG_TYPE_SOCK_OPS:
      return cgroup;
    case uapi.BPF_PROG_TYPE_SK_LOOKUP:
    case uapi.BPF_PROG_TYPE_FLOW_DISSECTOR:
      return netns;
    case uapi.BPF_PROG_TYPE_NETFILTER:
      return netfilter;
    case uapi.BPF_PROG_TYPE_PERF_EVENT:
      return perfEvent;
    case uapi.BPF_PROG_TYPE_SK_SKB:
    case uapi.BPF_PROG_TYPE_SK_MSG:
      return onMap;
    default:
      return undefined;
  }
}

export function attachProgram(
  backend: Backend,
  spec: ProgramSpec,
  fd: number,
  options: AttachOptions = {},
): BpfLink {
  const how = howTo(spec);
  const type = uapi.bpf_prog_type_names[spec.type] ?? `type ${spec.type}`;
  if (how === undefined)
    throw new UnsupportedError(
      `attaching '${spec.name}' (${type})`,
      spec.type === uapi.BPF_PROG_TYPE_SOCKET_FILTER
        ? "a socket filter goes to a socket: LinuxBackend.attachSocket"
        : undefined,
    );
  const prefix = spec.section?.def.pattern.replace(/\+$/, "") ?? "";
  const result = how({ backend, spec, fd, options, prefix, name: options.name ?? spec.attachTarget });
  if (typeof result !== "number")
    return new BpfLink(backend, spec.name, result.fd, result.alsoFd, result.undo);
  if (result === -uapi.EOPNOTSUPP && backend.explain === undefined)
    throw new UnsupportedError(`attaching '${spec.name}' (${type}) on the ${backend.name} backend`);
  const why = backend.explain?.(-result);
  const errno = uapi.errnoName(-result);
  throw new BackendError(
    `program '${spec.name}', attach`,
    why === undefined ? errno : `${errno}: ${why}`,
    -result,
  );
}

/** Registers the struct_ops that a map of the object describes; closing the link takes it away. */
export function attachStructOps(backend: Backend, name: string, mapFd: number, isLink: boolean): BpfLink {
  const key = new Uint8Array(4);
  const fail = (err: number): never => {
    const why = backend.explain?.(-err);
    const errno = uapi.errnoName(-err);
    throw new BackendError(`struct_ops '${name}', attach`, why ? `${errno}: ${why}` : errno, -err);
  };
  if (isLink) {
    const fd = backend.linkCreate({ prog_fd: mapFd, target_fd: 0, attach_type: uapi.BPF_STRUCT_OPS });
    return fd < 0 ? fail(fd) : new BpfLink(backend, name, fd);
  }
  // Without BPF_F_LINK, deleting the only element is what unregisters it.
  return new BpfLink(backend, name, -1, undefined, () => void backend.mapDeleteElem(mapFd, key));
}
