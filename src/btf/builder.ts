/**
 * Writes BTF: types one by one (from the decoded form that `Btf.type` gives), whole BTFs behind each other, and the
 * bytes in either byte order. Ids are given in order, so that a caller may refer to a type before it is there (`nextId`).
 */
import { BtfError } from "../diag/index.ts";
import { isLittleEndianHost } from "../util/index.ts";
import { Btf } from "./btf.ts";
import {
  BTF_KIND_ARRAY,
  BTF_KIND_DATASEC,
  BTF_KIND_DECL_TAG,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_STRUCT,
  BTF_KIND_UNION,
  BTF_KIND_UNKN,
  BTF_KIND_VAR,
  BTF_MAGIC,
  BTF_VERSION,
} from "./constants.ts";
import { forEachStringWord, forEachTypeWord, infoWord, recordLength } from "./records.ts";
import { StringTable } from "./string-table.ts";
import type { BtfType } from "./types.ts";

const HEADER_SIZE = 24;
const MAX_VLEN = 0xffff;
const MAX_MEMBER_OFFSET = 0xffffff;

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** A type to be added: what `Btf.type` returns, without its id. */
export type NewBtfType = DistributiveOmit<BtfType, "id">;

export class BtfBuilder {
  readonly base: Btf | undefined;
  readonly startId: number;
  readonly #strings: StringTable;
  #words: Uint32Array = new Uint32Array(1024);
  #size = 0;
  /** Where each type's record starts in `#words`. */
  readonly #records: number[] = [];
  /** Offsets of names by source: 0 where not yet copied. */
  readonly #copied = new WeakMap<Btf, Map<number, number>>();

  constructor(base?: Btf) {
    this.base = base;
    this.startId = base === undefined ? 1 : base.typeCount;
    this.#strings = new StringTable(base === undefined ? 0 : base.stringsStart + base.stringsSize);
  }

  /** The id that the next added type gets. */
  get nextId(): number {
    return this.startId + this.#records.length;
  }

  /** Offset of the string, added where it is new. */
  addString(text: string): number {
    return this.#strings.add(text);
  }

  /** Like `addString`, for a string of another BTF; keeps bytes that are no UTF-8. */
  copyString(source: Btf, offset: number): number {
    return this.#copyString(source, offset, this.#stringsOf(source));
  }

  /** Adds one type and returns its id. Ids that it refers to are stored as they are. */
  add(type: NewBtfType): number {
    const name = this.addString(type.name);
    switch (type.kind) {
      case BTF_KIND_UNKN:
        throw new BtfError("void is no type record", { typeId: 0 });
      case BTF_KIND_INT:
        return this.#push(name, type.kind, 0, false, type.size, [
          (((type.encoding & 15) << 24) | ((type.bitOffset & 255) << 16) | (type.bits & 255)) >>> 0,
        ]);
      case BTF_KIND_ARRAY:
        return this.#push(name, type.kind, 0, false, 0, [type.type, type.indexType, type.nelems]);
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION: {
        const bitfields = type.members.some((member) => member.bitSize > 0);
        const rest = type.members.flatMap((member) => {
          if (bitfields && member.bitOffset > MAX_MEMBER_OFFSET)
            throw new BtfError(`member '${member.name}' at bit ${member.bitOffset} beside bit fields`, {
              typeId: this.nextId,
            });
          const offset = bitfields ? ((member.bitSize << 24) | member.bitOffset) >>> 0 : member.bitOffset;
          return [this.addString(member.name), member.type, offset];
        });
        return this.#push(name, type.kind, type.members.length, bitfields, type.size, rest);
      }
      case BTF_KIND_ENUM: {
        const rest = type.values.flatMap(({ name: label, value }) => [
          this.addString(label),
          Number(value) >>> 0,
        ]);
        return this.#push(name, type.kind, type.values.length, type.signed, type.size, rest);
      }
      case BTF_KIND_ENUM64: {
        const rest = type.values.flatMap(({ name: label, value }) => {
          const bits = BigInt.asUintN(64, BigInt(value));
          return [this.addString(label), Number(bits & 0xffffffffn), Number(bits >> 32n)];
        });
        return this.#push(name, type.kind, type.values.length, type.signed, type.size, rest);
      }
      case BTF_KIND_FWD:
        return this.#push(name, type.kind, 0, type.union, 0, []);
      case BTF_KIND_FUNC:
        return this.#push(name, type.kind, type.linkage, false, type.type, []);
      case BTF_KIND_FUNC_PROTO: {
        const rest = type.params.flatMap((param) => [this.addString(param.name), param.type]);
        return this.#push(name, type.kind, type.params.length, false, type.type, rest);
      }
      case BTF_KIND_VAR:
        return this.#push(name, type.kind, 0, false, type.type, [type.linkage]);
      case BTF_KIND_DATASEC: {
        const rest = type.vars.flatMap((entry) => [entry.type, entry.offset, entry.size]);
        return this.#push(name, type.kind, type.vars.length, false, type.size, rest);
      }
      case BTF_KIND_FLOAT:
        return this.#push(name, type.kind, 0, false, type.size, []);
      case BTF_KIND_DECL_TAG:
        return this.#push(name, type.kind, 0, false, type.type, [type.componentIndex >>> 0]);
      default:
        return this.#push(name, type.kind, 0, false, type.type, []);
    }
  }

  /**
   * Copies a record as it is, names included, and returns its id; `mapId` gives the new id of each type that it refers
   * to. `source` may be split: its base's types are copied like its own.
   */
  copy(source: Btf, id: number, mapId: (id: number) => number): number {
    let owner = source;
    while (owner.base !== undefined && id < owner.startId) owner = owner.base;
    const at = owner.recordWord(id);
    const from = owner.words;
    const length = recordLength(from[at + 1]!);
    const to = this.#grow(length);
    const words = this.#words;
    for (let i = 0; i < length; i++) words[to + i] = from[at + i]!;
    forEachTypeWord(words, to, (i) => {
      words[i] = mapId(words[i]!);
    });
    const copied = this.#stringsOf(source);
    forEachStringWord(words, to, (i) => {
      words[i] = this.#copyString(source, words[i]!, copied);
    });
    return this.nextId - 1;
  }

  /**
   * Adds every type of `source` (its own, not its base's) in order. Returns what was added to its ids: a type `id` has
   * become `id + delta`, void stays 0.
   */
  append(source: Btf): number {
    if (source.base !== undefined && source.base !== this.base)
      throw new BtfError("split BTF can only be appended to BTF on the same base", { offset: 0 });
    const delta = this.nextId - source.startId;
    const mapId = (id: number): number => (id < source.startId ? id : id + delta);
    for (let id = source.startId; id < source.typeCount; id++) this.copy(source, id, mapId);
    return delta;
  }

  /** Word `index` of a type's record (records.ts has the shapes). */
  word(id: number, index: number): number {
    return this.#words[this.#at(id, index)]!;
  }

  setWord(id: number, index: number, value: number): void {
    this.#words[this.#at(id, index)] = value;
  }

  #at(id: number, index: number): number {
    const at = this.#records[id - this.startId];
    if (at === undefined || index < 0 || index >= recordLength(this.#words[at + 1]!))
      throw new BtfError(`no word ${index} of such a type`, { typeId: id });
    return at + index;
  }

  /** The encoded form; little-endian unless asked otherwise. */
  toBytes(options: { readonly littleEndian?: boolean } = {}): Uint8Array {
    return encodeBtf(
      this.#words.subarray(0, this.#size),
      this.#strings.bytes,
      options.littleEndian ?? this.base?.littleEndian ?? true,
    );
  }

  /** The same, opened. */
  toBtf(name?: string): Btf {
    return new Btf(this.toBytes(), {
      ...(this.base === undefined ? {} : { base: this.base }),
      ...(name === undefined ? {} : { name }),
    });
  }

  #stringsOf(source: Btf): Map<number, number> {
    let map = this.#copied.get(source);
    if (map === undefined) this.#copied.set(source, (map = new Map()));
    return map;
  }

  #copyString(source: Btf, offset: number, copied: Map<number, number>): number {
    if (offset === 0) return 0;
    // A base that both share keeps its strings.
    if (this.base !== undefined && source.base === this.base && offset < source.stringsStart) return offset;
    let at = copied.get(offset);
    if (at === undefined) {
      const bytes = source.stringBytes(offset);
      copied.set(offset, (at = this.#strings.addBytes(bytes, 0, bytes.length)));
    }
    return at;
  }

  #push(
    name: number,
    kind: number,
    vlen: number,
    flag: boolean,
    word: number,
    rest: readonly number[],
  ): number {
    if (vlen > MAX_VLEN) throw new BtfError(`${vlen} members, at most ${MAX_VLEN}`, { typeId: this.nextId });
    const at = this.#grow(3 + rest.length);
    this.#words[at] = name;
    this.#words[at + 1] = infoWord(kind, vlen, flag);
    this.#words[at + 2] = word;
    for (let i = 0; i < rest.length; i++) this.#words[at + 3 + i] = rest[i]!;
    return this.nextId - 1;
  }

  /** Room for one record more. */
  #grow(length: number): number {
    const at = this.#size;
    this.#records.push(at);
    this.#size += length;
    if (this.#size > this.#words.length) {
      const grown = new Uint32Array(Math.max(this.#size, this.#words.length * 2));
      grown.set(this.#words);
      this.#words = grown;
    }
    return at;
  }
}

/** Header, records and strings as one blob. */
export function encodeBtf(words: Uint32Array, strings: Uint8Array, littleEndian: boolean): Uint8Array {
  const typesSize = words.length * 4;
  const out = new Uint8Array(HEADER_SIZE + typesSize + strings.length);
  const view = new DataView(out.buffer);
  view.setUint16(0, BTF_MAGIC, littleEndian);
  out[2] = BTF_VERSION;
  view.setUint32(4, HEADER_SIZE, littleEndian);
  view.setUint32(8, 0, littleEndian);
  view.setUint32(12, typesSize, littleEndian);
  view.setUint32(16, typesSize, littleEndian);
  view.setUint32(20, strings.length, littleEndian);
  if (littleEndian === isLittleEndianHost) new Uint32Array(out.buffer, HEADER_SIZE, words.length).set(words);
  else for (let i = 0; i < words.length; i++) view.setUint32(HEADER_SIZE + i * 4, words[i]!, littleEndian);
  out.set(strings, HEADER_SIZE + typesSize);
  return out;
}

/** The same BTF in the given byte order: types and strings keep their numbers. */
export function convertBtf(btf: Btf, littleEndian: boolean): Uint8Array {
  const strings = btf.bytes.subarray(btf.stringsOffset, btf.stringsOffset + btf.stringsSize);
  return encodeBtf(btf.words, strings, littleEndian);
}
