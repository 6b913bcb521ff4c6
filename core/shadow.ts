// Which bytes a program may read and write. src/vm/layout.ts says what a shadow byte means; the two tables differ
// only in their base. A painted object owns its granules whole: objects begin on 8-byte boundaries. One that does not
// (a packet after its head moved by 3 bytes) is painted from the granule's start on.
import { SHADOW_BASE, SHADOW_SHIFT } from "../src/vm/layout";
import { maxBytes, shadowWrite } from "./env";

export const PERM_NONE: u32 = 0;
export const PERM_R: u32 = 1;
export const PERM_RW: u32 = 3;

/** Above this many shadow bytes memory.fill beats a loop of stores. */
const FILL_FROM: u32 = 256;

// @ts-ignore: decorator
@inline
function fill(at: u32, value: u32, n: u32): void {
  if (n >= FILL_FROM) {
    memory.fill(at, <u8>value, n);
    return;
  }
  const wide = <u64>value * 0x0101010101010101;
  while (n >= 8) {
    store<u64>(at, wide);
    at += 8;
    n -= 8;
  }
  while (n != 0) {
    store<u8>(at++, <u8>value);
    n--;
  }
}

/** The granules before `at`, whose object reached beyond, now end at `at`. */
function cut(table: u32, at: u32): void {
  // Reach shrinks monotonously towards an object's end: the first granule that ends in time ends the walk.
  let p = table + (at >>> SHADOW_SHIFT);
  let room = at & 7;
  if (room != 0) {
    if (<u32>load<u8>(p) <= room) return;
    store<u8>(p, <u8>room);
  }
  for (let i = 0; i < 32; i++) {
    p--;
    room += 8;
    if (p < table || <u32>load<u8>(p) <= room || room >= 255) return;
    store<u8>(p, <u8>room);
  }
}

function open(table: u32, at: u32, size: u32): void {
  const start = at & ~7;
  let left = size + (at - start);
  cut(table, start);
  let p = table + (start >>> SHADOW_SHIFT);
  if (left >= 255) {
    const full = ((left - 255) >>> SHADOW_SHIFT) + 1;
    fill(p, 255, full);
    p += full;
    left -= full << SHADOW_SHIFT;
  }
  // Eight granules at once: left, left - 8, ... left - 56 from the lowest byte up.
  while (left >= 64) {
    store<u64>(p, <u64>left * 0x0101010101010101 - 0x3830282018100800);
    p += 8;
    left -= 64;
  }
  while (<i32>left > 0) {
    store<u8>(p++, <u8>left);
    left -= 8;
  }
}

function close(table: u32, at: u32, size: u32): void {
  cut(table, at);
  const first = (at + 7) >>> SHADOW_SHIFT;
  const last = (at + size + 7) >>> SHADOW_SHIFT;
  if (last > first) fill(table + first, 0, last - first);
}

/** Both ends inside the address space. */
// @ts-ignore: decorator
@inline
function inside(addr: u32, size: u32): bool {
  return addr <= maxBytes && size <= maxBytes - addr;
}

/**
 * Makes `size` bytes at `addr` readable (PERM_R), also writable (PERM_RW), or neither (PERM_NONE). The painted bytes
 * are an object of their own: no access may straddle its end or its start, whatever its neighbours are. An object
 * that grows or moves is painted again as a whole.
 */
export function paint(addr: u32, size: u32, perm: u32): void {
  if (size == 0 || !inside(addr, size)) return;
  if (perm & 1) open(SHADOW_BASE, addr, size);
  else close(SHADOW_BASE, addr, size);
  if (perm & 2) open(shadowWrite, addr, size);
  else close(shadowWrite, addr, size);
}

// @ts-ignore: decorator
@inline
function check(table: u32, addr: u32, n: u32): bool {
  if (!inside(addr, n)) return false;
  // Longer ranges than one shadow byte can count: granule by granule, each of which must reach the next one.
  while (n > 248) {
    if (<u32>load<u8>(table + (addr >>> SHADOW_SHIFT)) < (addr & 7) + 248) return false;
    addr += 240;
    n -= 240;
  }
  return <u32>load<u8>(table + (addr >>> SHADOW_SHIFT)) >= (addr & 7) + n;
}

/** May a program read the `n` bytes at `addr`? All of them must belong to one object. */
export function check_read(addr: u32, n: u32): bool {
  return check(SHADOW_BASE, addr, n);
}

/** May a program write the `n` bytes at `addr`? */
export function check_write(addr: u32, n: u32): bool {
  return check(shadowWrite, addr, n);
}
