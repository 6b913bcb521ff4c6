/**
 * Functions of the program that a helper or kfunc calls: what they get in their registers, and the path on which they
 * run. push_callback_call() and the set_*_callback_state() functions.
 */
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
  EFAULT,
  ENOTSUPP,
} from "../../uapi/index.ts";
import { type BtfField, findField } from "../btf/btf-record.ts";
import { findStruct } from "../btf/btf-types.ts";
import { BPF_RB_ROOT } from "../btf/field-types.ts";
import type { Env } from "../env.ts";
import { BPF_DYNPTR_TYPE_LOCAL } from "../log/type-names.ts";
import type { MapDescription } from "../map-description.ts";
import { pushAsyncCallback, pushStack } from "../state/branch.ts";
import { markDynptrReg } from "../state/dynptr.ts";
import { type SetCalleeState, setupFuncEntry } from "../state/frame.ts";
import { setNonOwning } from "../state/owned-refs.ts";
import { RegState } from "../state/reg.ts";
import { regRecord } from "../state/reg-kind.ts";
import { markKnownZero, newNotInit, newUnknown } from "../state/reg-ops.ts";
import {
  CONST_PTR_TO_MAP,
  MEM_ALLOC,
  PTR_TO_BTF_ID,
  PTR_TO_MAP_KEY,
  PTR_TO_MAP_VALUE,
} from "../state/reg-type.ts";
import type { FuncState } from "../state/state.ts";
import { checkSubprogCall } from "./global-args.ts";

/** A pointer to the start of something. */
function pointer(type: number, map: MapDescription | null, mapUid: number): RegState {
  const reg = new RegState();
  markKnownZero(reg);
  reg.type = type;
  reg.map = map;
  reg.mapUid = mapUid;
  return reg;
}

function set(callee: FuncState, r: number, reg: RegState): void {
  callee.copyReg(r, reg, false);
  reg.shared = false;
}

function pass(callee: FuncState, to: number, caller: FuncState, from: number): void {
  callee.copyReg(to, caller.regs[from]!, caller.isPrecise(from));
}

function unused(callee: FuncState, from: number): void {
  for (let r = from; r <= 5; r++) set(callee, r, newNotInit());
}

function returnsZeroOrOne(callee: FuncState): void {
  callee.inCallbackFn = true;
  callee.callbackRetRange = { min: 0, max: 1 };
}

const ITERABLE: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
]);

/** bpf_for_each_map_elem(map, callback(map, key, value, ctx), ctx, flags). */
export const setMapElemCallback: SetCalleeState = (env, caller, callee) => {
  const { map, mapUid } = caller.regs[1]!;
  if (map === null || !ITERABLE.has(map.type))
    return env.reject(ENOTSUPP, "callback function not allowed for map");
  pass(callee, 1, caller, 1);
  set(callee, 2, pointer(PTR_TO_MAP_KEY, map, mapUid));
  set(callee, 3, pointer(PTR_TO_MAP_VALUE, map, mapUid));
  pass(callee, 4, caller, 3);
  unused(callee, 5);
  returnsZeroOrOne(callee);
};

/** bpf_loop(n, callback(index, ctx), ctx, flags). */
export const setLoopCallback: SetCalleeState = (_env, caller, callee) => {
  set(callee, 1, newUnknown());
  pass(callee, 2, caller, 3);
  unused(callee, 3);
  returnsZeroOrOne(callee);
};

/** bpf_timer_set_callback(timer, callback(map, key, value)), bpf_wq_set_callback_impl() likewise. */
export const setTimerCallback: SetCalleeState = (_env, caller, callee) => {
  const { map, mapUid } = caller.regs[1]!;
  set(callee, 1, pointer(CONST_PTR_TO_MAP, map, mapUid));
  set(callee, 2, pointer(PTR_TO_MAP_KEY, map, mapUid));
  set(callee, 3, pointer(PTR_TO_MAP_VALUE, map, mapUid));
  unused(callee, 4);
  callee.inAsyncCallbackFn = true;
  callee.callbackRetRange = { min: 0, max: 0 };
};

/** bpf_task_work_schedule_*(task, work, map, callback(map, key, value)). */
export const setTaskWorkCallback: SetCalleeState = (_env, caller, callee) => {
  const { map, mapUid } = caller.regs[3]!;
  set(callee, 1, pointer(CONST_PTR_TO_MAP, map, mapUid));
  set(callee, 2, pointer(PTR_TO_MAP_KEY, map, mapUid));
  set(callee, 3, pointer(PTR_TO_MAP_VALUE, map, mapUid));
  unused(callee, 4);
  callee.inAsyncCallbackFn = true;
  callee.callbackRetRange = { min: -0x80000000, max: 0x7fffffff };
};

/** bpf_find_vma(task, addr, callback(task, vma, ctx), ctx, flags). */
export const setFindVmaCallback: SetCalleeState = (env, caller, callee) => {
  pass(callee, 1, caller, 1);
  const vma = pointer(PTR_TO_BTF_ID, null, 0);
  vma.btf = env.kernelBtf;
  vma.btfId = findStruct(env.kernelBtf, "vm_area_struct");
  set(callee, 2, vma);
  pass(callee, 3, caller, 4);
  unused(callee, 4);
  returnsZeroOrOne(callee);
};

/** bpf_user_ringbuf_drain(map, callback(dynptr, ctx), ctx, flags). */
export const setUserRingbufCallback: SetCalleeState = (env, caller, callee) => {
  const dynptr = new RegState();
  markDynptrReg(dynptr, BPF_DYNPTR_TYPE_LOCAL, true, env.newId());
  set(callee, 1, dynptr);
  pass(callee, 2, caller, 3);
  unused(callee, 3);
  returnsZeroOrOne(callee);
};

/** A node of a list or tree, as a pointer to the object it lies in: mark_reg_graph_node(). */
export function markGraphNode(reg: RegState, root: BtfField): void {
  markKnownZero(reg);
  reg.type = PTR_TO_BTF_ID | MEM_ALLOC;
  reg.btf = root.rootBtf;
  reg.btfId = root.valueId;
  reg.off = root.nodeOffset;
}

/** bpf_rbtree_add_impl(root, node, less(a, b), ...): both nodes are borrowed. */
export const setRbtreeAddCallback: SetCalleeState = (env, caller, callee) => {
  const root = caller.regs[1]!;
  const field = findField(regRecord(env, root), root.off, BPF_RB_ROOT);
  if (field === null) return env.reject(EFAULT, "");
  for (const r of [1, 2]) {
    const node = new RegState();
    markGraphNode(node, field);
    setNonOwning(env, node);
    set(callee, r, node);
  }
  unused(callee, 3);
  returnsZeroOrOne(callee);
};

/** The state in which `subprog` runs, called by what is called at `insnIdx`, is queued. push_callback_call(). */
export function pushCallbackCall(
  env: Env,
  insnIdx: number,
  subprog: number,
  setCallee: SetCalleeState,
  async: "" | "sleepable" | "atomic" = "",
): void {
  const { state } = env;
  const caller = state.frame;
  if (checkSubprogCall(env, subprog) === EFAULT) env.reject(EFAULT, "");
  const info = env.subprogs[subprog]!;
  info.isCb = true;
  if (async !== "") {
    info.isAsyncCb = true;
    const queued = pushAsyncCallback(env, info.start, insnIdx, subprog, async === "sleepable");
    const callee = queued.frames[0]!;
    // Seeing the same state in another entry is no endless loop.
    callee.asyncEntryCount = caller.asyncEntryCount + 1;
    setCallee(env, caller, callee, insnIdx);
    return;
  }
  const queued = pushStack(env, info.start, insnIdx, false);
  setupFuncEntry(env, subprog, insnIdx, setCallee, queued);
  queued.callbackUnrollDepth++;
  queued.frames[queued.curframe - 1]!.callbackDepth++;
  caller.callbackDepth = 0;
}
