/**
 * Which types might be the same: a hash of what must agree, and the chains of candidates by hash. Equality by record is
 * here as well; equality of graphs is in equivalence.ts.
 */
import { BTF_KIND_ENUM, BTF_KIND_ENUM64, BTF_KIND_STRUCT, BTF_KIND_UNION } from "../constants.ts";
import { kindOf, recordLength, vlenOf } from "../records.ts";
import type { TypeTable } from "./type-table.ts";

function mix(hash: number, word: number): number {
  const h = Math.imul(hash ^ word, 0x9e3779b1);
  return h ^ (h >>> 15);
}

export function isEnumKind(kind: number): boolean {
  return kind === BTF_KIND_ENUM || kind === BTF_KIND_ENUM64;
}

export function isCompositeKind(kind: number): boolean {
  return kind === BTF_KIND_STRUCT || kind === BTF_KIND_UNION;
}

/**
 * Enums hash by name alone, as a forward declaration of one has neither size nor values; structs and unions without
 * their members' types, which may not be deduplicated yet; everything else by its whole record.
 */
export function signature(table: TypeTable, id: number): number {
  const { words } = table;
  const at = table.records[id]!;
  const info = words[at + 1]!;
  const kind = kindOf(info);
  if (isEnumKind(kind)) return mix(0, words[at]!);
  let hash = mix(mix(mix(1, words[at]!), info), words[at + 2]!);
  const end = at + recordLength(info);
  if (isCompositeKind(kind))
    for (let m = at + 3; m < end; m += 3) hash = mix(mix(hash, words[m]!), words[m + 2]!);
  else for (let i = at + 3; i < end; i++) hash = mix(hash, words[i]!);
  return hash;
}

/** The same record, word for word. */
export function recordsEqual(table: TypeTable, a: number, b: number): boolean {
  const { words } = table;
  const x = table.records[a]!;
  const y = table.records[b]!;
  if (words[x + 1] !== words[y + 1]) return false;
  const length = table.length(a);
  for (let i = 0; i < length; i++) if (words[x + i] !== words[y + i]) return false;
  return true;
}

/** The same struct or union but for the ids of its members' types. */
export function compositesAlike(table: TypeTable, a: number, b: number): boolean {
  const { words } = table;
  const x = table.records[a]!;
  const y = table.records[b]!;
  for (let i = 0; i < 3; i++) if (words[x + i] !== words[y + i]) return false;
  const length = 3 + 3 * vlenOf(words[x + 1]!);
  for (let i = 3; i < length; i += 3)
    if (words[x + i] !== words[y + i] || words[x + i + 2] !== words[y + i + 2]) return false;
  return true;
}

export function isEnumForward(table: TypeTable, id: number): boolean {
  return isEnumKind(table.kind(id)) && vlenOf(table.words[table.records[id]! + 1]!) === 0;
}

/** Equal enums, or one of them is a forward declaration of that name (of whatever size). */
export function enumsCompatible(table: TypeTable, a: number, b: number): boolean {
  if (!isEnumForward(table, a) && !isEnumForward(table, b)) return recordsEqual(table, a, b);
  return (
    table.words[table.records[a]!] === table.words[table.records[b]!] &&
    isEnumKind(table.kind(a)) &&
    isEnumKind(table.kind(b))
  );
}

/** Ids by signature, the latest first. */
export class Candidates {
  readonly #heads: Int32Array;
  readonly #next: Int32Array;
  readonly #hashes: Int32Array;
  readonly #mask: number;

  constructor(count: number) {
    let size = 16;
    while (size < count) size *= 2;
    this.#mask = size - 1;
    this.#heads = new Int32Array(size);
    this.#next = new Int32Array(count);
    this.#hashes = new Int32Array(count);
  }

  add(hash: number, id: number): void {
    const slot = hash & this.#mask;
    this.#hashes[id] = hash;
    this.#next[id] = this.#heads[slot]!;
    this.#heads[slot] = id;
  }

  /** 0: none. */
  first(hash: number): number {
    return this.#match(this.#heads[hash & this.#mask]!, hash);
  }

  after(id: number): number {
    return this.#match(this.#next[id]!, this.#hashes[id]!);
  }

  #match(from: number, hash: number): number {
    let id = from;
    while (id !== 0 && this.#hashes[id] !== hash) id = this.#next[id]!;
    return id;
  }
}
