/** What `load` gives: programs, maps and globals of an object on a backend. */
import type { Backend, ProgInfo, TestRunAttr, TestRunResult } from "../backend/index.ts";
import { BTF_KIND_STRUCT, BTF_KIND_TYPEDEF } from "../btf/index.ts";
import { BackendError, LoadError } from "../diag/index.ts";
import { errnoName } from "../uapi/index.ts";
import { type AttachOptions, attachProgram } from "./attach.ts";
import type { BpfLink } from "./bpf-link.ts";
import { Globals } from "./globals.ts";
import type { LinkedProgram } from "./link.ts";
import type { LiveMap } from "./live-map.ts";
import { isData } from "./maps.ts";
import type { OpenedObject } from "./opened.ts";
import { PerfBuffer, type RecordType, RingBuffer } from "./rings.ts";
import type { MapSpec, ProgramSpec } from "./spec.ts";

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

  constructor(backend: Backend, object: OpenedObject, parts: LoadedParts) {
    this.backend = backend;
    this.object = object;
    this.btfFd = parts.btfFd;
    this.#fds = parts.fds;
    this.programs = byName(parts.programs);
    this.maps = byName(parts.maps);
    const live = new Map<MapSpec, LiveMap>(parts.maps.map((map) => [map.spec, map]));
    const data = [...live.keys()].filter(isData);
    const key = new Uint8Array(4);
    this.globals = new Globals(object.btf, data, {
      read: (spec) => live.get(spec)!.lookupRaw(key)!,
      write: (spec, value) => live.get(spec)!.updateRaw(key, value),
    });
  }

  /** `type`: a struct or typedef of the object's BTF that every record is. */
  ringBuffer(map: string, type?: string): RingBuffer {
    return new RingBuffer(this.backend, this.#map(map).fd, this.#recordType(type));
  }

  perfBuffer(map: string, type?: string): PerfBuffer {
    return new PerfBuffer(this.backend, this.#map(map).fd, this.#recordType(type));
  }

  /** Closes every fd that loading opened. */
  close(): void {
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
