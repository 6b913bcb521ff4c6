/** Turns ELF relocations into what instructions refer to (bpf_object__collect_relos of tools/lib/bpf/libbpf.c). */
import type { Btf } from "../btf/index.ts";
import { BTF_KIND_STRUCT } from "../btf/index.ts";
import { LoadError } from "../diag/index.ts";
import {
  type ElfFile,
  type ElfRelocation,
  type ElfSection,
  type ElfSymbol,
  SHF_EXECINSTR,
  SHN_LORESERVE,
  SHN_UNDEF,
  STB_GLOBAL,
  STB_WEAK,
  STT_FUNC,
  STT_NOTYPE,
  STT_SECTION,
} from "../elf/index.ts";
import { BPF_MAP_TYPE_ARENA, BPF_MAP_TYPE_HASH_OF_MAPS, BPF_MAP_TYPE_PROG_ARRAY } from "../uapi/index.ts";
import { isMapInMap } from "./maps.ts";
import { type FunctionDraft, INSN_SIZE, type Sections, STRUCT_OPS_SECTIONS } from "./sections.ts";
import type { ExternSpec, MapSpec, Relocation } from "./spec.ts";

const LD_IMM64 = 0x18;
const CALL = 0x85;
const BPF_PSEUDO_CALL = 1;

export interface RelocationContext {
  readonly elf: ElfFile;
  readonly sections: Sections;
  readonly maps: readonly MapSpec[];
  readonly externs: readonly ExternSpec[];
  readonly btf: Btf | undefined;
}

/** Fills the functions' `relocations`, the maps' `initialSlots` and struct_ops members. */
export function collectRelocations(context: RelocationContext): void {
  const { elf, sections } = context;
  const functions = [...sections.programs, ...sections.subprograms];
  const index = new FunctionIndex(functions);
  const externs = new Map(context.externs.map((e) => [e.symbolIndex, e]));
  const maps = new MapIndex(context.maps, sections.arena?.index);
  for (const section of sections.relocations) {
    const target = elf.sections[section.info]!;
    for (const relocation of elf.relocations(section)) {
      const symbol = elf.symbol(relocation.symbol);
      if (symbol.shndx >= elf.sections.length && symbol.shndx < SHN_LORESERVE)
        throw new LoadError(
          `section ${section.name}: symbol ${symbol.index} lies in section ${symbol.shndx}`,
        );
      if (target.name === ".maps") mapSlot(context, target, relocation, symbol);
      else if (STRUCT_OPS_SECTIONS.has(target.name))
        structOpsSlot(context, index, target, relocation, symbol);
      else programRelocation(context, index, externs, maps, target, relocation, symbol);
    }
  }
  for (const fn of functions) fn.relocations.sort((a, b) => a.insn - b.insn);
}

/** Finds the function that holds a slot of a section. */
export class FunctionIndex<T extends { sectionIndex: number; sectionInsn: number; insns: Uint8Array }> {
  readonly #bySection = new Map<number, T[]>();

  constructor(functions: readonly T[]) {
    for (const fn of functions) {
      const list = this.#bySection.get(fn.sectionIndex);
      if (list === undefined) this.#bySection.set(fn.sectionIndex, [fn]);
      else list.push(fn);
    }
    for (const list of this.#bySection.values()) list.sort((a, b) => a.sectionInsn - b.sectionInsn);
  }

  find(section: number, insn: number): T | undefined {
    const list = this.#bySection.get(section);
    if (list === undefined) return undefined;
    let low = 0;
    let high = list.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (list[middle]!.sectionInsn <= insn) low = middle;
      else high = middle - 1;
    }
    const fn = list[low]!;
    return insn >= fn.sectionInsn && insn < fn.sectionInsn + fn.insns.length / INSN_SIZE ? fn : undefined;
  }
}

/** Maps by section and offset; data maps by section. */
class MapIndex {
  readonly #byPlace = new Map<string, MapSpec>();
  readonly #bySection = new Map<number, MapSpec>();
  readonly arena: MapSpec | undefined;
  readonly arenaSection: number | undefined;

  constructor(maps: readonly MapSpec[], arenaSection: number | undefined) {
    for (const map of maps) {
      if (map.origin === "btf" || map.origin === "legacy")
        this.#byPlace.set(`${map.sectionIndex}:${map.sectionOffset}`, map);
      else if (map.origin !== "struct_ops" && map.origin !== "kconfig")
        this.#bySection.set(map.sectionIndex, map);
    }
    this.arena = maps.find((m) => m.type === BPF_MAP_TYPE_ARENA);
    this.arenaSection = arenaSection;
  }

  at(section: number, offset: number): MapSpec | undefined {
    return this.#byPlace.get(`${section}:${offset}`);
  }

  data(section: number): MapSpec | undefined {
    return this.#bySection.get(section);
  }
}

function isExtern(symbol: ElfSymbol): boolean {
  return (
    symbol.shndx === SHN_UNDEF &&
    (symbol.bind === STB_GLOBAL || symbol.bind === STB_WEAK) &&
    symbol.type === STT_NOTYPE
  );
}

function programRelocation(
  { elf, sections }: RelocationContext,
  index: FunctionIndex<FunctionDraft>,
  externs: ReadonlyMap<number, ExternSpec>,
  maps: MapIndex,
  section: ElfSection,
  relocation: ElfRelocation,
  symbol: ElfSymbol,
): void {
  if (relocation.offset % INSN_SIZE !== 0 || relocation.offset >= section.size)
    throw new LoadError(
      `section ${section.name}: invalid offset 0x${relocation.offset.toString(16)} for a relocation`,
    );
  const slot = relocation.offset / INSN_SIZE;
  const fn = index.find(section.index, slot);
  // A weak function that another definition replaced: its code is still there, and nobody's.
  if (fn === undefined) return;
  const insn = slot - fn.sectionInsn;
  const name = (symbol.type === STT_SECTION ? elf.sections[symbol.shndx]?.name : undefined) ?? symbol.name;
  const fail = (what: string): LoadError =>
    new LoadError(`section ${section.name}, function '${fn.name}', insn ${insn}: ${what}`);
  const code = fn.insns[insn * INSN_SIZE]!;
  if (code !== LD_IMM64 && code !== CALL)
    throw fail(`invalid relocation against '${name}' of an instruction with code 0x${code.toString(16)}`);
  if (code === LD_IMM64 && (insn + 2) * INSN_SIZE > fn.insns.length) throw fail("LD_IMM64 is truncated");
  const push = (r: Relocation): void => {
    fn.relocations.push(r);
  };

  if (isExtern(symbol)) {
    const extern = externs.get(symbol.index);
    if (extern === undefined) throw fail(`extern '${name}' is not declared`);
    if (code === CALL && extern.kind !== "kfunc") throw fail(`call of extern variable '${name}'`);
    push({ kind: "extern", insn, extern });
    return;
  }
  if (symbol.shndx === SHN_UNDEF || symbol.shndx >= SHN_LORESERVE)
    throw fail(
      `invalid relocation against '${name}' in special section 0x${symbol.shndx.toString(16)}; forgot to initialize a global variable?`,
    );
  const target = elf.sections[symbol.shndx]!;
  const imm = readImm(fn.insns, insn);
  const isNamed = symbol.type !== STT_SECTION;
  if (code === CALL) {
    if ((fn.insns[insn * INSN_SIZE + 1]! & 0xf0) >>> 4 !== BPF_PSEUDO_CALL)
      throw fail("incorrect bpf_call opcode");
    if (!(target.flags & SHF_EXECINSTR)) throw fail(`bad call of '${name}' in section '${target.name}'`);
    if (symbol.value % INSN_SIZE !== 0) throw fail(`bad call of '${name}' at offset ${symbol.value}`);
    // A section's symbol: imm says where the static function starts. A function's: imm is -1; gcc up to 13 stores
    // the symbol's value there, in bytes.
    let to = symbol.value / INSN_SIZE;
    if (relocation.addend !== undefined) to += Math.floor(relocation.addend / INSN_SIZE);
    else if (symbol.type !== STT_FUNC) to += imm + 1;
    push({ kind: "call", insn, section: symbol.shndx, target: to });
    return;
  }
  // The place holds the addend: to a symbol of gcc up to 13, the symbol's value is in it already.
  const includesValue = sections.oldGcc && isNamed && imm >= symbol.value && relocation.addend === undefined;
  const addend = relocation.addend ?? (includesValue ? imm - symbol.value : imm);
  if (target.flags & SHF_EXECINSTR) {
    const to = symbol.value + addend;
    if (to % INSN_SIZE !== 0) throw fail(`bad address of '${name}' at offset ${symbol.value}+${addend}`);
    push({ kind: "address", insn, section: symbol.shndx, target: to / INSN_SIZE });
    return;
  }
  if (symbol.shndx === maps.arenaSection) {
    if (maps.arena === undefined) throw fail("arena data, and no arena map is defined");
    push({ kind: "data", insn, map: maps.arena, offset: (symbol.value + addend) | 0 });
    return;
  }
  if (target === sections.btfMaps || target === sections.legacyMaps) {
    const at = isNamed ? symbol.value : symbol.value + addend;
    const map = maps.at(symbol.shndx, at);
    if (map === undefined) throw fail(`no map '${name}' at offset ${at} of section '${target.name}'`);
    push({ kind: "map", insn, map });
    return;
  }
  const map = maps.data(symbol.shndx);
  if (map === undefined) throw fail(`bad map relocation against '${name}' in section '${target.name}'`);
  push({ kind: "data", insn, map, offset: (symbol.value + addend) | 0 });
}

function readImm(insns: Uint8Array, insn: number): number {
  return new DataView(insns.buffer, insns.byteOffset, insns.length).getInt32(insn * INSN_SIZE + 4, true);
}

/** An element of a map's `values`: another map, or a program. */
function mapSlot(
  { maps, sections }: RelocationContext,
  section: ElfSection,
  { offset }: ElfRelocation,
  symbol: ElfSymbol,
): void {
  const fail = (what: string): LoadError => new LoadError(`section .maps, offset ${offset}: ${what}`);
  const map = maps.find(
    (m) =>
      m.sectionIndex === section.index &&
      m.sectionOffset <= offset &&
      offset + 8 <= m.sectionOffset + m.variableSize,
  );
  if (map === undefined) throw fail(`no map holds the reference to '${symbol.name}'`);
  const at = offset - map.sectionOffset - map.valuesOffset;
  if (map.valuesOffset < 0 || at < 0 || at % 8 !== 0)
    throw fail(`map '${map.name}' refers to '${symbol.name}' outside 'values'`);
  if (isMapInMap(map.type)) {
    if (map.type === BPF_MAP_TYPE_HASH_OF_MAPS && map.keySize !== 4)
      throw fail(`hash-of-maps '${map.name}' should have key size 4`);
    if (symbol.shndx !== section.index || !maps.some((m) => m.name === symbol.name))
      throw fail(`'${symbol.name}' isn't a BTF-defined map`);
  } else if (map.type === BPF_MAP_TYPE_PROG_ARRAY) {
    const program = sections.programs.find((p) => p.name === symbol.name);
    if (program === undefined || program.sectionIndex !== symbol.shndx)
      throw fail(`'${symbol.name}' isn't an entry-point program`);
  } else throw fail(`map '${map.name}' takes no initial values`);
  map.initialSlots.set(at / 8, symbol.name);
}

function structOpsSlot(
  { maps, btf }: RelocationContext,
  index: FunctionIndex<FunctionDraft>,
  section: ElfSection,
  { offset }: ElfRelocation,
  symbol: ElfSymbol,
): void {
  const fail = (what: string): LoadError =>
    new LoadError(`section ${section.name}, offset ${offset}: ${what}`);
  const map = maps.find(
    (m) =>
      m.sectionIndex === section.index && m.sectionOffset <= offset && offset < m.sectionOffset + m.valueSize,
  );
  const struct = map === undefined || btf === undefined ? undefined : btf.type(map.valueTypeId);
  if (map?.structOps === undefined || struct?.kind !== BTF_KIND_STRUCT)
    throw fail("no struct_ops variable there");
  const member = struct.members.find((m) => m.bitOffset === (offset - map.sectionOffset) * 8);
  if (member === undefined) throw fail(`struct ${struct.name} has no member there`);
  const fn = index.find(symbol.shndx, symbol.value / INSN_SIZE);
  if (fn === undefined) throw fail(`no program for '${member.name}'`);
  map.structOps.set(member.name, fn.name);
}
