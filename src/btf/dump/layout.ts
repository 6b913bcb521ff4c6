/** Alignment, packing and the padding that makes a C compiler lay a struct out as BTF says (btf_dump.c of libbpf). */
import { BtfError } from "../../diag/index.ts";
import type { Btf } from "../btf.ts";
import {
  BTF_KIND_ARRAY,
  BTF_KIND_CONST,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_RESTRICT,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_KIND_VOLATILE,
} from "../constants.ts";
import type { BtfType } from "../types.ts";
import { MAX_NESTING } from "./order.ts";

export type Composite = Extract<BtfType, { members: unknown }>;

export class Layout {
  readonly #btf: Btf;
  /** Alignment + 1 by id; 0: not known yet. */
  readonly #alignments: Uint8Array;

  constructor(btf: Btf) {
    this.#btf = btf;
    this.#alignments = new Uint8Array(btf.typeCount);
  }

  /** In bytes; 0 for what has none (void, functions). */
  align(id: number, depth = 0): number {
    const known = this.#alignments[id]!;
    if (known > 0) return known - 1;
    if (depth > MAX_NESTING) throw new BtfError("types nest too deep", { typeId: id });
    const align = this.#compute(id, depth);
    this.#alignments[id] = align + 1;
    return align;
  }

  #compute(id: number, depth: number): number {
    const btf = this.#btf;
    switch (btf.kind(id)) {
      case BTF_KIND_INT:
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64:
      case BTF_KIND_FLOAT:
        return Math.min(btf.pointerSize, btf.sizeOrType(id));
      case BTF_KIND_PTR:
        return btf.pointerSize;
      case BTF_KIND_TYPEDEF:
      case BTF_KIND_VOLATILE:
      case BTF_KIND_CONST:
      case BTF_KIND_RESTRICT:
      case BTF_KIND_TYPE_TAG:
        return this.align(btf.sizeOrType(id), depth + 1);
      case BTF_KIND_ARRAY:
        return this.align(btf.arrayElement(id), depth + 1);
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION: {
        const type = btf.type(id) as Composite;
        let max = 1;
        for (const member of type.members) {
          const align = this.align(member.type, depth + 1);
          if (align <= 0) return align;
          max = Math.max(max, align);
          if (member.bitSize === 0 && member.bitOffset % (8 * align) !== 0) return 1;
        }
        return type.size % max === 0 ? max : 1;
      }
      default:
        return 0;
    }
  }

  /** It needs the attribute: a member is not aligned, or the size is no multiple of the alignment. */
  isPacked(type: Composite): boolean {
    let max = 1;
    for (const member of type.members) {
      const align = this.align(member.type);
      if (align > 0 && member.bitSize === 0 && member.bitOffset % (8 * align) !== 0) return true;
      max = Math.max(max, align);
    }
    return type.size % max !== 0;
  }

  /** Size in bytes of a member's type; 0 where there is none. */
  size(id: number): number {
    try {
      return this.#btf.resolveSize(id);
    } catch (error) {
      if (error instanceof BtfError) return 0;
      throw error;
    }
  }

  /**
   * Unnamed bit fields for the bits from `from` to `to`, of the widest type whose boundary lies within. `nextAlign` is
   * what the next member is aligned to (in bytes): a compiler that would go there by itself gets no help.
   */
  padding(
    from: number,
    to: number,
    nextAlign: number,
    inBitfield: boolean,
    emit: (text: string) => void,
  ): void {
    if (from >= to) return;
    const pads: readonly (readonly [string, number])[] = [
      ["long", this.#btf.pointerSize * 8],
      ["int", 32],
      ["short", 16],
      ["char", 8],
    ];
    const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
    const found = pads.find(([, bits]) => roundUp(from, bits) <= to);
    const [name, width] = found ?? pads[pads.length - 1]!;
    const boundary = roundUp(from, width);
    let at = from;
    if (boundary > at && boundary <= to) {
      const natural = boundary === to && roundUp(at, nextAlign * 8) === boundary;
      const swallowed = boundary !== to && to - boundary <= boundary - at;
      if (inBitfield || (boundary === to && !natural) || swallowed)
        emit(`${name}: ${inBitfield ? boundary - at : 0};`);
      at = boundary;
    }
    for (; to - at >= width; at += width) emit(`${name}: ${width};`);
    if (at < to) {
      const rest = to - at;
      const [small] = [...pads].reverse().find(([, bits]) => bits >= rest)!;
      emit(`${small}: ${rest};`);
    }
  }
}
