/** The log as the kernel writes it. */
import { kernelInsnText } from "../asm/index.ts";
import type { Env, VerifierLog } from "./env.ts";
import type { VerifierState } from "./state.ts";

class TextLog implements VerifierLog {
  readonly level: number;
  #text = "";
  constructor(level: number) {
    this.level = level;
  }
  write(text: string): void {
    this.#text += text;
  }
  get position(): number {
    return this.#text.length;
  }
  reset(position: number): void {
    this.#text = this.#text.slice(0, position);
  }
  text(): string {
    return this.#text;
  }
}

export function newLog(level: number): VerifierLog {
  return new TextLog(level);
}

/** print_bpf_insn(). */
export function insnText(env: Env, i: number): string {
  return kernelInsnText(env.slots, i);
}

/** verbose_linfo(). */
export function verboseLineInfo(_env: Env, _i: number, _prefix: string): void {}

/** print_verifier_state(). */
export function printVerifierState(_env: Env, _state: VerifierState, _frame: number, _all: boolean): void {}

/** print_insn_state(). */
export function printInsnState(_env: Env, _state: VerifierState, _frame: number): void {}

/** print_verification_stats(). */
export function printStats(env: Env): void {
  env.verbose(
    `processed ${env.processed} insns (limit 1000000) max_states_per_insn ${env.maxStatesPerInsn} total_states ${env.totalStates} peak_states ${env.peakStates} mark_read 0\n`,
  );
}

/** The same under the name that pruning uses. */
export const verboseLine: typeof verboseLineInfo = verboseLineInfo;
