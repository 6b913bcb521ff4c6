/** The maps of src/maps behind the commands of bpf(2), with nothing of a kernel but file descriptors. */
import { type BpfMap, createMap, MapEnv } from "../../src/maps/index.ts";
import { EBADF } from "../../src/uapi/index.ts";
import { AddressSpace } from "../../src/vm/index.ts";
import type { MapCommands } from "./notation.ts";

export class EmbeddedMaps implements MapCommands {
  readonly space: AddressSpace;
  readonly env: MapEnv;
  readonly possibleCpus: number;
  readonly #fds = new Map<number, BpfMap>();
  #next = 3;

  constructor(cpus = 2) {
    this.space = new AddressSpace({ maxBytes: 256 << 20, cpus });
    this.possibleCpus = cpus;
    this.env = new MapEnv(this.space, {
      fds: { mapByFd: (fd) => this.#fds.get(fd) ?? -EBADF, progByFd: () => -EBADF },
    });
  }

  map(fd: number): BpfMap {
    return this.#fds.get(fd)!;
  }

  mapCreate(attr: Parameters<MapCommands["mapCreate"]>[0]): number {
    const map = createMap(this.env, attr);
    if (typeof map === "number") return map;
    const fd = this.#next++;
    map.id = fd;
    this.#fds.set(fd, map);
    return fd;
  }
  mapLookupElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags = 0): number {
    return this.map(fd).lookup(key, value, flags);
  }
  mapUpdateElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags = 0): number {
    return this.map(fd).update(key, value, flags);
  }
  mapDeleteElem(fd: number, key: Uint8Array | null): number {
    return this.map(fd).delete(key);
  }
  mapGetNextKey(fd: number, key: Uint8Array | null, next: Uint8Array): number {
    return this.map(fd).getNextKey(key, next);
  }
  mapLookupAndDeleteElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags = 0): number {
    return this.map(fd).lookupAndDelete(key, value, flags);
  }
  mapFreeze(fd: number): number {
    return this.map(fd).freeze();
  }
  close(fd: number): number {
    this.map(fd).put();
    this.#fds.delete(fd);
    return 0;
  }
}
