/** What `load` gives: programs, maps and globals of an object on a backend. */
import type { Backend, ProgInfo, TestRunAttr, TestRunResult } from "../backend/index.ts";
import { BTF_KIND_STRUCT, BTF_KIND_TYPEDEF } from "../btf/index.ts";
import { BackendError, LoadError, UnsupportedError } from "../diag/index.ts";
import { BPF_F_LINK, EBUSY, errnoName } from "../uapi/index.ts";
import { type AttachOptions, attachProgram, attachStructOps } from "./attach.ts";
import { attachSpec } from "./attach-spec.ts";
import type { BpfLink } from "./bpf-link.ts";
import { Globals } from "./globals.ts";
import type { LinkedProgram } from "./link.ts";
import type { LiveMap } from "./live-map.ts";
import { holdsVariables, isData } from "./maps.ts";
import type { OpenedObject } from "./opened.ts";
import { PerfBuffer, type RecordType, RingBuffer } from "./rings.ts";
import type { MapSpec, ProgramSpec } from "./spec.ts";
import type { StructOpsMap } from "./struct-ops.ts";

export class LiveProgram {
  readonly name: string;
  readonly spec: ProgramSpec;
  readonly linked: LinkedProgram;
  readonly fd: number;
  /** The verifier's log, where `logLevel` asked for it. */
  readonly log: string;
  readonly #backend: Backend;

  constructor(backend: Backend, spec: ProgramSpec, linked: LinkedProgram, fd: number, log: string) {
    this.name = spec.name;
    this.spec = spec;
    this.linked = linked;
    this.fd = fd;
    this.log = log;
    this.#backend = backend;
  }

  /** BPF_PROG_TEST_RUN; `err` of the result is the command's errno. */
  testRun(attr: TestRunAttr = {}): TestRunResult {
    return this.#backend.progTestRun(this.fd, attr);
  }

  /** Where its section says, or where the options say. Closing the link detaches the program. */
  attach(options?: AttachOptions): BpfLink {
    return attachProgram(this.#backend, this.spec, this.fd, options);
  }

  /** Keeps the program in the backend's filesystem, whoever closes it. */
  pin(path: string): void {
    const err = this.#backend.objPin(this.fd, path);
    if (err < 0) throw new BackendError(`program '${this.name}', pin at ${path}`, errnoName(-err), -err);
  }

  info(): ProgInfo {
    const info = this.#backend.progInfo(this.fd);
    if (typeof info === "number")
      throw new BackendError(`program '${this.name}', info`, errnoName(-info), -info);
    return info;
  }
}

export interface LoadedParts {
  readonly programs: readonly LiveProgram[];
  readonly maps: readonly LiveMap[];
  readonly btfFd: number;
  /** What `close` closes. */
  readonly fds: number[];
  readonly structOps: readonly StructOpsMap[];
}

export class LoadedObject {
  readonly backend: Backend;
  readonly object: OpenedObject;
  readonly programs: Readonly<Record<string, LiveProgram>>;
  readonly maps: Readonly<Record<string, LiveMap>>;
  readonly globals: Globals;
  /** fd of the object's BTF, or a negative errno where the backend did not take it. */
  readonly btfFd: number;
  readonly #fds: number[];
  readonly #structOps: readonly StructOpsMap[];
  readonly #links: BpfLink[] = [];
  readonly #mapBySpec: ReadonlyMap<MapSpec, LiveMap>;
  readonly #programBySpec: ReadonlyMap<ProgramSpec, LiveProgram>;

  constructor(backend: Backend, object: OpenedObject, parts: LoadedParts) {
    this.backend = backend;
    this.object = object;
    this.btfFd = parts.btfFd;
    this.#fds = parts.fds;
    this.#structOps = parts.structOps;
    this.programs = byName(parts.programs);
    this.maps = byName(parts.maps);
    const live = new Map<MapSpec, LiveMap>(parts.maps.map((map) => [map.spec, map]));
    this.#mapBySpec = live;
    this.#programBySpec = new Map(parts.programs.map((program) => [program.spec, program]));
    const data = [...live.keys()].filter((map) => holdsVariables(map, object.arenaData));
    this.globals = new Globals(() => object.btf, data, {
      read: (spec) => this.contents(spec),
      write: (spec, value) => this.setContents(spec, value),
    });
  }

  /** The bytes of a section's variables, or of the arena's. */
  contents(spec: MapSpec): Uint8Array {
    const live = this.#mapBySpec.get(spec);
    if (live === undefined) throw new LoadError(`map '${spec.name}' is not created`);
    if (isData(spec)) return live.lookupRaw(new Uint8Array(4))!;
    return Uint8Array.from(this.#arena(live));
  }

  setContents(spec: MapSpec, value: Uint8Array): void {
    const live = this.#mapBySpec.get(spec);
    if (live === undefined) throw new LoadError(`map '${spec.name}' is not created`);
    if (isData(spec)) live.updateRaw(new Uint8Array(4), value);
    else this.#arena(live).set(value);
  }

  #arena(map: LiveMap): Uint8Array {
    const memory = this.backend.mapMemory?.(map.fd, this.object.arenaData!.length);
    if (memory instanceof Uint8Array) return memory;
    throw new UnsupportedError(`reaching the memory of arena '${map.name}' on ${this.backend.name}`);
  }

  /** The map that was created for a spec; undefined: it was not to be. */
  liveMap(spec: MapSpec): LiveMap | undefined {
    return this.#mapBySpec.get(spec);
  }

  liveProgram(spec: ProgramSpec): LiveProgram | undefined {
    return this.#programBySpec.get(spec);
  }

  /** `type`: a struct or typedef of the object's BTF that every record is. */
  ringBuffer(map: string, type?: string): RingBuffer {
    return new RingBuffer(this.backend, this.#map(map).fd, this.#recordType(type));
  }

  perfBuffer(map: string, type?: string): PerfBuffer {
    return new PerfBuffer(this.backend, this.#map(map).fd, this.#recordType(type));
  }

  /**
   * Attaches every program whose section says where, and every struct_ops map; what it attached, `close` detaches.
   * Where one fails, nothing stays attached.
   */
  attach(): readonly BpfLink[] {
    const links: BpfLink[] = [];
    try {
      for (const program of Object.values(this.programs))
        if (attachSpec(program.spec) !== undefined) links.push(program.attach());
      for (const { map } of this.#structOps) links.push(this.attachStructOps(map.name));
    } catch (error) {
      for (const link of links.reverse()) link.close();
      throw error;
    }
    this.#links.push(...links);
    return links;
  }

  /** A struct_ops map's value as the kernel takes it: initialisers in place, programs' fds for functions. */
  structOpsValue(name: string): Uint8Array {
    const plan = this.#structOps.find((m) => m.map.name === name);
    if (plan === undefined) throw new LoadError(`no struct_ops map '${name}'`);
    const value = Uint8Array.from(plan.value);
    const view = new DataView(value.buffer);
    for (const { offset, program } of plan.slots)
      view.setBigUint64(offset, BigInt(this.programs[program]!.fd), true);
    return value;
  }

  /** Registers a struct_ops map (bpf_map__attach_struct_ops); with BPF_F_LINK through a link. */
  attachStructOps(name: string): BpfLink {
    const value = this.structOpsValue(name);
    const map = this.#map(name);
    const isLink = (map.spec.flags & BPF_F_LINK) !== 0;
    const err = this.backend.mapUpdateElem(map.fd, new Uint8Array(4), value, 0);
    // With a link, the value may be there from an earlier one.
    if (err < 0 && !(isLink && err === -EBUSY))
      throw new BackendError(`struct_ops '${name}', update`, errnoName(-err), -err);
    return attachStructOps(this.backend, name, map.fd, isLink);
  }

  /** Detaches what `attach` attached, and closes every fd that loading opened. */
  close(): void {
    for (const link of this.#links.splice(0).reverse()) link.close();
    for (const fd of this.#fds.splice(0).reverse()) this.backend.close(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #map(name: string): LiveMap {
    const map = this.maps[name];
    if (map === undefined) throw new LoadError(`no map '${name}'`);
    return map;
  }

  #recordType(name: string | undefined): RecordType | undefined {
    if (name === undefined) return undefined;
    const { btf } = this.object;
    const typeId = btf?.findByName(name, BTF_KIND_STRUCT) ?? btf?.findByName(name, BTF_KIND_TYPEDEF);
    if (btf === undefined || typeId === undefined)
      throw new LoadError(`no type '${name}' in the object's BTF`);
    return { btf, typeId };
  }
}

/** A record without a prototype; the first item where a name repeats. */
export function byName<T extends { readonly name: string }>(items: readonly T[]): Record<string, T> {
  const out: Record<string, T> = Object.create(null);
  for (const item of items) out[item.name] ??= item;
  return out;
}
