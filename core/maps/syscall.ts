// Map operations on behalf of user space: no 64-bit integer crosses to JavaScript, keys and values are in scratch memory
// of src/maps. An operation that a type lacks never gets here.
import { MAP_TYPE } from "../../src/maps/layout";
import { array_update } from "./array";
import { bloom_push } from "./bloom";
import { EINVAL } from "./errno";
import { htab_update, percpuPut } from "./hash";
import { lpm_update } from "./lpm";
import { htab_lru_update, lruPercpuPut } from "./lru";
import { queue_push } from "./queue-stack";
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_BLOOM_FILTER,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_LPM_TRIE,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_QUEUE,
  BPF_MAP_TYPE_STACK,
} from "./types";

/** Per-CPU hash maps take the values of all CPUs. 0 or a negative errno. */
export function map_sys_update(map: u32, key: u32, value: u32, flags: u32): i32 {
  switch (load<u32>(map, MAP_TYPE)) {
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_HASH_OF_MAPS:
      return htab_update(map, key, value, flags);
    case BPF_MAP_TYPE_ARRAY:
      return array_update(map, key, value, flags);
    case BPF_MAP_TYPE_PERCPU_HASH:
      return percpuPut(map, key, value, flags, true);
    case BPF_MAP_TYPE_LRU_HASH:
      return htab_lru_update(map, key, value, flags);
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
      return lruPercpuPut(map, key, value, flags, true);
    case BPF_MAP_TYPE_LPM_TRIE:
      return lpm_update(map, key, value, flags);
    case BPF_MAP_TYPE_QUEUE:
    case BPF_MAP_TYPE_STACK:
      return queue_push(map, value, flags);
    case BPF_MAP_TYPE_BLOOM_FILTER:
      return bloom_push(map, value, flags);
    default:
      return -EINVAL;
  }
}
