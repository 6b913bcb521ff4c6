/** What a program may return: check_return_code(). */
import { BTF_KIND_PTR } from "../../btf/index.ts";
import * as U from "../../uapi/index.ts";
import { EACCES, EINVAL, ENOTSUPP } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { regTypeStr } from "../log/type-names.ts";
import { isPointerValue } from "../memory/mem-access.ts";
import { checkPtrOffReg } from "../memory/mem-region.ts";
import { markChainPrecision } from "../paths/precision.ts";
import { attachRetvalRange } from "../program/retval-range.ts";
import type { RegState } from "../state/reg.ts";
import { checkSrcReg } from "../state/reg-arg.ts";
import { SCALAR_VALUE } from "../state/reg-type.ts";
import type { RetvalRange } from "../state/state.ts";
import { retvalWithin, verboseInvalidScalar } from "./func-call.ts";

const ZERO: RetvalRange = { min: 0, max: 0 };
const BOOL: RetvalRange = { min: 0, max: 1 };
const ONE: RetvalRange = { min: 1, max: 1 };
const TWO_BITS: RetvalRange = { min: 0, max: 3 };

/** Attach types of CGROUP_SOCK_ADDR that must let things pass. */
const MUST_PASS: ReadonlySet<number> = new Set([
  U.BPF_CGROUP_UDP4_RECVMSG,
  U.BPF_CGROUP_UDP6_RECVMSG,
  U.BPF_CGROUP_UNIX_RECVMSG,
  U.BPF_CGROUP_INET4_GETPEERNAME,
  U.BPF_CGROUP_INET6_GETPEERNAME,
  U.BPF_CGROUP_UNIX_GETPEERNAME,
  U.BPF_CGROUP_INET4_GETSOCKNAME,
  U.BPF_CGROUP_INET6_GETSOCKNAME,
  U.BPF_CGROUP_UNIX_GETSOCKNAME,
]);

/** The range that the program's type and attach type ask for; null: anything goes. */
function rangeOf(env: Env): { range: RetvalRange; bits32: boolean } | null {
  const attach = env.expectedAttachType;
  const plain = (range: RetvalRange): { range: RetvalRange; bits32: boolean } => ({ range, bits32: false });
  switch (env.resolvedProgType) {
    case U.BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
      if (MUST_PASS.has(attach)) return plain(ONE);
      return plain(
        attach === U.BPF_CGROUP_INET4_BIND || attach === U.BPF_CGROUP_INET6_BIND ? TWO_BITS : BOOL,
      );
    case U.BPF_PROG_TYPE_CGROUP_SKB:
      return plain(attach === U.BPF_CGROUP_INET_EGRESS ? TWO_BITS : BOOL);
    case U.BPF_PROG_TYPE_CGROUP_SOCK:
    case U.BPF_PROG_TYPE_SOCK_OPS:
    case U.BPF_PROG_TYPE_CGROUP_DEVICE:
    case U.BPF_PROG_TYPE_CGROUP_SYSCTL:
    case U.BPF_PROG_TYPE_CGROUP_SOCKOPT:
    case U.BPF_PROG_TYPE_SK_LOOKUP:
    case U.BPF_PROG_TYPE_NETFILTER:
      return plain(BOOL);
    case U.BPF_PROG_TYPE_RAW_TRACEPOINT:
      return env.input.attach === null ? null : plain(ZERO);
    case U.BPF_PROG_TYPE_TRACING:
      switch (attach) {
        case U.BPF_TRACE_FENTRY:
        case U.BPF_TRACE_FEXIT:
          return plain(ZERO);
        case U.BPF_TRACE_RAW_TP:
        case U.BPF_MODIFY_RETURN:
          return null;
        case U.BPF_TRACE_ITER:
          return plain(BOOL);
        default:
          return env.reject(ENOTSUPP, "");
      }
    case U.BPF_PROG_TYPE_KPROBE:
      return attach === U.BPF_TRACE_KPROBE_SESSION || attach === U.BPF_TRACE_UPROBE_SESSION
        ? plain(BOOL)
        : null;
    case U.BPF_PROG_TYPE_LSM: {
      if (attach === U.BPF_LSM_CGROUP) return plain(returnsVoid(env) ? ONE : BOOL);
      const range = attachRetvalRange(env);
      return range === null ? null : { range, bits32: true };
    }
    case U.BPF_PROG_TYPE_STRUCT_OPS:
      return returnsPointer(env) ? plain(ZERO) : null;
    default:
      return null;
  }
}

function returnsVoid(env: Env): boolean {
  const func = env.attachFunc;
  return func !== null && func.protoId !== 0 && func.btf.sizeOrType(func.protoId) === 0;
}

/** A struct_ops member that returns an object: the program gives back one that it holds, or none. */
function returnsPointer(env: Env): boolean {
  const func = env.attachFunc;
  if (func === null || func.protoId === 0 || !env.profile.rules.has("struct-ops-return-kptr")) return false;
  return func.btf.kind(func.btf.skipModifiers(func.btf.sizeOrType(func.protoId))) === BTF_KIND_PTR;
}

/** The struct_ops program returns a referenced object of the member's return type. */
function returnsReference(env: Env, reg: RegState): boolean {
  const func = env.attachFunc;
  if (func === null || !returnsPointer(env) || reg.btf !== func.btf || reg.refObjId === 0) return false;
  const ptr = func.btf.skipModifiers(func.btf.sizeOrType(func.protoId));
  return func.btf.skipModifiers(func.btf.sizeOrType(ptr)) === reg.btfId;
}

/** `name`: how messages call the register ("R0"; R1 is what bpf_throw() takes). */
export function checkReturnCode(env: Env, regno: number, name: string): void {
  const outer = env.state.frames[0]!;
  const isSubprog = outer.subprogno !== 0;
  const type = env.resolvedProgType;
  if (!isSubprog || outer.inExceptionCallbackFn) {
    const hook =
      type === U.BPF_PROG_TYPE_STRUCT_OPS ||
      (type === U.BPF_PROG_TYPE_LSM && env.expectedAttachType !== U.BPF_LSM_CGROUP);
    if (hook && returnsVoid(env)) return;
    if (type === U.BPF_PROG_TYPE_STRUCT_OPS && returnsReference(env, env.reg(regno))) {
      checkPtrOffReg(env, env.reg(regno), regno, false);
      return;
    }
  }
  // eBPF calling convention: R0 holds the result.
  checkSrcReg(env, regno);
  if (isPointerValue(env, regno)) env.reject(EACCES, `R${regno} leaks addr as return value`);
  const reg = env.reg(regno);
  let where = "At program exit";
  let wanted: { range: RetvalRange; bits32: boolean } | null;
  if (outer.inAsyncCallbackFn) {
    where = "At async callback return";
    wanted = { range: ZERO, bits32: false };
  } else if (isSubprog && !outer.inExceptionCallbackFn) {
    if (reg.type !== SCALAR_VALUE)
      env.reject(
        EINVAL,
        `At subprogram exit the register R${regno} is not a scalar value (${regTypeStr(reg.type)})`,
      );
    return;
  } else {
    wanted = rangeOf(env);
    if (wanted === null) return;
  }
  if (reg.type !== SCALAR_VALUE)
    env.reject(EINVAL, `${where} the register R${regno} is not a known value (${regTypeStr(reg.type)})`);
  markChainPrecision(env, regno);
  if (retvalWithin(wanted.range, env.reg(regno), wanted.bits32)) return;
  verboseInvalidScalar(env, env.reg(regno), wanted.range, where, name);
  if (
    !isSubprog &&
    type === U.BPF_PROG_TYPE_LSM &&
    env.expectedAttachType === U.BPF_LSM_CGROUP &&
    returnsVoid(env)
  )
    env.verbose("Note, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!\n");
  env.reject(EINVAL, "");
}
