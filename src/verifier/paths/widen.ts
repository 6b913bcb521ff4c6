/** Loops that end by their own means (iterators, may_goto, callbacks): numbers that nothing rests on are forgotten. */
import type { Env } from "../env.ts";
import type { RegState } from "../state/reg.ts";
import { markUnknown } from "../state/reg-ops.ts";
import { SCALAR_VALUE } from "../state/reg-type.ts";
import { isSpilledReg } from "../state/stack-slots.ts";
import { MAX_BPF_REG, type VerifierState } from "../state/state.ts";
import { regsExactHere, resetIds, sameCallsites } from "./equal.ts";

/**
 * The latest checkpoint at `insnIdx` on the way to `cur` (which is the current state's parent), with the same callers:
 * find_prev_entry().
 */
export function findPrevEntry(env: Env, cur: VerifierState | null, insnIdx: number): VerifierState | null {
  const list = env.explored[insnIdx];
  if (list === undefined || cur === null) return null;
  for (let i = list.length - 1; i >= 0; i--) {
    const st = list[i]!;
    if (st.branches !== 0 && st.dfsDepth < cur.dfsDepth && sameCallsites(st, cur)) return st;
  }
  return null;
}

/** maybe_widen_reg(): whether the number in `cur` is to be forgotten. */
function widens(old: RegState, oldPrecise: boolean, cur: RegState, curPrecise: boolean): boolean {
  if (old.type !== SCALAR_VALUE || cur.type !== SCALAR_VALUE) return false;
  return !oldPrecise && !curPrecise && !regsExactHere(old, cur);
}

/** widen_imprecise_scalars(). */
export function widenImpreciseScalars(env: Env, old: VerifierState, cur: VerifierState): void {
  resetIds(env);
  for (let f = old.curframe; f >= 0; f--) {
    const a = old.frames[f]!;
    const b = cur.frames[f]!;
    for (let r = 0; r < MAX_BPF_REG; r++) {
      if (!widens(a.regs[r]!, a.isPrecise(r), b.regs[r]!, b.isPrecise(r))) continue;
      markUnknown(b.own(r));
      if (!env.bpfCapable) b.precise |= 1 << r;
    }
    const slots = Math.min(a.stack.length, b.stack.length);
    for (let s = 0; s < slots; s++) {
      const x = a.stack[s]!;
      const y = b.stack[s]!;
      if (!isSpilledReg(x) || !isSpilledReg(y)) continue;
      if (!widens(x.spilled, a.isSlotPrecise(s), y.spilled, b.isSlotPrecise(s))) continue;
      markUnknown(b.ownSpilled(s));
      if (!env.bpfCapable) b.setSlotPrecise(s, true);
    }
  }
}
