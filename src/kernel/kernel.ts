// The embedded kernel: the bpf(2) commands of kernel/bpf/syscall.c over one address space.
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
import { HelperTable, type NetDevice, type Task } from "../helpers/index.ts";
import { type BpfMap, createMap, MapEnv, PerfEventArrayMap, RingbufMap } from "../maps/index.ts";
import {
  BPF_F_RDONLY,
  BPF_F_WRONLY,
  BPF_LINK_TYPE_TRACING,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
  BPF_STATS_RUN_TIME,
  BPF_TRACE_RAW_TP,
  EBADF,
  EINVAL,
  ENOENT,
  ENOTSUPP,
  EOPNOTSUPP,
  EPERM,
} from "../uapi/index.ts";
import { DEFAULT_PROFILE, findProfile } from "../verifier/index.ts";
import { AddressSpace, CPU_RANDOM, type Engine } from "../vm/index.ts";
import { deleteBatch, lookupBatch, updateBatch } from "./batch.ts";
import { BtfObject } from "./btf-object.ts";
import { type Clock, hostClock } from "./clock.ts";
import { createEngine } from "./engines.ts";
import { FilterRunner } from "./filter-runner.ts";
import { Link } from "./link.ts";
import { DETACHABLE, planLink } from "./link-create.ts";
import { MapObject } from "./map-object.ts";
import { FdTable, IdTable, PinTable, StatsHold } from "./objects.ts";
import { type PacketRunner, SkbRunner, XdpRunner } from "./packet-runner.ts";
import { type LoadHost, loadProgram } from "./prog-load.ts";
import { PROGRAM_TYPES } from "./prog-types/index.ts";
import type { Program } from "./program.ts";
import type { ProgramType, TestRunEnv } from "./program-type.ts";
import { Runner } from "./runner.ts";
import { SkbBuffer } from "./skb-buffer.ts";
import { failed } from "./test-run/result.ts";
import { TracePipe } from "./trace-pipe.ts";
import { Waiters } from "./waiters.ts";
import { XdpBuffer } from "./xdp-buffer.ts";
import { xlated } from "./xlated.ts";

export interface KernelOptions {
  /** 1..16; default 2. */
  readonly cpus?: number;
  /** Size of the address space in bytes; default 512 MiB. It grows as it is used. */
  readonly maxBytes?: number;
  /** Default "auto": interpreted until hot, then translated. */
  readonly engine?: Engine["name"];
  /** Programs are verified as Linux 6.18 does, and what passes runs without bounds checks. Default false: all load. */
  readonly verify?: boolean;
  /** Whether programs run without bounds checks; default: where they are verified. */
  readonly unchecked?: boolean;
  /** Default: the host's. */
  readonly clock?: Clock;
  /** Of bpf_get_prandom_u32 and of hash tables; the same seed gives the same results. Default: random. */
  readonly seed?: number;
  /** Steps (interpreter) or back edges (JIT) of one run before it is stopped; default 2^28. */
  readonly maxSteps?: number;
  readonly task?: Partial<Task>;
  /** Network devices besides the loopback device (ifindex 1). */
  readonly devices?: readonly NetDevice[];
  /** Program types besides the reference kernel's, or in their place. */
  readonly programTypes?: readonly ProgramType[];
}

const RAW_TRACEPOINTS: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
]);
const LOOPBACK: NetDevice = { ifindex: 1, name: "lo", mtu: 65536, hardHeaderLen: 14, rxQueues: 1 };
const TASK: Task = { pid: 1, tgid: 1, uid: 0, gid: 0, comm: "tsbpf", cgroupId: 1 };
const DEFAULT_MAX_STEPS = 2 ** 28;
const ENOLINK = 67;
const BPF_F_REPLACE = 1 << 2;

export class Kernel implements Backend {
  readonly name = "embedded";
  readonly possibleCpus: number;
  readonly space: AddressSpace;
  readonly engine: Engine;
  readonly clock: Clock;
  /** Whom programs find as `current`. */
  readonly task: Task;
  /** What bpf_trace_printk wrote. */
  readonly tracePipe: TracePipe = new TracePipe();

  readonly #fds = new FdTable();
  readonly #pins = new PinTable();
  readonly #programs = new IdTable<Program>();
  readonly #maps = new IdTable<MapObject>();
  readonly #mapObjects = new Map<BpfMap, MapObject>();
  readonly #btfs = new IdTable<BtfObject>();
  readonly #links = new IdTable<Link>();
  readonly #mapEnv: MapEnv;
  readonly #helpers: HelperTable;
  readonly #runner: Runner;
  readonly #waiters = new Waiters();
  readonly #devices = new Map<number, NetDevice>();
  readonly #loadHost: LoadHost;
  readonly #testRunEnv: TestRunEnv;

  /** Throws LoadError where the host has no memory for the address space. */
  constructor(options: KernelOptions = {}) {
    const space = new AddressSpace({
      ...(options.maxBytes === undefined ? {} : { maxBytes: options.maxBytes }),
      ...(options.cpus === undefined ? {} : { cpus: options.cpus }),
    });
    this.space = space;
    this.possibleCpus = space.cpus;
    this.engine = createEngine(options.engine ?? "auto", space, options.maxSteps ?? DEFAULT_MAX_STEPS);
    this.clock = options.clock ?? hostClock;
    this.task = { ...TASK, ...options.task };
    for (const device of [LOOPBACK, ...(options.devices ?? [])]) this.#devices.set(device.ifindex, device);
    const seed = options.seed ?? Math.floor(Math.random() * 0x100000000);
    this.#seed(seed);
    this.#mapEnv = new MapEnv(space, {
      seed,
      fds: {
        mapByFd: (fd) => {
          const found = this.#mapOf(fd);
          return typeof found === "number" ? found : found.map;
        },
        progByFd: (fd) => this.#fds.of<Program>(fd, "prog"),
      },
    });
    this.#helpers = new HelperTable({
      space,
      clock: this.clock,
      task: this.task,
      device: (ifindex) => this.#devices.get(ifindex),
      // Maps of devices, CPUs and sockets come with the subsystems that have such things.
      redirectTarget: () => false,
      trace: (message) => this.tracePipe.write(message),
    });
    this.#runner = new Runner(space, () => this.#waiters.notify());
    const programTypes = new Map(
      [...PROGRAM_TYPES, ...(options.programTypes ?? [])].map((type) => [type.type, type]),
    );
    this.#loadHost = {
      programTypes,
      mode: (options.unchecked ?? options.verify === true) ? "unchecked" : "checked",
      profile: options.verify === true ? findProfile(DEFAULT_PROFILE) : null,
      cpus: space.cpus,
      bytes: (address, length) => space.u8.subarray(address, address + length),
      hasKernelBtf: false,
      bootNs: () => this.clock.monotonicNs(),
      mapByFd: (fd) => this.#mapOf(fd),
      btfByFd: (fd) => this.#fds.of<BtfObject>(fd, "btf"),
      progByFd: (fd) => this.#fds.of<Program>(fd, "prog"),
      helper: (id, type) => this.#helpers.find(id, type),
      install: (program, vm) => {
        this.#programs.add(program);
        try {
          program.install(this.engine.load({ ...vm, id: program.id }));
        } catch (error) {
          this.#programs.remove(program);
          throw error;
        }
      },
      onRelease: (program) => this.#programs.remove(program),
    };
    this.#testRunEnv = {
      space,
      runner: this.#runner,
      device: (ifindex) => this.#devices.get(ifindex),
      withSkb: pooled(() => new SkbBuffer(space)),
      withXdp: pooled(() => new XdpBuffer(space)),
    };
  }

  #seed(seed: number): void {
    let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
    for (let cpu = 0; cpu < this.space.cpus; cpu++)
      for (const half of [0, 4]) {
        state = (Math.imul(state, 0x915f77f5) + 0x3c6ef372) >>> 0 || 1;
        this.space.dv.setUint32(this.space.cpuBlock(cpu) + CPU_RANDOM + half, state, true);
      }
  }

  // ---- maps ------------------------------------------------------------------------------------------------------

  #mapOf(fd: number): MapObject | number {
    return this.#fds.of<MapObject>(fd, "map");
  }

  /** The map, if the file descriptor may be used for `denied` access (BPF_F_WRONLY: reading, BPF_F_RDONLY: writing). */
  #mapFor(fd: number, denied: number): BpfMap | number {
    const object = this.#mapOf(fd);
    if (typeof object === "number") return object;
    return object.map.fdFlags & denied ? -EPERM : object.map;
  }

  mapCreate(attr: MapCreateAttr): FdOrErrno {
    let btf: BtfObject | undefined;
    if (attr.btf_fd && (attr.btf_key_type_id || attr.btf_value_type_id)) {
      const found = this.#fds.of<BtfObject>(attr.btf_fd, "btf");
      if (typeof found === "number") return found;
      btf = found;
    }
    const map = createMap(this.#mapEnv, attr);
    if (typeof map === "number") return map;
    const types = { key: attr.btf_key_type_id ?? 0, value: attr.btf_value_type_id ?? 0 };
    const object = new MapObject(map, btf?.get(), types, (freed) => {
      this.#maps.remove(freed);
      this.#mapObjects.delete(freed.map);
    });
    this.#maps.add(object);
    this.#mapObjects.set(map, object);
    return this.#install(object);
  }

  mapLookupElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags = 0): ZeroOrErrno {
    const map = this.#mapFor(fd, BPF_F_WRONLY);
    return typeof map === "number" ? map : map.lookup(key, value, flags);
  }

  mapUpdateElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags = 0): ZeroOrErrno {
    const map = this.#mapFor(fd, BPF_F_RDONLY);
    return typeof map === "number" ? map : map.update(key, value, flags);
  }

  mapDeleteElem(fd: number, key: Uint8Array): ZeroOrErrno {
    const map = this.#mapFor(fd, BPF_F_RDONLY);
    return typeof map === "number" ? map : map.delete(key);
  }

  mapGetNextKey(fd: number, key: Uint8Array | null, nextKey: Uint8Array): ZeroOrErrno {
    const map = this.#mapFor(fd, BPF_F_WRONLY);
    return typeof map === "number" ? map : map.getNextKey(key, nextKey);
  }

  mapLookupAndDeleteElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags = 0): ZeroOrErrno {
    const map = this.#mapFor(fd, BPF_F_RDONLY | BPF_F_WRONLY);
    return typeof map === "number" ? map : map.lookupAndDelete(key, value, flags);
  }

  mapFreeze(fd: number): ZeroOrErrno {
    const map = this.#mapFor(fd, BPF_F_RDONLY);
    return typeof map === "number" ? map : map.freeze();
  }

  mapLookupBatch(fd: number, batch: BatchLookup): BatchResult {
    const map = this.#mapFor(fd, BPF_F_WRONLY);
    return typeof map === "number"
      ? { err: map, count: batch.count }
      : lookupBatch(map, batch, this.#bufferSize(map), false);
  }

  mapLookupAndDeleteBatch(fd: number, batch: BatchLookup): BatchResult {
    const map = this.#mapFor(fd, BPF_F_RDONLY | BPF_F_WRONLY);
    return typeof map === "number"
      ? { err: map, count: batch.count }
      : lookupBatch(map, batch, this.#bufferSize(map), true);
  }

  mapUpdateBatch(
    fd: number,
    keys: Uint8Array,
    values: Uint8Array,
    count: number,
    elemFlags = 0,
  ): BatchResult {
    const map = this.#mapFor(fd, BPF_F_RDONLY);
    return typeof map === "number"
      ? { err: map, count }
      : updateBatch(map, keys, values, count, elemFlags, this.#bufferSize(map));
  }

  mapDeleteBatch(fd: number, keys: Uint8Array, count: number, elemFlags = 0): BatchResult {
    const map = this.#mapFor(fd, BPF_F_RDONLY);
    return typeof map === "number" ? { err: map, count } : deleteBatch(map, keys, count, elemFlags);
  }

  /** Bytes of a value as bpf(2) exchanges it. */
  #bufferSize(map: BpfMap): number {
    return map.cpuStride === 0 ? map.valueSize : Math.ceil(map.valueSize / 8) * 8 * this.possibleCpus;
  }

  /** BPF_MAP_TYPE_RINGBUF only; -EINVAL for another map. */
  ringbufConsume(fd: number, onRecord: (data: Uint8Array) => void): number {
    const object = this.#mapOf(fd);
    if (typeof object === "number") return object;
    return object.map instanceof RingbufMap ? object.map.consume(onRecord) : -EINVAL;
  }

  /** The first call opens the sample rings: what programs output before it is lost (they get -ENOENT). */
  perfConsume(
    fd: number,
    onSample: (cpu: number, data: Uint8Array) => void,
    onLost?: (cpu: number, lost: number) => void,
  ): number {
    const object = this.#mapOf(fd);
    if (typeof object === "number") return object;
    if (!(object.map instanceof PerfEventArrayMap)) return -EINVAL;
    object.map.open();
    return object.map.consume(onSample, onLost);
  }

  pollMap(fd: number, signal?: AbortSignal): Promise<void> {
    const object = this.#mapOf(fd);
    if (typeof object === "number") return Promise.resolve();
    const { map } = object;
    if (map instanceof PerfEventArrayMap) map.open();
    return map instanceof RingbufMap || map instanceof PerfEventArrayMap
      ? this.#waiters.wait(() => map.hasData, signal)
      : Promise.resolve();
  }

  // ---- programs --------------------------------------------------------------------------------------------------

  progLoad(attr: ProgLoadAttr): ProgLoadResult {
    const { program, log } = loadProgram(this.#loadHost, attr);
    return { fd: typeof program === "number" ? program : this.#install(program), log };
  }

  /** A program that breaks a rule of the bounds-checked mode throws ProgramFault: bpf(2) has no errno for that. */
  progTestRun(fd: number, attr: TestRunAttr): TestRunResult {
    const program = this.#fds.of<Program>(fd, "prog");
    if (typeof program === "number") return failed(program);
    const { testRun } = program.progType;
    if (testRun === undefined) return failed(-ENOTSUPP);
    program.get();
    try {
      return testRun(this.#testRunEnv, program, attr);
    } finally {
      program.put();
    }
  }

  /** A runner for many packets through one program on `struct xdp_md` or `struct __sk_buff`; or a negative errno. */
  openPacketRunner(fd: number): PacketRunner | number {
    const program = this.#fds.of<Program>(fd, "prog");
    if (typeof program === "number") return program;
    const { skbView } = program.progType;
    if (program.type === BPF_PROG_TYPE_XDP) return new XdpRunner(this.space, this.#runner, program.get());
    return skbView === undefined
      ? -ENOTSUPP
      : new SkbRunner(this.space, this.#runner, program.get(), skbView);
  }

  /** A runner for captured packets of any link type through a socket filter; or a negative errno. */
  openFilterRunner(fd: number): FilterRunner | number {
    const program = this.#fds.of<Program>(fd, "prog");
    if (typeof program === "number") return program;
    return program.type === BPF_PROG_TYPE_SOCKET_FILTER
      ? new FilterRunner(this.space, this.#runner, program.get())
      : -EINVAL;
  }

  /** The program behind an fd: for hosts that look inside. */
  program(fd: number): Program | number {
    return this.#fds.of<Program>(fd, "prog");
  }

  // ---- BTF -------------------------------------------------------------------------------------------------------

  btfLoad(btf: Uint8Array, _options?: BtfLoadOptions): FdOrErrno {
    const view = new DataView(btf.buffer, btf.byteOffset, btf.byteLength);
    if (btf.length < 24 || view.getUint16(0, true) !== 0xeb9f) return -EINVAL;
    if (btf[2] !== 1) return -ENOTSUPP;
    const object = new BtfObject(btf.slice(), (released) => this.#btfs.remove(released));
    this.#btfs.add(object);
    return this.#install(object);
  }

  // ---- links -----------------------------------------------------------------------------------------------------

  linkCreate(attr: LinkCreateAttr): FdOrErrno {
    const program = this.#fds.of<Program>(attr.prog_fd, "prog");
    if (typeof program === "number") return program;
    const plan = planLink(
      { device: (ifindex) => this.#devices.get(ifindex), links: () => this.#links.values() },
      program,
      attr,
    );
    if (typeof plan === "number") return plan;
    const link = new Link(plan.type, plan.point, program.get(), attr.name ?? "", (released) =>
      this.#links.remove(released),
    );
    this.#links.add(link);
    return this.#install(link);
  }

  linkUpdate(linkFd: number, newProgFd: number, flags = 0, oldProgFd = 0): ZeroOrErrno {
    if (flags & ~BPF_F_REPLACE) return -EINVAL;
    const link = this.#fds.of<Link>(linkFd, "link");
    if (typeof link === "number") return link;
    const program = this.#fds.of<Program>(newProgFd, "prog");
    if (typeof program === "number") return program;
    let expected: Program | undefined;
    if (flags & BPF_F_REPLACE) {
      const found = this.#fds.of<Program>(oldProgFd, "prog");
      if (typeof found === "number") return found;
      expected = found;
    } else if (oldProgFd !== 0) return -EINVAL;
    if (!DETACHABLE.has(link.type)) return -EINVAL;
    const old = link.program;
    if (old === undefined) return -ENOLINK;
    if (expected !== undefined && old !== expected) return -EPERM;
    if (old.type !== program.type || old.expectedAttachType !== program.expectedAttachType) return -EINVAL;
    link.replace(program.get());
    return 0;
  }

  linkDetach(linkFd: number): ZeroOrErrno {
    const link = this.#fds.of<Link>(linkFd, "link");
    if (typeof link === "number") return link;
    if (!DETACHABLE.has(link.type)) return -EOPNOTSUPP;
    link.detach();
    return 0;
  }

  /** Programs whose target BTF describes need no name. */
  rawTracepointOpen(progFd: number, name?: string, _cookie?: bigint): FdOrErrno {
    const program = this.#fds.of<Program>(progFd, "prog");
    if (typeof program === "number") return program;
    const byName = RAW_TRACEPOINTS.has(program.type);
    if (byName === (name === undefined)) return -EINVAL;
    return this.linkCreate({
      prog_fd: progFd,
      target_fd: 0,
      attach_type: byName ? BPF_TRACE_RAW_TP : program.expectedAttachType,
      ...(name === undefined ? {} : { name }),
    });
  }

  /** Attach points of before links: there are none here. */
  progAttach(_attr: ProgAttachAttr): ZeroOrErrno {
    return -EOPNOTSUPP;
  }
  progDetach(_attr: ProgAttachAttr): ZeroOrErrno {
    return -EOPNOTSUPP;
  }

  progQuery(attr: ProgQueryAttr): ProgQueryResult {
    const links = [...this.#links.values()].filter(
      ({ program, point }) =>
        program !== undefined && point.attachType === attr.attach_type && point.target === attr.target_fd,
    );
    return {
      err: 0,
      prog_ids: links.map((link) => link.program!.id),
      link_ids: links.map((link) => link.id),
      attach_flags: 0,
      revision: 0n,
    };
  }

  /** The embedded kernel has no events of its own. */
  perfEventOpen(_event: PerfEventSpec): FdOrErrno {
    return -EOPNOTSUPP;
  }
  iterCreate(_linkFd: number, _flags?: number): FdOrErrno {
    return -EOPNOTSUPP;
  }
  read(fd: number, _into: Uint8Array): number {
    return this.#fds.lookup(fd) === undefined ? -EBADF : -EINVAL;
  }

  /** Runs are counted whether anybody asks or not. */
  enableStats(type: number): FdOrErrno {
    if (type !== BPF_STATS_RUN_TIME) return -EINVAL;
    const hold = new StatsHold();
    const fd = this.#fds.install(hold);
    hold.put();
    return fd;
  }
  tokenCreate(_bpffsFd: number, _flags?: number): FdOrErrno {
    return -EOPNOTSUPP;
  }

  progBindMap(progFd: number, mapFd: number): ZeroOrErrno {
    const program = this.#fds.of<Program>(progFd, "prog");
    if (typeof program === "number") return program;
    const object = this.#mapOf(mapFd);
    if (typeof object === "number") return object;
    program.bind(object.map.id, object);
    return 0;
  }

  /** Programs at an attach point, oldest link first: for whoever drives the traffic there. */
  attached(attachType: number, target = 0): Program[] {
    return [...this.#links.values()].flatMap((link) =>
      link.program !== undefined && link.point.attachType === attachType && link.point.target === target
        ? [link.program]
        : [],
    );
  }

  // ---- pins, ids, information --------------------------------------------------------------------------------------

  objPin(fd: number, path: string): ZeroOrErrno {
    const object = this.#fds.lookup(fd);
    return object === undefined ? -EINVAL : this.#pins.pin(path, object);
  }

  objGet(path: string): FdOrErrno {
    const object = this.#pins.find(path);
    return object === undefined ? -ENOENT : this.#fds.install(object);
  }

  /** unlink(2) in the bpffs. */
  objUnpin(path: string): ZeroOrErrno {
    return this.#pins.unlink(path);
  }

  /** Pinned paths, sorted. */
  pinned(): string[] {
    return this.#pins.paths();
  }

  #byId(table: IdTable<Program | MapObject | BtfObject | Link>, id: number): FdOrErrno {
    const object = table.find(id);
    return object === undefined ? -ENOENT : this.#fds.install(object);
  }

  progGetFdById(id: number): FdOrErrno {
    return this.#byId(this.#programs, id);
  }
  mapGetFdById(id: number): FdOrErrno {
    return this.#byId(this.#maps, id);
  }
  btfGetFdById(id: number): FdOrErrno {
    return this.#byId(this.#btfs, id);
  }
  linkGetFdById(id: number): FdOrErrno {
    return this.#byId(this.#links, id);
  }

  progGetNextId(startId: number): number {
    return this.#programs.nextId(startId);
  }
  mapGetNextId(startId: number): number {
    return this.#maps.nextId(startId);
  }
  btfGetNextId(startId: number): number {
    return this.#btfs.nextId(startId);
  }
  linkGetNextId(startId: number): number {
    return this.#links.nextId(startId);
  }

  mapInfo(fd: number): MapInfo | ZeroOrErrno {
    const object = this.#mapOf(fd);
    if (typeof object === "number") return object;
    const { map } = object;
    return {
      type: map.type,
      id: map.id,
      key_size: map.keySize,
      value_size: map.valueSize,
      max_entries: map.maxEntries,
      map_flags: map.flags,
      name: map.name,
      btf_id: object.btf?.id ?? 0,
      btf_key_type_id: object.btfKeyTypeId,
      btf_value_type_id: object.btfValueTypeId,
      map_extra: map.mapExtra,
    };
  }

  progInfo(fd: number): ProgInfo | ZeroOrErrno {
    const program = this.#fds.of<Program>(fd, "prog");
    if (typeof program === "number") return program;
    const { parts } = program;
    return {
      type: program.type,
      id: program.id,
      name: parts.name,
      tag: parts.tag,
      gpl_compatible: parts.gplCompatible,
      load_time: BigInt(Math.round(parts.loadTimeNs)),
      created_by_uid: this.task.uid,
      map_ids: program.mapIds,
      btf_id: parts.btfId,
      xlated_prog_len: parts.insns.length,
      jited_prog_len: 0,
      xlated_prog_insns: xlated(parts),
      run_time_ns: BigInt(Math.round(program.runTimeNs)),
      run_cnt: BigInt(program.runCount),
      verified_insns: 0,
    };
  }

  btfInfo(fd: number): BtfInfo | ZeroOrErrno {
    const object = this.#fds.of<BtfObject>(fd, "btf");
    if (typeof object === "number") return object;
    return { id: object.id, name: "", kernel_btf: false, btf: object.bytes.slice() };
  }

  linkInfo(fd: number): LinkInfo | ZeroOrErrno {
    const link = this.#fds.of<Link>(fd, "link");
    if (typeof link === "number") return link;
    const program = link.program;
    return {
      type: link.type,
      id: link.id,
      prog_id: program?.id ?? 0,
      attach_type: link.point.attachType,
      // What is detached stands nowhere.
      target:
        program === undefined
          ? 0
          : link.type === BPF_LINK_TYPE_TRACING
            ? program.parts.attachBtfId
            : link.point.target,
    };
  }

  close(fd: number): ZeroOrErrno {
    return this.#fds.close(fd);
  }

  /** Closes what is open and unpins what is pinned. */
  dispose(): void {
    this.#fds.closeAll();
    this.#pins.unlinkAll();
    this.#mapEnv.dispose();
  }

  /** An fd for a new object, whose first reference goes to it. */
  #install(object: Program | MapObject | BtfObject | Link): FdOrErrno {
    const fd = this.#fds.install(object);
    object.put();
    return fd;
  }
}

/** Lends a buffer for the time of a call; a call within a call gets one of its own. */
function pooled<B>(make: () => B): <T>(use: (buffer: B) => T) => T {
  const idle: B[] = [];
  return (use) => {
    const buffer = idle.pop() ?? make();
    try {
      return use(buffer);
    } finally {
      idle.push(buffer);
    }
  };
}
