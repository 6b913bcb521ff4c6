/**
 * Precision: pruning may treat two numbers as equal unless a path's outcome rests on them. Whoever needs a number exactly
 * (an offset, a size, a decided branch) marks it; the marks go back through the instructions that led here, into the
 * checkpoints that this path came from. The current state is never marked: it is no checkpoint yet.
 * Answers to mark_chain_precision() and backtrack_insn().
 */
import {
  BPF_ALU,
  BPF_ALU64,
  BPF_CALL,
  BPF_END,
  BPF_EXIT,
  BPF_IMM,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_MOV,
  BPF_NEG,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_ST,
  BPF_STX,
  BPF_X,
} from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { findSubprog } from "../flow/subprog.ts";
import { BPF_MAIN_FUNC } from "../limits.ts";
import { insnText, printVerifierState } from "../log/log.ts";
import { BPF_REG_FP, insnDefReg } from "../state/reg-arg.ts";
import { SCALAR_VALUE } from "../state/reg-type.ts";
import { isSpilledReg, isSpilledScalar } from "../state/stack-slots.ts";
import type { HistoryEntry, VerifierState } from "../state/state.ts";
import { Backtrack, maskText, slotMaskText } from "./backtrack.ts";

export const INSN_F_STACK_ACCESS: number = 1 << 9;
export const INSN_F_DST_REG_STACK: number = 1 << 10;
export const INSN_F_SRC_REG_STACK: number = 1 << 11;

/** HistoryEntry.flags of an access to slot `spi` of frame `frameno`: insn_stack_access_flags(). */
export function stackAccessFlags(frameno: number, spi: number): number {
  return INSN_F_STACK_ACCESS | (spi << 3) | frameno;
}

/** Bits of HistoryEntry.linked: frame, slot or register, and which of both. */
export function packLinked(frameno: number, index: number, isReg: boolean): number {
  return frameno | (index << 3) | (isReg ? 512 : 0);
}

/** Remembers the current instruction for backtracking, once: push_insn_history(). */
export function pushHistory(env: Env, flags: number, linked: readonly number[] | null): void {
  const entry = env.curHistory;
  if (entry !== null) {
    entry.flags |= flags;
    entry.linked = linked;
    return;
  }
  env.state.history.push((env.curHistory = { idx: env.insnIdx, prevIdx: env.prevInsnIdx, flags, linked }));
}

const bt: Backtrack = new Backtrack();

/** R1 to R5. */
const ARGS = 0x3e;
const EFAULT = 14;

/** How an instruction was dealt with. */
const DONE = 0;
const UNSUPPORTED = 1;

function syncLinked(entry: HistoryEntry | null): void {
  if (entry === null || entry.linked === null) return;
  const { linked } = entry;
  let some = false;
  for (let i = 0; i < linked.length && !some; i++) some = bt.hasPacked(linked[i]!);
  if (some) for (let i = 0; i < linked.length; i++) bt.addPacked(linked[i]!);
}

function leftover(env: Env, what: number): never {
  env.verbose(`BUG regs ${what.toString(16)}\n`);
  return env.reject(EFAULT, "");
}

/** Replaces what must be precise after instruction `i` by what must be before it. */
function backtrackInsn(env: Env, i: number, next: number, entry: HistoryEntry | null): number {
  const { slots } = env;
  const op = slots.op[i]!;
  if (op === 0) return DONE;
  const dst = slots.dst[i]!;
  const src = slots.src[i]!;
  if (env.log.level & 2) {
    env.verbose(
      `mark_precise: frame${bt.frame}: regs=${maskText(bt.regs[bt.frame]!)} stack=${bt.slotsText(bt.frame)} before ${i}: ${insnText(env, i)}\n`,
    );
  }
  syncLinked(entry);
  switch (op & 7) {
    case BPF_ALU:
    case BPF_ALU64: {
      if (!bt.hasReg(dst)) return DONE;
      const opcode = op & 0xf0;
      if (opcode === BPF_END || opcode === BPF_NEG) return DONE;
      if (opcode === BPF_MOV) bt.clearReg(dst);
      if ((op & BPF_X) !== 0 && src !== BPF_REG_FP) bt.setReg(src);
      break;
    }
    case BPF_LDX:
      return backtrackLoad(dst, entry);
    case BPF_ST:
    case BPF_STX: {
      const load = (op & 7) === BPF_STX ? insnDefReg(slots, i) : -1;
      if (load >= 0) {
        const r = backtrackLoad(load, entry);
        if (r !== DONE) return r;
        break;
      }
      // A number is not an address: this path subtracted pointers.
      if (bt.hasReg(dst)) return UNSUPPORTED;
      if (entry === null || (entry.flags & INSN_F_STACK_ACCESS) === 0) return DONE;
      const spi = (entry.flags >> 3) & 63;
      const fr = entry.flags & 7;
      if (!bt.hasSlot(fr, spi)) return DONE;
      bt.clearSlot(fr, spi);
      if ((op & 7) === BPF_STX) bt.setReg(src);
      break;
    }
    case BPF_JMP:
    case BPF_JMP32: {
      const r = backtrackJump(env, i, next, entry);
      if (r >= 0) return r;
      break;
    }
    case BPF_LD:
      if ((op & 0xe0) === BPF_IMM) {
        bt.clearReg(dst);
        return DONE;
      }
      // LD_ABS and LD_IND end the function when they fail.
      if (bt.hasReg(0)) return UNSUPPORTED;
      if (next !== i + 1) bt.enter(env);
      return DONE;
  }
  syncLinked(entry);
  return DONE;
}

function backtrackLoad(reg: number, entry: HistoryEntry | null): number {
  if (!bt.hasReg(reg)) return DONE;
  bt.clearReg(reg);
  // From elsewhere than the stack comes no number whose origin is known.
  if (entry !== null && (entry.flags & INSN_F_STACK_ACCESS) !== 0) {
    bt.setSlot(entry.flags & 7, (entry.flags >> 3) & 63);
    syncLinked(entry);
  }
  return DONE;
}

/** -1: go on with the linked registers. */
function backtrackJump(env: Env, i: number, next: number, entry: HistoryEntry | null): number {
  const { slots } = env;
  const op = slots.op[i]!;
  const dst = slots.dst[i]!;
  const src = slots.src[i]!;
  const opcode = op & 0xf0;
  const isCall = op === (BPF_JMP | BPF_CALL);
  if (isCall && src === BPF_PSEUDO_CALL) {
    const subprog = env.subprogs[findSubprog(env, i + slots.imm[i]! + 1)]!;
    if (subprog.isGlobal) {
      if ((bt.regs[bt.frame]! & ARGS) !== 0) leftover(env, bt.regs[bt.frame]!);
      bt.clearReg(0);
      return DONE;
    }
    if ((bt.regs[bt.frame]! & ~ARGS) !== 0) leftover(env, bt.regs[bt.frame]!);
    if (bt.frameHasSlots()) {
      env.verbose(`BUG stack slots ${bt.slotsText(bt.frame)}\n`);
      env.reject(EFAULT, "");
    }
    const args = bt.regs[bt.frame]!;
    bt.regs[bt.frame] = 0;
    bt.leave(env);
    bt.regs[bt.frame]! |= args;
    return DONE;
  }
  if (isCall && env.aux[i]!.callsCallback && i !== next - 1) {
    // Out of a callback, back to the call that runs it: its arguments are not the call's.
    if ((bt.regs[bt.frame]! & ~ARGS) !== 0) leftover(env, bt.regs[bt.frame]!);
    if (bt.frameHasSlots()) {
      env.verbose(`BUG stack slots ${bt.slotsText(bt.frame)}\n`);
      env.reject(EFAULT, "");
    }
    bt.regs[bt.frame] = 0;
    bt.leave(env);
    return DONE;
  }
  if (opcode === BPF_CALL) {
    if (src === BPF_PSEUDO_KFUNC_CALL && slots.imm[i] === 0) return UNSUPPORTED;
    bt.clearReg(0);
    if ((bt.regs[bt.frame]! & ARGS) !== 0) leftover(env, bt.regs[bt.frame]!);
  } else if (opcode === BPF_EXIT) {
    // Where the next instruction follows a call to a function, this is its end; else a callback's.
    const fromCall =
      next >= 1 && slots.op[next - 1] === (BPF_JMP | BPF_CALL) && slots.src[next - 1] === BPF_PSEUDO_CALL;
    const r0 = fromCall && bt.hasReg(0);
    if (fromCall && (bt.regs[bt.frame]! & ARGS) !== 0) leftover(env, bt.regs[bt.frame]!);
    bt.clearReg(0);
    bt.enter(env);
    if (r0) bt.setReg(0);
    return DONE;
  } else if ((op & BPF_X) !== 0) {
    if (!bt.hasReg(dst) && !bt.hasReg(src)) return DONE;
    if (entry === null || (entry.flags & INSN_F_SRC_REG_STACK) === 0) bt.setReg(src);
    if (entry === null || (entry.flags & INSN_F_DST_REG_STACK) === 0) bt.setReg(dst);
  }
  return -1;
}

/** Too hard: every number of every checkpoint on this path is precise. mark_all_scalars_precise(). */
function markAllPrecise(env: Env, from: VerifierState): boolean {
  let changed = false;
  const verbose = (env.log.level & 2) !== 0;
  if (verbose)
    env.verbose(`mark_precise: frame${from.curframe}: falling back to forcing all scalars precise\n`);
  for (let st = from.parent; st !== null; st = st.parent) {
    for (let f = 0; f <= st.curframe; f++) {
      const frame = st.frames[f]!;
      for (let r = 0; r < BPF_REG_FP; r++) {
        if (frame.regs[r]!.type !== SCALAR_VALUE || frame.isPrecise(r)) continue;
        frame.precise |= 1 << r;
        changed = true;
        if (verbose) env.verbose(`force_precise: frame${f}: forcing r${r} to be precise\n`);
      }
      for (let s = 0; s < frame.stack.length; s++) {
        const slot = frame.stack[s]!;
        if (!isSpilledReg(slot) || slot.spilled.type !== SCALAR_VALUE || frame.isSlotPrecise(s)) continue;
        frame.setSlotPrecise(s, true);
        changed = true;
        if (verbose) env.verbose(`force_precise: frame${f}: forcing fp${-(s + 1) * 8} to be precise\n`);
      }
    }
  }
  return changed;
}

/** Before a state becomes a checkpoint it forgets its marks: mark_all_scalars_imprecise(). */
export function markAllImprecise(state: VerifierState): void {
  for (let f = 0; f <= state.curframe; f++) {
    const frame = state.frames[f]!;
    if (frame.precise !== 0) {
      for (let r = 0; r < BPF_REG_FP; r++)
        if (frame.regs[r]!.type === SCALAR_VALUE) frame.precise &= ~(1 << r);
    }
    if ((frame.stackPreciseLo | frame.stackPreciseHi) !== 0) {
      for (let s = 0; s < frame.stack.length; s++) {
        const slot = frame.stack[s]!;
        if (isSpilledReg(slot) && slot.spilled.type === SCALAR_VALUE) frame.setSlotPrecise(s, false);
      }
    }
  }
}

/** The number in register `regno` of the current frame has to be known exactly: mark_chain_precision(). */
export function markChainPrecision(env: Env, regno: number): void {
  if (!env.bpfCapable) return;
  bt.reset(env.state.curframe);
  if (env.frame.regs[regno]!.type !== SCALAR_VALUE) env.bug(`precision of R${regno}, which is no number`);
  bt.setReg(regno);
  run(env, env.state);
}

/**
 * mark_chain_precision_batch(): as `fill` asks, from state `from` on; true if a mark was new. Used when a path joins one
 * that was explored: what was precise there is precise here.
 */
export function markPrecisionBatch(env: Env, from: VerifierState, fill: (bt: Backtrack) => void): boolean {
  if (!env.bpfCapable) return false;
  bt.reset(from.curframe);
  fill(bt);
  return bt.isEmpty() ? false : run(env, from);
}

/** __mark_chain_precision(). */
function run(env: Env, from: VerifierState): boolean {
  let st: VerifierState = from;
  let firstIdx = st.firstInsnIdx;
  let lastIdx = st === env.state ? env.insnIdx : st.insnIdx;
  let next = -1;
  let skipFirst = true;
  let changed = false;
  const verbose = (env.log.level & 2) !== 0;
  for (;;) {
    const { history } = st;
    let end = history.length;
    if (verbose)
      env.verbose(
        `mark_precise: frame${bt.frame}: last_idx ${lastIdx} first_idx ${firstIdx} subseq_idx ${next} \n`,
      );
    if (lastIdx < 0) return atFuncEntry(env, st) || changed;
    for (let i = lastIdx; ; ) {
      if (skipFirst) skipFirst = false;
      else {
        const last = end > 0 ? history[end - 1]! : null;
        const entry = last !== null && last.idx === i ? last : null;
        if (backtrackInsn(env, i, next, entry) === UNSUPPORTED) {
          return markAllPrecise(env, from) || changed;
        }
      }
      if (bt.isEmpty()) return changed;
      next = i;
      // get_prev_insn_idx(): a loop may come back to the state's first instruction, so that alone is no end.
      if (i === st.firstInsnIdx && (end === 0 || (end === 1 && history[0]!.idx === i))) break;
      if (end > 0 && history[end - 1]!.idx === i) i = history[--end]!.prevIdx;
      else i--;
      if (i < 0 || i >= env.slots.count) {
        env.verbose(`BUG backtracking idx ${i}\n`);
        env.reject(EFAULT, "");
      }
    }
    const parent: VerifierState | null = st.parent;
    if (parent === null) break;
    st = parent;
    for (let fr = bt.frame; fr >= 0; fr--) {
      if (markFrame(env, st, fr)) changed = true;
      if (verbose) {
        env.verbose(
          `mark_precise: frame${fr}: parent state regs=${maskText(bt.regs[fr]!)} stack=${slotMaskText(bt.slotsLo[fr]!, bt.slotsHi[fr]!)}: `,
        );
        printVerifierState(env, st, fr, true);
      }
    }
    if (bt.isEmpty()) return changed;
    next = firstIdx;
    lastIdx = st.lastInsnIdx;
    firstIdx = st.firstInsnIdx;
  }
  // Something was missed (an access to the stack other than through R10).
  if (!bt.isEmpty() && markAllPrecise(env, from)) changed = true;
  return changed;
}

/** The start of a function that is verified on its own: only its arguments may be left. */
function atFuncEntry(env: Env, st: VerifierState): boolean {
  const frame = st.frames[0]!;
  let changed = false;
  if (
    st.curframe === 0 &&
    frame.subprogno > 0 &&
    frame.callsite === BPF_MAIN_FUNC &&
    !bt.frameHasSlots() &&
    (bt.regs[bt.frame]! & ~ARGS) === 0
  ) {
    for (let r = 1; r <= 5; r++) {
      if (!bt.hasReg(r) || frame.regs[r]!.type !== SCALAR_VALUE || frame.isPrecise(r)) continue;
      frame.precise |= 1 << r;
      changed = true;
    }
    return changed;
  }
  env.verbose(
    `BUG backtracking func entry subprog ${frame.subprogno} reg_mask ${bt.regs[bt.frame]!.toString(16)} stack_mask ${bt.slotsText(bt.frame)}\n`,
  );
  return env.reject(EFAULT, "");
}

/** Marks what is asked for in frame `fr` of checkpoint `st`; what was marked before is not asked for further back. */
function markFrame(env: Env, st: VerifierState, fr: number): boolean {
  const frame = st.frames[fr]!;
  let changed = false;
  const regs = bt.regs[fr]!;
  if (regs !== 0) {
    for (let r = 0; r < BPF_REG_FP; r++) {
      if ((regs & (1 << r)) === 0) continue;
      if (frame.regs[r]!.type !== SCALAR_VALUE || frame.isPrecise(r)) bt.regs[fr]! &= ~(1 << r);
      else {
        frame.precise |= 1 << r;
        changed = true;
      }
    }
  }
  if ((bt.slotsLo[fr]! | bt.slotsHi[fr]!) !== 0) {
    for (let s = 0; s < 64; s++) {
      if (!bt.hasSlot(fr, s)) continue;
      const slot = frame.stack[s];
      if (slot === undefined) {
        env.verbose(`BUG backtracking (stack slot ${s}, total slots ${frame.stack.length})\n`);
        env.reject(EFAULT, "");
      }
      if (!isSpilledScalar(slot) || frame.isSlotPrecise(s)) bt.clearSlot(fr, s);
      else {
        frame.setSlotPrecise(s, true);
        changed = true;
      }
    }
  }
  return changed;
}
