// BPF_MAP_CREATE: the types there are, and the order of checks in map_create of kernel/bpf/syscall.c.
import { LoadError } from "../diag/index.ts";
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF_MAP_TYPE_BLOOM_FILTER,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_LPM_TRIE,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_MAP_TYPE_PROG_ARRAY,
  BPF_MAP_TYPE_QUEUE,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_TYPE_STACK,
  EINVAL,
  ENOMEM,
} from "../uapi/index.ts";
import { ArrayMap, checkArray } from "./array.ts";
import { checkCommon, checkName, type MapAttr } from "./attr.ts";
import { BloomFilterMap, checkBloomFilter } from "./bloom-filter.ts";
import { checkFdArray } from "./fd-array.ts";
import { checkHash, HashMap } from "./hash.ts";
import { checkLpmTrie, LpmTrieMap } from "./lpm-trie.ts";
import type { BpfMap } from "./map.ts";
import type { MapEnv } from "./map-env.ts";
import { ArrayOfMapsMap, checkHashOfMaps, HashOfMapsMap, innerMeta } from "./map-in-map.ts";
import type { MapMeta } from "./meta.ts";
import { PerfEventArrayMap } from "./perf-event-array.ts";
import { ProgArrayMap } from "./prog-array.ts";
import { checkQueueStack, QueueStackMap } from "./queue-stack.ts";
import { checkRingbuf, RingbufMap } from "./ringbuf.ts";

/** One map type: its rules for attributes, and the map. */
interface MapSpec {
  check(attr: MapAttr): number;
  make(env: MapEnv, attr: MapAttr): BpfMap;
}

/** A type whose maps hold maps. */
interface OuterSpec {
  check(attr: MapAttr): number;
  makeOuter(env: MapEnv, attr: MapAttr, inner: MapMeta): BpfMap;
}

const array: MapSpec = { check: checkArray, make: (env, attr) => new ArrayMap(env, attr) };
const hash: MapSpec = { check: checkHash, make: (env, attr) => new HashMap(env, attr) };
const queue: MapSpec = { check: checkQueueStack, make: (env, attr) => new QueueStackMap(env, attr) };

const specs: Readonly<Record<number, MapSpec | OuterSpec>> = {
  [BPF_MAP_TYPE_HASH]: hash,
  [BPF_MAP_TYPE_ARRAY]: array,
  [BPF_MAP_TYPE_PROG_ARRAY]: { check: checkFdArray, make: (env, attr) => new ProgArrayMap(env, attr) },
  [BPF_MAP_TYPE_PERF_EVENT_ARRAY]: {
    check: checkFdArray,
    make: (env, attr) => new PerfEventArrayMap(env, attr),
  },
  [BPF_MAP_TYPE_PERCPU_HASH]: hash,
  [BPF_MAP_TYPE_PERCPU_ARRAY]: array,
  [BPF_MAP_TYPE_LRU_HASH]: hash,
  [BPF_MAP_TYPE_LRU_PERCPU_HASH]: hash,
  [BPF_MAP_TYPE_LPM_TRIE]: { check: checkLpmTrie, make: (env, attr) => new LpmTrieMap(env, attr) },
  [BPF_MAP_TYPE_ARRAY_OF_MAPS]: {
    check: checkFdArray,
    makeOuter: (env, attr, inner) => new ArrayOfMapsMap(env, attr, inner),
  },
  [BPF_MAP_TYPE_HASH_OF_MAPS]: {
    check: checkHashOfMaps,
    makeOuter: (env, attr, inner) => new HashOfMapsMap(env, attr, inner),
  },
  [BPF_MAP_TYPE_QUEUE]: queue,
  [BPF_MAP_TYPE_STACK]: queue,
  [BPF_MAP_TYPE_RINGBUF]: { check: checkRingbuf, make: (env, attr) => new RingbufMap(env, attr) },
  [BPF_MAP_TYPE_BLOOM_FILTER]: {
    check: checkBloomFilter,
    make: (env, attr) => new BloomFilterMap(env, attr),
  },
};

/**
 * A new map with one reference, or a negative errno. The caller numbers it (`id`), checks its BTF, makes its file
 * descriptor with `fdFlags`, and calls `put` when done.
 */
export function createMap(env: MapEnv, attr: MapAttr): BpfMap | number {
  let err = checkCommon(attr);
  if (err !== 0) return err;
  const spec = specs[attr.map_type];
  if (spec === undefined) return -EINVAL;
  if ((err = spec.check(attr)) !== 0) return err;
  // Offloaded maps need a device that takes them.
  if (attr.map_ifindex) return -EINVAL;
  try {
    let map: BpfMap;
    if ("makeOuter" in spec) {
      const inner = innerMeta(env, attr);
      if (typeof inner === "number") return inner;
      map = spec.makeOuter(env, attr, inner);
    } else {
      map = spec.make(env, attr);
    }
    if ((err = map.start()) !== 0) return err;
    if ((err = checkName(map.name)) === 0) return map;
    map.put();
    return err;
  } catch (error) {
    if (error instanceof LoadError && error.errno === ENOMEM) return -ENOMEM;
    throw error;
  }
}
