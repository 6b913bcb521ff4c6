/**
 * Paths that joined a state of a loop which is still being explored. What is precise in that state may grow until the
 * loop is done; only then do the marks go back along those paths. struct bpf_scc_visit, propagate_backedges().
 */
import type { Env, LoopRecord } from "../env.ts";
import { BPF_REG_FP } from "../state/reg-arg.ts";
import { SCALAR_VALUE } from "../state/reg-type.ts";
import { isSpilledReg } from "../state/stack-slots.ts";
import type { VerifierState } from "../state/state.ts";
import { frameInsnIdx } from "./equal.ts";
import { markPrecisionBatch } from "./precision.ts";

/** A loop, entered through certain calls. */
interface SccVisit {
  /** The checkpoint through which the loop is being explored, or null. */
  entry: VerifierState | null;
  /** Copies of the states that joined: `equalState` is what they joined. */
  backedges: VerifierState[];
}

const MAX_BACKEDGE_ITERS = 64;

/** The loops of one verification. */
export class Backedges implements LoopRecord {
  private readonly visits: Map<string, SccVisit> = new Map();
  count = 0;

  /** The loop that the state is in, with its callers: "calls,...:scc"; null: in none. compute_scc_callchain(). */
  private key(env: Env, state: VerifierState): string | null {
    let calls = "";
    for (let f = 0; f <= state.curframe; f++) {
      const insn = frameInsnIdx(state, f);
      const { scc } = env.aux[insn]!;
      if (scc !== 0) return `${calls}(${scc})`;
      if (f < state.curframe) calls += `${insn},`;
    }
    return null;
  }

  /** A new checkpoint: maybe_enter_scc(). */
  enter(env: Env, state: VerifierState): void {
    const key = this.key(env, state);
    if (key === null) return;
    let visit = this.visits.get(key);
    if (visit === undefined) this.visits.set(key, (visit = { entry: null, backedges: [] }));
    if (visit.entry !== null) return;
    visit.entry = state;
    if (env.log.level & 2) env.verbose(`SCC enter (${this.text(key)})\n`);
  }

  /** A checkpoint is explored: maybe_exit_scc(). */
  exit(env: Env, state: VerifierState): void {
    const key = this.key(env, state);
    const visit = key === null ? undefined : this.visits.get(key);
    if (key === null || visit === undefined || visit.entry !== state) return;
    if (env.log.level & 2) env.verbose(`SCC exit (${this.text(key)})\n`);
    visit.entry = null;
    this.count -= visit.backedges.length;
    const { backedges } = visit;
    visit.backedges = [];
    for (let round = 0, changed = true; changed && round <= MAX_BACKEDGE_ITERS; round++) {
      changed = false;
      for (const st of backedges) if (propagatePrecision(env, st.equalState!, st)) changed = true;
    }
  }

  /** `cur` is covered by `old`, whose loop is not done: add_scc_backedge(). */
  add(env: Env, old: VerifierState, cur: VerifierState, insnIdx: number): void {
    const key = this.key(env, old);
    const visit = key === null ? undefined : this.visits.get(key);
    // Round a callback, which is a loop only to newer kernels: nothing to remember.
    if (key === null || visit === undefined) return;
    if (env.log.level & 2) env.verbose(`SCC backedge (${this.text(key)})\n`);
    const copy = cur.copy();
    copy.equalState = old;
    copy.insnIdx = insnIdx;
    visit.backedges.push(copy);
    this.count++;
  }

  /** incomplete_read_marks(): more paths may still add marks to this state. */
  isIncomplete(env: Env, state: VerifierState): boolean {
    const key = this.key(env, state);
    const visit = key === null ? undefined : this.visits.get(key);
    return visit !== undefined && visit.backedges.length > 0;
  }

  private text(key: string): string {
    return key.slice(0, -1).replace("(", "");
  }
}

/** What is precise in `old` is precise on the way to `cur`: propagate_precision(). True: a mark was new. */
export function propagatePrecision(env: Env, old: VerifierState, cur: VerifierState): boolean {
  const verbose = (env.log.level & 2) !== 0;
  return markPrecisionBatch(env, cur, (bt) => {
    for (let f = old.curframe; f >= 0; f--) {
      const frame = old.frames[f]!;
      const names: string[] = [];
      if (frame.precise !== 0)
        for (let r = 0; r < BPF_REG_FP; r++) {
          if (!frame.isPrecise(r) || frame.regs[r]!.type !== SCALAR_VALUE) continue;
          bt.setFrameReg(f, r);
          if (verbose) names.push(`r${r}`);
        }
      if ((frame.stackPreciseLo | frame.stackPreciseHi) !== 0)
        for (let s = 0; s < frame.stack.length; s++) {
          const slot = frame.stack[s]!;
          if (!frame.isSlotPrecise(s) || !isSpilledReg(slot) || slot.spilled.type !== SCALAR_VALUE) continue;
          bt.setSlot(f, s);
          if (verbose) names.push(`fp${(-s - 1) * 8}`);
        }
      if (names.length > 0) env.verbose(`frame ${f}: propagating ${names.join(",")}\n`);
    }
  });
}
