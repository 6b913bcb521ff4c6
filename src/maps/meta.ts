// bpf_map_meta_equal and array_map_meta_equal (kernel/bpf/map_in_map.c, arraymap.c).
import { BPF_F_INNER_MAP, BPF_MAP_TYPE_ARRAY } from "../uapi/index.ts";

/** What a map of maps remembers of its template. */
export interface MapMeta {
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

/** May `map` stand where `template` was? max_entries counts for arrays only, unless BPF_F_INNER_MAP says otherwise. */
export function metaEqual(template: MapMeta, map: MapMeta): boolean {
  if (
    template.type !== map.type ||
    template.keySize !== map.keySize ||
    template.valueSize !== map.valueSize ||
    template.flags !== map.flags
  )
    return false;
  if (template.type !== BPF_MAP_TYPE_ARRAY || template.flags & BPF_F_INNER_MAP) return true;
  return template.maxEntries === map.maxEntries;
}
