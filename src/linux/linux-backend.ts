import type {
  Backend,
  BtfInfo,
  FdOrErrno,
  LinkCreateAttr,
  LinkInfo,
  MapCreateAttr,
  MapInfo,
  ProgInfo,
  ProgLoadAttr,
  ProgLoadResult,
  TestRunAttr,
  TestRunResult,
  ZeroOrErrno,
} from "../backend/index.ts";
import { UnsupportedError } from "../diag/index.ts";
import {
  BPF_BTF_GET_FD_BY_ID,
  BPF_BTF_GET_NEXT_ID,
  BPF_BTF_LOAD,
  BPF_LINK_CREATE,
  BPF_LINK_DETACH,
  BPF_LINK_GET_FD_BY_ID,
  BPF_LINK_GET_NEXT_ID,
  BPF_LINK_TYPE_CGROUP,
  BPF_LINK_TYPE_NETKIT,
  BPF_LINK_TYPE_NETNS,
  BPF_LINK_TYPE_SOCKMAP,
  BPF_LINK_TYPE_TCX,
  BPF_LINK_TYPE_TRACING,
  BPF_LINK_UPDATE,
  BPF_MAP_CREATE,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_FREEZE,
  BPF_MAP_GET_FD_BY_ID,
  BPF_MAP_GET_NEXT_ID,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_UPDATE_ELEM,
  BPF_OBJ_GET,
  BPF_OBJ_GET_INFO_BY_FD,
  BPF_OBJ_PIN,
  BPF_PROG_GET_FD_BY_ID,
  BPF_PROG_GET_NEXT_ID,
  BPF_PROG_LOAD,
  BPF_PROG_TEST_RUN,
  ENOSPC,
  EPERM,
  errnoName,
} from "../uapi/index.ts";
import {
  BPF_ATTR_SIZE,
  BTF_INFO,
  BTF_LOAD,
  BY_ID,
  INFO,
  LINK_CREATE,
  LINK_DETACH,
  LINK_INFO,
  LINK_UPDATE,
  MAP_CREATE,
  MAP_ELEM,
  MAP_INFO,
  OBJ,
  PROG_INFO,
  PROG_LOAD,
  TEST_RUN,
} from "./attr.ts";
import { type FieldValue, packStruct, type StructLayout, StructReader } from "./struct.ts";
import { type BpfSyscall, openSyscall, readPossibleCpus } from "./syscall.ts";

/** First log buffer, and the size at which growing ends (the kernel's own limit is UINT_MAX >> 2). */
const LOG_SIZE_FIRST = 1 << 18;
const LOG_SIZE_MAX = 1 << 28;

/** Links whose info is { target, attach_type }. */
const WITH_ATTACH_TYPE: ReadonlySet<number> = new Set([
  BPF_LINK_TYPE_NETNS,
  BPF_LINK_TYPE_TCX,
  BPF_LINK_TYPE_NETKIT,
  BPF_LINK_TYPE_SOCKMAP,
]);

const NONE: Uint8Array = new Uint8Array(0);

function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** At most 15 bytes and the NUL, as BPF_OBJ_NAME_LEN wants. */
function objName(text: string | undefined): Uint8Array | undefined {
  return text === undefined ? undefined : new TextEncoder().encode(text).subarray(0, 15);
}

/** The running Linux kernel. Every method is one bpf(2) call (infos: two), and file descriptors are the process's own. */
export class LinuxBackend implements Backend {
  readonly name = "linux";
  readonly possibleCpus: number;
  private readonly sys: BpfSyscall;

  private constructor(sys: BpfSyscall) {
    this.sys = sys;
    this.possibleCpus = readPossibleCpus();
  }

  /** Throws UnsupportedError where the platform, the package koffi or the rights to call bpf(2) are missing. */
  static async open(): Promise<LinuxBackend> {
    const backend = new LinuxBackend(await openSyscall());
    const fd = backend.mapCreate({
      map_type: BPF_MAP_TYPE_ARRAY,
      key_size: 4,
      value_size: 4,
      max_entries: 1,
    });
    if (fd < 0)
      throw new UnsupportedError(
        `bpf(2) for this user (${errnoName(fd)})`,
        fd === -EPERM ? "it takes CAP_BPF or root" : undefined,
      );
    backend.close(fd);
    return backend;
  }

  private attr(layout: StructLayout, values: Readonly<Record<string, FieldValue>>): Uint8Array {
    const attr = new Uint8Array(BPF_ATTR_SIZE);
    packStruct(layout, values, attr);
    return attr;
  }

  private call(cmd: number, layout: StructLayout, values: Readonly<Record<string, FieldValue>>): number {
    return this.sys.bpf(cmd, this.attr(layout, values));
  }

  private ptr(bytes: Uint8Array | null | undefined): bigint {
    return bytes ? this.sys.address(bytes) : 0n;
  }

  mapCreate(attr: MapCreateAttr): FdOrErrno {
    return this.call(BPF_MAP_CREATE, MAP_CREATE, { ...attr, map_name: objName(attr.map_name) });
  }

  private elem(
    cmd: number,
    fd: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    flags: number | undefined,
  ): ZeroOrErrno {
    return this.call(cmd, MAP_ELEM, { map_fd: fd, key: this.ptr(key), value: this.ptr(value), flags });
  }

  mapLookupElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): ZeroOrErrno {
    return this.elem(BPF_MAP_LOOKUP_ELEM, fd, key, value, flags);
  }

  mapUpdateElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): ZeroOrErrno {
    return this.elem(BPF_MAP_UPDATE_ELEM, fd, key, value, flags);
  }

  mapDeleteElem(fd: number, key: Uint8Array): ZeroOrErrno {
    return this.elem(BPF_MAP_DELETE_ELEM, fd, key, null, undefined);
  }

  mapGetNextKey(fd: number, key: Uint8Array | null, nextKey: Uint8Array): ZeroOrErrno {
    return this.elem(BPF_MAP_GET_NEXT_KEY, fd, key, nextKey, undefined);
  }

  mapLookupAndDeleteElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): ZeroOrErrno {
    return this.elem(BPF_MAP_LOOKUP_AND_DELETE_ELEM, fd, key, value, flags);
  }

  mapFreeze(fd: number): ZeroOrErrno {
    return this.call(BPF_MAP_FREEZE, MAP_ELEM, { map_fd: fd });
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
      const fd = this.call(BPF_PROG_LOAD, PROG_LOAD, {
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
      if (fd === -ENOSPC && level !== 0 && log_size === undefined && size < LOG_SIZE_MAX) {
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
    const bytes = this.attr(TEST_RUN, {
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
    const err = this.sys.bpf(BPF_PROG_TEST_RUN, bytes);
    const out = new StructReader(TEST_RUN, bytes);
    const filled = err === 0 || err === -ENOSPC;
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

  btfLoad(btf: Uint8Array): FdOrErrno {
    return this.call(BPF_BTF_LOAD, BTF_LOAD, { btf: this.ptr(btf), btf_size: btf.length });
  }

  linkCreate(attr: LinkCreateAttr): FdOrErrno {
    const { name: _name, ...values } = attr;
    return this.call(BPF_LINK_CREATE, LINK_CREATE, values);
  }

  linkUpdate(linkFd: number, newProgFd: number, flags?: number): ZeroOrErrno {
    return this.call(BPF_LINK_UPDATE, LINK_UPDATE, { link_fd: linkFd, new_prog_fd: newProgFd, flags });
  }

  linkDetach(linkFd: number): ZeroOrErrno {
    return this.call(BPF_LINK_DETACH, LINK_DETACH, { link_fd: linkFd });
  }

  objPin(fd: number, path: string): ZeroOrErrno {
    const pathname = cString(path);
    return this.call(BPF_OBJ_PIN, OBJ, { pathname: this.ptr(pathname), bpf_fd: fd });
  }

  objGet(path: string): FdOrErrno {
    const pathname = cString(path);
    return this.call(BPF_OBJ_GET, OBJ, { pathname: this.ptr(pathname) });
  }

  progGetFdById(id: number): FdOrErrno {
    return this.call(BPF_PROG_GET_FD_BY_ID, BY_ID, { id });
  }
  mapGetFdById(id: number): FdOrErrno {
    return this.call(BPF_MAP_GET_FD_BY_ID, BY_ID, { id });
  }
  btfGetFdById(id: number): FdOrErrno {
    return this.call(BPF_BTF_GET_FD_BY_ID, BY_ID, { id });
  }
  linkGetFdById(id: number): FdOrErrno {
    return this.call(BPF_LINK_GET_FD_BY_ID, BY_ID, { id });
  }

  private nextId(cmd: number, startId: number): number {
    const bytes = this.attr(BY_ID, { id: startId });
    const err = this.sys.bpf(cmd, bytes);
    return err < 0 ? err : new StructReader(BY_ID, bytes).u32("next_id");
  }
  progGetNextId(startId: number): number {
    return this.nextId(BPF_PROG_GET_NEXT_ID, startId);
  }
  mapGetNextId(startId: number): number {
    return this.nextId(BPF_MAP_GET_NEXT_ID, startId);
  }
  btfGetNextId(startId: number): number {
    return this.nextId(BPF_BTF_GET_NEXT_ID, startId);
  }
  linkGetNextId(startId: number): number {
    return this.nextId(BPF_LINK_GET_NEXT_ID, startId);
  }

  private info(
    fd: number,
    layout: StructLayout,
    values: Readonly<Record<string, FieldValue>>,
  ): StructReader | number {
    const info = new Uint8Array(layout.size);
    packStruct(layout, values, info);
    const err = this.call(BPF_OBJ_GET_INFO_BY_FD, INFO, {
      bpf_fd: fd,
      info_len: info.length,
      info: this.ptr(info),
    });
    return err < 0 ? err : new StructReader(layout, info);
  }

  mapInfo(fd: number): MapInfo | ZeroOrErrno {
    const i = this.info(fd, MAP_INFO, {});
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
    const sizes = this.info(fd, PROG_INFO, {});
    if (typeof sizes === "number") return sizes;
    const mapIds = new Uint32Array(sizes.u32("nr_map_ids"));
    const mapIdBytes = new Uint8Array(mapIds.buffer);
    const xlated = new Uint8Array(sizes.u32("xlated_prog_len"));
    const i = this.info(fd, PROG_INFO, {
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
    const sizes = this.info(fd, BTF_INFO, {});
    if (typeof sizes === "number") return sizes;
    const btf = new Uint8Array(sizes.u32("btf_size"));
    const name = new Uint8Array(sizes.u32("name_len") + 1);
    const i = this.info(fd, BTF_INFO, {
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
    const i = this.info(fd, LINK_INFO, {});
    if (typeof i === "number") return i;
    const type = i.u32("type");
    const word = (n: number): number => i.u32(`word${n}`);
    // struct bpf_link_info: where each type keeps what it is attached to, and how.
    const [target, attach_type] =
      type === BPF_LINK_TYPE_TRACING
        ? [word(2), word(0)]
        : type === BPF_LINK_TYPE_CGROUP
          ? [word(0) + word(1) * 0x1_0000_0000, word(2)]
          : [word(0), WITH_ATTACH_TYPE.has(type) ? word(1) : 0];
    return { type, id: i.u32("id"), prog_id: i.u32("prog_id"), attach_type, target };
  }

  close(fd: number): ZeroOrErrno {
    return this.sys.close(fd);
  }

  ringbufConsume(): number {
    throw new UnsupportedError("reading a ring buffer of the running kernel");
  }

  perfConsume(): number {
    throw new UnsupportedError("reading perf events of the running kernel");
  }
}
