// BPF_MAP_TYPE_ARRAY_OF_MAPS and HASH_OF_MAPS (kernel/bpf/map_in_map.c, arraymap.c, hashtab.c). A value is the offset of
// the inner map's header; user space stores a file descriptor and reads an id.
import { EINVAL, ENOENT, ENOTSUPP } from "../uapi/index.ts";
import type { DirectCalls } from "../vm/index.ts";
import { putU32, u32Of } from "./array.ts";
import type { MapAttr } from "./attr.ts";
import { FdArrayMap } from "./fd-array.ts";
import { checkHash, HashMap } from "./hash.ts";
import type { MapEnv, MapRef } from "./map-env.ts";
import { type MapMeta, metaEqual } from "./meta.ts";

/** bpf_map_meta_alloc: what the map behind inner_map_fd fixes for all inner maps, or a negative errno. */
export function innerMeta(env: MapEnv, attr: MapAttr): MapMeta | number {
  const map = env.fds.mapByFd(attr.inner_map_fd ?? 0);
  if (typeof map === "number") return map;
  if (map.innerErrno !== 0) return map.innerErrno;
  const { type, keySize, valueSize, maxEntries, flags } = map;
  return { type, keySize, valueSize, maxEntries, flags };
}

/** fd_htab_map_alloc_check. */
export function checkHashOfMaps(attr: MapAttr): number {
  return attr.value_size !== 4 ? -EINVAL : checkHash(attr);
}

/** bpf_map_fd_get_ptr: the inner map, a reference to it taken; or a negative errno. */
function takeInner(env: MapEnv, meta: MapMeta, fd: number): MapRef | number {
  const map = env.fds.mapByFd(fd);
  if (typeof map === "number") return map;
  if (!metaEqual(meta, map)) return -EINVAL;
  map.get();
  return map;
}

function innerAt(env: MapEnv, at: number): MapRef | undefined {
  return env.maps.get(env.space.u32[at >>> 2]);
}

export class ArrayOfMapsMap extends FdArrayMap {
  override readonly innerErrno: number = -EINVAL;
  override readonly direct: DirectCalls = { lookup: "array_of_maps_lookup" };
  override readonly inner: MapMeta;

  constructor(env: MapEnv, attr: MapAttr, inner: MapMeta) {
    super(env, attr);
    this.inner = inner;
  }

  protected override store(at: number, fd: number): number {
    const map = takeInner(this.env, this.inner, fd);
    if (typeof map === "number") return map;
    const old = innerAt(this.env, at);
    this.env.space.u32[at >>> 2] = map.address;
    old?.put();
    return 0;
  }

  protected override drop(at: number): void {
    const old = innerAt(this.env, at);
    this.env.space.u32[at >>> 2] = 0;
    old?.put();
  }

  protected override idAt(at: number): number {
    return innerAt(this.env, at)?.id ?? 0;
  }
}

export class HashOfMapsMap extends HashMap {
  override readonly innerErrno: number = -EINVAL;
  override readonly inner: MapMeta;

  constructor(env: MapEnv, attr: MapAttr, inner: MapMeta) {
    super(env, attr);
    this.inner = inner;
  }

  protected override lookupElem(key: Uint8Array, value: Uint8Array): number {
    const at = this.find(key);
    return at === 0 ? -ENOENT : putU32(value, innerAt(this.env, at)?.id ?? 0);
  }

  protected override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    const map = takeInner(this.env, this.inner, u32Of(value) | 0);
    if (typeof map === "number") return map;
    const at = this.find(key);
    const old = at === 0 ? undefined : innerAt(this.env, at);
    const slot = new Uint8Array(8);
    putU32(slot, map.address);
    const keyAt = this.passKey(key, slot, slot.length);
    const err = this.core["map_sys_update"]!(this.address, keyAt, this.scratchValue(keyAt), flags);
    if (err !== 0) map.put();
    else old?.put();
    return err;
  }

  protected override deleteElem(key: Uint8Array): number {
    const at = this.find(key);
    const old = at === 0 ? undefined : innerAt(this.env, at);
    const err = super.deleteElem(key);
    if (err === 0) old?.put();
    return err;
  }

  protected override lookupAndDeleteElem(_key: Uint8Array, _value: Uint8Array): number {
    return -ENOTSUPP;
  }

  protected override destroy(): void {
    const key = new Uint8Array(this.keySize);
    while (this.count > 0 && this.nextKey(null, key) === 0) this.deleteElem(key);
    super.destroy();
  }
}
