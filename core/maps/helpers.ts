// The map helpers as programs call them, for any map and any arguments: the map must be alive, keys and values must be
// bytes that the program may read (write), what the map's type lacks is refused. Engines that know the map call the
// functions of its type directly.
import { MAP_CPU_STRIDE, MAP_CPUS, MAP_FLAGS, MAP_KEY_SIZE, MAP_TYPE, MAP_VALUE_SIZE } from "../../src/maps/layout";
import { CPU_ID } from "../../src/vm/layout";
import { cpu } from "../env";
import { check_read, check_write } from "../shadow";
import {
  array_lookup,
  array_of_maps_lookup,
  array_percpu_lookup,
  array_percpu_update,
  array_update,
} from "./array";
import { bloom_peek, bloom_push } from "./bloom";
import { EACCES, EFAULT, EINVAL, EOPNOTSUPP } from "./errno";
import { htab_delete, htab_lookup, htab_of_maps_lookup, htab_percpu_lookup, htab_percpu_update, htab_update } from "./hash";
import { lpm_delete, lpm_lookup, lpm_update } from "./lpm";
import { htab_lru_lookup, htab_lru_percpu_lookup, htab_lru_percpu_update, htab_lru_update } from "./lru";
import { queue_get, queue_push } from "./queue-stack";
import { mapOf, pointer } from "./registry";
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
  BPF_MAP_TYPE_QUEUE,
  BPF_MAP_TYPE_STACK,
} from "./types";

const BPF_F_RDONLY_PROG: u32 = 128;

/** The verifier keeps programs from writing such a map; so do we where there was none. */
// @ts-ignore: decorator
@inline
function readOnly(map: u32): bool {
  return (load<u32>(map, MAP_FLAGS) & BPF_F_RDONLY_PROG) != 0;
}

function lookup(map: u32, key: u32): u32 {
  switch (load<u32>(map, MAP_TYPE)) {
    case BPF_MAP_TYPE_HASH:
      return htab_lookup(map, key);
    case BPF_MAP_TYPE_ARRAY:
      return array_lookup(map, key);
    case BPF_MAP_TYPE_PERCPU_HASH:
      return htab_percpu_lookup(map, key);
    case BPF_MAP_TYPE_PERCPU_ARRAY:
      return array_percpu_lookup(map, key);
    case BPF_MAP_TYPE_LRU_HASH:
      return htab_lru_lookup(map, key);
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
      return htab_lru_percpu_lookup(map, key);
    case BPF_MAP_TYPE_LPM_TRIE:
      return lpm_lookup(map, key);
    case BPF_MAP_TYPE_ARRAY_OF_MAPS:
      return array_of_maps_lookup(map, key);
    case BPF_MAP_TYPE_HASH_OF_MAPS:
      return htab_of_maps_lookup(map, key);
    default:
      return 0;
  }
}

/** map, key. The value (of the current CPU), or null; null also for arguments that are no map or no key. */
export function bpf_map_lookup_elem(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const map = mapOf(r1);
  if (map == 0 || !check_read(<u32>r2, load<u32>(map, MAP_KEY_SIZE))) return 0;
  return pointer(lookup(map, <u32>r2));
}

/** map, key, cpu. */
export function bpf_map_lookup_percpu_elem(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const map = mapOf(r1);
  if (map == 0 || !check_read(<u32>r2, load<u32>(map, MAP_KEY_SIZE))) return 0;
  const stride = load<u32>(map, MAP_CPU_STRIDE);
  const wanted = <u32>r3;
  if (stride == 0 || wanted >= load<u32>(map, MAP_CPUS)) return 0;
  const value = lookup(map, <u32>r2);
  return value == 0 ? 0 : pointer(value + (wanted - load<u32>(cpu, CPU_ID)) * stride);
}

/** map, key, value, flags. */
export function bpf_map_update_elem(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const map = mapOf(r1);
  if (map == 0) return <u64>(-EINVAL);
  const key = <u32>r2;
  const value = <u32>r3;
  if (!check_read(key, load<u32>(map, MAP_KEY_SIZE)) || !check_read(value, load<u32>(map, MAP_VALUE_SIZE)))
    return <u64>(-EFAULT);
  if (readOnly(map)) return <u64>(-EACCES);
  switch (load<u32>(map, MAP_TYPE)) {
    case BPF_MAP_TYPE_HASH:
      return <u64>htab_update(map, key, value, r4);
    case BPF_MAP_TYPE_ARRAY:
      return <u64>array_update(map, key, value, r4);
    case BPF_MAP_TYPE_PERCPU_HASH:
      return <u64>htab_percpu_update(map, key, value, r4);
    case BPF_MAP_TYPE_PERCPU_ARRAY:
      return <u64>array_percpu_update(map, key, value, r4);
    case BPF_MAP_TYPE_LRU_HASH:
      return <u64>htab_lru_update(map, key, value, r4);
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
      return <u64>htab_lru_percpu_update(map, key, value, r4);
    case BPF_MAP_TYPE_LPM_TRIE:
      return <u64>lpm_update(map, key, value, r4);
    default:
      return <u64>(-EINVAL);
  }
}

/** map, key. */
export function bpf_map_delete_elem(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const map = mapOf(r1);
  if (map == 0) return <u64>(-EINVAL);
  if (!check_read(<u32>r2, load<u32>(map, MAP_KEY_SIZE))) return <u64>(-EFAULT);
  if (readOnly(map)) return <u64>(-EACCES);
  switch (load<u32>(map, MAP_TYPE)) {
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_LRU_HASH:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
      return <u64>htab_delete(map, <u32>r2);
    case BPF_MAP_TYPE_LPM_TRIE:
      return <u64>lpm_delete(map, <u32>r2);
    default:
      return <u64>(-EINVAL);
  }
}

/** map, value, flags. */
export function bpf_map_push_elem(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const map = mapOf(r1);
  if (map == 0) return <u64>(-EINVAL);
  if (!check_read(<u32>r2, load<u32>(map, MAP_VALUE_SIZE))) return <u64>(-EFAULT);
  if (readOnly(map)) return <u64>(-EACCES);
  switch (load<u32>(map, MAP_TYPE)) {
    case BPF_MAP_TYPE_QUEUE:
    case BPF_MAP_TYPE_STACK:
      return <u64>queue_push(map, <u32>r2, r3);
    case BPF_MAP_TYPE_BLOOM_FILTER:
      return <u64>bloom_push(map, <u32>r2, r3);
    default:
      return <u64>(-EINVAL);
  }
}

function get(r1: u64, r2: u64, remove: bool): i32 {
  const map = mapOf(r1);
  if (map == 0) return -EINVAL;
  const type = load<u32>(map, MAP_TYPE);
  if (type == BPF_MAP_TYPE_BLOOM_FILTER) {
    if (!check_read(<u32>r2, load<u32>(map, MAP_VALUE_SIZE))) return -EFAULT;
    return remove ? -EOPNOTSUPP : bloom_peek(map, <u32>r2);
  }
  if (type != BPF_MAP_TYPE_QUEUE && type != BPF_MAP_TYPE_STACK) return -EINVAL;
  if (!check_write(<u32>r2, load<u32>(map, MAP_VALUE_SIZE))) return -EFAULT;
  if (remove && readOnly(map)) return -EACCES;
  return queue_get(map, <u32>r2, remove);
}

/** map, value to fill in. */
export function bpf_map_pop_elem(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return <u64>get(r1, r2, true);
}

/** map, value to fill in (bloom filter: to look for). */
export function bpf_map_peek_elem(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return <u64>get(r1, r2, false);
}
