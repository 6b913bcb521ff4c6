import { BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG } from "../../uapi/index.ts";
import type { VmMap } from "../engine.ts";
import { FAULT_BUDGET, FAULT_READ, FAULT_WRITE, FRAME_SIZE, SHADOW_SHIFT } from "../layout.ts";
import {
  I32,
  OP_END,
  OP_I32_ADD,
  OP_I32_AND,
  OP_I32_EQ,
  OP_I32_GT_U,
  OP_I32_LOAD8_U,
  OP_I32_LT_U,
  OP_I32_OR,
  OP_I32_SHR_U,
  OP_I32_SUB,
  OP_I64_LT_S,
  OP_I64_SUB,
  OP_IF,
  OP_UNREACHABLE,
  VOID,
} from "../wasm/opcodes.ts";
import type { Emitter } from "./emitter.ts";
import { accessSize } from "./frame.ts";
import {
  ORIGIN_FRAME,
  ORIGIN_LOOKUP,
  ORIGIN_REGION,
  ORIGIN_SOURCE,
  originIndex,
  originTag,
} from "./values.ts";

/** Most bytes from a granule's start of which one shadow byte can tell, less the 7 that an address may be above it. */
const MAX_SHADOW_SPAN = 248;

/** Stops the program with a fault at instruction `insn`; the address is in local `address` (-1: there is none). */
export function emitFault(e: Emitter, fault: number, insn: number, address: number): void {
  e.i32(fault);
  e.i32(insn);
  if (address < 0) e.i32(0);
  else e.get(address);
  e.call(e.plan.faultFunction);
  e.op(OP_UNREACHABLE);
}

function emitAccessFault(e: Emitter, address: number, write: boolean, insn: number): void {
  e.op(OP_IF);
  e.op(VOID);
  emitFault(e, write ? FAULT_WRITE : FAULT_READ, insn, address);
  e.op(OP_END);
}

/** May the `size` bytes at the offset in local `address` be accessed? One byte of the shadow tells (layout.ts). */
export function emitCheck(e: Emitter, address: number, size: number, write: boolean, insn: number): void {
  isBarred(e, address, size, write);
  emitAccessFault(e, address, write, insn);
}

function isBarred(e: Emitter, address: number, size: number, write: boolean): void {
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
}

/** Are the bytes of one value of `map`, from `offset` on, a program's to access? */
export function isInValue(map: VmMap, offset: number, size: number, write: boolean): boolean {
  const barred = write ? BPF_F_RDONLY_PROG : BPF_F_WRONLY_PROG;
  return offset >= 0 && offset + size <= map.valueSize && (map.flags & barred) === 0;
}

/** Does the constant address lie in a value of one of the program's arrays? */
export function isInArray(e: Emitter, address: number, size: number, write: boolean): boolean {
  const at = address >>> 0;
  return e.plan.program.source.maps.some((map) => {
    if (map.values === 0 || map.stride === 0 || map.cpuStride !== 0 || at < map.values) return false;
    const index = Math.floor((at - map.values) / map.stride);
    return index < map.maxEntries && isInValue(map, at - map.values - index * map.stride, size, write);
  });
}

/** Do the addresses that the register can hold, by what is known of its interval, all lie in one value of an array? */
export function isKnownInArray(e: Emitter, base: number, off: number, size: number, write: boolean): boolean {
  const { ranges } = e;
  if (ranges === undefined) return false;
  const low = ranges.lowest(base) + off;
  const high = ranges.highest(base) + off;
  if (low < 0 || high > 0xffffffff) return false;
  return e.plan.program.source.maps.some((map) => {
    if (map.values === 0 || map.stride === 0 || map.cpuStride !== 0 || low < map.values) return false;
    const index = Math.floor((low - map.values) / map.stride);
    const start = map.values + index * map.stride;
    return index < map.maxEntries && isInValue(map, low - start, high - low + size, write);
  });
}

/** What a check is about: `size` bytes, `off` above register `base`, for the instruction at `insn`. */
export interface Access {
  readonly base: number;
  readonly off: number;
  readonly size: number;
  readonly write: boolean;
  readonly insn: number;
  /** Other loads through the same register that this check covers too: [off, off + size) spans them all. */
  readonly members: readonly number[];
}

/**
 * Checks an access to the offset in local `address`, by what is known of its register's origin where that is cheaper
 * than the shadow, which has the last word.
 */
export function emitAccessCheck(e: Emitter, address: number, access: Access): void {
  const { base, off, size, write, insn } = access;
  const origin = e.values.origin[base];
  const index = originIndex(origin);
  const { maps } = e.plan.program.source;
  switch (originTag(origin)) {
    case ORIGIN_LOOKUP: {
      const at = e.values.delta[base] + off;
      if (!isInValue(maps[index], at, size, write)) break;
      e.get(address);
      e.i32(at);
      e.op(OP_I32_EQ);
      emitAccessFault(e, address, write, insn);
      return;
    }
    case ORIGIN_REGION:
      if (!isInValue(maps[index], 0, size, write)) break;
      e.get(address);
      e.i32(maps[index].values);
      e.op(OP_I32_SUB);
      e.i32(maps[index].valueSize - size);
      e.op(OP_I32_GT_U);
      orElseShadow(e, address, access);
      return;
    case ORIGIN_FRAME:
      if (size > FRAME_SIZE) break;
      e.get(address);
      e.frameBase();
      e.op(OP_I32_SUB);
      e.i32(FRAME_SIZE - size);
      e.op(OP_I32_GT_U);
      orElseShadow(e, address, access);
      return;
    case ORIGIN_SOURCE: {
      const window = e.facts.windows.get(index);
      const unit = window === undefined ? 0 : write ? window.write : window.read;
      if (unit === 0) break;
      outsideWindow(e, address, 0, index, write);
      if (size > unit) {
        // Both ends lie in the window, and so does all between.
        outsideWindow(e, address, size - unit, index, write);
        e.op(OP_I32_OR);
      }
      orElseShadow(e, address, access);
      return;
    }
  }
  emitShadowCheck(e, address, access);
}

function outsideWindow(e: Emitter, address: number, distance: number, source: number, write: boolean): void {
  e.get(address);
  if (distance > 0) {
    e.i32(distance);
    e.op(OP_I32_ADD);
  }
  e.get(windowLocal(e, source, write, "low"));
  e.op(OP_I32_SUB);
  e.get(windowLocal(e, source, write, "limit"));
  e.op(OP_I32_GT_U);
}

/** On the stack: did the fast check fail? */
function orElseShadow(e: Emitter, address: number, access: Access): void {
  e.op(OP_IF);
  e.op(VOID);
  emitShadowCheck(e, address, access);
  e.op(OP_END);
}

/** One check for the whole span where a shadow byte can tell, then each by itself. */
function emitShadowCheck(e: Emitter, address: number, access: Access): void {
  const { base, size, write, insn, members } = access;
  if (members.length === 0) {
    emitCheck(e, address, size, write, insn);
    return;
  }
  if (size <= MAX_SHADOW_SPAN) {
    isBarred(e, address, size, write);
    e.op(OP_IF);
    e.op(VOID);
  }
  for (const member of members) {
    e.get32(base);
    e.i32(e.slots.off[member]);
    e.op(OP_I32_ADD);
    e.set(address);
    emitCheck(e, address, accessSize(e.slots.op[member]), write, member);
  }
  if (size <= MAX_SHADOW_SPAN) e.op(OP_END);
}

function windowLocal(e: Emitter, source: number, write: boolean, end: string): number {
  return e.temp(`window ${source} ${write} ${end}`, I32);
}

/** Fills the windows of `source`, whose pointer register `reg` holds. */
export function emitWindow(e: Emitter, source: number, reg: number): void {
  const window = e.facts.windows.get(source);
  if (window === undefined) return;
  for (const write of [false, true]) {
    const size = write ? window.write : window.read;
    if (size === 0) continue;
    e.get32(reg);
    e.i32(size);
    e.i32(write ? e.plan.shadowWrite : e.plan.shadowRead);
    e.call(e.plan.windowFunction);
    e.set(windowLocal(e, source, write, "limit"));
    e.set(windowLocal(e, source, write, "low"));
  }
}

/** `rounds` of a loop off the budget. */
export function emitBudget(e: Emitter, rounds: number, insn: number): void {
  const budget = e.budget;
  e.get(budget);
  e.i64(rounds | 0, Math.floor(rounds / 2 ** 32));
  e.op(OP_I64_SUB);
  e.tee(budget);
  e.i64(0, 0);
  e.op(OP_I64_LT_S);
  e.op(OP_IF);
  e.op(VOID);
  emitFault(e, FAULT_BUDGET, insn, -1);
  e.op(OP_END);
}

export function addressLocal(e: Emitter): number {
  return e.temp("address", I32);
}
