// What the host gives the core besides memory and table, and the few numbers that every family of the core needs.
import { SHADOW_BASE, SHADOW_SHIFT } from "../src/vm/layout";

/** Offset of the block of the CPU that runs now. */
// @ts-ignore: decorator
@external("env", "cpu")
export declare let cpu: u32;

/** Runs the helper that the interpreter numbered `id`: arguments at CPU_ARGS, r0 to CPU_RESULT. */
// @ts-ignore: decorator
@external("env", "js_helper")
export declare function js_helper(id: u32): void;

/** Size of the address space in bytes; every allocation ends below. */
export let maxBytes: u32 = 0;
/** Shadow table of reads begins at SHADOW_BASE; this is where the one of writes begins. */
export let shadowWrite: u32 = 0;
/** First byte that the allocator may hand out. */
export let heapBase: u32 = 0;

/** Called once, before anything else. `size` is a multiple of 64 KiB. */
export function init(size: u32): void {
  maxBytes = size;
  shadowWrite = SHADOW_BASE + (size >>> SHADOW_SHIFT);
  heapBase = shadowWrite + (size >>> SHADOW_SHIFT);
}
