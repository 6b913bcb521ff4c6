import { REDIRECT_SET } from "../helpers/index.ts";
import {
  type AddressSpace,
  CPU_CTX,
  CPU_FAULT,
  CPU_PROG,
  CPU_PROG_TYPE,
  type LoadedProgram,
} from "../vm/index.ts";

/** What runs, and what is counted of it. */
export interface Runnable {
  readonly id: number;
  /** BPF_PROG_TYPE_* */
  readonly type: number;
  readonly loaded: LoadedProgram;
  runCount: number;
  runTimeNs: number;
}

export interface Measured {
  /** u32 */
  readonly retval: number;
  /** Nanoseconds of one run on the average. */
  readonly duration: number;
}

/** Starts programs: what stands in the CPU block while one runs. */
export class Runner {
  readonly #space: AddressSpace;
  readonly #onPrepare: () => void;

  /** `onPrepare` is called before a run, or a series of them. */
  constructor(space: AddressSpace, onPrepare: () => void) {
    this.#space = space;
    this.#onPrepare = onPrepare;
  }

  /**
   * Says who runs on what: before a run, or a series of runs of one program on one context on the same CPU. Returns
   * the offset of that CPU's block, which run() wants.
   */
  prepare(program: Runnable, ctx: number): number {
    const { u32 } = this.#space;
    const cpu = this.#space.cpu.value;
    u32[(cpu + CPU_CTX) >>> 2] = ctx;
    u32[(cpu + CPU_PROG) >>> 2] = program.id;
    u32[(cpu + CPU_PROG_TYPE) >>> 2] = program.type;
    u32[(cpu + CPU_FAULT) >>> 2] = 0;
    this.#onPrepare();
    return cpu;
  }

  /** One run after prepare(): r0 as an i32. */
  run(program: Runnable, ctx: number, cpu: number): number {
    const { u32 } = this.#space;
    u32[(cpu + REDIRECT_SET) >>> 2] = 0;
    return program.loaded.run(ctx);
  }

  /** `repeat` runs on the same context (0 counts as 1), as bpf_test_run() does them. */
  repeat(program: Runnable, ctx: number, repeat: number): Measured {
    const times = repeat || 1;
    let retval = 0;
    const cpu = this.prepare(program, ctx);
    const start = performance.now();
    for (let i = 0; i < times; i++) retval = this.run(program, ctx, cpu);
    const spent = (performance.now() - start) * 1e6;
    program.runCount += times;
    program.runTimeNs += spent;
    return { retval: retval >>> 0, duration: Math.min(Math.floor(spent / times), 0xffffffff) };
  }
}
