/** Names in C: where BTF has several types or constants of one name, the later ones get `___2`, `___3`. */
import type { Btf } from "../btf.ts";
import { BTF_KIND_ENUM, BTF_KIND_FWD } from "../constants.ts";

class NameSpace {
  readonly #counts = new Map<string, number>();
  /** The name, numbered from its second use on. */
  use(name: string): string {
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    return count > 1 ? `${name}___${count}` : name;
  }
}

export class Names {
  readonly #btf: Btf;
  readonly #resolved = new Map<number, string>();
  /** Structs, unions and enums have a name space of their own; typedefs share theirs with enumerators. */
  readonly #tags = new NameSpace();
  readonly #identifiers = new NameSpace();

  constructor(btf: Btf) {
    this.#btf = btf;
  }

  /** Of a struct, union, enum or forward declaration; "" for an anonymous one. */
  tag(id: number): string {
    return this.#resolve(id, this.#tags);
  }

  typedef(id: number): string {
    return this.#resolve(id, this.#identifiers);
  }

  enumerator(name: string): string {
    return this.#identifiers.use(name);
  }

  #resolve(id: number, space: NameSpace): string {
    const btf = this.#btf;
    if (btf.nameOffset(id) === 0) return "";
    let name = this.#resolved.get(id);
    if (name === undefined) {
      const kind = btf.kind(id);
      const forward = kind === BTF_KIND_FWD || (kind === BTF_KIND_ENUM && btf.vlen(id) === 0);
      name = forward ? btf.typeName(id) : space.use(btf.typeName(id));
      this.#resolved.set(id, name);
    }
    return name;
  }
}
