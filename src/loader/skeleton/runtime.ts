/**
 * What generated skeletons stand on (the bpf_object_skeleton part of tools/lib/bpf/libbpf.c): an object with its
 * programs, maps and globals under their names, before and after loading. Types come from the generated file; values
 * are those of formatValue and parseValue.
 */
import type { Backend, ProgInfo, TestRunAttr, TestRunResult } from "../../backend/index.ts";
import { type BtfValue, formatValue, parseValue } from "../../btf/index.ts";
import { LoadError } from "../../diag/index.ts";
import type { AttachOptions } from "../attach.ts";
import type { BpfLink } from "../bpf-link.ts";
import { Globals } from "../globals.ts";
import type { LiveMap } from "../live-map.ts";
import type { LoadOptions } from "../load.ts";
import type { LiveProgram, LoadedObject } from "../loaded-object.ts";
import type { MapInput } from "../map-types.ts";
import { holdsVariables, isData } from "../maps.ts";
import { BpfObject, type OpenOptions } from "../object.ts";
import type { MapSpec, ProgramSpec } from "../spec.ts";

/** A char array: text, or numbers where text would lose something. */
export type CharArray = string | readonly number[];

/** What may be given where `T` is read: wider numbers, bytes, objects whose missing members are zero. */
export type Input<T> = T extends boolean
  ? boolean
  : T extends bigint
    ? bigint | number
    : T extends number
      ? number | bigint
      : T extends string
        ? T | Uint8Array
        : T extends Uint8Array
          ? Uint8Array | number | bigint
          : T extends readonly (infer E)[]
            ? readonly Input<E>[] | Uint8Array
            : T extends object
              ? { readonly [K in keyof T]?: Input<T[K]> } | Uint8Array
              : T;

/** The description of one object that a generated file gives. */
export interface SkeletonShape {
  readonly programs: string;
  /** What a lookup gives, and what an update takes. */
  readonly maps: { readonly [name: string]: { key: unknown; value: unknown; input: unknown } };
  /** By section: `data`, `bss`, `rodata`, `data_custom`, `kconfig`. */
  readonly globals: { readonly [section: string]: object };
  readonly structOps: { readonly [name: string]: object };
  /** What records of ring and perf buffers may be. */
  readonly records: { readonly [type: string]: unknown };
}

/** A program: its spec before loading, itself afterwards. */
export class SkeletonProgram {
  readonly spec: ProgramSpec;
  #live: LiveProgram | undefined;

  constructor(spec: ProgramSpec) {
    this.spec = spec;
  }

  get name(): string {
    return this.spec.name;
  }
  get autoload(): boolean {
    return this.spec.autoload;
  }
  set autoload(value: boolean) {
    this.spec.autoload = value;
  }
  get attachTarget(): string {
    return this.spec.attachTarget;
  }
  set attachTarget(value: string) {
    this.spec.attachTarget = value;
  }
  /** Throws LoadError before loading, and where the program was not to be loaded. */
  get live(): LiveProgram {
    if (this.#live === undefined) throw new LoadError(`program '${this.name}' is not loaded`);
    return this.#live;
  }
  set live(live: LiveProgram | undefined) {
    this.#live = live;
  }
  get fd(): number {
    return this.live.fd;
  }
  testRun(attr: TestRunAttr = {}): TestRunResult {
    return this.live.testRun(attr);
  }
  attach(options?: AttachOptions): BpfLink {
    return this.live.attach(options);
  }
  info(): ProgInfo {
    return this.live.info();
  }
}

/** A map: its spec before loading, its contents afterwards. `I` is what an update takes as a value. */
export class SkeletonMap<K, V, I> {
  readonly spec: MapSpec;
  readonly #object: BpfObject;
  #live: LiveMap | undefined;

  constructor(object: BpfObject, spec: MapSpec) {
    this.#object = object;
    this.spec = spec;
  }

  get name(): string {
    return this.spec.name;
  }
  get autocreate(): boolean {
    return this.spec.autocreate;
  }
  set autocreate(value: boolean) {
    this.spec.autocreate = value;
  }
  get maxEntries(): number {
    return this.spec.maxEntries;
  }
  /** Before loading. */
  set maxEntries(value: number) {
    this.spec.maxEntries = value;
  }
  get valueSize(): number {
    return this.spec.valueSize;
  }
  /** Before loading. A section of variables grows or shrinks by its last one, an array. */
  set valueSize(value: number) {
    this.#object.setValueSize(this.spec, value);
  }
  get live(): LiveMap {
    if (this.#live === undefined) throw new LoadError(`map '${this.name}' is not created`);
    return this.#live;
  }
  set live(live: LiveMap | undefined) {
    this.#live = live;
  }
  get fd(): number {
    return this.live.fd;
  }
  /** undefined: no such key. */
  lookup(key: Input<K>, flags?: number): V | undefined {
    return this.live.lookup(key as MapInput, flags) as V | undefined;
  }
  update(key: Input<K>, value: I, flags?: number): void {
    this.live.update(key as MapInput, value as MapInput, flags);
  }
  /** false: there was no such key. */
  delete(key: Input<K>): boolean {
    return this.live.delete(key as MapInput);
  }
  lookupAndDelete(key: Input<K>): V | undefined {
    return this.live.lookupAndDelete(key as MapInput) as V | undefined;
  }
  push(value: I, flags?: number): void {
    this.live.push(value as MapInput, flags);
  }
  pop(): V | undefined {
    return this.live.pop() as V | undefined;
  }
  peek(): V | undefined {
    return this.live.peek() as V | undefined;
  }
  keys(): Generator<K, void, undefined> {
    return this.live.keys() as Generator<K, void, undefined>;
  }
  entries(): Generator<[key: K, value: V], void, undefined> {
    return this.live.entries() as Generator<[key: K, value: V], void, undefined>;
  }
  [Symbol.iterator](): Generator<[key: K, value: V], void, undefined> {
    return this.entries();
  }
}

/** A consumer whose records have a type. */
export interface Records<T> {
  consume(onRecord: (record: T) => void): number;
}

/** Names of maps in skeletons: what C could call them. */
export function identifier(name: string): string {
  return name.replace(/[^A-Za-z0-9_]/g, "_");
}

/** `data` for a map of section `.data`; `rodata_str1_1`; `arena`. */
export function sectionIdentifier(map: MapSpec): string {
  return isData(map) ? identifier(map.sectionName.replace(/^\./, "")) : "arena";
}

export class Skeleton<T extends SkeletonShape> implements Disposable {
  readonly object: BpfObject;
  readonly programs: { readonly [P in T["programs"]]: SkeletonProgram };
  readonly maps: {
    readonly [M in keyof T["maps"]]: SkeletonMap<
      T["maps"][M]["key"],
      T["maps"][M]["value"],
      T["maps"][M]["input"]
    >;
  };
  /**
   * Variables by section. What is set before loading is what the programs find; afterwards reading and setting go to
   * the map. Arrays and structs come and go whole.
   */
  readonly globals: { readonly [S in keyof T["globals"]]: T["globals"][S] };
  /** Initialisers of struct_ops maps before loading: members, and names of programs for functions. */
  readonly structOps: { readonly [S in keyof T["structOps"]]: T["structOps"][S] };
  readonly #maps: readonly SkeletonMap<unknown, unknown, unknown>[];
  readonly #programs: readonly SkeletonProgram[];
  #loaded: LoadedObject | undefined;

  constructor(bytes: Uint8Array, options: OpenOptions) {
    const object = BpfObject.open(bytes, options);
    this.object = object;
    this.#programs = object.programList.map((spec) => new SkeletonProgram(spec));
    this.#maps = object.mapList.map((spec) => new SkeletonMap(object, spec));
    this.programs = record(this.#programs, (p) => p.name) as never;
    this.maps = record(this.#maps, (m) => identifier(m.name)) as never;
    const globals: Record<string, object> = Object.create(null);
    for (const spec of object.mapList)
      if (holdsVariables(spec, object.arenaData)) globals[sectionIdentifier(spec)] ??= this.#section(spec);
    this.globals = globals as never;
    const structOps: Record<string, object> = Object.create(null);
    for (const spec of object.mapList)
      if (spec.structOps !== undefined) structOps[identifier(spec.name)] ??= structOpsMembers(object, spec);
    this.structOps = structOps as never;
  }

  /** Throws LoadError before loading. */
  get loaded(): LoadedObject {
    if (this.#loaded === undefined) throw new LoadError(`'${this.object.name}' is not loaded`);
    return this.#loaded;
  }

  /** Creates the maps and loads the programs; once. */
  load(backend: Backend, options: LoadOptions = {}): this {
    if (this.#loaded !== undefined) throw new LoadError(`'${this.object.name}' is loaded already`);
    const loaded = this.object.load(backend, options);
    this.#loaded = loaded;
    for (const map of this.#maps) map.live = loaded.liveMap(map.spec);
    for (const program of this.#programs) program.live = loaded.liveProgram(program.spec);
    return this;
  }

  /** Attaches every program whose section says where, and every struct_ops map. */
  attach(): readonly BpfLink[] {
    return this.loaded.attach();
  }

  /** Records of a ring buffer as `type` of the object's BTF. */
  ringBuffer<R extends keyof T["records"] & string>(
    map: keyof T["maps"] & string,
    type: R,
  ): Records<T["records"][R]> {
    return this.loaded.ringBuffer(this.#name(map), type) as unknown as Records<T["records"][R]>;
  }

  perfBuffer<R extends keyof T["records"] & string>(
    map: keyof T["maps"] & string,
    type: R,
  ): Records<T["records"][R]> {
    return this.loaded.perfBuffer(this.#name(map), type) as unknown as Records<T["records"][R]>;
  }

  /** Detaches, and closes what loading opened. */
  close(): void {
    this.#loaded?.close();
    this.#loaded = undefined;
    for (const map of this.#maps) map.live = undefined;
    for (const program of this.#programs) program.live = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #name(map: string): string {
    const found = this.#maps.find((m) => identifier(m.name) === map);
    if (found === undefined) throw new LoadError(`no map '${map}'`);
    return found.name;
  }

  /** One data section's variables as properties. */
  #section(spec: MapSpec): object {
    const globals = new Globals(() => this.object.btf, [spec], {
      read: (map) => (this.#loaded ?? this.object).contents(map),
      write: (map, value) => (this.#loaded ?? this.object).setContents(map, value),
    });
    const out = Object.create(null) as object;
    for (const name of globals.variables.keys())
      Object.defineProperty(out, name, {
        enumerable: true,
        get: () => globals.get(name),
        set: (value: BtfValue) => globals.set(name, value),
      });
    return out;
  }
}

function record<V>(items: readonly V[], nameOf: (item: V) => string): Record<string, V> {
  const out: Record<string, V> = Object.create(null);
  for (const item of items) out[nameOf(item)] ??= item;
  return out;
}

/** Members of a struct_ops variable: values, and for functions the names of programs. */
function structOpsMembers({ btf }: BpfObject, spec: MapSpec): object {
  const out = Object.create(null) as object;
  const type = btf?.type(spec.valueTypeId);
  if (btf === undefined || type === undefined || !("members" in type)) return out;
  for (const member of type.members) {
    // Broken type information may name two members alike: the first one counts, as in a lookup by name.
    if (member.name === "" || member.bitSize > 0 || Object.hasOwn(out, member.name)) continue;
    const from = member.bitOffset >>> 3;
    const isPointer = btf.kind(btf.skipModifiers(member.type)) === 2;
    Object.defineProperty(
      out,
      member.name,
      isPointer
        ? {
            enumerable: true,
            get: () => spec.structOps!.get(member.name),
            set: (program: string | undefined) => {
              if (program === undefined) spec.structOps!.delete(member.name);
              else spec.structOps!.set(member.name, program);
            },
          }
        : {
            enumerable: true,
            get: () => {
              const size = btf.resolveSize(member.type);
              return formatValue(btf, member.type, spec.initialValue!.subarray(from, from + size));
            },
            set: (value: BtfValue) => spec.initialValue!.set(parseValue(btf, member.type, value), from),
          },
    );
  }
  return out;
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

export function toBase64(bytes: Uint8Array): string {
  let out = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const n = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    out += ALPHABET[n >>> 18]! + ALPHABET[(n >>> 12) & 63]!;
    out += i + 1 < bytes.length ? ALPHABET[(n >>> 6) & 63]! : "=";
    out += i + 2 < bytes.length ? ALPHABET[n & 63]! : "=";
  }
  return out;
}

/** The bytes of an object that a generated file holds. */
export function fromBase64(text: string): Uint8Array {
  const codes = new Uint8Array(128);
  for (let i = 0; i < 64; i++) codes[ALPHABET.charCodeAt(i)] = i;
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const out = new Uint8Array((text.length >>> 2) * 3 - padding);
  for (let i = 0, at = 0; i < text.length; i += 4, at += 3) {
    const n =
      (codes[text.charCodeAt(i)]! << 18) |
      (codes[text.charCodeAt(i + 1)]! << 12) |
      (codes[text.charCodeAt(i + 2)]! << 6) |
      codes[text.charCodeAt(i + 3)]!;
    out[at] = n >>> 16;
    if (at + 1 < out.length) out[at + 1] = n >>> 8;
    if (at + 2 < out.length) out[at + 2] = n;
  }
  return out;
}
