/**
 * Writes src/uapi/generated/helper-specs.ts: what the verifier of each kernel knows of each helper (struct
 * bpf_func_proto) and which variant a program gets (the `get_func_proto` of its type, evaluated for every attach type,
 * capability and sleepability). 6.18's own source is not needed: what its feature probe and its own answers say beyond
 * 6.12 is laid over 6.12's tables.
 *
 *   npx tsx tools/gen-helper-specs.ts FACTS_DIR LINUX_6.1_SOURCE LINUX_6.12_SOURCE [MORE_SOURCE_ROOTS...]
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  btfSets,
  evaluate,
  functions,
  type Machine,
  readSources,
  type SourceFile,
  structInits,
  type Value,
} from "./kernel-facts/c-source.ts";

const [facts, root61, root612, ...more] = process.argv.slice(2);
if (!facts || !root61 || !root612)
  throw new Error("usage: tsx tools/gen-helper-specs.ts FACTS_DIR LINUX_6.1 LINUX_6.12 [MORE...]");
const folders = ["include/linux", "kernel", "net", "fs", "drivers/media/rc", "drivers/hid/bpf"];
const enums = JSON.parse(readFileSync(join(facts, "enums-6.18.json"), "utf8")) as Record<
  string,
  Record<string, number>
>;
const attachTypes = enums["bpf_attach_type"]!;
const progTypes = enums["bpf_prog_type"]!;
const helpers = (
  JSON.parse(readFileSync(join(facts, "helpers.json"), "utf8")) as { helpers: { id: number; name: string }[] }
).helpers;

type Choice = Map<number, string>;
interface TypeTable {
  base: Choice;
  /** By attach type, where it differs; null: not available there. */
  attach: Map<number, Map<number, string | null>>;
  sleepable: Map<number, string | null>;
  /** Helpers that want CAP_BPF, CAP_PERFMON. */
  capBpf: number[];
  capPerfmon: number[];
}
interface KernelTables {
  protos: Map<string, string>;
  types: Map<string, TypeTable>;
  sets: Map<string, string[]>;
}

const SPECIAL: Record<string, string> = {
  bpf_get_trace_printk_proto: "bpf_trace_printk_proto",
  bpf_get_trace_vprintk_proto: "bpf_trace_vprintk_proto",
  bpf_get_probe_write_proto: "bpf_probe_write_user_proto",
};

/** `&btf_tracing_ids[BTF_TRACING_TYPE_TASK]` and its kin: the struct's name. */
function btfName(files: readonly SourceFile[], text: string): string {
  if (text === "BPF_PTR_POISON") return "*";
  // bpf_tcp_ca_init() looks it up by name.
  if (text === "&tcp_sock_id") return "tcp_sock";
  const tracing = /BTF_(TRACING|SOCK)_TYPE_(\w+)/.exec(text);
  const macro = tracing
    ? new RegExp(
        `BTF_${tracing[1]}_TYPE(?:_xxx)?\\(BTF_${tracing[1]}_TYPE_${tracing[2]}\\s*,\\s*(?:struct\\s+)?(\\w+)\\s*\\)`,
      )
    : null;
  for (const f of files) {
    const m = macro?.exec(f.text);
    if (m) return m[1]!;
    if (tracing) continue;
    const name = /&?(\w+)(?:\[(\d+)\])?/.exec(text)!;
    const list = new RegExp(`BTF_ID_LIST(?:_GLOBAL)?(_SINGLE)?\\s*\\(\\s*${name[1]}\\b([^)]*)\\)`).exec(
      f.text,
    );
    if (!list) continue;
    if (list[1]) return list[2]!.split(",").at(-1)!.trim();
    const ids = [
      ...f.text.slice(list.index + list[0].length).matchAll(/BTF_ID\s*\(\s*struct\s*,\s*(\w+)\s*\)/g),
    ];
    return ids[Number(name[2] ?? 0)]![1]!;
  }
  throw new Error(`no BTF id list for ${text}`);
}

const SIZES: Record<string, number> = {
  u64: 8,
  s64: 8,
  u32: 4,
  "unsigned long": 8,
  long: 8,
  "struct iphdr": 20,
  "struct ipv6hdr": 40,
  "struct tcphdr": 20,
};

function readKernel(roots: readonly string[]): KernelTables {
  const files = roots.flatMap((root) => readSources(root, folders));
  const protos = new Map<string, string>();
  for (const { name, fields } of structInits(files, "bpf_func_proto")) {
    if (protos.has(name)) continue;
    const args: string[] = [];
    for (let i = 1; i <= 5; i++) {
      const type = fields.get(`arg${i}_type`);
      if (!type) break;
      let arg = type.replace(/ \| /g, "|");
      const size = fields.get(`arg${i}_size`);
      if (size) arg += `#${SIZES[/sizeof\((.*)\)/.exec(size)![1]!]!}`;
      const id = fields.get(`arg${i}_btf_id`);
      if (id) arg += `@${btfName(files, id)}`;
      args.push(arg);
    }
    let ret = (fields.get("ret_type") ?? "RET_INTEGER").replace(/ \| /g, "|");
    const retId = fields.get("ret_btf_id");
    if (retId) ret += `@${btfName(files, retId)}`;
    const flags = ["gpl_only", "pkt_access", "might_sleep", "allow_fastcall"].filter(
      (f) => fields.get(f) === "true",
    );
    if (fields.has("allowed")) flags.push(`allowed:${fields.get("allowed")}`);
    protos.set(name, [ret, args.join(","), flags.join(",")].join(";"));
  }

  const fns = functions(files, (n) => /_proto$|bpf_prog_has_trampoline|^is_\w*probe\w*$/.test(n));
  const ops = new Map(
    structInits(files, "bpf_verifier_ops").map((o) => [o.name, o.fields.get("get_func_proto") ?? ""]),
  );
  const roots2 = new Map<string, string>();
  for (const f of files)
    if (f.path.endsWith("bpf_types.h"))
      for (const m of f.text.matchAll(/BPF_PROG_TYPE\((\w+),\s*(\w+)/g))
        roots2.set(m[1]!, ops.get(`${m[2]}_verifier_ops`) ?? "");
  for (const s of structInits(files, "bpf_struct_ops")) {
    const name = s.fields.get("name")?.replace(/"/g, "");
    const op = /&(\w+)/.exec(s.fields.get("verifier_ops") ?? "")?.[1];
    if (name && op) roots2.set(`struct_ops:${name}`, ops.get(op) ?? "");
    // One member is an exception (no setsockopt while the socket is released).
    if (name === "tcp_congestion_ops" && op) roots2.set(`struct_ops:${name}.release`, ops.get(op) ?? "");
  }
  for (const s of structInits(files, "bpf_iter_reg"))
    if (s.fields.has("get_func_proto"))
      roots2.set(`iter:${s.fields.get("target")!.replace(/"/g, "")}`, s.fields.get("get_func_proto")!);

  const types = new Map<string, TypeTable>();
  for (const [type, root] of roots2) {
    if (!fns.has(root)) continue;
    /** Whether the last run looked at the attach type. */
    let asked = false;
    const run = (
      id: string,
      attach: number,
      sleepable: boolean,
      bpf: boolean,
      perfmon: boolean,
      hook = "",
    ): string | null => {
      const machine: Machine = {
        member: (path) => {
          if (path.endsWith("->expected_attach_type")) {
            asked = true;
            return attach;
          }
          if (path.endsWith("sleepable")) return sleepable ? 1 : 0;
          if (path.endsWith("->type")) return progTypes[type] ?? -1;
          return path;
        },
        constant: (name) =>
          attachTypes[name] ?? progTypes[name] ?? (name.startsWith("BPF_FUNC_") ? name : undefined),
        call: (name, args): Value | undefined => {
          if (SPECIAL[name]) return SPECIAL[name];
          if (name === "bpf_get_skb_set_tunnel_proto")
            return args[0] === "BPF_FUNC_skb_set_tunnel_key"
              ? "bpf_skb_set_tunnel_key_proto"
              : "bpf_skb_set_tunnel_opt_proto";
          if (name === "bpf_token_capable" || name === "capable")
            return (args.at(-1) === "CAP_BPF" ? bpf : perfmon) ? 1 : 0;
          if (name === "bpf_capable") return bpf ? 1 : 0;
          if (name === "perfmon_capable") return perfmon ? 1 : 0;
          if (name === "btf_id_set_contains") return args[0] === hook ? 1 : 0;
          if (name === "bpf_iter_get_func_proto") return 0;
          // The variants differ in what they do, not in their types.
          if (name === "bpf_prog_check_recur") return 1;
          if (name === "prog_ops_moff") return `offsetof ${type.split(".")[1]}`;
          if (/locked_down|security_/.test(name)) return 0;
          if (/_proto$|bpf_prog_has_trampoline|^is_\w*probe/.test(name) && fns.has(name)) return undefined;
          throw new Error(`call of ${name} in ${root}`);
        },
      };
      const v = evaluate(fns, root, [`BPF_FUNC_${id}`, "prog"], machine);
      return v === 0 ? null : String(v);
    };
    const table: TypeTable = {
      base: new Map(),
      attach: new Map(),
      sleepable: new Map(),
      capBpf: [],
      capPerfmon: [],
    };
    for (const { id, name } of helpers) {
      const short = name.replace(/^bpf_/, "");
      const counts = new Map<string | null, number>();
      asked = false;
      const first = run(short, 0, false, true, true);
      const asks = asked;
      const byAttach = Object.values(attachTypes).map(
        (a) => [a, asks ? run(short, a, false, true, true) : first] as const,
      );
      for (const [, p] of byAttach) counts.set(p, (counts.get(p) ?? 0) + 1);
      const base = [...counts].sort((a, b) => b[1] - a[1])[0]![0];
      if (base) table.base.set(id, base);
      for (const [a, p] of byAttach)
        if (p !== base) {
          if (!table.attach.has(a)) table.attach.set(a, new Map());
          table.attach.get(a)!.set(id, p);
        }
      const sleepy = run(short, 0, true, true, true);
      if (sleepy !== byAttach[0]![1]) table.sleepable.set(id, sleepy);
      const some = byAttach.find(([, p]) => p !== null);
      if (some) {
        if (run(short, some[0], false, false, true) === null) table.capBpf.push(id);
        if (run(short, some[0], false, true, false) === null) table.capPerfmon.push(id);
      }
      if (type === "BPF_PROG_TYPE_LSM")
        for (const set of [
          "bpf_lsm_locked_sockopt_hooks",
          "bpf_lsm_unlocked_sockopt_hooks",
          "bpf_lsm_current_hooks",
        ]) {
          const p = run(short, attachTypes["BPF_LSM_CGROUP"]!, false, true, true, set);
          if (p !== run(short, attachTypes["BPF_LSM_CGROUP"]!, false, true, true)) {
            const key = `lsm:${set}`;
            if (!types.has(key))
              types.set(key, {
                base: new Map(),
                attach: new Map(),
                sleepable: new Map(),
                capBpf: [],
                capPerfmon: [],
              });
            types.get(key)!.base.set(id, p!);
          }
        }
    }
    types.set(type, table);
  }
  const sets = new Map<string, string[]>();
  for (const [name, s] of btfSets(files))
    if (
      /^(sleepable_lsm_hooks|untrusted_lsm_hooks|bool_lsm_hooks|btf_allowlist_d_path|bpf_lsm_\w+|btf_id_deny|noreturn_deny)$/.test(
        name,
      )
    )
      sets.set(
        name,
        s.members.map((m) => m.name),
      );
  return { protos, types, sets };
}

const k61 = readKernel([root61, ...more.filter((r) => r.includes("6.1/") || r.endsWith("6.1"))]);
const k612 = readKernel([root612, ...more.filter((r) => r.includes("6.12"))]);

// ---- 6.18: 6.12 and what the feature probe says beyond it ------------------------------------------------------------
const probed = JSON.parse(readFileSync(join(facts, "helpers-by-progtype-6.18.json"), "utf8")) as Record<
  string,
  string[]
>;
const ids = new Map(helpers.map((h) => [h.name, h.id]));
const clone = (t: TypeTable): TypeTable => ({
  base: new Map(t.base),
  attach: new Map([...t.attach].map(([a, m]) => [a, new Map(m)])),
  sleepable: new Map(t.sleepable),
  capBpf: [...t.capBpf],
  capPerfmon: [...t.capPerfmon],
});
const k618: KernelTables = { protos: k612.protos, types: new Map(), sets: k612.sets };
const probeOf = (type: string): Set<number> => {
  const key = `${type.replace("BPF_PROG_TYPE_", "").toLowerCase()}_available_helpers`;
  return new Set((probed[key] ?? []).map((n) => ids.get(n)!));
};
const base612 = k612.types.get("BPF_PROG_TYPE_NETFILTER")!;
const baseAdded = [...probeOf("BPF_PROG_TYPE_NETFILTER")].filter((id) => !base612.base.has(id));
/** The variant that most types use; else the one named after the helper. */
function usual(id: number): string {
  const counts = new Map<string, number>();
  for (const t of k612.types.values()) {
    const p = t.base.get(id);
    if (p) counts.set(p, (counts.get(p) ?? 0) + 1);
  }
  const own = `${helpers[id]!.name}_proto`;
  return k612.protos.has(own) ? own : ([...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? own);
}
for (const [type, t] of k612.types) {
  const c = clone(t);
  const probe = probeOf(type);
  // What depends on the attach type already is not news: the probe tries one attach type.
  for (const id of probe.size > 0 ? probe : baseAdded)
    if (
      !c.base.has(id) &&
      ![...c.attach.values()].some((m) => m.get(id)) &&
      !type.startsWith("lsm:") &&
      !type.startsWith("iter:")
    ) {
      c.base.set(id, usual(id));
      if (base612.capPerfmon.includes(id)) c.capPerfmon.push(id);
      c.capBpf.push(id);
    }
  if (probe.size > 0)
    for (const id of [...c.base.keys()])
      if (!probe.has(id)) {
        console.error(`6.18 ${type}: the probe does not see ${helpers[id]!.name}`);
      }
  k618.types.set(type, c);
}

// ---- configurations: neither Debian's kernels nor the probed one are built with what these want ----------------------
/** CONFIG_BPF_KPROBE_OVERRIDE. */
const ABSENT = ["bpf_override_return"];
for (const kernel of [k61, k612, k618])
  for (const table of kernel.types.values()) for (const name of ABSENT) table.base.delete(ids.get(name)!);
// The probed machine is locked down: no program writes to user memory.
for (const table of k618.types.values()) table.base.delete(ids.get("bpf_probe_write_user")!);

// ---- output ------------------------------------------------------------------------------------------------------------
const protoKeys = new Map<string, string>();
const names = new Map<string, string>();
for (const [k, tables] of [
  ["6.12", k612],
  ["6.1", k61],
] as const) {
  const used = new Set<string>();
  for (const t of tables.types.values()) {
    for (const p of t.base.values()) used.add(p);
    for (const m of [...t.attach.values(), t.sleepable]) for (const p of m.values()) if (p) used.add(p);
  }
  for (const name of used) {
    const text = tables.protos.get(name);
    if (text === undefined) throw new Error(`${k}: no definition of ${name}`);
    const key = k === "6.12" || protoKeys.get(name) === text ? name : `${name}@${k}`;
    protoKeys.set(key, text);
    names.set(`${k}/${name}`, key);
  }
}
const pairs = (m: Iterable<[number, string | null]>, kernel: string): string =>
  [...m]
    .sort((a, b) => a[0] - b[0])
    .map(([id, p]) => {
      if (p === null) return `${id}-`;
      const variant = (names.get(`${kernel}/${p}`) ?? p).replace("_proto", "");
      return variant === helpers[id]!.name ? `${id}` : `${id}:${variant}`;
    })
    .join(" ");
let text = `// Generated by tools/gen-helper-specs.ts from the sources of Linux 6.1 and 6.12 and the feature probe of 6.18. Do not edit.

/** Variant of a helper's prototype: "RET;ARG,ARG...;flags". \`#n\`: fixed size, \`@name\`: BTF type, \`*\`: any. */
export const HELPER_VARIANTS: Readonly<Record<string, string>> = {\n`;
for (const [k, v] of [...protoKeys].sort())
  text += `  ${JSON.stringify(k.replace("_proto", ""))}: ${JSON.stringify(v)},\n`;
text += `};

/**
 * Which variant a program type gets: "id:variant ...", where the variant is left out if it has the helper's own name; in
 * overrides, "id-" means not available.
 */
export interface HelperTable {
  readonly base: string;
  readonly attach: Readonly<Record<number, string>>;
  readonly sleepable: string;
  readonly capBpf: readonly number[];
  readonly capPerfmon: readonly number[];
}

/** Kernel, then BPF_PROG_TYPE_* by name ("struct_ops:NAME", "iter:TARGET", "lsm:HOOK_SET" for what those add). */
export const HELPER_TABLES: Readonly<Record<string, Readonly<Record<string, HelperTable>>>> = {\n`;
for (const [k, t, src] of [
  ["6.1", k61, "6.1"],
  ["6.12", k612, "6.12"],
  ["6.18", k618, "6.12"],
] as const) {
  text += `  "${k}": {\n`;
  for (const [type, c] of t.types) {
    text += `    "${type}": {\n      base: "${pairs(c.base, src)}",\n      attach: {`;
    for (const [a, m] of c.attach) if (m.size) text += ` ${a}: "${pairs(m, src)}",`;
    text += ` },\n      sleepable: "${pairs(c.sleepable, src)}",\n      capBpf: [${c.capBpf.join(", ")}],\n      capPerfmon: [${c.capPerfmon.join(", ")}],\n    },\n`;
  }
  text += "  },\n";
}
text +=
  "};\n\n/** Kernel, then BTF id sets of functions that its verifier consults (hooks by what is allowed at them). */\n";
text +=
  "export const BTF_ID_SETS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {\n";
for (const [k, t] of [
  ["6.1", k61],
  ["6.12", k612],
] as const) {
  text += `  "${k}": {\n`;
  for (const [name, members] of t.sets) text += `    ${name}: ${JSON.stringify(members)},\n`;
  text += "  },\n";
}
text += "};\n";
writeFileSync(fileURLToPath(new URL("../src/uapi/generated/helper-specs.ts", import.meta.url)), text);
console.log(`${protoKeys.size} variants; types: ${[...k612.types.keys()].join(" ")}`);
