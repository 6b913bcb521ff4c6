/**
 * The bpf(2) commands as one interface. The embedded kernel and Linux implement it; whatever sits above (loader,
 * typed maps, CLI) sees nothing else. Every command returns what bpf(2) returns: a non-negative value, or a negative
 * errno. Struct members carry the names of `union bpf_attr`. File descriptors are small integers of the backend's own.
 */

import type {
  LinkCreateAttr,
  LinkInfo,
  PerfEventSpec,
  ProgAttachAttr,
  ProgQueryAttr,
  ProgQueryResult,
} from "./links.ts";

/** A file descriptor, or a negative errno. */
export type FdOrErrno = number;
/** 0, or a negative errno. */
export type ZeroOrErrno = number;

export interface MapCreateAttr {
  readonly map_type: number;
  readonly key_size: number;
  readonly value_size: number;
  readonly max_entries: number;
  readonly map_flags?: number;
  /** At most 15 characters of [A-Za-z0-9_.]. */
  readonly map_name?: string;
  readonly inner_map_fd?: number;
  readonly numa_node?: number;
  readonly map_ifindex?: number;
  readonly btf_fd?: number;
  readonly btf_key_type_id?: number;
  readonly btf_value_type_id?: number;
  readonly btf_vmlinux_value_type_id?: number;
  readonly map_extra?: bigint;
  /** With BPF_F_VTYPE_BTF_OBJ_FD: the module's BTF that has the struct_ops type. */
  readonly value_type_btf_obj_fd?: number;
  readonly map_token_fd?: number;
}

export interface ProgLoadAttr {
  readonly prog_type: number;
  /** Slots of 8 bytes; pseudo LD_IMM64 carry this backend's map fds. */
  readonly insns: Uint8Array;
  readonly license: string;
  readonly expected_attach_type?: number;
  readonly prog_flags?: number;
  readonly prog_name?: string;
  readonly kern_version?: number;
  readonly prog_ifindex?: number;
  readonly prog_btf_fd?: number;
  readonly func_info?: Uint8Array;
  readonly func_info_rec_size?: number;
  readonly line_info?: Uint8Array;
  readonly line_info_rec_size?: number;
  readonly attach_btf_id?: number;
  readonly attach_prog_fd?: number;
  readonly attach_btf_obj_fd?: number;
  /** fds that BPF_PSEUDO_MAP_IDX* and kfunc offsets index. */
  readonly fd_array?: readonly number[];
  /** How many entries of `fd_array` are maps or BTF to be held by the program; 0: only those that instructions name. */
  readonly fd_array_cnt?: number;
  readonly prog_token_fd?: number;
  readonly log_level?: number;
  readonly log_size?: number;
}

export interface ProgLoadResult {
  readonly fd: FdOrErrno;
  /** The verifier's log, whatever the outcome; empty at log_level 0. */
  readonly log: string;
}

/** BPF_PROG_TEST_RUN's input. A data_out or ctx_out buffer is asked for by its size. */
export interface TestRunAttr {
  readonly data_in?: Uint8Array;
  readonly ctx_in?: Uint8Array;
  readonly data_size_out?: number;
  readonly ctx_size_out?: number;
  readonly repeat?: number;
  readonly flags?: number;
  readonly cpu?: number;
  readonly batch_size?: number;
}

export interface TestRunResult {
  /** 0, or a negative errno; -ENOSPC still fills data_out with what fits. */
  readonly err: ZeroOrErrno;
  /** u32. */
  readonly retval: number;
  /** Nanoseconds of one run, the average over `repeat`. */
  readonly duration: number;
  readonly data_out: Uint8Array;
  /** What the kernel had to say; above data_out.length when the buffer was short. */
  readonly data_size_out: number;
  readonly ctx_out: Uint8Array;
  readonly ctx_size_out: number;
}

export interface MapInfo {
  readonly type: number;
  readonly id: number;
  readonly key_size: number;
  readonly value_size: number;
  readonly max_entries: number;
  readonly map_flags: number;
  readonly name: string;
  readonly btf_id: number;
  readonly btf_key_type_id: number;
  readonly btf_value_type_id: number;
  readonly btf_vmlinux_value_type_id?: number;
  readonly map_extra: bigint;
}

export interface ProgInfo {
  readonly type: number;
  readonly id: number;
  readonly name: string;
  /** Hex, 8 bytes. */
  readonly tag: string;
  readonly gpl_compatible: boolean;
  readonly load_time: bigint;
  readonly created_by_uid: number;
  readonly map_ids: readonly number[];
  readonly btf_id: number;
  readonly xlated_prog_len: number;
  readonly jited_prog_len: number;
  readonly xlated_prog_insns: Uint8Array;
  readonly run_time_ns: bigint;
  readonly run_cnt: bigint;
  readonly verified_insns: number;
  readonly recursion_misses?: bigint;
  readonly attach_btf_id?: number;
}

export interface BtfInfo {
  readonly id: number;
  readonly name: string;
  readonly kernel_btf: boolean;
  readonly btf: Uint8Array;
}

/** BTF_LOAD's options. */
export interface BtfLoadOptions {
  readonly btf_flags?: number;
  readonly btf_token_fd?: number;
  /** Gets the kernel's log, where it has something to say; asking for it makes it speak. */
  readonly onLog?: (log: string) => void;
}

/** What a batch of map operations did. */
export interface BatchResult {
  /** -ENOENT after the last element is no failure: `count` elements are there. */
  readonly err: ZeroOrErrno;
  /** Elements that were read, written or deleted. */
  readonly count: number;
}

export interface BatchLookup {
  /** Where the batch before ended (its `out_batch`); null starts. */
  readonly in_batch: Uint8Array | null;
  /** At least 4 bytes, and key_size: where the next batch starts. */
  readonly out_batch: Uint8Array;
  /** Room for `count` keys and values, one behind the other. */
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
  readonly count: number;
  readonly elem_flags?: number;
}

/** Lookups of per-CPU maps exchange round_up(value_size, 8) * possibleCpus bytes, as bpf(2) does. */
export interface Backend {
  readonly name: string;
  readonly possibleCpus: number;
  /** What stands behind an errno that the last command gave, where that can be seen: rights that are missing... */
  explain?(errno: number): string | undefined;
  /** A file of the machine that the programs run on; throws where it cannot be read. */
  readFile?(path: string): Uint8Array;
  /** A tc filter by netlink, for kernels without tcx: what to call to take it off again, or a negative errno. */
  tcAttach?(progFd: number, ifindex: number, direction: "ingress" | "egress"): (() => void) | number;

  mapCreate(attr: MapCreateAttr): FdOrErrno;
  mapLookupElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): ZeroOrErrno;
  mapUpdateElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): ZeroOrErrno;
  mapDeleteElem(fd: number, key: Uint8Array): ZeroOrErrno;
  /** `key` null: the first key. -ENOENT after the last. */
  mapGetNextKey(fd: number, key: Uint8Array | null, nextKey: Uint8Array): ZeroOrErrno;
  mapLookupAndDeleteElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): ZeroOrErrno;
  mapFreeze(fd: number): ZeroOrErrno;
  /** The map's memory as mmap(2) shows it, from its start (arenas); absent where the backend cannot. */
  mapMemory?(fd: number, size: number): Uint8Array | ZeroOrErrno;
  mapLookupBatch(fd: number, batch: BatchLookup): BatchResult;
  mapLookupAndDeleteBatch(fd: number, batch: BatchLookup): BatchResult;
  mapUpdateBatch(
    fd: number,
    keys: Uint8Array,
    values: Uint8Array,
    count: number,
    elemFlags?: number,
  ): BatchResult;
  mapDeleteBatch(fd: number, keys: Uint8Array, count: number, elemFlags?: number): BatchResult;

  progLoad(attr: ProgLoadAttr): ProgLoadResult;
  progTestRun(fd: number, attr: TestRunAttr): TestRunResult;
  /** Makes a program hold a map that its instructions do not name. */
  progBindMap(progFd: number, mapFd: number): ZeroOrErrno;
  btfLoad(btf: Uint8Array, options?: BtfLoadOptions): FdOrErrno;

  linkCreate(attr: LinkCreateAttr): FdOrErrno;
  /** `newFd`: a program, or the map of a struct_ops link; BPF_F_REPLACE in `flags` wants `oldFd` to be the one there now. */
  linkUpdate(linkFd: number, newFd: number, flags?: number, oldFd?: number): ZeroOrErrno;
  linkDetach(linkFd: number): ZeroOrErrno;
  /** A link to a raw tracepoint by name; programs with a BTF-described target go without a name. */
  rawTracepointOpen(progFd: number, name?: string, cookie?: bigint): FdOrErrno;
  /** BPF_PROG_ATTACH and its sisters: attach points of before links, and maps (BPF_SK_SKB_*). */
  progAttach(attr: ProgAttachAttr): ZeroOrErrno;
  progDetach(attr: ProgAttachAttr): ZeroOrErrno;
  progQuery(attr: ProgQueryAttr): ProgQueryResult;
  /** A perf event, for a program of type KPROBE, TRACEPOINT or PERF_EVENT to be linked to. */
  perfEventOpen(event: PerfEventSpec): FdOrErrno;
  /** A file descriptor that runs the iterator as it is read. */
  iterCreate(linkFd: number, flags?: number): FdOrErrno;
  /** read(2): bytes read, 0 at the end. */
  read(fd: number, into: Uint8Array): number;
  /** Statistics (BPF_STATS_RUN_TIME) are kept while the file descriptor is open. */
  enableStats(type: number): FdOrErrno;
  tokenCreate(bpffsFd: number, flags?: number): FdOrErrno;

  objPin(fd: number, path: string): ZeroOrErrno;
  objGet(path: string): FdOrErrno;
  progGetFdById(id: number): FdOrErrno;
  mapGetFdById(id: number): FdOrErrno;
  btfGetFdById(id: number): FdOrErrno;
  linkGetFdById(id: number): FdOrErrno;
  /** The smallest id above `startId`, or -ENOENT. */
  progGetNextId(startId: number): number;
  mapGetNextId(startId: number): number;
  btfGetNextId(startId: number): number;
  linkGetNextId(startId: number): number;
  /** Throws nothing: an errno stands for "not such an object". */
  mapInfo(fd: number): MapInfo | ZeroOrErrno;
  progInfo(fd: number): ProgInfo | ZeroOrErrno;
  btfInfo(fd: number): BtfInfo | ZeroOrErrno;
  linkInfo(fd: number): LinkInfo | ZeroOrErrno;

  close(fd: number): ZeroOrErrno;

  /**
   * Waits until a BPF_MAP_TYPE_RINGBUF or BPF_MAP_TYPE_PERF_EVENT_ARRAY has something for its consumer (epoll_wait(2)
   * on the real kernel), or until `signal` aborts: then it resolves too.
   */
  pollMap(fd: number, signal?: AbortSignal): Promise<void>;

  /** New records of a BPF_MAP_TYPE_RINGBUF, oldest first, each handed once; returns how many. */
  ringbufConsume(fd: number, onRecord: (data: Uint8Array) => void): number;
  /** New samples of a BPF_MAP_TYPE_PERF_EVENT_ARRAY, of all CPUs; returns how many. `lost` counts overwritten ones. */
  perfConsume(
    fd: number,
    onSample: (cpu: number, data: Uint8Array) => void,
    onLost?: (cpu: number, lost: number) => void,
  ): number;
}
