/** Frames: a fresh one, and entering a function with one. */
import { E2BIG } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { CALLER_SAVED_REGS } from "../limits.ts";
import { RegState } from "./reg.ts";
import { newNotInit } from "./reg-ops.ts";
import { PTR_TO_STACK } from "./reg-type.ts";
import { FuncState, MAX_BPF_REG, MAX_CALL_FRAMES, type VerifierState } from "./state.ts";

/** One register that holds nothing, shared by all frames. */
const notInit = newNotInit();
notInit.shared = true;

/** A frame in which only R10 holds something. init_func_state(). */
export function initFuncState(_env: Env, callsite: number, frameno: number, subprogno: number): FuncState {
  const regs: RegState[] = [];
  for (let i = 0; i < MAX_BPF_REG; i++) regs.push(notInit);
  const fp = new RegState();
  fp.type = PTR_TO_STACK;
  fp.frameno = frameno;
  regs[MAX_BPF_REG - 1] = fp;
  const frame = new FuncState(regs, []);
  frame.callsite = callsite;
  frame.frameno = frameno;
  frame.subprogno = subprogno;
  return frame;
}

/** Fills in the callee's registers from the caller's. */
export type SetCalleeState = (env: Env, caller: FuncState, callee: FuncState, callsite: number) => void;

/** Enters `subprog` in `state`, called at `callsite`. setup_func_entry(). */
export function setupFuncEntry(
  env: Env,
  subprog: number,
  callsite: number,
  setCalleeState: SetCalleeState,
  state: VerifierState,
): void {
  if (state.curframe + 1 >= MAX_CALL_FRAMES)
    env.reject(E2BIG, `the call stack of ${state.curframe + 2} frames is too deep`);
  const caller = state.frame;
  const callee = initFuncState(env, callsite, state.curframe + 1, subprog);
  state.frames.length = state.curframe + 1;
  state.frames.push(callee);
  setCalleeState(env, caller, callee, callsite);
  state.curframe++;
}

/** R1 to R5 go to a static function as they are. set_callee_state(). */
export function setCalleeArgs(_env: Env, caller: FuncState, callee: FuncState): void {
  for (let i = 1; i <= 5; i++) callee.copyReg(i, caller.regs[i]!, caller.isPrecise(i));
}

/** R0 to R5 hold nothing after a call. clear_caller_saved_regs(). */
export function clearCallerSaved(frame: FuncState): void {
  for (let i = 0; i < CALLER_SAVED_REGS; i++) markNotInit(frame, i);
}

export function markNotInit(frame: FuncState, r: number): void {
  frame.regs[r] = notInit;
  frame.precise &= ~(1 << r);
}
