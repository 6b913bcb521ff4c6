import type { AddressSpace } from "../vm/index.ts";
import type { MapMeta } from "./meta.ts";

/** A loaded program, as a BPF_MAP_TYPE_PROG_ARRAY holds it. */
export interface MapProgram {
  readonly id: number;
  /** BPF_PROG_TYPE_*. */
  readonly type: number;
  readonly expectedAttachType: number;
  /** BPF_F_XDP_HAS_FRAGS. */
  readonly xdpHasFrags: boolean;
  /** Index in the shared function table that a tail call jumps to. */
  readonly tableIndex: number;
  /** Counts a reference, gives one back. */
  get(): void;
  put(): void;
}

/** A live map, as another map may hold it. */
export interface MapRef extends MapMeta {
  readonly id: number;
  readonly address: number;
  /** Not 0: the errno that says why it may not be inside a map. */
  readonly innerErrno: number;
  /** Counts a reference, gives one back. */
  get(): unknown;
  put(): void;
}

/** File descriptors that user space stores in maps: the object (no reference taken), or a negative errno. */
export interface FdResolver {
  mapByFd(fd: number): MapRef | number;
  progByFd(fd: number): MapProgram | number;
}

export interface MapEnvOptions {
  readonly fds: FdResolver;
  /** First state of the generator of hash seeds, not 0: the same one gives the same order of iteration. */
  readonly seed?: number;
}

/** What all maps of one address space share. */
export class MapEnv {
  readonly space: AddressSpace;
  readonly fds: FdResolver;
  /** Live maps by the offset of their header. */
  readonly maps: Map<number, MapRef> = new Map();
  #seed: number;
  #scratch = 0;
  #scratchSize = 0;

  constructor(space: AddressSpace, options: MapEnvOptions) {
    this.space = space;
    this.fds = options.fds;
    this.#seed = (options.seed ?? 0x9e3779b9) >>> 0 || 1;
  }

  /** The next hash seed (xorshift32). */
  nextSeed(): number {
    let x = this.#seed;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (this.#seed = x >>> 0);
  }

  /** Offset of `size` bytes that hold keys and values on their way between user space and the core. */
  scratch(size: number): number {
    if (size > this.#scratchSize) {
      this.dispose();
      const room = Math.max(1024, 2 ** Math.ceil(Math.log2(size)));
      this.#scratch = this.space.alloc(room, "none");
      this.#scratchSize = room;
    }
    return this.#scratch;
  }

  /** Gives the scratch memory back; it returns when needed. */
  dispose(): void {
    if (this.#scratch !== 0) this.space.free(this.#scratch);
    this.#scratch = 0;
    this.#scratchSize = 0;
  }
}
