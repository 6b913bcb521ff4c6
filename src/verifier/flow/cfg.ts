/**
 * The control-flow graph: everything is reachable, nothing loops where it may not, and where states are remembered.
 * A depth-first walk with a stack of its own. check_cfg().
 */
import {
  BPF_CALL,
  BPF_DW,
  BPF_EXIT,
  BPF_FUNC_tail_call,
  BPF_IMM,
  BPF_JA,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_X,
  E2BIG,
  EINVAL,
} from "../../uapi/index.ts";
import { helperProto } from "../calls/helper-proto.ts";
import { kfuncFacts } from "../calls/kfunc-facts.ts";
import type { Env } from "../env.ts";
import {
  callsAsyncCallback,
  callsSyncCallback,
  helperChangesPktData,
  isHelperCall,
  isKfuncCall,
  isMayGoto,
  isPseudoCall,
  isPseudoFunc,
  kfuncChangesPktData,
  kfuncName,
} from "../insns/insn-kind.ts";
import { verboseLineInfo } from "../log/log.ts";
import { subprogAt } from "./subprog.ts";

const DISCOVERED = 0x10;
const EXPLORED = 0x20;
const FALLTHROUGH = 1;
const BRANCH = 2;
const LD_IMM64 = BPF_LD | BPF_IMM | BPF_DW;

class Walk {
  readonly state: Int32Array;
  readonly stack: number[] = [];
  constructor(count: number) {
    this.state = new Int32Array(count);
  }
}

function markPrunePoint(env: Env, i: number): void {
  env.aux[i]!.prunePoint = true;
}

function markJmpPoint(env: Env, i: number): void {
  env.aux[i]!.jmpPoint = true;
}

/** Follows the edge from `t` to `w`; true: `w` is to be visited first. push_insn(). */
function pushInsn(env: Env, walk: Walk, t: number, w: number, edge: number): boolean {
  const { state } = walk;
  if (edge === FALLTHROUGH && state[t]! >= (DISCOVERED | FALLTHROUGH)) return false;
  if (edge === BRANCH && state[t]! >= (DISCOVERED | BRANCH)) return false;
  if (w < 0 || w >= env.slots.count) {
    verboseLineInfo(env, t, `${t}: `);
    env.reject(EINVAL, `jump out of range from insn ${t} to ${w}`);
  }
  if (edge === BRANCH) {
    markPrunePoint(env, w);
    markJmpPoint(env, w);
    env.aux[w]!.jumpTarget = true;
  }
  if (state[w] === 0) {
    state[t] = DISCOVERED | edge;
    state[w] = DISCOVERED;
    if (walk.stack.length >= env.slots.count) env.reject(E2BIG, "");
    walk.stack.push(w);
    return true;
  }
  if ((state[w]! & 0xf0) === DISCOVERED) {
    if (env.bpfCapable) return false;
    verboseLineInfo(env, t, `${t}: `);
    verboseLineInfo(env, w, `${w}: `);
    env.reject(EINVAL, `back-edge from insn ${t} to ${w}`);
  }
  state[t] = DISCOVERED | edge;
  return false;
}

/** A caller does what its callees do. merge_callee_effects(). */
function mergeCallee(env: Env, t: number, w: number): void {
  const caller = env.subprogs[subprogAt(env, t)]!;
  const callee = env.subprogs[subprogAt(env, w)]!;
  if (callee.changesPktData) caller.changesPktData = true;
  if (callee.mightSleep) caller.mightSleep = true;
}

/** visit_func_call_insn(). */
function visitCall(env: Env, walk: Walk, t: number, callee: boolean): boolean {
  const size = env.slots.op[t] === LD_IMM64 ? 2 : 1;
  if (pushInsn(env, walk, t, t + size, FALLTHROUGH)) return true;
  markPrunePoint(env, t + size);
  markJmpPoint(env, t + size);
  if (!callee) return false;
  const w = t + env.slots.imm[t]! + 1;
  markPrunePoint(env, t);
  mergeCallee(env, t, w);
  return pushInsn(env, walk, t, w, BRANCH);
}

function visitCallInsn(env: Env, walk: Walk, t: number): boolean {
  const { slots } = env;
  const aux = env.aux[t]!;
  const subprog = env.subprogs[subprogAt(env, t)]!;
  if (callsAsyncCallback(env, t)) markPrunePoint(env, t);
  if (callsSyncCallback(env, t)) {
    aux.callsCallback = true;
    aux.forceCheckpoint = true;
    aux.prunePoint = true;
    aux.jmpPoint = true;
  }
  if (isHelperCall(slots, t)) {
    const id = slots.imm[t]!;
    const helper = helperProto(env, id);
    if (helper?.mightSleep === true) subprog.mightSleep = true;
    if (
      helperChangesPktData(id) &&
      (id !== BPF_FUNC_tail_call || !env.profile.rules.has("tail-call-keeps-pkt"))
    )
      subprog.changesPktData = true;
  } else if (isKfuncCall(slots, t)) {
    const facts = kfuncFacts(env, t);
    if (facts?.iterNext === true) {
      aux.prunePoint = true;
      aux.forceCheckpoint = true;
      aux.isIterNext = true;
    }
    if (facts?.sleepable === true) subprog.mightSleep = true;
    if (kfuncChangesPktData(kfuncName(env, t))) subprog.changesPktData = true;
  }
  return visitCall(env, walk, t, isPseudoCall(slots, t));
}

/** True: another instruction is to be visited first. visit_insn(). */
function visitInsn(env: Env, walk: Walk, t: number): boolean {
  const { op, off, imm } = env.slots;
  const code = op[t]!;
  const cls = code & 7;
  if (isPseudoFunc(env.slots, t)) return visitCall(env, walk, t, true);
  if (cls !== BPF_JMP && cls !== BPF_JMP32)
    return pushInsn(env, walk, t, t + (code === LD_IMM64 ? 2 : 1), FALLTHROUGH);
  switch (code & 0xf0) {
    case BPF_EXIT:
      return false;
    case BPF_CALL:
      return visitCallInsn(env, walk, t);
    case BPF_JA: {
      if ((code & 8) === BPF_X) env.reject(EINVAL, "");
      const w = t + 1 + (cls === BPF_JMP ? off[t]! : imm[t]!);
      if (pushInsn(env, walk, t, w, FALLTHROUGH)) return true;
      markPrunePoint(env, w);
      markJmpPoint(env, w);
      env.aux[w]!.jumpTarget = true;
      return false;
    }
    default:
      markPrunePoint(env, t);
      if (isMayGoto(env.slots, t)) env.aux[t]!.forceCheckpoint = true;
      if (pushInsn(env, walk, t, t + 1, FALLTHROUGH)) return true;
      return pushInsn(env, walk, t, t + off[t]! + 1, BRANCH);
  }
}

function walkFrom(env: Env, walk: Walk, start: number): void {
  const { state, stack } = walk;
  state[start] = DISCOVERED;
  stack.push(start);
  while (stack.length > 0) {
    const t = stack[stack.length - 1]!;
    if (visitInsn(env, walk, t)) continue;
    state[t] = EXPLORED;
    stack.pop();
  }
}

export function checkCfg(env: Env): void {
  const { count, op } = env.slots;
  const walk = new Walk(count);
  walkFrom(env, walk, 0);
  if (env.exceptionCallbackSubprog !== 0)
    walkFrom(env, walk, env.subprogs[env.exceptionCallbackSubprog]!.start);
  for (let i = 0; i < count; i++) {
    if (walk.state[i] !== EXPLORED) env.reject(EINVAL, `unreachable insn ${i}`);
    if (op[i] !== LD_IMM64) continue;
    if (walk.state[i + 1] !== 0) env.reject(EINVAL, `jump into the middle of ldimm64 insn ${i}`);
    i++;
  }
  env.changesPktData = env.subprogs[0]!.changesPktData;
}
