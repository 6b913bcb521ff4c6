import { InvalidProgramError } from "../../diag/index.ts";
import { BPF_MAP_TYPE_PROG_ARRAY } from "../../uapi/index.ts";
import type { VmMap } from "../engine.ts";
import {
  CPU_ARGS,
  CPU_FP,
  CPU_ID,
  CPU_RESULT,
  CPU_TAIL_CALLS,
  FAULT_CALL,
  FRAME_SIZE,
  MAX_TAIL_CALL_CNT,
  TABLE_BASE,
  VM_MAP_MAX_ENTRIES,
  VM_MAP_STRIDE,
  VM_MAP_VALUES,
} from "../layout.ts";
import {
  I32,
  OP_BLOCK,
  OP_BR_IF,
  OP_CALL_INDIRECT,
  OP_END,
  OP_I32_ADD,
  OP_I32_AND,
  OP_I32_EQZ,
  OP_I32_GE_U,
  OP_I32_LOAD,
  OP_I32_LT_U,
  OP_I32_MUL,
  OP_I32_NE,
  OP_I32_STORE,
  OP_I32_SUB,
  OP_I64_EXTEND_I32_S,
  OP_I64_LOAD,
  OP_I64_STORE,
  OP_IF,
  OP_LOCAL_GET,
  OP_SELECT,
  VOID,
} from "../wasm/opcodes.ts";
import {
  type CallSite,
  directCall,
  HELPER_MAP_LOOKUP_ELEM,
  HELPER_MAP_UPDATE_ELEM,
  HELPER_TAIL_CALL,
} from "./calls.ts";
import { emitFault } from "./check.ts";
import { emitLookup, isInFrame } from "./emit-lookup.ts";
import type { Emitter } from "./emitter.ts";
import { callxRegister } from "./program.ts";

const HELPER_GET_SMP_PROCESSOR_ID = 8;

export function emitCall(e: Emitter, i: number): void {
  const site = e.calls.at(i);
  if (site.callee >= 0) callFunction(e, site.callee);
  else if (site.helper === HELPER_TAIL_CALL) tailCall(e, i);
  else if (!inlined(e, site)) callBinding(e, site);
  finish(e, i);
}

/** r0 is on the operand stack, or set already by an inlined helper. */
function finish(e: Emitter, i: number): void {
  for (let r = 1; r <= 5; r++) e.forget(r);
  e.advance(i);
}

/** Upper end of the frame below this function's. */
function calleeFrame(e: Emitter): void {
  e.op(OP_LOCAL_GET);
  e.out.u32(0);
  e.i32(FRAME_SIZE);
  e.op(OP_I32_SUB);
}

function callFunction(e: Emitter, callee: number): void {
  const sync = e.plan.countsLoops(callee);
  const mask = e.plan.argumentMask(callee);
  if (sync) e.storeBudget();
  calleeFrame(e);
  for (let r = 1; r <= 5; r++) {
    if (mask & (1 << r)) e.get64(r);
    else e.i64(0, 0);
  }
  e.call(e.plan.functionIndex(callee));
  e.set64(0);
  if (sync) e.loadBudget();
}

function callBinding(e: Emitter, site: CallSite): void {
  const binding = site.binding!;
  if (binding.callsBack) {
    e.storeBudget();
    e.cpu();
    e.op(OP_LOCAL_GET);
    e.out.u32(0);
    e.memory(OP_I32_STORE, CPU_FP);
  }
  if (binding.kind === "core") {
    for (let r = 1; r <= 5; r++) {
      if (r <= binding.nargs) e.get64(r);
      else e.i64(0, 0);
    }
    e.call(e.plan.importOf(binding.name));
  } else {
    storeArguments(e, binding.nargs);
    e.cpu();
    e.call(e.plan.importOf(binding.name));
    e.cpu();
    e.memory(OP_I64_LOAD, CPU_RESULT);
  }
  e.set64(0);
  if (binding.callsBack) e.loadBudget();
}

function storeArguments(e: Emitter, nargs: number): void {
  for (let r = 1; r <= nargs; r++) {
    e.cpu();
    e.get64(r);
    e.memory(OP_I64_STORE, CPU_ARGS + 8 * (r - 1));
  }
}

// ---- tail calls ------------------------------------------------------------------------------------------------

/**
 * bpf_tail_call(ctx, prog_array, index): the other program takes over this frame and returns to this one's caller. An
 * index out of range, a 34th call or an empty slot goes on behind the call.
 */
function tailCall(e: Emitter, i: number): void {
  const { values } = e;
  const known = values.isConst(2) ? e.calls.map(values.lo[2]) : undefined;
  const header = e.temp("map", I32);
  const index = e.temp("index", I32);
  const target = e.temp("target", I32);
  const member = (value: number | undefined, offset: number): void => {
    if (value !== undefined) e.i32(value);
    else {
      e.get(header);
      e.memory(OP_I32_LOAD, offset);
    }
  };
  e.op(OP_BLOCK);
  e.op(VOID);
  const orGoOn = (): void => {
    e.op(OP_BR_IF);
    e.out.u32(0);
  };
  if (known === undefined) {
    e.get32(2);
    e.set(header);
    emitMapGuard(e, header, i);
  }
  e.get32(3);
  e.tee(index);
  member(known?.maxEntries, VM_MAP_MAX_ENTRIES);
  e.op(OP_I32_GE_U);
  orGoOn();
  e.cpu();
  e.memory(OP_I32_LOAD, CPU_TAIL_CALLS);
  e.i32(MAX_TAIL_CALL_CNT);
  e.op(OP_I32_GE_U);
  orGoOn();
  e.get(index);
  member(known?.stride, VM_MAP_STRIDE);
  e.op(OP_I32_MUL);
  member(known?.values, VM_MAP_VALUES);
  e.op(OP_I32_ADD);
  e.memory(OP_I32_LOAD, 0);
  e.tee(target);
  e.op(OP_I32_EQZ);
  orGoOn();
  e.cpu();
  e.cpu();
  e.memory(OP_I32_LOAD, CPU_TAIL_CALLS);
  e.i32(1);
  e.op(OP_I32_ADD);
  e.memory(OP_I32_STORE, CPU_TAIL_CALLS);
  e.storeBudget();
  e.op(OP_LOCAL_GET);
  e.out.u32(0);
  e.get64(1);
  for (let r = 2; r <= 5; r++) e.i64(0, 0);
  e.get(target);
  e.op(OP_CALL_INDIRECT);
  e.out.u32(e.plan.functionType);
  e.out.u8(0);
  e.leave(false);
  e.op(OP_END);
  e.i64(0, 0);
  e.set64(0);
}

/** Checked mode: the offset in local `header` must be one of the program's PROG_ARRAYs. */
function emitMapGuard(e: Emitter, header: number, insn: number): void {
  if (!e.plan.checked) return;
  e.i32(1);
  for (const map of e.plan.program.source.maps) {
    if (map.type !== BPF_MAP_TYPE_PROG_ARRAY) continue;
    e.get(header);
    e.i32(map.address);
    e.op(OP_I32_NE);
    e.op(OP_I32_AND);
  }
  e.op(OP_IF);
  e.op(VOID);
  emitFault(e, FAULT_CALL, insn, header);
  e.op(OP_END);
}

// ---- callx -----------------------------------------------------------------------------------------------------

/** A number below TABLE_BASE names a helper, any other a function whose address BPF_PSEUDO_FUNC gave. */
export function emitCallx(e: Emitter, i: number): void {
  const { values } = e;
  const reg = callxRegister(e.slots, i);
  if (reg > 9) throw new InvalidProgramError(`callx of r${reg}`, i);
  const to = values.lo[reg] >>> 0;
  const callee = values.isConst(reg) ? e.plan.functionOfTableIndex(to) : undefined;
  if (callee !== undefined || (values.isConst(reg) && to < TABLE_BASE)) {
    if (callee !== undefined) callFunction(e, callee);
    else {
      const site = e.calls.helper(i, to);
      if (site.helper === HELPER_TAIL_CALL) tailCall(e, i);
      else callBinding(e, site);
    }
    finish(e, i);
    return;
  }
  const target = e.temp("target", I32);
  e.get32(reg);
  e.tee(target);
  e.i32(TABLE_BASE);
  e.op(OP_I32_LT_U);
  e.op(OP_IF);
  e.op(VOID);
  emitFault(e, FAULT_CALL, i, target);
  e.op(OP_END);
  e.storeBudget();
  calleeFrame(e);
  for (let r = 1; r <= 5; r++) e.get64(r);
  e.get(target);
  e.op(OP_CALL_INDIRECT);
  e.out.u32(e.plan.functionType);
  e.out.u8(0);
  e.set64(0);
  e.loadBudget();
  finish(e, i);
}

// ---- inlined helpers -------------------------------------------------------------------------------------------

function inlined(e: Emitter, site: CallSite): boolean {
  if (site.helper === HELPER_GET_SMP_PROCESSOR_ID) {
    e.cpu();
    e.memory(OP_I32_LOAD, CPU_ID);
    e.set32(0, true);
    return true;
  }
  if (site.binding?.kind !== "core" || !e.values.isConst(1)) return false;
  const map = e.calls.map(e.values.lo[1]);
  if (map === undefined) return false;
  if (!isReadable(e, 2, map.keySize)) return false;
  if (site.helper === HELPER_MAP_LOOKUP_ELEM && emitLookup(e, map)) return true;
  return direct(e, site, map);
}

/** May the `size` bytes that `reg` points to be read, whatever runs? Where not, the helper itself has to look. */
function isReadable(e: Emitter, reg: number, size: number): boolean {
  return !e.plan.checked || isInFrame(e, reg, size);
}

/** The map is known, and so is the function of the core that does this for it. */
function direct(e: Emitter, site: CallSite, map: VmMap): boolean {
  const name = directCall(map, site.helper);
  const update = site.helper === HELPER_MAP_UPDATE_ELEM;
  if (name === undefined || (update && !isReadable(e, 3, map.valueSize))) return false;
  e.i32(map.address);
  e.get32(2);
  if (update) {
    e.get32(3);
    e.get64(4);
  }
  e.call(e.plan.importOf(name));
  if (site.helper !== HELPER_MAP_LOOKUP_ELEM) {
    e.op(OP_I64_EXTEND_I32_S);
    e.set64(0);
    return true;
  }
  const value = e.temp("value", I32);
  e.tee(value);
  e.pointer();
  e.i64(0, 0);
  e.get(value);
  e.op(OP_SELECT);
  e.set64(0);
  return true;
}
