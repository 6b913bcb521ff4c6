/**
 * Are two type graphs the same? Both are walked together from a pair of structs; every pair met on the way is an
 * assumption that the rest must not contradict, which is what lets recursive structs be compared. A forward declaration
 * agrees with a struct or union of its name, and where the graphs agree as a whole it is resolved to it.
 *
 * Answers btf_dedup_is_equiv and btf_dedup_merge_hypot_map of libbpf, with a stack of pairs in place of recursion: a
 * kernel's graph is thousands of types deep.
 */
import { BtfError } from "../../diag/index.ts";
import {
  BTF_KIND_ARRAY,
  BTF_KIND_CONST,
  BTF_KIND_DATASEC,
  BTF_KIND_DECL_TAG,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_RESTRICT,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_KIND_VAR,
  BTF_KIND_VOLATILE,
} from "../constants.ts";
import { vlenOf } from "../records.ts";
import { compositesAlike, enumsCompatible, isCompositeKind, recordsEqual } from "./signatures.ts";
import type { TypeTable } from "./type-table.ts";

/** Not deduplicated yet. */
export const UNPROCESSED = -1;
/** Structs within structs that are compared by value (libbpf follows 16 levels). */
const MAX_NESTING = 16;
/**
 * Steps of comparison in one deduplication. Merged kernels and objects take 60 for each type; what takes more than this
 * was made to take time.
 */
const MAX_STEPS = 1_000_000;
const MAX_STEPS_PER_TYPE = 300;
const MAX_NESTED_STEPS = 100_000;

export class Equivalence {
  readonly #table: TypeTable;
  /** Canonical id by id, or UNPROCESSED. */
  readonly #map: Int32Array;
  /** Assumption: this canonical type is that candidate; -1: none. */
  readonly #assumed: Int32Array;
  #assumptions: number[] = [];
  #stack: number[] = [];
  #stepsLeft: number;
  #nestedSteps = 0;
  /**
   * The graphs agree, but only if a forward declaration of the base were resolved to an own struct: the base is fixed,
   * so the types stay apart.
   */
  needsBaseChange = false;

  constructor(table: TypeTable, map: Int32Array) {
    this.#table = table;
    this.#map = map;
    this.#stepsLeft = MAX_STEPS + MAX_STEPS_PER_TYPE * table.count;
    this.#assumed = new Int32Array(table.count).fill(-1);
  }

  resolve(id: number): number {
    const map = this.#map;
    let at = id;
    for (let steps = 0; map[at]! >= 0 && map[at] !== at; at = map[at]!)
      if (steps++ > map.length) throw new BtfError("forward declarations resolve in a cycle", { typeId: id });
    return at;
  }

  /** Compares from a pair on. `commit` makes use of what a positive answer assumed. */
  check(candidate: number, canonical: number): boolean {
    for (const id of this.#assumptions) this.#assumed[id] = -1;
    this.#assumptions = [];
    this.needsBaseChange = false;
    const stack = this.#stack;
    stack.length = 0;
    stack.push(canonical, candidate);
    while (stack.length > 0) {
      const cand = stack.pop()!;
      if (!this.#pair(cand, stack.pop()!)) return false;
    }
    return true;
  }

  /** One pair; the pairs below it go onto the stack, the first on top. */
  #pair(cand: number, target: number): boolean {
    if (--this.#stepsLeft < 0) throw new BtfError("types take absurdly long to compare", { typeId: cand });
    if (this.resolve(cand) === this.resolve(target)) return true;
    const canon = this.#resolveForward(target);
    const assumed = this.#assumed[canon]!;
    if (assumed >= 0) return assumed === cand || this.#identical(assumed, cand);
    this.#assumed[canon] = cand;
    this.#assumptions.push(canon);

    const table = this.#table;
    const { words } = table;
    const c = table.records[cand]!;
    const t = table.records[canon]!;
    if (words[c] !== words[t]) return false;
    const candKind = table.kind(cand);
    const canonKind = table.kind(canon);
    if (candKind !== canonKind) {
      if (candKind === BTF_KIND_FWD) return this.#forwardKind(cand) === canonKind;
      if (canonKind !== BTF_KIND_FWD || this.#forwardKind(canon) !== candKind) return false;
      if (canon < table.startId) this.needsBaseChange = true;
      return true;
    }
    switch (candKind) {
      case BTF_KIND_INT:
        return recordsEqual(table, cand, canon);
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64:
        return enumsCompatible(table, cand, canon);
      case BTF_KIND_FWD:
      case BTF_KIND_FLOAT:
        return recordsEqual(table, cand, canon);
      case BTF_KIND_CONST:
      case BTF_KIND_VOLATILE:
      case BTF_KIND_RESTRICT:
      case BTF_KIND_PTR:
      case BTF_KIND_TYPEDEF:
      case BTF_KIND_FUNC:
      case BTF_KIND_TYPE_TAG:
        if (words[c + 1] !== words[t + 1]) return false;
        this.#push(c + 2, t + 2);
        return true;
      case BTF_KIND_ARRAY:
        if (words[c + 1] !== words[t + 1] || words[c + 2] !== words[t + 2] || words[c + 5] !== words[t + 5])
          return false;
        this.#push(c + 3, t + 3);
        this.#push(c + 4, t + 4);
        return true;
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION:
        if (!compositesAlike(table, cand, canon)) return false;
        for (let i = vlenOf(words[c + 1]!) - 1; i >= 0; i--) this.#push(c + 4 + i * 3, t + 4 + i * 3);
        return true;
      case BTF_KIND_FUNC_PROTO: {
        if (words[c + 1] !== words[t + 1]) return false;
        const vlen = vlenOf(words[c + 1]!);
        for (let i = 0; i < vlen; i++) if (words[c + 3 + i * 2] !== words[t + 3 + i * 2]) return false;
        for (let i = vlen - 1; i >= 0; i--) this.#push(c + 4 + i * 2, t + 4 + i * 2);
        this.#push(c + 2, t + 2);
        return true;
      }
      case BTF_KIND_VAR:
      case BTF_KIND_DATASEC:
      case BTF_KIND_DECL_TAG:
        throw new BtfError("a type is made of a variable, a section or a tag", { typeId: cand });
      default:
        return false;
    }
  }

  /** The types in two words are to be compared. */
  #push(candWord: number, canonWord: number): void {
    this.#stack.push(this.#table.words[canonWord]!, this.#table.words[candWord]!);
  }

  /** What a forward declaration stands for so far, or the id itself. */
  #resolveForward(id: number): number {
    if (this.#table.kind(id) !== BTF_KIND_FWD) return id;
    const to = this.resolve(id);
    return this.#table.kind(to) === BTF_KIND_FWD ? id : to;
  }

  #forwardKind(id: number): number {
    const flag = this.#table.words[this.#table.records[id]! + 1]! >>> 31;
    return flag === 1 ? BTF_KIND_UNION : BTF_KIND_STRUCT;
  }

  /**
   * Compilers now and then write the same array, struct or pointer twice into one unit, so that two candidates meet the
   * same canonical type; where their records agree down to the ids that is no contradiction.
   */
  #identical(a: number, b: number): boolean {
    const kind = this.#table.kind(a);
    if (kind !== this.#table.kind(b)) return false;
    if (kind === BTF_KIND_ARRAY) return recordsEqual(this.#table, a, b);
    if (kind === BTF_KIND_PTR)
      return (
        this.#table.words[this.#table.records[a]! + 2] === this.#table.words[this.#table.records[b]! + 2]
      );
    this.#nestedSteps = 0;
    return this.#identicalStructs(a, b, 0);
  }

  #identicalStructs(a: number, b: number, depth: number): boolean {
    const table = this.#table;
    if (depth > MAX_NESTING || ++this.#nestedSteps > MAX_NESTED_STEPS) return false;
    if (!isCompositeKind(table.kind(a)) || !compositesAlike(table, a, b)) return false;
    const { words } = table;
    const x = table.records[a]! + 4;
    const y = table.records[b]! + 4;
    const vlen = vlenOf(words[x - 3]!);
    for (let i = 0; i < vlen; i++) {
      const m = words[x + i * 3]!;
      const n = words[y + i * 3]!;
      if (m === n) continue;
      const arrays = table.kind(m) === BTF_KIND_ARRAY && recordsEqual(table, m, n);
      if (!arrays && !this.#identicalStructs(m, n, depth + 1)) return false;
    }
    return true;
  }

  /** Maps what the last check found equal: forward declarations to what they declare, structs to canonical structs. */
  commit(): void {
    const map = this.#map;
    const table = this.#table;
    for (const canon of this.#assumptions) {
      const from = this.resolve(this.#assumed[canon]!);
      const to = this.resolve(canon);
      const fromKind = table.kind(from);
      const toForward = table.kind(to) === BTF_KIND_FWD;
      if (fromKind !== BTF_KIND_FWD && toForward) map[to] = from;
      if (this.needsBaseChange) continue;
      if (fromKind === BTF_KIND_FWD && !toForward) map[from] = to;
      if (isCompositeKind(fromKind) && !toForward && map[to]! >= 0 && map[from]! < 0) map[from] = to;
    }
  }
}
