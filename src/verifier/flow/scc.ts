/** Loops: strongly connected components of the flow inside functions (Tarjan). compute_scc(). */
import type { Env } from "../env.ts";
import { fallThrough, jumpTarget } from "./flow.ts";

/** Fills aux.scc: from 1; 0 for instructions in no loop. */
export function computeScc(env: Env): void {
  const { slots, aux } = env;
  const callbacksLoop = env.profile.rules.has("callbacks-are-loops");
  const n = slots.count;
  /** Discovery number, from 1; and the smallest that can be reached. */
  const pre = new Int32Array(n);
  const low = new Int32Array(n);
  const onStack = new Uint8Array(n);
  const stack: number[] = [];
  let number = 0;
  let component = 0;
  /** Two successors at most: which is to be looked at next. */
  const step = new Uint8Array(n);
  const path: number[] = [];
  const enter = (i: number): void => {
    pre[i] = low[i] = ++number;
    onStack[i] = 1;
    stack.push(i);
    path.push(i);
  };
  for (const subprog of env.subprogs) {
    if (pre[subprog.start] !== 0) continue;
    enter(subprog.start);
    while (path.length > 0) {
      const i = path[path.length - 1]!;
      if (step[i]! < 2) {
        const next = step[i]! === 0 ? fallThrough(slots, i) : jumpTarget(slots, i);
        step[i]!++;
        if (next < 0 || next >= n) continue;
        if (pre[next] === 0) enter(next);
        else if (onStack[next] !== 0 && pre[next]! < low[i]!) low[i] = pre[next]!;
        continue;
      }
      path.pop();
      const parent = path[path.length - 1];
      if (parent !== undefined && low[i]! < low[parent]!) low[parent] = low[i]!;
      if (low[i] !== pre[i]) continue;
      const loops =
        stack[stack.length - 1] !== i ||
        jumpTarget(slots, i) === i ||
        (callbacksLoop && aux[i]!.callsCallback);
      if (loops) component++;
      for (;;) {
        const member = stack.pop()!;
        onStack[member] = 0;
        aux[member]!.scc = loops ? component : 0;
        if (member === i) break;
      }
    }
  }
}
