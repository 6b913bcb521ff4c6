// tsbpf disasm: instructions to text.
import { Command, Option } from "commander";
import { disassemble, type ObjdumpSection, objdump, SLOT_SIZE } from "../asm/index.ts";
import { AsmError } from "../diag/index.ts";
import {
  type ElfFile,
  parseElf,
  SHF_EXECINSTR,
  SHN_LORESERVE,
  SHT_NOBITS,
  STT_SECTION,
} from "../elf/index.ts";
import { readFile } from "../platform/node.ts";
import { inFile, isElf, print, printJson } from "./output.ts";

type Dialect = "llvm" | "kernel";

interface DisasmOptions {
  readonly dialect: Dialect;
  readonly json?: boolean;
}

export interface ListingRow {
  readonly slot: number;
  readonly bytes: Uint8Array;
  readonly text: string;
}

export function disasmCommand(): Command {
  return new Command("disasm")
    .description("disassemble an object's sections, as llvm-objdump -d, or bare instructions")
    .argument("<file>", "object, instruction bytes, or their hex digits; - is standard input")
    .addOption(dialectOption())
    .option("-j, --json", "print JSON")
    .action(disasm);
}

export function dialectOption(): Option {
  return new Option("--dialect <dialect>", "LLVM's, or the kernel verifier's")
    .choices(["llvm", "kernel"])
    .default("llvm");
}

/** A row an instruction; the text assembles to its bytes again. */
export function listing(bytes: Uint8Array, dialect: Dialect): ListingRow[] {
  const lines = disassemble(bytes, { dialect, numbers: true }).split("\n").filter(Boolean);
  const starts = lines.map((line) => Number.parseInt(line, 10));
  return lines.map((line, i) => ({
    slot: starts[i]!,
    bytes: bytes.subarray(starts[i]! * SLOT_SIZE, (starts[i + 1] ?? bytes.length / SLOT_SIZE) * SLOT_SIZE),
    text: line.slice(line.indexOf(":") + 2),
  }));
}

function disasm(path: string, options: DisasmOptions): void {
  const bytes = readFile(path);
  const { dialect, json } = options;
  inFile(path, () => {
    if (!isElf(bytes)) {
      const code = fromHex(bytes) ?? bytes;
      if (json) printJson({ insns: listing(code, dialect) });
      else print(disassemble(code, { dialect }));
      return;
    }
    const sections = executableSections(parseElf(bytes));
    if (json)
      printJson({
        sections: sections.map((section) => ({ name: section.name, insns: listing(section.bytes, dialect) })),
      });
    else if (dialect === "llvm") print(objdump({ fileName: path, sections }));
    else
      for (const section of sections)
        print(`${section.name}:\n${disassemble(section.bytes, { dialect, numbers: true })}\n`);
  });
}

/** The bytes that hex digits (and white space) spell, or undefined for anything else. */
function fromHex(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length === 0) throw new AsmError("the file is empty");
  const text = new TextDecoder("latin1").decode(bytes);
  if (!/^[0-9a-fA-F\s]*$/.test(text)) return undefined;
  const digits = text.replace(/\s+/g, "");
  if (digits.length % 2 !== 0) throw new AsmError(`${digits.length} hex digits: the last byte is half`);
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) =>
    Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16),
  );
}

function executableSections(elf: ElfFile): ObjdumpSection[] {
  const symbols = Array.from({ length: elf.symbolCount }, (_, i) => elf.symbol(i)).filter(
    (symbol) => symbol.type !== STT_SECTION && symbol.shndx > 0 && symbol.shndx < SHN_LORESERVE,
  );
  return elf.sections
    .filter((section) => (section.flags & SHF_EXECINSTR) !== 0 && section.type !== SHT_NOBITS)
    .map((section) => ({
      name: section.name,
      bytes: section.data,
      symbols: symbols.filter((symbol) => symbol.shndx === section.index),
    }));
}
