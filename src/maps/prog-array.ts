// BPF_MAP_TYPE_PROG_ARRAY (kernel/bpf/arraymap.c; compatibility: bpf_prog_map_compatible of kernel/bpf/core.c). An
// element holds the index in the shared function table that a tail call jumps to, and the program's id.
import { BPF_PROG_TYPE_EXT, EINVAL, ENOTSUPP } from "../uapi/index.ts";
import { FdArrayMap } from "./fd-array.ts";
import { PROG_SLOT_ID, PROG_SLOT_TABLE_INDEX } from "./layout.ts";
import type { MapProgram } from "./map-env.ts";

/** What the first program that was stored, or that uses the map, fixed for all others. */
interface Owner {
  readonly type: number;
  readonly expectedAttachType: number;
  readonly xdpHasFrags: boolean;
}

export class ProgArrayMap extends FdArrayMap {
  override readonly innerErrno: number = -ENOTSUPP;
  #owner: Owner | undefined;
  /** By the offset of the element. */
  readonly #programs = new Map<number, MapProgram>();

  /** May `program` jump through this map, or be jumped to? The first one asked about decides for all that follow. */
  compatible(program: Omit<MapProgram, "get" | "put" | "id" | "tableIndex">): boolean {
    const { type, expectedAttachType, xdpHasFrags } = program;
    const owner = (this.#owner ??= { type, expectedAttachType, xdpHasFrags });
    return (
      owner.type === type &&
      owner.expectedAttachType === expectedAttachType &&
      owner.xdpHasFrags === xdpHasFrags
    );
  }

  protected override store(at: number, fd: number): number {
    const program = this.env.fds.progByFd(fd);
    if (typeof program === "number") return program;
    if (program.type === BPF_PROG_TYPE_EXT || !this.compatible(program)) return -EINVAL;
    program.get();
    const old = this.#programs.get(at);
    this.#programs.set(at, program);
    const u32 = this.env.space.u32;
    u32[(at + PROG_SLOT_TABLE_INDEX) >>> 2] = program.tableIndex;
    u32[(at + PROG_SLOT_ID) >>> 2] = program.id;
    old?.put();
    return 0;
  }

  protected override drop(at: number): void {
    const u32 = this.env.space.u32;
    u32[(at + PROG_SLOT_TABLE_INDEX) >>> 2] = 0;
    u32[(at + PROG_SLOT_ID) >>> 2] = 0;
    const old = this.#programs.get(at);
    this.#programs.delete(at);
    old?.put();
  }

  protected override idAt(at: number): number {
    return this.env.space.u32[(at + PROG_SLOT_ID) >>> 2];
  }

  /** Programs in the map may use the map itself: without this the two would keep each other alive. */
  override releaseUserRefs(): void {
    this.clear();
  }
}
