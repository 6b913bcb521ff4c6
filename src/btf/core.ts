/**
 * CO-RE: what a relocation record of an object means against a target kernel's types (libbpf's relo_core.c;
 * Documentation/bpf/llvm_reloc.rst describes the records).
 */
import { BtfError } from "../diag/index.ts";
import type { Btf } from "./btf.ts";
import type { CoreRelocation } from "./btf-ext.ts";
import { BTF_INT_SIGNED, BTF_KIND_ARRAY, BTF_KIND_INT, BTF_KIND_NAMES, BTF_KIND_PTR } from "./constants.ts";
import {
  essentialName,
  fieldsCompatible,
  isComposite,
  isEnum,
  kindsCompatible,
  typesCompatible,
  typesMatch,
} from "./core-types.ts";
import type { BtfMember, BtfType } from "./types.ts";

export const BPF_CORE_FIELD_BYTE_OFFSET = 0;
export const BPF_CORE_FIELD_BYTE_SIZE = 1;
export const BPF_CORE_FIELD_EXISTS = 2;
export const BPF_CORE_FIELD_SIGNED = 3;
export const BPF_CORE_FIELD_LSHIFT_U64 = 4;
export const BPF_CORE_FIELD_RSHIFT_U64 = 5;
export const BPF_CORE_TYPE_ID_LOCAL = 6;
export const BPF_CORE_TYPE_ID_TARGET = 7;
export const BPF_CORE_TYPE_EXISTS = 8;
export const BPF_CORE_TYPE_SIZE = 9;
export const BPF_CORE_ENUMVAL_EXISTS = 10;
export const BPF_CORE_ENUMVAL_VALUE = 11;
export const BPF_CORE_TYPE_MATCHES = 12;

/** By kind, as libbpf's messages call them. */
export const BPF_CORE_NAMES: readonly string[] = [
  "byte_off",
  "byte_sz",
  "field_exists",
  "signed",
  "lshift_u64",
  "rshift_u64",
  "local_type_id",
  "target_type_id",
  "type_exists",
  "type_size",
  "enumval_exists",
  "enumval_value",
  "type_matches",
];

const MAX_SPEC = 64;

/** How an instruction changes. */
export interface CoreValue {
  /** The target has no such thing: the instruction must never run. */
  readonly poison: boolean;
  /** What the instruction holds as compiled; checked where `validate` is set. */
  readonly original: bigint;
  readonly validate: boolean;
  readonly value: bigint;
  /** Bytes of the field that a load or store accesses; equal, or the access changes its size. */
  readonly originalSize: number;
  readonly size: number;
  /** Sizes differ, and the value would come out wrong. */
  readonly badSize: boolean;
}

interface Accessor {
  readonly typeId: number;
  readonly index: number;
  /** undefined: an array element. */
  readonly name: string | undefined;
}

/** A path into a type, resolved. */
interface Spec {
  readonly btf: Btf;
  readonly rootId: number;
  readonly kind: number;
  readonly accessors: Accessor[];
  /** Every index on the way, those of anonymous members too. */
  readonly raw: number[];
  bitOffset: number;
}

function isTypeBased(kind: number): boolean {
  return (kind >= BPF_CORE_TYPE_ID_LOCAL && kind <= BPF_CORE_TYPE_SIZE) || kind === BPF_CORE_TYPE_MATCHES;
}

function isEnumBased(kind: number): boolean {
  return kind === BPF_CORE_ENUMVAL_EXISTS || kind === BPF_CORE_ENUMVAL_VALUE;
}

type Composite = Extract<BtfType, { members: unknown }>;

/** Structs that accesses went through: the kernel's are long, and the same few are asked for again and again. */
const COMPOSITES = new WeakMap<Btf, Map<number, Composite>>();

function composite(btf: Btf, id: number): Composite {
  let known = COMPOSITES.get(btf);
  if (known === undefined) COMPOSITES.set(btf, (known = new Map()));
  const decoded = known.get(id);
  if (decoded !== undefined) return decoded;
  const type = btf.type(id);
  if (!("members" in type)) throw new BtfError("not a struct or union", { typeId: id });
  known.set(id, type);
  return type;
}

/** A type of the target that has the name which a record asks for. */
export interface CoreType {
  readonly btf: Btf;
  readonly id: number;
}

/** A place in the target: a type, and for fields the indices of members and elements from it on, the first one's 0. */
export interface CoreTarget extends CoreType {
  readonly path: readonly number[];
}

/** By local type: the candidates that fitted so far. */
export type CoreChoice = Map<number, readonly CoreType[]>;

/** Why one candidate does not do. */
export interface CoreCandidate {
  /** `[123] struct task_struct`, with the module's name where it is one's. */
  readonly type: string;
  /** undefined: it fits. */
  readonly reason: string | undefined;
}

/** What a record asks for and what the target offers, in words. */
export interface CoreExplanation {
  /** `struct task_struct.mm.pgd (0:1:2)`. */
  readonly access: string;
  readonly candidates: readonly CoreCandidate[];
}

/** Resolves records against one target and its modules; keeps what it learned about candidates. */
export class CoreResolver {
  readonly #local: Btf;
  readonly #target: Btf;
  readonly #modules: readonly Btf[];
  readonly #candidates = new Map<number, CoreType[]>();

  /** `modules`: split BTF over `target`, asked where `target` has no type of a name. */
  constructor(local: Btf, target: Btf, modules: readonly Btf[] = []) {
    this.#local = local;
    this.#target = target;
    this.#modules = modules;
  }

  /**
   * Throws BtfError for broken records, and where candidates disagree. `chosen` goes from record to record of a
   * function: a type that did not fit one of them is no candidate for the others.
   */
  resolve(relocation: CoreRelocation, chosen: CoreChoice = new Map()): CoreValue {
    return this.#resolve(relocation, chosen).value;
  }

  /** Where in the target a record leads to; undefined: nowhere, or it asks for no type of the target. Throws likewise. */
  locate(relocation: CoreRelocation, chosen: CoreChoice = new Map()): CoreTarget | undefined {
    return this.#resolve(relocation, chosen).target;
  }

  #resolve(
    relocation: CoreRelocation,
    chosen: CoreChoice,
  ): { readonly value: CoreValue; readonly target: CoreTarget | undefined } {
    const local = this.#local;
    if (relocation.kind > BPF_CORE_TYPE_MATCHES)
      throw new BtfError(`unknown CO-RE relocation kind ${relocation.kind}`, { typeId: relocation.typeId });
    const spec = parseSpec(local, relocation);
    if (relocation.kind === BPF_CORE_TYPE_ID_LOCAL) {
      const id = BigInt(spec.rootId);
      const value = { ...UNSIZED, poison: false, original: id, validate: false, value: id };
      return { value, target: undefined };
    }
    if (local.typeName(relocation.typeId) === "")
      throw new BtfError(`<${BPF_CORE_NAMES[relocation.kind]}> relocation doesn't support anonymous types`, {
        typeId: relocation.typeId,
      });
    let best: { value: CoreValue; bitOffset: number; from: CoreType; raw: readonly number[] } | undefined;
    const fitting: CoreType[] = [];
    for (const from of chosen.get(relocation.typeId) ?? this.#candidatesOf(relocation.typeId)) {
      const found = matchSpec(spec, from.btf, from.id);
      if (found === undefined) continue;
      fitting.push(from);
      const value = calculate(spec, found);
      if (best === undefined) best = { value, bitOffset: found.bitOffset, from, raw: found.raw };
      else if (best.bitOffset !== found.bitOffset)
        throw new BtfError(
          `${accessText(spec, relocation)}: field offset ambiguity, bit ${best.bitOffset} in ${candidateText(best.from)}, bit ${found.bitOffset} in ${candidateText(from)}`,
          { typeId: from.id },
        );
      else if (best.value.poison !== value.poison || best.value.value !== value.value)
        throw new BtfError(
          `${accessText(spec, relocation)}: relocation decision ambiguity, ${best.value.value} from ${candidateText(best.from)}, ${value.value} from ${candidateText(from)}`,
          { typeId: from.id },
        );
    }
    if (fitting.length > 0) chosen.set(relocation.typeId, fitting);
    if (best === undefined) return { value: calculate(spec, undefined), target: undefined };
    return { value: best.value, target: { btf: best.from.btf, id: best.from.id, path: best.raw } };
  }

  /** Which access a record stands for, which types of the target were looked at, and why each does not do. */
  explain(relocation: CoreRelocation, chosen: CoreChoice = new Map()): CoreExplanation {
    const left = chosen.get(relocation.typeId);
    const spec = parseSpec(this.#local, relocation);
    const access = accessText(spec, relocation);
    if (relocation.kind === BPF_CORE_TYPE_ID_LOCAL) return { access, candidates: [] };
    const candidates = this.#candidatesOf(relocation.typeId).map((from): CoreCandidate => {
      let reason: string | undefined;
      const found = matchSpec(spec, from.btf, from.id, (text) => {
        reason ??= text;
      });
      if (found === undefined) reason ??= "does not match";
      else if (left?.includes(from) === false) reason = "did not fit another access of this function";
      return { type: candidateText(from), reason };
    });
    return { access, candidates };
  }

  /** Types of the target with the same name but for flavors, and a kind that may match; modules' where there are none. */
  #candidatesOf(localId: number): readonly CoreType[] {
    let found = this.#candidates.get(localId);
    if (found === undefined) {
      const name = essentialName(this.#local.typeName(localId));
      const kind = this.#local.kind(localId);
      found = this.#find(this.#target, name, kind);
      if (found.length === 0) found = this.#modules.flatMap((btf) => this.#find(btf, name, kind));
      this.#candidates.set(localId, found);
    }
    return found;
  }

  #find(btf: Btf, name: string, kind: number): CoreType[] {
    let flavors = FLAVORS.get(btf);
    if (flavors === undefined) FLAVORS.set(btf, (flavors = flavoredTypes(btf)));
    return [...new Set([...btf.idsByName(name), ...(flavors.get(name) ?? [])])]
      .filter((id) => id >= btf.startId && kindsCompatible(btf.kind(id), kind))
      .sort((a, b) => a - b)
      .map((id) => ({ btf, id }));
  }
}

function typeText(btf: Btf, id: number): string {
  const kind = (BTF_KIND_NAMES[btf.kind(id)] ?? "").toLowerCase();
  return `${kind} ${btf.typeName(id) || "(anonymous)"}`;
}

function candidateText({ btf, id }: CoreType): string {
  return `[${id}] ${typeText(btf, id)}${btf.name === "" ? "" : ` of ${btf.name}`}`;
}

/** `struct a.b[2].c (0:1:2:0)`. */
function accessText(spec: Spec, { access }: CoreRelocation): string {
  let text = typeText(spec.btf, spec.rootId);
  for (const [i, { name, index }] of spec.accessors.entries()) {
    if (isEnumBased(spec.kind)) text += `::${name}`;
    else if (name !== undefined) text += `.${name}`;
    else if (i > 0 || index > 0) text += `[${index}]`;
  }
  return isTypeBased(spec.kind) ? text : `${text} (${access})`;
}

/** A kernel's BTF is read once, whatever the number of objects that are relocated against it. */
const FLAVORS = new WeakMap<Btf, Map<string, number[]>>();

/** Types whose own name has a flavor, by essential name: few, found by their bytes without decoding the others. */
function flavoredTypes(btf: Btf): Map<string, number[]> {
  const out = new Map<string, number[]>();
  const strings = btf.bytes.subarray(btf.stringsOffset, btf.stringsOffset + btf.stringsSize);
  const starts = new Set<number>();
  for (let at = strings.indexOf(0x5f); at >= 0; at = strings.indexOf(0x5f, at + 1)) {
    if (strings[at + 1] !== 0x5f || strings[at + 2] !== 0x5f) continue;
    starts.add(strings.lastIndexOf(0, at) + 1 + btf.stringsStart);
    at = strings.indexOf(0, at);
    if (at < 0) break;
  }
  for (let id = btf.startId; starts.size > 0 && id < btf.typeCount; id++) {
    if (!starts.has(btf.nameOffset(id))) continue;
    const name = btf.typeName(id);
    const essential = essentialName(name);
    if (essential === name) continue;
    const ids = out.get(essential);
    if (ids === undefined) out.set(essential, [id]);
    else ids.push(id);
  }
  return out;
}

/** "0:1:2" against the object's own types. */
function parseSpec(btf: Btf, { typeId, access, kind }: CoreRelocation): Spec {
  const fail = (what: string): BtfError => new BtfError(`CO-RE access '${access}': ${what}`, { typeId });
  const spec: Spec = { btf, rootId: typeId, kind, accessors: [], raw: [], bitOffset: 0 };
  if (isTypeBased(kind)) {
    if (access !== "0") throw fail("want '0' for a type");
    return spec;
  }
  if (!/^\d+(:\d+)*$/.test(access)) throw fail("want numbers");
  const path = access.split(":").map(Number);
  if (path.length > MAX_SPEC) throw fail(`more than ${MAX_SPEC} steps`);
  spec.raw.push(...path);
  let id = btf.skipModifiers(typeId);
  const first = path[0]!;
  if (isEnumBased(kind)) {
    const type = btf.type(id);
    const name = "values" in type && path.length === 1 ? type.values[first]?.name : undefined;
    if (name === undefined) throw fail("no such enumerator");
    spec.accessors.push({ typeId: id, index: first, name });
    return spec;
  }
  spec.accessors.push({ typeId: id, index: first, name: undefined });
  spec.bitOffset = first * btf.resolveSize(id) * 8;
  for (const index of path.slice(1)) {
    id = btf.skipModifiers(id);
    const type = btf.type(id);
    if ("members" in type) {
      const member = type.members[index];
      if (member === undefined) throw fail(`no member ${index} in '${type.name}'`);
      spec.bitOffset += member.bitOffset;
      if (member.name !== "") spec.accessors.push({ typeId: id, index, name: member.name });
      id = member.type;
    } else if (type.kind === BTF_KIND_ARRAY) {
      const before = spec.accessors.at(-1)!;
      id = btf.skipModifiers(type.type);
      if (index >= type.nelems && !isFlexible(btf, before, type.nelems)) throw fail(`no element ${index}`);
      spec.accessors.push({ typeId: id, index, name: undefined });
      spec.bitOffset += index * btf.resolveSize(id) * 8;
    } else throw fail(`goes on below '${type.name}'`);
  }
  return spec;
}

/** An array without a length that ends its struct. */
function isFlexible(btf: Btf, accessor: Accessor, nelems: number): boolean {
  if (accessor.name === undefined || nelems > 0) return false;
  return accessor.index === btf.vlen(accessor.typeId) - 1;
}

/** The same path in a type of the target; undefined: it does not fit. */
function matchSpec(
  local: Spec,
  target: Btf,
  targetId: number,
  note?: (reason: string) => void,
): Spec | undefined {
  const spec: Spec = {
    btf: target,
    rootId: targetId,
    kind: local.kind,
    accessors: [],
    raw: [],
    bitOffset: 0,
  };
  if (isTypeBased(local.kind)) {
    const fits =
      local.kind === BPF_CORE_TYPE_MATCHES
        ? typesMatch(local.btf, local.rootId, target, targetId)
        : typesCompatible(local.btf, local.rootId, target, targetId);
    if (!fits) note?.("its parts differ");
    return fits ? spec : undefined;
  }
  let id = targetId;
  if (isEnumBased(local.kind)) {
    id = target.skipModifiers(id);
    const type = target.type(id);
    if (!("values" in type)) return undefined;
    const name = essentialName(local.accessors[0]!.name!);
    const index = type.values.findIndex((v) => essentialName(v.name) === name);
    if (index < 0) {
      note?.(`it has no enumerator '${name}'`);
      return undefined;
    }
    spec.accessors.push({ typeId: id, index, name: type.values[index]!.name });
    return spec;
  }
  for (const [i, accessor] of local.accessors.entries()) {
    id = target.skipModifiers(id);
    if (accessor.name !== undefined) {
      const next = matchMember(local.btf, accessor, id, spec, 0, note);
      if (next === undefined) {
        note?.(`${typeText(target, id)} has no member '${accessor.name}'`);
        return undefined;
      }
      id = next;
      continue;
    }
    // The first step is an index into an imagined array of the root type.
    if (i > 0) {
      const type = target.type(id);
      if (type.kind !== BTF_KIND_ARRAY) {
        note?.(`${typeText(target, id)} is no array`);
        return undefined;
      }
      const before = spec.accessors.at(-1)!;
      if (accessor.index >= type.nelems && !isFlexible(target, before, type.nelems)) {
        note?.(`element ${accessor.index} of an array of ${type.nelems}`);
        return undefined;
      }
      id = target.skipModifiers(type.type);
    }
    step(spec, accessor.index);
    spec.accessors.push({ typeId: id, index: accessor.index, name: undefined });
    spec.bitOffset += accessor.index * target.resolveSize(id) * 8;
  }
  return spec;
}

function step(spec: Spec, index: number): void {
  if (spec.raw.length >= MAX_SPEC) throw new BtfError("CO-RE access is too deep", { typeId: spec.rootId });
  spec.raw.push(index);
}

/** Finds the member by name, in anonymous members too; returns its type, undefined where there is none that fits. */
function matchMember(
  local: Btf,
  accessor: Accessor,
  targetId: number,
  spec: Spec,
  depth: number,
  note?: (reason: string) => void,
): number | undefined {
  const target = spec.btf;
  const id = target.skipModifiers(targetId);
  if (!isComposite(target.kind(id))) return undefined;
  if (depth > MAX_SPEC) throw new BtfError("types form a cycle", { typeId: id });
  for (const [index, member] of composite(target, id).members.entries()) {
    step(spec, index);
    spec.bitOffset += member.bitOffset;
    if (member.name === "") {
      const before = spec.accessors.length;
      const found = matchMember(local, accessor, member.type, spec, depth + 1, note);
      if (found !== undefined) return found;
      // A member of that name that does not fit: no other one has the name.
      if (spec.accessors.length !== before) return undefined;
    } else if (member.name === accessor.name) {
      const wanted = composite(local, accessor.typeId).members[accessor.index]!;
      if (!fieldsCompatible(local, wanted.type, target, member.type)) {
        const [want, have] = [local.skipModifiers(wanted.type), target.skipModifiers(member.type)];
        note?.(`member '${member.name}' is ${typeText(target, have)}, want ${typeText(local, want)}`);
        return undefined;
      }
      spec.accessors.push({ typeId: id, index, name: member.name });
      return member.type;
    }
    spec.bitOffset -= member.bitOffset;
    spec.raw.pop();
  }
  return undefined;
}

const UNSIZED = { originalSize: 0, size: 0, badSize: false } as const;

/** One side's value: of the object's own type, or of the target's. */
interface Side {
  readonly value: bigint;
  readonly size: number;
  readonly typeId: number;
  readonly validate: boolean;
}

function calculate(local: Spec, target: Spec | undefined): CoreValue {
  if (isTypeBased(local.kind))
    return {
      ...UNSIZED,
      poison: false,
      original: typeValue(local),
      validate: local.kind !== BPF_CORE_TYPE_ID_TARGET,
      value: target === undefined ? 0n : typeValue(target),
    };
  if (isEnumBased(local.kind)) {
    const exists = local.kind === BPF_CORE_ENUMVAL_EXISTS;
    return {
      ...UNSIZED,
      poison: target === undefined && !exists,
      original: exists ? 1n : enumValue(local),
      validate: true,
      value: target === undefined ? 0n : exists ? 1n : enumValue(target),
    };
  }
  if (local.kind === BPF_CORE_FIELD_EXISTS)
    return { ...UNSIZED, poison: false, original: 1n, validate: true, value: target === undefined ? 0n : 1n };
  const from = fieldValue(local);
  if (target === undefined)
    return { ...UNSIZED, poison: true, original: from.value, validate: from.validate, value: 0n };
  const to = fieldValue(target);
  return {
    poison: false,
    original: from.value,
    validate: from.validate,
    value: to.value,
    originalSize: from.size,
    size: to.size,
    badSize: from.size !== to.size && !resizable(local.btf.type(from.typeId), target.btf.type(to.typeId)),
  };
}

/** Pointers, and unsigned integers: loading them in another width gives the same value. */
function resizable(from: BtfType, to: BtfType): boolean {
  if (from.kind === BTF_KIND_PTR && to.kind === BTF_KIND_PTR) return true;
  if (from.kind !== BTF_KIND_INT || to.kind !== BTF_KIND_INT) return false;
  return from.encoding !== BTF_INT_SIGNED && to.encoding !== BTF_INT_SIGNED;
}

function typeValue(spec: Spec): bigint {
  switch (spec.kind) {
    case BPF_CORE_TYPE_ID_TARGET:
      return BigInt(spec.rootId);
    case BPF_CORE_TYPE_SIZE:
      return BigInt(spec.btf.resolveSize(spec.rootId));
    default:
      return 1n;
  }
}

function enumValue(spec: Spec): bigint {
  const { typeId, index } = spec.accessors[0]!;
  const type = spec.btf.type(typeId);
  if (!("values" in type)) throw new BtfError("not an enum", { typeId });
  const { value } = type.values[index]!;
  // 32-bit enumerators count as signed, whatever the enum says.
  return BigInt.asUintN(64, typeof value === "bigint" ? value : BigInt(value | 0));
}

function fieldValue(spec: Spec): Side {
  const { btf, kind } = spec;
  const last = spec.accessors.at(-1)!;
  if (last.name === undefined) {
    const size = btf.resolveSize(last.typeId);
    if (kind === BPF_CORE_FIELD_BYTE_OFFSET)
      return { value: BigInt(spec.bitOffset >>> 3), size, typeId: last.typeId, validate: true };
    if (kind === BPF_CORE_FIELD_BYTE_SIZE) return { value: BigInt(size), size: 0, typeId: 0, validate: true };
    throw new BtfError(`<${BPF_CORE_NAMES[kind]}> can't be applied to array access`, { typeId: last.typeId });
  }
  const member: BtfMember = composite(btf, last.typeId).members[last.index]!;
  const typeId = btf.skipModifiers(member.type);
  const isBitField = member.bitSize > 0;
  let byteSize = btf.resolveSize(typeId);
  let byteOffset = Math.floor(spec.bitOffset / 8);
  let bits = member.bitSize;
  if (isBitField) {
    if (byteSize === 0) throw new BtfError(`bit field '${member.name}' has no size`, { typeId: last.typeId });
    byteOffset = Math.floor(byteOffset / byteSize) * byteSize;
    // The smallest aligned load that holds it.
    while (spec.bitOffset + bits - byteOffset * 8 > byteSize * 8) {
      if (byteSize >= 8)
        throw new BtfError(`bit field '${member.name}' needs more than 8 bytes`, { typeId: last.typeId });
      byteSize *= 2;
      byteOffset = Math.floor(Math.floor(spec.bitOffset / 8) / byteSize) * byteSize;
    }
  } else bits = byteSize * 8;
  switch (kind) {
    case BPF_CORE_FIELD_BYTE_OFFSET:
      return {
        value: BigInt(byteOffset),
        size: isBitField ? 0 : byteSize,
        typeId: isBitField ? 0 : typeId,
        validate: !isBitField,
      };
    case BPF_CORE_FIELD_BYTE_SIZE:
      return { value: BigInt(byteSize), size: 0, typeId: 0, validate: !isBitField };
    case BPF_CORE_FIELD_SIGNED: {
      const type = btf.type(typeId);
      const signed =
        (isEnum(type.kind) && btf.kindFlag(typeId)) ||
        (type.kind === BTF_KIND_INT && (type.encoding & BTF_INT_SIGNED) !== 0);
      return { value: signed ? 1n : 0n, size: 0, typeId: 0, validate: true };
    }
    case BPF_CORE_FIELD_LSHIFT_U64: {
      const value = btf.littleEndian
        ? 64 - (spec.bitOffset + bits - byteOffset * 8)
        : (8 - byteSize) * 8 + (spec.bitOffset - byteOffset * 8);
      return { value: BigInt.asUintN(64, BigInt(value)), size: 0, typeId: 0, validate: !isBitField };
    }
    default:
      return { value: BigInt.asUintN(64, BigInt(64 - bits)), size: 0, typeId: 0, validate: true };
  }
}
