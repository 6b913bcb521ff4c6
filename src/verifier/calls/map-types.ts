/** The kernel struct behind each map type: what a map pointer points at. */
import {
  BPF_MAP_TYPE_ARENA,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF_MAP_TYPE_BLOOM_FILTER,
  BPF_MAP_TYPE_CGROUP_ARRAY,
  BPF_MAP_TYPE_CGROUP_STORAGE,
  BPF_MAP_TYPE_CGRP_STORAGE,
  BPF_MAP_TYPE_CPUMAP,
  BPF_MAP_TYPE_DEVMAP,
  BPF_MAP_TYPE_DEVMAP_HASH,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_INODE_STORAGE,
  BPF_MAP_TYPE_LPM_TRIE,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_MAP_TYPE_PROG_ARRAY,
  BPF_MAP_TYPE_QUEUE,
  BPF_MAP_TYPE_REUSEPORT_SOCKARRAY,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_TYPE_SK_STORAGE,
  BPF_MAP_TYPE_SOCKHASH,
  BPF_MAP_TYPE_SOCKMAP,
  BPF_MAP_TYPE_STACK,
  BPF_MAP_TYPE_STACK_TRACE,
  BPF_MAP_TYPE_STRUCT_OPS,
  BPF_MAP_TYPE_TASK_STORAGE,
  BPF_MAP_TYPE_USER_RINGBUF,
  BPF_MAP_TYPE_XSKMAP,
} from "../../uapi/index.ts";

const STRUCTS: readonly (readonly [string, readonly number[]])[] = [
  [
    "bpf_array",
    [
      BPF_MAP_TYPE_ARRAY,
      BPF_MAP_TYPE_PROG_ARRAY,
      BPF_MAP_TYPE_PERF_EVENT_ARRAY,
      BPF_MAP_TYPE_PERCPU_ARRAY,
      BPF_MAP_TYPE_CGROUP_ARRAY,
      BPF_MAP_TYPE_ARRAY_OF_MAPS,
    ],
  ],
  [
    "bpf_htab",
    [
      BPF_MAP_TYPE_HASH,
      BPF_MAP_TYPE_PERCPU_HASH,
      BPF_MAP_TYPE_LRU_HASH,
      BPF_MAP_TYPE_LRU_PERCPU_HASH,
      BPF_MAP_TYPE_HASH_OF_MAPS,
    ],
  ],
  ["bpf_stack_map", [BPF_MAP_TYPE_STACK_TRACE]],
  ["lpm_trie", [BPF_MAP_TYPE_LPM_TRIE]],
  ["bpf_dtab", [BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH]],
  ["bpf_stab", [BPF_MAP_TYPE_SOCKMAP]],
  ["bpf_shtab", [BPF_MAP_TYPE_SOCKHASH]],
  ["bpf_cpu_map", [BPF_MAP_TYPE_CPUMAP]],
  ["xsk_map", [BPF_MAP_TYPE_XSKMAP]],
  ["bpf_cgroup_storage_map", [BPF_MAP_TYPE_CGROUP_STORAGE, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE]],
  ["reuseport_array", [BPF_MAP_TYPE_REUSEPORT_SOCKARRAY]],
  ["bpf_queue_stack", [BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK]],
  [
    "bpf_local_storage_map",
    [
      BPF_MAP_TYPE_SK_STORAGE,
      BPF_MAP_TYPE_INODE_STORAGE,
      BPF_MAP_TYPE_TASK_STORAGE,
      BPF_MAP_TYPE_CGRP_STORAGE,
    ],
  ],
  ["bpf_struct_ops_map", [BPF_MAP_TYPE_STRUCT_OPS]],
  ["bpf_ringbuf_map", [BPF_MAP_TYPE_RINGBUF, BPF_MAP_TYPE_USER_RINGBUF]],
  ["bpf_bloom_filter", [BPF_MAP_TYPE_BLOOM_FILTER]],
  ["bpf_arena", [BPF_MAP_TYPE_ARENA]],
];

const byType = new Map(STRUCTS.flatMap(([name, types]) => types.map((type) => [type, name] as const)));

/** The struct that a map of that type is in the kernel (map->ops->map_btf_id). */
export function mapStructName(type: number): string | null {
  return byType.get(type) ?? null;
}
