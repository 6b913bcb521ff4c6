/** How two relocatable objects differ: sections, symbols and relocations by name, whatever their order in the file. */
import { type ElfFile, type ElfSymbol, parseElf, SHT_REL, SHT_STRTAB, SHT_SYMTAB } from "../src/elf/index.ts";

/** One line a difference; empty: they are the same. */
export function compareObjects(a: Uint8Array, b: Uint8Array): string[] {
  const x = parseElf(a);
  const y = parseElf(b);
  return [
    ...difference("section", sections(x), sections(y)),
    ...difference("symbol", symbols(x), symbols(y)),
    ...difference("relocations", relocations(x), relocations(y)),
  ];
}

function difference(what: string, a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] {
  const out: string[] = [];
  for (const key of new Set([...a.keys(), ...b.keys()])) {
    const [left, right] = [a.get(key) ?? "absent", b.get(key) ?? "absent"];
    if (left !== right) out.push(`${what} ${key}: ${left.slice(0, 200)} | ${right.slice(0, 200)}`);
  }
  return out;
}

function sections(elf: ElfFile): Map<string, string> {
  const own = elf.sections.filter((s) => s.index > 0 && ![SHT_STRTAB, SHT_SYMTAB, SHT_REL].includes(s.type));
  return new Map(
    own.map((s) => [
      s.name,
      `type ${s.type} flags ${s.flags} align ${s.addralign} entsize ${s.entsize} size ${s.size} ${Buffer.from(s.data).toString("base64")}`,
    ]),
  );
}

function place(elf: ElfFile, symbol: ElfSymbol): string {
  const section = elf.sections[symbol.shndx];
  return `${symbol.name || "-"}@${section === undefined ? symbol.shndx : section.name}+${symbol.value}`;
}

function symbols(elf: ElfFile): Map<string, string> {
  const out = new Map<string, string>();
  for (let i = 1; i < elf.symbolCount; i++) {
    const symbol = elf.symbol(i);
    const key = place(elf, symbol);
    const text = `bind ${symbol.bind} type ${symbol.type} visibility ${symbol.visibility} size ${symbol.size}`;
    out.set(key, `${out.get(key) ?? ""}${text};`);
  }
  return out;
}

function relocations(elf: ElfFile): Map<string, string> {
  const out = new Map<string, string>();
  for (const section of elf.sections.filter((s) => s.type === SHT_REL)) {
    const rows = elf
      .relocations(section)
      .map((r) => `${r.offset} ${r.type} ${place(elf, elf.symbol(r.symbol))}`)
      .sort();
    if (rows.length > 0) out.set(section.name, rows.join("\n"));
  }
  return out;
}
