/**
 * One object that goes into a link, checked (linker_load_obj_file and its sanity checks in libbpf's linker.c): which
 * sections take part, what BTF says of them, and where everything lands in the output.
 */
import {
  BTF_FUNC_STATIC,
  BTF_KIND_DATASEC,
  BTF_KIND_FUNC,
  BTF_KIND_VAR,
  BTF_VAR_GLOBAL_ALLOCATED,
  BTF_VAR_STATIC,
  type Btf,
  type BtfExt,
  type BtfVarSecinfo,
  parseBtf,
  parseBtfExt,
  validateBtf,
} from "../btf/index.ts";
import { LinkError } from "../diag/index.ts";
import {
  type ElfFile,
  type ElfSection,
  type ElfSymbol,
  EM_BPF,
  parseElf,
  R_BPF_64_32,
  R_BPF_64_64,
  R_BPF_64_ABS32,
  R_BPF_64_ABS64,
  SHF_EXECINSTR,
  SHN_LORESERVE,
  SHN_UNDEF,
  SHT_LLVM_ADDRSIG,
  SHT_NOBITS,
  SHT_PROGBITS,
  SHT_REL,
  SHT_STRTAB,
  SHT_SYMTAB,
  STB_GLOBAL,
  STB_LOCAL,
  STB_WEAK,
  STT_NOTYPE,
  STT_OBJECT,
  STT_SECTION,
  STV_DEFAULT,
  STV_HIDDEN,
} from "../elf/index.ts";
import type { OutputSection, OutputSymbol } from "./output.ts";

/** Larger alignments are damage: pages end at 64 KiB. */
const MAX_ALIGN = 1 << 16;
const RELOCATIONS: ReadonlySet<number> = new Set([R_BPF_64_64, R_BPF_64_32, R_BPF_64_ABS64, R_BPF_64_ABS32]);

/** Where externs that nothing declares a section for stand in BTF. */
export const BTF_EXTERN_SEC = ".extern";

export interface SourceSection {
  readonly name: string;
  /** Undefined for a section that only BTF knows (.ksyms, .kconfig). */
  readonly elf: ElfSection | undefined;
  /** It adds nothing: names, debug information, a licence that is there already. */
  skipped: boolean;
  /** BTF lists its variables (the list may be empty). */
  hasBtf: boolean;
  vars: readonly BtfVarSecinfo[];
  out: OutputSection | undefined;
  /** Where its contents start in `out`. */
  outOffset: number;
}

export class SourceObject {
  readonly name: string;
  readonly elf: ElfFile;
  readonly btf: Btf | undefined;
  readonly ext: BtfExt | undefined;
  /** By ELF index; those that only BTF knows follow. */
  readonly sections: SourceSection[];
  readonly symbols: readonly ElfSymbol[];
  /** What each symbol became. */
  readonly symbolMap: Map<number, OutputSymbol> = new Map();
  readonly #globals: ReadonlyMap<string, GlobalType>;

  constructor(bytes: Uint8Array, name: string) {
    this.name = name;
    this.elf = parseElf(bytes);
    if (this.elf.machine !== EM_BPF) throw this.error(`not a BPF object (e_machine ${this.elf.machine})`);
    if (this.elf.symtab === undefined) throw this.error("no symbol table");
    this.sections = this.elf.sections.map((elf) => ({
      name: elf.name,
      elf,
      skipped: elf.index === 0 || isIgnored(elf),
      hasBtf: false,
      vars: [],
      out: undefined,
      outOffset: 0,
    }));
    this.symbols = Array.from({ length: this.elf.symbolCount }, (_, i) => this.elf.symbol(i));
    let btf: Btf | undefined;
    let ext: ElfSection | undefined;
    for (const section of this.sections) {
      const { elf } = section;
      if (elf === undefined || section.skipped) continue;
      this.#checkSection(elf);
      if (elf.type === SHT_PROGBITS && elf.name === ".BTF") btf = parseBtf(elf.data, { name });
      else if (elf.type === SHT_PROGBITS && elf.name === ".BTF.ext") ext = elf;
      else continue;
      section.skipped = true;
    }
    this.#checkSymbols();
    for (const { elf } of this.sections) if (elf?.type === SHT_REL) this.#checkRelocations(elf);
    this.btf = btf;
    if (btf !== undefined) validateBtf(btf);
    if (ext !== undefined) {
      if (btf === undefined) throw this.error(".BTF.ext without .BTF");
      this.ext = parseBtfExt(ext.data, btf);
    }
    if (btf !== undefined) this.#readSections(btf);
    this.#globals = btf === undefined ? new Map() : globalTypes(btf);
  }

  error(message: string): LinkError {
    return new LinkError(this.name, message);
  }

  /** The first section of that name. */
  section(name: string): SourceSection | undefined {
    return this.sections.find((section, i) => i > 0 && section.name === name);
  }

  /** What BTF says of a global or extern symbol: the VAR or FUNC, and the DATASEC that lists it (0: none). */
  globalType(name: string): { readonly type: number; readonly datasec: number } {
    if (this.btf === undefined) throw this.error(`no BTF for global symbol '${name}'`);
    const found = this.#globals.get(name);
    if (found === undefined) throw this.error(`BTF does not have global symbol '${name}'`);
    if (found.ambiguous !== 0)
      throw this.error(
        `BTF has global symbol '${name}' as type ${found.type} and as type ${found.ambiguous}`,
      );
    return found;
  }

  #checkSection(elf: ElfSection): void {
    const known = [SHT_SYMTAB, SHT_PROGBITS, SHT_NOBITS, SHT_REL];
    if (!known.includes(elf.type))
      throw this.error(`section ${elf.name} of type ${elf.type} cannot be linked`);
    if (elf.name === "") throw this.error(`section ${elf.index} has no name`);
    const align = elf.addralign;
    if (align > MAX_ALIGN || (align & (align - 1)) !== 0)
      throw this.error(`section ${elf.name} is aligned to ${align}`);
    if (elf.type === SHT_PROGBITS && (elf.flags & SHF_EXECINSTR) !== 0 && elf.size % 8 !== 0)
      throw this.error(`section ${elf.name} of ${elf.size} bytes holds no whole instructions`);
  }

  #checkSymbols(): void {
    for (const symbol of this.symbols) {
      if (symbol.index === 0) continue;
      const what = `symbol ${symbol.index} '${symbol.name}'`;
      if (![STB_LOCAL, STB_GLOBAL, STB_WEAK].includes(symbol.bind))
        throw this.error(`${what} has binding ${symbol.bind}`);
      if (symbol.visibility !== STV_DEFAULT && symbol.visibility !== STV_HIDDEN)
        throw this.error(`${what} has visibility ${symbol.visibility}`);
      if (symbol.shndx === SHN_UNDEF) {
        const valid = symbol.type === STT_NOTYPE && symbol.bind !== STB_LOCAL;
        if (!valid || symbol.value !== 0 || symbol.size !== 0) throw this.error(`${what} is no valid extern`);
      } else if (symbol.shndx < SHN_LORESERVE && symbol.shndx >= this.elf.sections.length)
        throw this.error(`${what} lies in section ${symbol.shndx}, which is not there`);
      else if (symbol.type === STT_SECTION && symbol.value !== 0)
        throw this.error(`${what} of a section has value ${symbol.value}`);
    }
  }

  #checkRelocations(elf: ElfSection): void {
    if (elf.link !== this.elf.symtab!.index)
      throw this.error(`section ${elf.name} links to section ${elf.link}, not to the symbol table`);
    const target = elf.info === 0 ? undefined : this.sections[elf.info];
    if (target?.elf === undefined)
      throw this.error(`section ${elf.name} relocates section ${elf.info}, which is not there`);
    if (isDebug(target.name)) return;
    if (elf.name !== `.rel${target.name}`)
      throw this.error(`section ${elf.name} relocates section ${target.name}, whose name is another`);
    if (target.skipped) return;
    if (target.elf.type !== SHT_PROGBITS && target.elf.type !== SHT_NOBITS)
      throw this.error(`section ${elf.name} relocates neither code nor data`);
    for (const [i, relocation] of this.elf.relocations(elf).entries()) {
      const what = `relocation ${i} of ${target.name}`;
      if (!RELOCATIONS.has(relocation.type)) throw this.error(`${what} is of type ${relocation.type}`);
      if (relocation.symbol === 0) throw this.error(`${what} names no symbol`);
      if ((target.elf.flags & SHF_EXECINSTR) !== 0 && relocation.offset % 8 !== 0)
        throw this.error(`${what} at ${relocation.offset} is at no instruction`);
      if (relocation.offset + 4 > target.elf.size)
        throw this.error(`${what} at ${relocation.offset} lies beyond ${target.elf.size} bytes`);
    }
  }

  /** Ties DATASECs to sections; compilers leave the offsets of global variables to the symbols. */
  #readSections(btf: Btf): void {
    const objects = new Map<string, ElfSymbol>();
    for (const symbol of this.symbols) {
      const key = `${symbol.shndx} ${symbol.name}`;
      if (symbol.type === STT_OBJECT && !objects.has(key)) objects.set(key, symbol);
    }
    for (let id = btf.startId; id < btf.typeCount; id++) {
      if (btf.kind(id) !== BTF_KIND_DATASEC) continue;
      const datasec = btf.type(id);
      if (datasec.kind !== BTF_KIND_DATASEC) continue;
      let section = this.section(datasec.name);
      if (section === undefined) {
        if (datasec.name === BTF_EXTERN_SEC) continue;
        if (datasec.name === "") throw this.error(`BTF type ${id}: a section without a name`);
        const { name } = datasec;
        section = {
          name,
          elf: undefined,
          skipped: false,
          hasBtf: true,
          vars: [],
          out: undefined,
          outOffset: 0,
        };
        this.sections.push(section);
      }
      section.hasBtf = true;
      const shndx = section.elf?.index ?? SHN_UNDEF;
      section.vars = datasec.vars.map((entry) => {
        const variable = btf.kind(entry.type) === BTF_KIND_VAR ? btf.type(entry.type) : undefined;
        if (variable?.kind !== BTF_KIND_VAR || variable.linkage !== BTF_VAR_GLOBAL_ALLOCATED) return entry;
        const symbol = objects.get(`${shndx} ${variable.name}`);
        if (symbol === undefined)
          throw this.error(`variable '${variable.name}' of section ${datasec.name} has no symbol`);
        return { ...entry, offset: symbol.value };
      });
    }
  }
}

interface GlobalType {
  readonly type: number;
  readonly datasec: number;
  /** Another type of that name; 0: none. */
  readonly ambiguous: number;
}

/** Every VAR and FUNC that is not static, by name; a DATASEC's entry wins over a type that stands alone. */
function globalTypes(btf: Btf): Map<string, GlobalType> {
  const out = new Map<string, GlobalType>();
  const listed = new Set<string>();
  for (let id = btf.startId; id < btf.typeCount; id++) {
    if (isNonStatic(btf, id)) {
      const name = btf.typeName(id);
      if (!listed.has(name)) out.set(name, { type: id, datasec: 0, ambiguous: 0 });
      continue;
    }
    if (btf.kind(id) !== BTF_KIND_DATASEC) continue;
    const datasec = btf.type(id);
    if (datasec.kind !== BTF_KIND_DATASEC) continue;
    for (const { type } of datasec.vars) {
      const name = btf.typeName(type);
      if (listed.has(name) || isStatic(btf, type)) continue;
      const alone = out.get(name)?.type ?? 0;
      out.set(name, { type, datasec: id, ambiguous: alone === type ? 0 : alone });
      listed.add(name);
    }
  }
  return out;
}

function isStatic(btf: Btf, id: number): boolean {
  const kind = btf.kind(id);
  if (kind === BTF_KIND_FUNC) return btf.vlen(id) === BTF_FUNC_STATIC;
  if (kind !== BTF_KIND_VAR) return false;
  const variable = btf.type(id);
  return variable.kind === BTF_KIND_VAR && variable.linkage === BTF_VAR_STATIC;
}

/** A variable or function that other objects may see or have. */
export function isNonStatic(btf: Btf, id: number): boolean {
  const kind = btf.kind(id);
  return (kind === BTF_KIND_VAR || kind === BTF_KIND_FUNC) && !isStatic(btf, id);
}

function isDebug(name: string): boolean {
  return name.startsWith(".debug_");
}

function isIgnored({ type, name, size }: ElfSection): boolean {
  if (type === SHT_STRTAB || type === SHT_LLVM_ADDRSIG) return true;
  if (type === SHT_PROGBITS && size === 0 && name === ".text") return true;
  if (isDebug(name)) return true;
  if (!name.startsWith(".rel")) return false;
  const target = name.slice(4);
  return isDebug(target) || target === ".BTF" || target === ".BTF.ext";
}
