/** What is special about some helpers, as sets of ids. */
import * as U from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import type { MapDescription } from "../map-description.ts";

/** The packet may have moved afterwards: bpf_helper_changes_pkt_data(). */
const CHANGES_PACKET: ReadonlySet<number> = new Set([
  U.BPF_FUNC_clone_redirect,
  U.BPF_FUNC_l3_csum_replace,
  U.BPF_FUNC_l4_csum_replace,
  U.BPF_FUNC_lwt_push_encap,
  U.BPF_FUNC_lwt_seg6_action,
  U.BPF_FUNC_lwt_seg6_adjust_srh,
  U.BPF_FUNC_lwt_seg6_store_bytes,
  U.BPF_FUNC_msg_pop_data,
  U.BPF_FUNC_msg_pull_data,
  U.BPF_FUNC_msg_push_data,
  U.BPF_FUNC_skb_adjust_room,
  U.BPF_FUNC_skb_change_head,
  U.BPF_FUNC_skb_change_proto,
  U.BPF_FUNC_skb_change_tail,
  U.BPF_FUNC_skb_pull_data,
  U.BPF_FUNC_skb_store_bytes,
  U.BPF_FUNC_skb_vlan_pop,
  U.BPF_FUNC_skb_vlan_push,
  U.BPF_FUNC_store_hdr_opt,
  U.BPF_FUNC_xdp_adjust_head,
  U.BPF_FUNC_xdp_adjust_meta,
  U.BPF_FUNC_xdp_adjust_tail,
]);

export function changesPacket(env: Env, func: number): boolean {
  // Whatever a tail call goes to could call any of them.
  if (func === U.BPF_FUNC_tail_call) return env.profile.rules.has("tail-call-changes-packet");
  return CHANGES_PACKET.has(func);
}

/** is_ptr_cast_function(). */
export const POINTER_CASTS: ReadonlySet<number> = new Set([
  U.BPF_FUNC_tcp_sock,
  U.BPF_FUNC_sk_fullsock,
  U.BPF_FUNC_skc_to_tcp_sock,
  U.BPF_FUNC_skc_to_tcp6_sock,
  U.BPF_FUNC_skc_to_udp6_sock,
  U.BPF_FUNC_skc_to_mptcp_sock,
  U.BPF_FUNC_skc_to_tcp_timewait_sock,
  U.BPF_FUNC_skc_to_tcp_request_sock,
]);

const ACQUIRES: ReadonlySet<number> = new Set([
  U.BPF_FUNC_sk_lookup_tcp,
  U.BPF_FUNC_sk_lookup_udp,
  U.BPF_FUNC_skc_lookup_tcp,
  U.BPF_FUNC_ringbuf_reserve,
  U.BPF_FUNC_kptr_xchg,
]);

/** The result is a reference: is_acquire_function(). */
export function acquires(func: number, map: MapDescription | null): boolean {
  if (ACQUIRES.has(func)) return true;
  return (
    func === U.BPF_FUNC_map_lookup_elem &&
    map !== null &&
    (map.type === U.BPF_MAP_TYPE_SOCKMAP || map.type === U.BPF_MAP_TYPE_SOCKHASH)
  );
}

/** is_storage_get_function(). */
export const STORAGE_GETS: ReadonlySet<number> = new Set([
  U.BPF_FUNC_sk_storage_get,
  U.BPF_FUNC_inode_storage_get,
  U.BPF_FUNC_task_storage_get,
  U.BPF_FUNC_cgrp_storage_get,
]);

/** Helpers that call back before they return, and later. is_callback_calling_function(). */
export const SYNC_CALLBACKS: ReadonlySet<number> = new Set([
  U.BPF_FUNC_for_each_map_elem,
  U.BPF_FUNC_find_vma,
  U.BPF_FUNC_loop,
  U.BPF_FUNC_user_ringbuf_drain,
]);
export const ASYNC_CALLBACKS: ReadonlySet<number> = new Set([U.BPF_FUNC_timer_set_callback]);

/** Helpers whose map must be the same on every path, and writable for some: record_func_map(). */
export const RECORDS_MAP: ReadonlySet<number> = new Set([
  U.BPF_FUNC_tail_call,
  U.BPF_FUNC_map_lookup_elem,
  U.BPF_FUNC_map_update_elem,
  U.BPF_FUNC_map_delete_elem,
  U.BPF_FUNC_map_push_elem,
  U.BPF_FUNC_map_pop_elem,
  U.BPF_FUNC_map_peek_elem,
  U.BPF_FUNC_for_each_map_elem,
  U.BPF_FUNC_redirect_map,
  U.BPF_FUNC_map_lookup_percpu_elem,
]);
export const WRITES_MAP: ReadonlySet<number> = new Set([
  U.BPF_FUNC_map_delete_elem,
  U.BPF_FUNC_map_update_elem,
  U.BPF_FUNC_map_push_elem,
  U.BPF_FUNC_map_pop_elem,
]);

/** The result is at most the size argument, and an errno at least: do_refine_retval_range(). */
export const RETURNS_SIZE: ReadonlySet<number> = new Set([
  U.BPF_FUNC_get_stack,
  U.BPF_FUNC_get_task_stack,
  U.BPF_FUNC_probe_read_str,
  U.BPF_FUNC_probe_read_kernel_str,
  U.BPF_FUNC_probe_read_user_str,
]);

/** Who may call a helper whose prototype names an `allowed` function. */
export function isAllowed(env: Env, rule: string): boolean {
  const attached = env.attachFunc?.name ?? "";
  const tracing = env.progType === U.BPF_PROG_TYPE_TRACING;
  switch (rule) {
    case "bpf_d_path_allowed":
      if (tracing && env.expectedAttachType === U.BPF_TRACE_ITER) return true;
      if (env.progType === U.BPF_PROG_TYPE_LSM)
        return env.profile.btfIdSet("sleepable_lsm_hooks").has(attached);
      return env.profile.btfIdSet("btf_allowlist_d_path").has(attached);
    case "bpf_ima_inode_hash_allowed":
      return env.profile.btfIdSet("sleepable_lsm_hooks").has(attached);
    case "bpf_sk_storage_tracing_allowed":
      if (env.input.attach?.program !== null && env.input.attach !== null) return false;
      switch (env.expectedAttachType) {
        case U.BPF_TRACE_ITER:
        case U.BPF_TRACE_RAW_TP:
          return true;
        case U.BPF_TRACE_FENTRY:
        case U.BPF_TRACE_FEXIT:
          return !attached.startsWith("bpf_sk_storage");
      }
      return false;
  }
  return true;
}
