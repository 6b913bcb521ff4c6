// Helper id -> implementation. What is not here is refused when a program is loaded, by name.
import { HELPER_PROTOS } from "../uapi/index.ts";
import type { HelperBinding } from "../vm/index.ts";
import { CallFrame, type HelperHost } from "./host.ts";
import * as net from "./net.ts";
import * as strings from "./strings.ts";
import * as task from "./task.ts";
import * as time from "./time.ts";
import * as trace from "./trace.ts";

/** Its value is r0. */
type JsHelper = (host: HelperHost, frame: CallFrame) => number | bigint;

/** Exports of the core module under the helper's own name; the ones of maps among them. */
const CORE: readonly string[] = [
  "bpf_map_lookup_elem",
  "bpf_map_update_elem",
  "bpf_map_delete_elem",
  "bpf_map_push_elem",
  "bpf_map_pop_elem",
  "bpf_map_peek_elem",
  "bpf_map_lookup_percpu_elem",
  "bpf_for_each_map_elem",
  "bpf_ringbuf_output",
  "bpf_ringbuf_reserve",
  "bpf_ringbuf_submit",
  "bpf_ringbuf_discard",
  "bpf_ringbuf_query",
  "bpf_perf_event_output",
  "bpf_get_prandom_u32",
  "bpf_get_smp_processor_id",
  "bpf_get_numa_node_id",
  "bpf_loop",
  "bpf_strncmp",
  "bpf_probe_read",
  "bpf_probe_read_str",
  "bpf_probe_read_kernel",
  "bpf_probe_read_kernel_str",
  "bpf_probe_read_user",
  "bpf_probe_read_user_str",
  "bpf_skb_store_bytes",
  "bpf_skb_load_bytes",
  "bpf_skb_load_bytes_relative",
  "bpf_skb_pull_data",
  "bpf_l3_csum_replace",
  "bpf_l4_csum_replace",
  "bpf_csum_diff",
  "bpf_csum_update",
  "bpf_csum_level",
  "bpf_skb_change_proto",
  "bpf_skb_change_type",
  "bpf_skb_change_tail",
  "bpf_skb_change_head",
  "bpf_skb_adjust_room",
  "bpf_skb_vlan_push",
  "bpf_skb_vlan_pop",
  "bpf_skb_ecn_set_ce",
  "bpf_redirect",
  "bpf_redirect_peer",
  "bpf_redirect_neigh",
  "bpf_xdp_adjust_head",
  "bpf_xdp_adjust_meta",
  "bpf_xdp_adjust_tail",
  "bpf_xdp_get_buff_len",
  "bpf_xdp_load_bytes",
  "bpf_xdp_store_bytes",
];

/** Helpers that are another one under a second name. */
const ALIASES: Readonly<Record<string, string>> = {
  bpf_copy_from_user: "bpf_probe_read_user",
};

const CALLS_BACK: ReadonlySet<string> = new Set(["bpf_loop", "bpf_for_each_map_elem"]);

const JS: Readonly<Record<string, JsHelper>> = {
  bpf_ktime_get_ns: time.ktimeGetNs,
  bpf_ktime_get_boot_ns: time.ktimeGetNs,
  bpf_ktime_get_coarse_ns: time.ktimeGetCoarseNs,
  bpf_ktime_get_tai_ns: time.ktimeGetTaiNs,
  bpf_jiffies64: time.jiffies64,
  bpf_trace_printk: trace.tracePrintk,
  bpf_trace_vprintk: trace.traceVprintk,
  bpf_snprintf: trace.snprintf,
  bpf_strtol: strings.strtol,
  bpf_strtoul: strings.strtoul,
  bpf_get_current_pid_tgid: task.getCurrentPidTgid,
  bpf_get_current_uid_gid: task.getCurrentUidGid,
  bpf_get_current_comm: task.getCurrentComm,
  bpf_get_current_cgroup_id: task.getCurrentCgroupId,
  bpf_get_current_ancestor_cgroup_id: task.getCurrentAncestorCgroupId,
  bpf_get_ns_current_pid_tgid: task.getNsCurrentPidTgid,
  bpf_get_socket_cookie: net.getSocketCookie,
  bpf_get_netns_cookie: net.getNetnsCookie,
  bpf_get_socket_uid: net.getSocketUid,
  bpf_get_cgroup_classid: net.zero,
  bpf_skb_cgroup_classid: net.zero,
  bpf_get_route_realm: net.zero,
  bpf_skb_cgroup_id: net.skbCgroupId,
  bpf_sk_fullsock: net.skFullsock,
  bpf_tcp_sock: net.zero,
  bpf_get_listener_sock: net.zero,
  bpf_sk_lookup_tcp: net.skLookup,
  bpf_sk_lookup_udp: net.skLookup,
  bpf_skc_lookup_tcp: net.skLookup,
  bpf_sk_release: net.zero,
  bpf_skc_to_tcp6_sock: net.zero,
  bpf_skc_to_tcp_sock: net.zero,
  bpf_skc_to_tcp_timewait_sock: net.zero,
  bpf_skc_to_tcp_request_sock: net.zero,
  bpf_skc_to_udp6_sock: net.zero,
  bpf_skc_to_unix_sock: net.zero,
  bpf_skc_to_mptcp_sock: net.zero,
  bpf_set_hash: net.setHash,
  bpf_set_hash_invalid: net.setHashInvalid,
  bpf_get_hash_recalc: net.getHashRecalc,
  bpf_skb_set_tstamp: net.skbSetTstamp,
  bpf_skb_get_tunnel_key: net.skbGetTunnelKey,
  bpf_skb_set_tunnel_key: net.skbSetTunnelKey,
  bpf_fib_lookup: net.fibLookup,
  bpf_clone_redirect: net.cloneRedirect,
  bpf_redirect_map: net.redirectMap,
  bpf_spin_lock: net.zero,
  bpf_spin_unlock: net.zero,
};

const IDS: ReadonlyMap<string, number> = new Map(HELPER_PROTOS.map((proto) => [proto.name, proto.id]));
const HELPER_CHECK_MTU = IDS.get("bpf_check_mtu")!;
const BPF_PROG_TYPE_XDP = 6;

/** Number of arguments; a variadic helper takes five. */
function nargs(id: number): number {
  const args = HELPER_PROTOS[id]!.args;
  return args.includes("...") ? 5 : args.length;
}

/** The helpers of one kernel: `(id, prog_type) -> binding`, undefined where there is none. */
export class HelperTable {
  readonly #bindings: (HelperBinding | undefined)[] = [];
  readonly #xdpCheckMtu: HelperBinding;

  constructor(host: HelperHost) {
    const frame = new CallFrame(host.space);
    const js = (id: number, fn: JsHelper): HelperBinding => ({
      kind: "js",
      name: HELPER_PROTOS[id]!.name,
      nargs: nargs(id),
      fn: (cpuBlock) => {
        frame.enter(cpuBlock);
        frame.result(fn(host, frame));
      },
    });
    const core = (name: string, target: string): void => {
      const id = IDS.get(name)!;
      // A core of another build may lack one: then the program that wants it is refused like any other.
      if (host.space.core[target] === undefined) return;
      this.#bindings[id] = {
        kind: "core",
        name: target,
        nargs: nargs(id),
        ...(CALLS_BACK.has(name) ? { callsBack: true } : {}),
      };
    };
    for (const name of CORE) core(name, name);
    for (const [name, target] of Object.entries(ALIASES)) core(name, target);
    for (const [name, fn] of Object.entries(JS)) {
      const id = IDS.get(name)!;
      this.#bindings[id] = js(id, fn);
    }
    this.#bindings[HELPER_CHECK_MTU] = js(HELPER_CHECK_MTU, net.skbCheckMtu);
    this.#xdpCheckMtu = js(HELPER_CHECK_MTU, net.xdpCheckMtu);
  }

  find(id: number, progType: number): HelperBinding | undefined {
    if (id === HELPER_CHECK_MTU && progType === BPF_PROG_TYPE_XDP) return this.#xdpCheckMtu;
    return this.#bindings[id];
  }

  /** Names of all helpers that this kernel has. */
  names(): string[] {
    return this.#bindings.flatMap((binding, id) => (binding ? [HELPER_PROTOS[id]!.name] : []));
  }
}
