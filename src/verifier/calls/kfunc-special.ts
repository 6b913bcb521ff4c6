/**
 * The kfuncs that the verifier knows by name: the one table of special treatment (special_kfunc_list). Everything else
 * about a kfunc comes from its BTF prototype, its parameters' suffixes and its KF_ flags.
 */

import { LOCK, LOCK_IRQ, RES_LOCK } from "../state/locks.ts";
import { DYNPTR_TYPE_SKB, DYNPTR_TYPE_SKB_META, DYNPTR_TYPE_XDP } from "../state/reg-type.ts";
import { setRbtreeAddCallback, setTaskWorkCallback, setTimerCallback } from "./callbacks.ts";
import type { SpecialKfunc } from "./kfunc-meta.ts";
import {
  returnCast,
  returnGraphNode,
  returnKernelContext,
  returnNewObject,
  returnSameObject,
  returnSlice,
} from "./kfunc-return.ts";

/** Who saved an IRQ state: local_irq_save() or a lock. */
export const IRQ_NATIVE = 1;
export const IRQ_LOCK = 2;

const res = (lock: boolean, irq: boolean): SpecialKfunc => ({
  lock: RES_LOCK | (lock ? LOCK : 0) | (irq ? LOCK_IRQ : 0),
  ...(irq ? { irq: { save: lock, by: IRQ_LOCK } } : {}),
});

export const SPECIAL_KFUNCS: ReadonlyMap<string, SpecialKfunc> = new Map<string, SpecialKfunc>([
  ["bpf_obj_new_impl", { returns: (env, meta) => returnNewObject(env, meta, false) }],
  ["bpf_percpu_obj_new_impl", { returns: (env, meta) => returnNewObject(env, meta, true) }],
  ["bpf_obj_drop_impl", { drops: "object" }],
  ["bpf_percpu_obj_drop_impl", { drops: "percpu" }],
  ["bpf_refcount_acquire_impl", { returns: returnSameObject }],
  ["bpf_list_push_front_impl", { graph: "list", node: "insert" }],
  ["bpf_list_push_back_impl", { graph: "list", node: "insert" }],
  ["bpf_list_pop_front", { graph: "list", returns: returnGraphNode }],
  ["bpf_list_pop_back", { graph: "list", returns: returnGraphNode }],
  ["bpf_list_front", { graph: "list", returns: returnGraphNode }],
  ["bpf_list_back", { graph: "list", returns: returnGraphNode }],
  ["bpf_rbtree_add_impl", { graph: "rbtree", node: "insert", callback: setRbtreeAddCallback }],
  ["bpf_rbtree_remove", { graph: "rbtree", node: "borrow", returns: returnGraphNode }],
  ["bpf_rbtree_first", { graph: "rbtree", returns: returnGraphNode }],
  ["bpf_rbtree_root", { graph: "rbtree", returns: returnGraphNode }],
  ["bpf_rbtree_left", { graph: "rbtree", node: "borrow", returns: returnGraphNode }],
  ["bpf_rbtree_right", { graph: "rbtree", node: "borrow", returns: returnGraphNode }],
  ["bpf_cast_to_kern_ctx", { takesContext: true, returns: returnKernelContext }],
  ["bpf_rdonly_cast", { returns: returnCast }],
  ["bpf_rcu_read_lock", { rcu: "lock" }],
  ["bpf_rcu_read_unlock", { rcu: "unlock" }],
  ["bpf_preempt_disable", { preempt: "disable" }],
  ["bpf_preempt_enable", { preempt: "enable" }],
  ["bpf_local_irq_save", { irq: { save: true, by: IRQ_NATIVE } }],
  ["bpf_local_irq_restore", { irq: { save: false, by: IRQ_NATIVE } }],
  ["bpf_res_spin_lock", res(true, false)],
  ["bpf_res_spin_unlock", res(false, false)],
  ["bpf_res_spin_lock_irqsave", res(true, true)],
  ["bpf_res_spin_unlock_irqrestore", res(false, true)],
  ["bpf_dynptr_from_skb", { dynptr: DYNPTR_TYPE_SKB }],
  ["bpf_dynptr_from_xdp", { dynptr: DYNPTR_TYPE_XDP }],
  ["bpf_dynptr_from_skb_meta", { dynptr: DYNPTR_TYPE_SKB_META }],
  ["bpf_dynptr_clone", { dynptr: "clone" }],
  ["bpf_dynptr_slice", { returns: (env, meta) => returnSlice(env, meta, false) }],
  ["bpf_dynptr_slice_rdwr", { returns: (env, meta) => returnSlice(env, meta, true) }],
  ["bpf_throw", { throws: true }],
  ["__bpf_trap", { trap: true }],
  ["bpf_wq_set_callback_impl", { callback: setTimerCallback, later: "sleepable" }],
  ["bpf_task_work_schedule_signal", { callback: setTaskWorkCallback, later: "sleepable" }],
  ["bpf_task_work_schedule_resume", { callback: setTaskWorkCallback, later: "sleepable" }],
  ["bpf_task_work_schedule_signal_impl", { callback: setTaskWorkCallback, later: "sleepable" }],
  ["bpf_task_work_schedule_resume_impl", { callback: setTaskWorkCallback, later: "sleepable" }],
  ["bpf_iter_css_task_new", { cssTaskIter: true }],
  ["bpf_session_cookie", { memory: 8 }],
  ["bpf_get_kmem_cache", { untrusted: true }],
  ["bpf_xdp_pull_data", { changesPacket: true }],
]);
