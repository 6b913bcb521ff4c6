/** The kinds of special fields: enum btf_field_type, one bit each. */
export const BPF_SPIN_LOCK: number = 1 << 0;
export const BPF_TIMER: number = 1 << 1;
export const BPF_KPTR_UNREF: number = 1 << 2;
export const BPF_KPTR_REF: number = 1 << 3;
export const BPF_KPTR_PERCPU: number = 1 << 4;
export const BPF_UPTR: number = 1 << 5;
export const BPF_LIST_HEAD: number = 1 << 6;
export const BPF_LIST_NODE: number = 1 << 7;
export const BPF_RB_ROOT: number = 1 << 8;
export const BPF_RB_NODE: number = 1 << 9;
export const BPF_REFCOUNT: number = 1 << 10;
export const BPF_WORKQUEUE: number = 1 << 11;
export const BPF_RES_SPIN_LOCK: number = 1 << 12;
export const BPF_TASK_WORK: number = 1 << 13;

export const BPF_KPTR: number = BPF_KPTR_UNREF | BPF_KPTR_REF | BPF_KPTR_PERCPU | BPF_UPTR;
export const BPF_GRAPH_NODE: number = BPF_RB_NODE | BPF_LIST_NODE;
export const BPF_GRAPH_ROOT: number = BPF_RB_ROOT | BPF_LIST_HEAD;

interface FieldFacts {
  /** As messages name it: btf_field_type_name(). */
  readonly name: string;
  readonly size: number;
  readonly align: number;
}

export const FIELDS: ReadonlyMap<number, FieldFacts> = new Map([
  [BPF_SPIN_LOCK, { name: "bpf_spin_lock", size: 4, align: 4 }],
  [BPF_RES_SPIN_LOCK, { name: "bpf_res_spin_lock", size: 4, align: 4 }],
  [BPF_TIMER, { name: "bpf_timer", size: 16, align: 8 }],
  [BPF_WORKQUEUE, { name: "bpf_wq", size: 16, align: 8 }],
  [BPF_KPTR_UNREF, { name: "kptr", size: 8, align: 8 }],
  [BPF_KPTR_REF, { name: "kptr", size: 8, align: 8 }],
  [BPF_KPTR_PERCPU, { name: "percpu_kptr", size: 8, align: 8 }],
  [BPF_UPTR, { name: "uptr", size: 8, align: 8 }],
  [BPF_LIST_HEAD, { name: "bpf_list_head", size: 16, align: 8 }],
  [BPF_LIST_NODE, { name: "bpf_list_node", size: 24, align: 8 }],
  [BPF_RB_ROOT, { name: "bpf_rb_root", size: 16, align: 8 }],
  [BPF_RB_NODE, { name: "bpf_rb_node", size: 32, align: 8 }],
  [BPF_REFCOUNT, { name: "bpf_refcount", size: 4, align: 4 }],
  [BPF_TASK_WORK, { name: "bpf_task_work", size: 8, align: 8 }],
]);

export function fieldTypeName(type: number): string {
  return FIELDS.get(type)?.name ?? "unknown";
}

const byStruct = new Map<string, number>(
  [...FIELDS].filter(([type]) => (type & BPF_KPTR) === 0).map(([type, facts]) => [facts.name, type]),
);

/** The special field that a struct of that name is, or 0. */
export function fieldOfStruct(name: string): number {
  return byStruct.get(name) ?? 0;
}

/** At most one in a value. */
export const SINGLE_FIELDS: number =
  BPF_SPIN_LOCK | BPF_RES_SPIN_LOCK | BPF_TIMER | BPF_WORKQUEUE | BPF_TASK_WORK | BPF_REFCOUNT;
/** May stand in arrays. */
export const REPEATABLE_FIELDS: number = BPF_KPTR | BPF_GRAPH_ROOT;

/** What map_check_btf() looks for in map values, and what btf_parse_struct_metas() looks for in a program's structs. */
export const MAP_VALUE_FIELDS: number =
  BPF_SPIN_LOCK |
  BPF_RES_SPIN_LOCK |
  BPF_TIMER |
  BPF_KPTR |
  BPF_LIST_HEAD |
  BPF_RB_ROOT |
  BPF_REFCOUNT |
  BPF_WORKQUEUE |
  BPF_TASK_WORK;
export const OBJECT_FIELDS: number =
  BPF_SPIN_LOCK | BPF_RES_SPIN_LOCK | BPF_GRAPH_ROOT | BPF_GRAPH_NODE | BPF_REFCOUNT | BPF_KPTR;

/** Type tags of pointers. */
export const KPTR_TAGS: Readonly<Record<string, number>> = {
  kptr_untrusted: BPF_KPTR_UNREF,
  kptr: BPF_KPTR_REF,
  percpu_kptr: BPF_KPTR_PERCPU,
  uptr: BPF_UPTR,
};

/** Kernel types with a registered destructor: only these may be referenced kptrs (register_btf_id_dtor_kfuncs()). */
export const KPTR_DTORS: ReadonlySet<string> = new Set([
  "task_struct",
  "cgroup",
  "bpf_cpumask",
  "bpf_crypto_ctx",
  "sk_buff",
  "prog_test_ref_kfunc",
  "prog_test_member",
]);
