import { ProgramFault } from "../../diag/index.ts";
import { hex } from "../../util/index.ts";
import type { AddressSpace } from "../address-space.ts";
import * as layout from "../layout.ts";
import { NO_PROG } from "./layout.ts";

const FAULT_TEXT: Readonly<Record<number, string>> = {
  [layout.FAULT_READ]: "invalid read",
  [layout.FAULT_WRITE]: "invalid write",
  [layout.FAULT_BUDGET]: "ran out of its budget of instructions",
  [layout.FAULT_STACK]: "too many frames",
  [layout.FAULT_CALL]:
    "call of something that is no function, or tail call through something that is no program array",
  [layout.FAULT_INSN]: "not an instruction that can run",
  [layout.FAULT_THROW]: "bpf_throw",
};

/** The error for a fault (FAULT_*) at the instruction slot `insn`. */
export function faultError(fault: number, insn: number, address: bigint, cause?: unknown): ProgramFault {
  const memory = fault === layout.FAULT_READ || fault === layout.FAULT_WRITE;
  const text = FAULT_TEXT[fault] ?? `fault ${fault}`;
  return new ProgramFault(
    memory ? `${text} at ${hex(address)}` : text,
    { fault, insn, address },
    cause === undefined ? undefined : { cause },
  );
}

/**
 * The fault behind an error that came out of the core, undefined when it is an error of another kind (a helper in
 * JavaScript threw). `insn`: where the innermost interpreted run stood, for traps whose instruction nobody noted.
 */
export function trapFault(space: AddressSpace, error: unknown, insn: number): ProgramFault | undefined {
  // V8 and JavaScriptCore say "Maximum call stack size exceeded", SpiderMonkey "too much recursion".
  if (error instanceof Error && /call stack|recursion/.test(error.message))
    return faultError(layout.FAULT_STACK, insn, 0n, error);
  if (!(error instanceof WebAssembly.RuntimeError)) return undefined;
  const { dv, cpu } = space;
  const code = dv.getUint32(cpu.value + layout.CPU_FAULT, true);
  if (code !== layout.FAULT_NONE && dv.getInt32(cpu.value + layout.CPU_FAULT_PROG, true) !== NO_PROG)
    insn = dv.getUint32(cpu.value + layout.CPU_FAULT_INSN, true);
  const address = dv.getBigUint64(cpu.value + layout.CPU_FAULT_ADDR, true);
  dv.setUint32(cpu.value + layout.CPU_FAULT, layout.FAULT_NONE, true);
  // An unchecked program left the memory: nobody noted a code.
  return faultError(code === layout.FAULT_NONE ? layout.FAULT_READ : code, insn, address, error);
}
