import type { BpfMap } from "../maps/index.ts";
import type { BtfObject } from "./btf-object.ts";
import type { KernelObject } from "./objects.ts";

/** The kernel's side of a map: what user space holds of it, and its BTF. Lives as long as the map. */
export class MapObject implements KernelObject {
  readonly kind = "map";
  readonly map: BpfMap;
  readonly btf: BtfObject | undefined;
  readonly btfKeyTypeId: number;
  readonly btfValueTypeId: number;
  /** bpf_map::usercnt: fds and pins. */
  #users = 0;

  /** Takes over the caller's reference to `map`; what the kernel does when the map dies is `onFree`. */
  constructor(
    map: BpfMap,
    btf: BtfObject | undefined,
    typeIds: { readonly key: number; readonly value: number },
    onFree: (object: MapObject) => void,
  ) {
    this.map = map;
    this.btf = btf;
    this.btfKeyTypeId = typeIds.key;
    this.btfValueTypeId = typeIds.value;
    map.onFree = () => {
      onFree(this);
      btf?.put();
    };
  }

  get id(): number {
    return this.map.id;
  }
  set id(id: number) {
    this.map.id = id;
  }

  get(): this {
    this.map.get();
    return this;
  }

  put(): void {
    this.map.put();
  }

  open(): void {
    this.#users++;
    this.map.get();
  }

  close(): void {
    if (--this.#users === 0) this.map.releaseUserRefs();
    this.map.put();
  }
}
