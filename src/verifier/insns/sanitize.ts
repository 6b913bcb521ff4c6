/**
 * Pointer arithmetic without CAP_PERFMON: the processor may run ahead with a wrong offset, so the offset is masked to
 * what the pointer allows (Spectre v1). Here: which arithmetic cannot be masked and is an error, and the speculative
 * paths that have to be verified too. The masking itself is a rewrite.
 */
import { BPF_ADD, BPF_K, BPF_SUB, BPF_X, EACCES } from "../../uapi/index.ts";
import { type Env, Rejection } from "../env.ts";
import { varOffText } from "../log/text.ts";
import { checkMapAccess } from "../memory/mem-region.ts";
import { pushStack } from "../state/branch.ts";
import { isConst, type RegState } from "../state/reg.ts";
import { markRegUnknown } from "../state/reg-ops.ts";
import { PTR_TO_MAP_VALUE, PTR_TO_STACK } from "../state/reg-type.ts";
import { MAX_BPF_STACK } from "../state/state.ts";

/** InsnAux.aluState: BPF_ALU_* of include/linux/bpf_verifier.h. */
export const BPF_ALU_SANITIZE_SRC = 1;
export const BPF_ALU_SANITIZE_DST = 2;
export const BPF_ALU_NEG_VALUE = 4;
export const BPF_ALU_NON_POINTER = 8;
export const BPF_ALU_IMMEDIATE = 16;

const REASON_BOUNDS = -1;
const REASON_TYPE = -2;
const REASON_PATHS = -3;
const REASON_LIMIT = -4;

/** What the first step found out for the second: struct bpf_sanitize_info. */
export interface SanitizeInfo {
  aluState: number;
  aluLimit: number;
  maskToLeft: boolean;
}

/** sanitize_needed(). */
export function sanitizeNeeded(opcode: number): boolean {
  return opcode === BPF_ADD || opcode === BPF_SUB;
}

/** retrieve_ptr_limit(): how far the pointer may move, or a negative REASON_*. */
function ptrLimit(ptr: RegState, maskToLeft: boolean): number {
  let max = 0;
  let limit = 0;
  if (ptr.type === PTR_TO_STACK) {
    // Offset 0 is out of bounds, but a fine start for moving left (R10).
    max = MAX_BPF_STACK + (maskToLeft ? 1 : 0);
    limit = -(ptr.valueLo + ptr.off) >>> 0;
  } else if (ptr.type === PTR_TO_MAP_VALUE) {
    max = ptr.map!.valueSize;
    limit = ((maskToLeft ? ptr.sminLo : ptr.umaxLo) + ptr.off) >>> 0;
  } else return REASON_TYPE;
  return limit >= max ? REASON_LIMIT : limit;
}

/** can_skip_alu_sanitation(). */
function canSkip(env: Env, op: number): boolean {
  return env.bypassSpecV1 || (op & BPF_X) === BPF_K;
}

/** update_alu_sanitation_state(): paths that want different masks cannot share one instruction. */
function update(target: { aluState: number; aluLimit: number }, state: number, limit: number): number {
  if (target.aluState !== 0 && (target.aluState !== state || target.aluLimit !== limit)) return REASON_PATHS;
  target.aluState = state;
  target.aluLimit = limit;
  return 0;
}

/** sanitize_val_alu(): this instruction adds numbers on this path; it must not add to pointers on another. */
export function sanitizeScalar(env: Env, op: number, dst: number): void {
  if (canSkip(env, op)) return;
  const reason = update(env.aux[env.insnIdx]!, BPF_ALU_NON_POINTER, 0);
  if (reason < 0) sanitizeError(env, reason, op, dst, -1, false);
}

/** sanitize_speculative_path(): the branch that the processor may run by mistake, with the compared registers unknown. */
export function pushSpeculative(env: Env, compared: number, nextIdx: number): void {
  const branch = pushStack(env, nextIdx, env.insnIdx, true);
  if (compared < 0) return;
  markRegUnknown(env, branch.frame, env.slots.dst[compared]!);
  if ((env.slots.op[compared]! & BPF_X) === BPF_X)
    markRegUnknown(env, branch.frame, env.slots.src[compared]!);
}

/**
 * sanitize_ptr_alu(). First call (`commit` false): before the arithmetic, with the pointer in register `dst` already;
 * second: after it, with the pointer that came out.
 */
export function sanitizePtr(
  env: Env,
  op: number,
  dst: number,
  src: number,
  ptr: RegState,
  off: RegState,
  ptrIsDst: boolean,
  info: SanitizeInfo,
  commit: boolean,
): void {
  if (canSkip(env, op)) return;
  const offIsImm = isConst(off);
  if (!env.state.speculative) {
    const offIsNegative = off.sminHi < 0;
    const fail = (reason: number): never => sanitizeError(env, reason, op, dst, src, !ptrIsDst);
    if (!commit) {
      if (!offIsImm && off.sminHi < 0 !== off.smaxHi < 0) fail(REASON_BOUNDS);
      info.maskToLeft = (op & 0xf0) === BPF_ADD ? offIsNegative : !offIsNegative;
    }
    const limit = ptrLimit(ptr, info.maskToLeft);
    if (limit < 0) fail(limit);
    let reason: number;
    if (commit) {
      reason = update(env.aux[env.insnIdx]!, info.aluState, Math.abs((info.aluLimit - limit) | 0));
    } else {
      reason = update(
        info,
        (offIsNegative ? BPF_ALU_NEG_VALUE : 0) |
          (offIsImm ? BPF_ALU_IMMEDIATE : 0) |
          (ptrIsDst ? BPF_ALU_SANITIZE_SRC : BPF_ALU_SANITIZE_DST),
        limit,
      );
      // Paths with other masks must be found: pruning has to compare unknown numbers exactly.
      if (!offIsImm) env.exploreAluLimits = true;
    }
    if (reason < 0) fail(reason);
  }
  // The masked offset may come out as zero: the pointer as it was goes on from the next instruction.
  if (!commit && !offIsImm) pushSpeculative(env, -1, env.insnIdx + 1);
}

const PROHIBITED = "pointer arithmetic with it prohibited for !root";

/** sanitize_err(). `offIsDst`: the offset sits in the destination register. */
function sanitizeError(
  env: Env,
  reason: number,
  op: number,
  dst: number,
  src: number,
  offIsDst: boolean,
): never {
  const name = (op & 0xf0) === BPF_ADD ? "add" : "sub";
  switch (reason) {
    case REASON_BOUNDS:
      return env.reject(
        EACCES,
        `R${offIsDst ? dst : src} has unknown scalar with mixed signed bounds, ${PROHIBITED}`,
      );
    case REASON_TYPE:
      return env.reject(
        EACCES,
        `R${offIsDst ? src : dst} has pointer with unsupported alu operation, ${PROHIBITED}`,
      );
    case REASON_PATHS:
      return env.reject(
        EACCES,
        `R${dst} tried to ${name} from different maps, paths or scalars, ${PROHIBITED}`,
      );
    default:
      return env.reject(EACCES, `R${dst} tried to ${name} beyond pointer bounds, ${PROHIBITED}`);
  }
}

/** sanitize_check_bounds(): the pointer that came out must lie in its object, or masking a later access is impossible. */
export function sanitizeCheckBounds(env: Env, dst: number): void {
  if (env.bypassSpecV1) return;
  const reg = env.reg(dst);
  if (reg.type === PTR_TO_STACK) {
    const off = reg.off + reg.valueLo;
    if (!isConst(reg))
      env.reject(
        EACCES,
        `R${dst} variable stack access prohibited for !root, var_off=${varOffText(reg)} off=${off}`,
      );
    if (off >= 0 || off < -MAX_BPF_STACK)
      env.reject(
        EACCES,
        `R${dst} stack pointer arithmetic goes out of range, prohibited for !root; off=${off}`,
      );
  } else if (reg.type === PTR_TO_MAP_VALUE) {
    try {
      checkMapAccess(env, dst, reg.off, 1, false, false);
    } catch (e) {
      if (!(e instanceof Rejection)) throw e;
      env.reject(EACCES, `R${dst} pointer arithmetic of map value goes out of range, prohibited for !root`);
    }
  }
}
