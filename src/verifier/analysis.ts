/** What is known of a program's flow before it is explored: live registers, loops; and the records that exploring fills. */
import { Backedges } from "./backedges.ts";
import type { Env } from "./env.ts";
import { computePostorder } from "./flow.ts";
import { computeLiveRegs } from "./live-regs.ts";
import { computeScc } from "./scc.ts";
import { StackLivenessRecord } from "./stack-liveness.ts";

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
