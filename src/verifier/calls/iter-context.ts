/**
 * Arguments of BPF iterators (BPF_TRACE_ITER) whose type the prototype does not tell: ctx_arg_info of each
 * bpf_iter_reg_target(). By the name of the target, "bpf_iter_" left off.
 */
import {
  MEM_RDONLY,
  PTR_MAYBE_NULL,
  PTR_TO_BTF_ID,
  PTR_TO_BUF,
  PTR_TRUSTED,
  PTR_UNTRUSTED,
} from "../state/reg-type.ts";

export interface IterArg {
  /** Offset in struct bpf_iter__X. */
  readonly off: number;
  readonly regType: number;
  /** The kernel's struct, "" for buffers. */
  readonly struct: string;
}

const OR_NULL: number = PTR_TO_BTF_ID | PTR_MAYBE_NULL;
const TRUSTED: number = OR_NULL | PTR_TRUSTED;
const BUF: number = PTR_TO_BUF | PTR_MAYBE_NULL;

function args(...rows: [number, number, string][]): readonly IterArg[] {
  return rows.map(([off, regType, struct]) => ({ off, regType, struct }));
}

export const ITER_ARGS: Readonly<Record<string, readonly IterArg[]>> = {
  bpf_map: args([8, TRUSTED, "bpf_map"]),
  bpf_map_elem: args([16, BUF | MEM_RDONLY, ""], [24, BUF, ""]),
  bpf_prog: args([8, OR_NULL, "bpf_prog"]),
  bpf_link: args([8, OR_NULL, "bpf_link"]),
  task: args([8, TRUSTED, "task_struct"]),
  task_file: args([8, OR_NULL, "task_struct"], [24, OR_NULL, "file"]),
  task_vma: args([8, OR_NULL, "task_struct"], [16, OR_NULL, "vm_area_struct"]),
  cgroup: args([8, TRUSTED, "cgroup"]),
  sockmap: args([16, BUF | MEM_RDONLY, ""], [24, OR_NULL, "sock"]),
  bpf_sk_storage_map: args([16, OR_NULL, "sock"], [24, BUF, ""]),
  tcp: args([8, TRUSTED, "sock_common"]),
  udp: args([8, TRUSTED, "udp_sock"]),
  unix: args([8, TRUSTED, "unix_sock"]),
  netlink: args([8, OR_NULL, "netlink_sock"]),
  ipv6_route: args([8, OR_NULL, "fib6_info"]),
  ksym: args([8, OR_NULL, "kallsym_iter"]),
  kmem_cache: args([8, OR_NULL | PTR_UNTRUSTED, "kmem_cache"]),
  dmabuf: args([8, TRUSTED, "dma_buf"]),
};
