/** What kind of call or jump an instruction is: bpf_pseudo_call(), is_sync_callback_calling_insn() and their kin. */
import type { Slots } from "../../asm/index.ts";
import { BTF_KIND_FUNC, type Btf } from "../../btf/index.ts";
import {
  BPF_CALL,
  BPF_DW,
  BPF_FUNC_clone_redirect,
  BPF_FUNC_find_vma,
  BPF_FUNC_for_each_map_elem,
  BPF_FUNC_l3_csum_replace,
  BPF_FUNC_l4_csum_replace,
  BPF_FUNC_loop,
  BPF_FUNC_lwt_push_encap,
  BPF_FUNC_lwt_seg6_action,
  BPF_FUNC_lwt_seg6_adjust_srh,
  BPF_FUNC_lwt_seg6_store_bytes,
  BPF_FUNC_msg_pop_data,
  BPF_FUNC_msg_pull_data,
  BPF_FUNC_msg_push_data,
  BPF_FUNC_skb_adjust_room,
  BPF_FUNC_skb_change_head,
  BPF_FUNC_skb_change_proto,
  BPF_FUNC_skb_change_tail,
  BPF_FUNC_skb_pull_data,
  BPF_FUNC_skb_store_bytes,
  BPF_FUNC_skb_vlan_pop,
  BPF_FUNC_skb_vlan_push,
  BPF_FUNC_store_hdr_opt,
  BPF_FUNC_tail_call,
  BPF_FUNC_timer_set_callback,
  BPF_FUNC_user_ringbuf_drain,
  BPF_FUNC_xdp_adjust_head,
  BPF_FUNC_xdp_adjust_meta,
  BPF_FUNC_xdp_adjust_tail,
  BPF_IMM,
  BPF_JCOND,
  BPF_JMP,
  BPF_LD,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
} from "../../uapi/index.ts";
import type { Env } from "../env.ts";

const CALL = BPF_JMP | BPF_CALL;
const LD_IMM64 = BPF_LD | BPF_IMM | BPF_DW;

export function isHelperCall(s: Slots, i: number): boolean {
  return s.op[i] === CALL && s.src[i] === 0;
}

export function isPseudoCall(s: Slots, i: number): boolean {
  return s.op[i] === CALL && s.src[i] === BPF_PSEUDO_CALL;
}

export function isKfuncCall(s: Slots, i: number): boolean {
  return s.op[i] === CALL && s.src[i] === BPF_PSEUDO_KFUNC_CALL;
}

/** LD_IMM64 of a function's address. */
export function isPseudoFunc(s: Slots, i: number): boolean {
  return s.op[i] === LD_IMM64 && s.src[i] === BPF_PSEUDO_FUNC;
}

export function isMayGoto(s: Slots, i: number): boolean {
  return s.op[i] === (BPF_JMP | BPF_JCOND);
}

/** The BTF that the kfunc call at `i` indexes, or null. */
export function kfuncBtf(env: Env, i: number): Btf | null {
  const off = env.slots.off[i]!;
  return off === 0 ? env.kernelBtf : (env.input.moduleBtfs?.[off] ?? null);
}

/** Name of the kfunc called at `i`; "" where its BTF does not know it. */
export function kfuncName(env: Env, i: number): string {
  const btf = kfuncBtf(env, i);
  const id = env.slots.imm[i]!;
  if (btf === null || id <= 0 || id >= btf.typeCount) return "";
  return btf.kind(id) === BTF_KIND_FUNC ? btf.typeName(id) : "";
}

const SYNC_CALLBACK_HELPERS: ReadonlySet<number> = new Set([
  BPF_FUNC_for_each_map_elem,
  BPF_FUNC_find_vma,
  BPF_FUNC_loop,
  BPF_FUNC_user_ringbuf_drain,
]);
const SYNC_CALLBACK_KFUNCS: ReadonlySet<string> = new Set(["bpf_rbtree_add_impl"]);
const ASYNC_CALLBACK_KFUNCS: ReadonlySet<string> = new Set([
  "bpf_wq_set_callback_impl",
  "bpf_task_work_schedule_signal_impl",
  "bpf_task_work_schedule_resume_impl",
  "bpf_task_work_schedule_signal",
  "bpf_task_work_schedule_resume",
]);

/** The call runs a callback before it returns. */
export function callsSyncCallback(env: Env, i: number): boolean {
  const { slots } = env;
  if (isHelperCall(slots, i)) return SYNC_CALLBACK_HELPERS.has(slots.imm[i]!);
  return isKfuncCall(slots, i) && SYNC_CALLBACK_KFUNCS.has(kfuncName(env, i));
}

/** The call arranges for a callback to run later. */
export function callsAsyncCallback(env: Env, i: number): boolean {
  const { slots } = env;
  if (isHelperCall(slots, i)) return slots.imm[i] === BPF_FUNC_timer_set_callback;
  return isKfuncCall(slots, i) && ASYNC_CALLBACK_KFUNCS.has(kfuncName(env, i));
}

export function isThrowCall(env: Env, i: number): boolean {
  return isKfuncCall(env.slots, i) && kfuncName(env, i) === "bpf_throw";
}

/** After these, packet pointers point nowhere: bpf_helper_changes_pkt_data(). */
const CHANGES_PKT_DATA: ReadonlySet<number> = new Set([
  BPF_FUNC_clone_redirect,
  BPF_FUNC_l3_csum_replace,
  BPF_FUNC_l4_csum_replace,
  BPF_FUNC_lwt_push_encap,
  BPF_FUNC_lwt_seg6_action,
  BPF_FUNC_lwt_seg6_adjust_srh,
  BPF_FUNC_lwt_seg6_store_bytes,
  BPF_FUNC_msg_pop_data,
  BPF_FUNC_msg_pull_data,
  BPF_FUNC_msg_push_data,
  BPF_FUNC_skb_adjust_room,
  BPF_FUNC_skb_change_head,
  BPF_FUNC_skb_change_proto,
  BPF_FUNC_skb_change_tail,
  BPF_FUNC_skb_pull_data,
  BPF_FUNC_skb_store_bytes,
  BPF_FUNC_skb_vlan_pop,
  BPF_FUNC_skb_vlan_push,
  BPF_FUNC_store_hdr_opt,
  BPF_FUNC_xdp_adjust_head,
  BPF_FUNC_xdp_adjust_meta,
  BPF_FUNC_xdp_adjust_tail,
  BPF_FUNC_tail_call,
]);

export function helperChangesPktData(id: number): boolean {
  return CHANGES_PKT_DATA.has(id);
}

/** Kfuncs that do: is_kfunc_pkt_changing(). */
export function kfuncChangesPktData(name: string): boolean {
  return name === "bpf_xdp_pull_data";
}
