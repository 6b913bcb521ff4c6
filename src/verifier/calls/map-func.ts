/** Which helpers take which maps: check_map_func_compatibility(), a table from either side. */
import * as U from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import type { MapDescription } from "../map-description.ts";

const KPTR = U.BPF_FUNC_kptr_xchg;

/** Helpers that a map type is good for; types that are not listed take any. */
const FUNCS_OF_MAP: ReadonlyMap<number, readonly number[]> = new Map<number, readonly number[]>([
  [U.BPF_MAP_TYPE_PROG_ARRAY, [U.BPF_FUNC_tail_call]],
  [
    U.BPF_MAP_TYPE_PERF_EVENT_ARRAY,
    [
      U.BPF_FUNC_perf_event_read,
      U.BPF_FUNC_perf_event_output,
      U.BPF_FUNC_skb_output,
      U.BPF_FUNC_perf_event_read_value,
      U.BPF_FUNC_xdp_output,
    ],
  ],
  [
    U.BPF_MAP_TYPE_RINGBUF,
    [
      U.BPF_FUNC_ringbuf_output,
      U.BPF_FUNC_ringbuf_reserve,
      U.BPF_FUNC_ringbuf_query,
      U.BPF_FUNC_ringbuf_reserve_dynptr,
      U.BPF_FUNC_ringbuf_submit_dynptr,
      U.BPF_FUNC_ringbuf_discard_dynptr,
    ],
  ],
  [U.BPF_MAP_TYPE_USER_RINGBUF, [U.BPF_FUNC_user_ringbuf_drain]],
  [U.BPF_MAP_TYPE_STACK_TRACE, [U.BPF_FUNC_get_stackid]],
  [U.BPF_MAP_TYPE_CGROUP_ARRAY, [U.BPF_FUNC_skb_under_cgroup, U.BPF_FUNC_current_task_under_cgroup]],
  [U.BPF_MAP_TYPE_CGROUP_STORAGE, [U.BPF_FUNC_get_local_storage]],
  [U.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, [U.BPF_FUNC_get_local_storage]],
  [U.BPF_MAP_TYPE_DEVMAP, [U.BPF_FUNC_redirect_map, U.BPF_FUNC_map_lookup_elem]],
  [U.BPF_MAP_TYPE_DEVMAP_HASH, [U.BPF_FUNC_redirect_map, U.BPF_FUNC_map_lookup_elem]],
  [U.BPF_MAP_TYPE_CPUMAP, [U.BPF_FUNC_redirect_map]],
  [U.BPF_MAP_TYPE_XSKMAP, [U.BPF_FUNC_redirect_map, U.BPF_FUNC_map_lookup_elem]],
  [U.BPF_MAP_TYPE_ARRAY_OF_MAPS, [U.BPF_FUNC_map_lookup_elem]],
  [U.BPF_MAP_TYPE_HASH_OF_MAPS, [U.BPF_FUNC_map_lookup_elem]],
  [
    U.BPF_MAP_TYPE_SOCKMAP,
    [
      U.BPF_FUNC_sk_redirect_map,
      U.BPF_FUNC_sock_map_update,
      U.BPF_FUNC_msg_redirect_map,
      U.BPF_FUNC_sk_select_reuseport,
      U.BPF_FUNC_map_lookup_elem,
    ],
  ],
  [
    U.BPF_MAP_TYPE_SOCKHASH,
    [
      U.BPF_FUNC_sk_redirect_hash,
      U.BPF_FUNC_sock_hash_update,
      U.BPF_FUNC_msg_redirect_hash,
      U.BPF_FUNC_sk_select_reuseport,
      U.BPF_FUNC_map_lookup_elem,
    ],
  ],
  [U.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, [U.BPF_FUNC_sk_select_reuseport]],
  [U.BPF_MAP_TYPE_QUEUE, [U.BPF_FUNC_map_peek_elem, U.BPF_FUNC_map_pop_elem, U.BPF_FUNC_map_push_elem]],
  [U.BPF_MAP_TYPE_STACK, [U.BPF_FUNC_map_peek_elem, U.BPF_FUNC_map_pop_elem, U.BPF_FUNC_map_push_elem]],
  [U.BPF_MAP_TYPE_SK_STORAGE, [U.BPF_FUNC_sk_storage_get, U.BPF_FUNC_sk_storage_delete, KPTR]],
  [U.BPF_MAP_TYPE_INODE_STORAGE, [U.BPF_FUNC_inode_storage_get, U.BPF_FUNC_inode_storage_delete, KPTR]],
  [U.BPF_MAP_TYPE_TASK_STORAGE, [U.BPF_FUNC_task_storage_get, U.BPF_FUNC_task_storage_delete, KPTR]],
  [U.BPF_MAP_TYPE_CGRP_STORAGE, [U.BPF_FUNC_cgrp_storage_get, U.BPF_FUNC_cgrp_storage_delete, KPTR]],
  [U.BPF_MAP_TYPE_BLOOM_FILTER, [U.BPF_FUNC_map_peek_elem, U.BPF_FUNC_map_push_elem]],
]);

const OUTPUTS = [U.BPF_MAP_TYPE_PERF_EVENT_ARRAY];
const RINGBUF = [U.BPF_MAP_TYPE_RINGBUF];
const SOCKMAP = [U.BPF_MAP_TYPE_SOCKMAP];
const SOCKHASH = [U.BPF_MAP_TYPE_SOCKHASH];

/** Map types that a helper is good for; helpers that are not listed take any. */
const MAPS_OF_FUNC: ReadonlyMap<number, readonly number[]> = new Map<number, readonly number[]>([
  [U.BPF_FUNC_tail_call, [U.BPF_MAP_TYPE_PROG_ARRAY]],
  [U.BPF_FUNC_perf_event_read, OUTPUTS],
  [U.BPF_FUNC_perf_event_output, OUTPUTS],
  [U.BPF_FUNC_perf_event_read_value, OUTPUTS],
  [U.BPF_FUNC_skb_output, OUTPUTS],
  [U.BPF_FUNC_xdp_output, OUTPUTS],
  [U.BPF_FUNC_ringbuf_output, RINGBUF],
  [U.BPF_FUNC_ringbuf_reserve, RINGBUF],
  [U.BPF_FUNC_ringbuf_query, RINGBUF],
  [U.BPF_FUNC_ringbuf_reserve_dynptr, RINGBUF],
  [U.BPF_FUNC_ringbuf_submit_dynptr, RINGBUF],
  [U.BPF_FUNC_ringbuf_discard_dynptr, RINGBUF],
  [U.BPF_FUNC_user_ringbuf_drain, [U.BPF_MAP_TYPE_USER_RINGBUF]],
  [U.BPF_FUNC_get_stackid, [U.BPF_MAP_TYPE_STACK_TRACE]],
  [U.BPF_FUNC_current_task_under_cgroup, [U.BPF_MAP_TYPE_CGROUP_ARRAY]],
  [U.BPF_FUNC_skb_under_cgroup, [U.BPF_MAP_TYPE_CGROUP_ARRAY]],
  [
    U.BPF_FUNC_redirect_map,
    [U.BPF_MAP_TYPE_DEVMAP, U.BPF_MAP_TYPE_DEVMAP_HASH, U.BPF_MAP_TYPE_CPUMAP, U.BPF_MAP_TYPE_XSKMAP],
  ],
  [U.BPF_FUNC_sk_redirect_map, SOCKMAP],
  [U.BPF_FUNC_msg_redirect_map, SOCKMAP],
  [U.BPF_FUNC_sock_map_update, SOCKMAP],
  [U.BPF_FUNC_sk_redirect_hash, SOCKHASH],
  [U.BPF_FUNC_msg_redirect_hash, SOCKHASH],
  [U.BPF_FUNC_sock_hash_update, SOCKHASH],
  [U.BPF_FUNC_get_local_storage, [U.BPF_MAP_TYPE_CGROUP_STORAGE, U.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE]],
  [
    U.BPF_FUNC_sk_select_reuseport,
    [U.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, U.BPF_MAP_TYPE_SOCKMAP, U.BPF_MAP_TYPE_SOCKHASH],
  ],
  [U.BPF_FUNC_map_pop_elem, [U.BPF_MAP_TYPE_QUEUE, U.BPF_MAP_TYPE_STACK]],
  [U.BPF_FUNC_map_peek_elem, [U.BPF_MAP_TYPE_QUEUE, U.BPF_MAP_TYPE_STACK, U.BPF_MAP_TYPE_BLOOM_FILTER]],
  [U.BPF_FUNC_map_push_elem, [U.BPF_MAP_TYPE_QUEUE, U.BPF_MAP_TYPE_STACK, U.BPF_MAP_TYPE_BLOOM_FILTER]],
  [
    U.BPF_FUNC_map_lookup_percpu_elem,
    [U.BPF_MAP_TYPE_PERCPU_ARRAY, U.BPF_MAP_TYPE_PERCPU_HASH, U.BPF_MAP_TYPE_LRU_PERCPU_HASH],
  ],
  [U.BPF_FUNC_sk_storage_get, [U.BPF_MAP_TYPE_SK_STORAGE]],
  [U.BPF_FUNC_sk_storage_delete, [U.BPF_MAP_TYPE_SK_STORAGE]],
  [U.BPF_FUNC_inode_storage_get, [U.BPF_MAP_TYPE_INODE_STORAGE]],
  [U.BPF_FUNC_inode_storage_delete, [U.BPF_MAP_TYPE_INODE_STORAGE]],
  [U.BPF_FUNC_task_storage_get, [U.BPF_MAP_TYPE_TASK_STORAGE]],
  [U.BPF_FUNC_task_storage_delete, [U.BPF_MAP_TYPE_TASK_STORAGE]],
  [U.BPF_FUNC_cgrp_storage_get, [U.BPF_MAP_TYPE_CGRP_STORAGE]],
  [U.BPF_FUNC_cgrp_storage_delete, [U.BPF_MAP_TYPE_CGRP_STORAGE]],
]);

const SOCKMAP_UPDATERS: ReadonlySet<number> = new Set([
  U.BPF_PROG_TYPE_SOCKET_FILTER,
  U.BPF_PROG_TYPE_SCHED_CLS,
  U.BPF_PROG_TYPE_SCHED_ACT,
  U.BPF_PROG_TYPE_XDP,
  U.BPF_PROG_TYPE_SK_REUSEPORT,
  U.BPF_PROG_TYPE_FLOW_DISSECTOR,
  U.BPF_PROG_TYPE_SK_LOOKUP,
]);

/** Only where no lock of the socket can be held: may_update_sockmap(). */
function mayUpdateSockmap(env: Env, func: number): boolean {
  if (func !== U.BPF_FUNC_map_update_elem && func !== U.BPF_FUNC_map_delete_elem) return false;
  const type = env.resolvedProgType;
  if (SOCKMAP_UPDATERS.has(type)) return true;
  if (type === U.BPF_PROG_TYPE_TRACING && env.expectedAttachType === U.BPF_TRACE_ITER) return true;
  if (type === U.BPF_PROG_TYPE_SOCK_OPS && func === U.BPF_FUNC_map_delete_elem) return true;
  env.verbose("cannot update sockmap in this context\n");
  return false;
}

export function checkMapFuncCompatibility(env: Env, map: MapDescription | null, func: number): void {
  if (map === null) return;
  const funcs = FUNCS_OF_MAP.get(map.type);
  const sock = map.type === U.BPF_MAP_TYPE_SOCKMAP || map.type === U.BPF_MAP_TYPE_SOCKHASH;
  const forMap = funcs === undefined || funcs.includes(func) || (sock && mayUpdateSockmap(env, func));
  const forFunc = MAPS_OF_FUNC.get(func)?.includes(map.type) ?? true;
  if (!forMap || !forFunc)
    env.reject(
      U.EINVAL,
      `cannot pass map_type ${map.type} into func ${env.profile.helperName(func)}#${func}`,
    );
}
