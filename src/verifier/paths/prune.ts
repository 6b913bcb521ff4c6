/** Checkpoints: states that are kept at certain instructions so that later paths through them need not go on. */
import { BPF_JCOND, BPF_JMP, EINVAL } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { BPF_COMPLEXITY_LIMIT_STATES } from "../limits.ts";
import { printVerifierState, verboseLine } from "../log/log.ts";
import { BPF_ITER_STATE_ACTIVE } from "../log/type-names.ts";
import type { RegState } from "../state/reg.ts";
import { BPF_REG_FP } from "../state/reg-arg.ts";
import { newNotInit } from "../state/reg-ops.ts";
import { spiOf } from "../state/stack-slots.ts";
import { STACK_ITER, StackSlot, type VerifierState } from "../state/state.ts";
import { propagatePrecision } from "./backedges.ts";
import {
  EXACT,
  frameInsnIdx,
  maybeLooping,
  NOT_EXACT,
  RANGE_WITHIN,
  sameCallsites,
  statesEqual,
} from "./equal.ts";
import { markAllImprecise, pushHistory } from "./precision.ts";

const nothing: RegState = newNotInit();
nothing.shared = true;
const emptySlot: StackSlot = new StackSlot(0, nothing);
emptySlot.shared = true;

/** Forgets what nobody will read: clean_verifier_state(). */
function clean(env: Env, state: VerifierState): void {
  state.cleaned = true;
  const liveness = env.stackLiveness!;
  liveness.query(env, state);
  for (let f = 0; f <= state.curframe; f++) {
    const frame = state.frames[f]!;
    const { liveRegs } = env.aux[frameInsnIdx(state, f)]!;
    for (let r = 0; r < BPF_REG_FP; r++) if (((liveRegs >>> r) & 1) === 0) frame.regs[r] = nothing;
    const lo = liveness.aliveLo[f]!;
    const high = liveness.aliveHi[f]!;
    for (let s = 0; s < frame.stack.length; s++) {
      const alive = s < 32 ? lo >>> s : high >>> (s - 32);
      if ((alive & 1) === 0) frame.stack[s] = emptySlot;
    }
  }
}

/** clean_live_states(). */
function cleanExplored(env: Env, list: readonly VerifierState[], cur: VerifierState): void {
  for (let i = list.length - 1; i >= 0; i--) {
    const st = list[i]!;
    if (st.branches !== 0 || st.cleaned || !sameCallsites(st, cur)) continue;
    if (!env.loops!.isIncomplete(env, st)) clean(env, st);
  }
}

/** Has an iterator gone on since? Then this is another round, not the same again: iter_active_depths_differ(). */
function iteratorsDiffer(old: VerifierState, cur: VerifierState): boolean {
  for (let f = old.curframe; f >= 0; f--) {
    const { stack } = old.frames[f]!;
    for (let s = 0; s < stack.length; s++) {
      const slot = stack[s]!;
      if (slot.typeAt(0) !== STACK_ITER || slot.spilled.iterState !== BPF_ITER_STATE_ACTIVE) continue;
      if (cur.frames[f]!.stack[s]!.spilled.iterDepth !== slot.spilled.iterDepth) return true;
    }
  }
  return false;
}

/** At a call of an iterator's next(): is the iterator that it is called for running? */
function iteratorIsActive(cur: VerifierState): boolean {
  const reg = cur.frame.regs[1]!;
  const slot = cur.frames[reg.frameno]!.stack[spiOf(reg.off + reg.valueLo)]!;
  return slot.spilled.iterState === BPF_ITER_STATE_ACTIVE;
}

/** One path less goes on from `state`: update_branch_counts(). */
export function updateBranchCounts(env: Env, state: VerifierState | null): void {
  for (let st = state; st !== null; st = st.parent) {
    if (--st.branches > 0) return;
    env.loops!.exit(env, st);
  }
}

function infiniteLoop(env: Env, old: VerifierState, cur: VerifierState, insnIdx: number): never {
  verboseLine(env, insnIdx, "; ");
  env.verbose(`infinite loop detected at insn ${insnIdx}\n`);
  env.verbose("cur state:");
  printVerifierState(env, cur, cur.curframe, true);
  env.verbose("old state:");
  printVerifierState(env, old, cur.curframe, true);
  return env.reject(EINVAL, "");
}

const MISS = 0;
const HIT = 1;
/** As HIT, and the loop is not done. */
const HIT_IN_LOOP = 2;
/** No hit, and states should not pile up here. */
const MISS_IN_LOOP = 3;

/** A checkpoint that is still being explored: we came round. */
function compareInLoop(env: Env, old: VerifierState, cur: VerifierState, insnIdx: number): number {
  const aux = env.aux[insnIdx]!;
  const frame = old.frame;
  // Another entry into an asynchronous callback is no loop.
  if (frame.inAsyncCallbackFn && frame.asyncEntryCount !== cur.frame.asyncEntryCount) return MISS_IN_LOOP;
  if (aux.isIterNext) {
    if (statesEqual(env, old, cur, RANGE_WITHIN) && iteratorIsActive(cur)) return HIT_IN_LOOP;
    return MISS_IN_LOOP;
  }
  if (env.slots.op[insnIdx] === (BPF_JMP | BPF_JCOND)) {
    if (old.mayGotoDepth !== cur.mayGotoDepth && statesEqual(env, old, cur, RANGE_WITHIN)) return HIT_IN_LOOP;
  }
  if (aux.callsCallback) {
    if (statesEqual(env, old, cur, RANGE_WITHIN)) return HIT_IN_LOOP;
    return MISS_IN_LOOP;
  }
  if (
    maybeLooping(old, cur) &&
    statesEqual(env, old, cur, EXACT) &&
    !iteratorsDiffer(old, cur) &&
    old.mayGotoDepth === cur.mayGotoDepth &&
    old.callbackUnrollDepth === cur.callbackUnrollDepth
  )
    infiniteLoop(env, old, cur, insnIdx);
  return MISS_IN_LOOP;
}

/**
 * At a pruning point: true if the current state is covered by one explored before. Otherwise it may become a checkpoint
 * itself. is_state_visited().
 */
export function isStateVisited(env: Env, insnIdx: number): boolean {
  const cur = env.state;
  const aux = env.aux[insnIdx]!;
  cur.insnIdx = insnIdx;
  const force = env.testStateFreq || aux.forceCheckpoint || cur.history.length > 40;
  const jumps = env.jmpsProcessed - env.prevJmpsProcessed;
  const insns = env.processed - env.prevInsnsProcessed;
  let add = force || (jumps >= 2 && insns >= 8);
  const list = (env.explored[insnIdx] ??= []);
  cleanExplored(env, list, cur);
  const { callsite } = cur.frame;
  let states = 0;
  // The latest first.
  for (let i = list.length - 1; i >= 0; i--) {
    const st = list[i]!;
    if (st.frame.callsite !== callsite) continue;
    states++;
    let result: number;
    if (st.branches > 0) result = compareInLoop(env, st, cur, insnIdx);
    else {
      const incomplete = env.loops!.isIncomplete(env, st);
      result = MISS;
      if (statesEqual(env, st, cur, incomplete ? RANGE_WITHIN : NOT_EXACT))
        result = incomplete ? HIT_IN_LOOP : HIT;
    }
    if (result === HIT || result === HIT_IN_LOOP) {
      st.hitCount++;
      if (aux.jmpPoint) pushHistory(env, 0, null);
      propagatePrecision(env, st, cur);
      if (result === HIT_IN_LOOP) env.loops!.add(env, st, cur, insnIdx);
      return true;
    }
    // In a loop, states of rounds close to each other help nobody.
    if (result === MISS_IN_LOOP && !force && jumps < 20 && insns < 100) add = false;
    if (add) st.missCount++;
    const patience = aux.forceCheckpoint && st.branches > 0 ? 64 : 3;
    if (st.missCount > st.hitCount * patience + patience) {
      list.splice(i, 1);
      env.exploredStates--;
    }
  }
  if (states > env.maxStatesPerInsn) env.maxStatesPerInsn = states;
  if (!env.bpfCapable && states > BPF_COMPLEXITY_LIMIT_STATES) return false;
  if (!add) return false;

  env.totalStates++;
  env.exploredStates++;
  const held = env.exploredStates + env.loops!.count;
  if (held > env.peakStates) env.peakStates = held;
  env.prevJmpsProcessed = env.jmpsProcessed;
  env.prevInsnsProcessed = env.processed;
  if (env.bpfCapable) markAllImprecise(cur);
  const checkpoint = cur.copy();
  checkpoint.insnIdx = insnIdx;
  env.loops!.enter(env, checkpoint);
  cur.parent = checkpoint;
  for (const frame of cur.frames) frame.clearWritten();
  cur.firstInsnIdx = insnIdx;
  cur.dfsDepth = checkpoint.dfsDepth + 1;
  cur.history = [];
  list.push(checkpoint);
  return false;
}
