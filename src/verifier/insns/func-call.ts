/** Calls of the program's own functions, and returning from them: check_func_call(), prepare_func_exit(). */
import { EACCES, EINVAL } from "../../uapi/index.ts";
import { checkSubprogCall } from "../calls/global-args.ts";
import type { Env } from "../env.ts";
import { findSubprog } from "../flow/subprog.ts";
import { DEF_NOT_SUBREG } from "../limits.ts";
import { printVerifierState } from "../log/log.ts";
import { toS64 } from "../numbers/int64.ts";
import { markChainPrecision } from "../paths/precision.ts";
import { findPrevEntry, widenImpreciseScalars } from "../paths/widen.ts";
import { clearCallerSaved, setCalleeArgs, setupFuncEntry } from "../state/frame.ts";
import { clearAllPktPointers } from "../state/packet-pointers.ts";
import type { RegState } from "../state/reg.ts";
import { inSleepable } from "../state/reg-kind.ts";
import { markRegUnknown } from "../state/reg-ops.ts";
import { PTR_TO_STACK, SCALAR_VALUE } from "../state/reg-type.ts";
import type { RetvalRange } from "../state/state.ts";

/** BPF_LOG_LEVEL: instructions and states are printed. */
const LOG_LEVELS = 3;

/** retval_range_within(). `bits32`: only the lower half counts. */
export function retvalWithin(range: RetvalRange, reg: RegState, bits32: boolean): boolean {
  if (bits32) return range.min <= reg.s32Min && reg.s32Max <= range.max;
  return (
    toS64(reg.sminLo, reg.sminHi) >= BigInt(range.min) && toS64(reg.smaxLo, reg.smaxHi) <= BigInt(range.max)
  );
}

/** verbose_invalid_scalar(). */
export function verboseInvalidScalar(
  env: Env,
  reg: RegState,
  range: RetvalRange,
  where: string,
  name: string,
): void {
  const smin = toS64(reg.sminLo, reg.sminHi);
  const smax = toS64(reg.smaxLo, reg.smaxHi);
  let text = `${where} the register ${name} has`;
  if (smin > -(1n << 63n)) text += ` smin=${smin}`;
  if (smax < (1n << 63n) - 1n) text += ` smax=${smax}`;
  if (smin === -(1n << 63n) && smax === (1n << 63n) - 1n) text += " unknown scalar value";
  env.verbose(`${text} should have been in [${range.min}, ${range.max}]\n`);
}

/** A global function is verified by itself: of a call, only the arguments matter. */
function callGlobal(env: Env, subprog: number, errno: number): void {
  const { state } = env;
  const callee = env.subprogs[subprog]!;
  if (state.activeLocks !== 0)
    env.reject(
      EINVAL,
      "global function calls are not allowed while holding a lock,\nuse static function instead",
    );
  if (env.profile.rules.has("might-sleep-subprogs")) {
    if (
      callee.mightSleep &&
      (state.activeRcuLock !== 0 ||
        state.activePreemptLocks !== 0 ||
        state.activeIrqId !== 0 ||
        !inSleepable(env))
    )
      env.reject(
        EINVAL,
        "global functions that may sleep are not allowed in non-sleepable context,\n" +
          "i.e., in a RCU/IRQ/preempt-disabled section, or in\n" +
          "a non-sleepable BPF program context",
      );
  } else if (state.activePreemptLocks !== 0) {
    env.reject(
      EINVAL,
      "global function calls are not allowed with preemption disabled,\nuse static function instead",
    );
  }
  if (errno !== 0) env.reject(errno, `Caller passes invalid args into func#${subprog} ('${callee.name}')`);
  env.verbose(`Func#${subprog} ('${callee.name}') is global and assumed valid.\n`);
  if (callee.changesPktData) clearAllPktPointers(env);
  callee.called = true;
  const { frame } = env;
  clearCallerSaved(frame);
  const reg = markRegUnknown(env, frame, 0);
  reg.subregDef = DEF_NOT_SUBREG;
  env.insnIdx++;
}

/** The call at the current instruction; afterwards `insnIdx` is where to go on. */
export function checkFuncCall(env: Env): void {
  const callsite = env.insnIdx;
  const target = callsite + env.slots.imm[callsite]! + 1;
  const subprog = findSubprog(env, target);
  if (subprog < 0) env.bug(`no function starts at slot ${target}`);
  const errno = checkSubprogCall(env, subprog);
  if (env.subprogs[subprog]!.isGlobal) {
    callGlobal(env, subprog, errno);
    return;
  }
  const { state } = env;
  const caller = state.frame;
  setupFuncEntry(env, subprog, callsite, setCalleeArgs, state);
  clearCallerSaved(caller);
  env.insnIdx = env.subprogs[subprog]!.start;
  if ((env.log.level & LOG_LEVELS) === 0) return;
  env.verbose("caller:\n");
  printVerifierState(env, state, state.curframe - 1, true);
  env.verbose("callee:\n");
  printVerifierState(env, state, state.curframe, true);
}

/** Leaves the current function: `insnIdx` is where the caller goes on. */
export function prepareFuncExit(env: Env): void {
  const { state } = env;
  const callee = state.frame;
  const r0 = callee.regs[0]!;
  if (r0.type === PTR_TO_STACK) env.reject(EINVAL, "cannot return stack pointer to the caller");
  const caller = state.frames[state.curframe - 1]!;
  if (callee.inCallbackFn) {
    if (r0.type !== SCALAR_VALUE) env.reject(EACCES, "R0 not a scalar value");
    markChainPrecision(env, 0);
    if (!retvalWithin(callee.callbackRetRange, r0, false)) {
      verboseInvalidScalar(env, r0, callee.callbackRetRange, "At callback return", "R0");
      env.reject(EINVAL, "");
    }
    if (!env.aux[callee.callsite]!.callsCallback) env.bug("a callback returns to what does not call one");
  } else {
    caller.copyReg(0, r0, callee.isPrecise(0));
  }
  // A callback goes back to the call, which may call it again.
  env.insnIdx = callee.inCallbackFn ? callee.callsite : callee.callsite + 1;
  if ((env.log.level & LOG_LEVELS) !== 0) {
    env.verbose("returning from callee:\n");
    printVerifierState(env, state, state.curframe, true);
    env.verbose(`to caller at ${env.insnIdx}:\n`);
    printVerifierState(env, state, state.curframe - 1, true);
  }
  env.stackLiveness?.leave(env);
  state.curframe--;
  state.frames.length = state.curframe + 1;
  if (!callee.inCallbackFn) return;
  const prev = findPrevEntry(env, state, env.insnIdx);
  if (prev !== null) widenImpreciseScalars(env, prev, state);
}
