// BPF_MAP_TYPE_ARRAY, PERCPU_ARRAY and ARRAY_OF_MAPS as programs use them (kernel/bpf/arraymap.c). Engines inline
// lookups from MAP_VALUES and MAP_STRIDE; these are the calls that are left.
import {
  MAP_CPU_STRIDE,
  MAP_CPUS,
  MAP_MAX_ENTRIES,
  MAP_PERM,
  MAP_STRIDE,
  MAP_VALUE_SIZE,
  MAP_VALUES,
} from "../../src/maps/layout";
import { CPU_ID } from "../../src/vm/layout";
import { cpu } from "../env";
import { PERM_NONE, paint } from "../shadow";
import { copyBytes } from "./bytes";
import { BPF_EXIST, BPF_NOEXIST, E2BIG, EEXIST, EINVAL } from "./errno";

/** Offset of the element, of the first CPU's copy in a per-CPU array; 0: no such index. */
export function array_lookup(map: u32, key: u32): u32 {
  const index = load<u32>(key);
  if (index >= load<u32>(map, MAP_MAX_ENTRIES)) return 0;
  return load<u32>(map, MAP_VALUES) + index * load<u32>(map, MAP_STRIDE);
}

export function array_percpu_lookup(map: u32, key: u32): u32 {
  const value = array_lookup(map, key);
  return value == 0 ? 0 : value + load<u32>(cpu, CPU_ID) * load<u32>(map, MAP_CPU_STRIDE);
}

/** The inner map, or 0. */
export function array_of_maps_lookup(map: u32, key: u32): u32 {
  const value = array_lookup(map, key);
  return value == 0 ? 0 : load<u32>(value);
}

function place(map: u32, key: u32, flags: u64): i32 {
  // BPF_F_LOCK wants a bpf_spin_lock in the value, and no value has one.
  if (flags > BPF_EXIST) return -EINVAL;
  if (load<u32>(key) >= load<u32>(map, MAP_MAX_ENTRIES)) return -E2BIG;
  return flags == BPF_NOEXIST ? -EEXIST : 0;
}

export function array_update(map: u32, key: u32, value: u32, flags: u64): i32 {
  const err = place(map, key, flags);
  if (err == 0) copyBytes(array_lookup(map, key), value, load<u32>(map, MAP_VALUE_SIZE));
  return err;
}

export function array_percpu_update(map: u32, key: u32, value: u32, flags: u64): i32 {
  const err = place(map, key, flags);
  if (err == 0) copyBytes(array_percpu_lookup(map, key), value, load<u32>(map, MAP_VALUE_SIZE));
  return err;
}

/** Paints every element of an array as MAP_PERM says. */
export function array_paint(map: u32): void {
  const perm = load<u32>(map, MAP_PERM);
  if (perm == PERM_NONE) return;
  const cpuStride = load<u32>(map, MAP_CPU_STRIDE);
  const n = <u32>load<u32>(map, MAP_MAX_ENTRIES) * (cpuStride == 0 ? 1 : load<u32>(map, MAP_CPUS));
  const stride = load<u32>(map, MAP_STRIDE);
  const size = load<u32>(map, MAP_VALUE_SIZE);
  const values = load<u32>(map, MAP_VALUES);
  for (let i: u32 = 0; i < n; i++) paint(values + i * stride, size, perm);
}
