/** LD_IMM64 and the packet loads of classic BPF: check_ld_imm(), check_ld_abs(). */
import { BTF_FUNC_STATIC } from "../../btf/index.ts";
import {
  BPF_ABS,
  BPF_DW,
  BPF_IND,
  BPF_MAP_TYPE_ARENA,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_PSEUDO_MAP_VALUE,
  EINVAL,
} from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { findSubprog } from "../flow/subprog.ts";
import { checkPtrOffReg } from "../memory/mem-region.ts";
import { pushStack } from "../state/branch.ts";
import { clearCallerSaved } from "../state/frame.ts";
import { checkDstReg, checkSrcReg } from "../state/reg-arg.ts";
import { markKnown, markRegKnownZero, markRegUnknown } from "../state/reg-ops.ts";
import {
  baseType,
  CONST_PTR_TO_MAP,
  PTR_TO_BTF_ID,
  PTR_TO_CTX,
  PTR_TO_FUNC,
  PTR_TO_MAP_VALUE,
  PTR_TO_MEM,
  SCALAR_VALUE,
} from "../state/reg-type.ts";
import { prepareFuncExit } from "./func-call.ts";
import { checkResourceLeak, hasReferenceLeak } from "./resource-leak.ts";

export function checkLdImm(env: Env, i: number): void {
  const { op, dst, src, off, imm } = env.slots;
  if ((op[i]! & 0x18) !== BPF_DW) env.reject(EINVAL, "invalid BPF_LD_IMM insn");
  if (off[i] !== 0) env.reject(EINVAL, "BPF_LD_IMM64 uses reserved fields");
  const d = dst[i]!;
  checkDstReg(env, d, true);
  const kind = src[i]!;
  if (kind === 0) {
    const reg = env.frame.own(d);
    reg.type = SCALAR_VALUE;
    markKnown(reg, imm[i]!, imm[i + 1]!);
    return;
  }
  // All references to BTF, functions and maps were resolved before.
  const aux = env.aux[i]!;
  const reg = markRegKnownZero(env.frame, d);
  if (kind === BPF_PSEUDO_BTF_ID) {
    reg.type = aux.btfVarType;
    if (baseType(reg.type) === PTR_TO_MEM) reg.memSize = aux.btfVarMemSize;
    else if (baseType(reg.type) === PTR_TO_BTF_ID) {
      reg.btf = aux.btfVarBtf;
      reg.btfId = aux.btfVarId;
    }
    return;
  }
  if (kind === BPF_PSEUDO_FUNC) {
    const subprog = findSubprog(env, i + imm[i]! + 1);
    if (!env.hasFuncInfo) env.reject(EINVAL, "missing btf func_info");
    if (env.subprogs[subprog]!.linkage !== BTF_FUNC_STATIC)
      env.reject(EINVAL, "callback function not static");
    if (subprog === 0) env.reject(EINVAL, "callback function cannot be the main program");
    reg.type = PTR_TO_FUNC;
    reg.subprogno = subprog;
    return;
  }
  const map = env.input.maps[aux.mapIndex]!;
  if (kind === BPF_PSEUDO_MAP_VALUE || kind === BPF_PSEUDO_MAP_IDX_VALUE) {
    if (map.type === BPF_MAP_TYPE_ARENA) {
      markRegUnknown(env, env.frame, d);
      return;
    }
    reg.type = PTR_TO_MAP_VALUE;
    reg.map = map;
    reg.off = aux.mapOffset;
    return;
  }
  reg.type = CONST_PTR_TO_MAP;
  reg.map = map;
}

const READS_SKB: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SCHED_ACT,
]);

/** Nothing may be held: the program ends where the packet does. */
function checkNothingHeld(env: Env): void {
  const { state } = env;
  const what = "BPF_LD_[ABS|IND]";
  if (env.profile.rules.has("references-in-state")) {
    checkResourceLeak(env, false, true, what);
    return;
  }
  if (hasReferenceLeak(env, false)) env.reject(EINVAL, `${what} cannot be mixed with socket references`);
  if (state.activeLocks !== 0) env.reject(EINVAL, `${what} cannot be used inside bpf_spin_lock-ed region`);
  if (state.activeRcuLock !== 0)
    env.reject(EINVAL, `${what} cannot be used inside bpf_rcu_read_lock-ed region`);
  if (state.activePreemptLocks !== 0)
    env.reject(EINVAL, `${what} cannot be used inside bpf_preempt_disable-ed region`);
}

export function checkLdAbs(env: Env, i: number): void {
  const { op, dst, src, off } = env.slots;
  const mode = op[i]! & 0xe0;
  if (!READS_SKB.has(env.resolvedProgType))
    env.reject(EINVAL, "BPF_LD_[ABS|IND] instructions not allowed for this program type");
  for (let f = env.state.curframe; f > 0; f--)
    if (env.state.frames[f]!.inCallbackFn) env.reject(EINVAL, "cannot use BPF_LD_[ABS|IND] within callback");
  if (dst[i] !== 0 || off[i] !== 0 || (op[i]! & 0x18) === BPF_DW || (mode === BPF_ABS && src[i] !== 0))
    env.reject(EINVAL, "BPF_LD_[ABS|IND] uses reserved fields");
  checkSrcReg(env, 6);
  checkNothingHeld(env);
  if (env.reg(6).type !== PTR_TO_CTX)
    env.reject(EINVAL, "at the time of BPF_LD_ABS|IND R6 != pointer to skb");
  if (mode === BPF_IND) checkSrcReg(env, src[i]!);
  checkPtrOffReg(env, env.reg(6), 6, false);
  clearCallerSaved(env.frame);
  markRegUnknown(env, env.frame, 0).subregDef = env.insnIdx + 1;

  // In a function, a load outside the packet returns 0 to the caller instead of ending the program.
  if (env.state.curframe !== 0 && env.profile.rules.has("ld-abs-leaves-subprog")) {
    env.markRegScratched(0);
    pushStack(env, env.insnIdx + 1, env.insnIdx, false);
    markRegKnownZero(env.frame, 0).type = SCALAR_VALUE;
    prepareFuncExit(env);
    env.insnIdx--;
  }
}
