// How helpers reach what a program hands them: every range is looked up in the shadow, in either mode, so that a wrong
// argument is a fault and never a stray write.
import {
  CPU_CTX,
  CPU_FAULT,
  CPU_FAULT_ADDR,
  FAULT_READ,
  FAULT_WRITE,
  POINTER_HIGH,
} from "../../src/vm/layout";
import { cpu } from "../env";
import { check_read, check_write } from "../shadow";

/** Stops the program: the engine finds the reason in the CPU block. */
export function fault(code: u32, address: u64): void {
  store<u32>(cpu + CPU_FAULT, code);
  store<u64>(cpu + CPU_FAULT_ADDR, address);
  unreachable();
}

/** A kernel errno as r0. */
// @ts-ignore: decorator
@inline
export function errno(e: i32): u64 {
  return <u64>(<i64>-e);
}

// @ts-ignore: decorator
@inline
export function pointer(address: u32): u64 {
  return ((<u64>POINTER_HIGH) << 32) | address;
}

/** The offset of `n` readable bytes. */
// @ts-ignore: decorator
@inline
export function readable(ptr: u64, n: u32): u32 {
  if (n != 0 && !check_read(<u32>ptr, n)) fault(FAULT_READ, ptr);
  return <u32>ptr;
}

/** The offset of `n` writable bytes. */
// @ts-ignore: decorator
@inline
export function writable(ptr: u64, n: u32): u32 {
  if (n != 0 && !check_write(<u32>ptr, n)) fault(FAULT_WRITE, ptr);
  return <u32>ptr;
}

/** ARG_PTR_TO_CTX: the running program's own context, or a fault. */
// @ts-ignore: decorator
@inline
export function context(ptr: u64): u32 {
  if (<u32>ptr != load<u32>(cpu + CPU_CTX)) fault(FAULT_READ, ptr);
  return <u32>ptr;
}
