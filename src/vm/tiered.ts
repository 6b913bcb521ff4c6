import { InternalError } from "../diag/index.ts";
import { BPF_CALL, BPF_JA, BPF_JMP, BPF_JMP32, BPF_PSEUDO_CALL } from "../uapi/index.ts";
import type { AddressSpace } from "./address-space.ts";
import type { Engine, LoadedProgram, VmProgram } from "./engine.ts";
import { createInterpreter, type InterpProgram, type Interpreter } from "./interp/interpreter.ts";
import { createJit } from "./jit/index.ts";

export interface TieredOptions {
  /** Instructions, and rounds of loops once translated, that one run of a checked program may take. Default 2^30. */
  readonly budget?: number;
}

/**
 * Interpreted instructions per slot after which a program is translated: by then it has cost about as much as its
 * translation will.
 */
const HEAT_PER_SLOT = 500;

/**
 * The engine for whoever does not say which: a program without loops starts on the interpreter, which has it ready
 * in a tenth of the time, and is translated when it has run often enough. One with loops (a run of it may be long)
 * is translated when it is loaded. Results are the same on either.
 */
export function createTiered(space: AddressSpace, options: TieredOptions = {}): Engine {
  const { budget = 2 ** 30 } = options;
  const interpreter = createInterpreter(space, { budget });
  const jit = createJit(space, { budget });
  return {
    name: "auto",
    load: (program) => (mayLoop(program) ? jit.load(program) : new TieredProgram(interpreter, jit, program)),
  };
}

/** Does anything jump back or call what calls back? Every other run ends after each instruction at most once a frame. */
function mayLoop(program: VmProgram): boolean {
  const { insns } = program;
  for (let at = 0; at + 8 <= insns.length; at += 8) {
    const op = insns[at]!;
    const cls = op & 7;
    if (cls !== BPF_JMP && cls !== BPF_JMP32) continue;
    const code = op & 0xf0;
    const imm = insns[at + 7]! & 0x80;
    if (code === BPF_CALL) {
      const src = insns[at + 1]! >> 4;
      // A function that is called may have been called before: recursion goes back too.
      if (src === BPF_PSEUDO_CALL ? imm : op !== (BPF_JMP | BPF_CALL)) return true;
      if (src === BPF_PSEUDO_CALL) continue;
      const id = new DataView(insns.buffer, insns.byteOffset + at + 4, 4).getInt32(0, true);
      const binding = src === 0 ? program.helper(id) : program.kfunc(id, 0);
      if (binding?.callsBack) return true;
    } else if (cls === BPF_JMP32 && code === BPF_JA ? imm : insns[at + 3]! & 0x80) return true;
  }
  return false;
}

/** A program that is interpreted until it is hot. */
class TieredProgram implements LoadedProgram {
  readonly #engine: Engine;
  readonly #cold: InterpProgram;
  readonly #heat: number;
  #hot: LoadedProgram | undefined;
  /** The JIT does not take the program (a jump into nothing on a path that never runs): the interpreter keeps it. */
  #stays = false;

  constructor(interpreter: Interpreter, jit: Engine, program: VmProgram) {
    this.#engine = jit;
    this.#cold = interpreter.load(program);
    this.#heat = HEAT_PER_SLOT * (program.insns.length / 8);
  }

  run(ctx: number): number {
    if (this.#hot !== undefined) return this.#hot.run(ctx);
    const cold = this.#cold;
    if (cold.steps >= this.#heat && !this.#stays) return this.#translated().run(ctx);
    return cold.run(ctx);
  }

  /** Whoever wants an index calls the program from others: they are better off with the translated one. */
  get tableIndex(): number {
    return this.#translated().tableIndex;
  }

  dispose(): void {
    this.#hot?.dispose();
    this.#cold.dispose();
  }

  #translated(): LoadedProgram {
    if (this.#hot === undefined && !this.#stays)
      try {
        this.#hot = this.#engine.load(this.#cold.program);
      } catch (error) {
        if (error instanceof InternalError) throw error;
        this.#stays = true;
      }
    return this.#hot ?? this.#cold;
  }
}
