/**
 * Reads relocatable 64-bit ELF objects of either byte order (System V gABI). Nothing is trusted: every offset, size,
 * count and name is checked against the file, and nothing is allocated beyond a small multiple of the file's size.
 *
 *   file header (64 bytes) | section contents ... | section headers (64 bytes each)
 */
import { ElfError } from "../diag/index.ts";
import {
  ELFCLASS64,
  ELFDATA2LSB,
  ELFDATA2MSB,
  EM_BPF,
  EM_NONE,
  ET_REL,
  SHN_XINDEX,
  SHT_NOBITS,
  SHT_NULL,
  SHT_REL,
  SHT_RELA,
  SHT_STRTAB,
  SHT_SYMTAB,
} from "./constants.ts";

export interface ElfSection {
  readonly index: number;
  readonly name: string;
  /** SHT_*. */
  readonly type: number;
  /** SHF_*, the low 32 bits. */
  readonly flags: number;
  readonly offset: number;
  /** Bytes in memory; `data` is empty for SHT_NOBITS. */
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly addralign: number;
  readonly entsize: number;
  /** A view of the file. */
  readonly data: Uint8Array;
}

export interface ElfSymbol {
  readonly index: number;
  readonly name: string;
  readonly value: number;
  readonly size: number;
  /** STB_*. */
  readonly bind: number;
  /** STT_*. */
  readonly type: number;
  /** STV_*. */
  readonly visibility: number;
  /** Section index, or SHN_*. */
  readonly shndx: number;
}

export interface ElfRelocation {
  /** Bytes from the start of the section it applies to. */
  readonly offset: number;
  /** R_BPF_*. */
  readonly type: number;
  /** Index in the symbol table. */
  readonly symbol: number;
  /** RELA only; REL keeps it in the place itself. */
  readonly addend: number | undefined;
}

const EHDR_SIZE = 64;
const SHDR_SIZE = 64;
const SYM_SIZE = 24;
/** Longer names are damage: the kernel's symbols end at 512 characters. */
const MAX_NAME = 4096;
const MAX_SECTIONS = 0x10000;

const decoder = new TextDecoder();

export class ElfFile {
  readonly bytes: Uint8Array;
  readonly littleEndian: boolean;
  /** EM_BPF or EM_NONE. */
  readonly machine: number;
  /** Index 0 is the null section. */
  readonly sections: readonly ElfSection[];
  readonly symtab: ElfSection | undefined;
  /** Symbols in the table, the null symbol included; 0 without one. */
  readonly symbolCount: number;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    if (bytes.length < EHDR_SIZE)
      throw new ElfError(`file of ${bytes.length} bytes is too short for an ELF header`, { offset: 0 });
    if (bytes[0] !== 0x7f || bytes[1] !== 0x45 || bytes[2] !== 0x4c || bytes[3] !== 0x46)
      throw new ElfError(`not an ELF file: it starts with ${hexBytes(bytes.subarray(0, 4))}`, { offset: 0 });
    if (bytes[4] !== ELFCLASS64)
      throw new ElfError(`not a 64-bit ELF file (class ${bytes[4]})`, { offset: 4 });
    if (bytes[5] !== ELFDATA2LSB && bytes[5] !== ELFDATA2MSB)
      throw new ElfError(`unknown byte order ${bytes[5]}`, { offset: 5 });
    if (bytes[6] !== 1) throw new ElfError(`unknown ELF version ${bytes[6]}`, { offset: 6 });
    this.littleEndian = bytes[5] === ELFDATA2LSB;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const type = this.#u16(16);
    if (type !== ET_REL) throw new ElfError(`not a relocatable object (e_type ${type})`, { offset: 16 });
    this.machine = this.#u16(18);
    if (this.machine !== EM_BPF && this.machine !== EM_NONE)
      throw new ElfError(`not a BPF object (e_machine ${this.machine})`, { offset: 18 });
    this.sections = this.#readSections();
    const symtabs = this.sections.filter((s) => s.type === SHT_SYMTAB);
    if (symtabs.length > 1)
      throw new ElfError("more than one symbol table", {
        offset: symtabs[1]!.offset,
        section: symtabs[1]!.name,
      });
    this.symtab = symtabs[0];
    this.symbolCount = this.symtab === undefined ? 0 : this.#checkSymtab(this.symtab);
  }

  /** The first section of that name. */
  section(name: string): ElfSection | undefined {
    return this.sections.find((s) => s.name === name);
  }

  symbol(index: number): ElfSymbol {
    const symtab = this.symtab;
    if (symtab === undefined || index >= this.symbolCount || index < 0)
      throw new ElfError(`symbol ${index} is not in a table of ${this.symbolCount}`, sectionPlace(symtab));
    const at = symtab.offset + index * SYM_SIZE;
    const info = this.bytes[at + 4]!;
    return {
      index,
      name: this.string(symtab.link, this.#u32(at), at),
      value: this.#u64(at + 8),
      size: this.#u64(at + 16),
      bind: info >>> 4,
      type: info & 15,
      visibility: this.bytes[at + 5]! & 3,
      shndx: this.#u16(at + 6),
    };
  }

  /** Like `symbol(index).shndx`, without decoding the rest. */
  symbolShndx(index: number): number {
    return this.#u16(this.symtab!.offset + index * SYM_SIZE + 6);
  }

  /** Like `symbol(index).type`, without decoding the rest. */
  symbolType(index: number): number {
    return this.bytes[this.symtab!.offset + index * SYM_SIZE + 4]! & 15;
  }

  /** The entries of an SHT_REL or SHT_RELA section, in file order. */
  relocations(section: ElfSection): ElfRelocation[] {
    const entry = section.type === SHT_RELA ? 24 : section.type === SHT_REL ? 16 : 0;
    if (entry === 0) throw new ElfError("not a relocation section", sectionPlace(section));
    if (section.entsize !== entry || section.size % entry !== 0)
      throw new ElfError(
        `relocation entries of ${section.entsize} bytes in ${section.size}, want ${entry} each`,
        sectionPlace(section),
      );
    const out: ElfRelocation[] = [];
    for (let at = section.offset; at < section.offset + section.size; at += entry) {
      // r_info is one u64: the symbol in its high half, the type in its low half.
      const [low, high] = this.littleEndian ? [at + 8, at + 12] : [at + 12, at + 8];
      const symbol = this.#u32(high);
      if (symbol >= this.symbolCount)
        throw new ElfError(`relocation names symbol ${symbol} of ${this.symbolCount}`, {
          offset: at,
          section: section.name,
        });
      out.push({
        offset: this.#u64(at),
        type: this.#u32(low),
        symbol,
        addend: entry === 24 ? Number(this.#view.getBigInt64(at + 16, this.littleEndian)) : undefined,
      });
    }
    return out;
  }

  /** The NUL-terminated string at `offset` of string table `table`; `from` is where the reference stands. */
  string(table: number, offset: number, from: number): string {
    const section = this.sections[table];
    if (section === undefined || section.type !== SHT_STRTAB)
      throw new ElfError(`section ${table} is not a string table`, { offset: from });
    return readName(this.bytes, section.offset, section.size, offset, from, section.name);
  }

  #readSections(): ElfSection[] {
    const { bytes } = this;
    const shoff = this.#u64(40);
    const shentsize = this.#u16(58);
    let shnum = this.#u16(60);
    let shstrndx = this.#u16(62);
    if (shoff === 0) throw new ElfError("no section headers", { offset: 40 });
    if (shentsize !== SHDR_SIZE)
      throw new ElfError(`section headers of ${shentsize} bytes, want ${SHDR_SIZE}`, { offset: 58 });
    if (shoff > bytes.length - SHDR_SIZE)
      throw new ElfError(`section headers lie beyond the end of the file (${bytes.length} bytes)`, {
        offset: shoff,
      });
    // Extended numbering: the real values stand in the null section.
    if (shnum === 0) shnum = this.#u64(shoff + 32);
    if (shstrndx === SHN_XINDEX) shstrndx = this.#u32(shoff + 40);
    if (shnum === 0 || shnum > MAX_SECTIONS)
      throw new ElfError(`${shnum} sections, want 1 to ${MAX_SECTIONS}`, { offset: 60 });
    if (shoff + shnum * SHDR_SIZE > bytes.length)
      throw new ElfError(`${shnum} section headers do not fit into ${bytes.length} bytes`, { offset: shoff });
    if (shstrndx === 0 || shstrndx >= shnum)
      throw new ElfError(`section names in section ${shstrndx} of ${shnum}`, { offset: 62 });

    const names = shoff + shstrndx * SHDR_SIZE;
    if (this.#u32(names + 4) !== SHT_STRTAB)
      throw new ElfError("the section of section names is not a string table", { offset: names });
    const namesOffset = this.#u64(names + 24);
    const namesSize = this.#u64(names + 32);
    if (namesOffset + namesSize > bytes.length)
      throw new ElfError(`section names (${namesSize} bytes) end beyond the file`, { offset: namesOffset });

    const sections: ElfSection[] = [];
    for (let index = 0; index < shnum; index++) {
      const at = shoff + index * SHDR_SIZE;
      const type = this.#u32(at + 4);
      const name = index === 0 ? "" : readName(bytes, namesOffset, namesSize, this.#u32(at), at, "names");
      const offset = this.#u64(at + 24);
      const size = this.#u64(at + 32);
      const inFile = type !== SHT_NOBITS && type !== SHT_NULL;
      if (inFile && offset + size > bytes.length)
        throw new ElfError(
          `${size} bytes at 0x${offset.toString(16)} end beyond the file (${bytes.length})`,
          {
            offset: at,
            section: name || `#${index}`,
          },
        );
      if (type === SHT_NOBITS && size > 0xffffffff)
        throw new ElfError(`absurd size ${size}`, { offset: at, section: name || `#${index}` });
      sections.push({
        index,
        name,
        type,
        flags: this.#u32(this.littleEndian ? at + 8 : at + 12),
        offset,
        size: type === SHT_NULL ? 0 : size,
        link: this.#u32(at + 40),
        info: this.#u32(at + 44),
        addralign: this.#u64(at + 48),
        entsize: this.#u64(at + 56),
        data: inFile ? bytes.subarray(offset, offset + size) : bytes.subarray(0, 0),
      });
    }
    rejectOverlap(sections);
    return sections;
  }

  #checkSymtab(symtab: ElfSection): number {
    if (symtab.entsize !== SYM_SIZE || symtab.size % SYM_SIZE !== 0)
      throw new ElfError(
        `symbols of ${symtab.entsize} bytes in ${symtab.size}, want ${SYM_SIZE} each`,
        sectionPlace(symtab),
      );
    if (this.sections[symtab.link]?.type !== SHT_STRTAB)
      throw new ElfError(`symbol names in section ${symtab.link}, not a string table`, sectionPlace(symtab));
    return symtab.size / SYM_SIZE;
  }

  #u16(at: number): number {
    return this.#view.getUint16(at, this.littleEndian);
  }

  #u32(at: number): number {
    return this.#view.getUint32(at, this.littleEndian);
  }

  /** As a double: a value above 2^53 loses low bits, and is beyond any file anyway. */
  #u64(at: number): number {
    const [low, high] = this.littleEndian ? [at, at + 4] : [at + 4, at];
    return this.#u32(high) * 0x1_0000_0000 + this.#u32(low);
  }
}

/** Reads an object; throws ElfError with offset and section where it is broken. Contents are views of `bytes`. */
export function parseElf(bytes: Uint8Array): ElfFile {
  return new ElfFile(bytes);
}

function rejectOverlap(sections: readonly ElfSection[]): void {
  const sorted = sections.filter((s) => s.data.length > 0).sort((a, b) => a.offset - b.offset);
  for (let i = 1; i < sorted.length; i++) {
    const before = sorted[i - 1]!;
    const section = sorted[i]!;
    if (before.offset + before.size > section.offset)
      throw new ElfError(
        `overlaps section ${before.name} (${before.size} bytes at 0x${before.offset.toString(16)})`,
        {
          offset: section.offset,
          section: section.name,
        },
      );
  }
}

function readName(
  bytes: Uint8Array,
  start: number,
  size: number,
  offset: number,
  from: number,
  table: string,
): string {
  if (offset >= size)
    throw new ElfError(`name at ${offset} of a string table of ${size} bytes`, {
      offset: from,
      section: table,
    });
  const at = start + offset;
  const limit = Math.min(start + size, at + MAX_NAME);
  const window = bytes.subarray(at, limit);
  const end = window.indexOf(0);
  if (end < 0)
    throw new ElfError(`name without an end within ${window.length} bytes`, { offset: at, section: table });
  return decoder.decode(window.subarray(0, end));
}

function sectionPlace(section: ElfSection | undefined): { offset?: number; section?: string } {
  return section === undefined ? {} : { offset: section.offset, section: section.name };
}

function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(" ");
}
