/** Questions about BTF types that the verifier asks again and again; decoded types are kept per BTF. */
import {
  BTF_KIND_ARRAY,
  BTF_KIND_CONST,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_INT,
  BTF_KIND_NAMES,
  BTF_KIND_PTR,
  BTF_KIND_RESTRICT,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_KIND_UNKN,
  BTF_KIND_VOLATILE,
  type Btf,
  type BtfMember,
  type BtfParam,
  type BtfType,
} from "../../btf/index.ts";
import type { Env } from "../env.ts";

const decoded = new WeakMap<Btf, (BtfType | undefined)[]>();

/** Btf.type(), decoded once. */
export function typeOf(btf: Btf, id: number): BtfType {
  let types = decoded.get(btf);
  if (types === undefined) {
    types = [];
    decoded.set(btf, types);
  }
  return (types[id] ??= btf.type(id));
}

/** The kernel's BTF or a module's, in contrast to a program's. btf_is_kernel(). */
export function isKernelBtf(env: Env, btf: Btf | null): boolean {
  return btf !== null && (btf === env.kernelBtf || (env.input.moduleBtfs?.includes(btf) ?? false));
}

export function isModifier(btf: Btf, id: number): boolean {
  switch (btf.kind(id)) {
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_CONST:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_TYPE_TAG:
      return true;
  }
  return false;
}

/** STRUCT or UNION: btf_type_is_struct(). */
export function isStructOrUnion(btf: Btf, id: number): boolean {
  const kind = btf.kind(id);
  return kind === BTF_KIND_STRUCT || kind === BTF_KIND_UNION;
}

/** STRUCT alone: __btf_type_is_struct(). */
export function isStruct(btf: Btf, id: number): boolean {
  return btf.kind(id) === BTF_KIND_STRUCT;
}

export function isPtr(btf: Btf, id: number): boolean {
  return btf.kind(id) === BTF_KIND_PTR;
}

export function isVoid(id: number): boolean {
  return id === 0;
}

export function isArray(btf: Btf, id: number): boolean {
  return btf.kind(id) === BTF_KIND_ARRAY;
}

export function isInt(btf: Btf, id: number): boolean {
  return btf.kind(id) === BTF_KIND_INT;
}

/** INT, ENUM, ENUM64: btf_type_is_scalar(). */
export function isScalar(btf: Btf, id: number): boolean {
  const kind = btf.kind(id);
  return kind === BTF_KIND_INT || kind === BTF_KIND_ENUM || kind === BTF_KIND_ENUM64;
}

/** A pointer to a struct or union, modifiers aside: btf_type_is_struct_ptr(). */
export function isStructPtr(btf: Btf, id: number): boolean {
  const at = btf.skipModifiers(id);
  return isPtr(btf, at) && isStructOrUnion(btf, btf.skipModifiers(btf.sizeOrType(at)));
}

/** A pointer to a function prototype, and which; -1: it is not one. btf_type_resolve_func_ptr(). */
export function resolveFuncPtr(btf: Btf, id: number): number {
  const at = btf.skipModifiers(id);
  if (!isPtr(btf, at)) return -1;
  const proto = btf.skipModifiers(btf.sizeOrType(at));
  return btf.kind(proto) === BTF_KIND_FUNC_PROTO ? proto : -1;
}

export function membersOf(btf: Btf, id: number): readonly BtfMember[] {
  const type = typeOf(btf, id);
  return type.kind === BTF_KIND_STRUCT || type.kind === BTF_KIND_UNION ? type.members : [];
}

export function paramsOf(btf: Btf, proto: number): readonly BtfParam[] {
  const type = typeOf(btf, proto);
  return type.kind === BTF_KIND_FUNC_PROTO ? type.params : [];
}

/** The prototype of a FUNC. */
export function protoOf(btf: Btf, func: number): number {
  return btf.kind(func) === BTF_KIND_FUNC ? btf.sizeOrType(func) : 0;
}

/** How the kernel's messages name a kind: "STRUCT", "PTR"... btf_type_str(). */
export function kindName(btf: Btf, id: number): string {
  const kind = btf.kind(id);
  return kind === BTF_KIND_UNKN ? "UNKNOWN" : (BTF_KIND_NAMES[kind] ?? "UNKNOWN");
}

/** Size of a value, or -1 where the type has none. */
export function sizeOf(btf: Btf, id: number): number {
  try {
    return btf.resolveSize(id);
  } catch {
    return -1;
  }
}

/** Same type, where ids of a module's BTF below its own belong to the kernel's. btf_types_are_same(). */
export function sameType(btf1: Btf | null, id1: number, btf2: Btf | null, id2: number): boolean {
  if (id1 !== id2 || btf1 === null || btf2 === null) return false;
  return btf1 === btf2 || ownerOf(btf1, id1) === ownerOf(btf2, id2);
}

/** The BTF, of a split one and its base, that type lies in. */
function ownerOf(btf: Btf, id: number): Btf {
  let at = btf;
  while (at.base !== undefined && id < at.startId) at = at.base;
  return at;
}

const ids = new WeakMap<Btf, Map<string, number>>();

/** Id of a named type of that kind, or 0. Remembered. */
export function findId(btf: Btf | null, name: string, kind: number): number {
  if (btf === null) return 0;
  let known = ids.get(btf);
  if (known === undefined) {
    known = new Map();
    ids.set(btf, known);
  }
  const key = `${kind} ${name}`;
  let id = known.get(key);
  if (id === undefined) {
    id = btf.findByName(name, kind) ?? 0;
    known.set(key, id);
  }
  return id;
}

export function findStruct(btf: Btf | null, name: string): number {
  return findId(btf, name, BTF_KIND_STRUCT);
}
