/** Memory passed to helpers, kfuncs and global functions: a pointer with a size, or with a size from its type. */
import {
  BPF_PROG_TYPE_KPROBE,
  BPF_PROG_TYPE_LIRC_MODE2,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_NETFILTER,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_SYSCALL,
  BPF_PROG_TYPE_TRACEPOINT,
  BPF_PROG_TYPE_TRACING,
  EACCES,
} from "../../uapi/index.ts";
import { checkPtrToBtfAccess } from "../btf/btf-walk.ts";
import { type Env, Rejection } from "../env.ts";
import { BPF_MAX_VAR_SIZ } from "../limits.ts";
import { regTypeStr } from "../log/type-names.ts";
import { checkMemAccess } from "../memory/mem-access.ts";
import {
  checkBufferAccess,
  checkMapAccess,
  checkMapAccessType,
  checkMemRegionAccess,
  checkPacketAccess,
} from "../memory/mem-region.ts";
import { checkStackRangeInitialized, type RawMode } from "../memory/stack-range.ts";
import { toU64 } from "../numbers/int64.ts";
import { sminOf, umaxOf, uminOf } from "../numbers/range.ts";
import { markChainPrecision } from "../paths/precision.ts";
import { markPtrNotNull } from "../state/ptr-null.ts";
import { isConst, isNullScalar } from "../state/reg.ts";
import {
  baseType,
  MEM_RDONLY,
  mayBeNull,
  PTR_TO_BTF_ID,
  PTR_TO_BUF,
  PTR_TO_CTX,
  PTR_TO_MAP_KEY,
  PTR_TO_MAP_VALUE,
  PTR_TO_MEM,
  PTR_TO_PACKET,
  PTR_TO_PACKET_META,
  PTR_TO_STACK,
} from "../state/reg-type.ts";

/** Program types whose context is passed on as it is (no convert_ctx_access): plain memory of unknown size. */
const PLAIN_CONTEXT: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE_SYSCALL,
  BPF_PROG_TYPE_KPROBE,
  BPF_PROG_TYPE_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
  BPF_PROG_TYPE_TRACING,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_LIRC_MODE2,
  BPF_PROG_TYPE_NETFILTER,
]);

/** A callee reads or writes `size` bytes at R`regno`. check_helper_mem_access(). */
export function checkHelperMemAccess(
  env: Env,
  regno: number,
  size: number,
  write: boolean,
  zeroSizeAllowed: boolean,
  meta: RawMode | null,
): void {
  const reg = env.reg(regno);
  const readOnly = (): void => {
    if (write) env.reject(EACCES, `R${regno} cannot write into ${regTypeStr(reg.type)}`);
  };
  switch (baseType(reg.type)) {
    case PTR_TO_PACKET:
    case PTR_TO_PACKET_META:
      return checkPacketAccess(env, regno, reg.off, size, zeroSizeAllowed);
    case PTR_TO_MAP_KEY:
      readOnly();
      return checkMemRegionAccess(env, regno, reg.off, size, reg.map!.keySize, false);
    case PTR_TO_MAP_VALUE:
      checkMapAccessType(env, regno, reg.off, size, write);
      return checkMapAccess(env, regno, reg.off, size, zeroSizeAllowed, false);
    case PTR_TO_MEM:
      if ((reg.type & MEM_RDONLY) !== 0) readOnly();
      return checkMemRegionAccess(env, regno, reg.off, size, reg.memSize, zeroSizeAllowed);
    case PTR_TO_BUF:
      if ((reg.type & MEM_RDONLY) !== 0) readOnly();
      return checkBufferAccess(env, regno, reg.off, size);
    case PTR_TO_STACK:
      return checkStackRangeInitialized(env, regno, reg.off, size, zeroSizeAllowed, write, false, meta);
    case PTR_TO_BTF_ID:
      return checkPtrToBtfAccess(env, regno, reg.off, size, false, -1);
    case PTR_TO_CTX:
      if (PLAIN_CONTEXT.has(env.resolvedProgType)) {
        if (size === 0) {
          if (!zeroSizeAllowed) env.reject(EACCES, "");
          return;
        }
        return checkMemAccess(env, env.insnIdx, regno, size - 1, 1, write, -1, false, false);
      }
  }
  if (zeroSizeAllowed && size === 0 && isNullScalar(reg)) return;
  env.reject(EACCES, `R${regno} type=${regTypeStr(reg.type)} expected=${regTypeStr(PTR_TO_STACK)}`);
}

/** What is remembered of a size: for bounds of the result. */
export interface SizeMeta extends RawMode {
  /** meta->msize_max_value. */
  sizeMax: bigint;
}

/** R`regno` is the size of what R`regno - 1` points at. check_mem_size_reg(). */
export function checkMemSizeReg(
  env: Env,
  regno: number,
  write: boolean,
  zeroSizeAllowed: boolean,
  meta: SizeMeta,
): void {
  const reg = env.reg(regno);
  meta.sizeMax = toU64(reg.umaxLo, reg.umaxHi);
  if (sminOf(reg) < 0)
    env.reject(EACCES, `R${regno} min value is negative, either use unsigned or 'var &= const'`);
  if (uminOf(reg) === 0 && !zeroSizeAllowed)
    env.reject(
      EACCES,
      `R${regno} invalid zero-sized read: u64=[${toU64(reg.uminLo, reg.uminHi)},${toU64(reg.umaxLo, reg.umaxHi)}]`,
    );
  const max = umaxOf(reg);
  if (max >= BPF_MAX_VAR_SIZ)
    env.reject(EACCES, `R${regno} unbounded memory access, use 'var &= const' or 'if (var < const)'`);
  // How much is written is not known: all of it must be there before.
  checkHelperMemAccess(env, regno - 1, max, write, zeroSizeAllowed, isConst(reg) ? meta : null);
  markChainPrecision(env, regno);
}

/** Runs `check` as if R`regno` were not null; the register is as before afterwards. */
function asNotNull(env: Env, regno: number, check: () => void): void {
  const { frame } = env;
  const saved = frame.regs[regno]!;
  if (!mayBeNull(saved.type)) return check();
  saved.shared = true;
  markPtrNotNull(env, frame.own(regno));
  try {
    check();
  } finally {
    frame.regs[regno] = saved;
  }
}

/** R`regno` points at `size` bytes that may be read and written, or is null. check_mem_reg(). */
export function checkMemReg(env: Env, regno: number, size: number): void {
  if (isNullScalar(env.reg(regno))) return;
  asNotNull(env, regno, () => {
    checkHelperMemAccess(env, regno, size, false, true, null);
    checkHelperMemAccess(env, regno, size, true, true, null);
  });
}

/** Likewise with the size in R`regno`, the pointer in the one before. check_kfunc_mem_size_reg(). */
export function checkKfuncMemSizeReg(env: Env, regno: number): void {
  asNotNull(env, regno - 1, () => {
    for (const write of [false, true])
      checkMemSizeReg(env, regno, write, true, { rawMode: false, accessSize: 0, regno: 0, sizeMax: 0n });
  });
}

/** Runs `check`; a rejection gets the errno that the caller gives instead of its own. */
export function withErrno(errno: number, check: () => void): void {
  try {
    check();
  } catch (e) {
    if (e instanceof Rejection) throw new Rejection(e.message, errno, e.insn);
    throw e;
  }
}
