/**
 * The part of a kernel's BTF that given objects need for their CO-RE relocations: members that they access, types that
 * they ask for, enums whose values they want. Answers `bpftool gen min_core_btf` (btfgen in gen.c).
 */
import { BtfError } from "../diag/index.ts";
import type { Btf } from "./btf.ts";
import type { BtfExt } from "./btf-ext.ts";
import { coreRelocations } from "./btf-ext.ts";
import { BtfBuilder } from "./builder.ts";
import {
  BTF_KIND_ARRAY,
  BTF_KIND_CONST,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_NAMES,
  BTF_KIND_PTR,
  BTF_KIND_RESTRICT,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_KIND_VOLATILE,
} from "./constants.ts";
import {
  BPF_CORE_ENUMVAL_EXISTS,
  BPF_CORE_ENUMVAL_VALUE,
  BPF_CORE_FIELD_RSHIFT_U64,
  BPF_CORE_TYPE_MATCHES,
  type CoreChoice,
  CoreResolver,
  type CoreTarget,
} from "./core.ts";
import type { BtfType } from "./types.ts";
import { validateBtf } from "./validate.ts";

export interface CoreUser {
  readonly btf: Btf;
  readonly ext: BtfExt;
}

/** Throws BtfError for relocations that are broken or ambiguous, with the kernel `target`. */
export function minCoreBtf(target: Btf, objects: readonly CoreUser[]): Btf {
  validateBtf(target);
  const marks = new Marks(target);
  for (const { btf, ext } of objects) {
    const resolver = new CoreResolver(btf, target);
    // As in bpftool: what a type was for one record of an object it is for all.
    const chosen: CoreChoice = new Map();
    for (const section of ext.coreRelocations.sections)
      for (const relocation of coreRelocations(ext, section, btf)) {
        const found = resolver.locate(relocation, chosen);
        if (found !== undefined) marks.record(relocation.kind, found);
      }
  }
  return marks.build();
}

/** How far a mark goes from a type. */
type Reach = "type" | "pointers" | "members" | "behind";
const REACHES: readonly Reach[] = ["type", "pointers", "members", "behind"];

class Marks {
  readonly #btf: Btf;
  readonly #marked = new Set<number>();
  readonly #members = new Map<number, Set<number>>();
  /** Types that were followed, by reach. */
  readonly #followed: Readonly<Record<Reach, Set<number>>>;

  constructor(btf: Btf) {
    this.#btf = btf;
    this.#followed = Object.fromEntries(REACHES.map((reach) => [reach, new Set()])) as unknown as Record<
      Reach,
      Set<number>
    >;
  }

  record(kind: number, { id, path }: CoreTarget): void {
    if (kind <= BPF_CORE_FIELD_RSHIFT_U64) this.#field(id, path);
    else if (kind === BPF_CORE_TYPE_MATCHES) this.#follow(id, "members");
    else
      this.#follow(
        id,
        kind === BPF_CORE_ENUMVAL_EXISTS || kind === BPF_CORE_ENUMVAL_VALUE ? "type" : "pointers",
      );
  }

  #field(root: number, path: readonly number[]): void {
    this.#follow(root, "type");
    let id = root;
    for (const index of path.slice(1)) {
      id = this.#btf.skipModifiers(id);
      const type = this.#btf.type(id);
      if ("members" in type) {
        this.#member(id, index);
        id = type.members[index]!.type;
        this.#follow(id, "type");
      } else if (type.kind === BTF_KIND_ARRAY) id = type.type;
      else throw new BtfError(`a field of ${BTF_KIND_NAMES[type.kind]}`, { typeId: id });
    }
  }

  #member(id: number, index: number): void {
    let set = this.#members.get(id);
    if (set === undefined) this.#members.set(id, (set = new Set()));
    set.add(index);
  }

  #follow(root: number, start: Reach): void {
    const work: [number, Reach][] = [[root, start]];
    for (let next = work.pop(); next !== undefined; next = work.pop()) {
      const [id, reach] = next;
      if (id === 0 || this.#followed[reach].has(id)) continue;
      this.#followed[reach].add(id);
      this.#marked.add(id);
      const matching = reach === "members" || reach === "behind";
      const type = this.#btf.type(id);
      const below = (to: number, how: Reach): void => {
        work.push([to, how]);
      };
      switch (type.kind) {
        case BTF_KIND_INT:
        case BTF_KIND_FLOAT:
        case BTF_KIND_ENUM:
        case BTF_KIND_ENUM64:
        case BTF_KIND_FWD:
          break;
        case BTF_KIND_STRUCT:
        case BTF_KIND_UNION:
          if (reach !== "members") break;
          for (const [i, member] of type.members.entries()) {
            this.#member(id, i);
            below(member.type, "members");
          }
          break;
        case BTF_KIND_PTR:
          if (matching) below(type.type, "behind");
          else if (reach === "pointers") below(type.type, reach);
          break;
        case BTF_KIND_CONST:
        case BTF_KIND_RESTRICT:
        case BTF_KIND_VOLATILE:
        case BTF_KIND_TYPEDEF:
        case BTF_KIND_TYPE_TAG:
          below(type.type, reach);
          break;
        case BTF_KIND_ARRAY:
          below(type.type, matching ? "members" : reach);
          below(type.indexType, matching ? "members" : reach);
          break;
        case BTF_KIND_FUNC_PROTO:
          below(type.type, matching ? "members" : reach);
          for (const param of type.params) below(param.type, matching ? "members" : reach);
          break;
        default:
          throw new BtfError(`${BTF_KIND_NAMES[type.kind]} is no part of a type`, { typeId: id });
      }
    }
  }

  build(): Btf {
    const marked = [...this.#marked].sort((a, b) => a - b);
    const ids = new Map(marked.map((id, i) => [id, i + 1]));
    const mapId = (id: number): number => ids.get(id) ?? 0;
    const builder = new BtfBuilder();
    for (const id of marked) {
      const type = this.#btf.type(id);
      if ("members" in type) builder.add(this.#reduced(id, type, mapId));
      else builder.copy(this.#btf, id, mapId);
    }
    return builder.toBtf();
  }

  #reduced(
    id: number,
    type: Extract<BtfType, { members: unknown }>,
    mapId: (id: number) => number,
  ): typeof type {
    const wanted = this.#members.get(id);
    const members = type.members.filter((_, i) => wanted?.has(i) ?? false);
    return { ...type, members: members.map((member) => ({ ...member, type: mapId(member.type) })) };
  }
}
