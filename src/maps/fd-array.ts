// Arrays of objects that user space names by file descriptors: what PROG_ARRAY, PERF_EVENT_ARRAY and ARRAY_OF_MAPS
// share (fd_array_* and bpf_fd_array_map_* of kernel/bpf/arraymap.c).
import { BPF_ANY, BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG, E2BIG, EINVAL, ENOENT } from "../uapi/index.ts";
import { checkArray, IndexedMap, putU32, u32Of } from "./array.ts";
import type { MapAttr } from "./attr.ts";
import type { MapEnv } from "./map-env.ts";

/** fd_array_map_alloc_check. */
export function checkFdArray(attr: MapAttr): number {
  if (attr.value_size !== 4) return -EINVAL;
  if ((attr.map_flags ?? 0) & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) return -EINVAL;
  return checkArray(attr);
}

/** An element is 8 bytes, all zero while empty. */
export abstract class FdArrayMap extends IndexedMap {
  constructor(env: MapEnv, attr: MapAttr) {
    super(env, attr, { stride: 8, hidden: true });
  }

  /** Fills the empty element at `at` with what `fd` names, or replaces it. 0 or a negative errno. */
  protected abstract store(at: number, fd: number): number;
  /** Drops what the element at `at` holds, and empties it. */
  protected abstract drop(at: number): void;
  /** What user space reads: an id. */
  protected abstract idAt(at: number): number;

  protected isEmpty(at: number): boolean {
    const u32 = this.env.space.u32;
    return u32[at >>> 2] === 0 && u32[(at >>> 2) + 1] === 0;
  }

  protected override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    if (flags !== BPF_ANY) return -EINVAL;
    const at = this.elementAt(key);
    return at < 0 ? -E2BIG : this.store(at, u32Of(value) | 0);
  }

  protected override lookupElem(key: Uint8Array, value: Uint8Array): number {
    const at = this.elementAt(key);
    return at < 0 || this.isEmpty(at) ? -ENOENT : putU32(value, this.idAt(at));
  }

  protected override deleteElem(key: Uint8Array): number {
    const at = this.elementAt(key);
    if (at < 0) return -E2BIG;
    if (this.isEmpty(at)) return -ENOENT;
    this.drop(at);
    return 0;
  }

  /** Empties every element. */
  clear(): void {
    for (let i = 0; i < this.maxEntries && this.values !== 0; i++) {
      const at = this.values + i * this.stride;
      if (!this.isEmpty(at)) this.drop(at);
    }
  }

  protected override destroy(): void {
    this.clear();
    super.destroy();
  }
}
