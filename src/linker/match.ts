/**
 * May two declarations of one global be the same thing? (glob_syms_match and map_defs_match of libbpf's linker.c.)
 * Each function gives the reason why not, or undefined.
 */
import {
  BTF_FUNC_STATIC,
  BTF_KIND_ARRAY,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_NAMES,
  BTF_KIND_PTR,
  BTF_KIND_STRUCT,
  BTF_KIND_UNION,
  BTF_KIND_UNKN,
  BTF_KIND_VAR,
  BTF_VAR_STATIC,
  type Btf,
  type BtfType,
} from "../btf/index.ts";
import { mapDefinition } from "../loader/index.ts";

const MAX_DEPTH = 64;
const MAX_STEPS = 1_000_000;
const NAMED: ReadonlySet<number> = new Set([
  BTF_KIND_STRUCT,
  BTF_KIND_UNION,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FWD,
  BTF_KIND_FUNC,
  BTF_KIND_VAR,
]);

export interface TypeRef {
  readonly btf: Btf;
  readonly id: number;
}

/** Types of globals: all of a struct that is there by value, only the name of one behind a pointer. */
export function typeMismatch(a: TypeRef, b: TypeRef): string | undefined {
  return new Matcher(a.btf, b.btf).compare(a.id, b.id, true, 0);
}

class Matcher {
  readonly #a: Btf;
  readonly #b: Btf;
  #steps = 0;

  constructor(a: Btf, b: Btf) {
    this.#a = a;
    this.#b = b;
  }

  compare(aId: number, bId: number, exact: boolean, depth: number): string | undefined {
    if (depth > MAX_DEPTH || ++this.#steps > MAX_STEPS) return "types nest too deep to compare";
    const a = this.#a.type(this.#a.skipModifiers(aId));
    const b = this.#b.type(this.#b.skipModifiers(bId));
    if (!exact && (a.kind === BTF_KIND_FWD) !== (b.kind === BTF_KIND_FWD)) return forwardMismatch(a, b);
    const kind = BTF_KIND_NAMES[a.kind]!;
    if (a.kind !== b.kind) return `kind ${kind} here, ${BTF_KIND_NAMES[b.kind]} there`;
    if (NAMED.has(a.kind) && a.name !== b.name) return `${kind} '${a.name}' here, '${b.name}' there`;
    switch (a.kind) {
      case BTF_KIND_UNKN:
      case BTF_KIND_FWD:
        return undefined;
      case BTF_KIND_INT:
      case BTF_KIND_FLOAT:
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64: {
        const other = (b as typeof a).size;
        return a.size === other ? undefined : `${kind} '${a.name}' of ${a.size} bytes here, ${other} there`;
      }
      case BTF_KIND_PTR:
        return this.compare(a.type, (b as typeof a).type, false, depth + 1);
      case BTF_KIND_ARRAY:
        return this.compare(a.type, (b as typeof a).type, exact, depth + 1);
      case BTF_KIND_FUNC:
      case BTF_KIND_VAR: {
        const fixed = a.kind === BTF_KIND_FUNC ? BTF_FUNC_STATIC : BTF_VAR_STATIC;
        const other = b as typeof a;
        if ((a.linkage === fixed) !== (other.linkage === fixed)) return `${kind} is static in one of them`;
        return this.compare(a.type, other.type, exact, depth + 1);
      }
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION:
        return exact ? this.#members(a, b as typeof a, kind, depth) : undefined;
      case BTF_KIND_FUNC_PROTO: {
        const { params, type } = b as typeof a;
        if (a.params.length !== params.length)
          return `${a.params.length} parameters here, ${params.length} there`;
        for (const [i, param] of a.params.entries()) {
          const reason = this.compare(param.type, params[i]!.type, exact, depth + 1);
          if (reason !== undefined) return `parameter ${i + 1}: ${reason}`;
        }
        return this.compare(a.type, type, exact, depth + 1);
      }
      default:
        return `kind ${kind} cannot be compared`;
    }
  }

  #members(a: Composite, b: Composite, kind: string, depth: number): string | undefined {
    if (a.members.length !== b.members.length)
      return `${kind} '${a.name}' has ${a.members.length} members here, ${b.members.length} there`;
    for (const [i, m] of a.members.entries()) {
      const n = b.members[i]!;
      if (m.name !== n.name) return `member ${i} of '${a.name}' is '${m.name}' here, '${n.name}' there`;
      if (m.bitOffset !== n.bitOffset || m.bitSize !== n.bitSize)
        return `member '${m.name}' of '${a.name}' lies at bit ${m.bitOffset} here, ${n.bitOffset} there`;
      const reason = this.compare(m.type, n.type, true, depth + 1);
      if (reason !== undefined) return `member '${m.name}' of '${a.name}': ${reason}`;
    }
    return undefined;
  }
}

type Composite = Extract<BtfType, { members: unknown }>;

function forwardMismatch(a: BtfType, b: BtfType): string | undefined {
  if (a.name !== b.name) return `'${a.name}' here, '${b.name}' there`;
  const [forward, real] = a.kind === BTF_KIND_FWD ? [a, b] : [b, a];
  const wanted = forward.kind === BTF_KIND_FWD && forward.union ? BTF_KIND_UNION : BTF_KIND_STRUCT;
  if (real.kind === wanted) return undefined;
  return `'${a.name}' is declared as ${BTF_KIND_NAMES[wanted]} and is ${BTF_KIND_NAMES[real.kind]}`;
}

/** An extern map has to say the whole of what the definition says. `a` and `b` are the VARs. */
export function mapMismatch(name: string, a: TypeRef, b: TypeRef): string | undefined {
  const definition = ({ btf, id }: TypeRef): ReturnType<typeof mapDefinition> =>
    mapDefinition(btf, name, btf.sizeOrType(id));
  return definitionMismatch(definition(a), a.btf, definition(b), b.btf);
}

type Definition = ReturnType<typeof mapDefinition>;

function definitionMismatch(a: Definition, aBtf: Btf, b: Definition, bBtf: Btf): string | undefined {
  const fields = ["type", "keySize", "valueSize", "maxEntries", "flags", "numaNode", "pinByName"] as const;
  for (const field of fields)
    if (a[field] !== b[field]) return `map ${field}: ${a[field]} here, ${b[field]} there`;
  for (const field of ["keyTypeId", "valueTypeId"] as const) {
    if ((a[field] === 0) !== (b[field] === 0)) return `map ${field} is given in one of them`;
    if (a[field] === 0) continue;
    const reason = typeMismatch({ btf: aBtf, id: a[field] }, { btf: bBtf, id: b[field] });
    if (reason !== undefined) return `map ${field === "keyTypeId" ? "key" : "value"}: ${reason}`;
  }
  if (a.innerMap === undefined && b.innerMap === undefined) return undefined;
  if (a.innerMap === undefined || b.innerMap === undefined) return "map has an inner map in one of them";
  const reason = definitionMismatch(a.innerMap, aBtf, b.innerMap, bBtf);
  return reason === undefined ? undefined : `inner ${reason}`;
}
