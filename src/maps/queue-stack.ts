// BPF_MAP_TYPE_QUEUE and STACK for user space (kernel/bpf/queue_stack_maps.c): update pushes, lookup peeks,
// lookup-and-delete pops; there are no keys.
import { BPF_F_NUMA_NODE, E2BIG, EINVAL, ENOMEM } from "../uapi/index.ts";
import { alignUp } from "../util/index.ts";
import { accessOk, BPF_F_ACCESS_MASK, hasOtherFlags, KMALLOC_MAX_SIZE, type MapAttr } from "./attr.ts";
import { QUEUE_SIZE } from "./layout.ts";
import { BpfMap } from "./map.ts";
import type { MapEnv } from "./map-env.ts";

/** queue_stack_map_alloc_check. */
export function checkQueueStack(attr: MapAttr): number {
  const flags = attr.map_flags ?? 0;
  if (
    attr.max_entries === 0 ||
    attr.key_size !== 0 ||
    attr.value_size === 0 ||
    hasOtherFlags(flags, BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK) ||
    !accessOk(flags)
  )
    return -EINVAL;
  return attr.value_size > KMALLOC_MAX_SIZE ? -E2BIG : 0;
}

export class QueueStackMap extends BpfMap {
  constructor(env: MapEnv, attr: MapAttr) {
    super(env, attr, { stride: alignUp(attr.value_size, 8), hidden: true });
  }

  protected override init(): number {
    const places = this.maxEntries + 1;
    if (places * this.stride > 0x7fffffff) return -ENOMEM;
    this.setValues(this.env.space.alloc(places * this.stride, "none"));
    this.set(QUEUE_SIZE, places);
    return 0;
  }

  protected override destroy(): void {
    if (this.values !== 0) this.env.space.free(this.values);
    this.setValues(0);
  }

  protected override blocks(): readonly number[] {
    return [this.values];
  }

  #get(value: Uint8Array, remove: number): number {
    const at = this.env.scratch(this.valueSize);
    const err = this.core["queue_get"]!(this.address, at, remove);
    return err !== 0 ? err : this.copyOut(at, this.valueSize, value);
  }

  protected override lookupElem(_key: Uint8Array, value: Uint8Array): number {
    return this.#get(value, 0);
  }

  protected override lookupAndDeleteElem(_key: Uint8Array, value: Uint8Array): number {
    return this.#get(value, 1);
  }

  protected override updateElem(_key: Uint8Array, value: Uint8Array, flags: number): number {
    const at = this.passKey(NO_KEY, value, this.valueSize);
    return this.core["map_sys_update"]!(this.address, 0, this.scratchValue(at), flags);
  }

  protected override deleteElem(_key: Uint8Array): number {
    return -EINVAL;
  }

  protected override nextKey(_key: Uint8Array | null, _next: Uint8Array): number {
    return -EINVAL;
  }
}

const NO_KEY = new Uint8Array(0);
