import { FAULT_BUDGET, FAULT_READ, FAULT_WRITE, SHADOW_SHIFT } from "../layout.ts";
import {
  I32,
  OP_END,
  OP_I32_ADD,
  OP_I32_AND,
  OP_I32_LOAD8_U,
  OP_I32_LT_U,
  OP_I32_SHR_U,
  OP_I64_LT_S,
  OP_I64_SUB,
  OP_IF,
  OP_UNREACHABLE,
  VOID,
} from "../wasm/opcodes.ts";
import type { Emitter } from "./emitter.ts";

/** Stops the program with a fault at instruction `insn`; `address` pushes the i32 offset that it is about. */
export function emitFault(e: Emitter, fault: number, insn: number, address: () => void): void {
  e.i32(fault);
  e.i32(insn);
  address();
  e.call(e.plan.faultFunction);
  e.op(OP_UNREACHABLE);
}

/** May the `size` bytes at the offset in local `address` be accessed? One byte of the shadow tells (layout.ts). */
export function emitCheck(e: Emitter, address: number, size: number, write: boolean, insn: number): void {
  e.get(address);
  e.i32(SHADOW_SHIFT);
  e.op(OP_I32_SHR_U);
  e.memory(OP_I32_LOAD8_U, write ? e.plan.shadowWrite : e.plan.shadowRead);
  e.get(address);
  e.i32(7);
  e.op(OP_I32_AND);
  e.i32(size);
  e.op(OP_I32_ADD);
  e.op(OP_I32_LT_U);
  e.op(OP_IF);
  e.op(VOID);
  emitFault(e, write ? FAULT_WRITE : FAULT_READ, insn, () => e.get(address));
  e.op(OP_END);
}

/** One round of a loop off the budget. */
export function emitBudget(e: Emitter, insn: number): void {
  const budget = e.budget;
  e.get(budget);
  e.i64(1, 0);
  e.op(OP_I64_SUB);
  e.tee(budget);
  e.i64(0, 0);
  e.op(OP_I64_LT_S);
  e.op(OP_IF);
  e.op(VOID);
  emitFault(e, FAULT_BUDGET, insn, () => e.i32(0));
  e.op(OP_END);
}

export function addressLocal(e: Emitter): number {
  return e.temp("address", I32);
}
