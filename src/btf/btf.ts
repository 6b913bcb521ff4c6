/**
 * Reads BPF Type Format (include/uapi/linux/btf.h, Documentation/bpf/btf.rst). Types stay in their bytes: opening
 * makes one pass that checks every record's bounds and remembers its offset; everything else is decoded when asked.
 *
 *   struct btf_header | type records (12 bytes and what the kind adds) | strings, NUL-terminated
 */
import { BtfError } from "../diag/index.ts";
import { isLittleEndianHost } from "../util/index.ts";
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
  BTF_KIND_MAX,
  BTF_KIND_NAMES,
  BTF_KIND_PTR,
  BTF_KIND_RESTRICT,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_KIND_UNKN,
  BTF_KIND_VAR,
  BTF_KIND_VOLATILE,
  BTF_MAGIC,
  BTF_VERSION,
} from "./constants.ts";
import { NameIndex } from "./name-index.ts";
import { EXTRA_EACH, EXTRA_FIXED } from "./records.ts";
import type { BtfEnumerator, BtfMember, BtfParam, BtfType, BtfVarSecinfo } from "./types.ts";

/** Longest chain of typedefs, modifiers and arrays that is followed (as libbpf). */
const MAX_RESOLVE_DEPTH = 32;
const HEADER_SIZE = 24;
/** What compilers call the type that is as wide as a pointer. */
const LONG_NAMES = ["long", "long int", "unsigned long", "long unsigned int", "unsigned long int"];

const decoder = new TextDecoder();

export interface BtfOptions {
  /** Split BTF (modules): ids and string offsets go on where the base's end. */
  readonly base?: Btf;
  readonly name?: string;
}

export class Btf {
  /** The whole blob, header included. */
  readonly bytes: Uint8Array;
  readonly littleEndian: boolean;
  readonly base: Btf | undefined;
  readonly name: string;
  /** Lowest id of its own: 1, or the base's `typeCount`. */
  readonly startId: number;
  /** One more than the highest id; id 0 is void. */
  readonly typeCount: number;
  /** Absolute offset of the strings in `bytes`, and their size. */
  readonly stringsOffset: number;
  readonly stringsSize: number;
  /** String offsets below this one belong to the base. */
  readonly stringsStart: number;
  /** The type records in the host's byte order. */
  readonly #words: Uint32Array;
  readonly #typesOffset: number;
  /** Where each type's record starts, in words. */
  readonly #records: Uint32Array;
  #names: NameIndex | undefined;
  #pointerSize: 4 | 8 | undefined;

  constructor(bytes: Uint8Array, options: BtfOptions = {}) {
    this.bytes = bytes;
    this.base = options.base;
    this.name = options.name ?? "";
    if (bytes.length < HEADER_SIZE)
      throw new BtfError(`${bytes.length} bytes are too short for a BTF header`, { offset: 0 });
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const magic = view.getUint16(0, true);
    if (magic !== BTF_MAGIC && magic !== 0x9feb)
      throw new BtfError(`not BTF: magic 0x${magic.toString(16)}`, { offset: 0 });
    this.littleEndian = magic === BTF_MAGIC;
    if (bytes[2] !== BTF_VERSION) throw new BtfError(`unknown BTF version ${bytes[2]}`, { offset: 2 });
    if (options.base !== undefined && options.base.littleEndian !== this.littleEndian)
      throw new BtfError("split BTF and its base differ in byte order", { offset: 0 });
    const field = (at: number): number => view.getUint32(at, this.littleEndian);
    const headerLength = field(4);
    if (headerLength < HEADER_SIZE || headerLength > bytes.length)
      throw new BtfError(`header of ${headerLength} bytes`, { offset: 4 });
    const typesOffset = headerLength + field(8);
    const typesSize = field(12);
    this.stringsOffset = headerLength + field(16);
    this.stringsSize = field(20);
    if (typesOffset % 4 !== 0) throw new BtfError(`types at ${typesOffset} are not aligned`, { offset: 8 });
    if (typesOffset + typesSize > bytes.length)
      throw new BtfError(`types (${typesSize} bytes) end beyond ${bytes.length} bytes`, { offset: 8 });
    if (this.stringsOffset + this.stringsSize > bytes.length)
      throw new BtfError(`strings (${this.stringsSize} bytes) end beyond ${bytes.length} bytes`, {
        offset: 16,
      });
    if (this.stringsSize > 0 && bytes[this.stringsOffset + this.stringsSize - 1] !== 0)
      throw new BtfError("the last string has no end", { offset: this.stringsOffset + this.stringsSize - 1 });
    if (this.base === undefined && (this.stringsSize === 0 || bytes[this.stringsOffset] !== 0))
      throw new BtfError("the first string is not empty", { offset: this.stringsOffset });
    this.startId = this.base === undefined ? 1 : this.base.typeCount;
    this.stringsStart = this.base === undefined ? 0 : this.base.stringsStart + this.base.stringsSize;
    this.#typesOffset = typesOffset;
    this.#words = wordsOf(bytes.subarray(typesOffset, typesOffset + typesSize), this.littleEndian);
    this.#records = this.#scan(typesSize);
    this.typeCount = this.startId + this.#records.length;
  }

  /** One pass over the records: where each starts, and that it lies inside. */
  #scan(size: number): Uint32Array {
    const words = this.#words;
    const end = words.length;
    const records = new Uint32Array(Math.floor(end / 3));
    let count = 0;
    const fail = (what: string, at: number): never => {
      throw new BtfError(what, { typeId: this.startId + count, offset: this.#typesOffset + at * 4 });
    };
    if (size % 4 !== 0) fail(`types of ${size} bytes`, end);
    for (let at = 0; at < end; count++) {
      if (at + 3 > end) fail("type is cut off", at);
      const info = words[at + 1]!;
      const kind = (info >>> 24) & 31;
      if (kind === BTF_KIND_UNKN || kind > BTF_KIND_MAX) fail(`unknown kind ${kind}`, at);
      records[count] = at;
      const next = at + 3 + EXTRA_FIXED[kind]! + EXTRA_EACH[kind]! * (info & 0xffff);
      if (next > end) fail(`${BTF_KIND_NAMES[kind]} ends beyond the types`, at);
      at = next;
    }
    return records.slice(0, count);
  }

  /** Absolute offset in `bytes` of a type's record; the type must be its own, not the base's. */
  recordOffset(id: number): number {
    return this.#typesOffset + this.#record(id) * 4;
  }

  /**
   * Its own type records as words of the host's byte order, without the base's: for code that copies or compares
   * records whole (records.ts). Not to be written.
   */
  get words(): Uint32Array {
    return this.#words;
  }

  /** Index in `words` where a type's record starts; the type must be its own, not the base's. */
  recordWord(id: number): number {
    return this.#record(id);
  }

  #record(id: number): number {
    const word = this.#records[id - this.startId];
    if (word === undefined)
      throw new BtfError(`no such type (ids end at ${this.typeCount - 1})`, { typeId: id });
    return word;
  }

  /** BTF_KIND_*; BTF_KIND_UNKN for void (id 0). */
  kind(id: number): number {
    if (id === 0) return BTF_KIND_UNKN;
    if (this.base !== undefined && id < this.startId) return this.base.kind(id);
    return (this.#words[this.#record(id) + 1]! >>> 24) & 31;
  }

  vlen(id: number): number {
    if (id === 0) return 0;
    if (this.base !== undefined && id < this.startId) return this.base.vlen(id);
    return this.#words[this.#record(id) + 1]! & 0xffff;
  }

  kindFlag(id: number): boolean {
    if (id === 0) return false;
    if (this.base !== undefined && id < this.startId) return this.base.kindFlag(id);
    return this.#words[this.#record(id) + 1]! >>> 31 === 1;
  }

  /** The third word of the record: a size, or the id of the type that this one refers to. */
  sizeOrType(id: number): number {
    if (id === 0) return 0;
    if (this.base !== undefined && id < this.startId) return this.base.sizeOrType(id);
    return this.#words[this.#record(id) + 2]!;
  }

  /** The element type of an ARRAY. */
  arrayElement(id: number): number {
    return this.#array(id).type;
  }

  nameOffset(id: number): number {
    if (id === 0) return 0;
    if (this.base !== undefined && id < this.startId) return this.base.nameOffset(id);
    return this.#words[this.#record(id)]!;
  }

  /** "" for an anonymous type. */
  typeName(id: number): string {
    return this.string(this.nameOffset(id));
  }

  string(offset: number): string {
    if (offset < this.stringsStart) return this.base!.string(offset);
    const at = offset - this.stringsStart;
    if (at >= this.stringsSize)
      throw new BtfError(`string ${offset} lies beyond ${this.stringsStart + this.stringsSize}`);
    const start = this.stringsOffset + at;
    const { bytes } = this;
    let text = "";
    for (let i = start; ; i++) {
      const byte = bytes[i]!;
      if (byte === 0) return text;
      if (byte >= 0x80 || i - start > 64) return decoder.decode(bytes.subarray(start, bytes.indexOf(0, i)));
      text += String.fromCharCode(byte);
    }
  }

  /** A string's bytes without its NUL: a view of `bytes` (the base's, where it lies there). */
  stringBytes(offset: number): Uint8Array {
    if (offset < this.stringsStart) return this.base!.stringBytes(offset);
    const at = offset - this.stringsStart;
    if (at >= this.stringsSize)
      throw new BtfError(`string ${offset} lies beyond ${this.stringsStart + this.stringsSize}`);
    const start = this.stringsOffset + at;
    return this.bytes.subarray(start, this.bytes.indexOf(0, start));
  }

  /** The lowest id with that name (and kind), the base's first; undefined: none. */
  findByName(name: string, kind?: number): number | undefined {
    return this.base?.findByName(name, kind) ?? this.findOwnByName(name, kind);
  }

  /** Like findByName, without the base. */
  findOwnByName(name: string, kind?: number): number | undefined {
    if (name === "") return undefined;
    const index = this.#nameIndex().find(
      name,
      (i) => kind === undefined || ((this.#words[this.#records[i]! + 1]! >>> 24) & 31) === kind,
    );
    return index < 0 ? undefined : this.startId + index;
  }

  /** Every id with that name, rising. */
  idsByName(name: string): number[] {
    const out = this.base?.idsByName(name) ?? [];
    if (name !== "")
      this.#nameIndex().find(name, (i) => {
        out.push(this.startId + i);
        return false;
      });
    return out;
  }

  #nameIndex(): NameIndex {
    if (this.#names === undefined) {
      const strings = this.bytes.subarray(this.stringsOffset, this.stringsOffset + this.stringsSize);
      const words = this.#words;
      const records = this.#records;
      // Names that lie in the base's strings (possible, though deduplication avoids it) or nowhere: not indexed.
      this.#names = new NameIndex(records.length, strings, (index) => {
        const offset = words[records[index]!]!;
        const at = offset - this.stringsStart;
        return offset !== 0 && at >= 0 && at < strings.length ? at : -1;
      });
    }
    return this.#names;
  }

  /** Decodes one type; throws BtfError for an id or a name out of range. */
  type(id: number): BtfType {
    if (id === 0) return { id, kind: BTF_KIND_UNKN, name: "void" };
    if (this.base !== undefined && id < this.startId) return this.base.type(id);
    const words = this.#words;
    const at = this.#record(id);
    const info = words[at + 1]!;
    const kind = (info >>> 24) & 31;
    const vlen = info & 0xffff;
    const name = this.string(words[at]!);
    const word = words[at + 2]!;
    const rest = at + 3;
    switch (kind) {
      case BTF_KIND_INT: {
        const v = words[rest]!;
        return {
          id,
          kind,
          name,
          size: word,
          encoding: (v >>> 24) & 15,
          bitOffset: (v >>> 16) & 255,
          bits: v & 255,
        };
      }
      case BTF_KIND_PTR:
      case BTF_KIND_TYPEDEF:
      case BTF_KIND_VOLATILE:
      case BTF_KIND_CONST:
      case BTF_KIND_RESTRICT:
      case BTF_KIND_TYPE_TAG:
        return { id, kind, name, type: word };
      case BTF_KIND_ARRAY:
        return {
          id,
          kind,
          name,
          type: words[rest]!,
          indexType: words[rest + 1]!,
          nelems: words[rest + 2]!,
        };
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION: {
        const members: BtfMember[] = [];
        for (let i = 0, m = rest; i < vlen; i++, m += 3) {
          const offset = words[m + 2]!;
          members.push({
            name: this.string(words[m]!),
            type: words[m + 1]!,
            bitOffset: info >>> 31 ? offset & 0xffffff : offset,
            bitSize: info >>> 31 ? offset >>> 24 : 0,
          });
        }
        return { id, kind, name, size: word, members };
      }
      case BTF_KIND_ENUM: {
        const signed = info >>> 31 === 1;
        const values: BtfEnumerator[] = [];
        for (let i = 0, e = rest; i < vlen; i++, e += 2) {
          const value = words[e + 1]!;
          values.push({ name: this.string(words[e]!), value: signed ? value | 0 : value });
        }
        return { id, kind, name, size: word, signed, values };
      }
      case BTF_KIND_ENUM64: {
        const signed = info >>> 31 === 1;
        const values: BtfEnumerator[] = [];
        for (let i = 0, e = rest; i < vlen; i++, e += 3) {
          const value = (BigInt(words[e + 2]!) << 32n) | BigInt(words[e + 1]!);
          values.push({ name: this.string(words[e]!), value: signed ? BigInt.asIntN(64, value) : value });
        }
        return { id, kind, name, size: word, signed, values };
      }
      case BTF_KIND_FWD:
        return { id, kind, name, union: info >>> 31 === 1 };
      case BTF_KIND_FUNC:
        return { id, kind, name, type: word, linkage: vlen };
      case BTF_KIND_FUNC_PROTO: {
        const params: BtfParam[] = [];
        for (let i = 0, p = rest; i < vlen; i++, p += 2)
          params.push({ name: this.string(words[p]!), type: words[p + 1]! });
        return { id, kind, name, type: word, params };
      }
      case BTF_KIND_VAR:
        return { id, kind, name, type: word, linkage: words[rest]! };
      case BTF_KIND_DATASEC: {
        const vars: BtfVarSecinfo[] = [];
        for (let i = 0, v = rest; i < vlen; i++, v += 3)
          vars.push({ type: words[v]!, offset: words[v + 1]!, size: words[v + 2]! });
        return { id, kind, name, size: word, vars };
      }
      case BTF_KIND_FLOAT:
        return { id, kind, name, size: word };
      default:
        return { id, kind: BTF_KIND_DECL_TAG, name, type: word, componentIndex: words[rest]! | 0 };
    }
  }

  /** Follows const, volatile, restrict, type tags and typedefs. A chain that does not end is a BtfError. */
  skipModifiers(id: number): number {
    return this.#skip(id, true);
  }

  /** Follows const, volatile, restrict and type tags, and stops at a typedef. */
  skipQualifiers(id: number): number {
    return this.#skip(id, false);
  }

  #skip(id: number, typedefs: boolean): number {
    let at = id;
    for (let depth = 0; depth < this.typeCount; depth++) {
      const kind = this.kind(at);
      if (!isModifier(kind) && !(typedefs && kind === BTF_KIND_TYPEDEF)) return at;
      at = this.sizeOrType(at);
    }
    throw new BtfError("modifiers form a cycle", { typeId: id });
  }

  /** Bytes of a pointer: those of `long`, 8 where there is none. */
  get pointerSize(): 4 | 8 {
    if (this.base !== undefined) return this.base.pointerSize;
    if (this.#pointerSize === undefined) {
      const sizes = LONG_NAMES.map((name) => this.findByName(name, BTF_KIND_INT)).filter(
        (id) => id !== undefined,
      );
      const first = sizes.map((id) => this.sizeOrType(id)).find((size) => size === 4 || size === 8);
      this.#pointerSize = first === 4 ? 4 : 8;
    }
    return this.#pointerSize;
  }

  /** Size in bytes of a value of that type (sizeof). Throws BtfError where there is none (void, functions, cycles). */
  resolveSize(id: number): number {
    let at = id;
    let count = 1;
    for (let depth = 0; depth < MAX_RESOLVE_DEPTH; depth++) {
      const kind = this.kind(at);
      let size: number;
      switch (kind) {
        case BTF_KIND_INT:
        case BTF_KIND_STRUCT:
        case BTF_KIND_UNION:
        case BTF_KIND_ENUM:
        case BTF_KIND_ENUM64:
        case BTF_KIND_DATASEC:
        case BTF_KIND_FLOAT:
          size = this.sizeOrType(at);
          break;
        case BTF_KIND_PTR:
          size = this.pointerSize;
          break;
        case BTF_KIND_ARRAY: {
          const array = this.#array(at);
          count *= array.nelems;
          if (count > 0xffffffff) throw new BtfError("array is larger than 4 GiB", { typeId: id });
          at = array.type;
          continue;
        }
        case BTF_KIND_TYPEDEF:
        case BTF_KIND_VOLATILE:
        case BTF_KIND_CONST:
        case BTF_KIND_RESTRICT:
        case BTF_KIND_VAR:
        case BTF_KIND_DECL_TAG:
        case BTF_KIND_TYPE_TAG:
          at = this.sizeOrType(at);
          continue;
        default:
          throw new BtfError(`${kind === 0 ? "void" : BTF_KIND_NAMES[kind]} has no size`, { typeId: id });
      }
      if (size * count > 0xffffffff) throw new BtfError("type is larger than 4 GiB", { typeId: id });
      return size * count;
    }
    throw new BtfError(`more than ${MAX_RESOLVE_DEPTH} types deep, or a cycle`, { typeId: id });
  }

  /** Alignment in bytes, as clang lays it out (packed structs: 1). */
  alignOf(id: number): number {
    return this.#align(id, 0);
  }

  #align(id: number, depth: number): number {
    if (depth > MAX_RESOLVE_DEPTH) throw new BtfError("types form a cycle", { typeId: id });
    const type = this.type(this.skipModifiers(id));
    switch (type.kind) {
      case BTF_KIND_INT:
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64:
      case BTF_KIND_FLOAT:
        return Math.min(this.pointerSize, type.size);
      case BTF_KIND_PTR:
        return this.pointerSize;
      case BTF_KIND_ARRAY:
        return this.#align(type.type, depth + 1);
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION: {
        let max = 1;
        for (const member of type.members) {
          const align = this.#align(member.type, depth + 1);
          max = Math.max(max, align);
          if (member.bitSize === 0 && member.bitOffset % (8 * align) !== 0) return 1;
        }
        return type.size % max === 0 ? max : 1;
      }
      default:
        throw new BtfError(`${BTF_KIND_NAMES[type.kind]} has no alignment`, { typeId: id });
    }
  }

  #array(id: number): { type: number; nelems: number } {
    if (this.base !== undefined && id < this.startId) return this.base.#array(id);
    const at = this.#record(id) + 3;
    return { type: this.#words[at]!, nelems: this.#words[at + 2]! };
  }
}

/** The bytes as 32-bit words of the host's byte order, copied (records need not be aligned in `bytes`). */
function wordsOf(bytes: Uint8Array, littleEndian: boolean): Uint32Array {
  // Not bytes.slice(): that of a Node Buffer is no copy.
  const copy = new Uint8Array(bytes.length & ~3);
  copy.set(bytes.subarray(0, copy.length));
  const words = new Uint32Array(copy.buffer);
  if (littleEndian !== isLittleEndianHost) {
    const view = new DataView(copy.buffer);
    for (let i = 0; i < words.length; i++) words[i] = view.getUint32(i * 4, littleEndian);
  }
  return words;
}

/** const, volatile, restrict, type tag: kinds that change nothing about a value's bytes. */
function isModifier(kind: number): boolean {
  return (
    kind === BTF_KIND_VOLATILE ||
    kind === BTF_KIND_CONST ||
    kind === BTF_KIND_RESTRICT ||
    kind === BTF_KIND_TYPE_TAG
  );
}

/** Opens BTF (the contents of a .BTF section or of /sys/kernel/btf/*); throws BtfError where it is broken. */
export function parseBtf(bytes: Uint8Array, options: BtfOptions = {}): Btf {
  return new Btf(bytes, options);
}
