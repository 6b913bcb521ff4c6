/** What is known of a kfunc call, and what its arguments tell: struct bpf_kfunc_call_arg_meta. */
import type { Btf } from "../../btf/index.ts";
import {
  KF_ITER_DESTROY,
  KF_ITER_NEW,
  KF_ITER_NEXT,
  KF_RCU,
  KF_RELEASE,
  KF_TRUSTED_ARGS,
} from "../../uapi/index.ts";
import type { BtfField } from "../btf/btf-record.ts";
import type { Env } from "../env.ts";
import type { MapDescription } from "../map-description.ts";
import type { SetCalleeState } from "../state/frame.ts";

/** What is special about a kfunc that the verifier knows by name. */
export interface SpecialKfunc {
  /** Works on a list or on a tree, under its lock. */
  readonly graph?: "list" | "rbtree";
  /** Takes a node: puts an owned one in, or works on a borrowed one. */
  readonly node?: "insert" | "borrow";
  /** A lock: flags of processSpinLock(). */
  readonly lock?: number;
  /** An argument of saved IRQ flags. */
  readonly irq?: { readonly save: boolean; readonly by: number };
  /** Kind of dynptr that it makes; "clone": as the other one. */
  readonly dynptr?: number | "clone";
  readonly callback?: SetCalleeState;
  /** The callback runs later. */
  readonly later?: "sleepable" | "atomic";
  readonly rcu?: "lock" | "unlock";
  readonly preempt?: "disable" | "enable";
  /** Which kind of object it takes back. */
  readonly drops?: "object" | "percpu";
  /** First argument is the context, whatever its type says. */
  readonly takesContext?: boolean;
  readonly throws?: boolean;
  /** Never to be reached: clang's trap for undefined behaviour. */
  readonly trap?: boolean;
  readonly changesPacket?: boolean;
  /** Only in LSM programs, iterators and where it may sleep. */
  readonly cssTaskIter?: boolean;
  /** Result: memory of that size, writable. */
  readonly memory?: number;
  /** Result: a pointer that cannot be trusted. */
  readonly untrusted?: boolean;
  /** Sets R0 where the prototype does not tell. */
  readonly returns?: (env: Env, meta: KfuncMeta) => void;
}

export interface KfuncMeta {
  readonly btf: Btf;
  readonly id: number;
  readonly name: string;
  readonly flags: number;
  /** FUNC_PROTO. */
  readonly proto: number;
  /** What is special about it, if it is one of the kernel's own. */
  readonly special: SpecialKfunc | null;
  refObjId: number;
  releaseRegno: number;
  constant: bigint | null;
  /** A result that points at memory: its size, and whether it may be written. */
  r0Size: number;
  r0ReadOnly: boolean;
  subprogno: number;
  argBtf: Btf | null;
  argBtfId: number;
  owningRef: boolean;
  retBtfId: number;
  map: MapDescription | null;
  mapUid: number;
  listHead: BtfField | null;
  treeRoot: BtfField | null;
  dynptrId: number;
  dynptrType: number;
  dynptrRefObjId: number;
  iterSpi: number;
  iterFrame: number;
}

export function hasFlag(meta: KfuncMeta, flag: number): boolean {
  return (meta.flags & flag) !== 0;
}

/** is_kfunc_trusted_args(): no null, and nothing that could be freed. */
export function wantsTrusted(meta: KfuncMeta): boolean {
  return (meta.flags & (KF_TRUSTED_ARGS | KF_RELEASE)) !== 0;
}

export function wantsRcu(meta: KfuncMeta): boolean {
  return (meta.flags & KF_RCU) !== 0;
}

/** is_iter_kfunc(). */
export function isIterKfunc(meta: KfuncMeta): boolean {
  return (meta.flags & (KF_ITER_NEW | KF_ITER_NEXT | KF_ITER_DESTROY)) !== 0;
}
