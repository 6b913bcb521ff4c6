/** Attach points and links: `link_create` and its neighbours in `union bpf_attr`, members by their names there. */

export interface LinkInfo {
  readonly type: number;
  readonly id: number;
  readonly prog_id: number;
  readonly attach_type: number;
  /** Depends on the type: ifindex, cgroup id, target BTF id, network namespace's inode, hook number, map id... */
  readonly target: number;
  /** Of raw tracepoints, kprobes, uprobes, tracepoints and iterators: what the kernel calls the target. */
  readonly target_name?: string;
  readonly cookie?: bigint;
  /** Of links on perf events: BPF_PERF_EVENT_*. */
  readonly perf_event_type?: number;
}

/** Where among the programs of an attach point the new one stands. */
export interface LinkPosition {
  readonly relative_fd?: number;
  readonly relative_id?: number;
  readonly expected_revision?: bigint;
}

export interface LinkCreateAttr {
  /** A program; the map of a struct_ops (BPF_STRUCT_OPS). */
  readonly prog_fd: number;
  /** ifindex, cgroup fd, perf event fd, or 0 for attach points that need none. */
  readonly target_fd: number;
  readonly attach_type: number;
  readonly flags?: number;
  readonly name?: string;
  /** freplace and fentry on another program's function. */
  readonly target_btf_id?: number;
  /** Bytes of `union bpf_iter_link_info`. */
  readonly iter_info?: Uint8Array;
  readonly perf_event?: { readonly bpf_cookie?: bigint };
  readonly tracing?: { readonly target_btf_id?: number; readonly cookie?: bigint };
  readonly kprobe_multi?: {
    readonly flags?: number;
    readonly syms?: readonly string[];
    readonly addrs?: readonly bigint[];
    readonly cookies?: readonly bigint[];
  };
  readonly uprobe_multi?: {
    readonly path: string;
    readonly offsets: readonly bigint[];
    readonly ref_ctr_offsets?: readonly bigint[];
    readonly cookies?: readonly bigint[];
    readonly flags?: number;
    readonly pid?: number;
  };
  readonly netfilter?: {
    readonly pf: number;
    readonly hooknum: number;
    readonly priority: number;
    readonly flags?: number;
  };
  readonly tcx?: LinkPosition;
  readonly netkit?: LinkPosition;
  readonly cgroup?: LinkPosition;
}

export interface ProgAttachAttr {
  /** cgroup fd, network namespace (0: own), map fd, or ifindex. */
  readonly target_fd: number;
  readonly attach_bpf_fd?: number;
  readonly attach_type: number;
  readonly attach_flags?: number;
  readonly replace_bpf_fd?: number;
  readonly relative_fd?: number;
  readonly expected_revision?: bigint;
}

export interface ProgQueryAttr {
  readonly target_fd: number;
  readonly attach_type: number;
  readonly query_flags?: number;
}

export interface ProgQueryResult {
  readonly err: number;
  readonly prog_ids: readonly number[];
  /** As long as prog_ids where the attach point knows links; 0 stands for a program without one. */
  readonly link_ids: readonly number[];
  readonly attach_flags: number;
  readonly revision: bigint;
}

/** What perf_event_open(2) opens for a program. `pid` and `cpu` are its arguments: -1 is any. */
export type PerfEventSpec = { readonly pid?: number; readonly cpu?: number } & (
  | {
      readonly kind: "kprobe" | "kretprobe";
      /** A function's name, or an address. */
      readonly symbol: string | bigint;
      readonly offset?: number;
    }
  | {
      readonly kind: "uprobe" | "uretprobe";
      readonly path: string;
      /** In the file. */
      readonly offset: bigint;
      readonly refCtrOffset?: number;
    }
  | { readonly kind: "tracepoint"; readonly category: string; readonly name: string }
  | {
      /** PERF_TYPE_* and its config. */
      readonly kind: "event";
      readonly type: number;
      readonly config: bigint;
      readonly samplePeriod?: bigint;
      readonly sampleFreq?: number;
    }
);
