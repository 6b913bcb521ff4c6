// Which element of a full LRU map goes: kernel/bpf/bpf_lru_list.c of Linux 6.12. Elements stand on doubly linked lists:
//
//   common LRU            one set of active, inactive and free lists for the map; every CPU keeps a local free list,
//                         refilled in batches, and a local pending list of what it inserted since
//   BPF_F_NO_COMMON_LRU   a set of active, inactive and free lists for each CPU, nothing local
//
// A lookup by a program only sets the element's reference bit; the lists move when free elements run out. So the order
// of eviction is the kernel's approximation, element by element, not strictly least recently used.
import { HTAB_LRU, MAP_CPUS, MAP_FLAGS } from "../../src/maps/layout";
import { CPU_ID } from "../../src/vm/layout";
import { alloc } from "../alloc";
import { cpu } from "../env";
import { unlinkFromBucket } from "./hash-table";

/** Bytes before an element's start: the node of its list. */
export const NODE_SIZE: u32 = 16;
const PREV: u32 = 0;
const NEXT: u32 = 4;
const TYPE: u32 = 8;
const REF: u32 = 9;
const CPU: u32 = 10;

const ACTIVE: u32 = 0;
const INACTIVE: u32 = 1;
const FREE: u32 = 2;
const LOCAL_FREE: u32 = 3;
const LOCAL_PENDING: u32 = 4;

// The block at HTAB_LRU: these, then the set of lists, then the CPUs' local lists; or a set of lists for each CPU.
const TARGET_FREE: u32 = 0;
const SCANS: u32 = 4;
const PER_CPU: u32 = 8;
const SETS: u32 = 16;
// A set: heads of the active, inactive and free list (PREV and NEXT of 8 bytes each), then
const COUNTS: u32 = 24;
const ROTATION: u32 = 32;
const SET_SIZE: u32 = 40;
// A local pair: heads of the free and the pending list, then the CPU to steal from next
const STEAL: u32 = 16;
const LOCAL_SIZE: u32 = 24;

const BPF_F_NO_COMMON_LRU: u32 = 2;

// @ts-ignore: decorator
@inline
function headOf(set: u32, type: u32): u32 {
  return set + (type << 3);
}

function initHead(head: u32): void {
  store<u32>(head, head, PREV);
  store<u32>(head, head, NEXT);
}

function initSet(set: u32): void {
  for (let type = ACTIVE; type <= FREE; type++) initHead(headOf(set, type));
  store<u32>(set, headOf(set, INACTIVE), ROTATION);
}

// @ts-ignore: decorator
@inline
function isEmpty(head: u32): bool {
  return load<u32>(head, NEXT) == head;
}

// @ts-ignore: decorator
@inline
function detach(node: u32): void {
  const prev = load<u32>(node, PREV);
  const next = load<u32>(node, NEXT);
  store<u32>(prev, next, NEXT);
  store<u32>(next, prev, PREV);
}

// @ts-ignore: decorator
@inline
function attach(node: u32, head: u32): void {
  const first = load<u32>(head, NEXT);
  store<u32>(node, head, PREV);
  store<u32>(node, first, NEXT);
  store<u32>(first, node, PREV);
  store<u32>(head, node, NEXT);
}

// @ts-ignore: decorator
@inline
function count(set: u32, type: u32, by: i32): void {
  if (type <= INACTIVE) {
    const at = set + COUNTS + (type << 2);
    store<i32>(at, load<i32>(at) + by);
  }
}

/** The place where the next rotation of the inactive list begins must not leave that list. */
// @ts-ignore: decorator
@inline
function keepRotation(set: u32, node: u32): void {
  if (load<u32>(set, ROTATION) == node) store<u32>(set, load<u32>(node, PREV), ROTATION);
}

/** From one list of the set to another (or to the head of its own), reference bit cleared. */
function move(set: u32, node: u32, type: u32): void {
  count(set, load<u8>(node, TYPE), -1);
  count(set, type, 1);
  store<u8>(node, <u8>type, TYPE);
  store<u8>(node, 0, REF);
  keepRotation(set, node);
  detach(node);
  attach(node, headOf(set, type));
}

/** From a list of the set to a free list, which may be a local one. */
function moveToFree(set: u32, node: u32, freeHead: u32, type: u32): void {
  keepRotation(set, node);
  count(set, load<u8>(node, TYPE), -1);
  store<u8>(node, <u8>type, TYPE);
  detach(node);
  attach(node, freeHead);
}

/** Oldest active elements: referenced ones get another round, the others become inactive. */
function rotateActive(lru: u32, set: u32): void {
  const head = headOf(set, ACTIVE);
  const first = load<u32>(head, NEXT);
  const scans = load<u32>(lru, SCANS);
  let node = load<u32>(head, PREV);
  for (let i: u32 = 0; node != head && i < scans; i++) {
    const before = load<u32>(node, PREV);
    const last = node == first;
    move(set, node, load<u8>(node, REF) ? ACTIVE : INACTIVE);
    if (last) return;
    node = before;
  }
}

/** A window that travels over the inactive list: referenced elements become active. */
function rotateInactive(lru: u32, set: u32): void {
  const head = headOf(set, INACTIVE);
  if (isEmpty(head)) return;
  const scans = load<u32>(lru, SCANS);
  let at = load<u32>(set, ROTATION);
  let last = load<u32>(at, NEXT);
  if (last == head) last = load<u32>(last, NEXT);
  let next = head;
  let i: u32 = 0;
  while (i < scans) {
    if (at == head) {
      at = load<u32>(at, PREV);
      continue;
    }
    next = load<u32>(at, PREV);
    const done = at == last;
    if (load<u8>(at, REF)) move(set, at, ACTIVE);
    if (done) break;
    at = next;
    i++;
  }
  store<u32>(set, next, ROTATION);
}

function rotate(lru: u32, set: u32): void {
  if (load<u32>(set, COUNTS + 4) < load<u32>(set, COUNTS)) rotateActive(lru, set);
  rotateInactive(lru, set);
}

/** Evicts up to `wanted` elements: unreferenced ones from the tail of the inactive list, else any one. */
function shrink(map: u32, lru: u32, set: u32, wanted: u32, freeHead: u32, type: u32): void {
  const inactive = headOf(set, INACTIVE);
  const scans = load<u32>(lru, SCANS);
  let got: u32 = 0;
  let node = load<u32>(inactive, PREV);
  for (let i: u32 = 0; node != inactive && i < scans; i++) {
    const before = load<u32>(node, PREV);
    if (load<u8>(node, REF)) move(set, node, ACTIVE);
    else if (unlinkFromBucket(map, node + NODE_SIZE)) {
      moveToFree(set, node, freeHead, type);
      if (++got == wanted) break;
    }
    node = before;
  }
  if (got != 0) return;
  const head = isEmpty(inactive) ? headOf(set, ACTIVE) : inactive;
  node = load<u32>(head, PREV);
  while (node != head) {
    const before = load<u32>(node, PREV);
    if (unlinkFromBucket(map, node + NODE_SIZE)) {
      moveToFree(set, node, freeHead, type);
      return;
    }
    node = before;
  }
}

// ---- local lists -------------------------------------------------------------------------------------------------

// @ts-ignore: decorator
@inline
function localOf(lru: u32, cpuId: u32): u32 {
  return lru + SETS + SET_SIZE + cpuId * LOCAL_SIZE;
}

/** What this CPU inserted since the last refill joins the map's lists. */
function flushPending(set: u32, local: u32): void {
  const pending = local + 8;
  let node = load<u32>(pending, PREV);
  while (node != pending) {
    const before = load<u32>(node, PREV);
    const type = load<u8>(node, REF) ? ACTIVE : INACTIVE;
    count(set, type, 1);
    store<u8>(node, <u8>type, TYPE);
    store<u8>(node, 0, REF);
    detach(node);
    attach(node, headOf(set, type));
    node = before;
  }
}

function refill(map: u32, lru: u32, local: u32): void {
  const set = lru + SETS;
  const target = load<u32>(lru, TARGET_FREE);
  flushPending(set, local);
  rotate(lru, set);
  const free = headOf(set, FREE);
  let got: u32 = 0;
  let node = load<u32>(free, NEXT);
  while (node != free) {
    const next = load<u32>(node, NEXT);
    moveToFree(set, node, local, LOCAL_FREE);
    if (++got == target) break;
    node = next;
  }
  if (got < target) shrink(map, lru, set, target - got, local, LOCAL_FREE);
}

function popLocalFree(local: u32): u32 {
  if (isEmpty(local)) return 0;
  const node = load<u32>(local, NEXT);
  detach(node);
  return node;
}

function popLocalPending(map: u32, local: u32): u32 {
  const pending = local + 8;
  for (let force = 0; force < 2; force++) {
    let node = load<u32>(pending, PREV);
    while (node != pending) {
      if ((force != 0 || !load<u8>(node, REF)) && unlinkFromBucket(map, node + NODE_SIZE)) {
        detach(node);
        return node;
      }
      node = load<u32>(node, PREV);
    }
  }
  return 0;
}

function popCommon(map: u32, lru: u32, cpuId: u32): u32 {
  const local = localOf(lru, cpuId);
  let node = popLocalFree(local);
  if (node == 0) {
    refill(map, lru, local);
    node = popLocalFree(local);
  }
  if (node == 0) {
    // Everything stands on the CPUs' local lists: take from them in turn.
    const cpus = load<u32>(map, MAP_CPUS);
    const first = load<u32>(local, STEAL);
    let from = first;
    do {
      const other = localOf(lru, from);
      node = popLocalFree(other);
      if (node == 0) node = popLocalPending(map, other);
      from = from + 1 == cpus ? 0 : from + 1;
    } while (node == 0 && from != first);
    store<u32>(local, from, STEAL);
    if (node == 0) return 0;
  }
  store<u16>(node, <u16>cpuId, CPU);
  store<u8>(node, <u8>LOCAL_PENDING, TYPE);
  store<u8>(node, 0, REF);
  attach(node, local + 8);
  return node;
}

function popPerCpu(map: u32, lru: u32, cpuId: u32): u32 {
  const set = lru + SETS + cpuId * SET_SIZE;
  rotate(lru, set);
  const free = headOf(set, FREE);
  if (isEmpty(free)) shrink(map, lru, set, 4, free, FREE);
  if (isEmpty(free)) return 0;
  const node = load<u32>(free, NEXT);
  store<u8>(node, 0, REF);
  move(set, node, INACTIVE);
  return node;
}

// ---- what the hash maps call -------------------------------------------------------------------------------------

/** An element to fill in, evicting others if need be; 0: every CPU's share is empty. */
export function lruPop(map: u32): u32 {
  const lru = load<u32>(map, HTAB_LRU);
  const cpuId = load<u32>(cpu, CPU_ID);
  const node = load<u32>(lru, PER_CPU) ? popPerCpu(map, lru, cpuId) : popCommon(map, lru, cpuId);
  return node == 0 ? 0 : node + NODE_SIZE;
}

/** The element, in no bucket any more, is free. */
export function lruPush(map: u32, elem: u32): void {
  const lru = load<u32>(map, HTAB_LRU);
  const node = elem - NODE_SIZE;
  if (load<u32>(lru, PER_CPU)) {
    move(lru + SETS + <u32>load<u16>(node, CPU) * SET_SIZE, node, FREE);
  } else if (load<u8>(node, TYPE) == LOCAL_PENDING) {
    store<u8>(node, <u8>LOCAL_FREE, TYPE);
    store<u8>(node, 0, REF);
    detach(node);
    attach(node, localOf(lru, load<u16>(node, CPU)));
  } else {
    move(lru + SETS, node, FREE);
  }
}

// @ts-ignore: decorator
@inline
export function lruReference(elem: u32): void {
  store<u8>(elem - NODE_SIZE, 1, REF);
}

/** Lists for `n` elements of `size` bytes that begin at `first`; false: out of memory. */
export function lruInit(map: u32, first: u32, size: u32, n: u32): bool {
  const cpus = load<u32>(map, MAP_CPUS);
  const perCpu = (load<u32>(map, MAP_FLAGS) & BPF_F_NO_COMMON_LRU) != 0;
  const lru = alloc(perCpu ? SETS + cpus * SET_SIZE : SETS + SET_SIZE + cpus * LOCAL_SIZE, 8);
  if (lru == 0) return false;
  store<u32>(map, lru, HTAB_LRU);
  store<u32>(lru, perCpu ? 1 : 0, PER_CPU);
  store<u32>(lru, perCpu ? 4 : 128, SCANS);
  store<u32>(lru, min<u32>(128, max<u32>(1, n / cpus / 2)), TARGET_FREE);
  const share = n / cpus;
  for (let i: u32 = 0; i < cpus; i++) {
    if (perCpu || i == 0) initSet(lru + SETS + i * SET_SIZE);
    if (!perCpu) {
      const local = localOf(lru, i);
      initHead(local);
      initHead(local + 8);
      store<u32>(local, i, STEAL);
    }
  }
  for (let i: u32 = 0; i < n; i++) {
    const node = first + i * size - NODE_SIZE;
    const owner = perCpu ? min(i / share, cpus - 1) : 0;
    store<u16>(node, <u16>owner, CPU);
    store<u8>(node, <u8>FREE, TYPE);
    attach(node, headOf(lru + SETS + owner * SET_SIZE, FREE));
  }
  return true;
}
