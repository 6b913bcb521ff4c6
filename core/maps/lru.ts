// BPF_MAP_TYPE_LRU_HASH and LRU_PERCPU_HASH (kernel/bpf/hashtab.c): an update takes its element before it looks for the
// key, so that even an update of an existing key may evict one when the map is full.
import { MAP_CPU_STRIDE, MAP_VALUE_OFFSET, MAP_VALUE_SIZE } from "../../src/maps/layout";
import { CPU_ID } from "../../src/vm/layout";
import { cpu } from "../env";
import { copyBytes } from "./bytes";
import { BPF_EXIST, EINVAL, ENOMEM } from "./errno";
import { checkFlags, copyPerCpu, initPerCpu } from "./hash";
import { addCount, bucketOf, findElem, findLink, follow, hashKey, linkFirst, setKey, unlink } from "./hash-table";
import { lruPop, lruPush, lruReference } from "./lru-list";

/** Offset of the value, 0 = no such key; counts as a use. */
export function htab_lru_lookup(map: u32, key: u32): u32 {
  const elem = findElem(map, key);
  if (elem == 0) return 0;
  lruReference(elem);
  return elem + load<u32>(map, MAP_VALUE_OFFSET);
}

export function htab_lru_percpu_lookup(map: u32, key: u32): u32 {
  const value = htab_lru_lookup(map, key);
  return value == 0 ? 0 : value + load<u32>(cpu, CPU_ID) * load<u32>(map, MAP_CPU_STRIDE);
}

/** An element with that key and hash, in no bucket yet; 0: none to be had. */
function takeElem(map: u32, key: u32, hash: u32): u32 {
  const elem = lruPop(map);
  if (elem == 0) return 0;
  setKey(map, elem, key, hash);
  return elem;
}

export function htab_lru_update(map: u32, key: u32, value: u32, flags: u64): i32 {
  if (flags > BPF_EXIST) return -EINVAL;
  const hash = hashKey(map, key);
  const elem = takeElem(map, key, hash);
  if (elem == 0) return -ENOMEM;
  copyBytes(elem + load<u32>(map, MAP_VALUE_OFFSET), value, load<u32>(map, MAP_VALUE_SIZE));
  const bucket = bucketOf(map, hash);
  const link = findLink(map, bucket, key, hash);
  const err = checkFlags(link != 0, flags);
  if (err != 0) {
    lruPush(map, elem);
    return err;
  }
  if (link != 0) {
    const old = follow(link);
    lruReference(elem);
    unlink(link, old);
    linkFirst(bucket, elem);
    lruPush(map, old);
  } else {
    linkFirst(bucket, elem);
    addCount(map, 1);
  }
  return 0;
}

export function lruPercpuPut(map: u32, key: u32, value: u32, flags: u64, all: bool): i32 {
  if (flags > BPF_EXIST) return -EINVAL;
  const hash = hashKey(map, key);
  let fresh: u32 = 0;
  if (flags != BPF_EXIST) {
    fresh = takeElem(map, key, hash);
    if (fresh == 0) return -ENOMEM;
  }
  const bucket = bucketOf(map, hash);
  const link = findLink(map, bucket, key, hash);
  const err = checkFlags(link != 0, flags);
  const offset = load<u32>(map, MAP_VALUE_OFFSET);
  if (err == 0 && link != 0) {
    const old = follow(link);
    lruReference(old);
    copyPerCpu(map, old + offset, value, all);
  } else if (err == 0) {
    initPerCpu(map, fresh + offset, value, all);
    linkFirst(bucket, fresh);
    addCount(map, 1);
    return 0;
  }
  if (fresh != 0) lruPush(map, fresh);
  return err;
}

export function htab_lru_percpu_update(map: u32, key: u32, value: u32, flags: u64): i32 {
  return lruPercpuPut(map, key, value, flags, false);
}
