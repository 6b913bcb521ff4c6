/** Loads from and stores to the context: check_ctx_access(), and is_valid_access() of each program type. */
import {
  BPF_CGROUP_GETSOCKOPT,
  BPF_CGROUP_SETSOCKOPT,
  BPF_PROG_TYPE_CGROUP_DEVICE,
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_CGROUP_SOCK,
  BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
  BPF_PROG_TYPE_CGROUP_SOCKOPT,
  BPF_PROG_TYPE_CGROUP_SYSCTL,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_KPROBE,
  BPF_PROG_TYPE_LIRC_MODE2,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_OUT,
  BPF_PROG_TYPE_LWT_SEG6LOCAL,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_NETFILTER,
  BPF_PROG_TYPE_PERF_EVENT,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SK_MSG,
  BPF_PROG_TYPE_SK_REUSEPORT,
  BPF_PROG_TYPE_SK_SKB,
  BPF_PROG_TYPE_SOCK_OPS,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_SYSCALL,
  BPF_PROG_TYPE_TRACEPOINT,
  BPF_PROG_TYPE_TRACING,
  BPF_PROG_TYPE_XDP,
  BPF_XDP_DEVMAP,
  EACCES,
} from "../../uapi/index.ts";
import { findStruct } from "../btf/btf-types.ts";
import type { Env } from "../env.ts";
import { verboseLineInfo } from "../log/log.ts";
import { attachRetvalRange } from "../program/retval-range.ts";
import {
  baseType,
  PTR_TO_BTF_ID,
  PTR_TO_PACKET,
  PTR_TO_PACKET_END,
  PTR_TO_PACKET_META,
  PTR_TO_SOCKET,
  PTR_TO_TP_BUFFER,
  PTR_TRUSTED,
  SCALAR_VALUE,
} from "../state/reg-type.ts";
import { btfCtxAccess } from "./btf-ctx.ts";
import { type CtxAccessInfo, type Field, fieldAccess, fixed, narrow, pointer } from "./ctx-fields.ts";
import { CGROUP_SKB, CGROUP_SKB_UNPRIV, FLOW_DISSECTOR, LWT, SK_SKB, SOCKET_FILTER, TC } from "./ctx-skb.ts";
import { cgroupSockAccess, SK_LOOKUP, SK_MSG, SK_REUSEPORT, SOCK_OPS, sockAddrFields } from "./ctx-sock.ts";

const SIZEOF_PT_REGS = 168;
const PERF_MAX_TRACE_SIZE = 8192;
const MAX_BPF_FUNC_ARGS = 12;

const XDP: readonly Field[] = [
  pointer(0, 4, PTR_TO_PACKET),
  pointer(4, 4, PTR_TO_PACKET_END),
  pointer(8, 4, PTR_TO_PACKET_META),
  fixed(12, 20, 4),
];
const XDP_DEVMAP: readonly Field[] = [...XDP, fixed(20, 24, 4)];
const CGROUP_DEVICE: readonly Field[] = [narrow(0, 4, 4), fixed(4, 12, 4)];
const CGROUP_SYSCTL: readonly Field[] = [narrow(0, 4, 4), narrow(4, 8, 4, { write: 4 })];
const SOCKOPT: readonly Field[] = [
  fixed(0, 8, 8, { regType: PTR_TO_SOCKET }),
  fixed(8, 16, 8, { regType: PTR_TO_PACKET }),
  fixed(16, 24, 8, { regType: PTR_TO_PACKET_END }),
  fixed(32, 36, 4, { write: 4 }), // optlen
];
const SETSOCKOPT: readonly Field[] = [...SOCKOPT, fixed(24, 32, 4, { write: 4 })];
const GETSOCKOPT: readonly Field[] = [...SOCKOPT, fixed(24, 32, 4), fixed(36, 40, 4, { write: 4 })];
const PERF_EVENT: readonly Field[] = [fixed(0, SIZEOF_PT_REGS, 8), narrow(168, 184, 8)];
const LIRC: readonly Field[] = [fixed(0, 1, 4)];

/** The context as a table, for types where it is one. */
function fieldsOf(env: Env): readonly Field[] | null {
  switch (env.resolvedProgType) {
    case BPF_PROG_TYPE_SOCKET_FILTER:
      return SOCKET_FILTER;
    case BPF_PROG_TYPE_SCHED_CLS:
    case BPF_PROG_TYPE_SCHED_ACT:
      return TC;
    case BPF_PROG_TYPE_CGROUP_SKB:
      return env.bpfCapable ? CGROUP_SKB : CGROUP_SKB_UNPRIV;
    case BPF_PROG_TYPE_LWT_IN:
    case BPF_PROG_TYPE_LWT_OUT:
    case BPF_PROG_TYPE_LWT_XMIT:
    case BPF_PROG_TYPE_LWT_SEG6LOCAL:
      return LWT;
    case BPF_PROG_TYPE_SK_SKB:
      return SK_SKB;
    case BPF_PROG_TYPE_FLOW_DISSECTOR:
      return FLOW_DISSECTOR;
    case BPF_PROG_TYPE_XDP:
      return env.expectedAttachType === BPF_XDP_DEVMAP ? XDP_DEVMAP : XDP;
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
      return sockAddrFields(env.expectedAttachType);
    case BPF_PROG_TYPE_SOCK_OPS:
      return SOCK_OPS;
    case BPF_PROG_TYPE_SK_MSG:
      return SK_MSG;
    case BPF_PROG_TYPE_SK_REUSEPORT:
      return SK_REUSEPORT;
    case BPF_PROG_TYPE_SK_LOOKUP:
      return SK_LOOKUP;
    case BPF_PROG_TYPE_CGROUP_DEVICE:
      return CGROUP_DEVICE;
    case BPF_PROG_TYPE_CGROUP_SYSCTL:
      return CGROUP_SYSCTL;
    case BPF_PROG_TYPE_CGROUP_SOCKOPT:
      if (env.expectedAttachType === BPF_CGROUP_SETSOCKOPT) return SETSOCKOPT;
      return env.expectedAttachType === BPF_CGROUP_GETSOCKOPT ? GETSOCKOPT : SOCKOPT;
    case BPF_PROG_TYPE_PERF_EVENT:
      return PERF_EVENT;
    case BPF_PROG_TYPE_LIRC_MODE2:
      return LIRC;
    default:
      return null;
  }
}

/** bpf_tracing_ctx_access(): the arguments of a traced function, eight bytes each. */
function tracingArgs(off: number, size: number, write: boolean): boolean {
  return off >= 0 && off < 8 * MAX_BPF_FUNC_ARGS && !write && off % size === 0;
}

/** Fills `info` in; false: not allowed. */
function isValidAccess(
  env: Env,
  off: number,
  size: number,
  write: boolean,
  signed: boolean,
  info: CtxAccessInfo,
): boolean {
  const type = env.resolvedProgType;
  const fields = fieldsOf(env);
  if (fields !== null || type === BPF_PROG_TYPE_CGROUP_SOCK) {
    const found =
      fields !== null
        ? fieldAccess(fields, off, size, write, signed)
        : cgroupSockAccess(env.expectedAttachType, off, size, write, signed);
    if (found === null) return false;
    info.regType = found.regType;
    info.fieldSize = found.fieldSize;
    return true;
  }
  switch (type) {
    case BPF_PROG_TYPE_KPROBE:
      return off >= 0 && off + size <= SIZEOF_PT_REGS && !write && off % size === 0;
    case BPF_PROG_TYPE_TRACEPOINT:
      return off >= 8 && off < PERF_MAX_TRACE_SIZE && !write && off % size === 0;
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
      return tracingArgs(off, size, write);
    case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
      if (off === 0) {
        if (size !== 8 || write) return false;
        info.regType = PTR_TO_TP_BUFFER;
      }
      return tracingArgs(off, size, write);
    case BPF_PROG_TYPE_TRACING:
    case BPF_PROG_TYPE_STRUCT_OPS:
      if (!tracingArgs(off, size, write) || !btfCtxAccess(env, off, size, write, info)) return false;
      if (type === BPF_PROG_TYPE_STRUCT_OPS) promoteSock(env, info);
      return true;
    case BPF_PROG_TYPE_LSM:
      return btfCtxAccess(env, off, size, write, info);
    case BPF_PROG_TYPE_SYSCALL:
      return off >= 0 && off < 0xffff && off % size === 0;
    case BPF_PROG_TYPE_NETFILTER: {
      if (write || size !== 8 || (off !== 0 && off !== 8)) return false;
      const id = findStruct(env.kernelBtf, off === 0 ? "nf_hook_state" : "sk_buff");
      if (id === 0) return false;
      info.regType = PTR_TO_BTF_ID | PTR_TRUSTED;
      info.btf = env.kernelBtf;
      info.btfId = id;
      return true;
    }
    default:
      return false;
  }
}

/** tcp_congestion_ops' functions get struct tcp_sock where the prototype says struct sock. bpf_tcp_ca_is_valid_access(). */
function promoteSock(env: Env, info: CtxAccessInfo): void {
  if (baseType(info.regType) !== PTR_TO_BTF_ID || env.input.attach === null) return;
  const { btf, btfId } = env.input.attach;
  if (btf.typeName(btfId) !== "tcp_congestion_ops") return;
  if (info.btfId === findStruct(env.kernelBtf, "sock")) info.btfId = findStruct(env.kernelBtf, "tcp_sock");
}

/** An access of `size` bytes at `off`; rejects what the program type does not allow. */
export function checkCtxAccess(
  env: Env,
  insnIdx: number,
  off: number,
  size: number,
  write: boolean,
  signed: boolean,
): CtxAccessInfo {
  const info: CtxAccessInfo = {
    regType: SCALAR_VALUE,
    btf: null,
    btfId: 0,
    refObjId: 0,
    isRetval: false,
    retval: null,
    fieldSize: 0,
  };
  if (!isValidAccess(env, off, size, write, signed, info)) {
    env.verbose(`invalid bpf_context access off=${off} size=${size}\n`);
    verboseLineInfo(env, insnIdx, "; ");
    env.reject(EACCES, "");
  }
  if (
    baseType(info.regType) === PTR_TO_BTF_ID &&
    info.refObjId !== 0 &&
    !env.state.refs.some((r) => r.id === info.refObjId)
  )
    env.reject(EACCES, `invalid bpf_context access off=${off}. Reference may already be released`);
  if (info.isRetval) info.retval = attachRetvalRange(env);
  return info;
}
