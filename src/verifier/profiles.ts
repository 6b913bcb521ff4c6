/** The kernels that the verifier knows: Profile over the tables of src/uapi. Tables are parsed when first asked for. */
import {
  BPF_CGROUP_INET_INGRESS,
  BPF_FUNC_override_return,
  BPF_FUNC_probe_write_user,
  BPF_LSM_CGROUP,
  BPF_PROG_TYPE_LIRC_MODE2,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_TRACING,
  BPF_PROG_TYPE_UNSPEC,
  BPF_TRACE_ITER,
  BTF_ID_SETS,
  bpf_prog_type_names,
  CTX_ACCESS,
  CTX_POINTERS,
  compareVersions,
  HELPER_PROTOS,
  HELPER_TABLES,
  HELPER_VARIANTS,
  type HelperTable,
  KFUNC_TABLES,
  parseKfuncFlags,
  rulesOf,
} from "../uapi/index.ts";
import * as argTypes from "./calls/arg-type.ts";
import { kfuncHook } from "./calls/kfunc-hook.ts";
import type { CtxAccess, HelperSpec, HelperUser, KfuncSpec, Profile } from "./profile.ts";
import * as regTypes from "./state/reg-type.ts";

export const PROFILE_NAMES: readonly string[] = ["6.1", "6.12", "6.18"];
export const DEFAULT_PROFILE = "6.18";

const cache = new Map<string, Profile>();

/** The profile of a kernel version ("6.12", "6.12.117"), or null. */
export function findProfile(version: string): Profile | null {
  const name = version.split(".").slice(0, 2).join(".");
  if (!PROFILE_NAMES.includes(name)) return null;
  let profile = cache.get(name);
  if (!profile) {
    profile = new TableProfile(name);
    cache.set(name, profile);
  }
  return profile;
}

/** Names of ARG_*, RET_* and flags; the older kernels' names too. */
const VALUES: Readonly<Record<string, number>> = {
  ...regTypes,
  ...argTypes,
  ARG_PTR_TO_ALLOC_MEM: argTypes.ARG_PTR_TO_RINGBUF_MEM,
  RET_PTR_TO_ALLOC_MEM_OR_NULL: argTypes.RET_PTR_TO_RINGBUF_MEM_OR_NULL,
  ARG_PTR_TO_KPTR: argTypes.ARG_KPTR_XCHG_DEST,
  ARG_PTR_TO_LONG:
    argTypes.ARG_PTR_TO_FIXED_SIZE_MEM | regTypes.MEM_UNINIT | regTypes.MEM_WRITE | regTypes.MEM_ALIGNED,
  ARG_PTR_TO_INT:
    argTypes.ARG_PTR_TO_FIXED_SIZE_MEM | regTypes.MEM_UNINIT | regTypes.MEM_WRITE | regTypes.MEM_ALIGNED,
} as Record<string, unknown> as Readonly<Record<string, number>>;

/** "ARG_PTR_TO_MEM|MEM_RDONLY#4@task_struct". */
function parseType(text: string): { type: number; size: number; btf: string | null } {
  const m = /^([\w|]+)(?:#(\d+))?(?:@(.+))?$/.exec(text)!;
  let type = 0;
  for (const name of m[1]!.split("|")) {
    const value = VALUES[name];
    if (value === undefined) throw new Error(`helper table: ${name}`);
    type |= value;
  }
  const implied = m[1]!.startsWith("ARG_PTR_TO_LONG") ? 8 : m[1]!.startsWith("ARG_PTR_TO_INT") ? 4 : 0;
  return { type, size: m[2] ? Number(m[2]) : implied, btf: m[3] ?? null };
}

const variants = new Map<string, HelperSpec>();

function helperSpec(id: number, variant: string): HelperSpec {
  const key = `${id}:${variant}`;
  let spec = variants.get(key);
  if (!spec) {
    const [ret, args, flags] = HELPER_VARIANTS[variant]!.split(";") as [string, string, string];
    const parsed = args === "" ? [] : args.split(",").map(parseType);
    const r = parseType(ret);
    const words = flags.split(",");
    spec = {
      id,
      name: HELPER_PROTOS[id]!.name,
      gplOnly: words.includes("gpl_only"),
      pktAccess: words.includes("pkt_access"),
      mightSleep: words.includes("might_sleep"),
      allowFastcall: words.includes("allow_fastcall"),
      ret: r.type,
      retBtf: r.btf,
      args: parsed.map((a) => a.type),
      argBtf: parsed.map((a) => a.btf),
      argSize: parsed.map((a) => a.size),
      allowed: words.find((w) => w.startsWith("allowed:"))?.slice(8) ?? "",
    };
    variants.set(key, spec);
  }
  return spec;
}

/** "1 2:bpf_x 3-": id to variant; null: not available. */
function parseChoices(text: string): Map<number, string | null> {
  const out = new Map<number, string | null>();
  for (const word of text === "" ? [] : text.split(" ")) {
    if (word.endsWith("-")) out.set(Number(word.slice(0, -1)), null);
    else {
      const [id, variant] = word.split(":");
      out.set(Number(id), variant ?? HELPER_PROTOS[Number(id)]!.name);
    }
  }
  return out;
}

interface TypeHelpers {
  base: Map<number, string | null>;
  attach: Map<number, Map<number, string | null>>;
  sleepable: Map<number, string | null>;
  capBpf: ReadonlySet<number>;
  capPerfmon: ReadonlySet<number>;
}

function parseTable(table: HelperTable): TypeHelpers {
  return {
    base: parseChoices(table.base),
    attach: new Map(Object.entries(table.attach).map(([a, text]) => [Number(a), parseChoices(text)])),
    sleepable: parseChoices(table.sleepable),
    capBpf: new Set(table.capBpf),
    capPerfmon: new Set(table.capPerfmon),
  };
}

const SCALAR: CtxAccess = { regType: regTypes.SCALAR_VALUE, btf: null };

/**
 * Helpers that the recorded kernels lack by their configuration: none has CONFIG_BPF_KPROBE_OVERRIDE; the one that 6.18
 * was recorded on is locked down (bpf_probe_write_user).
 */
const ABSENT_HELPERS: Readonly<Record<string, readonly number[]>> = {
  "6.1": [BPF_FUNC_override_return],
  "6.12": [BPF_FUNC_override_return],
  "6.18": [BPF_FUNC_override_return, BPF_FUNC_probe_write_user],
};

class TableProfile implements Profile {
  readonly name: string;
  readonly rules: Profile["rules"];
  readonly helperCount: number;
  readonly programTypes: ReadonlySet<number>;
  readonly mapTypes: ReadonlySet<number>;
  readonly #helpers = new Map<string, TypeHelpers | null>();
  readonly #kfuncs = new Map<string, KfuncSpec | null>();
  readonly #ctx = new Map<number, Map<number, CtxAccess> | undefined>();
  readonly #sets = new Map<string, ReadonlySet<string>>();

  constructor(name: string) {
    this.name = name;
    this.rules = rulesOf(name);
    let count = 0;
    for (const table of Object.values(HELPER_TABLES[name]!))
      for (const id of parseChoices(table.base).keys()) count = Math.max(count, id + 1);
    this.helperCount = count;
    const upTo = (n: number): ReadonlySet<number> => new Set(Array.from({ length: n }, (_, i) => i + 1));
    // NETFILTER came with 6.4; CGRP_STORAGE with 6.2, ARENA with 6.9.
    const types = new Set(upTo(compareVersions(name, "6.4") < 0 ? 31 : 32));
    // None of the recorded kernels has CONFIG_BPF_LIRC_MODE2.
    types.delete(BPF_PROG_TYPE_LIRC_MODE2);
    this.programTypes = types;
    this.mapTypes = upTo(compareVersions(name, "6.2") < 0 ? 31 : compareVersions(name, "6.9") < 0 ? 32 : 33);
  }

  helperName(id: number): string {
    return HELPER_PROTOS[id]?.name ?? "unknown";
  }

  #table(key: string): TypeHelpers | null {
    let table = this.#helpers.get(key);
    if (table === undefined) {
      const data = HELPER_TABLES[this.name]![key];
      table = data ? parseTable(data) : null;
      this.#helpers.set(key, table);
    }
    return table;
  }

  helper(id: number, user: HelperUser): HelperSpec | null {
    const { progType, expectedAttachType } = user;
    if (ABSENT_HELPERS[this.name]?.includes(id) === true) return null;
    let key = bpf_prog_type_names[progType] ?? "";
    if (progType === BPF_PROG_TYPE_STRUCT_OPS) {
      const ops = user.structOps ?? "";
      key = this.#table(`struct_ops:${ops}`) ? `struct_ops:${ops}` : `struct_ops:${ops.split(".")[0]}`;
    }
    const table = this.#table(key);
    let variant = table ? this.#choose(table, id, user) : null;
    if (progType === BPF_PROG_TYPE_LSM && expectedAttachType === BPF_LSM_CGROUP && user.hook)
      for (const set of [
        "bpf_lsm_locked_sockopt_hooks",
        "bpf_lsm_unlocked_sockopt_hooks",
        "bpf_lsm_current_hooks",
      ])
        if (this.btfIdSet(set).has(user.hook)) variant = this.#table(`lsm:${set}`)?.base.get(id) ?? variant;
    if (
      variant === null &&
      progType === BPF_PROG_TYPE_TRACING &&
      expectedAttachType === BPF_TRACE_ITER &&
      user.iter
    )
      // Sockets' iterators give the same helpers (bpf_iter_unix_get_func_proto, bpf_iter_tcp_get_func_proto).
      variant = this.#table(`iter:${user.iter === "unix" ? "tcp" : user.iter}`)?.base.get(id) ?? null;
    return variant === null ? null : helperSpec(id, variant);
  }

  #choose(table: TypeHelpers, id: number, user: HelperUser): string | null {
    if (!user.bpfCapable && table.capBpf.has(id)) return null;
    if (!user.perfmonCapable && table.capPerfmon.has(id)) return null;
    if (user.sleepable) {
      const variant = table.sleepable.get(id);
      if (variant !== undefined) return variant;
    }
    const there = table.attach.get(user.expectedAttachType)?.get(id);
    if (there !== undefined) return there;
    return table.base.get(id) ?? null;
  }

  kfunc(name: string): KfuncSpec | null {
    let spec = this.#kfuncs.get(name);
    if (spec === undefined) {
      const table = KFUNC_TABLES[this.name]!;
      const text = Object.hasOwn(table, name) ? table[name] : undefined;
      spec = null;
      if (text !== undefined) {
        const [flags, types, filter] = text.split(";") as [string, string, string];
        const words = types.split(",").filter((w) => w !== "");
        spec = {
          name,
          flags: parseKfuncFlags(flags),
          progTypes: words.filter((w) => w !== "FMODRET").map((w) => PROG_TYPES[`BPF_PROG_TYPE_${w}`]!),
          fmodret: words.includes("FMODRET"),
          filter,
        };
      }
      this.#kfuncs.set(name, spec);
    }
    return spec;
  }

  kfuncAllowed(kfunc: KfuncSpec, progType: number, expectedAttachType: number): boolean {
    // Filters of in-kernel registrations.
    if (kfunc.filter === "tracing_iter_filter" && expectedAttachType !== BPF_TRACE_ITER) return false;
    if (
      (kfunc.filter === "bpf_fs_kfuncs_filter" || kfunc.filter === "bpf_get_fsverity_digest_filter") &&
      progType !== BPF_PROG_TYPE_LSM
    )
      return false;
    const hook = kfuncHook(this.name, progType);
    return kfunc.progTypes.some(
      (t) => t === BPF_PROG_TYPE_UNSPEC || (hook !== "" && kfuncHook(this.name, t) === hook),
    );
  }

  ctxAccess(
    progType: number,
    expectedAttachType: number,
    off: number,
    size: number,
    write: boolean,
  ): CtxAccess | null | undefined {
    const key = progType * 1000 + expectedAttachType;
    let table = this.#ctx.get(key);
    if (!table && !this.#ctx.has(key)) {
      table = ctxTable(progType, expectedAttachType);
      this.#ctx.set(key, table);
    }
    if (!table) return undefined;
    return table.get(accessKey(off, size, write)) ?? null;
  }

  btfIdSet(name: string): ReadonlySet<string> {
    let set = this.#sets.get(name);
    if (!set) {
      const sets = BTF_ID_SETS[this.name] ?? BTF_ID_SETS["6.12"]!;
      set = new Set(Object.hasOwn(sets, name) ? sets[name] : []);
      this.#sets.set(name, set);
    }
    return set;
  }
}

const PROG_TYPES: Readonly<Record<string, number>> = Object.fromEntries(
  Object.entries(bpf_prog_type_names).map(([value, name]) => [name, Number(value)]),
);

function accessKey(off: number, size: number, write: boolean): number {
  return (off * 16 + size) * 2 + (write ? 1 : 0);
}

/** Parses CTX_ACCESS for one kind of program. Attach types that were not measured have the rules of the first one. */
function ctxTable(progType: number, attach: number): Map<number, CtxAccess> | undefined {
  const find = (want: (program: string) => boolean): string | undefined =>
    CTX_ACCESS.find((row) => row.programs.some(want))?.accesses;
  const text =
    find((p) => p === `${progType}/${attach}`) ??
    find((p) => p === `${progType}/${BPF_CGROUP_INET_INGRESS}`) ??
    find((p) => p.startsWith(`${progType}/`));
  if (text === undefined) return undefined;
  const out = new Map<number, CtxAccess>();
  const pointers = CTX_POINTERS.get(progType) ?? [];
  for (const part of text === "" ? [] : text.split("; ")) {
    const m = /^([rw])(\d): (.*)$/.exec(part)!;
    const size = Number(m[2]);
    for (const range of m[3]!.split(" ")) {
      const [first, last] = range.split("-").map(Number) as [number, number?];
      for (let off = first; off <= (last ?? first); off += size) {
        const pointer = m[1] === "r" ? pointers.find((p) => p.off === off) : undefined;
        let access = SCALAR;
        if (pointer) {
          let regType = VALUES[pointer.type]!;
          if (pointer.mayBeNull) regType |= regTypes.PTR_MAYBE_NULL;
          if (pointer.btf) regType |= regTypes.PTR_TRUSTED;
          access = { regType, btf: pointer.btf ?? null };
        }
        out.set(accessKey(off, size, m[1] === "w"), access);
      }
    }
  }
  return out;
}
