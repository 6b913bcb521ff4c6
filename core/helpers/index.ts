export { bpf_loop } from "./loop";
export {
  bpf_probe_read,
  bpf_probe_read_kernel,
  bpf_probe_read_kernel_str,
  bpf_probe_read_str,
  bpf_probe_read_user,
  bpf_probe_read_user_str,
  bpf_strncmp,
} from "./memory";
export { bpf_get_numa_node_id, bpf_get_prandom_u32, bpf_get_smp_processor_id } from "./random";
export { bpf_redirect, bpf_redirect_neigh, bpf_redirect_peer } from "./redirect";
export {
  bpf_skb_load_bytes,
  bpf_skb_load_bytes_relative,
  bpf_skb_pull_data,
  bpf_skb_store_bytes,
  skb_place,
} from "./skb";
export {
  bpf_csum_diff,
  bpf_csum_level,
  bpf_csum_update,
  bpf_l3_csum_replace,
  bpf_l4_csum_replace,
  csum_partial,
} from "./skb-csum";
export {
  bpf_skb_adjust_room,
  bpf_skb_change_head,
  bpf_skb_change_proto,
  bpf_skb_change_tail,
  bpf_skb_change_type,
  bpf_skb_ecn_set_ce,
  bpf_skb_vlan_pop,
  bpf_skb_vlan_push,
} from "./skb-room";
export {
  bpf_xdp_adjust_head,
  bpf_xdp_adjust_meta,
  bpf_xdp_adjust_tail,
  bpf_xdp_get_buff_len,
  bpf_xdp_load_bytes,
  bpf_xdp_store_bytes,
  xdp_place,
} from "./xdp";
