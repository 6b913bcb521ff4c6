/**
 * The bpf(2) commands as one interface. The embedded kernel implements it, Linux will; whatever sits above (loader,
 * typed maps, CLI) sees nothing else. Every command returns what bpf(2) returns: a non-negative value, or a negative
 * errno. Struct members carry the names of `union bpf_attr`. File descriptors are small integers of the backend's own.
 */

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
}

export interface BtfInfo {
  readonly id: number;
  readonly name: string;
  readonly kernel_btf: boolean;
  readonly btf: Uint8Array;
}

export interface LinkInfo {
  readonly type: number;
  readonly id: number;
  readonly prog_id: number;
  readonly attach_type: number;
  /** Depends on the type: ifindex, cgroup id, target BTF id... */
  readonly target: number;
}

export interface LinkCreateAttr {
  readonly prog_fd: number;
  /** ifindex, cgroup fd, or 0 for attach points that need none. */
  readonly target_fd: number;
  readonly attach_type: number;
  readonly flags?: number;
  readonly name?: string;
}

/** Lookups of per-CPU maps exchange round_up(value_size, 8) * possibleCpus bytes, as bpf(2) does. */
export interface Backend {
  readonly name: string;
  readonly possibleCpus: number;

  mapCreate(attr: MapCreateAttr): FdOrErrno;
  mapLookupElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): ZeroOrErrno;
  mapUpdateElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): ZeroOrErrno;
  mapDeleteElem(fd: number, key: Uint8Array): ZeroOrErrno;
  /** `key` null: the first key. -ENOENT after the last. */
  mapGetNextKey(fd: number, key: Uint8Array | null, nextKey: Uint8Array): ZeroOrErrno;
  mapLookupAndDeleteElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): ZeroOrErrno;
  mapFreeze(fd: number): ZeroOrErrno;

  progLoad(attr: ProgLoadAttr): ProgLoadResult;
  progTestRun(fd: number, attr: TestRunAttr): TestRunResult;
  btfLoad(btf: Uint8Array): FdOrErrno;

  linkCreate(attr: LinkCreateAttr): FdOrErrno;
  linkUpdate(linkFd: number, newProgFd: number, flags?: number): ZeroOrErrno;
  linkDetach(linkFd: number): ZeroOrErrno;

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

  /** New records of a BPF_MAP_TYPE_RINGBUF, oldest first, each handed once; returns how many. */
  ringbufConsume(fd: number, onRecord: (data: Uint8Array) => void): number;
  /** New samples of a BPF_MAP_TYPE_PERF_EVENT_ARRAY, of all CPUs; returns how many. `lost` counts overwritten ones. */
  perfConsume(
    fd: number,
    onSample: (cpu: number, data: Uint8Array) => void,
    onLost?: (cpu: number, lost: number) => void,
  ): number;
}
