// Buckets and chains of the hash family: finding, linking and unlinking elements (kernel/bpf/hashtab.c). A chain is a
// list of elements through HTAB_NEXT, newest first; a "link" is the address of the u32 that leads to an element.
import {
  HTAB_BUCKETS,
  HTAB_HASH,
  HTAB_KEY,
  HTAB_KEY4,
  HTAB_NEXT,
  HTAB_SEEN,
  HTAB_SEED,
  HTAB_SHIFT,
  MAP_COUNT,
  MAP_KEY_SIZE,
} from "../../src/maps/layout";
import { VM_HASH_MULTIPLIER } from "../../src/vm/layout";
import { copyBytes, equalBytes } from "./bytes";

const K0: u32 = VM_HASH_MULTIPLIER;
const K1: u64 = 0x9e3779b97f4a7c15;
const K2: u64 = 0xd6e8feb86659fd93;

// A bucket's number is the upper bits of the hash, where one multiplication gathers all bits of the key: keys that count
// up, and keys that differ in one byte only, hardly collide.
// @ts-ignore: decorator
@inline
export function hash4(map: u32, key: u32): u32 {
  return (load<u32>(key) ^ load<u32>(map, HTAB_SEED)) * K0;
}

// @ts-ignore: decorator
@inline
function mix(h: u64): u64 {
  h *= K1;
  return h ^ (h >> 32);
}

// @ts-ignore: decorator
@inline
export function hash8(map: u32, key: u32): u32 {
  return <u32>((mix(load<u64>(key) ^ load<u32>(map, HTAB_SEED)) * K2) >> 32);
}

function hashMany(map: u32, key: u32, n: u32): u32 {
  let h: u64 = <u64>load<u32>(map, HTAB_SEED) ^ n;
  while (n >= 8) {
    h = mix(h ^ load<u64>(key)) + K2;
    key += 8;
    n -= 8;
  }
  let rest: u64 = 0;
  if (n & 4) {
    rest = load<u32>(key);
    key += 4;
  }
  if (n & 2) {
    rest = (rest << 16) | load<u16>(key);
    key += 2;
  }
  if (n & 1) rest = (rest << 8) | load<u8>(key);
  return <u32>((mix(h ^ rest) * K2) >> 32);
}

// @ts-ignore: decorator
@inline
export function hashKey(map: u32, key: u32): u32 {
  const n = load<u32>(map, MAP_KEY_SIZE);
  if (n == 4) return hash4(map, key);
  if (n == 8) return hash8(map, key);
  return hashMany(map, key, n);
}

/** The hash of an element's key. */
// @ts-ignore: decorator
@inline
export function hashOfElem(map: u32, elem: u32): u32 {
  return load<u32>(map, MAP_KEY_SIZE) == 4 ? hash4(map, elem + HTAB_KEY4) : load<u32>(elem, HTAB_HASH);
}

/** Key and, where elements keep it, hash of a new element. */
// @ts-ignore: decorator
@inline
export function setKey(map: u32, elem: u32, key: u32, hash: u32): void {
  const n = load<u32>(map, MAP_KEY_SIZE);
  if (n == 4) {
    store<u32>(elem, load<u32>(key), HTAB_KEY4);
    return;
  }
  store<u32>(elem, hash, HTAB_HASH);
  copyBytes(elem + HTAB_KEY, key, n);
}

// @ts-ignore: decorator
@inline
export function bucketNumber(map: u32, hash: u32): u32 {
  return hash >>> load<u32>(map, HTAB_SHIFT);
}

// @ts-ignore: decorator
@inline
export function bucketOf(map: u32, hash: u32): u32 {
  return load<u32>(map, HTAB_BUCKETS) + (bucketNumber(map, hash) << 2);
}

/** The element after this one in its chain, or 0. */
// @ts-ignore: decorator
@inline
export function nextInChain(elem: u32): u32 {
  return load<u32>(elem, HTAB_NEXT) & ~HTAB_SEEN;
}

/** Where a link leads: HTAB_SEEN of a link belongs to the element that holds it. */
// @ts-ignore: decorator
@inline
export function follow(link: u32): u32 {
  return load<u32>(link) & ~HTAB_SEEN;
}

/** A program is given the address of the element's value. */
// @ts-ignore: decorator
@inline
export function expose(elem: u32): void {
  const next = load<u32>(elem, HTAB_NEXT);
  if (!(next & HTAB_SEEN)) store<u32>(elem, next | HTAB_SEEN, HTAB_NEXT);
}

// @ts-ignore: decorator
@inline
export function isExposed(elem: u32): bool {
  return (load<u32>(elem, HTAB_NEXT) & HTAB_SEEN) != 0;
}

// @ts-ignore: decorator
@inline
function find4(bucket: u32, key: u32): u32 {
  const k = load<u32>(key);
  for (let e = load<u32>(bucket); e != 0; e = nextInChain(e)) if (load<u32>(e, HTAB_KEY4) == k) return e;
  return 0;
}

// @ts-ignore: decorator
@inline
function find8(bucket: u32, key: u32): u32 {
  const k = load<u64>(key);
  for (let e = load<u32>(bucket); e != 0; e = nextInChain(e)) if (load<u64>(e, HTAB_KEY) == k) return e;
  return 0;
}

function findMany(bucket: u32, key: u32, n: u32, hash: u32): u32 {
  for (let e = load<u32>(bucket); e != 0; e = nextInChain(e))
    if (load<u32>(e, HTAB_HASH) == hash && equalBytes(e + HTAB_KEY, key, n)) return e;
  return 0;
}

/** The element with a key of 4 bytes, or 0. */
// @ts-ignore: decorator
@inline
export function findElem4(map: u32, key: u32): u32 {
  return find4(bucketOf(map, hash4(map, key)), key);
}

/** The element with a key of 8 bytes, or 0. */
// @ts-ignore: decorator
@inline
export function findElem8(map: u32, key: u32): u32 {
  return find8(bucketOf(map, hash8(map, key)), key);
}

/** The element with that key, or 0. */
export function findElem(map: u32, key: u32): u32 {
  const n = load<u32>(map, MAP_KEY_SIZE);
  if (n == 4) return findElem4(map, key);
  if (n == 8) return findElem8(map, key);
  const hash = hashMany(map, key, n);
  return findMany(bucketOf(map, hash), key, n, hash);
}

/** The link to the element with that key; 0: no such key. */
// @ts-ignore: decorator
@inline
export function findLink(map: u32, bucket: u32, key: u32, hash: u32): u32 {
  const n = load<u32>(map, MAP_KEY_SIZE);
  let link = bucket;
  let e = load<u32>(link);
  if (n == 4) {
    const k = load<u32>(key);
    while (e != 0) {
      if (load<u32>(e, HTAB_KEY4) == k) return link;
      link = e + HTAB_NEXT;
      e = follow(link);
    }
    return 0;
  }
  if (n == 8) {
    const k = load<u64>(key);
    while (e != 0) {
      if (load<u64>(e, HTAB_KEY) == k) return link;
      link = e + HTAB_NEXT;
      e = follow(link);
    }
    return 0;
  }
  while (e != 0) {
    if (load<u32>(e, HTAB_HASH) == hash && equalBytes(e + HTAB_KEY, key, n)) return link;
    link = e + HTAB_NEXT;
    e = follow(link);
  }
  return 0;
}

/** Takes the element out of its chain; it keeps its own HTAB_NEXT, for a walk that stands on it. */
// @ts-ignore: decorator
@inline
export function unlink(link: u32, elem: u32): void {
  store<u32>(link, (load<u32>(link) & HTAB_SEEN) | nextInChain(elem));
}

// @ts-ignore: decorator
@inline
export function linkFirst(bucket: u32, elem: u32): void {
  store<u32>(elem, load<u32>(bucket), HTAB_NEXT);
  store<u32>(bucket, elem);
}

/** Takes an element of unknown place out of its bucket and out of the count; false: it was in none. */
export function unlinkFromBucket(map: u32, elem: u32): bool {
  let link = bucketOf(map, hashOfElem(map, elem));
  while (true) {
    const e = follow(link);
    if (e == 0) return false;
    if (e == elem) break;
    link = e + HTAB_NEXT;
  }
  unlink(link, elem);
  addCount(map, -1);
  return true;
}

// @ts-ignore: decorator
@inline
export function addCount(map: u32, by: i32): void {
  store<i32>(map, load<i32>(map, MAP_COUNT) + by, MAP_COUNT);
}
