/** Which registers an argument type accepts: compatible_reg_types, check_reg_type(), check_func_arg_reg_off(). */
import {
  BPF_FUNC_kptr_xchg,
  BPF_FUNC_sk_release,
  BPF_FUNC_spin_lock,
  BPF_FUNC_spin_unlock,
  EACCES,
  EFAULT,
  EINVAL,
} from "../../uapi/index.ts";
import { findStruct } from "../btf/btf-types.ts";
import { btfStructIdsMatch } from "../btf/btf-walk.ts";
import type { Env } from "../env.ts";
import { regTypeStr } from "../log/type-names.ts";
import { mapKptrMatchType } from "../memory/kptr-access.ts";
import { checkPtrOffReg } from "../memory/mem-region.ts";
import { DYNPTR_TYPE_FLAG_MASK } from "../state/dynptr.ts";
import type { RegState } from "../state/reg.ts";
import { typeIsAlloc } from "../state/reg-kind.ts";
import * as T from "../state/reg-type.ts";
import {
  baseType,
  MEM_ALLOC,
  MEM_PERCPU,
  MEM_RCU,
  MEM_RDONLY,
  mayBeNull,
  PTR_MAYBE_NULL,
  PTR_TO_BTF_ID,
  PTR_TRUSTED,
} from "../state/reg-type.ts";
import * as A from "./arg-type.ts";
import type { CallMeta } from "./call-meta.ts";

const TRUSTED: number = PTR_TO_BTF_ID | PTR_TRUSTED;
const ALLOC: number = PTR_TO_BTF_ID | MEM_ALLOC;
const PERCPU: number = PTR_TO_BTF_ID | MEM_PERCPU;

const SOCK = [T.PTR_TO_SOCK_COMMON, T.PTR_TO_SOCKET, T.PTR_TO_TCP_SOCK, T.PTR_TO_XDP_SOCK];
const MEM = [
  T.PTR_TO_STACK,
  T.PTR_TO_PACKET,
  T.PTR_TO_PACKET_META,
  T.PTR_TO_MAP_KEY,
  T.PTR_TO_MAP_VALUE,
  T.PTR_TO_MEM,
  T.PTR_TO_MEM | T.MEM_RINGBUF,
  T.PTR_TO_BUF,
  TRUSTED,
];
const SCALAR = [T.SCALAR_VALUE];

const COMPATIBLE: ReadonlyMap<number, readonly number[]> = new Map<number, readonly number[]>([
  [A.ARG_PTR_TO_MAP_KEY, MEM],
  [A.ARG_PTR_TO_MAP_VALUE, MEM],
  [A.ARG_CONST_SIZE, SCALAR],
  [A.ARG_CONST_SIZE_OR_ZERO, SCALAR],
  [A.ARG_CONST_ALLOC_SIZE_OR_ZERO, SCALAR],
  [A.ARG_SCALAR, SCALAR],
  [A.ARG_CONST_MAP_PTR, [T.CONST_PTR_TO_MAP]],
  [A.ARG_PTR_TO_CTX, [T.PTR_TO_CTX]],
  [A.ARG_PTR_TO_SOCK_COMMON, SOCK],
  [A.ARG_PTR_TO_BTF_ID_SOCK_COMMON, [...SOCK, PTR_TO_BTF_ID, TRUSTED]],
  [A.ARG_PTR_TO_SOCKET, [T.PTR_TO_SOCKET]],
  [A.ARG_PTR_TO_BTF_ID, [PTR_TO_BTF_ID, TRUSTED, PTR_TO_BTF_ID | MEM_RCU]],
  [A.ARG_PTR_TO_SPIN_LOCK, [T.PTR_TO_MAP_VALUE, ALLOC]],
  [A.ARG_PTR_TO_MEM, MEM],
  [A.ARG_PTR_TO_RINGBUF_MEM, [T.PTR_TO_MEM | T.MEM_RINGBUF]],
  [A.ARG_PTR_TO_PERCPU_BTF_ID, [PERCPU, PERCPU | MEM_RCU, PERCPU | PTR_TRUSTED]],
  [A.ARG_PTR_TO_FUNC, [T.PTR_TO_FUNC]],
  [A.ARG_PTR_TO_STACK, [T.PTR_TO_STACK]],
  [A.ARG_PTR_TO_CONST_STR, [T.PTR_TO_MAP_VALUE]],
  [A.ARG_PTR_TO_TIMER, [T.PTR_TO_MAP_VALUE]],
  [A.ARG_KPTR_XCHG_DEST, [T.PTR_TO_MAP_VALUE, ALLOC]],
  [A.ARG_PTR_TO_DYNPTR, [T.PTR_TO_STACK, T.CONST_PTR_TO_DYNPTR]],
]);

/** `btfId`: of the kernel's type that a BTF pointer must be one to; 0: the argument type says. */
export function checkRegType(env: Env, regno: number, argType: number, btfId: number, meta: CallMeta): void {
  const reg = env.reg(regno);
  const arg = baseType(argType);
  const compatible = COMPATIBLE.get(arg);
  if (compatible === undefined)
    return env.reject(EFAULT, `verifier internal error: unsupported arg type ${argType}`);
  let { type } = reg;
  if ((argType & MEM_RDONLY) !== 0) type &= ~MEM_RDONLY;
  if (mayBeNull(argType)) type &= ~PTR_MAYBE_NULL;
  if (arg === A.ARG_PTR_TO_MEM) type &= ~DYNPTR_TYPE_FLAG_MASK;
  const xchg = meta.funcId === BPF_FUNC_kptr_xchg;
  // What the program allocated may be put into a kptr too.
  if (xchg && typeIsAlloc(type) && regno === 2) type &= ~(MEM_ALLOC | MEM_PERCPU);
  if (!compatible.includes(type))
    env.reject(
      EACCES,
      `R${regno} type=${regTypeStr(reg.type)} expected=${compatible.map(regTypeStr).join(", ")}`,
    );
  if (baseType(reg.type) !== PTR_TO_BTF_ID) return;
  if (compatible === MEM) {
    if ((argType & MEM_RDONLY) === 0)
      env.reject(
        EACCES,
        `${env.profile.helperName(meta.funcId)}() may write into memory pointed by R${regno} type=${regTypeStr(reg.type)}`,
      );
    return;
  }
  switch (reg.type) {
    case PTR_TO_BTF_ID:
    case TRUSTED:
    case TRUSTED | PTR_MAYBE_NULL:
    case PTR_TO_BTF_ID | MEM_RCU:
    case PTR_TO_BTF_ID | PTR_MAYBE_NULL:
    case PTR_TO_BTF_ID | PTR_MAYBE_NULL | MEM_RCU: {
      const release = (argType & T.OBJ_RELEASE) !== 0;
      if (mayBeNull(reg.type) && (!mayBeNull(argType) || release))
        env.reject(EACCES, `Possibly NULL pointer passed to helper arg${regno}`);
      if (xchg) return matchKptr(env, reg, regno, meta);
      const need =
        btfId !== 0
          ? btfId
          : arg === A.ARG_PTR_TO_BTF_ID_SOCK_COMMON
            ? findStruct(env.kernelBtf, "sock_common")
            : 0;
      if (need === 0) env.reject(EFAULT, "verifier internal error: missing arg compatible BTF ID");
      // bpf_sk_release() takes anything that begins with a sock_common.
      const strict = release && meta.funcId !== BPF_FUNC_sk_release;
      if (
        !btfStructIdsMatch(
          env,
          reg.btf,
          reg.btfId,
          reg.off,
          env.kernelBtf,
          need,
          strict,
          !typeIsAlloc(reg.type),
        )
      )
        env.reject(
          EACCES,
          `R${regno} is of type ${reg.btf!.typeName(reg.btfId)} but ${env.kernelBtf!.typeName(need)} is expected`,
        );
      return;
    }
    case ALLOC:
    case PERCPU | MEM_ALLOC:
    case ALLOC | T.NON_OWN_REF:
    case ALLOC | T.NON_OWN_REF | MEM_RCU:
      if (!xchg && meta.funcId !== BPF_FUNC_spin_lock && meta.funcId !== BPF_FUNC_spin_unlock)
        env.reject(EFAULT, "verifier internal error: unimplemented handling of MEM_ALLOC");
      if (xchg && regno === 2) matchKptr(env, reg, regno, meta);
      return;
    case PERCPU:
    case PERCPU | MEM_RCU:
    case PERCPU | PTR_TRUSTED:
      return;
    default:
      env.reject(EFAULT, "verifier internal error: invalid PTR_TO_BTF_ID register for type match");
  }
}

function matchKptr(env: Env, reg: RegState, regno: number, meta: CallMeta): void {
  if (meta.kptrField === null) return env.bug("bpf_kptr_xchg() without a kptr");
  if (!mapKptrMatchType(env, meta.kptrField, reg, regno)) env.reject(EACCES, "");
}

const ANY_OFFSET: ReadonlySet<number> = new Set([
  T.PTR_TO_STACK,
  T.PTR_TO_PACKET,
  T.PTR_TO_PACKET_META,
  T.PTR_TO_MAP_KEY,
  T.PTR_TO_MAP_VALUE,
  T.PTR_TO_MEM,
  T.PTR_TO_MEM | MEM_RDONLY,
  T.PTR_TO_MEM | T.MEM_RINGBUF,
  T.PTR_TO_BUF,
  T.PTR_TO_BUF | MEM_RDONLY,
  T.PTR_TO_ARENA,
  T.SCALAR_VALUE,
]);

const FIXED_OFFSET: ReadonlySet<number> = new Set([
  PTR_TO_BTF_ID,
  ALLOC,
  TRUSTED,
  PTR_TO_BTF_ID | MEM_RCU,
  ALLOC | T.NON_OWN_REF,
  ALLOC | T.NON_OWN_REF | MEM_RCU,
]);

/** Whether a pointer that was moved may be passed. check_func_arg_reg_off(). */
export function checkFuncArgRegOff(env: Env, reg: RegState, regno: number, argType: number): void {
  if ((argType & T.OBJ_RELEASE) !== 0) {
    // Dynptrs have an offset from the frame pointer by their nature.
    if (baseType(argType) === A.ARG_PTR_TO_DYNPTR && reg.type === T.PTR_TO_STACK) return;
    if (reg.off !== 0)
      env.reject(
        EINVAL,
        `R${regno} must have zero offset when passed to release func or trusted arg to kfunc`,
      );
    return checkPtrOffReg(env, reg, regno, false);
  }
  if (ANY_OFFSET.has(reg.type)) return;
  checkPtrOffReg(env, reg, regno, FIXED_OFFSET.has(reg.type));
}
