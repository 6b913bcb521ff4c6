/** struct __sk_buff by program type: bpf_skb_is_valid_access() and the functions that narrow it. */

import {
  PTR_MAYBE_NULL,
  PTR_TO_FLOW_KEYS,
  PTR_TO_PACKET,
  PTR_TO_PACKET_END,
  PTR_TO_PACKET_META,
  PTR_TO_SOCK_COMMON,
} from "../state/reg-type.ts";
import { type Field, fixed, narrow, pointer } from "./ctx-fields.ts";

interface Parts {
  /** Writable fields. */
  readonly write: readonly string[];
  /** Fields that the program type does not have. */
  readonly without: readonly string[];
  /** Whether `data` and `data_end` are pointers; else they are not readable. */
  readonly packet: boolean;
}

/** name, first byte, one past the last. All four bytes wide, and readable in part. */
const PLAIN: readonly (readonly [string, number, number])[] = [
  ["len", 0, 4],
  ["pkt_type", 4, 8],
  ["mark", 8, 12],
  ["queue_mapping", 12, 16],
  ["protocol", 16, 20],
  ["vlan", 20, 32],
  ["priority", 32, 36],
  ["ifindex", 36, 44],
  ["tc_index", 44, 48],
  ["hash", 68, 72],
  ["tc_classid", 72, 76],
  ["napi_id", 84, 88],
  ["wire_len", 160, 164],
  ["gso_segs", 164, 168],
  ["gso_size", 176, 180],
];

function skb(parts: Parts): readonly Field[] {
  const has = (name: string): boolean => !parts.without.includes(name);
  const writable = (name: string, sizes: number): number => (parts.write.includes(name) ? sizes : 0);
  const fields: Field[] = [];
  for (const [name, at, end] of PLAIN)
    if (has(name)) fields.push(narrow(at, end, 4, { write: writable(name, 4) }));
  // cb[5]: any size that stays inside, eight bytes at multiples of eight.
  fields.push(
    fixed(48, 64, 15, { write: writable("cb", 15) }),
    fixed(64, 68, 7, { write: writable("cb", 7) }),
  );
  if (parts.packet) fields.push(pointer(76, 4, PTR_TO_PACKET), pointer(80, 4, PTR_TO_PACKET_END));
  if (has("sk_fields")) {
    fields.push(narrow(88, 92, 4), fixed(92, 132, 4), narrow(132, 140, 4));
  }
  if (has("data_meta")) fields.push(pointer(140, 4, PTR_TO_PACKET_META));
  if (has("tstamp")) fields.push(fixed(152, 160, 8, { write: writable("tstamp", 8) }));
  if (has("sk")) fields.push(fixed(168, 176, 8, { regType: PTR_TO_SOCK_COMMON | PTR_MAYBE_NULL }));
  if (has("hwtstamp")) fields.push(fixed(184, 192, 8));
  if (!has("no_tstamp_type")) fields.push(fixed(180, 181, 1));
  return fields;
}

/** `no_tstamp_type` stands for the one field that only TC has. */
export const SOCKET_FILTER: readonly Field[] = skb({
  write: ["cb"],
  without: ["tc_classid", "data_meta", "sk_fields", "tstamp", "wire_len", "hwtstamp"],
  packet: false,
});
export const CGROUP_SKB: readonly Field[] = skb({
  write: ["mark", "priority", "cb", "tstamp"],
  without: ["tc_classid", "data_meta", "wire_len"],
  packet: true,
});
/** Without CAP_BPF: no packet, and the time stamp is read-only. */
export const CGROUP_SKB_UNPRIV: readonly Field[] = skb({
  write: ["mark", "priority", "cb"],
  without: ["tc_classid", "data_meta", "wire_len"],
  packet: false,
});
export const LWT: readonly Field[] = skb({
  write: ["mark", "priority", "cb"],
  without: ["tc_classid", "sk_fields", "data_meta", "tstamp", "wire_len", "hwtstamp"],
  packet: true,
});
export const TC: readonly Field[] = skb({
  write: ["mark", "tc_index", "priority", "tc_classid", "cb", "tstamp", "queue_mapping"],
  without: ["sk_fields", "no_tstamp_type"],
  packet: true,
});
export const SK_SKB: readonly Field[] = skb({
  write: ["tc_index", "priority"],
  without: ["tc_classid", "data_meta", "tstamp", "wire_len", "hwtstamp", "mark"],
  packet: true,
});
export const FLOW_DISSECTOR: readonly Field[] = [
  pointer(76, 4, PTR_TO_PACKET),
  pointer(80, 4, PTR_TO_PACKET_END),
  fixed(144, 152, 8, { regType: PTR_TO_FLOW_KEYS }),
];
