/** Writes small relocatable objects: what tests and generators need, and the shape that `parseElf` reads back. */
import { EM_BPF, ET_REL, SHT_NOBITS, SHT_REL, SHT_STRTAB, SHT_SYMTAB } from "./constants.ts";

export interface ElfSectionInput {
  readonly name: string;
  readonly type: number;
  readonly flags?: number;
  readonly data?: Uint8Array;
  /** SHT_NOBITS: bytes in memory. */
  readonly size?: number;
  readonly addralign?: number;
  readonly entsize?: number;
  /** Relocations that apply to this section; a `.rel` section follows it. `symbol` is an index of `symbols`. */
  readonly relocations?: readonly {
    readonly offset: number;
    readonly type: number;
    readonly symbol: number;
  }[];
}

export interface ElfSymbolInput {
  readonly name: string;
  readonly value?: number;
  readonly size?: number;
  readonly bind: number;
  readonly type: number;
  readonly visibility?: number;
  /** Name of its section, or a number (SHN_*); undefined section: 0. */
  readonly section: string | number;
}

export interface ElfInput {
  readonly littleEndian?: boolean;
  readonly machine?: number;
  readonly sections: readonly ElfSectionInput[];
  readonly symbols?: readonly ElfSymbolInput[];
}

interface Placed {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly data: Uint8Array;
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly addralign: number;
  readonly entsize: number;
}

const encoder = new TextEncoder();

class Strings {
  readonly #parts: number[] = [0];
  readonly #seen = new Map<string, number>([["", 0]]);
  add(text: string): number {
    let at = this.#seen.get(text);
    if (at === undefined) {
      at = this.#parts.length;
      this.#seen.set(text, at);
      this.#parts.push(...encoder.encode(text), 0);
    }
    return at;
  }
  bytes(): Uint8Array {
    return Uint8Array.from(this.#parts);
  }
}

/** Local symbols must come first, as the format asks; symbol 0 (null) is added, so that `symbols[0]` gets index 1. */
export function writeElf(input: ElfInput): Uint8Array {
  const little = input.littleEndian ?? true;
  const symbols = input.symbols ?? [];
  const sectionIndex = new Map<string, number>();
  let next = 1;
  for (const section of input.sections) {
    sectionIndex.set(section.name, next);
    next += section.relocations ? 2 : 1;
  }
  const symtabIndex = next;
  const placed: Placed[] = [];
  for (const section of input.sections) {
    const data = section.data ?? new Uint8Array(0);
    placed.push({
      name: section.name,
      type: section.type,
      flags: section.flags ?? 0,
      data: section.type === SHT_NOBITS ? new Uint8Array(0) : data,
      size: section.type === SHT_NOBITS ? (section.size ?? 0) : data.length,
      link: 0,
      info: 0,
      addralign: section.addralign ?? 8,
      entsize: section.entsize ?? 0,
    });
    if (section.relocations)
      placed.push({
        name: `.rel${section.name}`,
        type: SHT_REL,
        flags: 0,
        ...sized(relocationBytes(section.relocations, little)),
        link: symtabIndex,
        info: sectionIndex.get(section.name)!,
        addralign: 8,
        entsize: 16,
      });
  }
  const names = new Strings();
  const symbolNames = new Strings();
  const firstGlobal = symbols.findIndex((s) => s.bind !== 0);
  placed.push({
    name: ".symtab",
    type: SHT_SYMTAB,
    flags: 0,
    ...sized(symbolBytes(symbols, symbolNames, sectionIndex, little)),
    link: symtabIndex + 1,
    info: (firstGlobal < 0 ? symbols.length : firstGlobal) + 1,
    addralign: 8,
    entsize: 24,
  });
  placed.push(stringSection(".strtab", symbolNames.bytes()));
  for (const section of placed) names.add(section.name);
  names.add(".shstrtab");
  placed.push(stringSection(".shstrtab", names.bytes()));
  return layOut(placed, names, input.machine ?? EM_BPF, little);
}

function sized(data: Uint8Array): { data: Uint8Array; size: number } {
  return { data, size: data.length };
}

function stringSection(name: string, data: Uint8Array): Placed {
  return { name, type: SHT_STRTAB, flags: 0, ...sized(data), link: 0, info: 0, addralign: 1, entsize: 0 };
}

function relocationBytes(
  relocations: readonly { readonly offset: number; readonly type: number; readonly symbol: number }[],
  little: boolean,
): Uint8Array {
  const out = new DataView(new ArrayBuffer(relocations.length * 16));
  relocations.forEach((r, i) => {
    out.setBigUint64(i * 16, BigInt(r.offset), little);
    out.setBigUint64(i * 16 + 8, (BigInt(r.symbol + 1) << 32n) | BigInt(r.type), little);
  });
  return new Uint8Array(out.buffer);
}

function symbolBytes(
  symbols: readonly ElfSymbolInput[],
  names: Strings,
  sections: ReadonlyMap<string, number>,
  little: boolean,
): Uint8Array {
  const out = new DataView(new ArrayBuffer((symbols.length + 1) * 24));
  symbols.forEach((symbol, i) => {
    const at = (i + 1) * 24;
    out.setUint32(at, names.add(symbol.name), little);
    out.setUint8(at + 4, (symbol.bind << 4) | symbol.type);
    out.setUint8(at + 5, symbol.visibility ?? 0);
    const shndx = typeof symbol.section === "number" ? symbol.section : sections.get(symbol.section);
    if (shndx === undefined) throw new RangeError(`symbol ${symbol.name}: no section ${symbol.section}`);
    out.setUint16(at + 6, shndx, little);
    out.setBigUint64(at + 8, BigInt(symbol.value ?? 0), little);
    out.setBigUint64(at + 16, BigInt(symbol.size ?? 0), little);
  });
  return new Uint8Array(out.buffer);
}

function layOut(placed: readonly Placed[], names: Strings, machine: number, little: boolean): Uint8Array {
  let offset = 64;
  const offsets = placed.map((section) => {
    const align = Math.max(1, section.addralign);
    offset = Math.ceil(offset / align) * align;
    const at = offset;
    offset += section.data.length;
    return at;
  });
  const shoff = Math.ceil(offset / 8) * 8;
  const count = placed.length + 1;
  const bytes = new Uint8Array(shoff + count * 64);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, little ? 1 : 2, 1]);
  view.setUint16(16, ET_REL, little);
  view.setUint16(18, machine, little);
  view.setUint32(20, 1, little);
  view.setBigUint64(40, BigInt(shoff), little);
  view.setUint16(52, 64, little);
  view.setUint16(58, 64, little);
  view.setUint16(60, count, little);
  view.setUint16(62, count - 1, little);
  placed.forEach((section, i) => {
    bytes.set(section.data, offsets[i]);
    const at = shoff + (i + 1) * 64;
    view.setUint32(at, names.add(section.name), little);
    view.setUint32(at + 4, section.type, little);
    view.setBigUint64(at + 8, BigInt(section.flags), little);
    view.setBigUint64(at + 24, BigInt(offsets[i]!), little);
    view.setBigUint64(at + 32, BigInt(section.size), little);
    view.setUint32(at + 40, section.link, little);
    view.setUint32(at + 44, section.info, little);
    view.setBigUint64(at + 48, BigInt(section.addralign), little);
    view.setBigUint64(at + 56, BigInt(section.entsize), little);
  });
  return bytes;
}
