// BPF_MAP_*_BATCH (bpf_map_do_batch() and the generic_map_*_batch() functions of kernel/bpf/syscall.c) over a map's
// single operations. A lookup goes on behind the last key for every type; Linux's hash tables go on at a bucket.
import type { BatchLookup, BatchResult } from "../backend/index.ts";
import type { BpfMap } from "../maps/index.ts";
import * as uapi from "../uapi/index.ts";

const LOOKUP = 1;
const DELETE_TOO = 2;
const UPDATE = 4;
const DELETE = 8;

const HASH = LOOKUP | DELETE_TOO | UPDATE | DELETE;
/** Which commands a map type has; the others are -ENOTSUPP. */
const COMMANDS: Readonly<Record<number, number>> = {
  [uapi.BPF_MAP_TYPE_ARRAY]: LOOKUP | UPDATE,
  [uapi.BPF_MAP_TYPE_PERCPU_ARRAY]: LOOKUP | UPDATE,
  [uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS]: LOOKUP | UPDATE,
  [uapi.BPF_MAP_TYPE_HASH]: HASH,
  [uapi.BPF_MAP_TYPE_LRU_HASH]: HASH,
  [uapi.BPF_MAP_TYPE_PERCPU_HASH]: HASH,
  [uapi.BPF_MAP_TYPE_LRU_PERCPU_HASH]: HASH,
  [uapi.BPF_MAP_TYPE_HASH_OF_MAPS]: HASH,
  [uapi.BPF_MAP_TYPE_LPM_TRIE]: LOOKUP | UPDATE | DELETE,
};

function refuse(map: BpfMap, command: number, elemFlags: number): number {
  if (((COMMANDS[map.type] ?? 0) & command) === 0) return -uapi.ENOTSUPP;
  // No value holds a bpf_spin_lock yet: BPF_F_LOCK is as unknown as the other flags.
  return elemFlags === 0 ? 0 : -uapi.EINVAL;
}

/** `valueSize`: bytes that one value takes in the buffer. */
export function lookupBatch(
  map: BpfMap,
  batch: BatchLookup,
  valueSize: number,
  andDelete: boolean,
): BatchResult {
  const { count: room } = batch;
  const refused = refuse(map, andDelete ? DELETE_TOO : LOOKUP, batch.elem_flags ?? 0);
  if (refused !== 0) return { err: refused, count: room };
  if (room === 0) return { err: 0, count: 0 };
  const { keySize } = map;
  let previous = batch.in_batch?.slice(0, keySize) ?? null;
  let count = 0;
  let err = 0;
  const gone: Uint8Array[] = [];
  while (count < room) {
    const key = batch.keys.subarray(count * keySize, (count + 1) * keySize);
    const next = new Uint8Array(keySize);
    err = map.getNextKey(previous, next);
    if (err !== 0) break;
    previous = next;
    err = map.lookup(next, batch.values.subarray(count * valueSize, (count + 1) * valueSize), 0);
    if (err === -uapi.ENOENT) continue;
    if (err !== 0) return { err, count };
    key.set(next);
    if (andDelete) gone.push(next);
    count++;
  }
  for (const key of gone) map.delete(key);
  if (count > 0) batch.out_batch.set(previous!);
  return { err, count };
}

function each(count: number, one: (i: number) => number): BatchResult {
  for (let i = 0; i < count; i++) {
    const err = one(i);
    if (err !== 0) return { err, count: i };
  }
  return { err: 0, count };
}

export function updateBatch(
  map: BpfMap,
  keys: Uint8Array,
  values: Uint8Array,
  count: number,
  elemFlags: number,
  valueSize: number,
): BatchResult {
  const refused = refuse(map, UPDATE, elemFlags);
  if (refused !== 0) return { err: refused, count };
  const { keySize } = map;
  return each(count, (i) =>
    map.update(
      keys.subarray(i * keySize, (i + 1) * keySize),
      values.subarray(i * valueSize, (i + 1) * valueSize),
      0,
    ),
  );
}

export function deleteBatch(map: BpfMap, keys: Uint8Array, count: number, elemFlags: number): BatchResult {
  const refused = refuse(map, DELETE, elemFlags);
  if (refused !== 0) return { err: refused, count };
  const { keySize } = map;
  return each(count, (i) => map.delete(keys.subarray(i * keySize, (i + 1) * keySize)));
}
