/**
 * The stack that chains of calls need: check_max_stack_depth(). It follows every call of every function, without
 * recursion of its own; a program that recurses runs into the limit of frames.
 */
import {
  BPF_PROG_TYPE_KPROBE,
  BPF_PROG_TYPE_PERF_EVENT,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_TRACEPOINT,
  BPF_PROG_TYPE_TRACING,
  BPF_TRACE_ITER,
  E2BIG,
  EACCES,
  EFAULT,
  EINVAL,
} from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { isPseudoCall, isPseudoFunc, isThrowCall } from "../insns/insn-kind.ts";
import { BPF_PRIV_STACK_MIN_SIZE } from "../limits.ts";
import { MAX_BPF_STACK, MAX_CALL_FRAMES } from "../state/state.ts";
import { findSubprog } from "./subprog.ts";

/** enum priv_stack_mode. */
const PRIV_STACK_UNKNOWN = 0;
const NO_PRIV_STACK = 1;
const PRIV_STACK_ADAPTIVE = 2;

/** The x86 JIT aligns frames to 16 bytes. round_up_stack_depth(). */
function roundUp(depth: number): number {
  return (depth + 15) & -16;
}

/** Programs that cannot interrupt themselves may have their stacks elsewhere. bpf_enable_priv_stack(). */
function privStackMode(env: Env): number {
  if (!env.profile.rules.has("private-stack")) return NO_PRIV_STACK;
  switch (env.progType) {
    case BPF_PROG_TYPE_KPROBE:
    case BPF_PROG_TYPE_TRACEPOINT:
    case BPF_PROG_TYPE_PERF_EVENT:
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
      return PRIV_STACK_ADAPTIVE;
    // bpf_prog_check_recur().
    case BPF_PROG_TYPE_TRACING:
      return env.expectedAttachType !== BPF_TRACE_ITER ? PRIV_STACK_ADAPTIVE : NO_PRIV_STACK;
    default:
      return NO_PRIV_STACK;
  }
}

/** check_max_stack_depth_subprog(), from function `root`. */
function checkFrom(env: Env, root: number, privStack: boolean): void {
  const { subprogs, slots } = env;
  const retInsn: number[] = [];
  const retSubprog: number[] = [];
  let idx = root;
  let i = subprogs[idx]!.start;
  let depth = 0;
  let tailCallReachable = false;
  if (!privStack) subprogs[idx]!.privStackMode = NO_PRIV_STACK;

  const enter = (): void => {
    const subprog = subprogs[idx]!;
    if (subprog.hasLdAbs && (subprog.isCb || retSubprog.some((s) => subprogs[s]!.isCb)))
      env.reject(EINVAL, "cannot use BPF_LD_[ABS|IND] within callback");
    if (idx !== 0 && subprog.hasTailCall && depth >= 256)
      env.reject(
        EACCES,
        `tail_calls are not allowed when call stack of previous frames is ${depth} bytes. Too large`,
      );
    const own = roundUp(subprog.stackDepth);
    if (privStack && subprog.privStackMode === PRIV_STACK_UNKNOWN && own >= BPF_PRIV_STACK_MIN_SIZE)
      subprog.privStackMode = PRIV_STACK_ADAPTIVE;
    if (subprog.privStackMode === PRIV_STACK_ADAPTIVE) {
      if (own > MAX_BPF_STACK) env.reject(EACCES, `stack size of subprog ${idx} is ${own}. Too large`);
      return;
    }
    depth += own;
    if (depth > MAX_BPF_STACK)
      env.reject(EACCES, `combined stack size of ${retInsn.length + 1} calls is ${depth}. Too large`);
  };

  enter();
  for (;;) {
    let called = false;
    for (; i < subprogs[idx]!.end; i++) {
      if (isThrowCall(env, i)) {
        if (subprogs[idx]!.isCb || retSubprog.some((s) => subprogs[s]!.isCb))
          env.reject(EINVAL, `bpf_throw kfunc (insn ${i}) cannot be called from callback subprog ${idx}`);
        continue;
      }
      const call = isPseudoCall(slots, i);
      if (!call && !isPseudoFunc(slots, i)) continue;
      const target = i + slots.imm[i]! + 1;
      const callee = findSubprog(env, target);
      if (callee < 0) env.bug(`no function starts at slot ${target}`);
      if (subprogs[callee]!.isAsyncCb) {
        if (subprogs[callee]!.hasTailCall)
          env.reject(EFAULT, "verifier bug. subprog has tail_call and async cb");
        // It will have a stack of its own.
        if (!call) continue;
        if (subprogs[callee]!.isExceptionCb)
          env.reject(EINVAL, `insn ${i} cannot call exception cb directly`);
      }
      retInsn.push(i + 1);
      retSubprog.push(idx);
      i = target;
      idx = callee;
      if (!privStack) subprogs[idx]!.privStackMode = NO_PRIV_STACK;
      if (subprogs[idx]!.hasTailCall) tailCallReachable = true;
      if (retInsn.length >= MAX_CALL_FRAMES)
        env.reject(E2BIG, `the call stack of ${retInsn.length} frames is too deep !`);
      called = true;
      break;
    }
    if (called) {
      enter();
      continue;
    }
    if (tailCallReachable)
      for (const s of retSubprog) {
        if (subprogs[s]!.isExceptionCb) env.reject(EINVAL, "cannot tail call within exception cb");
        subprogs[s]!.tailCallReachable = true;
      }
    if (retInsn.length === 0) return;
    if (subprogs[idx]!.privStackMode !== PRIV_STACK_ADAPTIVE) depth -= roundUp(subprogs[idx]!.stackDepth);
    i = retInsn.pop()!;
    idx = retSubprog.pop()!;
  }
}

export function checkMaxStackDepth(env: Env): void {
  const mode = env.subprogs.some((s) => s.hasTailCall) ? NO_PRIV_STACK : privStackMode(env);
  // Callbacks that run later have a stack of their own: each is a root.
  for (let s = env.subprogs.length - 1; s >= 0; s--)
    if (s === 0 || env.subprogs[s]!.isAsyncCb) checkFrom(env, s, s === 0 && mode === PRIV_STACK_ADAPTIVE);
}
