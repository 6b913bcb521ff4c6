/** Map definitions of an object: BTF-defined, legacy, global data (parse_btf_map_def and friends of libbpf.c). */
import {
  BTF_KIND_ARRAY,
  BTF_KIND_DATASEC,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_NAMES,
  BTF_KIND_PTR,
  BTF_KIND_STRUCT,
  BTF_KIND_VAR,
  BTF_VAR_GLOBAL_ALLOCATED,
  BTF_VAR_STATIC,
  type Btf,
  type BtfMember,
} from "../btf/index.ts";
import { LoadError } from "../diag/index.ts";
import { type ElfFile, type ElfSection, type ElfSymbol, STT_FUNC, STT_SECTION } from "../elf/index.ts";
import {
  BPF_F_LINK,
  BPF_F_MMAPABLE,
  BPF_F_RDONLY_PROG,
  BPF_MAP_TYPE_ARENA,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_PROG_ARRAY,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_TYPE_STRUCT_OPS,
  BPF_MAP_TYPE_UNSPEC,
  BPF_MAP_TYPE_USER_RINGBUF,
} from "../uapi/index.ts";
import type { DataSection } from "./sections.ts";
import type { MapOrigin, MapSpec } from "./spec.ts";

const PAGE_SIZE = 4096;
/** BPF_OBJ_NAME_LEN without its NUL. */
export const MAX_NAME = 15;

export function isMapInMap(type: number): boolean {
  return type === BPF_MAP_TYPE_ARRAY_OF_MAPS || type === BPF_MAP_TYPE_HASH_OF_MAPS;
}

/** A section of global variables. */
export function isData(map: MapSpec): boolean {
  return map.origin === "data" || map.origin === "rodata" || map.origin === "bss" || map.origin === "kconfig";
}

/** Holds global variables: a section's map, or the arena of an object that has `__arena` variables. */
export function holdsVariables(map: MapSpec, arenaData: Uint8Array | undefined): boolean {
  return isData(map) || (map.type === BPF_MAP_TYPE_ARENA && arenaData !== undefined);
}

function newMap(
  name: string,
  origin: MapOrigin,
  section: { name: string; index: number },
  offset: number,
): MapSpec {
  return {
    name,
    origin,
    sectionName: section.name,
    sectionIndex: section.index,
    sectionOffset: offset,
    variableSize: 0,
    valuesOffset: -1,
    type: BPF_MAP_TYPE_UNSPEC,
    keySize: 0,
    valueSize: 0,
    maxEntries: 0,
    flags: 0,
    numaNode: 0,
    extra: 0n,
    keyTypeId: 0,
    valueTypeId: 0,
    innerMap: undefined,
    pinByName: false,
    pinPath: undefined,
    autocreate: true,
    initialValue: undefined,
    initialSlots: new Map(),
    structOps: undefined,
  };
}

/** The variables of `.maps`, in order of their offsets. */
export function btfMaps(btf: Btf, section: ElfSection): MapSpec[] {
  const id = btf.findByName(".maps", BTF_KIND_DATASEC);
  if (id === undefined) throw new LoadError("section .maps: BTF has no DATASEC '.maps'");
  const datasec = btf.type(id);
  if (datasec.kind !== BTF_KIND_DATASEC) return [];
  return datasec.vars.map((v, i) => {
    const variable = btf.type(v.type);
    if (variable.kind !== BTF_KIND_VAR)
      throw new LoadError(`map #${i}: unexpected kind ${BTF_KIND_NAMES[variable.kind]} in .maps`);
    const { name } = variable;
    if (name === "") throw new LoadError(`map #${i}: empty name`);
    if (v.offset + v.size > section.size)
      throw new LoadError(`map '${name}': ${v.size} bytes at ${v.offset} end beyond .maps (${section.size})`);
    if (variable.linkage !== BTF_VAR_GLOBAL_ALLOCATED)
      throw new LoadError(
        `map '${name}': unsupported map linkage ${variable.linkage === 0 ? "static" : "extern"}`,
      );
    const definition = btf.type(btf.skipModifiers(variable.type));
    if (definition.kind !== BTF_KIND_STRUCT)
      throw new LoadError(`map '${name}': unexpected def kind ${BTF_KIND_NAMES[definition.kind]}`);
    if (definition.size > v.size) throw new LoadError(`map '${name}': invalid def size`);
    const map = { ...newMap(name, "btf", section, v.offset), variableSize: v.size };
    defineMap(btf, map, definition.members, false);
    return map;
  });
}

/** What a BTF-defined map is, by the struct that declares it (typedefs and qualifiers may stand before it). */
export function mapDefinition(btf: Btf, name: string, typeId: number): MapSpec {
  const definition = btf.type(btf.skipModifiers(typeId));
  if (definition.kind !== BTF_KIND_STRUCT)
    throw new LoadError(`map '${name}': unexpected def kind ${BTF_KIND_NAMES[definition.kind]}`);
  const map = newMap(name, "btf", { name: ".maps", index: 0 }, 0);
  defineMap(btf, map, definition.members, false);
  return map;
}

function defineMap(btf: Btf, map: MapSpec, members: readonly BtfMember[], isInner: boolean): void {
  const fail = (what: string): LoadError => new LoadError(`map '${map.name}': ${what}`);
  for (const [i, member] of members.entries()) {
    switch (member.name) {
      case "type":
        map.type = fieldInt(btf, map.name, member);
        break;
      case "max_entries":
        map.maxEntries = fieldInt(btf, map.name, member);
        break;
      case "map_flags":
        map.flags = fieldInt(btf, map.name, member);
        break;
      case "numa_node":
        map.numaNode = fieldInt(btf, map.name, member);
        break;
      case "key_size":
      case "value_size": {
        const size = fieldInt(btf, map.name, member);
        const which = member.name === "key_size" ? "keySize" : "valueSize";
        if (map[which] !== 0 && map[which] !== size)
          throw fail(`conflicting ${member.name} ${map[which]} != ${size}`);
        map[which] = size;
        break;
      }
      case "key":
      case "value": {
        const pointer = btf.type(member.type);
        if (pointer.kind !== BTF_KIND_PTR)
          throw fail(`${member.name} spec is not PTR: ${BTF_KIND_NAMES[pointer.kind]}`);
        const size = btf.resolveSize(pointer.type);
        const which = member.name === "key" ? "keySize" : "valueSize";
        if (map[which] !== 0 && map[which] !== size)
          throw fail(`conflicting ${member.name} size ${map[which]} != ${size}`);
        map[which] = size;
        map[member.name === "key" ? "keyTypeId" : "valueTypeId"] = pointer.type;
        break;
      }
      case "values":
        if (isInner) throw fail("multi-level inner maps not supported");
        if (i !== members.length - 1) throw fail("'values' member should be last");
        defineValues(btf, map, member, fail);
        map.valuesOffset = member.bitOffset >>> 3;
        break;
      case "pinning": {
        if (isInner) throw fail("inner def can't be pinned");
        const value = fieldInt(btf, map.name, member);
        if (value > 1) throw fail(`invalid pinning value ${value}`);
        map.pinByName = value === 1;
        break;
      }
      case "map_extra":
        map.extra = fieldLong(btf, map.name, member);
        break;
      default:
        throw fail(`unknown field '${member.name}'`);
    }
  }
  if (map.type === BPF_MAP_TYPE_UNSPEC) throw fail("map type isn't specified");
  if (map.type === BPF_MAP_TYPE_RINGBUF || map.type === BPF_MAP_TYPE_USER_RINGBUF)
    map.maxEntries = ringbufSize(map.maxEntries);
}

function defineValues(btf: Btf, map: MapSpec, member: BtfMember, fail: (what: string) => LoadError): void {
  const isProgArray = map.type === BPF_MAP_TYPE_PROG_ARRAY;
  if (!isProgArray && !isMapInMap(map.type)) throw fail("should be map-in-map or prog-array");
  if (map.valueSize !== 0 && map.valueSize !== 4) throw fail(`conflicting value size ${map.valueSize} != 4`);
  map.valueSize = 4;
  const array = btf.type(member.type);
  if (array.kind !== BTF_KIND_ARRAY || array.nelems !== 0) throw fail("'values' is not a zero-sized array");
  const pointer = btf.type(btf.skipModifiers(array.type));
  if (pointer.kind !== BTF_KIND_PTR) throw fail(`'values' is an array of ${BTF_KIND_NAMES[pointer.kind]}`);
  const target = btf.type(btf.skipModifiers(pointer.type));
  if (isProgArray) {
    if (target.kind !== BTF_KIND_FUNC_PROTO)
      throw fail(`prog-array value is a ${BTF_KIND_NAMES[target.kind]}`);
    return;
  }
  if (target.kind !== BTF_KIND_STRUCT) throw fail(`map-in-map inner def is a ${BTF_KIND_NAMES[target.kind]}`);
  const inner = newMap(
    `${map.name}.inner`,
    "btf",
    { name: map.sectionName, index: map.sectionIndex },
    map.sectionOffset,
  );
  defineMap(btf, inner, target.members, true);
  map.innerMap = inner;
}

/** `int (*name)[N]`: N. */
function fieldInt(btf: Btf, map: string, member: BtfMember): number {
  const pointer = btf.type(btf.skipModifiers(member.type));
  if (pointer.kind !== BTF_KIND_PTR)
    throw new LoadError(
      `map '${map}': attr '${member.name}': expected PTR, got ${BTF_KIND_NAMES[pointer.kind]}`,
    );
  const array = btf.type(pointer.type);
  if (array.kind !== BTF_KIND_ARRAY)
    throw new LoadError(
      `map '${map}': attr '${member.name}': expected ARRAY, got ${BTF_KIND_NAMES[array.kind]}`,
    );
  return array.nelems;
}

/** Like fieldInt, or an enum of one value (`__ulong`). */
function fieldLong(btf: Btf, map: string, member: BtfMember): bigint {
  const type = btf.type(btf.skipModifiers(member.type));
  if (type.kind === BTF_KIND_PTR) return BigInt(fieldInt(btf, map, member));
  if ((type.kind !== BTF_KIND_ENUM && type.kind !== BTF_KIND_ENUM64) || type.values.length !== 1)
    throw new LoadError(
      `map '${map}': attr '${member.name}': expected ENUM of one value, got ${BTF_KIND_NAMES[type.kind]}`,
    );
  return BigInt.asUintN(64, BigInt(type.values[0]!.value));
}

/** The kernel wants a power of two of pages: the next one, as libbpf asks for. */
function ringbufSize(size: number): number {
  const pages = size / PAGE_SIZE;
  if (size === 0 || (Number.isInteger(pages) && Number.isInteger(Math.log2(pages)))) return size;
  for (let bytes = PAGE_SIZE; bytes <= 0xffffffff; bytes *= 2) if (bytes > size) return bytes;
  return size;
}

/**
 * Name of a global data map: 8 characters of the object's name and the section's, 15 in all; a section with a name
 * of its own (two dots) gives that alone: `.bss.*` cut to 15 characters, `.data.*` and `.rodata.*` whole (the kernel gets
 * 15 of them).
 */
export function dataMapName(object: string, section: string): string {
  const isOwn = section.includes(".", 1);
  if (isOwn && !section.startsWith(".bss")) return section;
  const suffix = Math.min(MAX_NAME, Math.max(7, section.length));
  const prefix = isOwn ? 0 : Math.min(MAX_NAME - suffix, object.length);
  return (object.slice(0, prefix) + section.slice(0, suffix))
    .slice(0, MAX_NAME)
    .replace(/[^A-Za-z0-9_.]/g, "_");
}

export function dataMap(object: string, { section, origin }: DataSection, btf: Btf | undefined): MapSpec {
  const value = origin === "bss" ? undefined : Uint8Array.from(section.data);
  return internalMap(object, section, section.size, origin, value, btf);
}

/** The `.kconfig` map; libbpf files it under the symbol table's section. */
export function kconfigMap(object: string, symtab: number, size: number, btf: Btf | undefined): MapSpec {
  return internalMap(object, { name: ".kconfig", index: symtab }, size, "kconfig", new Uint8Array(size), btf);
}

function internalMap(
  object: string,
  section: { name: string; index: number },
  size: number,
  origin: MapOrigin,
  value: Uint8Array | undefined,
  btf: Btf | undefined,
): MapSpec {
  const valueTypeId = btf?.findByName(section.name) ?? 0;
  const readOnly = origin === "rodata" || origin === "kconfig";
  return {
    ...newMap(dataMapName(object, section.name), origin, section, 0),
    type: BPF_MAP_TYPE_ARRAY,
    keySize: 4,
    valueSize: size,
    maxEntries: 1,
    flags: (readOnly ? BPF_F_RDONLY_PROG : 0) | (isMmapable(btf, valueTypeId) ? BPF_F_MMAPABLE : 0),
    valueTypeId,
    initialValue: value,
  };
}

/** Only where a variable shows outside: global, and not hidden. */
function isMmapable(btf: Btf | undefined, id: number): boolean {
  if (btf === undefined || id === 0) return false;
  const type = btf.type(id);
  if (type.kind !== BTF_KIND_DATASEC) return false;
  return type.vars.some((v) => {
    const variable = btf.kind(v.type) === BTF_KIND_VAR ? btf.type(v.type) : undefined;
    return variable?.kind === BTF_KIND_VAR && variable.linkage !== BTF_VAR_STATIC;
  });
}

/**
 * Section `maps`: an array of struct bpf_map_def { type, key_size, value_size, max_entries, map_flags }, one symbol
 * each. What follows those 20 bytes must be zero.
 */
export function legacyMaps(elf: ElfFile, section: ElfSection): MapSpec[] {
  const symbols: ElfSymbol[] = [];
  for (let i = 1; i < elf.symbolCount; i++) {
    if (elf.symbolShndx(i) !== section.index) continue;
    const type = elf.symbolType(i);
    if (type !== STT_SECTION && type !== STT_FUNC) symbols.push(elf.symbol(i));
  }
  symbols.sort((a, b) => a.value - b.value);
  if (symbols.length === 0) return [];
  const { length } = section.data;
  const stride = length / symbols.length;
  if (!Number.isInteger(stride) || stride < 16 || stride % 4 !== 0)
    throw new LoadError(`section maps: ${length} bytes for ${symbols.length} maps`);
  const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.length);
  return symbols.map((symbol, i) => {
    const at = symbol.value;
    if (at !== i * stride)
      throw new LoadError(`section maps: map '${symbol.name}' at ${at}, want ${i * stride}`);
    if (section.data.subarray(at + 20, at + stride).some((b) => b !== 0))
      throw new LoadError(`map '${symbol.name}': unsupported members after the first 20 bytes of ${stride}`);
    const field = (n: number): number => (n * 4 < stride ? view.getUint32(at + n * 4, elf.littleEndian) : 0);
    const map = newMap(symbol.name, "legacy", section, at);
    map.type = field(0);
    map.keySize = field(1);
    map.valueSize = field(2);
    map.maxEntries = field(3);
    map.flags = field(4);
    return map;
  });
}

/** The variables of a struct_ops section; which program fills which member comes with its relocations. */
export function structOpsMaps(btf: Btf, section: ElfSection): MapSpec[] {
  const id = btf.findByName(section.name, BTF_KIND_DATASEC);
  if (id === undefined) throw new LoadError(`section ${section.name}: BTF has no DATASEC of that name`);
  const datasec = btf.type(id);
  if (datasec.kind !== BTF_KIND_DATASEC) return [];
  return datasec.vars.map((v) => {
    const name = btf.typeName(v.type);
    const struct = btf.type(btf.skipModifiers(btf.sizeOrType(v.type)));
    if (struct.kind !== BTF_KIND_STRUCT || struct.name === "")
      throw new LoadError(`struct_ops '${name}': want a named struct, got ${BTF_KIND_NAMES[struct.kind]}`);
    if (v.offset + struct.size > section.size)
      throw new LoadError(`struct_ops '${name}': ends beyond section ${section.name}`);
    return {
      ...newMap(name, "struct_ops", section, v.offset),
      type: BPF_MAP_TYPE_STRUCT_OPS,
      keySize: 4,
      valueSize: struct.size,
      maxEntries: 1,
      flags: section.name.endsWith(".link") ? BPF_F_LINK : 0,
      valueTypeId: struct.id,
      autocreate: !section.name.startsWith("?"),
      initialValue: Uint8Array.from(section.data.subarray(v.offset, v.offset + struct.size)),
      structOps: new Map(),
    };
  });
}
