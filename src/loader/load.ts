/** Brings an object to life on a backend (bpf_object__load of tools/lib/bpf/libbpf.c): maps, programs, slots, pins. */
import type { Backend } from "../backend/index.ts";
import { LoadError, UnsupportedError, VerifierRejection } from "../diag/index.ts";
import * as uapi from "../uapi/index.ts";
import { describeFailure, POISON_CORE } from "./core-relocate.ts";
import { DEFAULT_KERNEL_VERSION } from "./kconfig.ts";
import { type LinkedProgram, POISON_KFUNC, POISON_MAP } from "./link.ts";
import { LiveMap } from "./live-map.ts";
import { LiveProgram, LoadedObject } from "./loaded-object.ts";
import { isData, isMapInMap, MAX_NAME } from "./maps.ts";
import type { LinkOptions, OpenedObject } from "./opened.ts";
import type { MapSpec, ProgramSpec } from "./spec.ts";
import { type StructOpsMap, type StructOpsPlan, structOpsAutoload } from "./struct-ops.ts";

export interface LoadOptions extends LinkOptions {
  /** BPF_LOG_*: 0 asks for the log of a rejected program only. */
  readonly logLevel?: number;
  /** Map name -> fd of a map to use instead of a new one; it stays the caller's. */
  readonly reuseMaps?: Readonly<Record<string, number>>;
  /** Where maps pinned by name live. */
  readonly pinRoot?: string;
}

/** Map types that the kernel creates without key and value types. */
const WITHOUT_BTF: ReadonlySet<number> = new Set([
  uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  uapi.BPF_MAP_TYPE_CGROUP_ARRAY,
  uapi.BPF_MAP_TYPE_STACK_TRACE,
  uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS,
  uapi.BPF_MAP_TYPE_HASH_OF_MAPS,
  uapi.BPF_MAP_TYPE_DEVMAP,
  uapi.BPF_MAP_TYPE_DEVMAP_HASH,
  uapi.BPF_MAP_TYPE_CPUMAP,
  uapi.BPF_MAP_TYPE_XSKMAP,
  uapi.BPF_MAP_TYPE_SOCKMAP,
  uapi.BPF_MAP_TYPE_SOCKHASH,
  uapi.BPF_MAP_TYPE_QUEUE,
  uapi.BPF_MAP_TYPE_STACK,
  uapi.BPF_MAP_TYPE_ARENA,
]);

/** Loads the programs that have `autoload` set, and the maps that have `autocreate` set. Undoes all on failure. */
export function loadObject(object: OpenedObject, backend: Backend, options: LoadOptions = {}): LoadedObject {
  for (const map of object.mapList) {
    if (!map.autocreate) continue;
    if (map.structOps !== undefined && options.targetBtf === undefined)
      throw new UnsupportedError(
        `struct_ops map '${map.name}' without the kernel's BTF`,
        "give a targetBtf, or set the map's autocreate to false to load the rest",
      );
    if (map.type === uapi.BPF_MAP_TYPE_ARENA && object.arenaData !== undefined && !backend.mapMemory)
      throw new UnsupportedError(`arena map '${map.name}' with initial data on ${backend.name}`);
  }
  // Whatever can fail without the backend fails before it is touched.
  const wanted = object.programList.filter((p) => structOpsAutoload(p, object.mapList));
  const linked = wanted.map((spec) => object.link(spec, options));
  const structOps = object.structOps(options);
  const kconfig = object.kconfig(options);
  const loader = new Loader(object, backend, options);
  try {
    return loader.run(wanted, linked, kconfig, structOps);
  } catch (error) {
    loader.abandon();
    throw error;
  }
}

class Loader {
  readonly #object: OpenedObject;
  readonly #backend: Backend;
  readonly #options: LoadOptions;
  readonly #fds: number[] = [];
  readonly #moduleFds = new Map<string, number>();
  #btfFd = -uapi.ENOENT;

  constructor(object: OpenedObject, backend: Backend, options: LoadOptions) {
    this.#object = object;
    this.#backend = backend;
    this.#options = options;
  }

  run(
    wanted: readonly ProgramSpec[],
    linked: readonly LinkedProgram[],
    kconfig: Uint8Array | undefined,
    structOps: StructOpsPlan | undefined,
  ): LoadedObject {
    const object = this.#object;
    const backend = this.#backend;
    if (object.btf !== undefined) {
      // Optional, as in libbpf: maps and programs then go without types.
      this.#btfFd = backend.btfLoad(object.btf.bytes);
      if (this.#btfFd >= 0) this.#fds.push(this.#btfFd);
    }
    const planOf = (spec: MapSpec): StructOpsMap | undefined => structOps?.maps.find((m) => m.map === spec);
    const maps = object.mapList
      .filter((spec) => spec.autocreate)
      .map((spec) => new LiveMap(backend, spec, this.#map(spec, kconfig, planOf(spec)), object.btf));
    for (const map of maps)
      if (isMapInMap(map.spec.type)) this.#slots(map, (name) => maps.find((m) => m.name === name)?.fd);
    const mapFd = new Map(maps.map((map) => [map.spec, map.fd]));
    const programs = wanted.map((spec, i) => this.#program(spec, linked[i]!, mapFd));
    for (const map of maps)
      if (map.spec.type === uapi.BPF_MAP_TYPE_PROG_ARRAY)
        this.#slots(map, (name) => programs.find((p) => p.name === name)?.fd);
    return new LoadedObject(backend, object, {
      programs,
      maps,
      btfFd: this.#btfFd,
      fds: this.#fds,
      structOps: structOps?.maps ?? [],
    });
  }

  abandon(): void {
    for (const fd of this.#fds.splice(0).reverse()) this.#backend.close(fd);
  }

  #map(spec: MapSpec, kconfig: Uint8Array | undefined, structOps: StructOpsMap | undefined): number {
    const reused = this.#options.reuseMaps?.[spec.name];
    if (reused !== undefined) return this.#reuse(spec, reused);
    const byName = spec.pinByName ? `${this.#options.pinRoot ?? "/sys/fs/bpf"}/${spec.name}` : undefined;
    const path = spec.pinPath ?? byName;
    if (path !== undefined) {
      const fd = this.#backend.objGet(path);
      if (fd >= 0) {
        this.#fds.push(fd);
        return this.#reuse(spec, fd);
      }
    }
    const fd = this.#create(spec, structOps);
    const { arenaData } = this.#object;
    if (spec.type === uapi.BPF_MAP_TYPE_ARENA && arenaData !== undefined) {
      const memory = this.#backend.mapMemory!(fd, arenaData.length);
      if (typeof memory === "number") this.#check(spec, "reach its memory", memory);
      else memory.set(arenaData);
    }
    if (isData(spec)) {
      const value =
        spec.origin === "kconfig" ? kconfig! : (spec.initialValue ?? new Uint8Array(spec.valueSize));
      this.#check(spec, "set initial contents", this.#backend.mapUpdateElem(fd, new Uint8Array(4), value, 0));
      if (spec.origin === "rodata" || spec.origin === "kconfig")
        this.#check(spec, "freeze", this.#backend.mapFreeze(fd));
    }
    if (path !== undefined) this.#check(spec, `pin at ${path}`, this.#backend.objPin(fd, path));
    return fd;
  }

  /** A map from outside must be what the object wants. */
  #reuse(spec: MapSpec, fd: number): number {
    const info = this.#backend.mapInfo(fd);
    if (typeof info === "number") throw new LoadError(`map '${spec.name}': fd ${fd} is no map`, -info);
    const have = [info.type, info.key_size, info.value_size, info.max_entries, info.map_flags];
    const want = [spec.type, spec.keySize, spec.valueSize, this.#maxEntries(spec), spec.flags];
    if (have.some((v, i) => v !== want[i]))
      throw new LoadError(
        `map '${spec.name}': type, key, value, entries, flags are ${have.join(", ")}, want ${want.join(", ")}`,
        uapi.EINVAL,
      );
    return fd;
  }

  #create(spec: MapSpec, structOps?: StructOpsMap): number {
    const innerFd = isMapInMap(spec.type) && spec.innerMap !== undefined ? this.#create(spec.innerMap) : -1;
    // libbpf gives the object's BTF with every map of such a type, typed or not.
    const { keyTypeId, valueTypeId } = structOps === undefined ? spec : { keyTypeId: 0, valueTypeId: 0 };
    const typed =
      this.#btfFd >= 0 && !WITHOUT_BTF.has(spec.type)
        ? { btf_fd: this.#btfFd, btf_key_type_id: keyTypeId, btf_value_type_id: valueTypeId }
        : undefined;
    const attr = {
      map_type: spec.type,
      key_size: spec.keySize,
      value_size: structOps?.valueSize ?? spec.valueSize,
      max_entries: this.#maxEntries(spec),
      map_flags:
        spec.flags | (structOps !== undefined && structOps.module !== "" ? uapi.BPF_F_VTYPE_BTF_OBJ_FD : 0),
      map_name: objectName(spec.name),
      numa_node: spec.numaNode,
      map_extra: spec.extra,
      ...(innerFd >= 0 ? { inner_map_fd: innerFd } : {}),
      ...(structOps === undefined ? {} : { btf_vmlinux_value_type_id: structOps.valueTypeId }),
      ...(structOps === undefined || structOps.module === ""
        ? {}
        : { value_type_btf_obj_fd: this.#moduleFd(structOps.module) }),
    };
    let fd = this.#backend.mapCreate({ ...attr, ...typed });
    if (fd < 0 && (keyTypeId !== 0 || valueTypeId !== 0)) fd = this.#backend.mapCreate(attr);
    if (fd < 0) {
      const type = uapi.bpf_map_type_names[spec.type] ?? `type ${spec.type}`;
      throw new LoadError(
        `map '${spec.name}': failed to create ${type} (key ${spec.keySize}, value ${spec.valueSize}, ${attr.max_entries} entries, flags 0x${spec.flags.toString(16)}): ${uapi.errnoName(-fd)}`,
        -fd,
      );
    }
    // The pattern of inner maps is wanted for creating the outer one only.
    if (innerFd >= 0) {
      this.#backend.close(innerFd);
      this.#fds.splice(this.#fds.indexOf(innerFd), 1);
    }
    this.#fds.push(fd);
    return fd;
  }

  #maxEntries(spec: MapSpec): number {
    const perCpu = spec.type === uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY && spec.maxEntries === 0;
    return perCpu ? this.#backend.possibleCpus : spec.maxEntries;
  }

  #slots(map: LiveMap, fdOf: (name: string) => number | undefined): void {
    for (const [index, name] of map.spec.initialSlots) {
      const fd = fdOf(name);
      // A program that is not loaded leaves its slot empty.
      if (fd === undefined) continue;
      const err = this.#backend.mapUpdateElem(map.fd, u32(index), u32(fd), 0);
      this.#check(map.spec, `initialize slot [${index}] to '${name}'`, err);
    }
  }

  #program(spec: ProgramSpec, linked: LinkedProgram, mapFd: ReadonlyMap<MapSpec, number>): LiveProgram {
    const object = this.#object;
    if (spec.type === uapi.BPF_PROG_TYPE_UNSPEC)
      throw new LoadError(
        `program '${spec.name}': missing BPF prog type, check ELF section name '${spec.sectionName}'`,
      );
    if (spec.type === uapi.BPF_PROG_TYPE_EXT && spec.attachProgram === undefined)
      throw new LoadError(
        `program '${spec.name}': freplace wants the program that it replaces: set attachProgram`,
        uapi.EINVAL,
      );
    if (spec.type === uapi.BPF_PROG_TYPE_STRUCT_OPS && linked.attach === undefined)
      throw new LoadError(
        `program '${spec.name}': no struct_ops map that is created refers to it`,
        uapi.EINVAL,
      );
    const insns = linked.insns.slice();
    const view = new DataView(insns.buffer);
    for (const { insn, map } of linked.mapReferences) view.setInt32(insn * 8 + 4, mapFd.get(map)!, true);
    for (const { insn, module } of linked.moduleReferences)
      view.setInt32(insn * 8 + 4, this.#moduleFd(module), true);
    const { funcInfo, lineInfo, attach } = linked;
    const attr = {
      prog_type: spec.type,
      insns,
      license: object.license,
      expected_attach_type: linked.attachType,
      prog_flags: spec.flags,
      prog_name: objectName(spec.name),
      kern_version: object.version || (this.#options.kernelVersion ?? DEFAULT_KERNEL_VERSION),
      attach_btf_id: attach?.btfId ?? 0,
      ...(attach?.kind === "module" ? { attach_btf_obj_fd: this.#moduleFd(attach.module) } : {}),
      ...(spec.attachProgram?.fd === undefined ? {} : { attach_prog_fd: spec.attachProgram.fd }),
      ...(linked.modules.length > 0
        ? { fd_array: [0, ...linked.modules.map((name) => this.#moduleFd(name))] }
        : {}),
      ...(this.#btfFd >= 0 ? { prog_btf_fd: this.#btfFd } : {}),
      ...(this.#btfFd >= 0 && funcInfo
        ? { func_info: funcInfo, func_info_rec_size: linked.funcInfoRecordSize }
        : {}),
      ...(this.#btfFd >= 0 && lineInfo
        ? { line_info: lineInfo, line_info_rec_size: linked.lineInfoRecordSize }
        : {}),
    };
    const logLevel = this.#options.logLevel ?? 0;
    let result = this.#backend.progLoad({ ...attr, log_level: logLevel });
    if (result.fd < 0 && logLevel === 0) result = this.#backend.progLoad({ ...attr, log_level: 1 });
    if (result.fd < 0) {
      const last = result.log.trimEnd().split("\n").slice(-3).join("\n");
      const cause = explainRejection(result.log, linked, object);
      const reason = `failed to load: ${uapi.errnoName(-result.fd)}${last === "" ? "" : `\n${last}`}${cause}`;
      throw new VerifierRejection(spec.name, reason, -result.fd, result.log);
    }
    this.#fds.push(result.fd);
    return new LiveProgram(this.#backend, spec, linked, result.fd, result.log);
  }

  /** BTF fd of a loaded module, by its name. */
  #moduleFd(name: string): number {
    let fd = this.#moduleFds.get(name);
    if (fd !== undefined) return fd;
    for (let id = this.#backend.btfGetNextId(0); id > 0; id = this.#backend.btfGetNextId(id)) {
      fd = this.#backend.btfGetFdById(id);
      if (fd < 0) continue;
      const info = this.#backend.btfInfo(fd);
      if (typeof info !== "number" && info.kernel_btf && info.name === name) {
        this.#fds.push(fd);
        this.#moduleFds.set(name, fd);
        return fd;
      }
      this.#backend.close(fd);
    }
    throw new LoadError(`the backend has no BTF of module '${name}'`, uapi.ESRCH);
  }

  #check(spec: MapSpec, what: string, err: number): void {
    if (err < 0) throw new LoadError(`map '${spec.name}': failed to ${what}: ${uapi.errnoName(-err)}`, -err);
  }
}

/** Adds to a rejection what a poisoned instruction stood for (fixup_verifier_log). */
function explainRejection(log: string, linked: LinkedProgram, object: OpenedObject): string {
  const found = /^(?:(\d+): .*\n)?invalid func unknown#(\d+)/m.exec(log);
  if (found === null) return "";
  const helper = Number(found[2]);
  if (helper === POISON_CORE) {
    const at = found[1] === undefined ? undefined : Number(found[1]);
    const failed = linked.failedRelocations.find((f) => f.insn === at) ?? linked.failedRelocations[0];
    return failed === undefined ? "" : `\n${describeFailure(failed)}`;
  }
  if (helper >= POISON_KFUNC)
    return `\nthe kernel has no function '${object.externs[helper - POISON_KFUNC]?.name ?? ""}'`;
  const map = object.mapList[helper - POISON_MAP];
  return map === undefined ? "" : `\nmap '${map.name}' is not created (autocreate is off)`;
}

/** What the kernel takes as an object's name. */
function objectName(name: string): string {
  return name.slice(0, MAX_NAME).replace(/[^A-Za-z0-9_.]/g, "_");
}

function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}
