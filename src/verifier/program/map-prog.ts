/** Which programs may use a map at all: check_map_prog_compatibility(). */
import {
  BPF_MAP_TYPE_ARENA,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF_MAP_TYPE_CGRP_STORAGE,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_INODE_STORAGE,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_QUEUE,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_TYPE_SK_STORAGE,
  BPF_MAP_TYPE_STACK,
  BPF_MAP_TYPE_STRUCT_OPS,
  BPF_MAP_TYPE_TASK_STORAGE,
  BPF_MAP_TYPE_USER_RINGBUF,
  BPF_PROG_TYPE_KPROBE,
  BPF_PROG_TYPE_PERF_EVENT,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_TRACEPOINT,
  EINVAL,
} from "../../uapi/index.ts";
import { hasField, mapRecord } from "../btf/btf-record.ts";
import {
  BPF_LIST_HEAD,
  BPF_RB_ROOT,
  BPF_RES_SPIN_LOCK,
  BPF_SPIN_LOCK,
  BPF_TIMER,
  BPF_WORKQUEUE,
} from "../btf/field-types.ts";
import type { Env } from "../env.ts";
import type { MapDescription } from "../map-description.ts";

/** is_tracing_prog_type(): may run anywhere, in the middle of anything. */
const TRACING: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE_KPROBE,
  BPF_PROG_TYPE_TRACEPOINT,
  BPF_PROG_TYPE_PERF_EVENT,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
]);

const IN_SLEEPABLE: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_TYPE_USER_RINGBUF,
  BPF_MAP_TYPE_INODE_STORAGE,
  BPF_MAP_TYPE_SK_STORAGE,
  BPF_MAP_TYPE_TASK_STORAGE,
  BPF_MAP_TYPE_CGRP_STORAGE,
  BPF_MAP_TYPE_QUEUE,
  BPF_MAP_TYPE_STACK,
  BPF_MAP_TYPE_ARENA,
]);

export function checkMapProgCompatibility(env: Env, map: MapDescription): void {
  const tracing = TRACING.has(env.resolvedProgType);
  const socket = env.resolvedProgType === BPF_PROG_TYPE_SOCKET_FILTER;
  const record = mapRecord(env, map);
  if (tracing && hasField(record, BPF_LIST_HEAD | BPF_RB_ROOT))
    env.reject(EINVAL, "tracing progs cannot use bpf_{list_head,rb_root} yet");
  if (hasField(record, BPF_SPIN_LOCK | BPF_RES_SPIN_LOCK)) {
    if (socket) env.reject(EINVAL, "socket filter progs cannot use bpf_spin_lock yet");
    if (tracing) env.reject(EINVAL, "tracing progs cannot use bpf_spin_lock yet");
  }
  if (tracing && hasField(record, BPF_TIMER) && !env.profile.rules.has("tracing-timers"))
    env.reject(EINVAL, "tracing progs cannot use bpf_timer yet");
  if (tracing && hasField(record, BPF_WORKQUEUE) && !env.profile.rules.has("tracing-timers"))
    env.reject(EINVAL, "tracing progs cannot use bpf_wq yet");
  if (map.type === BPF_MAP_TYPE_STRUCT_OPS) env.reject(EINVAL, "bpf_struct_ops map cannot be used in prog");
  if (env.inSleepableProg && !IN_SLEEPABLE.has(map.type))
    env.reject(EINVAL, "Sleepable programs can only use array, hash, ringbuf and local storage maps");
}
