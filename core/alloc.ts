// The allocator of the address space: two-level segregated fit (bitmaps lead to a list of free blocks of nearly the
// size wanted), neighbours that are free merge at once. Constant time whatever the size.
//
//   block: u32 size | USED | PREV_USED     whole block, a multiple of 16
//          u32 size of the block before    valid while that one is free
//          u32 mark ^ offset of the block  tells a block from anything else
//          u32 bytes asked for             0 while free
//          payload (16-byte aligned): while free u32 next, u32 previous of its list
//
// Fresh and reused payloads are zero. What no allocation ever covered is zero already (`dirty` is where it begins).
import { heapBase, maxBytes } from "./env";
import { PERM_NONE, paint } from "./shadow";

const USED: u32 = 1;
const PREV_USED: u32 = 2;
const FLAGS: u32 = 15;
const HEADER: u32 = 16;
const SMALLEST: u32 = 32;
const MARK_USED: u32 = 0x5bf0a11c;
const MARK_FREE: u32 = 0x5bf0f4ee;
const LARGEST: u32 = 0x7fff0000;
const PAGE: u32 = 0x10000;
/** The memory grows by at least this much. */
const GROW_PAGES: u32 = 64;

/** Lists: 32 rows (powers of two from 256 on; row 0 holds the smaller ones) of 16. */
const lists = memory.data(32 * 16 * 4, 16);
const columns = memory.data(32 * 4, 16);
let rows: u32 = 0;

let ready: bool = false;
/** End of the heap: offset of the closing block, which is used and empty. */
let heapEnd: u32 = 0;
let dirty: u32 = 0;

let bytes: u32 = 0;
let blocks: u32 = 0;

/** Bytes asked for and not yet released. */
export function allocated_bytes(): u32 {
  return bytes;
}

/** Allocations not yet released. */
export function allocated_blocks(): u32 {
  return blocks;
}

// @ts-ignore: decorator
@inline
function sizeOf(block: u32): u32 {
  return load<u32>(block) & ~FLAGS;
}

// @ts-ignore: decorator
@inline
function rowOf(size: u32): u32 {
  return size < 256 ? 0 : 24 - clz<u32>(size);
}

// @ts-ignore: decorator
@inline
function columnOf(size: u32, row: u32): u32 {
  return row == 0 ? size >>> 4 : (size >>> (row + 3)) & 15;
}

/** The block at `block`, `size` bytes, becomes free; its neighbours are known to be used. */
function insert(block: u32, size: u32): void {
  store<u32>(block, size | PREV_USED);
  store<u32>(block, MARK_FREE ^ block, 8);
  store<u32>(block, 0, 12);
  const after = block + size;
  store<u32>(after, load<u32>(after) & ~PREV_USED);
  store<u32>(after, size, 4);

  const row = rowOf(size);
  const column = columnOf(size, row);
  const list = <u32>lists + (((row << 4) + column) << 2);
  const next = load<u32>(list);
  store<u32>(block, next, 16);
  store<u32>(block, 0, 20);
  if (next != 0) store<u32>(next, block, 20);
  store<u32>(list, block);
  rows |= 1 << row;
  const map = <u32>columns + (row << 2);
  store<u32>(map, load<u32>(map) | (1 << column));
}

function remove(block: u32, size: u32): void {
  const next = load<u32>(block, 16);
  const previous = load<u32>(block, 20);
  if (next != 0) store<u32>(next, previous, 20);
  if (previous != 0) {
    store<u32>(previous, next, 16);
    return;
  }
  const row = rowOf(size);
  const column = columnOf(size, row);
  store<u32>(<u32>lists + (((row << 4) + column) << 2), next);
  if (next != 0) return;
  const map = <u32>columns + (row << 2);
  const left = load<u32>(map) & ~(1 << column);
  store<u32>(map, left);
  if (left == 0) rows &= ~(1 << row);
}

/** Gives [block, block + size) back, merged with free neighbours. `prevUsed`: what the block's header said. */
function give(block: u32, size: u32, prevUsed: bool): void {
  const after = block + size;
  if (!(load<u32>(after) & USED)) {
    const more = sizeOf(after);
    remove(after, more);
    memory.fill(after, 0, 24);
    size += more;
  }
  if (!prevUsed) {
    const less = load<u32>(block, 4);
    memory.fill(block, 0, 24);
    block -= less;
    remove(block, less);
    size += less;
  }
  insert(block, size);
}

function close(block: u32): void {
  store<u32>(block, USED | PREV_USED);
  store<u32>(block, MARK_USED ^ block, 8);
  store<u32>(block, 0, 12);
}

/** Room for a block of `size` more bytes at the end of the heap. */
function grow(size: u32): bool {
  if (!ready) {
    ready = true;
    heapEnd = (heapBase + 15) & ~15;
    dirty = heapEnd;
    const missing = <i32>((heapEnd + HEADER + PAGE - 1) >>> 16) - memory.size();
    if (missing > 0 && memory.grow(missing) < 0) {
      ready = false;
      return false;
    }
    close(heapEnd);
  }
  const have = memory.size();
  const free = load<u32>(heapEnd) & PREV_USED ? 0 : load<u32>(heapEnd, 4);
  const end = <u64>heapEnd - free + size + HEADER;
  if (end > maxBytes) return false;
  let pages = <i32>((end + PAGE - 1) >>> 16) - have;
  if (pages > 0) {
    const room = <i32>(maxBytes >>> 16) - have;
    if (memory.grow(min(max(pages, <i32>GROW_PAGES), room)) < 0) return false;
  }
  const newEnd = (<u32>memory.size() << 16) - HEADER;
  if (newEnd <= heapEnd) return false;
  const block = heapEnd;
  const prevUsed = (load<u32>(block) & PREV_USED) != 0;
  close(newEnd);
  give(block, newEnd - block, prevUsed);
  heapEnd = newEnd;
  return true;
}

/** Zeroes `n` bytes, a multiple of 8; for a few of them a call costs more than a loop. */
// @ts-ignore: decorator
@inline
function clear(at: u32, n: u32): void {
  if (n > 256) memory.fill(at, 0, n);
  else for (let end = at + n; at < end; at += 8) store<u64>(at, 0);
}

/** `size` rounded up to the next list, every block of which is large enough. */
// @ts-ignore: decorator
@inline
function roundUp(size: u32): u32 {
  if (size < 256) return size;
  const unit = <u32>1 << (27 - clz<u32>(size));
  return (size + unit - 1) & ~(unit - 1);
}

/** A free block of at least `size` bytes, which roundUp gave; 0: none. */
function find(size: u32): u32 {
  let row = rowOf(size);
  let map = load<u32>(<u32>columns + (row << 2)) & (<u32>~0 << columnOf(size, row));
  if (map == 0) {
    const left = rows & (<u32>~0 << (row + 1));
    if (left == 0) return 0;
    row = ctz<u32>(left);
    map = load<u32>(<u32>columns + (row << 2));
  }
  return load<u32>(<u32>lists + (((row << 4) + ctz<u32>(map)) << 2));
}

/** `size` zero bytes at a multiple of `align` (a power of two); 0 when the address space is exhausted. */
export function alloc(size: u32, align: u32): u32 {
  if (size > LARGEST || align > LARGEST || (align & (align - 1)) != 0) return 0;
  const need = max<u32>(SMALLEST, (size + HEADER + 15) & ~15);
  // A stricter alignment than a block's own may leave a gap before it, which is a free block in its own right.
  const slack = align > HEADER ? align + SMALLEST : 0;
  if (slack > LARGEST - need) return 0;
  const wanted = roundUp(need + slack);
  let block = find(wanted);
  if (block == 0) {
    if (!grow(wanted)) return 0;
    block = find(wanted);
  }
  let total = sizeOf(block);
  remove(block, total);
  store<u64>(block, 0, HEADER);
  let gap: u32 = 0;
  if (slack != 0) {
    let at = (block + HEADER + align - 1) & ~(align - 1);
    gap = at - HEADER - block;
    if (gap != 0 && gap < SMALLEST) gap += align;
    if (gap != 0) {
      insert(block, gap);
      block += gap;
      total -= gap;
    }
  }
  if (total - need >= SMALLEST) {
    insert(block + need, total - need);
    total = need;
  } else {
    const after = block + total;
    store<u32>(after, load<u32>(after) | PREV_USED);
  }
  // Two free blocks never abut: only the gap can be a free one before this.
  store<u32>(block, total | USED | (gap == 0 ? PREV_USED : 0));
  store<u32>(block, MARK_USED ^ block, 8);
  store<u32>(block, size, 12);

  const payload = block + HEADER;
  const end = block + total;
  if (payload < dirty) clear(payload, min(end, dirty) - payload);
  if (end > dirty) dirty = end;
  bytes += size;
  blocks++;
  return payload;
}

/** Bytes asked for at `addr`, the start of an allocation; 0xffffffff: `addr` is none. */
export function block_size(addr: u32): u32 {
  const block = addr - HEADER;
  if (!ready || addr < heapBase + HEADER || (addr & 7) != 0 || block >= heapEnd) return 0xffffffff;
  if (load<u32>(block, 8) != (MARK_USED ^ block)) return 0xffffffff;
  return load<u32>(block, 12);
}

/** Gives an allocation back and takes its paint off; false: `addr` is not the start of one. */
export function release(addr: u32): bool {
  const size = block_size(addr);
  if (size == 0xffffffff) return false;
  const block = addr - HEADER;
  paint(addr, size, PERM_NONE);
  bytes -= size;
  blocks--;
  give(block, sizeOf(block), (load<u32>(block) & PREV_USED) != 0);
  return true;
}
