/**
 * The static linker: several BPF objects become one, which then opens as if it had been one source file. Answers
 * libbpf's linker.c (bpf_linker__add_file, bpf_linker__finalize) and `bpftool gen object`.
 *
 * For each object: sections of one name are laid behind each other; symbols are resolved by name, a strong definition
 * over a weak one over an extern; relocations move along; types are appended. At the end all types are deduplicated.
 */
import {
  BTF_EXT_FIELDS,
  BTF_KIND_DATASEC,
  type Btf,
  BtfBuilder,
  type BtfExtPart,
  convertBtf,
  dedupBtf,
  encodeBtfExt,
} from "../btf/index.ts";
import { LinkError } from "../diag/index.ts";
import {
  type ElfSectionInput,
  SHF_EXECINSTR,
  SHT_NOBITS,
  SHT_PROGBITS,
  SHT_REL,
  STB_LOCAL,
  STT_SECTION,
  writeElf,
} from "../elf/index.ts";
import { type ExtPart, OutputSection } from "./output.ts";
import { SourceObject, type SourceSection } from "./source.ts";
import { SymbolTable } from "./symbols.ts";
import { appendExt, appendTypes } from "./types.ts";

const BPF_JMP_CALL = 0x85;
/** Of these every object has its own; they have to agree, and one is kept. */
const SAME_EVERYWHERE: ReadonlySet<string> = new Set(["license", "version"]);

export interface FinishOptions {
  /**
   * A global that an object declares and a later one defines gets its right offset in BTF. bpftool leaves that to a
   * second linking of the result, and so does this linker unless asked.
   */
  readonly settle?: boolean;
}

export class BpfLinker {
  readonly #sections = new Map<string, OutputSection>();
  readonly #symbols = new SymbolTable();
  readonly #builder = new BtfBuilder();
  #littleEndian: boolean | undefined;
  #opened: Btf | undefined;
  #broken = false;

  /**
   * Adds an object; `name` stands in errors. Throws ElfError or BtfError where it is broken and LinkError where it does
   * not fit to those before it; after that the linker is of no use.
   */
  add(bytes: Uint8Array, name: string): void {
    if (this.#broken) throw new LinkError(name, "an object before it could not be linked");
    this.#broken = true;
    const object = new SourceObject(bytes, name);
    this.#littleEndian ??= object.elf.littleEndian;
    if (object.elf.littleEndian !== this.#littleEndian) throw object.error("its byte order is another");
    const types = (): Btf => (this.#opened ??= this.#builder.toBtf());
    this.#opened = undefined;
    this.#appendSections(object);
    this.#symbols.append(object, this.#builder, types);
    this.#appendRelocations(object);
    this.#opened = undefined;
    const map = appendTypes(object, this.#builder, this.#symbols.globals, types);
    appendExt(object, this.#builder, map);
    this.#broken = false;
  }

  #appendSections(object: SourceObject): void {
    for (const section of object.sections) {
      const { elf, name } = section;
      if (section.skipped || (elf !== undefined && elf.type !== SHT_PROGBITS && elf.type !== SHT_NOBITS))
        continue;
      let out = this.#sections.get(name);
      if (out === undefined) this.#sections.set(name, (out = new OutputSection(name)));
      else if (out.inElf && elf !== undefined) {
        for (const field of ["type", "flags", "entsize"] as const)
          if (out[field] !== elf[field])
            throw object.error(`section ${name} has ${field} ${elf[field]}, before it was ${out[field]}`);
        if (SAME_EVERYWHERE.has(name)) {
          if (!equal(out.bytes, elf.data))
            throw object.error(`section ${name} has other contents than before`);
          section.skipped = true;
          section.out = out;
          continue;
        }
      }
      section.out = out;
      if (elf === undefined) continue;
      if (!out.inElf) {
        out.inElf = true;
        out.type = elf.type;
        out.flags = elf.flags;
        out.entsize = elf.entsize;
      }
      section.outOffset = out.append(elf.size, elf.addralign, elf.type === SHT_NOBITS ? undefined : elf.data);
    }
  }

  #appendRelocations(object: SourceObject): void {
    for (const section of object.sections) {
      if (section.elf?.type !== SHT_REL || section.skipped) continue;
      const target = object.sections[section.elf.info]!;
      if (target.skipped || target.out === undefined) continue;
      for (const { offset, type, symbol } of object.elf.relocations(section.elf)) {
        const to = object.symbolMap.get(symbol);
        const old = object.symbols[symbol]!;
        if (to === undefined)
          throw object.error(`section ${target.name} refers to '${old.name}', which is not linked`);
        if (old.type === STT_SECTION) this.#moveTarget(object, target, offset, object.sections[old.shndx]);
        target.out.relocations.push({ offset: offset + target.outOffset, type, symbol: to });
      }
    }
  }

  /** A relocation by section has its place in the instruction: the section's contents have moved. */
  #moveTarget(
    object: SourceObject,
    target: SourceSection,
    offset: number,
    to: SourceSection | undefined,
  ): void {
    if (to === undefined)
      throw object.error(`relocation at ${offset} of ${target.name} refers to no section`);
    if ((target.elf!.flags & SHF_EXECINSTR) === 0)
      throw object.error(
        `data in section ${target.name} refers to a place in section ${to.name}, not to a symbol`,
      );
    const { bytes } = target.out!;
    const at = target.outOffset + offset;
    if (at + 8 > bytes.length)
      throw object.error(`relocation at ${offset} lies beyond section ${target.name}`);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const little = object.elf.littleEndian;
    const step = bytes[at] === BPF_JMP_CALL ? to.outOffset / 8 : to.outOffset;
    view.setInt32(at + 4, (view.getInt32(at + 4, little) + step) | 0, little);
  }

  /** The linked object. */
  finish(options: FinishOptions = {}): Uint8Array {
    const little = this.#littleEndian;
    if (this.#broken || little === undefined)
      throw new LinkError("linked object", "there is nothing to write");
    if (options.settle ?? false) this.#settle();
    // Local symbols stand before the others in an ELF file.
    const symbols = [...this.#symbols.symbols].sort(
      (a, b) => Number(a.bind !== STB_LOCAL) - Number(b.bind !== STB_LOCAL),
    );
    const index = new Map(symbols.map((symbol, i) => [symbol, i]));
    const sections: ElfSectionInput[] = [];
    for (const out of this.#sections.values()) {
      if (!out.inElf) continue;
      sections.push({
        name: out.name,
        type: out.type,
        flags: out.flags,
        addralign: out.addralign,
        entsize: out.entsize,
        ...(out.type === SHT_NOBITS ? { size: out.size } : { data: out.bytes }),
        ...(out.relocations.length === 0
          ? {}
          : {
              relocations: out.relocations.map(({ offset, type, symbol }) => ({
                offset,
                type,
                symbol: index.get(symbol)!,
              })),
            }),
      });
    }
    return writeElf({
      littleEndian: little,
      sections: [...sections, ...this.#typeSections(little)],
      symbols: symbols.map((symbol) => ({ ...symbol, section: symbol.section?.name ?? symbol.shndx })),
    });
  }

  #settle(): void {
    for (const { symbol, section, isExtern, varIndex } of this.#symbols.globals.values())
      if (!isExtern && varIndex >= 0) section!.vars[varIndex]!.offset = symbol.value;
  }

  #typeSections(littleEndian: boolean): ElfSectionInput[] {
    if (this.#builder.nextId === 1) return [];
    for (const out of this.#sections.values())
      if (out.hasBtf)
        this.#builder.add({ kind: BTF_KIND_DATASEC, name: out.name, size: out.size, vars: out.vars });
    const outs = [...this.#sections.values()];
    const names = new Map<string, number>();
    for (const part of Object.keys(BTF_EXT_FIELDS) as ExtPart[])
      for (const { name, ext } of outs)
        if (ext[part].records.length > 0) names.set(name, this.#builder.addString(name));
    const result = dedupBtf(this.#builder.toBtf(), { keepStrings: true });
    const section = (name: string, data: Uint8Array): ElfSectionInput => ({ name, type: SHT_PROGBITS, data });
    const sections = [section(".BTF", convertBtf(result.btf, littleEndian))];
    if (names.size === 0) return sections;
    const finished = (part: ExtPart): BtfExtPart => {
      const used = outs.filter(({ ext }) => ext[part].records.length > 0);
      const recordSize = used[0]?.ext[part].recordSize ?? 0;
      return {
        recordSize,
        sections: used.map(({ name, ext }) => {
          if (ext[part].recordSize !== recordSize)
            throw new LinkError("linked object", `.BTF.ext: ${part} records of different sizes`);
          for (const record of ext[part].records) {
            const fields = word(record, littleEndian);
            for (const field of BTF_EXT_FIELDS[part].types) fields.set(field, result.ids[fields.get(field)]!);
          }
          return { section: name, count: ext[part].records.length, data: concat(ext[part].records) };
        }),
      };
    };
    const ext = {
      littleEndian,
      funcInfo: finished("funcInfo"),
      lineInfo: finished("lineInfo"),
      coreRelocations: finished("coreRelocations"),
    };
    sections.push(
      section(
        ".BTF.ext",
        encodeBtfExt(ext, (name) => names.get(name)!),
      ),
    );
    return sections;
  }
}

function word(
  record: Uint8Array,
  little: boolean,
): { get(at: number): number; set(at: number, v: number): void } {
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  return { get: (at) => view.getUint32(at, little), set: (at, v) => view.setUint32(at, v, little) };
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Links objects in the given order; see `BpfLinker`. */
export function linkObjects(
  objects: readonly { readonly name: string; readonly bytes: Uint8Array }[],
  options: FinishOptions = {},
): Uint8Array {
  const linker = new BpfLinker();
  for (const { name, bytes } of objects) linker.add(bytes, name);
  return linker.finish(options);
}
