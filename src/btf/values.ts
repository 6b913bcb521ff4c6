/**
 * Values of BTF types between bytes and JavaScript.
 *
 *   int up to 4 bytes, bit field up to 32 bits   number       bool         boolean
 *   wider ones, pointers                         bigint       float        number (4 and 8 bytes; else bytes)
 *   enum                                         name of the enumerator, or a number or bigint without one
 *   char array                                   string, where it is UTF-8 and zero after its end; else array
 *   array                                        array        struct, union, DATASEC   object by member name
 *
 * Members of anonymous structs and unions stand among those of the enclosing one, as in C.
 */
import { BtfError } from "../diag/index.ts";
import type { Btf } from "./btf.ts";
import {
  BTF_INT_BOOL,
  BTF_INT_CHAR,
  BTF_INT_SIGNED,
  BTF_KIND_ARRAY,
  BTF_KIND_DATASEC,
  BTF_KIND_DECL_TAG,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_INT,
  BTF_KIND_NAMES,
  BTF_KIND_PTR,
  BTF_KIND_STRUCT,
  BTF_KIND_UNION,
  BTF_KIND_VAR,
} from "./constants.ts";
import type { BtfMember, BtfType } from "./types.ts";

export type BtfValue =
  | number
  | bigint
  | boolean
  | string
  | Uint8Array
  | readonly BtfValue[]
  | { readonly [member: string]: BtfValue };

export interface FormatOptions {
  /** false: char arrays stay arrays of numbers. */
  readonly strings?: boolean;
  /** false: enums stay numbers. */
  readonly enumNames?: boolean;
}

/** Nested types deeper than this are damage. */
const MAX_DEPTH = 64;
/** Values that one call makes, and for each byte: unions of unions would grow beyond any bound. */
const MAX_NODES = 100_000;
const MAX_NODES_PER_BYTE = 16;

const decoder = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

/** The value that `bytes` hold as type `typeId`. Throws BtfError for short bytes and for types without values. */
export function formatValue(
  btf: Btf,
  typeId: number,
  bytes: Uint8Array,
  options: FormatOptions = {},
): BtfValue {
  return new Formatter(btf, bytes, options).value(typeId, 0, 0);
}

/** The bytes of `value` as type `typeId`, the reverse of formatValue. Members left out are zero. */
export function parseValue(btf: Btf, typeId: number, value: BtfValue): Uint8Array {
  const size = btf.resolveSize(typeId);
  if (size > MAX_VALUE_SIZE) throw new BtfError(`value of ${size} bytes is too large`, { typeId });
  const out = new Uint8Array(size);
  new Parser(btf, out).value(typeId, 0, value, 0, "value");
  return out;
}

/** Nothing is allocated for what only a type claims. */
const MAX_VALUE_SIZE = 1 << 28;

/** The type behind typedefs, qualifiers, VARs and declaration tags. */
function concrete(btf: Btf, typeId: number): BtfType {
  let id = btf.skipModifiers(typeId);
  for (let i = 0; i < MAX_DEPTH; i++) {
    const kind = btf.kind(id);
    if (kind !== BTF_KIND_VAR && kind !== BTF_KIND_DECL_TAG) return btf.type(id);
    id = btf.skipModifiers(btf.sizeOrType(id));
  }
  throw new BtfError("types form a cycle", { typeId });
}

function isChar(type: BtfType): boolean {
  return (
    type.kind === BTF_KIND_INT &&
    type.size === 1 &&
    ((type.encoding & BTF_INT_CHAR) !== 0 || type.name === "char")
  );
}

function isAnonymous(member: BtfMember, type: BtfType): boolean {
  return member.name === "" && (type.kind === BTF_KIND_STRUCT || type.kind === BTF_KIND_UNION);
}

/** Bits of a field inside bytes: `shift` from the least significant bit of the bytes read as one number. */
function bitRange(
  bitOffset: number,
  bits: number,
  littleEndian: boolean,
): { from: number; to: number; shift: number } {
  const from = bitOffset >>> 3;
  const to = (bitOffset + bits + 7) >>> 3;
  const shift = littleEndian ? bitOffset & 7 : to * 8 - bitOffset - bits;
  return { from, to, shift };
}

class Formatter {
  readonly #btf: Btf;
  readonly #bytes: Uint8Array;
  readonly #options: FormatOptions;
  readonly #view: DataView;
  readonly #types = new Map<number, BtfType>();
  readonly #maxNodes: number;
  #nodes = 0;

  constructor(btf: Btf, bytes: Uint8Array, options: FormatOptions) {
    this.#btf = btf;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#options = options;
    this.#maxNodes = MAX_NODES + bytes.length * MAX_NODES_PER_BYTE;
  }

  #count(typeId: number): void {
    if (++this.#nodes > this.#maxNodes) throw new BtfError(`more than ${this.#maxNodes} values`, { typeId });
  }

  #concrete(typeId: number): BtfType {
    let type = this.#types.get(typeId);
    if (type === undefined) {
      type = concrete(this.#btf, typeId);
      this.#types.set(typeId, type);
    }
    return type;
  }

  value(typeId: number, offset: number, depth: number): BtfValue {
    if (depth > MAX_DEPTH) throw new BtfError(`values nest deeper than ${MAX_DEPTH}`, { typeId });
    this.#count(typeId);
    const type = this.#concrete(typeId);
    switch (type.kind) {
      case BTF_KIND_INT:
        if (type.bits !== type.size * 8 && type.bits > 0)
          return this.#integer(type, this.#read(offset * 8 + type.bitOffset, type.bits, typeId), type.bits);
        if (type.size <= 4 && (type.encoding & BTF_INT_BOOL) === 0) return this.#small(type, offset);
        return this.#integer(type, this.#read(offset * 8, type.size * 8, typeId), type.size * 8);
      case BTF_KIND_PTR:
        return this.#read(offset * 8, 64, typeId);
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64:
        return this.#enumerator(type, this.#read(offset * 8, type.size * 8, typeId), type.size * 8);
      case BTF_KIND_FLOAT:
        return this.#float(type.size, offset, typeId);
      case BTF_KIND_ARRAY:
        return this.#array(type, offset, depth);
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION: {
        const out: Record<string, BtfValue> = {};
        this.#members(type, offset, depth, out);
        return out;
      }
      case BTF_KIND_DATASEC: {
        const out: Record<string, BtfValue> = {};
        for (const v of type.vars)
          setMember(out, this.#btf.typeName(v.type), this.value(v.type, offset + v.offset, depth + 1));
        return out;
      }
      default:
        throw new BtfError(`${type.kind === 0 ? "void" : BTF_KIND_NAMES[type.kind]} has no values`, {
          typeId,
        });
    }
  }

  #members(
    type: Extract<BtfType, { members: readonly BtfMember[] }>,
    offset: number,
    depth: number,
    out: Record<string, BtfValue>,
  ): void {
    if (depth > MAX_DEPTH) throw new BtfError(`values nest deeper than ${MAX_DEPTH}`, { typeId: type.id });
    for (const member of type.members) {
      const inner = concrete(this.#btf, member.type);
      if (isAnonymous(member, inner)) {
        if (++this.#nodes > MAX_NODES)
          throw new BtfError(`more than ${MAX_NODES} values`, { typeId: type.id });
        this.#members(
          inner as Extract<BtfType, { members: readonly BtfMember[] }>,
          offset + (member.bitOffset >>> 3),
          depth + 1,
          out,
        );
        continue;
      }
      // Padding between bit fields has no name.
      if (member.name === "") continue;
      let value: BtfValue;
      if (member.bitSize === 0) value = this.value(member.type, offset + (member.bitOffset >>> 3), depth + 1);
      else {
        const raw = this.#read(offset * 8 + member.bitOffset, member.bitSize, member.type);
        if (inner.kind === BTF_KIND_INT) value = this.#integer(inner, raw, member.bitSize);
        else if (inner.kind === BTF_KIND_ENUM || inner.kind === BTF_KIND_ENUM64)
          value = this.#enumerator(inner, raw, member.bitSize);
        else
          throw new BtfError(`bit field '${member.name}' is a ${BTF_KIND_NAMES[inner.kind]}`, {
            typeId: type.id,
          });
      }
      setMember(out, member.name, value);
    }
  }

  #array(type: Extract<BtfType, { nelems: number }>, offset: number, depth: number): BtfValue {
    const size = this.#btf.resolveSize(type.type);
    // Elements without bytes: however many there are, they say nothing.
    if (size === 0 || type.nelems === 0) return [];
    this.#check(offset, size * type.nelems, type.id);
    if (this.#options.strings !== false && isChar(this.#concrete(type.type))) {
      const text = asText(this.#bytes.subarray(offset, offset + type.nelems));
      if (text !== undefined) return text;
    }
    const out: BtfValue[] = [];
    for (let i = 0; i < type.nelems; i++) out.push(this.value(type.type, offset + i * size, depth + 1));
    return out;
  }

  /** Whole integers of up to four bytes, without a bigint. */
  #small(type: Extract<BtfType, { encoding: number }>, offset: number): number {
    const { size } = type;
    this.#check(offset, size, type.id);
    const signed = (type.encoding & BTF_INT_SIGNED) !== 0;
    const little = this.#btf.littleEndian;
    if (size === 4)
      return signed ? this.#view.getInt32(offset, little) : this.#view.getUint32(offset, little);
    if (size === 2)
      return signed ? this.#view.getInt16(offset, little) : this.#view.getUint16(offset, little);
    if (size === 1) return signed ? this.#view.getInt8(offset) : this.#view.getUint8(offset);
    throw new BtfError(`integer of ${size} bytes`, { typeId: type.id });
  }

  #integer(type: Extract<BtfType, { encoding: number }>, raw: bigint, bits: number): BtfValue {
    if (type.encoding & BTF_INT_BOOL) return raw !== 0n;
    const value = type.encoding & BTF_INT_SIGNED ? BigInt.asIntN(bits, raw) : raw;
    return bits <= 32 ? Number(value) : value;
  }

  #enumerator(type: Extract<BtfType, { signed: boolean }>, raw: bigint, bits: number): BtfValue {
    const value = type.signed ? BigInt.asIntN(bits, raw) : raw;
    if (this.#options.enumNames !== false) {
      const found = type.values.find((v) => BigInt(v.value) === value);
      if (found !== undefined) return found.name;
    }
    return bits <= 32 ? Number(value) : value;
  }

  #float(size: number, offset: number, typeId: number): BtfValue {
    this.#check(offset, size, typeId);
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + offset, size);
    if (size === 4) return view.getFloat32(0, this.#btf.littleEndian);
    if (size === 8) return view.getFloat64(0, this.#btf.littleEndian);
    return Uint8Array.from(this.#bytes.subarray(offset, offset + size));
  }

  #check(offset: number, size: number, typeId: number): void {
    if (offset + size > this.#bytes.length)
      throw new BtfError(`want ${size} bytes at ${offset}, have ${this.#bytes.length} in all`, { typeId });
  }

  /** Unsigned. */
  #read(bitOffset: number, bits: number, typeId: number): bigint {
    if (bits > 128) throw new BtfError(`integer of ${bits} bits`, { typeId });
    const { from, to, shift } = bitRange(bitOffset, bits, this.#btf.littleEndian);
    this.#check(from, to - from, typeId);
    let value = 0n;
    for (let i = from; i < to; i++) {
      const byte = BigInt(this.#bytes[i]!);
      value = this.#btf.littleEndian ? value | (byte << BigInt((i - from) * 8)) : (value << 8n) | byte;
    }
    return BigInt.asUintN(bits, value >> BigInt(shift));
  }
}

/** The text of a char array, or undefined where text would lose something. */
function asText(bytes: Uint8Array): string | undefined {
  const end = bytes.indexOf(0);
  const text = end < 0 ? bytes : bytes.subarray(0, end);
  if (end >= 0 && bytes.subarray(end).some((b) => b !== 0)) return undefined;
  try {
    return decoder.decode(text);
  } catch {
    return undefined;
  }
}

/** `out[name] = value`, also for names that mean something to objects. */
function setMember(out: Record<string, BtfValue>, name: string, value: BtfValue): void {
  if (name === "__proto__")
    Object.defineProperty(out, name, { value, enumerable: true, writable: true, configurable: true });
  else out[name] = value;
}

class Parser {
  readonly #btf: Btf;
  readonly #out: Uint8Array;
  #nested = 0;

  constructor(btf: Btf, out: Uint8Array) {
    this.#btf = btf;
    this.#out = out;
  }

  value(typeId: number, offset: number, value: BtfValue, depth: number, path: string): void {
    if (depth > MAX_DEPTH) throw new BtfError(`values nest deeper than ${MAX_DEPTH}`, { typeId });
    const type = concrete(this.#btf, typeId);
    switch (type.kind) {
      case BTF_KIND_INT: {
        const bits = type.bits > 0 ? type.bits : type.size * 8;
        const signed = (type.encoding & BTF_INT_SIGNED) !== 0;
        const at = offset * 8 + (bits === type.size * 8 ? 0 : type.bitOffset);
        this.#write(at, bits, integer(value, path), signed, path);
        return;
      }
      case BTF_KIND_PTR:
        this.#write(offset * 8, 64, integer(value, path), false, path);
        return;
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64:
        this.#write(offset * 8, type.size * 8, enumValue(type, value, path), type.signed, path);
        return;
      case BTF_KIND_FLOAT:
        this.#float(type.size, offset, value, path);
        return;
      case BTF_KIND_ARRAY:
        this.#array(type, offset, value, depth, path);
        return;
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION:
      case BTF_KIND_DATASEC: {
        if (value instanceof Uint8Array) {
          this.#raw(this.#btf.resolveSize(type.id), offset, value, path);
          return;
        }
        if (typeof value !== "object" || Array.isArray(value))
          throw new BtfError(`${path}: want an object for ${type.name || "struct"}, got ${show(value)}`);
        const members = value as Readonly<Record<string, BtfValue>>;
        const known = new Set<string>();
        if (type.kind === BTF_KIND_DATASEC)
          for (const v of type.vars) {
            const name = this.#btf.typeName(v.type);
            known.add(name);
            if (Object.hasOwn(members, name))
              this.value(v.type, offset + v.offset, members[name]!, depth + 1, `${path}.${name}`);
          }
        else this.#members(type, offset, members, depth, path, known);
        for (const name of Object.keys(members))
          if (!known.has(name))
            throw new BtfError(`${path}: ${type.name || "struct"} has no member '${name}'`);
        return;
      }
      default:
        throw new BtfError(`${type.kind === 0 ? "void" : BTF_KIND_NAMES[type.kind]} has no values`, {
          typeId,
        });
    }
  }

  #members(
    type: Extract<BtfType, { members: readonly BtfMember[] }>,
    offset: number,
    values: Readonly<Record<string, BtfValue>>,
    depth: number,
    path: string,
    known: Set<string>,
  ): void {
    if (depth > MAX_DEPTH) throw new BtfError(`values nest deeper than ${MAX_DEPTH}`, { typeId: type.id });
    for (const member of type.members) {
      const inner = concrete(this.#btf, member.type);
      const at = offset * 8 + member.bitOffset;
      if (isAnonymous(member, inner)) {
        if (++this.#nested > MAX_NODES)
          throw new BtfError(`more than ${MAX_NODES} anonymous members`, { typeId: type.id });
        const nested = inner as Extract<BtfType, { members: readonly BtfMember[] }>;
        this.#members(nested, at >>> 3, values, depth + 1, path, known);
        continue;
      }
      if (member.name === "") continue;
      known.add(member.name);
      if (!Object.hasOwn(values, member.name)) continue;
      const value = values[member.name]!;
      const inside = `${path}.${member.name}`;
      if (member.bitSize === 0) this.value(member.type, at >>> 3, value, depth + 1, inside);
      else if (inner.kind === BTF_KIND_ENUM || inner.kind === BTF_KIND_ENUM64)
        this.#write(at, member.bitSize, enumValue(inner, value, inside), inner.signed, inside);
      else {
        const signed = inner.kind === BTF_KIND_INT && (inner.encoding & BTF_INT_SIGNED) !== 0;
        this.#write(at, member.bitSize, integer(value, inside), signed, inside);
      }
    }
  }

  #array(
    type: Extract<BtfType, { nelems: number }>,
    offset: number,
    value: BtfValue,
    depth: number,
    path: string,
  ): void {
    const size = this.#btf.resolveSize(type.type);
    if (typeof value === "string" && isChar(concrete(this.#btf, type.type))) {
      const bytes = encoder.encode(value);
      this.#raw(type.nelems, offset, bytes, path);
      return;
    }
    if (value instanceof Uint8Array) {
      this.#raw(size * type.nelems, offset, value, path);
      return;
    }
    if (!Array.isArray(value)) throw new BtfError(`${path}: want an array, got ${show(value)}`);
    if (value.length > type.nelems)
      throw new BtfError(`${path}: ${value.length} elements for an array of ${type.nelems}`);
    value.forEach((v: BtfValue, i) => {
      this.value(type.type, offset + i * size, v, depth + 1, `${path}[${i}]`);
    });
  }

  #float(size: number, offset: number, value: BtfValue, path: string): void {
    if (value instanceof Uint8Array) {
      this.#raw(size, offset, value, path);
      return;
    }
    if (typeof value !== "number" || (size !== 4 && size !== 8))
      throw new BtfError(`${path}: want a number for a float of ${size} bytes, got ${show(value)}`);
    this.#check(offset, size, path);
    const view = new DataView(this.#out.buffer, offset, size);
    if (size === 4) view.setFloat32(0, value, this.#btf.littleEndian);
    else view.setFloat64(0, value, this.#btf.littleEndian);
  }

  #raw(size: number, offset: number, bytes: Uint8Array, path: string): void {
    if (bytes.length > size) throw new BtfError(`${path}: ${bytes.length} bytes for ${size}`);
    this.#check(offset, bytes.length, path);
    this.#out.set(bytes, offset);
  }

  /** Members of a broken type may lie beyond it. */
  #check(offset: number, size: number, path: string): void {
    if (offset + size > this.#out.length)
      throw new BtfError(`${path}: ends beyond ${this.#out.length} bytes`);
  }

  #write(bitOffset: number, bits: number, value: bigint, signed: boolean, path: string): void {
    if (bits === 0 || bits > 128) throw new BtfError(`${path}: integer of ${bits} bits`);
    // What fits either way is taken: 0xffffffff for an int, -1 for an unsigned.
    if (BigInt.asIntN(bits, value) !== value && BigInt.asUintN(bits, value) !== value)
      throw new BtfError(`${path}: ${value} does not fit into ${bits} bits${signed ? ", signed" : ""}`);
    const { from, to, shift } = bitRange(bitOffset, bits, this.#btf.littleEndian);
    this.#check(from, to - from, path);
    const mask = ((1n << BigInt(bits)) - 1n) << BigInt(shift);
    const placed = BigInt.asUintN(bits, value) << BigInt(shift);
    for (let i = from; i < to; i++) {
      const at = BigInt((this.#btf.littleEndian ? i - from : to - 1 - i) * 8);
      const keep = this.#out[i]! & ~Number((mask >> at) & 0xffn);
      this.#out[i] = keep | Number((placed >> at) & 0xffn);
    }
  }
}

function integer(value: BtfValue, path: string): bigint {
  if (typeof value === "bigint") return value;
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (typeof value === "number" && Number.isInteger(value)) return BigInt(value);
  if (typeof value === "string" && /^-?(0x[0-9a-f]+|\d+)$/i.test(value))
    return value.startsWith("-") ? -BigInt(value.slice(1)) : BigInt(value);
  throw new BtfError(`${path}: want an integer, got ${show(value)}`);
}

function enumValue(type: Extract<BtfType, { signed: boolean }>, value: BtfValue, path: string): bigint {
  if (typeof value === "string") {
    const found = type.values.find((v) => v.name === value);
    if (found !== undefined) return BigInt(found.value);
  }
  return integer(value, path);
}

function show(value: BtfValue): string {
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : JSON.stringify(String(value));
}
