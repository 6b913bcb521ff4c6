/**
 * In which order C wants its definitions: a type that is embedded has to be complete before what embeds it, one behind
 * a pointer needs no more than its name. An anonymous struct stands within what uses it, so it asks for the same as
 * that. Answers btf_dump_order_type of libbpf's btf_dump.c.
 */
import { BtfError } from "../../diag/index.ts";
import type { Btf } from "../btf.ts";
import {
  BTF_KIND_ARRAY,
  BTF_KIND_CONST,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_RESTRICT,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_KIND_VOLATILE,
} from "../constants.ts";
import { forEachTypeWord } from "../records.ts";

const ORDERING = 1;
const ORDERED = 2;
/** Nesting of types within types; real ones stay below a hundred. */
export const MAX_NESTING = 500;

export class Order {
  readonly #btf: Btf;
  readonly #state: Uint8Array;
  readonly #referenced: Uint8Array;
  #queue: number[] = [];
  #steps: number;

  constructor(btf: Btf) {
    this.#btf = btf;
    this.#state = new Uint8Array(btf.typeCount);
    this.#state[0] = ORDERED;
    this.#referenced = markReferenced(btf);
    this.#steps = 1_000_000 + 100 * btf.typeCount;
  }

  /** The definitions that `id` needs and that no call before gave, `id` last. */
  definitions(id: number): readonly number[] {
    this.#queue = [];
    this.#visit(id, false, 0);
    return this.#queue;
  }

  /** True where the type has to be complete, false where its name will do. */
  #visit(id: number, pointed: boolean, depth: number): boolean {
    const btf = this.#btf;
    if (this.#state[id] === ORDERED) return true;
    const kind = btf.kind(id);
    const named = btf.nameOffset(id) !== 0;
    const composite = kind === BTF_KIND_STRUCT || kind === BTF_KIND_UNION;
    if (this.#state[id] === ORDERING) {
      if (composite && pointed && named) return false;
      throw new BtfError("a type contains itself", { typeId: id });
    }
    if (depth > MAX_NESTING || --this.#steps < 0) throw new BtfError("types nest too deep", { typeId: id });
    switch (kind) {
      case BTF_KIND_INT:
      case BTF_KIND_FLOAT:
        this.#state[id] = ORDERED;
        return false;
      case BTF_KIND_PTR: {
        const strong = this.#visit(btf.sizeOrType(id), true, depth + 1);
        this.#state[id] = ORDERED;
        return strong;
      }
      case BTF_KIND_ARRAY:
        return this.#visit(btf.arrayElement(id), false, depth + 1);
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION: {
        if (pointed && named) return false;
        this.#state[id] = ORDERING;
        const type = btf.type(id);
        if ("members" in type) for (const member of type.members) this.#visit(member.type, false, depth + 1);
        if (named) this.#queue.push(id);
        this.#state[id] = ORDERED;
        return true;
      }
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64:
      case BTF_KIND_FWD:
        // An anonymous enum that nothing refers to declares constants; one that is used stands where it is used.
        if (named || this.#referenced[id] === 0) this.#queue.push(id);
        this.#state[id] = ORDERED;
        return true;
      case BTF_KIND_TYPEDEF: {
        const strong = this.#visit(btf.sizeOrType(id), pointed, depth + 1);
        if (pointed && !strong) return false;
        this.#queue.push(id);
        this.#state[id] = ORDERED;
        return true;
      }
      case BTF_KIND_VOLATILE:
      case BTF_KIND_CONST:
      case BTF_KIND_RESTRICT:
      case BTF_KIND_TYPE_TAG:
        return this.#visit(btf.sizeOrType(id), pointed, depth + 1);
      case BTF_KIND_FUNC_PROTO: {
        const type = btf.type(id);
        let strong = this.#visit(btf.sizeOrType(id), pointed, depth + 1);
        if ("params" in type)
          for (const param of type.params) strong = this.#visit(param.type, pointed, depth + 1) || strong;
        return strong;
      }
      default:
        this.#state[id] = ORDERED;
        return false;
    }
  }
}

/** Which types another type names; what a function returns does not count, as in libbpf. */
function markReferenced(btf: Btf): Uint8Array {
  const out = new Uint8Array(btf.typeCount);
  for (let layer: Btf | undefined = btf; layer !== undefined; layer = layer.base) {
    const { words } = layer;
    for (let id = layer.startId; id < layer.typeCount; id++) {
      const at = layer.recordWord(id);
      const returned = layer.kind(id) === BTF_KIND_FUNC_PROTO ? at + 2 : -1;
      forEachTypeWord(words, at, (index) => {
        if (index !== returned) out[words[index]!] = 1;
      });
    }
  }
  return out;
}
