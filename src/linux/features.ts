/**
 * What a kernel takes, found out by trying (libbpf_probes.c and bpftool's feature.c): program types, map types, helpers,
 * instruction sets. Works on any backend; `system` reads the files of the running machine.
 */
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { gunzipSync } from "node:zlib";
import * as asm from "../asm/index.ts";
import type { Backend, MapCreateAttr, ProgLoadAttr } from "../backend/index.ts";
import * as uapi from "../uapi/index.ts";

/** Keys as in bpftool's JSON. */
export interface Features {
  readonly program_types: Readonly<Record<string, boolean>>;
  readonly map_types: Readonly<Record<string, boolean>>;
  /** `<type>_available_helpers` -> names. */
  readonly helpers: Readonly<Record<string, readonly string[]>>;
  readonly misc: Readonly<Record<string, boolean>>;
}

export type SystemConfig = Readonly<Record<string, number | string | null>>;

interface Attempt {
  readonly attr?: Partial<ProgLoadAttr>;
  /** A kernel that knows the type refuses the probe with this errno, and these words in its log. */
  readonly refusal?: { readonly errno: number; readonly log?: string };
  /** The type's programs do not load without a target, so their helpers cannot be probed. */
  readonly helpers?: false;
}

const ATTEMPTS: Readonly<Record<number, Attempt>> = {
  [uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR]: { attr: { expected_attach_type: uapi.BPF_CGROUP_INET4_CONNECT } },
  [uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT]: { attr: { expected_attach_type: uapi.BPF_CGROUP_GETSOCKOPT } },
  [uapi.BPF_PROG_TYPE_SK_LOOKUP]: { attr: { expected_attach_type: uapi.BPF_SK_LOOKUP } },
  [uapi.BPF_PROG_TYPE_LIRC_MODE2]: { attr: { expected_attach_type: uapi.BPF_LIRC_MODE2 } },
  [uapi.BPF_PROG_TYPE_NETFILTER]: { attr: { expected_attach_type: uapi.BPF_NETFILTER } },
  [uapi.BPF_PROG_TYPE_SYSCALL]: { attr: { prog_flags: uapi.BPF_F_SLEEPABLE } },
  [uapi.BPF_PROG_TYPE_TRACING]: {
    attr: { expected_attach_type: uapi.BPF_TRACE_FENTRY, attach_btf_id: 1 },
    refusal: { errno: uapi.EINVAL, log: "attach_btf_id 1 is not a function" },
    helpers: false,
  },
  [uapi.BPF_PROG_TYPE_LSM]: {
    attr: { expected_attach_type: uapi.BPF_MODIFY_RETURN, attach_btf_id: 1 },
    refusal: { errno: uapi.EINVAL, log: "attach_btf_id 1 is not a function" },
    helpers: false,
  },
  [uapi.BPF_PROG_TYPE_EXT]: {
    attr: { attach_btf_id: 1 },
    refusal: { errno: uapi.EINVAL, log: "Cannot replace kernel functions" },
    helpers: false,
  },
  [uapi.BPF_PROG_TYPE_STRUCT_OPS]: { refusal: { errno: uapi.ENOTSUPP }, helpers: false },
};

function load(
  backend: Backend,
  type: number,
  insns: Uint8Array,
  withLog: boolean,
): { readonly err: number; readonly log: string } {
  const { fd, log } = backend.progLoad({
    prog_type: type,
    insns,
    license: "GPL",
    ...(withLog ? { log_level: 1, log_size: 4096 } : {}),
    ...ATTEMPTS[type]?.attr,
  });
  if (fd >= 0) backend.close(fd);
  return { err: Math.min(fd, 0), log };
}

const RETURN_0: Uint8Array = asm.encode([asm.mov64Imm(0, 0), asm.exit()]);

export function hasProgType(backend: Backend, type: number): boolean {
  const refusal = ATTEMPTS[type]?.refusal;
  const { err, log } = load(backend, type, RETURN_0, refusal?.log !== undefined);
  if (refusal === undefined) return err === 0;
  return err === -refusal.errno && (refusal.log === undefined || log.includes(refusal.log));
}

const REFUSALS = ["invalid func ", "unknown func ", "program of this type cannot use helper "];

/** undefined: cannot be told, as the type's programs want a target. */
export function hasHelper(backend: Backend, type: number, helper: number): boolean | undefined {
  if (ATTEMPTS[type]?.helpers === false) return undefined;
  const { err, log } = load(backend, type, asm.encode([asm.callHelper(helper), asm.exit()]), true);
  return err === 0 || !REFUSALS.some((words) => log.includes(words));
}

/** `int` and `struct { struct bpf_spin_lock; int }` are not needed: an int as key and as value does. */
const INT_BTF: Uint8Array = (() => {
  const text = new TextEncoder().encode("\0int\0");
  const bytes = new Uint8Array(24 + 16 + text.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0xeb9f, true);
  bytes[2] = 1;
  [24, 0, 16, 16, text.length].forEach((word, i) => {
    view.setUint32(4 + i * 4, word, true);
  });
  [1, 1 << 24, 4, 0x01000020].forEach((word, i) => {
    view.setUint32(24 + i * 4, word, true);
  });
  bytes.set(text, 40);
  return bytes;
})();

const KEYLESS = { key_size: 0 };
const RING = { key_size: 0, value_size: 0, max_entries: 65536 };
const STORAGE = {
  max_entries: 0,
  map_flags: uapi.BPF_F_NO_PREALLOC,
  btf_key_type_id: 1,
  btf_value_type_id: 1,
};
const CGROUP_STORAGE = { key_size: 16, value_size: 8, max_entries: 0 };

const MAP_ATTEMPTS: Readonly<Record<number, Partial<MapCreateAttr>>> = {
  [uapi.BPF_MAP_TYPE_STACK_TRACE]: { value_size: 8 },
  [uapi.BPF_MAP_TYPE_LPM_TRIE]: { key_size: 8, value_size: 8, map_flags: uapi.BPF_F_NO_PREALLOC },
  [uapi.BPF_MAP_TYPE_CGROUP_STORAGE]: CGROUP_STORAGE,
  [uapi.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE]: CGROUP_STORAGE,
  [uapi.BPF_MAP_TYPE_QUEUE]: KEYLESS,
  [uapi.BPF_MAP_TYPE_STACK]: KEYLESS,
  [uapi.BPF_MAP_TYPE_BLOOM_FILTER]: KEYLESS,
  [uapi.BPF_MAP_TYPE_SK_STORAGE]: STORAGE,
  [uapi.BPF_MAP_TYPE_INODE_STORAGE]: STORAGE,
  [uapi.BPF_MAP_TYPE_TASK_STORAGE]: STORAGE,
  [uapi.BPF_MAP_TYPE_CGRP_STORAGE]: STORAGE,
  [uapi.BPF_MAP_TYPE_RINGBUF]: RING,
  [uapi.BPF_MAP_TYPE_USER_RINGBUF]: RING,
  [uapi.BPF_MAP_TYPE_ARENA]: { key_size: 0, value_size: 0, map_flags: uapi.BPF_F_MMAPABLE },
};

export function hasMapType(backend: Backend, type: number): boolean {
  const own: number[] = [];
  const keep = (fd: number): number => {
    if (fd >= 0) own.push(fd);
    return fd;
  };
  const more = MAP_ATTEMPTS[type];
  const isNested = type === uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS || type === uapi.BPF_MAP_TYPE_HASH_OF_MAPS;
  const plain = { key_size: 4, value_size: 4, max_entries: 1 };
  try {
    const attr: MapCreateAttr = {
      map_type: type,
      ...plain,
      ...more,
      ...(isNested
        ? { inner_map_fd: keep(backend.mapCreate({ map_type: uapi.BPF_MAP_TYPE_HASH, ...plain })) }
        : {}),
      ...(more?.btf_key_type_id === undefined ? {} : { btf_fd: keep(backend.btfLoad(INT_BTF)) }),
      ...(type === uapi.BPF_MAP_TYPE_STRUCT_OPS ? { btf_vmlinux_value_type_id: 1 } : {}),
    };
    const fd = keep(backend.mapCreate(attr));
    // Type 1 of the kernel's BTF is no struct_ops: who knows the map type says ENOTSUPP.
    return type === uapi.BPF_MAP_TYPE_STRUCT_OPS ? fd === -uapi.ENOTSUPP : fd >= 0;
  } finally {
    for (const fd of own) backend.close(fd);
  }
}

const MAX_INSNS = 4096;
const { BPF_JNE, BPF_JLT, BPF_SUB } = uapi;

/** Programs that only a kernel with the feature takes. */
const MISC: Readonly<Record<string, asm.Insn[]>> = {
  have_large_insn_limit: [...Array.from({ length: MAX_INSNS }, () => asm.mov64Imm(0, 1)), asm.exit()],
  have_bounded_loops: [
    asm.mov64Imm(0, 10),
    asm.alu64Imm(BPF_SUB, 0, 1),
    asm.jmpImm(BPF_JNE, 0, 0, -2),
    asm.exit(),
  ],
  have_v2_isa_extension: [asm.mov64Imm(0, 0), asm.jmpImm(BPF_JLT, 0, 0, 1), asm.mov64Imm(0, 1), asm.exit()],
  have_v3_isa_extension: [asm.mov64Imm(0, 0), asm.jmp32Imm(BPF_JLT, 0, 0, 1), asm.mov64Imm(0, 1), asm.exit()],
  have_v4_isa_extension: [
    asm.mov64Imm(0, 0),
    asm.jmp32Imm(uapi.BPF_JNE, 0, 1, 1),
    asm.jal(1),
    asm.mov64Imm(0, 1),
    asm.exit(),
  ],
};

/** Helpers whose mere loading the kernel writes about into its log; `all` tries them too. */
const NOISY: ReadonlySet<number> = new Set([
  uapi.BPF_FUNC_trace_printk,
  uapi.BPF_FUNC_trace_vprintk,
  uapi.BPF_FUNC_probe_write_user,
]);

const shortName = (name: string, prefix: string): string => name.slice(prefix.length).toLowerCase();

export function probeFeatures(backend: Backend, options: { readonly all?: boolean } = {}): Features {
  const programTypes: Record<string, boolean> = {};
  const mapTypes: Record<string, boolean> = {};
  const helpers: Record<string, string[]> = {};
  for (const [number, name] of Object.entries(uapi.bpf_prog_type_names)) {
    const type = Number(number);
    if (type === uapi.BPF_PROG_TYPE_UNSPEC || name.startsWith("__")) continue;
    const short = shortName(name, "BPF_PROG_TYPE_");
    const known = (programTypes[`have_${short}_prog_type`] = hasProgType(backend, type));
    helpers[`${short}_available_helpers`] = !known
      ? []
      : uapi.HELPER_PROTOS.filter(
          ({ id }) =>
            id > 0 && (options.all === true || !NOISY.has(id)) && hasHelper(backend, type, id) === true,
        ).map((proto) => proto.name);
  }
  for (const [number, name] of Object.entries(uapi.bpf_map_type_names)) {
    const type = Number(number);
    if (type === uapi.BPF_MAP_TYPE_UNSPEC || name.startsWith("__")) continue;
    mapTypes[`have_${shortName(name, "BPF_MAP_TYPE_").replace("_deprecated", "")}_map_type`] = hasMapType(
      backend,
      type,
    );
  }
  const misc = Object.fromEntries(
    Object.entries(MISC).map(([name, insns]) => [
      name,
      load(backend, uapi.BPF_PROG_TYPE_SOCKET_FILTER, asm.encode(insns), false).err === 0,
    ]),
  );
  return { program_types: programTypes, map_types: mapTypes, helpers, misc };
}

const SYSCTLS: Readonly<Record<string, string>> = {
  unprivileged_bpf_disabled: "kernel/unprivileged_bpf_disabled",
  bpf_jit_enable: "net/core/bpf_jit_enable",
  bpf_jit_harden: "net/core/bpf_jit_harden",
  bpf_jit_kallsyms: "net/core/bpf_jit_kallsyms",
  bpf_jit_limit: "net/core/bpf_jit_limit",
};

/** What BPF depends on in a kernel's configuration. */
const CONFIGS: readonly string[] = [
  ...["BPF", "BPF_SYSCALL", "HAVE_EBPF_JIT", "BPF_JIT", "BPF_JIT_ALWAYS_ON", "DEBUG_INFO_BTF"],
  ...["DEBUG_INFO_BTF_MODULES", "CGROUPS", "CGROUP_BPF", "CGROUP_NET_CLASSID", "SOCK_CGROUP_DATA"],
  ...["BPF_EVENTS", "KPROBE_EVENTS", "UPROBE_EVENTS", "TRACING", "FTRACE_SYSCALLS"],
  ...["FUNCTION_ERROR_INJECTION", "BPF_KPROBE_OVERRIDE", "NET", "XDP_SOCKETS", "LWTUNNEL_BPF"],
  ...["NET_ACT_BPF", "NET_CLS_BPF", "NET_CLS_ACT", "NET_SCH_INGRESS", "XFRM", "IP_ROUTE_CLASSID"],
  ...["IPV6_SEG6_BPF", "BPF_LIRC_MODE2", "BPF_STREAM_PARSER", "NETFILTER_XT_MATCH_BPF", "BPFILTER"],
  ...["BPFILTER_UMH", "TEST_BPF", "HZ"],
];

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** The running kernel's configuration as text; undefined where it shows none. */
function kernelConfig(): string | undefined {
  const plain = readText(`/boot/config-${release()}`);
  if (plain !== undefined) return plain;
  try {
    return gunzipSync(readFileSync("/proc/config.gz")).toString();
  } catch {
    return undefined;
  }
}

/** Settings of the running system that BPF depends on; null: not set. */
export function readSystemConfig(): SystemConfig {
  const out: Record<string, number | string | null> = {};
  for (const [name, path] of Object.entries(SYSCTLS)) {
    const text = readText(`/proc/sys/${path}`);
    out[name] = text === undefined ? null : Number(text);
  }
  const config = kernelConfig();
  if (config !== undefined)
    for (const name of CONFIGS)
      out[`CONFIG_${name}`] =
        new RegExp(`^CONFIG_${name}=(.*)$`, "m").exec(config)?.[1]?.replace(/^"|"$/g, "") ?? null;
  return out;
}
