/** What is known of a program's flow before it is explored: live registers, loops; and the records that exploring fills. */

import type { Env } from "./env.ts";
import { computePostorder } from "./flow/flow.ts";
import { computeLiveRegs } from "./flow/live-regs.ts";
import { computeScc } from "./flow/scc.ts";
import { StackLivenessRecord } from "./flow/stack-liveness.ts";
import { Backedges } from "./paths/backedges.ts";

/**
 * After the control flow was checked. `params`: how many arguments the helper or kfunc called at an instruction takes,
 * -1 where that is not known.
 */
export function prepareAnalysis(env: Env, params: (insnIdx: number) => number): void {
  const postorder = computePostorder(env.slots, env.subprogs);
  computeLiveRegs(env, postorder, params);
  computeScc(env);
  env.stackLiveness = new StackLivenessRecord(postorder);
  env.loops = new Backedges();
}
