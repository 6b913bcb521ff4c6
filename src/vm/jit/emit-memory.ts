import { InvalidProgramError } from "../../diag/index.ts";
import {
  BPF_ADD,
  BPF_AND,
  BPF_B,
  BPF_CMPXCHG,
  BPF_DW,
  BPF_FETCH,
  BPF_H,
  BPF_LOAD_ACQ,
  BPF_MEM,
  BPF_MEMSX,
  BPF_OR,
  BPF_STORE_REL,
  BPF_W,
  BPF_XCHG,
  BPF_XOR,
} from "../../uapi/index.ts";
import { probeKind } from "../engine.ts";
import { FRAME_SIZE } from "../layout.ts";
import {
  I32,
  I64,
  OP_END,
  OP_I32_ADD,
  OP_I32_AND,
  OP_I32_EQ,
  OP_I32_EXTEND8_S,
  OP_I32_EXTEND16_S,
  OP_I32_LOAD,
  OP_I32_LOAD8_U,
  OP_I32_LOAD16_U,
  OP_I32_OR,
  OP_I32_STORE,
  OP_I32_STORE8,
  OP_I32_STORE16,
  OP_I32_WRAP_I64,
  OP_I32_XOR,
  OP_I64_ADD,
  OP_I64_AND,
  OP_I64_EQ,
  OP_I64_EXTEND_I32_S,
  OP_I64_LOAD,
  OP_I64_LOAD8_S,
  OP_I64_LOAD16_S,
  OP_I64_LOAD32_S,
  OP_I64_OR,
  OP_I64_STORE,
  OP_I64_XOR,
  OP_IF,
  VOID,
} from "../wasm/opcodes.ts";
import { addressLocal, emitAccessCheck, isInArray, isKnownInArray } from "./check.ts";
import { DEMAND_NONE } from "./demand.ts";
import type { Emitter } from "./emitter.ts";
import { accessSize } from "./frame.ts";
import { PROBE } from "./plan.ts";
import { VALUE_FRAME } from "./values.ts";

const LOADS: Readonly<Record<number, number>> = {
  [BPF_B]: OP_I32_LOAD8_U,
  [BPF_H]: OP_I32_LOAD16_U,
  [BPF_W]: OP_I32_LOAD,
  [BPF_DW]: OP_I64_LOAD,
};
const SIGNED_LOADS: Readonly<Record<number, number>> = {
  [BPF_B]: OP_I64_LOAD8_S,
  [BPF_H]: OP_I64_LOAD16_S,
  [BPF_W]: OP_I64_LOAD32_S,
};
const STORES: Readonly<Record<number, number>> = {
  [BPF_B]: OP_I32_STORE8,
  [BPF_H]: OP_I32_STORE16,
  [BPF_W]: OP_I32_STORE,
  [BPF_DW]: OP_I64_STORE,
};

/** Offset of the promoted slot that the access names, or undefined when it goes to memory. */
function promoted(e: Emitter, base: number, off: number, size: number): number | undefined {
  if (e.values.kind[base] !== VALUE_FRAME) return undefined;
  const at = e.values.lo[base] + off;
  return e.facts.frame.at(at) === size ? at : undefined;
}

/** Pushes the address of an access, checked where the mode asks for it; returns the immediate offset to use. */
function address(e: Emitter, base: number, off: number, size: number, write: boolean, insn: number): number {
  const { values } = e;
  if (values.kind[base] === VALUE_FRAME) {
    const at = values.lo[base] + off;
    // Frames are always accessible; what lies beyond the own one is for the shadow to judge.
    if (at >= -FRAME_SIZE && at + size <= 0) {
      e.frameBase();
      return FRAME_SIZE + at;
    }
  }
  if (!e.plan.checked) {
    if (values.isConst(base)) {
      e.i32(values.lo[base] + off);
      return 0;
    }
    e.get32(base);
    if (off >= 0) return off;
    e.i32(off);
    e.op(OP_I32_ADD);
    return 0;
  }
  if (values.isConst(base) && isInArray(e, values.lo[base] + off, size, write)) {
    e.i32(values.lo[base] + off);
    return 0;
  }
  if ((!write && e.covered.has(insn)) || isKnownInArray(e, base, off, size, write)) {
    e.get32(base);
    if (off >= 0) return off;
    e.i32(off);
    e.op(OP_I32_ADD);
    return 0;
  }
  const local = addressLocal(e);
  const group = write ? undefined : e.groups.get(insn);
  const from = group === undefined ? off : group.min;
  e.get32(base);
  if (from !== 0) {
    e.i32(from);
    e.op(OP_I32_ADD);
  }
  e.set(local);
  if (group === undefined) emitAccessCheck(e, local, { base, off, size, write, insn, members: [] });
  else {
    const { min, end, members } = group;
    for (const member of members) e.covered.add(member);
    emitAccessCheck(e, local, { base, off: min, size: end - min, write, insn, members });
    // The check may have left another address in the local.
    e.get32(base);
    if (off >= 0) return off;
    e.i32(off);
    e.op(OP_I32_ADD);
    return 0;
  }
  e.get(local);
  return 0;
}

export function emitLoad(e: Emitter, i: number): void {
  const { slots } = e;
  const op = slots.op[i];
  const dst = slots.dst[i];
  const src = slots.src[i];
  const off = slots.off[i];
  const mode = op & 0xe0;
  const size = op & 0x18;
  const bytes = accessSize(op);
  if ((mode !== BPF_MEM && mode !== BPF_MEMSX) || (mode === BPF_MEMSX && size === BPF_DW))
    throw new InvalidProgramError(`unknown opcode 0x${op.toString(16)}`, i);
  if (dst >= 10) throw new InvalidProgramError(`write to r${dst}`, i);
  if (e.plan.probes(i)) {
    probe(e, i);
    return;
  }
  const at = promoted(e, src, off, bytes);
  if (at !== undefined) {
    e.get(e.slot(at, bytes));
    if (mode === BPF_MEMSX) {
      if (size === BPF_B) e.op(OP_I32_EXTEND8_S);
      else if (size === BPF_H) e.op(OP_I32_EXTEND16_S);
      e.op(OP_I64_EXTEND_I32_S);
    }
  } else {
    const immediate = address(e, src, off, bytes, false, i);
    e.memory(mode === BPF_MEMSX ? SIGNED_LOADS[size] : LOADS[size], immediate);
  }
  if (mode === BPF_MEMSX || size === BPF_DW) e.set64(dst);
  else e.set32(dst, true);
  e.advance(i);
}

/** A load through a BTF pointer reads zero where it would fault. */
function probe(e: Emitter, i: number): void {
  const { slots } = e;
  const dst = slots.dst[i];
  const op = slots.op[i];
  e.get64(slots.src[i]);
  e.imm64(slots.off[i]);
  e.op(OP_I64_ADD);
  e.i32(probeKind(op));
  e.call(e.plan.importOf(PROBE));
  if ((op & 0xe0) === BPF_MEMSX || (op & 0x18) === BPF_DW) e.set64(dst);
  else {
    e.op(OP_I32_WRAP_I64);
    e.set32(dst, true);
  }
  e.advance(i);
}

export function emitStore(e: Emitter, i: number, immediate: boolean): void {
  const { slots } = e;
  const op = slots.op[i];
  const dst = slots.dst[i];
  const off = slots.off[i];
  const size = op & 0x18;
  const bytes = accessSize(op);
  if ((op & 0xe0) !== BPF_MEM) throw new InvalidProgramError(`unknown opcode 0x${op.toString(16)}`, i);
  const at = promoted(e, dst, off, bytes);
  if (at !== undefined) {
    storedValue(e, i, immediate);
    if (size === BPF_B || size === BPF_H) {
      e.i32(size === BPF_B ? 0xff : 0xffff);
      e.op(OP_I32_AND);
    }
    e.set(e.slot(at, bytes));
    return;
  }
  const offset = address(e, dst, off, bytes, true, i);
  storedValue(e, i, immediate);
  e.memory(STORES[size], offset);
}

function storedValue(e: Emitter, i: number, immediate: boolean): void {
  const { slots } = e;
  if ((slots.op[i] & 0x18) === BPF_DW) {
    if (immediate) e.imm64(slots.imm[i]);
    else e.get64(slots.src[i]);
  } else if (immediate) e.i32(slots.imm[i]);
  else e.get32(slots.src[i]);
}

const ATOMIC32: Readonly<Record<number, number>> = {
  [BPF_ADD]: OP_I32_ADD,
  [BPF_OR]: OP_I32_OR,
  [BPF_AND]: OP_I32_AND,
  [BPF_XOR]: OP_I32_XOR,
};
const ATOMIC64: Readonly<Record<number, number>> = {
  [BPF_ADD]: OP_I64_ADD,
  [BPF_OR]: OP_I64_OR,
  [BPF_AND]: OP_I64_AND,
  [BPF_XOR]: OP_I64_XOR,
};

/** One thread runs programs on this memory, and nothing interrupts it: plain loads and stores are atomic. */
export function emitAtomic(e: Emitter, i: number): void {
  const { slots } = e;
  const op = slots.op[i];
  const dst = slots.dst[i];
  const src = slots.src[i];
  const off = slots.off[i];
  const imm = slots.imm[i];
  const bytes = accessSize(op);
  const size = op & 0x18;
  if (imm === BPF_LOAD_ACQ) {
    if (dst >= 10) throw new InvalidProgramError(`write to r${dst}`, i);
    const offset = address(e, src, off, bytes, false, i);
    e.memory(LOADS[size], offset);
    if (size === BPF_DW) e.set64(dst);
    else e.set32(dst, true);
    e.advance(i);
    return;
  }
  if (imm === BPF_STORE_REL) {
    const offset = address(e, dst, off, bytes, true, i);
    if (size === BPF_DW) e.get64(src);
    else e.get32(src);
    e.memory(STORES[size], offset);
    return;
  }
  const wide = size === BPF_DW;
  const opcode = (wide ? ATOMIC64 : ATOMIC32)[imm & 0xf0];
  const known = imm === BPF_XCHG || imm === BPF_CMPXCHG || ((imm & ~0xf1) === 0 && opcode !== undefined);
  if (!known || (size !== BPF_DW && size !== BPF_W))
    throw new InvalidProgramError(`unknown atomic operation 0x${imm.toString(16)}`, i);
  const fetches = (imm & BPF_FETCH) !== 0;
  if (fetches && imm !== BPF_CMPXCHG && src >= 10) throw new InvalidProgramError(`write to r${src}`, i);
  const at = e.temp("atomic", I32);
  const old = e.temp(wide ? "old64" : "old32", wide ? I64 : I32);
  const load = wide ? OP_I64_LOAD : OP_I32_LOAD;
  const store = wide ? OP_I64_STORE : OP_I32_STORE;
  const read = (reg: number): void => (wide ? e.get64(reg) : e.get32(reg));
  const offset = address(e, dst, off, bytes, true, i);
  e.tee(at);
  e.memory(load, offset);
  e.set(old);
  if (imm === BPF_CMPXCHG) {
    e.get(old);
    read(0);
    e.op(wide ? OP_I64_EQ : OP_I32_EQ);
    e.op(OP_IF);
    e.op(VOID);
    e.get(at);
    read(src);
    e.memory(store, offset);
    e.op(OP_END);
  } else {
    e.get(at);
    if (imm === BPF_XCHG) read(src);
    else {
      e.get(old);
      read(src);
      e.op(opcode);
    }
    e.memory(store, offset);
  }
  if (fetches) {
    const result = imm === BPF_CMPXCHG ? 0 : src;
    e.get(old);
    if (wide) e.set64(result);
    else e.set32(result, true);
  }
  e.advance(i);
}

/** Must the result be computed at all? Loads of the checked mode may fault and always run. */
export function isDeadLoad(e: Emitter, i: number): boolean {
  return !e.plan.checked && e.facts.demand.result[i - e.facts.fn.start] === DEMAND_NONE;
}
