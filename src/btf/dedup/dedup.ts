/**
 * Makes every type and string of a BTF unique: compilers write each unit's types anew, and merged units repeat them.
 * The result is that of libbpf's btf__dedup; the passes, each over all own types in order:
 *
 *   strings -> types that refer to none (int, float, enum, fwd) -> structs and unions, by graph (equivalence.ts)
 *   -> forward declarations whose name only one struct has -> types that refer (pointers, arrays, functions, ...)
 *   -> renumbering
 *
 * Variables and sections are never merged. With split BTF the base stays as it is, and own types that it has go away.
 */
import { BtfError, InternalError } from "../../diag/index.ts";
import { Btf } from "../btf.ts";
import { encodeBtf } from "../builder.ts";
import {
  BTF_KIND_DATASEC,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_STRUCT,
  BTF_KIND_VAR,
} from "../constants.ts";
import { forEachTypeWord } from "../records.ts";
import { validateBtf } from "../validate.ts";
import { Equivalence, UNPROCESSED } from "./equivalence.ts";
import {
  Candidates,
  compositesAlike,
  enumsCompatible,
  isCompositeKind,
  isEnumForward,
  recordsEqual,
  signature,
} from "./signatures.ts";
import { TypeTable } from "./type-table.ts";

const IN_PROGRESS = -2;

export interface DedupOptions {
  /**
   * Leaves all strings where they are: each is there once already (BtfBuilder sees to that), and something else refers
   * to some of them, as .BTF.ext does.
   */
  readonly keepStrings?: boolean;
}

export interface DedupResult {
  readonly btf: Btf;
  /** New id by old id. */
  readonly ids: Uint32Array;
}

/** Throws BtfError for types that refer to nothing, or to themselves with no struct in between. `btf` is unchanged. */
export function dedupBtf(btf: Btf, options: DedupOptions = {}): DedupResult {
  validateBtf(btf);
  const pass = new Dedup(btf, options.keepStrings ?? false);
  pass.hashBase();
  pass.primitives();
  pass.composites();
  pass.forwards();
  pass.references();
  return pass.compact(btf);
}

class Dedup {
  readonly #table: TypeTable;
  readonly #map: Int32Array;
  readonly #candidates: Candidates;
  readonly #equivalence: Equivalence;

  constructor(btf: Btf, keepStrings: boolean) {
    this.#table = new TypeTable(btf, keepStrings);
    this.#map = new Int32Array(btf.typeCount).fill(UNPROCESSED);
    this.#map[0] = 0;
    this.#candidates = new Candidates(btf.typeCount);
    this.#equivalence = new Equivalence(this.#table, this.#map);
    this.#eachOwn((id, kind) => {
      if (kind === BTF_KIND_VAR || kind === BTF_KIND_DATASEC) this.#map[id] = id;
    });
  }

  #eachOwn(visit: (id: number, kind: number) => void): void {
    for (let id = this.#table.startId; id < this.#table.count; id++) visit(id, this.#table.kind(id));
  }

  hashBase(): void {
    for (let id = 1; id < this.#table.startId; id++) {
      this.#map[id] = id;
      const kind = this.#table.kind(id);
      if (kind !== BTF_KIND_VAR && kind !== BTF_KIND_DATASEC)
        this.#candidates.add(signature(this.#table, id), id);
    }
  }

  primitives(): void {
    this.#eachOwn((id, kind) => {
      if (kind === BTF_KIND_INT || kind === BTF_KIND_FLOAT || kind === BTF_KIND_FWD) this.#byRecord(id);
      else if (kind === BTF_KIND_ENUM || kind === BTF_KIND_ENUM64) this.#enum(id);
    });
  }

  #byRecord(id: number): void {
    const hash = signature(this.#table, id);
    let found = this.#candidates.first(hash);
    while (found !== 0 && !recordsEqual(this.#table, id, found)) found = this.#candidates.after(found);
    this.#settle(id, found, hash);
  }

  #enum(id: number): void {
    const hash = signature(this.#table, id);
    const forward = isEnumForward(this.#table, id);
    let found = this.#candidates.first(hash);
    for (; found !== 0; found = this.#candidates.after(found)) {
      if (recordsEqual(this.#table, id, found)) break;
      if (!enumsCompatible(this.#table, id, found)) continue;
      if (forward) break;
      // The candidate is a forward declaration of this one.
      this.#map[found] = id;
    }
    this.#settle(id, found, hash);
  }

  #settle(id: number, found: number, hash: number): void {
    this.#map[id] = found === 0 ? id : found;
    if (found === 0) this.#candidates.add(hash, id);
  }

  composites(): void {
    this.#eachOwn((id, kind) => {
      if (!isCompositeKind(kind) || this.#map[id]! >= 0) return;
      const hash = signature(this.#table, id);
      let found = this.#candidates.first(hash);
      for (; found !== 0; found = this.#candidates.after(found)) {
        if (!compositesAlike(this.#table, id, found) || !this.#equivalence.check(id, found)) continue;
        this.#equivalence.commit();
        if (!this.#equivalence.needsBaseChange) break;
      }
      this.#settle(id, found, hash);
    });
  }

  /** A forward declaration that no graph resolved means the one struct or union of its name, where there is one. */
  forwards(): void {
    const { words, records } = this.#table;
    const byName = new Map<number, number>();
    for (let id = 1; id < this.#table.count; id++) {
      if (!isCompositeKind(this.#table.kind(id)) || this.#map[id] !== id) continue;
      const name = words[records[id]!]!;
      byName.set(name, byName.has(name) ? 0 : id);
    }
    this.#eachOwn((id, kind) => {
      if (kind !== BTF_KIND_FWD || this.#map[id] !== id) return;
      const found = byName.get(words[records[id]!]!) ?? 0;
      if (found === 0) return;
      const union = words[records[id]! + 1]! >>> 31 === 1;
      if (union === (this.#table.kind(found) !== BTF_KIND_STRUCT)) this.#map[id] = found;
    });
  }

  references(): void {
    this.#eachOwn((id) => this.#reference(id));
  }

  /** A type after all that it refers to; structs are settled, so only chains of references are followed. */
  #reference(root: number): void {
    if (this.#map[root]! >= 0) return;
    const { words, records } = this.#table;
    const path: { id: number; refs: number[]; next: number }[] = [];
    const enter = (id: number): void => {
      this.#map[id] = IN_PROGRESS;
      const refs: number[] = [];
      forEachTypeWord(words, records[id]!, (index) => refs.push(index));
      path.push({ id, refs, next: 0 });
    };
    enter(root);
    while (path.length > 0) {
      const top = path[path.length - 1]!;
      const index = top.refs[top.next];
      if (index === undefined) {
        this.#byRecord(top.id);
        path.pop();
        continue;
      }
      const state = this.#map[words[index]!]!;
      if (state === IN_PROGRESS)
        throw new BtfError("refers to itself with no struct or union in between", { typeId: words[index]! });
      if (state === UNPROCESSED) {
        enter(words[index]!);
        continue;
      }
      words[index] = this.#equivalence.resolve(words[index]!);
      top.next++;
    }
  }

  compact(btf: Btf): DedupResult {
    const { words, records, startId, count } = this.#table;
    const fresh = new Int32Array(count).fill(-1);
    for (let id = 0; id < startId; id++) fresh[id] = id;
    let next = startId;
    let size = 0;
    this.#eachOwn((id) => {
      if (this.#map[id] !== id) return;
      fresh[id] = next++;
      size += this.#table.length(id);
    });
    const ids = new Uint32Array(count);
    for (let id = 0; id < count; id++) {
      const to = fresh[this.#equivalence.resolve(id)]!;
      if (to < 0) throw new InternalError(`BTF type ${id} was deduplicated to a type that is gone`);
      ids[id] = to;
    }
    const out = new Uint32Array(size);
    let at = 0;
    this.#eachOwn((id) => {
      if (this.#map[id] !== id) return;
      const from = records[id]!;
      const length = this.#table.length(id);
      out.set(words.subarray(from, from + length), at);
      forEachTypeWord(out, at, (index) => {
        out[index] = ids[out[index]!]!;
      });
      at += length;
    });
    const bytes = encodeBtf(out, this.#table.strings, btf.littleEndian);
    return {
      btf: new Btf(bytes, btf.base === undefined ? { name: btf.name } : { name: btf.name, base: btf.base }),
      ids,
    };
  }
}
