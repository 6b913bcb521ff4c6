/** How messages and the log name what registers hold. */
import type { Btf } from "../../btf/index.ts";
import {
  baseType,
  MEM_PERCPU,
  MEM_RCU,
  MEM_RDONLY,
  MEM_RINGBUF,
  MEM_USER,
  PTR_MAYBE_NULL,
  PTR_TO_BTF_ID,
  PTR_TRUSTED,
  PTR_UNTRUSTED,
} from "../state/reg-type.ts";

/** By base type, in the order of reg-type.ts. */
const BASE_NAMES: readonly string[] = [
  "?",
  "scalar",
  "ctx",
  "map_ptr",
  "map_value",
  "map_key",
  "fp",
  "pkt_meta",
  "pkt",
  "pkt_end",
  "flow_keys",
  "sock",
  "sock_common",
  "tcp_sock",
  "tp_buffer",
  "xdp_sock",
  "ptr_",
  "mem",
  "arena",
  "buf",
  "func",
  "dynptr_ptr",
  "insn",
];

const PREFIXES: readonly (readonly [number, string])[] = [
  [MEM_RDONLY, "rdonly_"],
  [MEM_RINGBUF, "ringbuf_"],
  [MEM_USER, "user_"],
  [MEM_PERCPU, "percpu_"],
  [MEM_RCU, "rcu_"],
  [PTR_UNTRUSTED, "untrusted_"],
  [PTR_TRUSTED, "trusted_"],
];

/** reg_type_str(): "map_value_or_null", "trusted_ptr_or_null_"... */
export function regTypeStr(type: number): string {
  let text = "";
  for (const [flag, name] of PREFIXES) if ((type & flag) !== 0) text += name;
  text += BASE_NAMES[baseType(type)] ?? "?";
  if ((type & PTR_MAYBE_NULL) !== 0) text += baseType(type) === PTR_TO_BTF_ID ? "or_null_" : "_or_null";
  return text;
}

/** enum bpf_dynptr_type. */
export const BPF_DYNPTR_TYPE_INVALID = 0;
export const BPF_DYNPTR_TYPE_LOCAL = 1;
export const BPF_DYNPTR_TYPE_RINGBUF = 2;
export const BPF_DYNPTR_TYPE_SKB = 3;
export const BPF_DYNPTR_TYPE_XDP = 4;
export const BPF_DYNPTR_TYPE_SKB_META = 5;
export const BPF_DYNPTR_TYPE_FILE = 6;

const DYNPTR_NAMES: readonly string[] = ["<invalid>", "local", "ringbuf", "skb", "xdp", "skb_meta", "file"];

/** dynptr_type_str(). */
export function dynptrTypeStr(type: number): string {
  return DYNPTR_NAMES[type] ?? "<unknown>";
}

/** enum bpf_iter_state. */
export const BPF_ITER_STATE_INVALID = 0;
export const BPF_ITER_STATE_ACTIVE = 1;
export const BPF_ITER_STATE_DRAINED = 2;

/** iter_state_str(). */
export function iterStateStr(state: number): string {
  return ["<invalid>", "active", "drained"][state] ?? "<unknown>";
}

/** iter_type_str(): the struct's name behind "bpf_iter_". */
export function iterTypeStr(btf: Btf | null, id: number): string {
  if (btf === null || id === 0) return "<invalid>";
  return btf.typeName(id).slice("bpf_iter_".length);
}
