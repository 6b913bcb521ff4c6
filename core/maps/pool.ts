// Elements of one size for one map, in chunks. Memory that held an element is only ever used for elements of the same
// map until the map dies: a program that still holds a pointer to a deleted value reads and writes a value, as with
// the kernel's preallocated maps and its per-map caches (kernel/bpf/memalloc.c).
import {
  POOL_CHUNKS,
  POOL_ELEM_SIZE,
  POOL_FREE,
  POOL_PREFIX,
  POOL_TOTAL,
} from "../../src/maps/layout";
import { alloc, release } from "../alloc";

/** Links free elements; an element's first word stays, for a walk that stands on an element just deleted. */
const LINK: u32 = 4;
const CHUNK_HEADER: u32 = 16;
/** Bytes that a pool which grows on demand asks for at once. */
const CHUNK_SIZE: u32 = 4096;

/** Adds a chunk of `n` elements, none of them free yet; offset of the first, 0: out of memory. */
export function poolGrow(map: u32, n: u32): u32 {
  const size = load<u32>(map, POOL_ELEM_SIZE);
  const bytes = <u64>size * n + CHUNK_HEADER;
  if (bytes > 0x7fffffff) return 0;
  const chunk = alloc(<u32>bytes, 16);
  if (chunk == 0) return 0;
  store<u32>(chunk, load<u32>(map, POOL_CHUNKS));
  store<u32>(chunk, n, 4);
  store<u32>(map, chunk, POOL_CHUNKS);
  store<u32>(map, load<u32>(map, POOL_TOTAL) + n, POOL_TOTAL);
  return chunk + CHUNK_HEADER + load<u32>(map, POOL_PREFIX);
}

/** How many elements a pool that grows on demand adds. */
// @ts-ignore: decorator
@inline
export function poolStep(map: u32): u32 {
  return max<u32>(1, CHUNK_SIZE / load<u32>(map, POOL_ELEM_SIZE));
}

// @ts-ignore: decorator
@inline
export function poolPush(map: u32, elem: u32): void {
  store<u32>(elem, load<u32>(map, POOL_FREE), LINK);
  store<u32>(map, elem, POOL_FREE);
}

/** A free element, or 0. */
// @ts-ignore: decorator
@inline
export function poolPop(map: u32): u32 {
  const elem = load<u32>(map, POOL_FREE);
  if (elem != 0) store<u32>(map, load<u32>(elem, LINK), POOL_FREE);
  return elem;
}

/** Gives all chunks back. */
export function poolFree(map: u32): void {
  let chunk = load<u32>(map, POOL_CHUNKS);
  while (chunk != 0) {
    const before = load<u32>(chunk);
    release(chunk);
    chunk = before;
  }
  store<u32>(map, 0, POOL_CHUNKS);
  store<u32>(map, 0, POOL_FREE);
  store<u32>(map, 0, POOL_TOTAL);
}
