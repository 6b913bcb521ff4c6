/** Are we inside a comparison function of a tree? Locks must stay as they are there. in_rbtree_lock_required_cb(). */
import type { Env } from "../env.ts";

/** Instructions that call such kfuncs. */
const treeCalls = new WeakMap<Env, Set<number>>();

/** The call at `insnIdx` passes a comparison function. */
export function markTreeCall(env: Env, insnIdx: number): void {
  let set = treeCalls.get(env);
  if (set === undefined) {
    set = new Set();
    treeCalls.set(env, set);
  }
  set.add(insnIdx);
}

export function inRbtreeCallback(env: Env): boolean {
  const set = treeCalls.get(env);
  if (set === undefined) return false;
  const { frames, curframe } = env.state;
  for (let f = curframe; f > 0; f--) {
    const frame = frames[f]!;
    if (frame.inCallbackFn && set.has(frame.callsite)) return true;
  }
  return false;
}
