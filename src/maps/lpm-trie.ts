// BPF_MAP_TYPE_LPM_TRIE for user space (kernel/bpf/lpm_trie.c). Keys are struct bpf_lpm_trie_key_u8: u32 prefixlen in
// host order, then data.
import { BPF_F_NO_PREALLOC, BPF_F_NUMA_NODE, BPF_F_RDONLY_PROG, EINVAL, ENOENT } from "../uapi/index.ts";
import { alignUp } from "../util/index.ts";
import type { DirectCalls } from "../vm/index.ts";
import { accessOk, BPF_F_ACCESS_MASK, hasOtherFlags, KMALLOC_MAX_SIZE, type MapAttr } from "./attr.ts";
import { LPM_DATA_SIZE, MAP_COUNT, MAP_VALUE_OFFSET, POOL_ELEM_SIZE } from "./layout.ts";
import { BpfMap } from "./map.ts";
import type { MapEnv } from "./map-env.ts";

const LPM_CREATE_FLAG_MASK = BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK;
const LPM_DATA_SIZE_MAX = 256;
const KEY_HEAD = 4;
/** sizeof(struct lpm_trie_node) in the kernel. */
const KERNEL_NODE_HEAD = 24;
const NODE_DATA = 16;

/** trie_alloc. */
export function checkLpmTrie(attr: MapAttr): number {
  const flags = attr.map_flags ?? 0;
  return attr.max_entries === 0 ||
    !(flags & BPF_F_NO_PREALLOC) ||
    hasOtherFlags(flags, LPM_CREATE_FLAG_MASK) ||
    !accessOk(flags) ||
    attr.key_size < KEY_HEAD + 1 ||
    attr.key_size > KEY_HEAD + LPM_DATA_SIZE_MAX ||
    attr.value_size < 1 ||
    attr.value_size > KMALLOC_MAX_SIZE - LPM_DATA_SIZE_MAX - KERNEL_NODE_HEAD
    ? -EINVAL
    : 0;
}

export class LpmTrieMap extends BpfMap {
  override readonly direct: DirectCalls;

  constructor(env: MapEnv, attr: MapAttr) {
    super(env, attr, { valueOffset: NODE_DATA + alignUp(attr.key_size - KEY_HEAD, 8) });
    this.direct =
      this.flags & BPF_F_RDONLY_PROG
        ? { lookup: "lpm_lookup" }
        : { lookup: "lpm_lookup", update: "lpm_update", delete: "lpm_delete" };
  }

  protected override init(): number {
    this.set(LPM_DATA_SIZE, this.keySize - KEY_HEAD);
    this.set(POOL_ELEM_SIZE, this.word(MAP_VALUE_OFFSET) + alignUp(this.valueSize, 8));
    return 0;
  }

  protected override destroy(): void {
    this.core["pool_free"]!(this.address);
  }

  protected override blocks(): readonly number[] {
    return this.poolBlocks();
  }

  /** Prefixes in the trie. */
  get count(): number {
    return this.word(MAP_COUNT);
  }

  protected override lookupElem(key: Uint8Array, value: Uint8Array): number {
    const at = this.core["lpm_lookup"]!(this.address, this.passKey(key)) >>> 0;
    return at === 0 ? -ENOENT : this.copyOut(at, this.valueSize, value);
  }

  protected override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    const at = this.passKey(key, value, this.valueSize);
    return this.core["map_sys_update"]!(this.address, at, this.scratchValue(at), flags);
  }

  protected override deleteElem(key: Uint8Array): number {
    return this.core["lpm_delete"]!(this.address, this.passKey(key));
  }

  protected override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    const at = this.env.scratch(2 * (this.keySize + 8));
    const out = this.scratchValue(at);
    if (key !== null) this.passKey(key);
    const err = this.core["lpm_next"]!(this.address, key === null ? 0 : at, out);
    if (err !== 0) return err;
    return this.copyOut(out, this.keySize, next);
  }
}
