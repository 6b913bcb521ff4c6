import type { MapProgram } from "../maps/index.ts";
import { BPF_F_XDP_HAS_FRAGS } from "../uapi/index.ts";
import type { LoadedProgram } from "../vm/index.ts";
import { type KernelObject, RefCounted } from "./objects.ts";
import type { ProgramType, TestedProgram } from "./program-type.ts";

/** What PROG_LOAD made of its attributes. */
export interface ProgramParts {
  readonly progType: ProgramType;
  readonly name: string;
  readonly expectedAttachType: number;
  readonly flags: number;
  readonly gplCompatible: boolean;
  readonly tag: string;
  /** Instructions as they run: map references resolved. */
  readonly insns: Uint8Array;
  /** CLOCK_BOOTTIME. */
  readonly loadTimeNs: number;
  /** How far into its context the program reads (`max_ctx_offset`). */
  readonly maxCtxOffset: number;
  readonly attachBtfId: number;
  /** Maps it names, its BTF, the program it extends: held as long as it lives. */
  readonly holds: readonly KernelObject[];
  readonly mapIds: readonly number[];
  readonly btfId: number;
}

export class Program extends RefCounted implements MapProgram, TestedProgram {
  override readonly kind = "prog";
  readonly parts: ProgramParts;
  runCount = 0;
  runTimeNs = 0;
  #loaded: LoadedProgram | undefined;
  /** Maps of BPF_PROG_BIND_MAP, by id. */
  readonly #bound = new Map<number, KernelObject>();
  readonly #onRelease: (program: Program) => void;

  /** One reference, which the caller gives back. Takes over the ones on `parts.holds`. */
  constructor(parts: ProgramParts, onRelease: (program: Program) => void) {
    super();
    this.parts = parts;
    this.#onRelease = onRelease;
  }

  get type(): number {
    return this.parts.progType.type;
  }

  get progType(): ProgramType {
    return this.parts.progType;
  }

  get expectedAttachType(): number {
    return this.parts.expectedAttachType;
  }

  get maxCtxOffset(): number {
    return this.parts.maxCtxOffset;
  }

  get xdpHasFrags(): boolean {
    return (this.parts.flags & BPF_F_XDP_HAS_FRAGS) !== 0;
  }

  get tableIndex(): number {
    return this.loaded.tableIndex;
  }

  get loaded(): LoadedProgram {
    return this.#loaded!;
  }

  /** Engines want the id, and the id comes with the object. */
  install(loaded: LoadedProgram): void {
    this.#loaded = loaded;
  }

  /** Of the maps that it holds. */
  get mapIds(): readonly number[] {
    return [...this.parts.mapIds, ...this.#bound.keys()];
  }

  /** Holds `map` besides those that its instructions name. */
  bind(id: number, map: KernelObject): void {
    if (this.mapIds.includes(id)) return;
    map.get();
    this.#bound.set(id, map);
  }

  protected override release(): void {
    this.#onRelease(this);
    for (const map of this.#bound.values()) map.put();
    this.#loaded?.dispose();
    for (const object of this.parts.holds) object.put();
  }
}
