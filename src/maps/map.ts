import { InternalError } from "../diag/index.ts";
import {
  BPF_F_LOCK,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY,
  BPF_F_WRONLY_PROG,
  EFAULT,
  EINVAL,
  ENOMEM,
  ENOTSUPP,
  EPERM,
} from "../uapi/index.ts";
import type { CoreExports, DirectCalls, VmMap } from "../vm/index.ts";
import type { MapAttr } from "./attr.ts";
import {
  MAP_CPU_STRIDE,
  MAP_CPUS,
  MAP_EXTRA,
  MAP_FLAGS,
  MAP_FROZEN,
  MAP_HEADER_SIZE,
  MAP_ID,
  MAP_KEY_SIZE,
  MAP_MAX_ENTRIES,
  MAP_PERM,
  MAP_STRIDE,
  MAP_TYPE,
  MAP_VALUE_OFFSET,
  MAP_VALUE_SIZE,
  MAP_VALUES,
  POOL_CHUNKS,
  POOL_FREE,
} from "./layout.ts";
import type { MapEnv } from "./map-env.ts";
import type { MapMeta } from "./meta.ts";

/** Where a type departs from the plain sizes of its attributes. */
export interface MapShape {
  readonly maxEntries?: number;
  readonly stride?: number;
  readonly cpuStride?: number;
  readonly valueOffset?: number;
  /** The values are not for programs to touch. */
  readonly hidden?: boolean;
}

/** Bytes that bpf(2) exchanges: a key, or null where the caller passes a null pointer. */
type Key = Uint8Array | null;

/**
 * A map: its header in linear memory (layout.ts) and what bpf(2) does with it. Everything that changes lives in linear
 * memory; this object only knows where. Operations return 0 or a negative errno, in the order of kernel/bpf/syscall.c.
 */
export abstract class BpfMap implements VmMap {
  readonly env: MapEnv;
  readonly address: number;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** Without BPF_F_RDONLY and BPF_F_WRONLY: see `fdFlags`. */
  readonly flags: number;
  /** BPF_F_RDONLY or BPF_F_WRONLY of the file descriptor that BPF_MAP_CREATE makes. */
  readonly fdFlags: number;
  readonly name: string;
  readonly mapExtra: bigint;
  readonly stride: number;
  readonly cpuStride: number;
  values = 0;
  readonly direct: DirectCalls = {};
  /** Maps that may not stand in another one: the kernel's types without map_meta_equal, and maps of maps. */
  readonly innerErrno: number = 0;
  /** Maps of maps: what all inner maps look like. */
  declare readonly inner?: MapMeta;
  /** Called once, when the last reference is gone and the memory is given back. */
  onFree: (() => void) | undefined;
  #refs = 1;

  constructor(env: MapEnv, attr: MapAttr, shape: MapShape = {}) {
    const flags = attr.map_flags ?? 0;
    this.env = env;
    this.type = attr.map_type;
    this.keySize = attr.key_size;
    this.valueSize = attr.value_size;
    this.maxEntries = shape.maxEntries ?? attr.max_entries;
    this.flags = (flags & ~(BPF_F_RDONLY | BPF_F_WRONLY)) >>> 0;
    this.fdFlags = flags & (BPF_F_RDONLY | BPF_F_WRONLY);
    this.name = attr.map_name ?? "";
    this.mapExtra = attr.map_extra ?? 0n;
    this.stride = shape.stride ?? 0;
    this.cpuStride = shape.cpuStride ?? 0;
    this.address = env.space.alloc(MAP_HEADER_SIZE, "none", 64);
    this.set(MAP_TYPE, this.type);
    this.set(MAP_KEY_SIZE, this.keySize);
    this.set(MAP_VALUE_SIZE, this.valueSize);
    this.set(MAP_MAX_ENTRIES, this.maxEntries);
    this.set(MAP_FLAGS, this.flags);
    this.set(MAP_STRIDE, this.stride);
    this.set(MAP_CPU_STRIDE, this.cpuStride);
    this.set(MAP_CPUS, env.space.cpus);
    this.set(MAP_VALUE_OFFSET, shape.valueOffset ?? 0);
    this.set(MAP_EXTRA, Number(this.mapExtra & 0xffffffffn));
    const readable = flags & BPF_F_WRONLY_PROG ? 0 : 1;
    const writable = flags & BPF_F_RDONLY_PROG ? 0 : 2;
    this.set(MAP_PERM, shape.hidden ? 0 : readable | writable);
  }

  /** Allocates what the map needs beyond its header. 0 or a negative errno; throws LoadError ENOMEM. */
  protected abstract init(): number;
  /** Gives back what init got, also after it failed half-way. */
  protected abstract destroy(): void;
  /** Offsets of the allocations beyond the header. */
  protected abstract blocks(): readonly number[];

  /** Makes the map live. On failure everything is given back. */
  start(): number {
    try {
      const err = this.init() || (this.core["map_register"]!(this.address) ? 0 : -ENOMEM);
      if (err === 0) this.env.maps.set(this.address, this);
      else this.#release();
      return err;
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  // ---- references ----------------------------------------------------------------------------------------------

  get refs(): number {
    return this.#refs;
  }

  get(): this {
    if (this.#refs <= 0) throw new InternalError(`reference to map ${this.id}, which is freed`);
    this.#refs++;
    return this;
  }

  /** Gives a reference back; the last one frees the map. */
  put(): void {
    if (this.#refs <= 0) throw new InternalError(`map ${this.id} freed twice`);
    if (--this.#refs > 0) return;
    this.onFree?.();
    this.core["map_unregister"]!(this.address);
    this.env.maps.delete(this.address);
    this.#release();
  }

  #release(): void {
    this.destroy();
    this.env.space.free(this.address);
  }

  /** No file descriptor or pinned path leads to the map any more, though programs may still use it. */
  releaseUserRefs(): void {}

  // ---- what BPF_MAP_*_ELEM do ----------------------------------------------------------------------------------

  /** Bytes of a value as bpf(2) exchanges it: per-CPU maps give round_up(value_size, 8) bytes for every CPU. */
  get userValueSize(): number {
    return this.valueSize;
  }

  get frozen(): boolean {
    return this.word(MAP_FROZEN) !== 0;
  }

  get id(): number {
    return this.word(MAP_ID);
  }
  set id(id: number) {
    this.set(MAP_ID, id);
  }

  /** BPF_MAP_LOOKUP_ELEM. */
  lookup(key: Key, value: Uint8Array, flags = 0): number {
    // No value holds a bpf_spin_lock yet: BPF_F_LOCK is as unknown as the other flags.
    if (flags !== 0) return -EINVAL;
    const err = this.#checkKey(key);
    return err !== 0 ? err : this.lookupElem(key!, value);
  }

  /** BPF_MAP_UPDATE_ELEM. */
  update(key: Key, value: Uint8Array | null, flags = 0): number {
    if (this.frozen) return -EPERM;
    if (flags & BPF_F_LOCK) return -EINVAL;
    const err = this.#checkKey(key);
    if (err !== 0) return err;
    if (value === null || value.length < this.userValueSize) return -EFAULT;
    // The flags are a u64; the core sees their low half.
    return this.updateElem(key!, value, flags >= 0 && flags < 2 ** 32 ? flags : 0xffffffff);
  }

  /** BPF_MAP_DELETE_ELEM. */
  delete(key: Key): number {
    if (this.frozen) return -EPERM;
    const err = this.#checkKey(key);
    return err !== 0 ? err : this.deleteElem(key!);
  }

  /** BPF_MAP_GET_NEXT_KEY; `key` null: the first one. */
  getNextKey(key: Key, next: Uint8Array): number {
    const err = key === null ? 0 : this.#checkKey(key);
    return err !== 0 ? err : this.nextKey(key, next);
  }

  /** BPF_MAP_LOOKUP_AND_DELETE_ELEM. */
  lookupAndDelete(key: Key, value: Uint8Array, flags = 0): number {
    if (flags & ~BPF_F_LOCK) return -EINVAL;
    if (this.frozen) return -EPERM;
    if (flags !== 0) return -EINVAL;
    const err = this.#checkKey(key);
    return err !== 0 ? err : this.lookupAndDeleteElem(key!, value);
  }

  /** BPF_MAP_FREEZE. A frozen map is not writable, which it must be to be frozen. */
  freeze(): number {
    if (this.frozen) return -EPERM;
    this.set(MAP_FROZEN, 1);
    return 0;
  }

  /** Bytes of linear memory that the map occupies. */
  memoryUsage(): number {
    return [this.address, ...this.blocks()].reduce((sum, at) => sum + this.core["block_size"]!(at), 0);
  }

  protected lookupElem(_key: Uint8Array, _value: Uint8Array): number {
    return -ENOTSUPP;
  }
  protected updateElem(_key: Uint8Array, _value: Uint8Array, _flags: number): number {
    return -ENOTSUPP;
  }
  protected deleteElem(_key: Uint8Array): number {
    return -ENOTSUPP;
  }
  protected nextKey(_key: Key, _next: Uint8Array): number {
    return -ENOTSUPP;
  }
  protected lookupAndDeleteElem(_key: Uint8Array, _value: Uint8Array): number {
    return -ENOTSUPP;
  }

  /** A map without keys takes a null pointer only. */
  #checkKey(key: Key): number {
    if (this.keySize === 0) return key === null ? 0 : -EINVAL;
    return key === null || key.length < this.keySize ? -EFAULT : 0;
  }

  // ---- linear memory -------------------------------------------------------------------------------------------

  protected get core(): CoreExports {
    return this.env.space.core;
  }

  protected word(offset: number): number {
    return this.env.space.u32[(this.address + offset) >>> 2];
  }

  protected set(offset: number, value: number): void {
    this.env.space.u32[(this.address + offset) >>> 2] = value;
  }

  /** Puts a key, and a value behind it at the next multiple of 8, into scratch memory; offset of the key. */
  protected passKey(key: Uint8Array, value?: Uint8Array, valueSize = 0): number {
    const at = this.env.scratch(this.keySize + 8 + valueSize);
    const u8 = this.env.space.u8;
    for (let i = 0; i < this.keySize; i++) u8[at + i] = key[i];
    if (value !== undefined) u8.set(value.subarray(0, valueSize), this.scratchValue(at));
    return at;
  }

  protected scratchValue(key: number): number {
    return (key + this.keySize + 7) & ~7;
  }

  /** Copies a value out to user space; a buffer that is too short is a bad address. */
  protected copyOut(at: number, size: number, to: Uint8Array): number {
    if (to.length < size) return -EFAULT;
    to.set(this.env.space.u8.subarray(at, at + size));
    return 0;
  }

  /** Allocations of the map's pool. */
  protected poolBlocks(): number[] {
    const blocks: number[] = this.word(POOL_FREE) === 0 ? [] : [this.word(POOL_FREE)];
    for (let at = this.word(POOL_CHUNKS); at !== 0; at = this.env.space.u32[at >>> 2]) blocks.push(at);
    return blocks;
  }

  protected setValues(at: number): void {
    this.values = at;
    this.set(MAP_VALUES, at);
  }
}
