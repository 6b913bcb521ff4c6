/** Sorts an object's sections and functions (bpf_object__elf_collect, bpf_object__add_programs of libbpf.c). */
import { LoadError, UnsupportedError } from "../diag/index.ts";
import {
  type ElfFile,
  type ElfSection,
  type ElfSymbol,
  SHF_EXECINSTR,
  SHT_LLVM_ADDRSIG,
  SHT_NOBITS,
  SHT_PROGBITS,
  SHT_REL,
  SHT_RELA,
  SHT_STRTAB,
  STB_LOCAL,
  STT_FUNC,
  STV_HIDDEN,
  STV_INTERNAL,
} from "../elf/index.ts";
import { matchSection } from "./section-table.ts";
import type { FunctionSpec, ProgramSpec, Relocation } from "./spec.ts";

export const INSN_SIZE = 8;
/** linux/bpf.h: macros, which BTF does not carry. */
const BPF_F_SLEEPABLE = 1 << 4;
const BPF_F_XDP_HAS_FRAGS = 1 << 5;

export const STRUCT_OPS_SECTIONS: ReadonlySet<string> = new Set([
  ".struct_ops",
  ".struct_ops.link",
  "?.struct_ops",
  "?.struct_ops.link",
]);

/** Global data: what its section becomes. */
export interface DataSection {
  readonly section: ElfSection;
  readonly origin: "data" | "rodata" | "bss";
}

/** A function whose relocations are still being collected. */
export interface FunctionDraft extends FunctionSpec {
  readonly relocations: Relocation[];
}

export interface Sections {
  readonly license: string;
  /** 0 without a `version` section. */
  readonly version: number;
  readonly btf: Uint8Array | undefined;
  readonly btfExt: Uint8Array | undefined;
  /** `.maps` and the legacy `maps`. */
  readonly btfMaps: ElfSection | undefined;
  readonly legacyMaps: ElfSection | undefined;
  readonly data: readonly DataSection[];
  readonly structOps: readonly ElfSection[];
  readonly arena: ElfSection | undefined;
  /** Relocation sections that apply to code, `.maps` or struct_ops. */
  readonly relocations: readonly ElfSection[];
  /** Index of `.text`, 0 without one. */
  readonly text: number;
  readonly programs: readonly (ProgramSpec & FunctionDraft)[];
  readonly subprograms: readonly FunctionDraft[];
  /** Objects of gcc up to 13 store symbol values inside the places that relocations patch. */
  readonly oldGcc: boolean;
}

const decoder = new TextDecoder();

export function collectSections(elf: ElfFile): Sections {
  let license = "";
  let version = 0;
  let btf: Uint8Array | undefined;
  let btfExt: Uint8Array | undefined;
  let btfMaps: ElfSection | undefined;
  let legacyMaps: ElfSection | undefined;
  let arena: ElfSection | undefined;
  let text = 0;
  let oldGcc = false;
  const data: DataSection[] = [];
  const structOps: ElfSection[] = [];
  const relocations: ElfSection[] = [];
  const code: ElfSection[] = [];
  for (const section of elf.sections) {
    const { name, type } = section;
    if (section.index === 0 || isIgnored(section)) continue;
    if (name === "license") license = cString(section.data.subarray(0, 63));
    else if (name === "version") version = readVersion(section, elf.littleEndian);
    else if (name === "maps") legacyMaps = section;
    else if (name === ".maps") btfMaps = section;
    else if (name === ".BTF") btf = section.data;
    else if (name === ".BTF.ext") btfExt = section.data;
    else if (name === ".comment") oldGcc = gccMajor(section.data) <= 13;
    else if (type === SHT_PROGBITS && section.size > 0) {
      if (section.flags & SHF_EXECINSTR) {
        if (name === ".text") text = section.index;
        code.push(section);
      } else if (isNamed(name, ".data")) data.push({ section, origin: "data" });
      else if (isNamed(name, ".rodata")) data.push({ section, origin: "rodata" });
      else if (STRUCT_OPS_SECTIONS.has(name)) structOps.push(section);
      else if (name === ".addr_space.1") arena = section;
    } else if (type === SHT_REL || type === SHT_RELA) {
      const target = elf.sections[section.info];
      if (target === undefined)
        throw new LoadError(`section ${name}: relocates section ${section.info} of ${elf.sections.length}`);
      if (target.flags & SHF_EXECINSTR || target.name === ".maps" || STRUCT_OPS_SECTIONS.has(target.name))
        relocations.push(section);
    } else if (type === SHT_NOBITS && section.size > 0 && isNamed(name, ".bss"))
      data.push({ section, origin: "bss" });
  }
  if (code.length > 0 && !elf.littleEndian)
    throw new UnsupportedError("loading a big-endian object", "the address space is little-endian");
  return {
    license,
    version,
    btf,
    btfExt,
    btfMaps,
    legacyMaps,
    data,
    structOps,
    arena,
    relocations,
    text,
    oldGcc,
    ...collectFunctions(elf, code, text),
  };
}

function isIgnored(section: ElfSection): boolean {
  if (section.type === SHT_STRTAB || section.type === SHT_LLVM_ADDRSIG) return true;
  return section.name.startsWith(".debug_") || section.name.startsWith(".rel.debug_");
}

/** `prefix`, or `prefix.anything`. */
function isNamed(name: string, prefix: string): boolean {
  return name === prefix || name.startsWith(`${prefix}.`);
}

function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function readVersion(section: ElfSection, littleEndian: boolean): number {
  if (section.data.length !== 4) throw new LoadError(`section version: ${section.data.length} bytes, want 4`);
  const { buffer, byteOffset } = section.data;
  return new DataView(buffer, byteOffset, 4).getUint32(0, littleEndian);
}

/** "GCC: (GNU) 12.2.0" -> 12; Infinity for other compilers. */
function gccMajor(comment: Uint8Array): number {
  const match = /GCC: \([^)]*\) (\d+)\./.exec(decoder.decode(comment.subarray(0, 256)));
  return match === null ? Number.POSITIVE_INFINITY : Number(match[1]);
}

function collectFunctions(
  elf: ElfFile,
  code: readonly ElfSection[],
  text: number,
): Pick<Sections, "programs" | "subprograms"> {
  const byIndex = new Map(code.map((s) => [s.index, s]));
  const programs: (ProgramSpec & FunctionDraft)[] = [];
  const subprograms: FunctionDraft[] = [];
  for (let i = 1; i < elf.symbolCount; i++) {
    const section = byIndex.get(elf.symbolShndx(i));
    if (section === undefined || elf.symbolType(i) !== STT_FUNC) continue;
    const symbol = elf.symbol(i);
    const fn = readFunction(section, symbol);
    // Static functions outside .text are refused by libbpf; here they are subprograms as well.
    if (section.index === text || symbol.bind === STB_LOCAL) subprograms.push(fn);
    else programs.push(entryProgram(fn, section.name.startsWith("?")));
  }
  const order = (a: FunctionSpec, b: FunctionSpec): number =>
    a.sectionIndex - b.sectionIndex || a.sectionInsn - b.sectionInsn;
  return { programs: programs.sort(order), subprograms: subprograms.sort(order) };
}

function readFunction(section: ElfSection, symbol: ElfSymbol): FunctionDraft {
  const { name, value, size } = symbol;
  if (value + size > section.size)
    throw new LoadError(
      `section ${section.name}: function '${name}' (${size} bytes at ${value}) crosses the section's end (${section.size})`,
    );
  if (size === 0 || size % INSN_SIZE !== 0 || value % INSN_SIZE !== 0)
    throw new LoadError(
      `section ${section.name}: corrupted function '${name}', offset ${value}, size ${size}`,
    );
  const global = symbol.bind !== STB_LOCAL;
  return {
    name,
    sectionName: section.name.startsWith("?") ? section.name.slice(1) : section.name,
    sectionIndex: section.index,
    sectionInsn: value / INSN_SIZE,
    insns: section.data.subarray(value, value + size),
    relocations: [],
    global,
    hidden: global && (symbol.visibility === STV_HIDDEN || symbol.visibility === STV_INTERNAL),
  };
}

function entryProgram(fn: FunctionDraft, optional: boolean): ProgramSpec & FunctionDraft {
  const section = matchSection(fn.sectionName);
  const def = section?.def;
  return {
    ...fn,
    type: def?.progType ?? 0,
    attachType: def?.attachType ?? 0,
    flags: (def?.sleepable ? BPF_F_SLEEPABLE : 0) | (def?.frags ? BPF_F_XDP_HAS_FRAGS : 0),
    section,
    attachTarget: section?.target ?? "",
    attachProgram: undefined,
    autoload: !optional,
  };
}
