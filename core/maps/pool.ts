// Elements of one size for one map, in chunks. Memory that held an element is only ever used for elements of the same
// map until the map dies: a program that still holds a pointer to a deleted value reads and writes a value, as with
// the kernel's preallocated maps and its per-map caches (kernel/bpf/memalloc.c).
import {
  POOL_CHUNKS,
  POOL_ELEM_SIZE,
  POOL_FREE,
  POOL_FREE_COUNT,
  POOL_PREFIX,
  POOL_TOTAL,
} from "../../src/maps/layout";
import { alloc, release } from "../alloc";

const CHUNK_HEADER: u32 = 16;
/** Bytes that a pool which grows on demand asks for at once. */
const CHUNK_SIZE: u32 = 4096;

/** Adds a chunk of `n` elements, none of them free yet; offset of the first, 0: out of memory. */
export function poolGrow(map: u32, n: u32): u32 {
  const size = load<u32>(map, POOL_ELEM_SIZE);
  const bytes = <u64>size * n + CHUNK_HEADER;
  const total = <u64>load<u32>(map, POOL_TOTAL) + n;
  if (bytes > 0x7fffffff || total > 0x1fffffff) return 0;
  const stack = alloc(<u32>total << 2, 8);
  const chunk = stack == 0 ? 0 : alloc(<u32>bytes, 64);
  if (chunk == 0) {
    if (stack != 0) release(stack);
    return 0;
  }
  const before = load<u32>(map, POOL_FREE);
  if (before != 0) {
    memory.copy(stack, before, load<u32>(map, POOL_FREE_COUNT) << 2);
    release(before);
  }
  store<u32>(map, stack, POOL_FREE);
  store<u32>(map, <u32>total, POOL_TOTAL);
  store<u32>(chunk, load<u32>(map, POOL_CHUNKS));
  store<u32>(chunk, n, 4);
  store<u32>(map, chunk, POOL_CHUNKS);
  return chunk + CHUNK_HEADER + load<u32>(map, POOL_PREFIX);
}

/** How many elements a pool that grows on demand adds: a page of them, or half as many again. */
// @ts-ignore: decorator
@inline
export function poolStep(map: u32): u32 {
  return max<u32>(max<u32>(1, CHUNK_SIZE / load<u32>(map, POOL_ELEM_SIZE)), load<u32>(map, POOL_TOTAL) >>> 1);
}

// @ts-ignore: decorator
@inline
export function poolPush(map: u32, elem: u32): void {
  const n = load<u32>(map, POOL_FREE_COUNT);
  store<u32>(load<u32>(map, POOL_FREE) + (n << 2), elem);
  store<u32>(map, n + 1, POOL_FREE_COUNT);
}

/** The element freed last, or 0. An element's bytes stay as they are while it is free. */
// @ts-ignore: decorator
@inline
export function poolPop(map: u32): u32 {
  const n = load<u32>(map, POOL_FREE_COUNT);
  if (n == 0) return 0;
  store<u32>(map, n - 1, POOL_FREE_COUNT);
  return load<u32>(load<u32>(map, POOL_FREE) + ((n - 1) << 2));
}

/** Gives all chunks back. */
export function poolFree(map: u32): void {
  let chunk = load<u32>(map, POOL_CHUNKS);
  while (chunk != 0) {
    const before = load<u32>(chunk);
    release(chunk);
    chunk = before;
  }
  if (load<u32>(map, POOL_FREE) != 0) release(load<u32>(map, POOL_FREE));
  store<u32>(map, 0, POOL_CHUNKS);
  store<u32>(map, 0, POOL_FREE);
  store<u32>(map, 0, POOL_FREE_COUNT);
  store<u32>(map, 0, POOL_TOTAL);
}
