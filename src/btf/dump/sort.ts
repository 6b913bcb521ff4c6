/**
 * The order of types in a header that changes little from kernel to kernel (bpftool's sort_btf_c): by rank of the kind,
 * by the name of what it is about, by its own name, by a hash of its members' names, by id.
 */
import { BtfError } from "../../diag/index.ts";
import type { Btf } from "../btf.ts";
import {
  BTF_KIND_ARRAY,
  BTF_KIND_CONST,
  BTF_KIND_DECL_TAG,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_RESTRICT,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_KIND_VOLATILE,
} from "../constants.ts";
import { MAX_NESTING } from "./order.ts";

const LAST_RANK = 10;
const REFERENCES: ReadonlySet<number> = new Set([
  BTF_KIND_TYPE_TAG,
  BTF_KIND_CONST,
  BTF_KIND_PTR,
  BTF_KIND_VOLATILE,
  BTF_KIND_RESTRICT,
  BTF_KIND_TYPEDEF,
  BTF_KIND_DECL_TAG,
]);

/** All ids, void and the base's included. */
export function sortedTypes(btf: Btf): number[] {
  const hashes = new Hashes(btf);
  const rows = Array.from({ length: btf.typeCount }, (_, id) => ({
    id,
    rank: rank(btf, id),
    about: sortName(btf, id),
    own: btf.typeName(id === 0 ? 0 : id),
  }));
  for (const row of rows) if (row.id === 0) row.own = "";
  rows.sort(
    (a, b) =>
      a.rank - b.rank ||
      compareText(a.about, b.about) ||
      compareText(a.own, b.own) ||
      hashes.compare(a.id, b.id) ||
      a.id - b.id,
  );
  return rows.map(({ id }) => id);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Follows references from `id`; stops at `limit` of them. */
function follow(btf: Btf, id: number, step: (id: number, kind: number) => number | undefined): void {
  let at: number | undefined = id;
  for (let depth = 0; at !== undefined; depth++) {
    if (depth > MAX_NESTING) throw new BtfError("types nest too deep", { typeId: id });
    at = step(at, btf.kind(at));
  }
}

function rank(btf: Btf, id: number): number {
  let named = false;
  let out = LAST_RANK;
  follow(btf, id, (at, kind) => {
    named ||= btf.nameOffset(at) !== 0;
    if (kind === BTF_KIND_ENUM || kind === BTF_KIND_ENUM64) out = named ? 1 : 0;
    else if (kind === BTF_KIND_INT || kind === BTF_KIND_FLOAT) out = 2;
    else if (kind === BTF_KIND_STRUCT || kind === BTF_KIND_UNION) out = named ? 3 : LAST_RANK;
    else if (kind === BTF_KIND_FUNC_PROTO) out = named ? 4 : LAST_RANK;
    else if (kind === BTF_KIND_ARRAY && named) return btf.arrayElement(at);
    else if (REFERENCES.has(kind) && named) return btf.sizeOrType(at);
    return undefined;
  });
  return out;
}

/** Of a reference: the name of what it refers to. An anonymous enum goes by its first constant. */
function sortName(btf: Btf, id: number): string {
  let out = "";
  follow(btf, id, (at, kind) => {
    if (kind === BTF_KIND_ARRAY) return btf.arrayElement(at);
    if (REFERENCES.has(kind)) return btf.sizeOrType(at);
    out = at === 0 ? "" : btf.typeName(at);
    if (at === id && out === "" && (kind === BTF_KIND_ENUM || kind === BTF_KIND_ENUM64)) {
      const type = btf.type(at);
      if ("values" in type) out = type.values[0]?.name ?? "";
    }
    return undefined;
  });
  return out;
}

/** 64-bit hashes, h * 31 + v, of names down a chain of types. */
class Hashes {
  readonly #btf: Btf;
  readonly #full = new Map<number, bigint>();
  readonly #short = new Map<number, bigint>();
  readonly #texts = new Map<string, bigint>();

  constructor(btf: Btf) {
    this.#btf = btf;
  }

  compare(a: number, b: number): number {
    const x = this.#hash(a, true, 0);
    const y = this.#hash(b, true, 0);
    return x < y ? -1 : x > y ? 1 : 0;
  }

  #hash(id: number, members: boolean, depth: number): bigint {
    const cache = members ? this.#full : this.#short;
    let hash = cache.get(id);
    if (hash === undefined) {
      if (depth > MAX_NESTING) throw new BtfError("types nest too deep", { typeId: id });
      cache.set(id, (hash = this.#compute(id, members, depth)));
    }
    return hash;
  }

  #compute(id: number, members: boolean, depth: number): bigint {
    if (id === 0) return 0n;
    const btf = this.#btf;
    const type = btf.type(id);
    let hash = this.#name(0n, type.name);
    if ("values" in type) for (const { name } of type.values) hash = this.#name(hash, name);
    else if ("members" in type) {
      if (members)
        for (const member of type.members)
          hash = mix(this.#name(hash, member.name), this.#hash(member.type, false, depth + 1));
    } else if (type.kind === BTF_KIND_ARRAY)
      hash = mix(mix(hash, BigInt(type.nelems)), this.#hash(type.type, members, depth + 1));
    else if (REFERENCES.has(type.kind)) hash = mix(hash, this.#hash(btf.sizeOrType(id), members, depth + 1));
    return hash;
  }

  #name(hash: bigint, name: string): bigint {
    if (name === "") return hash;
    let own = this.#texts.get(name);
    if (own === undefined) {
      own = 0n;
      // Characters are signed there.
      for (const byte of new TextEncoder().encode(name)) own = mix(own, BigInt((byte << 24) >> 24));
      this.#texts.set(name, own);
    }
    return mix(hash, own);
  }
}

function mix(hash: bigint, value: bigint): bigint {
  return BigInt.asUintN(64, hash * 31n + value);
}
