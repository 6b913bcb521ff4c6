// Which indices of the shared table are interpreted programs and callbacks: one entry per index from TABLE_BASE on.
import { DIR_PC, DIR_PROG, DIR_SIZE } from "../../src/vm/interp/layout";
import { TABLE_BASE } from "../../src/vm/layout";
import { alloc, release } from "../alloc";

let entries: u32 = 0;
let capacity: u32 = 0;

/** `index` of the table now means the record at `pc` of `prog` (both 0: nothing of ours); false: out of memory. */
export function interp_register(index: u32, prog: u32, pc: u32): bool {
  const n = index - TABLE_BASE;
  if (n >= capacity) {
    const wider = max<u32>(64, (n + 1) << 1);
    const moved = alloc(wider * DIR_SIZE, 8);
    if (moved == 0) return false;
    memory.copy(moved, entries, capacity * DIR_SIZE);
    if (entries != 0) release(entries);
    entries = moved;
    capacity = wider;
  }
  store<u32>(entries + n * DIR_SIZE, prog, DIR_PROG);
  store<u32>(entries + n * DIR_SIZE, pc, DIR_PC);
  return true;
}

/** The program behind `index`, or 0. */
// @ts-ignore: decorator
@inline
export function directoryProg(index: u32): u32 {
  const n = index - TABLE_BASE;
  return n < capacity ? load<u32>(entries + n * DIR_SIZE, DIR_PROG) : 0;
}

/** The record that `index` begins with, or 0. */
// @ts-ignore: decorator
@inline
export function directoryPc(index: u32): u32 {
  const n = index - TABLE_BASE;
  return n < capacity ? load<u32>(entries + n * DIR_SIZE, DIR_PC) : 0;
}
