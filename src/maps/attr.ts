import {
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY,
  BPF_F_WRONLY_PROG,
  BPF_MAP_TYPE_ARENA,
  BPF_MAP_TYPE_BLOOM_FILTER,
  BPF_MAP_TYPE_STRUCT_OPS,
  EINVAL,
} from "../uapi/index.ts";

/** What BPF_MAP_CREATE takes of `union bpf_attr`, apart from BTF file descriptors, which the kernel resolves. */
export interface MapAttr {
  readonly map_type: number;
  readonly key_size: number;
  readonly value_size: number;
  readonly max_entries: number;
  readonly map_flags?: number;
  readonly map_name?: string;
  readonly inner_map_fd?: number;
  readonly numa_node?: number;
  readonly map_ifindex?: number;
  readonly btf_key_type_id?: number;
  readonly btf_value_type_id?: number;
  readonly btf_vmlinux_value_type_id?: number;
  readonly map_extra?: bigint;
}

/** KMALLOC_MAX_SIZE on x86-64: the longest key or value that user space can exchange. */
export const KMALLOC_MAX_SIZE: number = 4 << 20;
/** PCPU_MIN_UNIT_SIZE: the longest per-CPU value. */
export const PCPU_MIN_UNIT_SIZE: number = 32 << 10;
export const BPF_F_ACCESS_MASK: number = BPF_F_RDONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY | BPF_F_WRONLY_PROG;

/** A program may be kept from reading or from writing, not from both. */
export function accessOk(flags: number): boolean {
  return (flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) !== (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG);
}

/** `true` for a map_flags bit outside `mask`. */
export function hasOtherFlags(flags: number, mask: number): boolean {
  return (flags & ~mask) !== 0;
}

export function hasNumaNode(attr: MapAttr): boolean {
  return ((attr.map_flags ?? 0) & BPF_F_NUMA_NODE) !== 0;
}

const U32 = 2 ** 32;

/** What map_create of kernel/bpf/syscall.c checks before it looks at the type. 0 or a negative errno. */
export function checkCommon(attr: MapAttr): number {
  for (const n of [attr.map_type, attr.key_size, attr.value_size, attr.max_entries, attr.map_flags ?? 0])
    if (!(Number.isInteger(n) && n >= 0 && n < U32)) return -EINVAL;
  if (attr.btf_vmlinux_value_type_id) {
    if (attr.map_type !== BPF_MAP_TYPE_STRUCT_OPS || attr.btf_key_type_id || attr.btf_value_type_id)
      return -EINVAL;
  } else if (attr.btf_key_type_id && !attr.btf_value_type_id) return -EINVAL;
  if (
    attr.map_type !== BPF_MAP_TYPE_BLOOM_FILTER &&
    attr.map_type !== BPF_MAP_TYPE_ARENA &&
    (attr.map_extra ?? 0n) !== 0n
  )
    return -EINVAL;
  const flags = attr.map_flags ?? 0;
  if (flags & BPF_F_RDONLY && flags & BPF_F_WRONLY) return -EINVAL;
  // One node, as on a small machine.
  if (hasNumaNode(attr) && (attr.numa_node ?? 0) !== 0) return -EINVAL;
  return 0;
}

/** bpf_obj_name_cpy: at most 15 of [A-Za-z0-9_.]. 0 or -EINVAL. */
export function checkName(name: string): number {
  return /^[A-Za-z0-9_.]{0,15}$/.test(name) ? 0 : -EINVAL;
}
