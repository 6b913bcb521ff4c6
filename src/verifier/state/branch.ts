/** The stack of branches still to be explored: push_stack(), pop_stack(), push_async_cb(). */
import { E2BIG } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { BPF_COMPLEXITY_LIMIT_JMP_SEQ, BPF_MAIN_FUNC } from "../limits.ts";
import { initFuncState } from "./frame.ts";
import { VerifierState } from "./state.ts";

/** Queues a copy of the current state to go on at `insnIdx`; returns it, for the caller to change. push_stack(). */
export function pushStack(
  env: Env,
  insnIdx: number,
  prevInsnIdx: number,
  speculative: boolean,
): VerifierState {
  const state = env.state.copy();
  env.pending.push({ state, insnIdx, prevInsnIdx, logPos: env.log.position });
  if (speculative) state.speculative = true;
  if (env.pending.length > BPF_COMPLEXITY_LIMIT_JMP_SEQ)
    env.reject(E2BIG, `The sequence of ${env.pending.length} jumps is too complex.`);
  // The checkpoint that both continue has one more continuation to wait for before it counts as explored.
  if (state.parent !== null) state.parent.branches++;
  state.branches = 1;
  state.equalState = null;
  return state;
}

/** Queues the callback `subprog`, which will run later, in a frame of its own: nothing of the caller matters. push_async_cb(). */
export function pushAsyncCallback(
  env: Env,
  insnIdx: number,
  prevInsnIdx: number,
  subprog: number,
  sleepable: boolean,
): VerifierState {
  const state = new VerifierState();
  env.pending.push({ state, insnIdx, prevInsnIdx, logPos: env.log.position });
  if (env.pending.length > BPF_COMPLEXITY_LIMIT_JMP_SEQ)
    env.reject(E2BIG, `The sequence of ${env.pending.length} jumps is too complex for async cb.`);
  state.branches = 1;
  state.inSleepable = sleepable;
  state.frames.push(initFuncState(env, BPF_MAIN_FUNC, 0, subprog));
  return state;
}

/** Goes on with the branch queued last; false: there is none. pop_stack(). */
export function popStack(env: Env, cutLog: boolean): boolean {
  const next = env.pending.pop();
  if (next === undefined) return false;
  if (cutLog) env.log.reset(next.logPos);
  env.state = next.state;
  env.insnIdx = next.insnIdx;
  env.prevInsnIdx = next.prevInsnIdx;
  return true;
}
