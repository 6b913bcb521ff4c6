/**
 * Writes src/uapi/generated/kfuncs.ts: the kernel functions that programs may call, with their KF_ flags and the program
 * types they are registered for, as the sources of Linux 6.1 and 6.12 register them. ADDED_6_18 is what 6.18 has beyond
 * 6.12 (its BTF names the functions; flags live in a section that BTF does not describe).
 *
 *   npx tsx tools/gen-kfuncs.ts LINUX_6.1_SOURCE LINUX_6.12_SOURCE
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { btfSets, readSources, structInits } from "./kernel-facts/c-source.ts";

const [root61, root612] = process.argv.slice(2);
if (!root61 || !root612) throw new Error("usage: tsx tools/gen-kfuncs.ts LINUX_6.1 LINUX_6.12");
const folders = ["kernel", "net", "fs", "drivers/hid/bpf"];

interface Kfunc {
  flags: string[];
  types: Set<string>;
  filter: string;
}

function readKernel(root: string): Map<string, Kfunc> {
  const files = readSources(root, folders);
  const out = new Map<string, Kfunc>();
  for (const file of files) {
    const sets = btfSets([file]);
    for (const kset of structInits([file], "btf_kfunc_id_set")) {
      const set = sets.get(/&(\w+)/.exec(kset.fields.get("set") ?? "")?.[1] ?? "");
      // XDP metadata kfuncs come from a macro that lists them.
      const members = set?.members.length
        ? set.members
        : [...file.text.matchAll(/__bpf_kfunc\s+int\s+(bpf_xdp_metadata_rx_\w+)/g)].map((m) => ({
            name: m[1]!,
            flags: ["KF_TRUSTED_ARGS"],
          }));
      const types = [
        ...file.text.matchAll(
          new RegExp(`register_btf_kfunc_id_set\\(\\s*(BPF_PROG_TYPE_\\w+)\\s*,\\s*&${kset.name}\\b`, "g"),
        ),
      ].map((m) => m[1]!);
      for (const { name, flags } of members) {
        const kfunc = out.get(name) ?? {
          flags,
          types: new Set<string>(),
          filter: kset.fields.get("filter") ?? "",
        };
        for (const t of types) kfunc.types.add(t);
        out.set(name, kfunc);
      }
    }
    for (const m of file.text.matchAll(/register_btf_fmodret_id_set\(\s*&(\w+)/g)) {
      const kset = structInits([file], "btf_kfunc_id_set").find((k) => k.name === m[1]);
      const set = sets.get(/&(\w+)/.exec(kset?.fields.get("set") ?? "")?.[1] ?? "");
      for (const { name, flags } of set?.members ?? []) {
        const kfunc = out.get(name) ?? { flags, types: new Set<string>(), filter: "" };
        kfunc.types.add("FMODRET");
        out.set(name, kfunc);
      }
    }
  }
  return out;
}

const TASKS = ["TRACING", "SCHED_CLS", "XDP", "STRUCT_OPS", "SYSCALL", "CGROUP_SKB"];
/** name: flags, program types (as for the rest of the set that 6.18 registers it in). */
const ADDED_6_18: Readonly<Record<string, readonly [flags: string, types: readonly string[]]>> = {
  bpf_list_front: ["KF_RET_NULL", TASKS],
  bpf_list_back: ["KF_RET_NULL", TASKS],
  bpf_rbtree_root: ["KF_RET_NULL", TASKS],
  bpf_rbtree_left: ["KF_RET_NULL", TASKS],
  bpf_rbtree_right: ["KF_RET_NULL", TASKS],
  bpf_task_from_vpid: ["KF_ACQUIRE|KF_RET_NULL", TASKS],
  bpf_send_signal_task: ["KF_TRUSTED_ARGS", TASKS],
  bpf_cast_to_kern_ctx: ["KF_FASTCALL", ["UNSPEC"]],
  bpf_rdonly_cast: ["KF_FASTCALL", ["UNSPEC"]],
  bpf_dynptr_copy: ["", ["UNSPEC"]],
  bpf_dynptr_memset: ["", ["UNSPEC"]],
  bpf_copy_from_user_task_str: ["KF_SLEEPABLE", ["UNSPEC"]],
  bpf_get_kmem_cache: ["", ["UNSPEC"]],
  bpf_iter_kmem_cache_new: ["KF_ITER_NEW|KF_SLEEPABLE", ["UNSPEC"]],
  bpf_iter_kmem_cache_next: ["KF_ITER_NEXT|KF_RET_NULL|KF_SLEEPABLE", ["UNSPEC"]],
  bpf_iter_kmem_cache_destroy: ["KF_ITER_DESTROY|KF_SLEEPABLE", ["UNSPEC"]],
  bpf_local_irq_save: ["", ["UNSPEC"]],
  bpf_local_irq_restore: ["", ["UNSPEC"]],
  bpf_probe_read_user_dynptr: ["", ["UNSPEC"]],
  bpf_probe_read_kernel_dynptr: ["", ["UNSPEC"]],
  bpf_probe_read_user_str_dynptr: ["", ["UNSPEC"]],
  bpf_probe_read_kernel_str_dynptr: ["", ["UNSPEC"]],
  bpf_copy_from_user_dynptr: ["KF_SLEEPABLE", ["UNSPEC"]],
  bpf_copy_from_user_str_dynptr: ["KF_SLEEPABLE", ["UNSPEC"]],
  bpf_copy_from_user_task_dynptr: ["KF_SLEEPABLE|KF_TRUSTED_ARGS", ["UNSPEC"]],
  bpf_copy_from_user_task_str_dynptr: ["KF_SLEEPABLE|KF_TRUSTED_ARGS", ["UNSPEC"]],
  bpf_iter_dmabuf_new: ["KF_ITER_NEW|KF_SLEEPABLE", ["UNSPEC"]],
  bpf_iter_dmabuf_next: ["KF_ITER_NEXT|KF_RET_NULL|KF_SLEEPABLE", ["UNSPEC"]],
  bpf_iter_dmabuf_destroy: ["KF_ITER_DESTROY|KF_SLEEPABLE", ["UNSPEC"]],
  __bpf_trap: ["", ["UNSPEC"]],
  bpf_strcmp: ["", ["UNSPEC"]],
  bpf_strcasecmp: ["", ["UNSPEC"]],
  bpf_strchr: ["", ["UNSPEC"]],
  bpf_strchrnul: ["", ["UNSPEC"]],
  bpf_strnchr: ["", ["UNSPEC"]],
  bpf_strrchr: ["", ["UNSPEC"]],
  bpf_strlen: ["", ["UNSPEC"]],
  bpf_strnlen: ["", ["UNSPEC"]],
  bpf_strspn: ["", ["UNSPEC"]],
  bpf_strcspn: ["", ["UNSPEC"]],
  bpf_strstr: ["", ["UNSPEC"]],
  bpf_strnstr: ["", ["UNSPEC"]],
  bpf_cgroup_read_xattr: ["KF_RCU", ["UNSPEC"]],
  bpf_stream_vprintk_impl: ["KF_TRUSTED_ARGS", ["UNSPEC"]],
  bpf_task_work_schedule_signal_impl: ["KF_TRUSTED_ARGS", ["UNSPEC"]],
  bpf_task_work_schedule_resume_impl: ["KF_TRUSTED_ARGS", ["UNSPEC"]],
  bpf_res_spin_lock: ["KF_RET_NULL", ["UNSPEC"]],
  bpf_res_spin_unlock: ["", ["UNSPEC"]],
  bpf_res_spin_lock_irqsave: ["KF_RET_NULL", ["UNSPEC"]],
  bpf_res_spin_unlock_irqrestore: ["", ["UNSPEC"]],
  bpf_arena_alloc_pages: ["KF_TRUSTED_ARGS|KF_SLEEPABLE|KF_ARENA_RET|KF_ARENA_ARG2", ["UNSPEC"]],
  bpf_arena_free_pages: ["KF_TRUSTED_ARGS|KF_SLEEPABLE|KF_ARENA_ARG2", ["UNSPEC"]],
  bpf_arena_reserve_pages: ["KF_TRUSTED_ARGS|KF_ARENA_ARG2", ["UNSPEC"]],
  bpf_cpumask_populate: ["KF_RCU", ["TRACING", "STRUCT_OPS", "SYSCALL"]],
  bpf_set_dentry_xattr: ["KF_SLEEPABLE|KF_TRUSTED_ARGS", ["LSM"]],
  bpf_remove_dentry_xattr: ["KF_SLEEPABLE|KF_TRUSTED_ARGS", ["LSM"]],
  bpf_dynptr_from_skb_meta: ["KF_TRUSTED_ARGS", ["SCHED_CLS", "SCHED_ACT"]],
  bpf_sock_ops_enable_tx_tstamp: ["KF_TRUSTED_ARGS", ["SOCK_OPS"]],
  bpf_xdp_pull_data: ["", ["XDP"]],
  bpf_xdp_metadata_rx_hash: ["KF_TRUSTED_ARGS", ["XDP"]],
  bpf_xdp_metadata_rx_timestamp: ["KF_TRUSTED_ARGS", ["XDP"]],
  bpf_xdp_metadata_rx_vlan_tag: ["KF_TRUSTED_ARGS", ["XDP"]],
  css_rstat_updated: ["", ["TRACING"]],
  css_rstat_flush: ["KF_SLEEPABLE", ["TRACING"]],
};

const k61 = readKernel(root61);
const k612 = readKernel(root612);
const k618 = new Map([...k612].map(([n, k]) => [n, { ...k, types: new Set(k.types) }]));
for (const [name, [flags, types]] of Object.entries(ADDED_6_18))
  k618.set(name, {
    flags: flags === "" ? [] : flags.split("|"),
    types: new Set(types.map((t) => `BPF_PROG_TYPE_${t}`)),
    filter: types[0] === "LSM" ? "bpf_fs_kfuncs_filter" : "",
  });

let text = `// Generated by tools/gen-kfuncs.ts from the sources of Linux 6.1 and 6.12 and a list of what 6.18 adds. Do not edit.

/** Kernel, then kfunc: "KF_FLAGS;program types;filter", all that its registration says. \`UNSPEC\`: every program type. */
export const KFUNC_TABLES: Readonly<Record<string, Readonly<Record<string, string>>>> = {\n`;
for (const [kernel, table] of [
  ["6.1", k61],
  ["6.12", k612],
  ["6.18", k618],
] as const) {
  text += `  "${kernel}": {\n`;
  for (const [name, k] of [...table].sort((a, b) => (a[0] < b[0] ? -1 : 1)))
    text += `    ${name}: "${k.flags.join("|")};${[...k.types].map((t) => t.replace("BPF_PROG_TYPE_", "")).join(",")};${k.filter}",\n`;
  text += "  },\n";
}
writeFileSync(fileURLToPath(new URL("../src/uapi/generated/kfuncs.ts", import.meta.url)), `${text}};\n`);
console.log(`kfuncs: 6.1 ${k61.size}, 6.12 ${k612.size}, 6.18 ${k618.size}`);
