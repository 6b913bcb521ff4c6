import { describe, expect, test } from "vitest";
import { ElfError } from "../diag/index.ts";
import {
  EM_NONE,
  parseElf,
  R_BPF_64_64,
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHT_NOBITS,
  SHT_PROGBITS,
  STB_GLOBAL,
  STB_LOCAL,
  STT_FUNC,
  STT_NOTYPE,
  STT_SECTION,
  writeElf,
} from "./index.ts";

function sample(littleEndian = true, machine = 247): Uint8Array {
  return writeElf({
    littleEndian,
    machine,
    sections: [
      {
        name: "xdp",
        type: SHT_PROGBITS,
        flags: SHF_ALLOC | SHF_EXECINSTR,
        data: new Uint8Array(24).fill(7),
        relocations: [{ offset: 8, type: R_BPF_64_64, symbol: 2 }],
      },
      { name: ".bss", type: SHT_NOBITS, size: 4096 },
    ],
    symbols: [
      { name: "", bind: STB_LOCAL, type: STT_SECTION, section: "xdp" },
      { name: "prog", bind: STB_GLOBAL, type: STT_FUNC, section: "xdp", size: 24 },
      { name: "outer", bind: STB_GLOBAL, type: STT_NOTYPE, section: 0 },
    ],
  });
}

describe("parseElf", () => {
  test.each([
    ["little", true],
    ["big", false],
  ])("reads what writeElf wrote, %s endian", (_name, little) => {
    const elf = parseElf(sample(little));
    expect(elf.littleEndian).toBe(little);
    expect(elf.sections.map((s) => s.name)).toEqual([
      "",
      "xdp",
      ".relxdp",
      ".bss",
      ".symtab",
      ".strtab",
      ".shstrtab",
    ]);
    expect(elf.section("xdp")).toMatchObject({ index: 1, flags: SHF_ALLOC | SHF_EXECINSTR, size: 24 });
    expect(elf.section("xdp")!.data).toEqual(new Uint8Array(24).fill(7));
    expect(elf.section(".bss")).toMatchObject({ size: 4096, data: new Uint8Array(0) });
    expect(elf.symbolCount).toBe(4);
    expect(elf.symbol(2)).toEqual({
      index: 2,
      name: "prog",
      value: 0,
      size: 24,
      bind: STB_GLOBAL,
      type: STT_FUNC,
      visibility: 0,
      shndx: 1,
    });
    expect(elf.relocations(elf.section(".relxdp")!)).toEqual([
      { offset: 8, type: R_BPF_64_64, symbol: 3, addend: undefined },
    ]);
  });

  test("takes EM_NONE, which old LLVM wrote", () => {
    expect(parseElf(sample(true, EM_NONE)).machine).toBe(EM_NONE);
  });

  const u64 = (at: number, value: bigint) => (b: DataView) => b.setBigUint64(at, value, true);
  const u16 = (at: number, value: number) => (b: DataView) => b.setUint16(at, value, true);
  const shoff = (b: DataView): number => Number(b.getBigUint64(40, true));
  const cases: [string, (b: DataView) => void, RegExp][] = [
    ["magic", (b) => b.setUint8(0, 0), /not an ELF file: it starts with 00 45 4c 46 \(offset 0x0\)/],
    ["class", (b) => b.setUint8(4, 1), /not a 64-bit/],
    ["byte order", (b) => b.setUint8(5, 3), /byte order 3/],
    ["executable", u16(16, 2), /e_type 2/],
    ["other machine", u16(18, 62), /e_machine 62/],
    ["no headers", u64(40, 0n), /no section headers/],
    ["headers beyond", u64(40, 1n << 60n), /beyond the end of the file/],
    ["count beyond", u16(60, 60000), /60000 section headers do not fit/],
    ["names index", u16(62, 200), /section 200 of 7/],
    ["names not strings", u16(62, 1), /not a string table/],
    [
      "section beyond",
      (b) => u64(shoff(b) + 64 + 32, 1n << 40n)(b),
      /xdp.*0x.*end beyond the file|end beyond the file.*xdp/,
    ],
    ["name beyond", (b) => b.setUint32(shoff(b) + 64, 9999, true), /name at 9999 of a string table/],
    ["overlap", (b) => u64(shoff(b) + 2 * 64 + 24, 72n)(b), /overlaps section .*section/],
    ["absurd bss", (b) => u64(shoff(b) + 3 * 64 + 32, 1n << 50n)(b), /absurd size.*\.bss/],
    ["symbol size", (b) => u64(shoff(b) + 4 * 64 + 56, 23n)(b), /symbols of 23 bytes/],
    ["symbol names", (b) => b.setUint32(shoff(b) + 4 * 64 + 40, 1, true), /not a string table/],
  ];
  test.each(cases)("refuses: %s", (_name, damage, message) => {
    const bytes = sample();
    damage(new DataView(bytes.buffer));
    expect(() => parseElf(bytes)).toThrow(ElfError);
    expect(() => parseElf(bytes)).toThrow(message);
  });

  test("names the symbol that a relocation lacks", () => {
    const bytes = sample();
    const elf = parseElf(bytes);
    const rel = elf.section(".relxdp")!;
    new DataView(bytes.buffer).setUint32(rel.offset + 12, 77, true);
    expect(() => elf.relocations(rel)).toThrow(/symbol 77 of 4 \(section \.relxdp/);
  });

  test("every truncation is an ElfError", () => {
    const bytes = sample();
    for (let length = 0; length < bytes.length; length++)
      expect(() => parseElf(bytes.slice(0, length))).toThrow(ElfError);
  });

  test("100 MB of garbage fail at once", () => {
    const bytes = new Uint8Array(100_000_000).fill(0xa5);
    const start = process.cpuUsage();
    expect(() => parseElf(bytes)).toThrow(ElfError);
    bytes.set(sample().subarray(0, 64));
    expect(() => parseElf(bytes)).toThrow(ElfError);
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(500);
  });
});
