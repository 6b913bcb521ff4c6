/**
 * How far the assembler and the disassemblers agree with their models, over Linux 6.12's BPF selftests: every recorded
 * program disassembles and assembles to itself in both dialects; every object built by clang-19 prints as
 * `llvm-objdump-19 -d --no-show-raw-insn` prints it; every file with inline assembly, as the text that clang-19 -S makes
 * of it, assembles to the code sections of its object.
 *
 *   npm run parity -- asm [--json]
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { assemble, disassemble, objdump } from "../src/asm/index.ts";
import { type ElfFile, parseElf } from "../src/elf/index.ts";
import { type Corpus, selftests } from "../tests/support/corpus.ts";
import { kernelBtf, type RecordedInsns, recordedRows } from "../tests/support/recorded.ts";
import type { ParityReport } from "./parity.ts";
import { buildSelftests, linuxSource } from "./selftests-build.ts";

const SHF_EXECINSTR = 4;
const SHT_NOBITS = 8;
const SHT_REL = 9;
const STT_SECTION = 3;
const SHN_LORESERVE = 0xff00;

export interface AsmParity {
  readonly programs: number;
  readonly roundtripLlvm: number;
  readonly roundtripKernel: number;
  readonly objects: number;
  readonly lines: number;
  readonly equalLines: number;
  /** Code sections of files with inline assembly. */
  readonly sections: number;
  readonly equalSections: number;
  /** The first lines that differ, and programs that do not come back. */
  readonly differences: readonly string[];
}

/** What llvm-objdump disassembles of an object, as plain data. */
export function objdumpSections(elf: ElfFile): Parameters<typeof objdump>[0]["sections"] {
  const symbols = Array.from({ length: elf.symbolCount }, (_, i) => elf.symbol(i)).filter(
    (s) => s.type !== STT_SECTION && s.shndx > 0 && s.shndx < SHN_LORESERVE,
  );
  return elf.sections
    .filter((s) => (s.flags & SHF_EXECINSTR) !== 0 && s.type !== SHT_NOBITS)
    .map((s) => ({ name: s.name, bytes: s.data, symbols: symbols.filter((y) => y.shndx === s.index) }));
}

function comesBack(bytes: Uint8Array, dialect: "llvm" | "kernel"): boolean {
  const again = assemble(disassemble(bytes, { dialect }), { dialect }).bytes;
  return again.length === bytes.length && again.every((b, i) => b === bytes[i]);
}

/** Wants `xz` and the recorded data. */
function roundtrips(differences: string[]): { programs: number; llvm: number; kernel: number } {
  const rows = recordedRows<RecordedInsns>("selftests-6.12.insns");
  const ok = { llvm: 0, kernel: 0 };
  for (const row of rows) {
    const bytes = Uint8Array.from(Buffer.from(row.insns, "hex"));
    for (const dialect of ["llvm", "kernel"] as const)
      if (comesBack(bytes, dialect)) ok[dialect]++;
      else differences.push(`${row.obj} ${row.prog}: does not come back in the ${dialect} dialect`);
  }
  return { programs: rows.length, ...ok };
}

/** The text without its data and debug sections, line by line. */
function codeOnly(text: string): string {
  let code = true;
  return text
    .split("\n")
    .map((line) => {
      const m = /^\s*\.(section|text|data|bss)\b(.*)/.exec(line);
      if (m) code = m[1] === "text" || /,"[^"]*x[^"]*"/.test(m[2]!);
      return code ? line : "";
    })
    .join("\n");
}

const LD_IMM64 = 0x18;

/** What a relocation will fill, blanked: immediates, and src, which tells the kind of call. */
function blankRelocated(bytes: Uint8Array, offsets: readonly number[]): Uint8Array {
  const blank = Uint8Array.from(bytes);
  for (const at of offsets) {
    blank[at + 1]! &= 15;
    blank.fill(0, at + 4, at + 8);
    if (blank[at] === LD_IMM64) blank.fill(0, at + 12, at + 16);
  }
  return blank;
}

/** Assembles the compiler's text of every file with inline assembly; counts the code sections that equal the object's. */
async function inlineAssembly(
  objects: Corpus,
  differences: string[],
): Promise<{ sections: number; equalSections: number }> {
  const progs = join(linuxSource(), "tools/testing/selftests/bpf/progs");
  const only = readdirSync(progs)
    .filter((f) => f.endsWith(".c") && /\basm\b|__asm|__naked/.test(readFileSync(join(progs, f), "utf8")))
    .map((f) => f.slice(0, -2));
  const otherBtf = kernelBtf("6.12");
  const texts = await buildSelftests({ only, text: true, ...(otherBtf ? { otherBtf } : {}) });
  let sections = 0;
  let equalSections = 0;
  for (const file of texts.objects) {
    const elf = parseElf(objects.read(file.replace(/\.s$/, ".bpf.o")));
    const ours = assemble(codeOnly(readFileSync(join(texts.dir, file), "utf8")), {
      resolve: (_, use) => (use === "value" ? undefined : 0),
    }).sections;
    for (const section of elf.sections) {
      if ((section.flags & SHF_EXECINSTR) === 0 || section.size === 0) continue;
      const offsets = elf.sections
        .filter((s) => s.type === SHT_REL && s.info === section.index)
        .flatMap((s) => elf.relocations(s).map((r) => r.offset));
      const text = blankRelocated(ours.get(section.name) ?? new Uint8Array(), offsets);
      sections++;
      if (Buffer.compare(text, blankRelocated(section.data, offsets)) === 0) equalSections++;
      else differences.push(`${file}: section ${section.name} assembles to other bytes`);
    }
  }
  return { sections, equalSections };
}

export async function measureAsm(): Promise<AsmParity> {
  const differences: string[] = [];
  const { programs, llvm, kernel } = roundtrips(differences);
  const corpus = await selftests();
  let lines = 0;
  let equalLines = 0;
  for (let at = 0; at < corpus.objects.length; at += 50) {
    const batch = corpus.objects.slice(at, at + 50);
    const run = spawnSync(
      "llvm-objdump-19",
      ["-d", "--no-show-raw-insn", ...batch.map((o) => join(corpus.dir, o))],
      { encoding: "utf8", maxBuffer: 1 << 28 },
    );
    if (run.status !== 0) throw new Error(`llvm-objdump-19: ${run.error ?? run.stderr}`);
    const theirs = run.stdout.split("\n");
    const ours = batch
      .map((o) =>
        objdump({ fileName: join(corpus.dir, o), sections: objdumpSections(parseElf(corpus.read(o))) }),
      )
      .join("")
      .split("\n");
    lines += Math.max(theirs.length, ours.length) - 1;
    equalLines -= 1;
    theirs.forEach((line, i) => {
      if (line === ours[i]) equalLines++;
      else if (differences.length < 100) differences.push(`llvm: ${line}\nours: ${ours[i]}`);
    });
  }
  const inline = await inlineAssembly(corpus, differences);
  return {
    programs,
    roundtripLlvm: llvm,
    roundtripKernel: kernel,
    objects: corpus.objects.length,
    lines,
    equalLines,
    ...inline,
    differences,
  };
}

export async function parity(): Promise<ParityReport> {
  const r = await measureAsm();
  return {
    summary:
      `asm: roundtrip-llvm ${r.roundtripLlvm}/${r.programs}, roundtrip-kernel ${r.roundtripKernel}/${r.programs}, ` +
      `objdump ${r.equalLines}/${r.lines} lines, clang -S ${r.equalSections}/${r.sections} sections`,
    notes: r.differences.slice(0, 20),
    rows: [r],
    ok: r.differences.length === 0,
  };
}
