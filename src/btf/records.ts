/**
 * The shape of BTF's type records, as tables by kind: how long a record is, and which of its words are ids of types or
 * offsets of strings. Whoever copies, renumbers, compares or deduplicates types reads these and needs no case per kind.
 *
 *   word 0: name   word 1: kind_flag(31) | kind(24..28) | vlen(0..15)   word 2: size or type   then EXTRA words
 */
import {
  BTF_KIND_ARRAY,
  BTF_KIND_CONST,
  BTF_KIND_DATASEC,
  BTF_KIND_DECL_TAG,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_INT,
  BTF_KIND_MAX,
  BTF_KIND_PTR,
  BTF_KIND_RESTRICT,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_KIND_VAR,
  BTF_KIND_VOLATILE,
} from "./constants.ts";

function table(fallback: number, rows: readonly (readonly [number, number])[]): readonly number[] {
  const out = new Array<number>(BTF_KIND_MAX + 1).fill(fallback);
  for (const [kind, value] of rows) out[kind] = value;
  return out;
}

/** Words after struct btf_type that every record of the kind has. */
export const EXTRA_FIXED: readonly number[] = table(0, [
  [BTF_KIND_INT, 1],
  [BTF_KIND_ARRAY, 3],
  [BTF_KIND_VAR, 1],
  [BTF_KIND_DECL_TAG, 1],
]);

/** Words of each of its vlen elements. */
export const EXTRA_EACH: readonly number[] = table(0, [
  [BTF_KIND_STRUCT, 3],
  [BTF_KIND_UNION, 3],
  [BTF_KIND_ENUM, 2],
  [BTF_KIND_FUNC_PROTO, 2],
  [BTF_KIND_DATASEC, 3],
  [BTF_KIND_ENUM64, 3],
]);

/** 1 where word 2 is the id of a type. */
const HEAD_TYPE: readonly number[] = table(0, [
  [BTF_KIND_PTR, 1],
  [BTF_KIND_TYPEDEF, 1],
  [BTF_KIND_VOLATILE, 1],
  [BTF_KIND_CONST, 1],
  [BTF_KIND_RESTRICT, 1],
  [BTF_KIND_FUNC, 1],
  [BTF_KIND_FUNC_PROTO, 1],
  [BTF_KIND_VAR, 1],
  [BTF_KIND_DECL_TAG, 1],
  [BTF_KIND_TYPE_TAG, 1],
]);

/** The word of an element that is the id of a type; -1: none. */
const EACH_TYPE: readonly number[] = table(-1, [
  [BTF_KIND_STRUCT, 1],
  [BTF_KIND_UNION, 1],
  [BTF_KIND_FUNC_PROTO, 1],
  [BTF_KIND_DATASEC, 0],
]);

/** 1 where word 0 of an element is a name. */
const EACH_NAME: readonly number[] = table(0, [
  [BTF_KIND_STRUCT, 1],
  [BTF_KIND_UNION, 1],
  [BTF_KIND_ENUM, 1],
  [BTF_KIND_FUNC_PROTO, 1],
  [BTF_KIND_ENUM64, 1],
]);

export function kindOf(info: number): number {
  return (info >>> 24) & 31;
}

export function vlenOf(info: number): number {
  return info & 0xffff;
}

export function infoWord(kind: number, vlen: number, kindFlag: boolean): number {
  return (((kindFlag ? 1 : 0) << 31) | (kind << 24) | vlen) >>> 0;
}

/** Words of a whole record. */
export function recordLength(info: number): number {
  const kind = kindOf(info);
  return 3 + EXTRA_FIXED[kind]! + EXTRA_EACH[kind]! * vlenOf(info);
}

/** Calls `visit` with the index of every word that is the id of a type, in record order. */
export function forEachTypeWord(words: Uint32Array, at: number, visit: (index: number) => void): void {
  const info = words[at + 1]!;
  const kind = kindOf(info);
  if (HEAD_TYPE[kind] === 1) visit(at + 2);
  if (kind === BTF_KIND_ARRAY) {
    visit(at + 3);
    visit(at + 4);
  }
  const word = EACH_TYPE[kind]!;
  if (word < 0) return;
  const size = EXTRA_EACH[kind]!;
  const first = at + 3 + EXTRA_FIXED[kind]!;
  const end = first + size * vlenOf(info);
  for (let i = first; i < end; i += size) visit(i + word);
}

/** Calls `visit` with the index of every word that is the offset of a string, in record order. */
export function forEachStringWord(words: Uint32Array, at: number, visit: (index: number) => void): void {
  visit(at);
  const info = words[at + 1]!;
  const kind = kindOf(info);
  if (EACH_NAME[kind] !== 1) return;
  const size = EXTRA_EACH[kind]!;
  const first = at + 3 + EXTRA_FIXED[kind]!;
  const end = first + size * vlenOf(info);
  for (let i = first; i < end; i += size) visit(i);
}
