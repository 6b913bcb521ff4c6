// bpf_for_each_map_elem (kernel/bpf/arraymap.c, hashtab.c): calls a function of the program for every element.
import {
  HTAB_BUCKETS,
  HTAB_KEY_OFFSET,
  HTAB_MASK,
  MAP_CPU_STRIDE,
  MAP_MAX_ENTRIES,
  MAP_STRIDE,
  MAP_TYPE,
  MAP_VALUE_OFFSET,
  MAP_VALUES,
  POOL_TOTAL,
} from "../../src/maps/layout";
import {
  CPU_FAULT,
  CPU_FP,
  CPU_ID,
  CPU_STACK_BASE,
  CPU_STACK_SIZE,
  FAULT_CALL,
  FAULT_STACK,
  FRAME_SIZE,
  TABLE_BASE,
} from "../../src/vm/layout";
import { cpu } from "../env";
import { EINVAL } from "./errno";
import { expose, nextInChain } from "./hash-table";
import { mapOf, pointer } from "./registry";
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
} from "./types";

function fault(code: u32): void {
  store<u32>(cpu, code, CPU_FAULT);
  unreachable();
}

// @ts-ignore: decorator
@inline
function call(fn: u32, fp: u32, map: u32, key: u32, value: u32, ctx: u64): u64 {
  return call_indirect<u64>(fn, fp, pointer(map), pointer(key), pointer(value), ctx, <u64>0);
}

function eachOfArray(map: u32, fn: u32, ctx: u64, fp: u32): u64 {
  // A frame of its own for the index that the callback sees as its key, then the callback's frame.
  const key = fp - FRAME_SIZE - 8;
  const n = load<u32>(map, MAP_MAX_ENTRIES);
  const mine = load<u32>(cpu, CPU_ID) * load<u32>(map, MAP_CPU_STRIDE);
  for (let i: u32 = 0; i < n; i++) {
    store<u64>(key, i);
    const value = load<u32>(map, MAP_VALUES) + mine + i * load<u32>(map, MAP_STRIDE);
    if (call(fn, fp - 2 * FRAME_SIZE, map, key, value, ctx) != 0) return i + 1;
  }
  return n;
}

function eachOfHash(map: u32, fn: u32, ctx: u64, fp: u32): u64 {
  const offset = load<u32>(map, MAP_VALUE_OFFSET) + load<u32>(cpu, CPU_ID) * load<u32>(map, MAP_CPU_STRIDE);
  const keyOffset = load<u32>(map, HTAB_KEY_OFFSET);
  const mask = load<u32>(map, HTAB_MASK);
  let n: u32 = 0;
  for (let i: u32 = 0; i <= mask; i++) {
    let elem = load<u32>(load<u32>(map, HTAB_BUCKETS) + (i << 2));
    while (elem != 0) {
      const next = nextInChain(elem);
      expose(elem);
      n++;
      if (call(fn, fp - FRAME_SIZE, map, elem + keyOffset, elem + offset, ctx) != 0) return n;
      // A callback that deletes and inserts could lead this walk in a circle; no walk is longer than all elements.
      if (n >= load<u32>(map, POOL_TOTAL)) return n;
      elem = next;
    }
  }
  return n;
}

/** map, index of the callback in the function table, its ctx, flags. Returns how many elements were visited. */
export function bpf_for_each_map_elem(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const map = mapOf(r1);
  if (map == 0 || r4 != 0) return <u64>(-EINVAL);
  const fn = <u32>r2;
  if (fn < <u32>TABLE_BASE) fault(FAULT_CALL);
  const fp = load<u32>(cpu, CPU_FP);
  const bottom = <u32>CPU_STACK_BASE + load<u32>(cpu, CPU_ID) * <u32>CPU_STACK_SIZE;
  if (fp < bottom + 3 * <u32>FRAME_SIZE) fault(FAULT_STACK);
  const type = load<u32>(map, MAP_TYPE);
  let n: u64 = <u64>(-EINVAL);
  if (type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY) n = eachOfArray(map, fn, r3, fp);
  else if (
    type == BPF_MAP_TYPE_HASH ||
    type == BPF_MAP_TYPE_PERCPU_HASH ||
    type == BPF_MAP_TYPE_LRU_HASH ||
    type == BPF_MAP_TYPE_LRU_PERCPU_HASH
  )
    n = eachOfHash(map, fn, r3, fp);
  store<u32>(cpu, fp, CPU_FP);
  return n;
}
