// BPF_MAP_TYPE_HASH, PERCPU_HASH, LRU_HASH and LRU_PERCPU_HASH for user space (kernel/bpf/hashtab.c).
import {
  BPF_F_NO_COMMON_LRU,
  BPF_F_NO_PREALLOC,
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY_PROG,
  BPF_F_ZERO_SEED,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_HASH,
  E2BIG,
  EINVAL,
  ENOENT,
  ENOTSUPP,
} from "../uapi/index.ts";
import { alignUp } from "../util/index.ts";
import type { DirectCalls, HashLayout } from "../vm/index.ts";
import {
  accessOk,
  BPF_F_ACCESS_MASK,
  hasNumaNode,
  hasOtherFlags,
  KMALLOC_MAX_SIZE,
  type MapAttr,
  PCPU_MIN_UNIT_SIZE,
} from "./attr.ts";
import {
  HTAB_BUCKETS,
  HTAB_COPY_SIZE,
  HTAB_KEY,
  HTAB_KEY_OFFSET,
  HTAB_KEY4,
  HTAB_LRU,
  HTAB_SEED,
  HTAB_SHIFT,
  MAP_COUNT,
  POOL_ELEM_SIZE,
  POOL_PREFIX,
} from "./layout.ts";
import { BpfMap } from "./map.ts";
import type { MapEnv } from "./map-env.ts";

const HTAB_CREATE_FLAG_MASK =
  BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK | BPF_F_ZERO_SEED;
/** sizeof(struct htab_elem) in the kernel, which counts towards its longest element. */
const KERNEL_ELEM_HEAD = 48;
const LRU_NODE_SIZE = 16;

function isPercpu(type: number): boolean {
  return type === BPF_MAP_TYPE_PERCPU_HASH || type === BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

function isLru(type: number): boolean {
  return type === BPF_MAP_TYPE_LRU_HASH || type === BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/** htab_map_alloc_check. */
export function checkHash(attr: MapAttr): number {
  const flags = attr.map_flags ?? 0;
  const percpu = isPercpu(attr.map_type);
  const lru = isLru(attr.map_type);
  const percpuLru = (flags & BPF_F_NO_COMMON_LRU) !== 0;
  if (hasOtherFlags(flags, HTAB_CREATE_FLAG_MASK) || !accessOk(flags)) return -EINVAL;
  if (!lru && percpuLru) return -EINVAL;
  if (lru && flags & BPF_F_NO_PREALLOC) return -ENOTSUPP;
  if (hasNumaNode(attr) && (percpu || percpuLru)) return -EINVAL;
  if (attr.max_entries === 0 || attr.key_size === 0 || attr.value_size === 0) return -EINVAL;
  if (attr.key_size + attr.value_size >= KMALLOC_MAX_SIZE - KERNEL_ELEM_HEAD) return -E2BIG;
  if (percpu && alignUp(attr.value_size, 8) > PCPU_MIN_UNIT_SIZE) return -E2BIG;
  // htab_map_alloc
  if (attr.max_entries > 2 ** 31) return -E2BIG;
  return 0;
}

/** With an LRU list for each CPU, each has the same number of elements. */
function entriesOf(attr: MapAttr, cpus: number): number {
  if (!((attr.map_flags ?? 0) & BPF_F_NO_COMMON_LRU)) return attr.max_entries;
  return alignUp(attr.max_entries, cpus);
}

function directCalls(type: number, keySize: number, flags: number): DirectCalls {
  const suffix = type === BPF_MAP_TYPE_HASH && (keySize === 4 || keySize === 8) ? `_${keySize}` : "";
  const kind = `htab${isLru(type) ? "_lru" : ""}${isPercpu(type) ? "_percpu" : ""}`;
  if (type === BPF_MAP_TYPE_HASH_OF_MAPS) return { lookup: "htab_of_maps_lookup" };
  const lookup = `${kind}_lookup${suffix}`;
  return flags & BPF_F_RDONLY_PROG
    ? { lookup }
    : { lookup, update: `${kind}_update${suffix}`, delete: "htab_delete" };
}

/** Distance from an element to its value. */
function valueOffset(keySize: number): number {
  return keySize === 4 ? HTAB_KEY4 + 4 : HTAB_KEY + alignUp(keySize, 8);
}

export class HashMap extends BpfMap {
  override readonly direct: DirectCalls;
  /** Bytes that a value takes in an element, of one CPU. */
  protected readonly slotSize: number;

  constructor(env: MapEnv, attr: MapAttr) {
    const ofMaps = attr.map_type === BPF_MAP_TYPE_HASH_OF_MAPS;
    const slotSize = ofMaps ? 8 : alignUp(attr.value_size, 8);
    super(env, attr, {
      maxEntries: entriesOf(attr, env.space.cpus),
      cpuStride: isPercpu(attr.map_type) ? slotSize : 0,
      valueOffset: valueOffset(attr.key_size),
      hidden: ofMaps,
    });
    this.slotSize = slotSize;
    this.direct = directCalls(this.type, this.keySize, this.flags);
  }

  protected override init(): number {
    const lru = isLru(this.type);
    const copies = this.cpuStride === 0 ? 1 : this.env.space.cpus;
    const prefix = lru ? LRU_NODE_SIZE : 0;
    const elem = prefix + valueOffset(this.keySize) + this.slotSize * copies;
    const ofMaps = this.type === BPF_MAP_TYPE_HASH_OF_MAPS;
    this.set(POOL_ELEM_SIZE, elem);
    this.set(POOL_PREFIX, prefix);
    this.set(HTAB_KEY_OFFSET, this.#keyOffset);
    this.set(HTAB_COPY_SIZE, ofMaps ? 8 : this.valueSize);
    const buckets = 2 * 2 ** Math.ceil(Math.log2(this.maxEntries));
    const spares = lru || isPercpu(this.type) ? 0 : this.env.space.cpus;
    const seed = this.env.nextSeed();
    return this.core["htab_init"]!(this.address, buckets, spares, lru ? 1 : 0, seed);
  }

  protected override destroy(): void {
    this.core["htab_free"]!(this.address);
  }

  protected override blocks(): readonly number[] {
    return [this.word(HTAB_BUCKETS), this.word(HTAB_LRU), ...this.poolBlocks()].filter((at) => at !== 0);
  }

  /** For lookups that generated code does by itself. */
  get hash4(): HashLayout | undefined {
    if (this.type !== BPF_MAP_TYPE_HASH || this.keySize !== 4) return undefined;
    return {
      buckets: this.word(HTAB_BUCKETS),
      shift: this.word(HTAB_SHIFT),
      seed: this.word(HTAB_SEED),
      valueOffset: valueOffset(4),
    };
  }

  get #keyOffset(): number {
    return this.keySize === 4 ? HTAB_KEY4 : HTAB_KEY;
  }

  /** Elements in the map. */
  get count(): number {
    return this.word(MAP_COUNT);
  }

  override get userValueSize(): number {
    return this.cpuStride === 0 ? this.valueSize : this.cpuStride * this.env.space.cpus;
  }

  /** Offset of the value (of CPU 0's copy), 0 = no such key. Not a use in the sense of LRU. */
  protected find(key: Uint8Array): number {
    const elem = this.core["htab_find"]!(this.address, this.passKey(key)) >>> 0;
    return elem === 0 ? 0 : elem + valueOffset(this.keySize);
  }

  protected override lookupElem(key: Uint8Array, value: Uint8Array): number {
    const at = this.find(key);
    return at === 0 ? -ENOENT : this.copyOut(at, this.userValueSize, value);
  }

  protected override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    const at = this.passKey(key, value, this.userValueSize);
    return this.core["map_sys_update"]!(this.address, at, this.scratchValue(at), flags);
  }

  protected override deleteElem(key: Uint8Array): number {
    return this.core["htab_delete"]!(this.address, this.passKey(key));
  }

  protected override lookupAndDeleteElem(key: Uint8Array, value: Uint8Array): number {
    const at = this.find(key);
    if (at === 0) return -ENOENT;
    const err = this.copyOut(at, this.userValueSize, value);
    this.deleteElem(key);
    return err;
  }

  protected override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    const at = key === null ? 0 : this.passKey(key);
    const elem = this.core["htab_next"]!(this.address, at) >>> 0;
    if (elem === 0) return -ENOENT;
    return this.copyOut(elem + this.#keyOffset, this.keySize, next);
  }
}
