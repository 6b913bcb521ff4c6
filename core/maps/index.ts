// What maps offer to programs, to engines that know a map's type, and to src/maps.
export {
  array_lookup,
  array_of_maps_lookup,
  array_paint,
  array_percpu_lookup,
  array_percpu_update,
  array_update,
} from "./array";
export { bloom_peek } from "./bloom";
export { bpf_for_each_map_elem } from "./for-each";
export {
  htab_delete,
  htab_find,
  htab_free,
  htab_init,
  htab_lookup,
  htab_lookup_4,
  htab_lookup_8,
  htab_next,
  htab_of_maps_lookup,
  htab_percpu_lookup,
  htab_percpu_update,
  htab_update,
  htab_update_4,
  htab_update_8,
} from "./hash";
export {
  bpf_map_delete_elem,
  bpf_map_lookup_elem,
  bpf_map_lookup_percpu_elem,
  bpf_map_peek_elem,
  bpf_map_pop_elem,
  bpf_map_push_elem,
  bpf_map_update_elem,
} from "./helpers";
export { lpm_delete, lpm_lookup, lpm_next, lpm_update } from "./lpm";
export { htab_lru_lookup, htab_lru_percpu_lookup, htab_lru_percpu_update, htab_lru_update } from "./lru";
export { bpf_perf_event_output } from "./perf";
export { poolFree as pool_free } from "./pool";
export { queue_get } from "./queue-stack";
export { map_register, map_unregister } from "./registry";
export {
  bpf_ringbuf_discard,
  bpf_ringbuf_output,
  bpf_ringbuf_query,
  bpf_ringbuf_reserve,
  bpf_ringbuf_submit,
} from "./ringbuf";
export { map_sys_update } from "./syscall";
