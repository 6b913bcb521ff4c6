import { readFileSync } from "node:fs";
import type {
  Backend,
  BatchLookup,
  BatchResult,
  BtfInfo,
  BtfLoadOptions,
  FdOrErrno,
  LinkCreateAttr,
  LinkInfo,
  MapCreateAttr,
  MapInfo,
  PerfEventSpec,
  ProgAttachAttr,
  ProgInfo,
  ProgLoadAttr,
  ProgLoadResult,
  ProgQueryAttr,
  ProgQueryResult,
  TestRunAttr,
  TestRunResult,
  ZeroOrErrno,
} from "../backend/index.ts";
import { UnsupportedError } from "../diag/index.ts";
import * as uapi from "../uapi/index.ts";
import * as attrs from "./attr.ts";
import { packLink } from "./link-create.ts";
import { readLinkInfo } from "./link-info.ts";
import { PerfReader } from "./perf.ts";
import { openPerfEvent } from "./perf-event.ts";
import { Poller } from "./poller.ts";
import { explainErrno } from "./rights.ts";
import { RingbufReader } from "./ringbuf.ts";
import { type FieldValue, packStruct, type StructLayout, StructReader } from "./struct.ts";
import { openSyscalls, readPossibleCpus, type Syscalls } from "./syscall.ts";
import { attachTcFilter } from "./tc-netlink.ts";

/** First log buffer, and the size at which growing ends (the kernel's own limit is UINT_MAX >> 2). */
const LOG_SIZE_FIRST = 1 << 18;
const LOG_SIZE_MAX = 1 << 28;

const NONE: Uint8Array = new Uint8Array(0);

function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** At most 15 bytes and the NUL, as BPF_OBJ_NAME_LEN wants. */
function objName(text: string | undefined): Uint8Array | undefined {
  return text === undefined ? undefined : new TextEncoder().encode(text).subarray(0, 15);
}

const RLIMIT_MEMLOCK = 8;
const SOL_SOCKET = 1;
const SO_DETACH_FILTER = 27;
const SO_ATTACH_BPF = 50;
const SO_ATTACH_REUSEPORT_EBPF = 52;

function i32(value: number): Uint8Array {
  return new Uint8Array(Int32Array.of(value).buffer);
}

/** Programs at an attach point that a query makes room for at first. */
const QUERY_ROOM = 64;

/** The running Linux kernel. Every method is one bpf(2) call (infos: two), and file descriptors are the process's own. */
export class LinuxBackend implements Backend {
  readonly name = "linux";
  readonly possibleCpus: number;
  private readonly sys: Syscalls;
  private memlockRaised = false;
  private poller: Poller | undefined;
  private readonly rings = new Map<number, RingbufReader>();
  private readonly perfs = new Map<number, PerfReader>();

  private constructor(sys: Syscalls) {
    this.sys = sys;
    this.possibleCpus = readPossibleCpus();
  }

  /** Throws UnsupportedError where the platform, the package koffi or the rights to call bpf(2) are missing. */
  static async open(): Promise<LinuxBackend> {
    const backend = new LinuxBackend(await openSyscalls());
    const fd = backend.mapCreate({
      map_type: uapi.BPF_MAP_TYPE_ARRAY,
      key_size: 4,
      value_size: 4,
      max_entries: 1,
    });
    if (fd < 0)
      throw new UnsupportedError(`bpf(2) for this process (${uapi.errnoName(-fd)})`, explainErrno(-fd));
    backend.close(fd);
    return backend;
  }

  /** Why the kernel may have said so, as far as it shows: capabilities, sysctl, lockdown, seccomp. */
  explain(errno: number): string | undefined {
    return explainErrno(errno);
  }

  readFile(path: string): Uint8Array {
    return readFileSync(path);
  }

  tcAttach(progFd: number, ifindex: number, direction: "ingress" | "egress"): (() => void) | number {
    return attachTcFilter(this.sys, progFd, ifindex, direction);
  }

  /** SO_ATTACH_BPF: the socket's packets go through a program of type SOCKET_FILTER. */
  attachSocket(socketFd: number, progFd: number): ZeroOrErrno {
    return this.sys.setsockopt(socketFd, SOL_SOCKET, SO_ATTACH_BPF, i32(progFd));
  }

  /** SO_ATTACH_REUSEPORT_EBPF: the program chooses among the sockets of a SO_REUSEPORT group. */
  attachReuseport(socketFd: number, progFd: number): ZeroOrErrno {
    return this.sys.setsockopt(socketFd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, i32(progFd));
  }

  /** SO_DETACH_FILTER. */
  detachSocket(socketFd: number): ZeroOrErrno {
    return this.sys.setsockopt(socketFd, SOL_SOCKET, SO_DETACH_FILTER, i32(0));
  }

  private attr(layout: StructLayout, values: Readonly<Record<string, FieldValue>>): Uint8Array {
    const attr = new Uint8Array(attrs.BPF_ATTR_SIZE);
    packStruct(layout, values, attr);
    return attr;
  }

  private call(cmd: number, layout: StructLayout, values: Readonly<Record<string, FieldValue>>): number {
    return this.sys.bpf(cmd, this.attr(layout, values));
  }

  /** A command that takes memory: before Linux 5.11 it counts as locked, and EPERM means that the limit is too low. */
  private allocate(cmd: number, attr: Uint8Array): number {
    const result = this.sys.bpf(cmd, attr);
    if (result !== -uapi.EPERM || this.memlockRaised) return result;
    this.memlockRaised = true;
    return this.sys.setUnlimited(RLIMIT_MEMLOCK) === 0 ? this.sys.bpf(cmd, attr) : result;
  }

  private ptr(bytes: Uint8Array | null | undefined): bigint {
    return bytes ? this.sys.address(bytes) : 0n;
  }

  mapCreate(attr: MapCreateAttr): FdOrErrno {
    const values = { ...attr, map_name: objName(attr.map_name) };
    return this.allocate(uapi.BPF_MAP_CREATE, this.attr(attrs.MAP_CREATE, values));
  }

  private elem(
    cmd: number,
    fd: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    flags: number | undefined,
  ): ZeroOrErrno {
    return this.call(cmd, attrs.MAP_ELEM, { map_fd: fd, key: this.ptr(key), value: this.ptr(value), flags });
  }

  mapLookupElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): ZeroOrErrno {
    return this.elem(uapi.BPF_MAP_LOOKUP_ELEM, fd, key, value, flags);
  }

  mapUpdateElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): ZeroOrErrno {
    return this.elem(uapi.BPF_MAP_UPDATE_ELEM, fd, key, value, flags);
  }

  mapDeleteElem(fd: number, key: Uint8Array): ZeroOrErrno {
    return this.elem(uapi.BPF_MAP_DELETE_ELEM, fd, key, null, undefined);
  }

  mapGetNextKey(fd: number, key: Uint8Array | null, nextKey: Uint8Array): ZeroOrErrno {
    return this.elem(uapi.BPF_MAP_GET_NEXT_KEY, fd, key, nextKey, undefined);
  }

  mapLookupAndDeleteElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): ZeroOrErrno {
    return this.elem(uapi.BPF_MAP_LOOKUP_AND_DELETE_ELEM, fd, key, value, flags);
  }

  mapFreeze(fd: number): ZeroOrErrno {
    return this.call(uapi.BPF_MAP_FREEZE, attrs.MAP_ELEM, { map_fd: fd });
  }

  private batch(
    cmd: number,
    fd: number,
    values: Readonly<Record<string, FieldValue>> & { readonly count: number },
  ): BatchResult {
    const attr = this.attr(attrs.BATCH, { ...values, map_fd: fd });
    const err = this.sys.bpf(cmd, attr);
    return { err, count: new StructReader(attrs.BATCH, attr).u32("count") };
  }

  private lookupBatch(cmd: number, fd: number, batch: BatchLookup): BatchResult {
    return this.batch(cmd, fd, {
      in_batch: this.ptr(batch.in_batch),
      out_batch: this.ptr(batch.out_batch),
      keys: this.ptr(batch.keys),
      values: this.ptr(batch.values),
      count: batch.count,
      elem_flags: batch.elem_flags,
    });
  }

  mapLookupBatch(fd: number, batch: BatchLookup): BatchResult {
    return this.lookupBatch(uapi.BPF_MAP_LOOKUP_BATCH, fd, batch);
  }

  mapLookupAndDeleteBatch(fd: number, batch: BatchLookup): BatchResult {
    return this.lookupBatch(uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH, fd, batch);
  }

  mapUpdateBatch(
    fd: number,
    keys: Uint8Array,
    values: Uint8Array,
    count: number,
    elemFlags?: number,
  ): BatchResult {
    return this.batch(uapi.BPF_MAP_UPDATE_BATCH, fd, {
      keys: this.ptr(keys),
      values: this.ptr(values),
      count,
      elem_flags: elemFlags,
    });
  }

  mapDeleteBatch(fd: number, keys: Uint8Array, count: number, elemFlags?: number): BatchResult {
    return this.batch(uapi.BPF_MAP_DELETE_BATCH, fd, { keys: this.ptr(keys), count, elem_flags: elemFlags });
  }

  /** Without `log_size` the log buffer grows until the whole log fits. */
  progLoad(attr: ProgLoadAttr): ProgLoadResult {
    const { insns, license, prog_name, func_info, line_info, fd_array, log_level, log_size, ...plain } = attr;
    const licenseBytes = cString(license);
    const fds = fd_array ? new Uint8Array(Int32Array.from(fd_array).buffer) : undefined;
    const level = log_level ?? 0;
    let size = level === 0 ? 0 : (log_size ?? LOG_SIZE_FIRST);
    for (;;) {
      const log = size > 0 ? new Uint8Array(size) : NONE;
      const bytes = this.attr(attrs.PROG_LOAD, {
        ...plain,
        insn_cnt: insns.length / 8,
        insns: this.ptr(insns),
        license: this.ptr(licenseBytes),
        prog_name: objName(prog_name),
        log_level: level,
        log_size: size,
        log_buf: this.ptr(log),
        func_info: this.ptr(func_info),
        func_info_cnt: func_info ? func_info.length / (plain.func_info_rec_size ?? 8) : 0,
        line_info: this.ptr(line_info),
        line_info_cnt: line_info ? line_info.length / (plain.line_info_rec_size ?? 16) : 0,
        fd_array: this.ptr(fds),
      });
      const fd = this.allocate(uapi.BPF_PROG_LOAD, bytes);
      if (fd === -uapi.ENOSPC && level !== 0 && log_size === undefined && size < LOG_SIZE_MAX) {
        size *= 8;
        continue;
      }
      const end = log.indexOf(0);
      return { fd, log: new TextDecoder().decode(end < 0 ? log : log.subarray(0, end)) };
    }
  }

  progTestRun(fd: number, attr: TestRunAttr): TestRunResult {
    const { data_in, ctx_in, data_size_out, ctx_size_out, ...plain } = attr;
    const dataOut = new Uint8Array(data_size_out ?? 0);
    const ctxOut = new Uint8Array(ctx_size_out ?? 0);
    const bytes = this.attr(attrs.TEST_RUN, {
      ...plain,
      prog_fd: fd,
      data_size_in: data_in?.length,
      data_in: this.ptr(data_in),
      data_size_out: dataOut.length,
      data_out: this.ptr(dataOut),
      ctx_size_in: ctx_in?.length,
      ctx_in: this.ptr(ctx_in),
      ctx_size_out: ctxOut.length,
      ctx_out: this.ptr(ctxOut),
    });
    const err = this.sys.bpf(uapi.BPF_PROG_TEST_RUN, bytes);
    const out = new StructReader(attrs.TEST_RUN, bytes);
    const filled = err === 0 || err === -uapi.ENOSPC;
    const dataSize = out.u32("data_size_out");
    const ctxSize = out.u32("ctx_size_out");
    return {
      err,
      retval: filled ? out.u32("retval") : 0,
      duration: filled ? out.u32("duration") : 0,
      data_out: filled ? dataOut.subarray(0, Math.min(dataSize, dataOut.length)) : NONE,
      data_size_out: dataSize,
      ctx_out: filled ? ctxOut.subarray(0, Math.min(ctxSize, ctxOut.length)) : NONE,
      ctx_size_out: ctxSize,
    };
  }

  progBindMap(progFd: number, mapFd: number): ZeroOrErrno {
    return this.call(uapi.BPF_PROG_BIND_MAP, attrs.PROG_BIND_MAP, { prog_fd: progFd, map_fd: mapFd });
  }

  btfLoad(btf: Uint8Array, options: BtfLoadOptions = {}): FdOrErrno {
    const { onLog, ...plain } = options;
    for (let size = LOG_SIZE_FIRST; ; size *= 8) {
      const log = onLog === undefined ? NONE : new Uint8Array(size);
      const fd = this.allocate(
        uapi.BPF_BTF_LOAD,
        this.attr(attrs.BTF_LOAD, {
          ...plain,
          btf: this.ptr(btf),
          btf_size: btf.length,
          ...(onLog === undefined
            ? {}
            : { btf_log_buf: this.ptr(log), btf_log_size: size, btf_log_level: 1 }),
        }),
      );
      if (fd === -uapi.ENOSPC && onLog !== undefined && size < LOG_SIZE_MAX) continue;
      onLog?.(new TextDecoder().decode(log.subarray(0, Math.max(log.indexOf(0), 0))));
      return fd;
    }
  }

  linkCreate(attr: LinkCreateAttr): FdOrErrno {
    // Buffers that the attribute points to must live until the call is done.
    const pinned: Uint8Array[] = [];
    const { layout, values } = packLink(attr, (bytes) => {
      pinned.push(bytes);
      return this.sys.address(bytes);
    });
    const fd = this.call(uapi.BPF_LINK_CREATE, layout, values);
    pinned.length = 0;
    return fd;
  }

  linkUpdate(linkFd: number, newFd: number, flags?: number, oldFd?: number): ZeroOrErrno {
    const values = { link_fd: linkFd, new_prog_fd: newFd, flags, old_prog_fd: oldFd };
    return this.call(uapi.BPF_LINK_UPDATE, attrs.LINK_UPDATE, values);
  }

  linkDetach(linkFd: number): ZeroOrErrno {
    return this.call(uapi.BPF_LINK_DETACH, attrs.LINK_DETACH, { link_fd: linkFd });
  }

  rawTracepointOpen(progFd: number, name?: string, cookie?: bigint): FdOrErrno {
    const bytes = name === undefined ? undefined : cString(name);
    return this.call(uapi.BPF_RAW_TRACEPOINT_OPEN, attrs.RAW_TRACEPOINT_OPEN, {
      name: this.ptr(bytes),
      prog_fd: progFd,
      cookie,
    });
  }

  progAttach(attr: ProgAttachAttr): ZeroOrErrno {
    return this.call(uapi.BPF_PROG_ATTACH, attrs.PROG_ATTACH, { ...attr });
  }

  progDetach(attr: ProgAttachAttr): ZeroOrErrno {
    return this.call(uapi.BPF_PROG_DETACH, attrs.PROG_ATTACH, { ...attr });
  }

  progQuery(attr: ProgQueryAttr): ProgQueryResult {
    for (let room = QUERY_ROOM; ; room *= 8) {
      const progs = new Uint32Array(room);
      const links = new Uint32Array(room);
      const query = (withLinks: boolean): [number, StructReader] => {
        const bytes = this.attr(attrs.PROG_QUERY, {
          ...attr,
          prog_ids: this.ptr(new Uint8Array(progs.buffer)),
          prog_cnt: room,
          ...(withLinks ? { link_ids: this.ptr(new Uint8Array(links.buffer)) } : {}),
        });
        return [this.sys.bpf(uapi.BPF_PROG_QUERY, bytes), new StructReader(attrs.PROG_QUERY, bytes)];
      };
      let hasLinks = true;
      let [err, out] = query(true);
      // Attach points of the first generation know no links.
      if (err === -uapi.EINVAL) {
        hasLinks = false;
        [err, out] = query(false);
      }
      const count = err === 0 || err === -uapi.ENOSPC ? out.u32("prog_cnt") : 0;
      if (err === -uapi.ENOSPC && room < 1 << 20) continue;
      return {
        err,
        prog_ids: [...progs.subarray(0, count)],
        link_ids: hasLinks ? [...links.subarray(0, count)] : [],
        attach_flags: out.u32("attach_flags"),
        revision: out.u64("revision"),
      };
    }
  }

  perfEventOpen(event: PerfEventSpec): FdOrErrno {
    return openPerfEvent(this.sys, event);
  }

  iterCreate(linkFd: number, flags?: number): FdOrErrno {
    return this.call(uapi.BPF_ITER_CREATE, attrs.ITER_CREATE, { link_fd: linkFd, flags });
  }

  read(fd: number, into: Uint8Array): number {
    return this.sys.read(fd, into);
  }

  enableStats(type: number): FdOrErrno {
    return this.call(uapi.BPF_ENABLE_STATS, attrs.ENABLE_STATS, { type });
  }

  tokenCreate(bpffsFd: number, flags?: number): FdOrErrno {
    return this.call(uapi.BPF_TOKEN_CREATE, attrs.TOKEN_CREATE, { flags, bpffs_fd: bpffsFd });
  }

  objPin(fd: number, path: string): ZeroOrErrno {
    const pathname = cString(path);
    return this.call(uapi.BPF_OBJ_PIN, attrs.OBJ, { pathname: this.ptr(pathname), bpf_fd: fd });
  }

  objGet(path: string): FdOrErrno {
    const pathname = cString(path);
    return this.call(uapi.BPF_OBJ_GET, attrs.OBJ, { pathname: this.ptr(pathname) });
  }

  progGetFdById(id: number): FdOrErrno {
    return this.call(uapi.BPF_PROG_GET_FD_BY_ID, attrs.BY_ID, { id });
  }
  mapGetFdById(id: number): FdOrErrno {
    return this.call(uapi.BPF_MAP_GET_FD_BY_ID, attrs.BY_ID, { id });
  }
  btfGetFdById(id: number): FdOrErrno {
    return this.call(uapi.BPF_BTF_GET_FD_BY_ID, attrs.BY_ID, { id });
  }
  linkGetFdById(id: number): FdOrErrno {
    return this.call(uapi.BPF_LINK_GET_FD_BY_ID, attrs.BY_ID, { id });
  }

  private nextId(cmd: number, startId: number): number {
    const bytes = this.attr(attrs.BY_ID, { id: startId });
    const err = this.sys.bpf(cmd, bytes);
    return err < 0 ? err : new StructReader(attrs.BY_ID, bytes).u32("next_id");
  }
  progGetNextId(startId: number): number {
    return this.nextId(uapi.BPF_PROG_GET_NEXT_ID, startId);
  }
  mapGetNextId(startId: number): number {
    return this.nextId(uapi.BPF_MAP_GET_NEXT_ID, startId);
  }
  btfGetNextId(startId: number): number {
    return this.nextId(uapi.BPF_BTF_GET_NEXT_ID, startId);
  }
  linkGetNextId(startId: number): number {
    return this.nextId(uapi.BPF_LINK_GET_NEXT_ID, startId);
  }

  private info(
    fd: number,
    layout: StructLayout,
    values: Readonly<Record<string, FieldValue>>,
  ): StructReader | number {
    const info = new Uint8Array(layout.size);
    packStruct(layout, values, info);
    const err = this.call(uapi.BPF_OBJ_GET_INFO_BY_FD, attrs.INFO, {
      bpf_fd: fd,
      info_len: info.length,
      info: this.ptr(info),
    });
    return err < 0 ? err : new StructReader(layout, info);
  }

  mapInfo(fd: number): MapInfo | ZeroOrErrno {
    const i = this.info(fd, attrs.MAP_INFO, {});
    if (typeof i === "number") return i;
    return {
      type: i.u32("type"),
      id: i.u32("id"),
      key_size: i.u32("key_size"),
      value_size: i.u32("value_size"),
      max_entries: i.u32("max_entries"),
      map_flags: i.u32("map_flags"),
      name: i.text("name"),
      btf_id: i.u32("btf_id"),
      btf_key_type_id: i.u32("btf_key_type_id"),
      btf_value_type_id: i.u32("btf_value_type_id"),
      map_extra: i.u64("map_extra"),
    };
  }

  progInfo(fd: number): ProgInfo | ZeroOrErrno {
    const sizes = this.info(fd, attrs.PROG_INFO, {});
    if (typeof sizes === "number") return sizes;
    const mapIds = new Uint32Array(sizes.u32("nr_map_ids"));
    const mapIdBytes = new Uint8Array(mapIds.buffer);
    const xlated = new Uint8Array(sizes.u32("xlated_prog_len"));
    const i = this.info(fd, attrs.PROG_INFO, {
      nr_map_ids: mapIds.length,
      map_ids: this.ptr(mapIdBytes),
      xlated_prog_len: xlated.length,
      xlated_prog_insns: this.ptr(xlated),
    });
    if (typeof i === "number") return i;
    return {
      type: i.u32("type"),
      id: i.u32("id"),
      name: i.text("name"),
      tag: Buffer.from(i.raw("tag")).toString("hex"),
      gpl_compatible: (i.u32("flags_bits") & 1) === 1,
      load_time: i.u64("load_time"),
      created_by_uid: i.u32("created_by_uid"),
      map_ids: [...mapIds],
      btf_id: i.u32("btf_id"),
      xlated_prog_len: i.u32("xlated_prog_len"),
      jited_prog_len: i.u32("jited_prog_len"),
      xlated_prog_insns: xlated,
      run_time_ns: i.u64("run_time_ns"),
      run_cnt: i.u64("run_cnt"),
      verified_insns: i.u32("verified_insns"),
    };
  }

  btfInfo(fd: number): BtfInfo | ZeroOrErrno {
    const sizes = this.info(fd, attrs.BTF_INFO, {});
    if (typeof sizes === "number") return sizes;
    const btf = new Uint8Array(sizes.u32("btf_size"));
    const name = new Uint8Array(sizes.u32("name_len") + 1);
    const i = this.info(fd, attrs.BTF_INFO, {
      btf: this.ptr(btf),
      btf_size: btf.length,
      name: this.ptr(name),
      name_len: name.length,
    });
    if (typeof i === "number") return i;
    return {
      id: i.u32("id"),
      name: new TextDecoder().decode(name.subarray(0, name.indexOf(0))),
      kernel_btf: i.u32("kernel_btf") !== 0,
      btf,
    };
  }

  linkInfo(fd: number): LinkInfo | ZeroOrErrno {
    return readLinkInfo(
      attrs.LINK_INFO.size,
      (info) =>
        this.call(uapi.BPF_OBJ_GET_INFO_BY_FD, attrs.INFO, {
          bpf_fd: fd,
          info_len: info.length,
          info: this.ptr(info),
        }),
      (bytes) => this.sys.address(bytes),
    );
  }

  /** What consuming a map has opened goes with its file descriptor. */
  close(fd: number): ZeroOrErrno {
    this.poller?.forget(fd);
    this.rings.get(fd)?.close();
    this.rings.delete(fd);
    const perf = this.perfs.get(fd);
    for (const event of perf?.fds ?? []) this.poller?.forget(event);
    perf?.close();
    this.perfs.delete(fd);
    return this.sys.close(fd);
  }

  private ring(fd: number): RingbufReader | number {
    const known = this.rings.get(fd);
    if (known !== undefined) return known;
    const info = this.mapInfo(fd);
    if (typeof info === "number") return info === -uapi.EBADFD ? -uapi.EBADF : info;
    if (info.type !== uapi.BPF_MAP_TYPE_RINGBUF) return -uapi.EINVAL;
    const ring = RingbufReader.open(this.sys, fd, info.max_entries);
    if (typeof ring !== "number") this.rings.set(fd, ring);
    return ring;
  }

  ringbufConsume(fd: number, onRecord: (data: Uint8Array) => void): number {
    const ring = this.ring(fd);
    return typeof ring === "number" ? ring : ring.consume(onRecord);
  }

  private perf(fd: number): PerfReader | number {
    const known = this.perfs.get(fd);
    if (known !== undefined) return known;
    const info = this.mapInfo(fd);
    if (typeof info === "number") return info === -uapi.EBADFD ? -uapi.EBADF : info;
    if (info.type !== uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY) return -uapi.EINVAL;
    const perf = PerfReader.open(this.sys, info.max_entries, (cpu, event) =>
      this.mapUpdateElem(
        fd,
        new Uint8Array(Uint32Array.of(cpu).buffer),
        new Uint8Array(Uint32Array.of(event).buffer),
      ),
    );
    if (typeof perf !== "number") this.perfs.set(fd, perf);
    return perf;
  }

  /** The first call opens an event for every online CPU: what programs output before it is lost. */
  perfConsume(
    fd: number,
    onSample: (cpu: number, data: Uint8Array) => void,
    onLost?: (cpu: number, lost: number) => void,
  ): number {
    const perf = this.perf(fd);
    return typeof perf === "number" ? perf : perf.consume(onSample, onLost);
  }

  pollMap(fd: number, signal?: AbortSignal): Promise<void> {
    this.poller ??= new Poller(this.sys);
    const perf = this.perfs.get(fd);
    return this.poller.wait(perf === undefined ? [fd] : perf.fds, signal);
  }
}
