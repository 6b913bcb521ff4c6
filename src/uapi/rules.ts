/**
 * Named rules: what one kernel's verifier does and another's does not. A profile has a rule from `since` on, up to but
 * without `until`. Checks ask `env.profile.rules.has(name)`; nothing else compares versions.
 */
export interface Rule {
  /** Kernel version that brought it; "" = older than all profiles. */
  readonly since: string;
  /** Version that dropped it. */
  readonly until?: string;
  readonly meaning: string;
}

export const RULES: Readonly<Record<RuleName, Rule>> = {
  "signed-products": {
    since: "6.14",
    meaning: "a product has bounds where no end of the ranges overflows, negative numbers included",
  },
  "wrapped-sums-keep-range": {
    since: "6.17",
    meaning: "a sum or difference keeps its unsigned range where both ends of it wrap",
  },
  "byte-swaps-tracked": {
    since: "6.18",
    meaning: "byte swaps and conversions keep known bits (6.18's stable kernels)",
  },
  "single-values-known": {
    since: "6.18",
    meaning: "a range and a tnum with one number in common make it known (6.18's stable kernels)",
  },
  "linked-deltas": {
    since: "6.18",
    meaning:
      "numbers stay linked over SUB, 32-bit and negative sums, and their bounds are worked out in full (6.18's stable kernels)",
  },
  "callbacks-are-loops": {
    since: "6.19",
    meaning:
      "a call that runs a callback again and again counts as a loop: precision found late reaches its first rounds",
  },
  "negation-tracked": { since: "6.17", meaning: "NEG keeps bounds and known bits" },
  "tnum-product-unions": {
    since: "6.18",
    meaning: "tnum_mul() joins both outcomes of an unknown bit instead of adding masks",
  },
  "masks-fork": {
    since: "6.12",
    meaning:
      "AND and OR with a constant look at a number in [-1, 0] as two paths (a fix in 6.12 and 6.18 stable kernels)",
  },
  "privileged-uninit-stack": {
    since: "6.3",
    meaning: "with CAP_PERFMON, stack that was never written may be read",
  },
  "log-written-marks": {
    since: "",
    until: "6.17",
    meaning: "the log marks registers written since the last checkpoint (R1_w=)",
  },
  "no-isa-v4": {
    since: "",
    until: "6.6",
    meaning: "no sign-extending loads and moves, BSWAP, signed division, JA with a 32-bit offset",
  },
  "no-may-goto": { since: "", until: "6.9", meaning: "no JCOND instruction" },
  "map-ptr-is-btf-id": {
    since: "6.9",
    meaning: "CONST_PTR_TO_MAP can stand for a struct bpf_map in kfunc calls",
  },
  "fill-assigns-scalar-id": {
    since: "6.9",
    meaning: "filling a spilled scalar links it with the slot by an id",
  },
  "tail-call-keeps-pkt": { since: "", until: "6.12", meaning: "a tail call leaves packet pointers valid" },
  "references-in-state": {
    since: "6.14",
    meaning: "acquired references belong to the path, not to a frame: a callback may release its caller's",
  },
  "helper-mem-access-type": {
    since: "6.14",
    meaning: "helpers' memory arguments are checked as reads or writes, not as a third kind of access",
  },
  "tracing-timers": { since: "6.19", meaning: "tracing programs may use maps with timers and work queues" },
  "load-acquire-store-release": { since: "6.15", meaning: "BPF_LOAD_ACQ and BPF_STORE_REL" },
  "struct-ops-refcounted-args": {
    since: "6.15",
    meaning: "struct_ops arguments named __ref are acquired references",
  },
  "untrusted-mem-pointers": {
    since: "6.17",
    meaning: "pointers to primitive types and void loaded from BTF objects are untrusted read-only memory",
  },
  "untrusted-rdonly-mem": {
    since: "6.17",
    meaning:
      "PTR_TO_MEM | MEM_RDONLY | PTR_UNTRUSTED may share a load with BTF pointers (the fault rule covers both)",
  },
  "speculation-nospec": {
    since: "6.17",
    meaning: "unprivileged programs get speculation barriers where older kernels reject",
  },
  "private-stack": {
    since: "6.13",
    meaning: "programs that cannot interrupt themselves may use up to 512 bytes of stack in each function",
  },
  "struct-ops-return-kptr": {
    since: "6.15",
    meaning: "a struct_ops member that returns an object may return one that the program holds",
  },
  "ld-abs-leaves-subprog": {
    since: "6.12",
    meaning: "a classic packet load in a function may return 0 to its caller (a fix in stable kernels)",
  },
  "might-sleep-subprogs": {
    since: "6.15",
    meaning: "whether a global function may sleep is found before it is called",
  },
  "array-lookup-not-null": {
    since: "6.14",
    meaning: "looking up a constant key inside an array cannot fail",
  },
  "null-arg-precise": { since: "6.12", meaning: "a null argument of a helper is marked precise" },
  "untrusted-args": { since: "6.17", meaning: "arguments of global functions may be tagged untrusted" },
  "tail-call-changes-packet": { since: "6.12", meaning: "a tail call invalidates packet pointers" },
  "nested-rcu": { since: "6.19", meaning: "RCU read sections nest" },
  "rcu-protected-kfuncs": {
    since: "6.17",
    meaning: "KF_RCU_PROTECTED holds for every kfunc, not for iterators alone",
  },
  "rbtree-walk": {
    since: "6.16",
    meaning: "bpf_rbtree_root, _left and _right, and the messages that came with them",
  },
};

export type RuleName =
  | "rbtree-walk"
  | "rcu-protected-kfuncs"
  | "nested-rcu"
  | "callbacks-are-loops"
  | "linked-deltas"
  | "byte-swaps-tracked"
  | "single-values-known"
  | "tail-call-changes-packet"
  | "untrusted-args"
  | "null-arg-precise"
  | "array-lookup-not-null"
  | "might-sleep-subprogs"
  | "ld-abs-leaves-subprog"
  | "struct-ops-return-kptr"
  | "private-stack"
  | "signed-products"
  | "wrapped-sums-keep-range"
  | "negation-tracked"
  | "tnum-product-unions"
  | "masks-fork"
  | "privileged-uninit-stack"
  | "log-written-marks"
  | "no-isa-v4"
  | "no-may-goto"
  | "map-ptr-is-btf-id"
  | "fill-assigns-scalar-id"
  | "tail-call-keeps-pkt"
  | "references-in-state"
  | "helper-mem-access-type"
  | "tracing-timers"
  | "load-acquire-store-release"
  | "struct-ops-refcounted-args"
  | "untrusted-mem-pointers"
  | "untrusted-rdonly-mem"
  | "speculation-nospec";

/** "6.12" < "6.18". */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [a.split(".").map(Number), b.split(".").map(Number)];
  return x[0]! - y[0]! || (x[1] ?? 0) - (y[1] ?? 0);
}

/** The rules that kernel `version` has. */
export function rulesOf(version: string): ReadonlySet<RuleName> {
  const out = new Set<RuleName>();
  for (const [name, rule] of Object.entries(RULES) as [RuleName, Rule][])
    if (
      (rule.since === "" || compareVersions(rule.since, version) <= 0) &&
      (rule.until === undefined || compareVersions(version, rule.until) < 0)
    )
      out.add(name);
  return out;
}
