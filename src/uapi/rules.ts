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

export const RULES = {
  "map-ptr-is-btf-id": {
    since: "6.9",
    meaning: "CONST_PTR_TO_MAP can stand for a struct bpf_map in kfunc calls",
  },
  "references-in-state": {
    since: "6.14",
    meaning: "acquired references belong to the path, not to a frame: a callback may release its caller's",
  },
  "untrusted-mem-pointers": {
    since: "6.17",
    meaning: "loads of pointers to primitive types and void from BTF objects give untrusted read-only memory",
  },
  "untrusted-rdonly-mem": {
    since: "6.17",
    meaning:
      "bpf_rdonly_cast(p, 0) and friends give PTR_TO_MEM | MEM_RDONLY | PTR_UNTRUSTED, loaded under the fault rule",
  },
  "load-acquire-store-release": { since: "6.15", meaning: "BPF_LOAD_ACQ and BPF_STORE_REL" },
  "helper-mem-access-type": {
    since: "6.14",
    meaning: "helpers' memory arguments are checked as reads or writes, not as a third kind of access",
  },
  "speculation-nospec": {
    since: "6.17",
    meaning: "unprivileged programs get speculation barriers where older kernels reject",
  },
  "fill-assigns-scalar-id": {
    since: "6.9",
    meaning: "filling a spilled scalar links it with the slot by an id",
  },
} as const satisfies Record<string, Rule>;

export type RuleName = keyof typeof RULES;

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
