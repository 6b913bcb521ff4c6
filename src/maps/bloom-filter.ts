// BPF_MAP_TYPE_BLOOM_FILTER for user space (kernel/bpf/bloom_filter.c): update adds a value, lookup asks for one.
import {
  BPF_F_NUMA_NODE,
  BPF_F_ZERO_SEED,
  E2BIG,
  EFAULT,
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
} from "../uapi/index.ts";
import { accessOk, BPF_F_ACCESS_MASK, hasOtherFlags, KMALLOC_MAX_SIZE, type MapAttr } from "./attr.ts";
import { BLOOM_BITS, BLOOM_HASHES, BLOOM_MASK, BLOOM_SEED } from "./layout.ts";
import { BpfMap } from "./map.ts";
import type { MapEnv } from "./map-env.ts";

const DEFAULT_HASHES = 5;

/** bloom_map_alloc_check, then bloom_map_alloc. */
export function checkBloomFilter(attr: MapAttr): number {
  const flags = attr.map_flags ?? 0;
  if (attr.value_size > KMALLOC_MAX_SIZE) return -E2BIG;
  return attr.key_size !== 0 ||
    attr.value_size === 0 ||
    attr.max_entries === 0 ||
    hasOtherFlags(flags, BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | BPF_F_ACCESS_MASK) ||
    !accessOk(flags) ||
    ((attr.map_extra ?? 0n) & ~0xfn) !== 0n
    ? -EINVAL
    : 0;
}

/** n * k / ln 2 bits, 7 / 5 for 1 / ln 2, rounded up to a power of two; past 2^31 the largest bitmap there is. */
function bitsOf(entries: number, hashes: number): number {
  const product = entries * hashes;
  const bits = Math.floor(product / 5) * 7;
  if (product >= 2 ** 32 || bits > 2 ** 31) return 2 ** 32;
  return bits <= 64 ? 64 : 2 ** Math.ceil(Math.log2(bits));
}

export class BloomFilterMap extends BpfMap {
  constructor(env: MapEnv, attr: MapAttr) {
    super(env, attr, { hidden: true });
  }

  protected override init(): number {
    const hashes = Number(this.mapExtra) || DEFAULT_HASHES;
    const bits = bitsOf(this.maxEntries, hashes);
    if (bits / 8 >= this.env.space.maxBytes) return -ENOMEM;
    this.set(BLOOM_BITS, this.env.space.alloc(bits / 8, "none"));
    this.set(BLOOM_MASK, bits - 1);
    this.set(BLOOM_HASHES, hashes);
    this.set(BLOOM_SEED, this.flags & BPF_F_ZERO_SEED ? 0 : this.env.nextSeed());
    return 0;
  }

  protected override destroy(): void {
    if (this.word(BLOOM_BITS) !== 0) this.env.space.free(this.word(BLOOM_BITS));
    this.set(BLOOM_BITS, 0);
  }

  protected override blocks(): readonly number[] {
    return [this.word(BLOOM_BITS)];
  }

  #pass(value: Uint8Array): number {
    const at = this.env.scratch(this.valueSize);
    this.env.space.u8.set(value.subarray(0, this.valueSize), at);
    return at;
  }

  protected override lookupElem(_key: Uint8Array, value: Uint8Array): number {
    return value.length < this.valueSize
      ? -EFAULT
      : this.core["bloom_peek"]!(this.address, this.#pass(value));
  }

  protected override updateElem(_key: Uint8Array, value: Uint8Array, flags: number): number {
    return this.core["map_sys_update"]!(this.address, 0, this.#pass(value), flags);
  }

  protected override deleteElem(_key: Uint8Array): number {
    return -EOPNOTSUPP;
  }

  protected override nextKey(_key: Uint8Array | null, _next: Uint8Array): number {
    return -EOPNOTSUPP;
  }
}
