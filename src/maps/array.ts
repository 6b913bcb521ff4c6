// BPF_MAP_TYPE_ARRAY and PERCPU_ARRAY for user space (kernel/bpf/arraymap.c).
import {
  BPF_EXIST,
  BPF_F_INNER_MAP,
  BPF_F_MMAPABLE,
  BPF_F_NUMA_NODE,
  BPF_F_PRESERVE_ELEMS,
  BPF_F_RDONLY_PROG,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_NOEXIST,
  E2BIG,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
} from "../uapi/index.ts";
import { alignUp } from "../util/index.ts";
import type { DirectCalls } from "../vm/index.ts";
import {
  accessOk,
  BPF_F_ACCESS_MASK,
  hasNumaNode,
  hasOtherFlags,
  type MapAttr,
  PCPU_MIN_UNIT_SIZE,
} from "./attr.ts";
import { BpfMap, type MapShape } from "./map.ts";
import type { MapEnv } from "./map-env.ts";

const ARRAY_CREATE_FLAG_MASK =
  BPF_F_NUMA_NODE | BPF_F_MMAPABLE | BPF_F_ACCESS_MASK | BPF_F_PRESERVE_ELEMS | BPF_F_INNER_MAP;
const INT_MAX = 0x7fffffff;
const PAGE_SIZE = 4096;

/** array_map_alloc_check. */
export function checkArray(attr: MapAttr): number {
  const flags = attr.map_flags ?? 0;
  const percpu = attr.map_type === BPF_MAP_TYPE_PERCPU_ARRAY;
  if (
    attr.max_entries === 0 ||
    attr.key_size !== 4 ||
    attr.value_size === 0 ||
    hasOtherFlags(flags, ARRAY_CREATE_FLAG_MASK) ||
    !accessOk(flags) ||
    (percpu && hasNumaNode(attr))
  )
    return -EINVAL;
  if (attr.map_type !== BPF_MAP_TYPE_ARRAY && flags & (BPF_F_MMAPABLE | BPF_F_INNER_MAP)) return -EINVAL;
  if (attr.map_type !== BPF_MAP_TYPE_PERF_EVENT_ARRAY && flags & BPF_F_PRESERVE_ELEMS) return -EINVAL;
  if (attr.value_size > INT_MAX) return -E2BIG;
  if (percpu && alignUp(attr.value_size, 8) > PCPU_MIN_UNIT_SIZE) return -E2BIG;
  return 0;
}

/** Elements at fixed places, found by a u32 index: what arrays of values, programs, maps and rings share. */
export abstract class IndexedMap extends BpfMap {
  protected override init(): number {
    const copies = this.cpuStride === 0 ? 1 : this.env.space.cpus;
    const bytes = this.stride * this.maxEntries * copies;
    if (bytes > INT_MAX) return -ENOMEM;
    // Elements of 16 bytes and more begin a cache line; what user space may map begins a page.
    const align = this.flags & BPF_F_MMAPABLE ? PAGE_SIZE : this.stride < 16 ? 16 : 64;
    this.setValues(this.env.space.alloc(bytes, "none", align));
    return 0;
  }

  protected override destroy(): void {
    if (this.values !== 0) this.env.space.free(this.values);
    this.setValues(0);
  }

  protected override blocks(): readonly number[] {
    return [this.values];
  }

  /** Offset of the element (of CPU 0's copy); -1: no such index. */
  protected elementAt(key: Uint8Array): number {
    const index = u32Of(key);
    return index < this.maxEntries ? this.values + index * this.stride : -1;
  }

  protected override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    const index = key === null ? 0xffffffff : u32Of(key);
    if (index === this.maxEntries - 1) return -ENOENT;
    return putU32(next, index >= this.maxEntries ? 0 : index + 1);
  }
}

export function u32Of(bytes: Uint8Array): number {
  return (bytes[0] | (bytes[1] << 8) | (bytes[2] << 16) | (bytes[3] << 24)) >>> 0;
}

/** 0, or -EFAULT for a buffer too short. */
export function putU32(to: Uint8Array, value: number): number {
  if (to.length < 4) return -EFAULT;
  to[0] = value;
  to[1] = value >>> 8;
  to[2] = value >>> 16;
  to[3] = value >>> 24;
  return 0;
}

export class ArrayMap extends IndexedMap {
  override readonly direct: DirectCalls;

  constructor(env: MapEnv, attr: MapAttr) {
    const stride = alignUp(attr.value_size, 8);
    const percpu = attr.map_type === BPF_MAP_TYPE_PERCPU_ARRAY;
    const shape: MapShape = { stride, cpuStride: percpu ? stride * attr.max_entries : 0 };
    super(env, attr, shape);
    const kind = percpu ? "array_percpu" : "array";
    this.direct =
      this.flags & BPF_F_RDONLY_PROG
        ? { lookup: `${kind}_lookup` }
        : { lookup: `${kind}_lookup`, update: `${kind}_update` };
  }

  protected override init(): number {
    const err = super.init();
    if (err === 0) this.core["array_paint"]!(this.address);
    return err;
  }

  override get userValueSize(): number {
    return this.cpuStride === 0 ? this.valueSize : this.stride * this.env.space.cpus;
  }

  protected override lookupElem(key: Uint8Array, value: Uint8Array): number {
    const at = this.elementAt(key);
    if (at < 0) return -ENOENT;
    if (this.cpuStride === 0) return this.copyOut(at, this.valueSize, value);
    let err = 0;
    for (let cpu = 0; cpu < this.env.space.cpus && err === 0; cpu++)
      err = this.copyOut(at + cpu * this.cpuStride, this.stride, value.subarray(cpu * this.stride));
    return err;
  }

  protected override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    if (flags > BPF_EXIST) return -EINVAL;
    const at = this.elementAt(key);
    if (at < 0) return -E2BIG;
    if (flags === BPF_NOEXIST) return -EEXIST;
    const u8 = this.env.space.u8;
    if (this.cpuStride === 0) u8.set(value.subarray(0, this.valueSize), at);
    else
      for (let cpu = 0; cpu < this.env.space.cpus; cpu++)
        u8.set(value.subarray(cpu * this.stride, (cpu + 1) * this.stride), at + cpu * this.cpuStride);
    return 0;
  }

  protected override deleteElem(_key: Uint8Array): number {
    return -EINVAL;
  }
}
