/**
 * How far the assembler and the disassemblers agree with their models, over Linux 6.12's BPF selftests: every recorded
 * program disassembles and assembles to itself in both dialects; every object built by clang-19 prints as
 * `llvm-objdump-19 -d --no-show-raw-insn` prints it.
 *
 *   npm run parity -- asm [--json]
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { assemble, disassemble, objdump } from "../src/asm/index.ts";
import { type ElfFile, parseElf } from "../src/elf/index.ts";
import { selftests } from "../tests/support/corpus.ts";
import { type RecordedInsns, recordedRows } from "../tests/support/recorded.ts";

const SHF_EXECINSTR = 4;
const SHT_NOBITS = 8;
const STT_SECTION = 3;
const SHN_LORESERVE = 0xff00;

export interface AsmParity {
  readonly programs: number;
  readonly roundtripLlvm: number;
  readonly roundtripKernel: number;
  readonly objects: number;
  readonly lines: number;
  readonly equalLines: number;
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
  return {
    programs,
    roundtripLlvm: llvm,
    roundtripKernel: kernel,
    objects: corpus.objects.length,
    lines,
    equalLines,
    differences,
  };
}

export async function parityAsm(args: string[]): Promise<void> {
  const r = await measureAsm();
  if (args.includes("--json")) console.log(JSON.stringify(r));
  for (const difference of r.differences.slice(0, 20)) console.log(difference);
  console.log(
    `asm: roundtrip-llvm ${r.roundtripLlvm}/${r.programs}, roundtrip-kernel ${r.roundtripKernel}/${r.programs}, ` +
      `objdump ${r.equalLines}/${r.lines} lines`,
  );
}
