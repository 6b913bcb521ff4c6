/** Walks every path, one after the other: do_check(), do_check_common(), do_check_main(), do_check_subprogs(). */
import {
  BPF_ABS,
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CALL,
  BPF_EXIT,
  BPF_FUNC_spin_unlock,
  BPF_IMM,
  BPF_IND,
  BPF_JA,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_PROG_TYPE_EXT,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_ST,
  BPF_STX,
  BPF_X,
  E2BIG,
  EACCES,
  EFAULT,
  EINVAL,
  EPERM,
} from "../../uapi/index.ts";
import {
  ARG_ANYTHING,
  ARG_PTR_TO_ARENA,
  ARG_PTR_TO_BTF_ID,
  ARG_PTR_TO_CTX,
  ARG_PTR_TO_DYNPTR,
  ARG_PTR_TO_MEM,
} from "../calls/arg-type.ts";
import { prepareFuncArgs } from "../calls/global-args.ts";
import { checkHelperCall } from "../calls/helper-call.ts";
import { checkKfuncCall } from "../calls/kfunc-call.ts";
import { type Env, Rejection, type SubprogArg } from "../env.ts";
import { checkAluOp } from "../insns/alu.ts";
import { checkExitLeaks } from "../insns/exit-leaks.ts";
import { checkFuncCall, prepareFuncExit } from "../insns/func-call.ts";
import { isThrowCall, kfuncName } from "../insns/insn-kind.ts";
import { checkCondJump } from "../insns/jump.ts";
import { checkLdAbs, checkLdImm } from "../insns/ld.ts";
import { checkAtomic, checkLdx, checkSt, checkStx } from "../insns/load-store.ts";
import { checkReturnCode } from "../insns/return-code.ts";
import { BPF_COMPLEXITY_LIMIT_INSNS, BPF_MAIN_FUNC } from "../limits.ts";
import { printInsn, printVerifierState } from "../log/log.ts";
import { BPF_DYNPTR_TYPE_LOCAL } from "../log/type-names.ts";
import { popStack } from "../state/branch.ts";
import { markDynptrReg } from "../state/dynptr.ts";
import { initFuncState } from "../state/frame.ts";
import { RegState } from "../state/reg.ts";
import { markKnownZero, markRegUnknown, markUnknown } from "../state/reg-ops.ts";
import {
  baseType,
  MEM_RDONLY,
  PTR_MAYBE_NULL,
  PTR_TO_BTF_ID,
  PTR_TO_CTX,
  PTR_TO_MEM,
  PTR_TRUSTED,
  PTR_UNTRUSTED,
} from "../state/reg-type.ts";
import { VerifierState } from "../state/state.ts";
import { pushHistory } from "./precision.ts";
import { isStateVisited, updateBranchCounts } from "./prune.ts";

const LOG_LEVELS = 3;
const LOG_LEVEL2 = 2;

/** What an instruction came to: the path goes on (perhaps with a fresh state to print), or ends. */
const NEXT = 0;
const NEXT_FRAME = 1;
const PATH_ENDS = 2;

/** Kfuncs that may be called while a spin lock is held. kfunc_spin_allowed(). */
const UNDER_LOCK: ReadonlySet<string> = new Set([
  "bpf_list_push_front_impl",
  "bpf_list_push_back_impl",
  "bpf_list_pop_front",
  "bpf_list_pop_back",
  "bpf_list_front",
  "bpf_list_back",
  "bpf_rbtree_add_impl",
  "bpf_rbtree_first",
  "bpf_rbtree_remove",
  "bpf_rbtree_root",
  "bpf_rbtree_left",
  "bpf_rbtree_right",
  "bpf_refcount_acquire_impl",
]);
/** ...and since 6.15: also these. */
const UNDER_LOCK_615: ReadonlySet<string> = new Set([
  "bpf_iter_num_new",
  "bpf_iter_num_next",
  "bpf_iter_num_destroy",
  "bpf_res_spin_lock",
  "bpf_res_spin_unlock",
  "bpf_res_spin_lock_irqsave",
  "bpf_res_spin_unlock_irqrestore",
  "bpf_arena_alloc_pages",
  "bpf_arena_free_pages",
  "bpf_arena_reserve_pages",
  "bpf_stream_vprintk",
]);

/** BPF_CALL of any kind. */
function checkCall(env: Env, i: number): number {
  const { op, dst, src, off, imm } = env.slots;
  const kind = src[i]!;
  if (
    (op[i]! & 8) === BPF_X ||
    (kind !== BPF_PSEUDO_KFUNC_CALL && off[i] !== 0) ||
    kind > BPF_PSEUDO_KFUNC_CALL ||
    dst[i] !== 0 ||
    (op[i]! & 7) === BPF_JMP32
  )
    env.reject(EINVAL, "BPF_CALL uses reserved fields");
  if (env.state.activeLocks !== 0) {
    const name = kind === BPF_PSEUDO_KFUNC_CALL ? kfuncName(env, i) : "";
    const fine =
      kind === 0
        ? imm[i] === BPF_FUNC_spin_unlock
        : kind === BPF_PSEUDO_CALL ||
          (off[i] === 0 &&
            (UNDER_LOCK.has(name) ||
              (env.profile.rules.has("references-in-state") && UNDER_LOCK_615.has(name))));
    if (!fine) env.reject(EINVAL, "function calls are not allowed while holding a lock");
  }
  if (kind === BPF_PSEUDO_CALL) {
    checkFuncCall(env);
  } else if (kind === BPF_PSEUDO_KFUNC_CALL) {
    checkKfuncCall(env, i);
    if (isThrowCall(env, i)) {
      checkExitLeaks(env, true);
      return PATH_ENDS;
    }
    env.insnIdx++;
  } else {
    checkHelperCall(env, i);
    env.insnIdx++;
  }
  env.markRegScratched(0);
  return NEXT;
}

function checkJump(env: Env, i: number): number {
  const { op, dst, src, off, imm } = env.slots;
  const code = op[i]!;
  const wide = (code & 7) === BPF_JMP;
  env.jmpsProcessed++;
  switch (code & 0xf0) {
    case BPF_CALL:
      return checkCall(env, i);
    case BPF_JA:
      if ((code & 8) === BPF_X || src[i] !== 0 || dst[i] !== 0 || (wide ? imm[i] !== 0 : off[i] !== 0))
        env.reject(EINVAL, "BPF_JA uses reserved fields");
      env.insnIdx += 1 + (wide ? off[i]! : imm[i]!);
      return NEXT;
    case BPF_EXIT:
      if ((code & 8) === BPF_X || imm[i] !== 0 || src[i] !== 0 || dst[i] !== 0 || !wide)
        env.reject(EINVAL, "BPF_EXIT uses reserved fields");
      checkExitLeaks(env, false);
      if (env.state.curframe !== 0) {
        prepareFuncExit(env);
        return NEXT_FRAME;
      }
      checkReturnCode(env, 0, "R0");
      return PATH_ENDS;
    default:
      env.insnIdx = checkCondJump(env);
      return NEXT;
  }
}

/** Executes the instruction at env.insnIdx, and moves insnIdx on. do_check_insn(). */
function checkInsn(env: Env): number {
  const i = env.insnIdx;
  const code = env.slots.op[i]!;
  switch (code & 7) {
    case BPF_ALU:
    case BPF_ALU64:
      checkAluOp(env);
      break;
    case BPF_LDX:
      checkLdx(env, i);
      break;
    case BPF_STX:
      if ((code & 0xe0) === BPF_ATOMIC) checkAtomic(env, i);
      else checkStx(env, i);
      break;
    case BPF_ST:
      checkSt(env, i);
      break;
    case BPF_JMP:
    case BPF_JMP32:
      return checkJump(env, i);
    case BPF_LD: {
      const mode = code & 0xe0;
      if (mode === BPF_ABS || mode === BPF_IND) checkLdAbs(env, i);
      else if (mode === BPF_IMM) {
        checkLdImm(env, i);
        env.insnIdx++;
        markSeen(env, env.insnIdx);
      } else env.reject(EINVAL, "invalid BPF_LD mode");
      break;
    }
  }
  env.insnIdx++;
  return NEXT;
}

/** sanitize_mark_insn_seen(): what only wrong speculation reaches is not seen. */
function markSeen(env: Env, i: number): void {
  if (!env.state.speculative) env.aux[i]!.seen = true;
}

function speculativeText(env: Env): string {
  return env.state.speculative ? " (speculative execution)" : "";
}

/** Prints where the path stands, if the log wants it. */
function logInsn(env: Env, printState: boolean): void {
  const { level } = env.log;
  if ((level & LOG_LEVEL2) !== 0 && printState) {
    env.verbose(`\nfrom ${env.prevInsnIdx} to ${env.insnIdx}${speculativeText(env)}:`);
    printVerifierState(env, env.state, env.state.curframe, true);
  }
  if ((level & LOG_LEVELS) === 0) return;
  printInsn(env);
}

const RECOVERABLE: ReadonlySet<number> = new Set([EPERM, EACCES, EINVAL]);

/** One instruction; a rejection on a speculative path only ends that path, where kernels put a barrier. */
function step(env: Env): number {
  const i = env.insnIdx;
  const aux = env.aux[i]!;
  const { barriers } = env;
  if (barriers && env.state.speculative && aux.nospec) return PATH_ENDS;
  env.stackLiveness?.begin(env, i);
  let result: number;
  if (barriers && env.state.speculative) {
    try {
      result = checkInsn(env);
    } catch (e) {
      if (!(e instanceof Rejection) || !RECOVERABLE.has(e.errno)) throw e;
      env.stackLiveness?.commit(env);
      aux.nospec = true;
      aux.aluState = 0;
      return PATH_ENDS;
    }
  } else result = checkInsn(env);
  env.stackLiveness?.commit(env);
  if (result !== PATH_ENDS && barriers && env.state.speculative && aux.nospecResult) return PATH_ENDS;
  return result;
}

/** do_check(). */
function explore(env: Env): void {
  const cutLog = (env.log.level & LOG_LEVEL2) === 0;
  const limit = env.options.limit ?? BPF_COMPLEXITY_LIMIT_INSNS;
  const { onProgress, onInsn, exhaustive } = env.options;
  let printState = false;
  let prev = -1;
  for (;;) {
    env.curHistory = null;
    env.prevInsnIdx = prev;
    const i = env.insnIdx;
    if (i >= env.slots.count) env.reject(EFAULT, `invalid insn idx ${i} insn_cnt ${env.slots.count}`);
    if (++env.processed > limit)
      env.reject(E2BIG, `BPF program is too large. Processed ${env.processed} insn`);
    if (onProgress !== undefined && (env.processed & 0x3fff) === 0) onProgress(env.processed);
    env.state.lastInsnIdx = prev;
    env.state.insnIdx = i;
    const aux = env.aux[i]!;
    let ends = false;
    if (aux.prunePoint && exhaustive !== true && isStateVisited(env, i)) {
      if ((env.log.level & LOG_LEVELS) !== 0)
        env.verbose(printState ? `\nfrom ${prev} to ${i}${speculativeText(env)}: safe\n` : `${i}: safe\n`);
      ends = true;
    } else {
      if (aux.jmpPoint) pushHistory(env, 0, null);
      onInsn?.(i, env.state);
      logInsn(env, printState);
      printState = false;
      markSeen(env, i);
      prev = i;
      const result = step(env);
      ends = result === PATH_ENDS;
      if (result === NEXT_FRAME) printState = true;
    }
    if (!ends) continue;
    env.markAllScratched();
    updateBranchCounts(env, env.state);
    if (!popStack(env, cutLog)) return;
    prev = env.prevInsnIdx;
    printState = true;
  }
}

/** What a global function may assume of an argument. */
function argRegister(env: Env, arg: SubprogArg): RegState {
  const reg = new RegState();
  const type = arg.argType;
  const base = baseType(type);
  if (type === ARG_ANYTHING || base === ARG_PTR_TO_ARENA) {
    markUnknown(reg);
    return reg;
  }
  markKnownZero(reg);
  if (type === ARG_PTR_TO_CTX) {
    reg.type = PTR_TO_CTX;
  } else if (type === (ARG_PTR_TO_DYNPTR | MEM_RDONLY)) {
    markDynptrReg(reg, BPF_DYNPTR_TYPE_LOCAL, true, env.newId());
  } else if (base === ARG_PTR_TO_MEM) {
    reg.type = PTR_TO_MEM | (type & (PTR_MAYBE_NULL | MEM_RDONLY | PTR_UNTRUSTED));
    reg.memSize = arg.memSize;
    reg.id = env.newId();
  } else if (base === ARG_PTR_TO_BTF_ID) {
    reg.type = PTR_TO_BTF_ID | (type & (PTR_MAYBE_NULL | PTR_UNTRUSTED | PTR_TRUSTED));
    reg.btf = env.kernelBtf;
    reg.btfId = arg.btfId;
    reg.id = env.newId();
  } else env.bug(`a function's argument of type ${type}`);
  return reg;
}

/** Explores function `subprog` by itself. do_check_common(). */
function exploreFunction(env: Env, subprog: number): void {
  const sub = env.subprogs[subprog]!;
  env.prevLine = -1;
  const state = new VerifierState();
  state.branches = 1;
  const frame = initFuncState(env, BPF_MAIN_FUNC, 0, subprog);
  state.frames.push(frame);
  state.firstInsnIdx = sub.start;
  state.lastInsnIdx = -1;
  state.inSleepable = env.inSleepableProg;
  env.state = state;
  env.insnIdx = sub.start;
  env.markAllScratched();
  if (subprog !== 0 || env.progType === BPF_PROG_TYPE_EXT) {
    env.verbose(`Validating ${sub.name}() func#${subprog}...\n`);
    const args = prepareFuncArgs(env, subprog);
    if (sub.isExceptionCb) {
      frame.inExceptionCallbackFn = true;
      if (args.length !== 1 || args[0]!.argType !== ARG_ANYTHING)
        env.reject(EINVAL, "exception cb only supports single integer argument");
    }
    for (let i = 0; i < args.length; i++) {
      frame.regs[i + 1] = argRegister(env, args[i]!);
      if (args[i]!.argType === ARG_ANYTHING) markRegUnknown(env, frame, i + 1);
    }
  } else {
    // The main function may be called too: as a subprogram, if its prototype says that it takes the context.
    if (env.hasFuncInfo) sub.unreliable = !takesContext(env);
    const ctx = new RegState();
    ctx.type = PTR_TO_CTX;
    frame.regs[1] = ctx;
  }
  explore(env);
  if ((env.log.level & LOG_LEVEL2) === 0) env.log.reset(0);
  for (let i = 0; i < env.explored.length; i++) env.explored[i] = undefined;
}

/** Whether BTF says that the main function has one argument, the context. */
function takesContext(env: Env): boolean {
  try {
    const args = prepareFuncArgs(env, 0);
    return args.length === 1 && args[0]!.argType === ARG_PTR_TO_CTX;
  } catch (e) {
    if (e instanceof Rejection) return false;
    throw e;
  }
}

/** The main function, then every global one that is called, until no new one turns up. */
export function exploreAll(env: Env): void {
  exploreFunction(env, 0);
  if (!env.hasFuncInfo) return;
  if (env.exceptionCallbackSubprog !== 0) env.subprogs[env.exceptionCallbackSubprog]!.called = true;
  for (let again = true; again; ) {
    again = false;
    for (let s = 1; s < env.subprogs.length; s++) {
      const sub = env.subprogs[s]!;
      if (!sub.isGlobal || !sub.called || sub.verified) continue;
      exploreFunction(env, s);
      if ((env.log.level & LOG_LEVELS) !== 0)
        env.verbose(`Func#${s} ('${sub.name}') is safe for any args that match its prototype\n`);
      sub.verified = true;
      again = true;
    }
  }
}
