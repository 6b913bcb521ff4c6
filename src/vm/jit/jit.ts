import { InternalError, InvalidProgramError, ProgramFault, TsbpfError } from "../../diag/index.ts";
import type { AddressSpace } from "../address-space.ts";
import type { Engine, LoadedProgram, VmProgram } from "../engine.ts";
import {
  CPU_FAULT,
  CPU_FAULT_ADDR,
  CPU_FAULT_INSN,
  FAULT_BUDGET,
  FAULT_CALL,
  FAULT_INSN,
  FAULT_NONE,
  FAULT_READ,
  FAULT_STACK,
  FAULT_THROW,
  FAULT_WRITE,
} from "../layout.ts";
import { analyzeDemand } from "./demand.ts";
import { chooseViews, type FunctionFacts } from "./facts.ts";
import { FrameSlots, promoteFrame } from "./frame.ts";
import { compileFunction } from "./function.ts";
import { ModulePlan } from "./plan.ts";
import { type DecodedProgram, decodeProgram } from "./program.ts";
import { MAX_PART } from "./split.ts";
import { analyzeValues } from "./values.ts";
import { planWindows, type Window } from "./windows.ts";

export interface JitOptions {
  /** Rounds of loops that one run of a checked program may take before FAULT_BUDGET, up to 2^32 - 1. Default 2^30. */
  readonly budget?: number;
}

/** The engine that turns programs into WebAssembly modules over `space` when they are loaded. */
export function createJit(space: AddressSpace, options: JitOptions = {}): Engine {
  const { budget = 2 ** 30 } = options;
  return { name: "jit", load: (program) => new JitProgram(space, program, budget) };
}

/** A program that stands in the shared table as Wasm functions. */
class JitProgram implements LoadedProgram {
  readonly tableIndex: number;
  readonly #space: AddressSpace;
  #enter: (index: number, ctx: number, budget: number) => number;
  readonly #budget: number;
  /** Indices of the table; 0 after dispose. */
  #count: number;

  constructor(space: AddressSpace, program: VmProgram, budget: number) {
    const decoded = decodeProgram(program, MAX_PART);
    const count = 1 + decoded.callbacks.size;
    const tableIndex = space.tableSlots.take(count);
    this.tableIndex = tableIndex;
    this.#space = space;
    this.#enter = space.core["enter"]!;
    this.#budget = Math.min(budget, 0xffffffff);
    this.#count = count;
    try {
      const { bytes, plan } = translate(space, program, decoded, tableIndex);
      instantiate(space, bytes, plan);
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  run(ctx: number): number {
    try {
      return this.#enter(this.tableIndex, ctx, this.#budget);
    } catch (error) {
      throw asFault(this.#space, error);
    }
  }

  dispose(): void {
    if (this.#count > 0) this.#space.tableSlots.release(this.tableIndex, this.#count);
    this.#count = 0;
    // The index may be somebody else's by now.
    this.#enter = disposed;
  }
}

function disposed(): never {
  throw new InternalError("a disposed program is run");
}

/** The module of a program, as bytes, for tests and tools. Once instantiated, its functions stand in the shared table. */
export function translate(
  space: AddressSpace,
  program: VmProgram,
  decoded: DecodedProgram,
  tableIndex: number,
): { bytes: Uint8Array<ArrayBuffer>; plan: ModulePlan } {
  const plan = new ModulePlan(space, program, decoded, tableIndex);
  const { slots, functions } = decoded;
  const facts: FunctionFacts[] = new Array(functions.length);
  // Callees mostly follow their callers: going backward, what they read of r1..r5 is known at the call.
  for (let k = functions.length - 1; k >= 0; k--) {
    const fn = functions[k];
    const demand = analyzeDemand(slots, fn, plan.calls, plan.allArgumentMasks);
    plan.setArgumentMask(k, demand.live[0]);
    const values = analyzeValues(slots, fn, demand, plan);
    const hasLoop = plan.hasLoop(k);
    const views = chooseViews(demand, values);
    const windows: ReadonlyMap<number, Window> =
      plan.checked && hasLoop && fn.size <= MAX_PART && !plan.disturbs(k)
        ? planWindows(slots, fn, values, plan)
        : new Map();
    const frame =
      fn.size <= MAX_PART
        ? promoteFrame(slots, fn, values, plan.calls, plan.allArgumentMasks, plan)
        : new FrameSlots();
    facts[k] = { index: k, fn, demand, values, views, frame, hasLoop, windows };
  }
  for (const fact of facts) compileFunction(plan, fact);
  plan.module.element(tableIndex, [
    plan.functionIndex(0),
    ...[...decoded.callbacks].map((k) => plan.functionIndex(k)),
  ]);
  return { bytes: plan.module.finish(), plan };
}

/** Puts the module's functions into the shared table. */
function instantiate(space: AddressSpace, bytes: Uint8Array<ArrayBuffer>, plan: ModulePlan): void {
  const env: WebAssembly.ModuleImports = {
    memory: space.memory,
    table: space.table,
    cpu: space.cpu,
    ...plan.imports,
  };
  for (const name of plan.coreImports) {
    const fn = space.core[name];
    if (fn === undefined) throw new InvalidProgramError(`the core has no helper ${name}`, 0);
    env[`core.${name}`] = fn as WebAssembly.ImportValue;
  }
  new WebAssembly.Instance(new WebAssembly.Module(bytes), { env });
}

const FAULT_TEXTS: Readonly<Record<number, string>> = {
  [FAULT_READ]: "invalid read",
  [FAULT_WRITE]: "invalid write",
  [FAULT_BUDGET]: "the program ran longer than its budget allows",
  [FAULT_STACK]: "the program calls deeper than 8 frames",
  [FAULT_CALL]: "call of an unknown function",
  [FAULT_INSN]: "invalid instruction",
  [FAULT_THROW]: "unhandled bpf_throw",
};

/** What stopped a run. Wasm traps and an exhausted host stack become ProgramFault; the rest is somebody else's. */
export function asFault(space: AddressSpace, error: unknown): unknown {
  if (error instanceof TsbpfError || error instanceof InternalError) return error;
  // V8 and JavaScriptCore say "Maximum call stack size exceeded", SpiderMonkey "too much recursion".
  const overflow = error instanceof Error && /call stack|recursion/.test(error.message);
  if (!(error instanceof WebAssembly.RuntimeError) && !overflow) return error;
  const view = space.dv;
  const cpu = space.cpu.value as number;
  const fault = view.getUint32(cpu + CPU_FAULT, true);
  if (fault === FAULT_NONE) {
    const message = overflow ? "the host's stack is exhausted" : `trap: ${(error as Error).message}`;
    return new ProgramFault(
      message,
      { fault: overflow ? FAULT_STACK : FAULT_READ, insn: -1, address: 0n },
      {
        cause: error,
      },
    );
  }
  view.setUint32(cpu + CPU_FAULT, FAULT_NONE, true);
  const insn = view.getUint32(cpu + CPU_FAULT_INSN, true);
  const address = view.getBigUint64(cpu + CPU_FAULT_ADDR, true);
  const text = FAULT_TEXTS[fault] ?? `fault ${fault}`;
  const place = fault === FAULT_READ || fault === FAULT_WRITE ? ` at 0x${address.toString(16)}` : "";
  return new ProgramFault(`${text}${place}`, { fault, insn, address }, { cause: error });
}
