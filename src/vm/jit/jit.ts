import { InternalError, InvalidProgramError, ProgramFault, TsbpfError } from "../../diag/index.ts";
import type { AddressSpace } from "../address-space.ts";
import type { Engine, LoadedProgram, VmProgram } from "../engine.ts";
import {
  CPU_BUDGET,
  CPU_CTX,
  CPU_FAULT,
  CPU_FAULT_ADDR,
  CPU_FAULT_INSN,
  CPU_RESULT,
  CPU_STACK_TOP,
  CPU_TAIL_CALLS,
  FAULT_BUDGET,
  FAULT_CALL,
  FAULT_INSN,
  FAULT_NONE,
  FAULT_READ,
  FAULT_STACK,
  FAULT_THROW,
  FAULT_WRITE,
  POINTER_HIGH,
} from "../layout.ts";
import { WasmBytes } from "../wasm/bytes.ts";
import {
  I32,
  I64,
  OP_CALL,
  OP_END,
  OP_GLOBAL_GET,
  OP_I32_CONST,
  OP_I32_LOAD,
  OP_I32_STORE,
  OP_I32_WRAP_I64,
  OP_I64_CONST,
  OP_I64_EXTEND_I32_U,
  OP_I64_OR,
  OP_I64_STORE,
  OP_LOCAL_GET,
  OP_LOCAL_TEE,
} from "../wasm/opcodes.ts";
import { analyzeDemand } from "./demand.ts";
import { chooseViews, type FunctionFacts } from "./emitter.ts";
import { FrameSlots, promoteFrame } from "./frame.ts";
import { compileFunction } from "./function.ts";
import { ModulePlan } from "./plan.ts";
import { type DecodedProgram, decodeProgram } from "./program.ts";
import { MAX_PART } from "./split.ts";
import { analyzeValues } from "./values.ts";
import { planWindows, type Window } from "./windows.ts";

export interface JitOptions {
  /** Rounds of loops that one run of a checked program may take before FAULT_BUDGET. Default 2^30. */
  readonly budget?: number;
}

/** The engine that turns programs into WebAssembly modules over `space`. */
export function createJit(space: AddressSpace, options: JitOptions = {}): Engine {
  const { budget = 2 ** 30 } = options;
  const table = space.tableSlots;
  return {
    name: "jit",
    load(program: VmProgram): LoadedProgram {
      const decoded = decodeProgram(program, MAX_PART);
      const count = 1 + decoded.callbacks.size;
      const tableIndex = table.take(count);
      try {
        const { bytes, plan } = translate(space, program, decoded, tableIndex, budget);
        const run = instantiate(space, bytes, plan);
        let live = true;
        return {
          run: (ctx) => {
            try {
              return run(ctx);
            } catch (error) {
              throw asFault(space, error);
            }
          },
          tableIndex,
          dispose: () => {
            if (live) table.release(tableIndex, count);
            live = false;
          },
        };
      } catch (error) {
        table.release(tableIndex, count);
        throw error;
      }
    },
  };
}

/** The module of a program, as bytes, for tests and tools. */
export function translate(
  space: AddressSpace,
  program: VmProgram,
  decoded: DecodedProgram,
  tableIndex: number,
  budget: number,
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
  const entry = plan.module.declare(plan.module.type([I32], [I32]));
  plan.module.define(entry, [I64], entryCode(plan, budget));
  plan.module.exportFunction("run", entry);
  plan.module.element(tableIndex, [
    plan.functionIndex(0),
    ...[...decoded.callbacks].map((k) => plan.functionIndex(k)),
  ]);
  return { bytes: plan.module.finish(), plan };
}

/** `run(ctx)`: resets the counters of a run, calls the program, and leaves the whole r0 in the CPU block. */
function entryCode(plan: ModulePlan, budget: number): WasmBytes {
  const out = new WasmBytes(64);
  const op = (...bytes: number[]): void => {
    for (const byte of bytes) out.u8(byte);
  };
  const cpu = (): void => {
    op(OP_GLOBAL_GET);
    out.u32(plan.cpuGlobal);
  };
  const memory = (opcode: number, offset: number): void => {
    op(opcode, 0);
    out.u32(offset);
  };
  cpu();
  op(OP_I32_CONST, 0);
  memory(OP_I32_STORE, CPU_TAIL_CALLS);
  // Checked packet loads want to see that r6 is the run's context.
  cpu();
  op(OP_LOCAL_GET, 0);
  memory(OP_I32_STORE, CPU_CTX);
  if (plan.checked) {
    cpu();
    op(OP_I64_CONST);
    out.s64(budget | 0, Math.floor(budget / 2 ** 32));
    memory(OP_I64_STORE, CPU_BUDGET);
  }
  cpu();
  cpu();
  memory(OP_I32_LOAD, CPU_STACK_TOP);
  op(OP_LOCAL_GET, 0, OP_I64_EXTEND_I32_U, OP_I64_CONST);
  out.s64(0, POINTER_HIGH);
  op(OP_I64_OR);
  for (let r = 2; r <= 5; r++) op(OP_I64_CONST, 0);
  op(OP_CALL);
  out.u32(plan.functionIndex(0));
  op(OP_LOCAL_TEE, 1);
  memory(OP_I64_STORE, CPU_RESULT);
  op(OP_LOCAL_GET, 1, OP_I32_WRAP_I64, OP_END);
  return out;
}

function instantiate(
  space: AddressSpace,
  bytes: Uint8Array<ArrayBuffer>,
  plan: ModulePlan,
): (ctx: number) => number {
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
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env });
  return instance.exports["run"] as (ctx: number) => number;
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
function asFault(space: AddressSpace, error: unknown): unknown {
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
