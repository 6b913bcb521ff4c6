// BPF_MAP_TYPE_HASH and HASH_OF_MAPS, and what the whole hash family shares: creation, deletion, iteration
// (kernel/bpf/hashtab.c). In the kernel an update of an existing key links a new element and retires the old one: a program
// that looked the old value up keeps seeing the old bytes. So it is here, except where no program ever looked.
import {
  HTAB_BUCKETS,
  HTAB_COPY_SIZE,
  HTAB_KEY,
  HTAB_KEY4,
  HTAB_KEY_OFFSET,
  HTAB_LRU,
  HTAB_MASK,
  HTAB_SEED,
  HTAB_SHIFT,
  HTAB_SPARE,
  MAP_COUNT,
  MAP_CPU_STRIDE,
  MAP_CPUS,
  MAP_FLAGS,
  MAP_KEY_SIZE,
  MAP_MAX_ENTRIES,
  MAP_PERM,
  MAP_VALUE_OFFSET,
  MAP_VALUE_SIZE,
  POOL_ELEM_SIZE,
  POOL_PREFIX,
} from "../../src/maps/layout";
import { CPU_ID } from "../../src/vm/layout";
import { alloc, release } from "../alloc";
import { cpu } from "../env";
import { PERM_NONE, PERM_R, paint } from "../shadow";
import { copyBytes } from "./bytes";
import { BPF_EXIST, BPF_F_LOCK, BPF_NOEXIST, E2BIG, EEXIST, EINVAL, ENOENT, ENOMEM } from "./errno";
import {
  addCount,
  bucketNumber,
  bucketOf,
  expose,
  findElem,
  findElem4,
  findElem8,
  findLink,
  follow,
  hash4,
  hash8,
  hashKey,
  hashOfElem,
  isExposed,
  linkFirst,
  nextInChain,
  setKey,
  unlink,
} from "./hash-table";
import { lruInit, lruPush } from "./lru-list";
import { poolFree, poolGrow, poolPop, poolPush, poolStep } from "./pool";

const BPF_F_NO_PREALLOC: u32 = 1;
const BPF_F_ZERO_SEED: u32 = 64;

// ---- creation ----------------------------------------------------------------------------------------------------

/** Keys become readable, values what MAP_PERM says; heads of elements stay out of reach. */
function paintElem(map: u32, elem: u32): void {
  paint(elem + load<u32>(map, HTAB_KEY_OFFSET), load<u32>(map, MAP_KEY_SIZE), PERM_R);
  const perm = load<u32>(map, MAP_PERM);
  if (perm == PERM_NONE) return;
  const stride = load<u32>(map, MAP_CPU_STRIDE);
  const copies: u32 = stride == 0 ? 1 : load<u32>(map, MAP_CPUS);
  let value = elem + load<u32>(map, MAP_VALUE_OFFSET);
  for (let i: u32 = 0; i < copies; i++) {
    paint(value, load<u32>(map, MAP_VALUE_SIZE), perm);
    value += stride;
  }
}

/** `n` more elements; offset of the first, 0: out of memory. */
function addElems(map: u32, n: u32): u32 {
  const first = poolGrow(map, n);
  if (first == 0) return 0;
  const size = load<u32>(map, POOL_ELEM_SIZE);
  for (let i: u32 = 0; i < n; i++) paintElem(map, first + i * size);
  return first;
}

/** A free element of a map that is not LRU; 0: out of memory. */
function takeElem(map: u32): u32 {
  const elem = poolPop(map);
  if (elem != 0) return elem;
  if (!(load<u32>(map, MAP_FLAGS) & BPF_F_NO_PREALLOC)) return 0;
  const n = poolStep(map);
  const size = load<u32>(map, POOL_ELEM_SIZE);
  const first = addElems(map, n);
  if (first == 0) return 0;
  for (let i = n - 1; i > 0; i--) poolPush(map, first + i * size);
  return first;
}

/**
 * Buckets and elements of a map whose sizes stand in its header. `buckets`: a power of two, at least 2; `spares`: elements above
 * max_entries, one per CPU, for updates in maps with one value; `lru`: 1 for LRU maps. 0 or -ENOMEM.
 */
export function htab_init(map: u32, buckets: u32, spares: u32, lru: u32, seed: u32): i32 {
  if (buckets > 0x10000000) return -ENOMEM;
  const heads = alloc(buckets << 2, 64);
  if (heads == 0) return -ENOMEM;
  store<u32>(map, heads, HTAB_BUCKETS);
  store<u32>(map, buckets - 1, HTAB_MASK);
  store<u32>(map, clz(buckets) + 1, HTAB_SHIFT);
  const flags = load<u32>(map, MAP_FLAGS);
  if (!(flags & BPF_F_ZERO_SEED)) store<u32>(map, seed, HTAB_SEED);
  if (flags & BPF_F_NO_PREALLOC) return 0;

  const entries = load<u32>(map, MAP_MAX_ENTRIES);
  if (entries > 0x10000000) return -ENOMEM;
  const n = entries + spares;
  const first = addElems(map, n);
  if (first == 0) return -ENOMEM;
  const size = load<u32>(map, POOL_ELEM_SIZE);
  if (lru) return lruInit(map, first, size, n) ? 0 : -ENOMEM;
  for (let i: u32 = 0; i < spares; i++) store<u32>(map + (i << 2), first + (entries + i) * size, HTAB_SPARE);
  for (let i = entries; i > 0; i--) poolPush(map, first + (i - 1) * size);
  return 0;
}

/** Gives back whatever htab_init got, also after it failed half-way. */
export function htab_free(map: u32): void {
  poolFree(map);
  if (load<u32>(map, HTAB_BUCKETS) != 0) release(load<u32>(map, HTAB_BUCKETS));
  if (load<u32>(map, HTAB_LRU) != 0) release(load<u32>(map, HTAB_LRU));
  store<u32>(map, 0, HTAB_BUCKETS);
  store<u32>(map, 0, HTAB_LRU);
}

// ---- lookup: offset of the value, 0 = no such key ------------------------------------------------------------------

export function htab_lookup_4(map: u32, key: u32): u32 {
  const elem = findElem4(map, key);
  if (elem == 0) return 0;
  expose(elem);
  return elem + HTAB_KEY4 + 4;
}

export function htab_lookup_8(map: u32, key: u32): u32 {
  const elem = findElem8(map, key);
  if (elem == 0) return 0;
  expose(elem);
  return elem + HTAB_KEY + 8;
}

export function htab_lookup(map: u32, key: u32): u32 {
  const elem = findElem(map, key);
  if (elem == 0) return 0;
  expose(elem);
  return elem + load<u32>(map, MAP_VALUE_OFFSET);
}

/** HASH_OF_MAPS: the inner map. */
export function htab_of_maps_lookup(map: u32, key: u32): u32 {
  const value = htab_lookup(map, key);
  return value == 0 ? 0 : load<u32>(value);
}

// ---- update ------------------------------------------------------------------------------------------------------

/** 0, or what the flags say about a key that is (not) there. */
// @ts-ignore: decorator
@inline
export function checkFlags(exists: bool, flags: u64): i32 {
  if (exists && flags == BPF_NOEXIST) return -EEXIST;
  if (!exists && flags == BPF_EXIST) return -ENOENT;
  return 0;
}

function insertNew(map: u32, bucket: u32, hash: u32, key: u32, value: u32): i32 {
  if (load<u32>(map, MAP_COUNT) >= load<u32>(map, MAP_MAX_ENTRIES)) return -E2BIG;
  const elem = takeElem(map);
  if (elem == 0) return -ENOMEM;
  setKey(map, elem, key, hash);
  copyBytes(elem + load<u32>(map, MAP_VALUE_OFFSET), value, load<u32>(map, HTAB_COPY_SIZE));
  linkFirst(bucket, elem);
  addCount(map, 1);
  return 0;
}

// @ts-ignore: decorator
@inline
function put(map: u32, key: u32, value: u32, flags: u64, hash: u32): i32 {
  if (flags > BPF_EXIST) return -EINVAL;
  const bucket = bucketOf(map, hash);
  const link = findLink(map, bucket, key, hash);
  const err = checkFlags(link != 0, flags);
  if (err != 0) return err;
  if (link == 0) return insertNew(map, bucket, hash, key, value);

  const old = follow(link);
  if (!isExposed(old)) {
    copyBytes(old + load<u32>(map, MAP_VALUE_OFFSET), value, load<u32>(map, HTAB_COPY_SIZE));
    return 0;
  }
  const spare = map + (load<u32>(cpu, CPU_ID) << 2);
  let elem = load<u32>(spare, HTAB_SPARE);
  if (elem != 0) {
    store<u32>(spare, old, HTAB_SPARE);
  } else {
    elem = takeElem(map);
    if (elem == 0) return -ENOMEM;
  }
  setKey(map, elem, key, hash);
  copyBytes(elem + load<u32>(map, MAP_VALUE_OFFSET), value, load<u32>(map, HTAB_COPY_SIZE));
  unlink(link, old);
  linkFirst(bucket, elem);
  if (load<u32>(map, MAP_FLAGS) & BPF_F_NO_PREALLOC) poolPush(map, old);
  return 0;
}

/** `flags` as bpf_map_update_elem takes them. No value holds a bpf_spin_lock, so BPF_F_LOCK is invalid. */
export function htab_update(map: u32, key: u32, value: u32, flags: u64): i32 {
  return put(map, key, value, flags, hashKey(map, key));
}

export function htab_update_4(map: u32, key: u32, value: u32, flags: u64): i32 {
  return put(map, key, value, flags, hash4(map, key));
}

export function htab_update_8(map: u32, key: u32, value: u32, flags: u64): i32 {
  return put(map, key, value, flags, hash8(map, key));
}

// ---- per-CPU values ----------------------------------------------------------------------------------------------

export function htab_percpu_lookup(map: u32, key: u32): u32 {
  const value = htab_lookup(map, key);
  return value == 0 ? 0 : value + load<u32>(cpu, CPU_ID) * load<u32>(map, MAP_CPU_STRIDE);
}

/** Into the current CPU's copy; `all`: `value` holds every CPU's, MAP_CPU_STRIDE apart. */
export function copyPerCpu(map: u32, to: u32, value: u32, all: bool): void {
  const stride = load<u32>(map, MAP_CPU_STRIDE);
  if (all) copyBytes(to, value, stride * load<u32>(map, MAP_CPUS));
  else copyBytes(to + load<u32>(cpu, CPU_ID) * stride, value, load<u32>(map, MAP_VALUE_SIZE));
}

/** A new element: the other CPUs' copies are zero. */
export function initPerCpu(map: u32, to: u32, value: u32, all: bool): void {
  if (!all) memory.fill(to, 0, load<u32>(map, MAP_CPU_STRIDE) * load<u32>(map, MAP_CPUS));
  copyPerCpu(map, to, value, all);
}

/** PERCPU_HASH updates in place. */
export function percpuPut(map: u32, key: u32, value: u32, flags: u64, all: bool): i32 {
  if (flags > BPF_EXIST) return -EINVAL;
  const hash = hashKey(map, key);
  const bucket = bucketOf(map, hash);
  const link = findLink(map, bucket, key, hash);
  const err = checkFlags(link != 0, flags);
  if (err != 0) return err;
  const offset = load<u32>(map, MAP_VALUE_OFFSET);
  if (link != 0) {
    copyPerCpu(map, follow(link) + offset, value, all);
    return 0;
  }
  if (load<u32>(map, MAP_COUNT) >= load<u32>(map, MAP_MAX_ENTRIES)) return -E2BIG;
  const elem = takeElem(map);
  if (elem == 0) return -ENOMEM;
  setKey(map, elem, key, hash);
  initPerCpu(map, elem + offset, value, all);
  linkFirst(bucket, elem);
  addCount(map, 1);
  return 0;
}

export function htab_percpu_update(map: u32, key: u32, value: u32, flags: u64): i32 {
  return percpuPut(map, key, value, flags, false);
}

// ---- deletion and iteration --------------------------------------------------------------------------------------

export function htab_delete(map: u32, key: u32): i32 {
  const hash = hashKey(map, key);
  const link = findLink(map, bucketOf(map, hash), key, hash);
  if (link == 0) return -ENOENT;
  const elem = follow(link);
  unlink(link, elem);
  addCount(map, -1);
  if (load<u32>(map, HTAB_LRU) != 0) lruPush(map, elem);
  else poolPush(map, elem);
  return 0;
}

/** The first element of bucket `from` or a later one, or 0. */
export function firstElem(map: u32, from: u32): u32 {
  const buckets = load<u32>(map, HTAB_BUCKETS);
  const mask = load<u32>(map, HTAB_MASK);
  for (let i = from; i <= mask; i++) {
    const elem = load<u32>(buckets + (i << 2));
    if (elem != 0) return elem;
  }
  return 0;
}

/** The element after the one with that key, in bucket order; the first one if `key` is 0 or not there; 0 at the end. */
export function htab_next(map: u32, key: u32): u32 {
  const elem = key == 0 ? 0 : findElem(map, key);
  if (elem == 0) return firstElem(map, 0);
  const next = nextInChain(elem);
  return next != 0 ? next : firstElem(map, bucketNumber(map, hashOfElem(map, elem)) + 1);
}

/** The element with that key, not counted as a use; 0: none. */
export function htab_find(map: u32, key: u32): u32 {
  return findElem(map, key);
}
