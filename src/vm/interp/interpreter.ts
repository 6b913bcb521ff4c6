import { LoadError } from "../../diag/index.ts";
import { ENOMEM } from "../../uapi/index.ts";
import type { AddressSpace } from "../address-space.ts";
import type { Engine, LoadedProgram, VmProgram } from "../engine.ts";
import { CPU_INTERP } from "../layout.ts";
import { codeSize, decodeProgram } from "./decode.ts";
import { trapFault } from "./fault.ts";
import * as lay from "./layout.ts";
import { type DecodedProgram, InterpRun } from "./run.ts";
import { makeTrampoline } from "./trampoline.ts";

/** Verified programs end by themselves. */
const UNCHECKED_BUDGET = Number.MAX_SAFE_INTEGER;

/** A program decoded for the interpreter. */
export class InterpProgram implements LoadedProgram, DecodedProgram {
  readonly program: VmProgram;
  readonly space: AddressSpace;
  readonly slots: number;
  /** Offset of its PROG_* record and of its decoded instructions; 0 after dispose. */
  #address = 0;
  #code = 0;
  /** Table index by the instruction it enters at. */
  readonly #entries = new Map<number, number>();
  readonly #owner: Map<number, InterpProgram>;
  readonly #run: (program: number, ctx: number) => number;

  constructor(space: AddressSpace, program: VmProgram, owner: Map<number, InterpProgram>, budget: number) {
    const { length } = program.insns;
    if (length === 0 || length % 8 !== 0)
      throw new LoadError(`program ${program.name}: ${length} bytes are no instructions`);
    this.space = space;
    this.program = program;
    this.slots = length / 8;
    this.#owner = owner;
    this.#run = space.core["interp_run"]!;
    try {
      this.#code = space.alloc(codeSize(this.slots), "none", 16);
      this.#address = space.alloc(lay.PROG_SIZE, "none");
      space.dv.setUint32(this.#address + lay.PROG_CODE, this.#code, true);
      space.dv.setUint32(this.#address + lay.PROG_SLOTS, this.slots, true);
      space.dv.setUint32(this.#address + lay.PROG_ID, program.id, true);
      const steps = program.mode === "checked" ? budget : UNCHECKED_BUDGET;
      space.dv.setBigInt64(this.#address + lay.PROG_BUDGET, BigInt(steps), true);
      const records = decodeProgram(space, program, { callback: (insn) => this.entry(insn) });
      space.u8.set(records, this.#code);
    } catch (error) {
      this.dispose();
      throw error;
    }
    owner.set(this.#address, this);
  }

  get address(): number {
    return this.#address;
  }

  /** Instructions that all plain runs took, modulo 2^32. */
  get steps(): number {
    return this.space.u32[(this.#address + lay.PROG_STEPS) >>> 2]!;
  }

  run(ctx: number): number {
    try {
      return this.#run(this.#address, ctx);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  get tableIndex(): number {
    return this.entry(0);
  }

  /** Index in the shared table of a function that runs this program from `insn` on. */
  entry(insn: number): number {
    let index = this.#entries.get(insn);
    if (index === undefined) {
      index = this.space.tableSlots.take(1);
      this.#entries.set(insn, index);
      this.space.table.set(index, makeTrampoline(this.space, index));
      if (!this.space.core["interp_register"]!(index, this.#address, this.record(insn)))
        throw new LoadError("no room for the directory of interpreted programs", ENOMEM);
    }
    return index;
  }

  /** A run that can be stopped, stepped and looked at; r1 = pointer to `ctx`. */
  start(ctx: number): InterpRun<InterpProgram> {
    return new InterpRun(this, this.#owner, ctx);
  }

  /** Address of the decoded instruction `insn`. */
  record(insn: number): number {
    if (!(Number.isInteger(insn) && insn >= 0 && insn < this.slots))
      throw new LoadError(`instruction ${insn} of ${this.slots}`);
    return this.#code + insn * lay.INSN_SIZE;
  }

  /** Slot of the decoded instruction at `record`. */
  slotOf(record: number): number {
    return (record - this.#code) / lay.INSN_SIZE;
  }

  /** An InterpRun that comes to `insn` stops before it; a plain `run` goes on. */
  setBreakpoint(insn: number): void {
    this.space.dv.setUint16(this.record(insn) + lay.INSN_OP, lay.OP_BREAK, true);
  }

  clearBreakpoint(insn: number): void {
    const { dv } = this.space;
    const record = this.record(insn);
    dv.setUint16(record + lay.INSN_OP, dv.getUint16(record + lay.INSN_REAL, true), true);
  }

  hasBreakpoint(insn: number): boolean {
    return this.space.dv.getUint16(this.record(insn) + lay.INSN_OP, true) === lay.OP_BREAK;
  }

  dispose(): void {
    for (const index of this.#entries.values()) {
      this.space.core["interp_register"]!(index, 0, 0);
      this.space.tableSlots.release(index, 1);
    }
    this.#entries.clear();
    this.#owner.delete(this.#address);
    if (this.#address !== 0) this.space.free(this.#address);
    if (this.#code !== 0) this.space.free(this.#code);
    this.#address = this.#code = 0;
  }

  /** What went wrong in a plain run: a trap becomes a ProgramFault, an error of a JavaScript helper stays. */
  #explain(error: unknown): unknown {
    // The innermost run knows the instruction, also where a helper trapped.
    const { dv, cpu } = this.space;
    const nest = cpu.value + CPU_INTERP;
    const depth = dv.getUint32(nest + lay.NEST_DEPTH, true);
    const state =
      depth <= 1
        ? nest + lay.NEST_FIRST
        : dv.getUint32(nest + lay.NEST_STATES, true) + (depth - 2) * lay.STATE_SIZE;
    const owner = this.#owner.get(dv.getUint32(state + lay.STATE_PROG, true));
    const insn = owner === undefined ? 0 : owner.slotOf(dv.getUint32(state + lay.STATE_PC, true));
    return trapFault(this.space, error, insn) ?? error;
  }
}

export interface InterpreterOptions {
  /** Instructions that one run of a checked program may take before FAULT_BUDGET. Default 2^32. */
  readonly budget?: number;
}

/** The interpreter of an address space, with what a debugger needs beyond Engine. */
export interface Interpreter extends Engine {
  readonly name: "interp";
  load(program: VmProgram): InterpProgram;
}

/** An interpreter over `space`: `core/interp/loop.ts` on instructions decoded once at load. */
export function createInterpreter(space: AddressSpace, options: InterpreterOptions = {}): Interpreter {
  const { budget = 2 ** 32 } = options;
  const programs = new Map<number, InterpProgram>();
  return { name: "interp", load: (program) => new InterpProgram(space, program, programs, budget) };
}
