import { InternalError, LoadError, type ProgramFault } from "../../diag/index.ts";
import type { AddressSpace } from "../address-space.ts";
import { FRAME_SIZE, POINTER_HIGH } from "../layout.ts";
import { faultError, trapFault } from "./fault.ts";
import * as lay from "./layout.ts";

/** What a run needs to know of a decoded program. */
export interface DecodedProgram {
  readonly space: AddressSpace;
  readonly address: number;
  readonly slots: number;
  record(insn: number): number;
  slotOf(record: number): number;
  hasBreakpoint(insn: number): boolean;
}

/** Why a run stopped: the steps asked for were taken; the program ended; the next instruction has a breakpoint; a fault. */
export type StopReason = "steps" | "exit" | "breakpoint" | "fault";

const REASONS: Readonly<Record<number, StopReason>> = {
  [lay.STOP_STEPS]: "steps",
  [lay.STOP_EXIT]: "exit",
  [lay.STOP_BREAK]: "breakpoint",
  [lay.STOP_FAULT]: "fault",
};

/** One function's frame on the stack of a run. */
export interface RunFrame<P extends DecodedProgram> {
  readonly program: P;
  /** The instruction to run next; in a caller: its call. */
  readonly pc: number;
  /** Upper end of its 512 bytes of stack: its r10 without the high half. */
  readonly fp: number;
  /** r6..r9 of that frame. */
  readonly saved: readonly bigint[];
  /** Set in a frame that calls back: the iteration of bpf_loop under way. */
  readonly iteration?: number;
}

const MAX_STEPS = 0x7fffffff;

/**
 * A run of a program that stops where it is told: after n instructions, at breakpoints, at its end, at a fault.
 * It has a stack of its own, so that other runs may come between. `dispose` gives it back.
 */
export class InterpRun<P extends DecodedProgram = DecodedProgram> {
  readonly #space: AddressSpace;
  readonly #programs: ReadonlyMap<number, P>;
  #state: number;
  #stack: number;
  #stopped: StopReason = "steps";
  #fresh = true;
  #steps = 0;
  #fault: ProgramFault | undefined;

  constructor(program: P, programs: ReadonlyMap<number, P>, ctx: number) {
    const { space } = program;
    this.#space = space;
    this.#programs = programs;
    this.#state = space.alloc(lay.STATE_SIZE, "none");
    this.#stack = space.alloc(lay.MAX_CALLERS * FRAME_SIZE, "none");
    for (let i = 0; i < lay.MAX_CALLERS; i++) space.paint(this.#stack + i * FRAME_SIZE, FRAME_SIZE, "rw");
    space.core["interp_start"]!(
      this.#state,
      program.address,
      program.record(0),
      this.#stack + lay.MAX_CALLERS * FRAME_SIZE,
      this.#stack,
    );
    space.dv.setUint32(this.#state + lay.STATE_CTX, ctx, true);
    this.setRegister(1, (BigInt(POINTER_HIGH) << 32n) | BigInt(ctx));
  }

  /** Runs up to `n` instructions; helpers count as one. */
  step(n = 1): StopReason {
    if (!(Number.isInteger(n) && n >= 1 && n <= MAX_STEPS))
      throw new LoadError(`step(${n}): want 1..${MAX_STEPS}`);
    if (this.#stopped === "exit" || this.#stopped === "fault") return this.#stopped;
    this.#fresh = false;
    try {
      const why = this.#space.core["interp_step"]!(this.#alive(), n);
      this.#stopped = REASONS[why]!;
      this.#steps += n - this.#u32(this.#state + lay.STATE_LEFT);
      if (why === lay.STOP_FAULT) {
        const { dv } = this.#space;
        this.#fault = faultError(
          dv.getUint32(this.#state + lay.STATE_FAULT, true),
          this.pc,
          dv.getBigUint64(this.#state + lay.STATE_FAULT_ADDR, true),
        );
      }
    } catch (error) {
      const fault = trapFault(this.#space, error, this.pc);
      if (fault === undefined) throw error;
      this.#fault = fault;
      this.#stopped = "fault";
    }
    return this.#stopped;
  }

  /** Runs to the next breakpoint (a first one at the start included), the end or a fault, or for `steps` instructions. */
  continue(steps: number = MAX_STEPS): StopReason {
    if (this.#fresh && this.program.hasBreakpoint(this.pc)) {
      this.#fresh = false;
      return (this.#stopped = "breakpoint");
    }
    return this.step(steps);
  }

  get stopped(): StopReason {
    return this.#stopped;
  }

  /** Instructions run so far; unknown after a trap in a helper. */
  get steps(): number {
    return this.#steps;
  }

  /** After a fault: what happened. */
  get fault(): ProgramFault | undefined {
    return this.#fault;
  }

  /** r0..r10. */
  registers(): bigint[] {
    const { dv } = this.#space;
    const at = this.#alive();
    return Array.from({ length: 11 }, (_, i) => dv.getBigUint64(at + lay.STATE_REGS + i * 8, true));
  }

  setRegister(register: number, value: bigint): void {
    if (!(Number.isInteger(register) && register >= 0 && register <= 9) && register !== 10)
      throw new LoadError(`register r${register}`);
    this.#space.dv.setBigUint64(
      this.#alive() + lay.STATE_REGS + register * 8,
      BigInt.asUintN(64, value),
      true,
    );
  }

  /** The program that runs: another one after a tail call. */
  get program(): P {
    return this.#programAt(this.#u32(this.#alive() + lay.STATE_PROG));
  }

  /** Slot of the next instruction; after the end or a fault, of the one that did it. */
  get pc(): number {
    return this.program.slotOf(this.#u32(this.#alive() + lay.STATE_PC));
  }

  /** Jumps: the next instruction is `insn` of the program that runs. */
  set pc(insn: number) {
    this.#space.dv.setUint32(this.#alive() + lay.STATE_PC, this.program.record(insn), true);
  }

  /** The frames of the run, the current one first. */
  get frames(): readonly RunFrame<P>[] {
    const at = this.#alive();
    const registers = this.registers().slice(6, 10);
    const frames: RunFrame<P>[] = [
      { program: this.program, pc: this.pc, fp: this.#u32(at + lay.STATE_FP), saved: registers },
    ];
    const { dv } = this.#space;
    for (let i = this.#u32(at + lay.STATE_DEPTH) - 1; i >= 0; i--) {
      const caller =
        i < lay.NEAR_CALLERS
          ? at + lay.STATE_FRAMES + i * lay.CALLER_SIZE
          : this.#u32(at + lay.STATE_MORE) + (i - lay.NEAR_CALLERS) * lay.CALLER_SIZE;
      const program = this.#programAt(this.#u32(caller + lay.CALLER_PROG));
      frames.push({
        program,
        pc: program.slotOf(this.#u32(caller + lay.CALLER_PC)),
        fp: this.#u32(caller + lay.CALLER_FP),
        saved: [0, 8, 16, 24].map((o) => dv.getBigUint64(caller + lay.CALLER_REGS + o, true)),
        ...(this.#u32(caller + lay.CALLER_KIND) === lay.CALL_LOOP && {
          iteration: this.#u32(caller + lay.CALLER_DONE),
        }),
      });
    }
    return frames;
  }

  dispose(): void {
    if (this.#state === 0) return;
    const more = this.#u32(this.#state + lay.STATE_MORE);
    if (more !== 0) this.#space.free(more);
    this.#space.free(this.#state);
    this.#space.free(this.#stack);
    this.#state = this.#stack = 0;
  }

  #alive(): number {
    if (this.#state === 0) throw new InternalError("a disposed run is used");
    return this.#state;
  }

  #u32(at: number): number {
    return this.#space.dv.getUint32(at, true);
  }

  #programAt(address: number): P {
    const program = this.#programs.get(address);
    if (program === undefined) throw new InternalError(`no program at 0x${address.toString(16)}`);
    return program;
  }
}
