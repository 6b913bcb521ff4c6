/**
 * Dumps of type information beside bpftool's, line by line: this machine's vmlinux BTF and every selftest object, in
 * all formats, by bpftool of the selftests' tree. The C of vmlinux compiled again gives the same structs, unions and
 * enums, and the types of all objects merged are as many as bpftool's linker has.
 *
 *   npm run parity -- btf [--json]
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_STRUCT,
  BTF_KIND_UNION,
  type Btf,
  BtfBuilder,
  btfRawJson,
  btfRawText,
  compareTypes,
  dedupBtf,
  dumpHeader,
  parseBtf,
} from "../src/btf/index.ts";
import { parseElf, SHT_PROGBITS, writeElf } from "../src/elf/index.ts";
import { type Corpus, selftests } from "../tests/support/corpus.ts";
import type { ParityReport } from "./parity.ts";
import { selftestsBpftool } from "./selftests-build.ts";

const VMLINUX = "/sys/kernel/btf/vmlinux";

/** Our dump and bpftool's arguments, by format. */
const FORMATS: Readonly<
  Record<string, { flags: string[]; words: string[]; ours: (btf: Btf) => Iterable<string> }>
> = {
  raw: { flags: [], words: ["format", "raw"], ours: rawLines },
  json: { flags: ["-j"], words: [], ours: (btf) => btfRawJson(btf) },
  pretty: { flags: ["-p"], words: [], ours: (btf) => btfRawJson(btf, { pretty: true }) },
  c: { flags: [], words: ["format", "c"], ours: (btf) => dumpHeader(btf) },
  "c unsorted": {
    flags: [],
    words: ["format", "c", "unsorted"],
    ours: (btf) => dumpHeader(btf, { unsorted: true }),
  },
};

function* rawLines(btf: Btf): Iterable<string> {
  for (let id = btf.startId; id < btf.typeCount; id++) yield `${btfRawText(btf, id)}\n`;
}

export function readBtf(path: string): Btf | undefined {
  const bytes = new Uint8Array(readFileSync(path));
  if (bytes[0] !== 0x7f) return parseBtf(bytes);
  const section = parseElf(bytes).section(".BTF");
  return section === undefined ? undefined : parseBtf(section.data);
}

/** The first line that differs, or undefined; `bpftool` is the path of one. */
export function compareDump(
  path: string,
  btf: Btf,
  format: string,
  bpftool: string = selftestsBpftool(),
): { lines: number; difference: string | undefined } {
  const { flags, words, ours } = FORMATS[format]!;
  const theirs = execFileSync(bpftool, [...flags, "btf", "dump", "file", path, ...words], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  const mine = [...ours(btf)].join("");
  const lines = theirs.split("\n").length - 1;
  if (mine === theirs) return { lines, difference: undefined };
  const a = mine.split("\n");
  const b = theirs.split("\n");
  const at = a.findIndex((line, i) => line !== b[i]);
  return { lines, difference: `line ${at + 1}: ${a[at]?.slice(0, 120)} | ${b[at]?.slice(0, 120)}` };
}

export const DUMP_FORMATS: readonly string[] = Object.keys(FORMATS);

export interface HeaderParity {
  readonly equal: number;
  readonly compared: number;
  readonly differences: readonly string[];
}

/** Compiles the header with `clang-19 -target bpf` and compares every named struct, union and enum with the original. */
export function compileHeader(btf: Btf, scratch: string): HeaderParity {
  let header = "";
  const pieces = dumpHeader(btf);
  let piece = pieces.next();
  for (; !piece.done; piece = pieces.next()) header += piece.value;
  const dumper = piece.value;
  const rows: { id: number; kind: number; tag: string }[] = [];
  for (let id = 1; id < btf.typeCount; id++) {
    const kind = btf.kind(id);
    if (WORDS[kind] === undefined || btf.nameOffset(id) === 0) continue;
    if (WORDS[kind] === "enum" && btf.vlen(id) === 0) continue;
    rows.push({ id, kind, tag: dumper.tag(id) });
  }
  // Clang writes the types that something uses: a variable of each.
  const variables = rows.map(({ kind, tag }, i) => `${WORDS[kind]} ${tag} *use_${i};`);
  const prologue =
    '#define BPF_NO_KFUNC_PROTOTYPES\n#define BPF_NO_PRESERVE_ACCESS_INDEX\n#include "header.h"\n';
  writeFileSync(join(scratch, "header.h"), header);
  writeFileSync(join(scratch, "use.c"), `${prologue}${variables.join("\n")}\n`);
  // The kernel is built so.
  const flags = ["-g", "-O0", "-w", "-funsigned-char", "--target=bpf", "-c"];
  execFileSync("clang-19", [...flags, join(scratch, "use.c"), "-o", join(scratch, "use.o")]);
  const compiled = readBtf(join(scratch, "use.o"))!;
  const differences: string[] = [];
  for (const { id, kind, tag } of rows) {
    const found = compiled.idsByName(tag).find((other) => compiled.kind(other) === kind);
    const options = { names: stripDuplicate, anyIntName: true, forwards: true, shallow: true };
    const reason =
      found === undefined ? "is not in the compiled header" : compareTypes(btf, id, compiled, found, options);
    if (reason !== undefined) differences.push(`${WORDS[kind]} ${tag} (type ${id}): ${reason}`);
  }
  return { equal: rows.length - differences.length, compared: rows.length, differences };
}

const WORDS: Readonly<Record<number, string>> = {
  [BTF_KIND_STRUCT]: "struct",
  [BTF_KIND_UNION]: "union",
  [BTF_KIND_ENUM]: "enum",
  [BTF_KIND_ENUM64]: "enum",
};

/** `name___2` of a second type of that name. */
function stripDuplicate(name: string): string {
  return name.replace(/___\d+$/, "");
}

/** All objects' types behind each other, deduplicated: our count, and that of bpftool's linker. */
export function mergedTypes(
  corpus: Corpus,
  scratch: string,
): { before: number; ours: number; theirs: number } {
  const builder = new BtfBuilder();
  const paths: string[] = [];
  for (const name of corpus.objects) {
    const section = parseElf(corpus.read(name)).section(".BTF");
    if (section === undefined) continue;
    const btf = parseBtf(section.data);
    // The linker drops sections and looks for the symbols of what is not static: types alone are left.
    const types = withoutGlobals(btf);
    builder.append(types);
    const path = join(scratch, name);
    const data = { name: ".BTF", type: SHT_PROGBITS, data: types.bytes, addralign: 1 };
    writeFileSync(path, writeElf({ sections: [data], symbols: [] }));
    paths.push(path);
  }
  const merged = builder.toBtf();
  const ours = dedupBtf(merged).btf.typeCount - 1;
  const out = join(scratch, "merged.o");
  execFileSync(selftestsBpftool(), ["gen", "object", out, ...paths]);
  return { before: merged.typeCount - 1, ours, theirs: readBtf(out)!.typeCount - 1 };
}

/** The same types, with every VAR, FUNC, DATASEC and DECL_TAG replaced by a pointer to what it is of. */
function withoutGlobals(btf: Btf): Btf {
  const builder = new BtfBuilder();
  for (let id = 1; id < btf.typeCount; id++) {
    const type = btf.type(id);
    if (type.kind === 12 || type.kind === 14) builder.add({ kind: 2, name: "", type: type.type });
    else if (type.kind === 15 || type.kind === 17) builder.add({ kind: 2, name: "", type: 0 });
    else builder.copy(btf, id, (other) => other);
  }
  return builder.toBtf();
}

export async function parity(): Promise<ParityReport> {
  const corpus = await selftests();
  const scratch = mkdtempSync(join(tmpdir(), "tsbpf-btf-"));
  const notes: string[] = [];
  const rows: object[] = [];
  const files = [VMLINUX, ...corpus.objects.map((name) => join(corpus.dir, name))];
  const equal: Record<string, number> = {};
  let dumps = 0;
  try {
    for (const path of files) {
      const btf = readBtf(path);
      if (btf === undefined) continue;
      dumps++;
      for (const format of DUMP_FORMATS) {
        const { lines, difference } = compareDump(path, btf, format);
        equal[format] = (equal[format] ?? 0) + (difference === undefined ? 1 : 0);
        if (difference !== undefined) notes.push(`${path} ${format}: ${difference}`);
        rows.push({ path, format, lines, difference });
      }
    }
    const vmlinux = readBtf(VMLINUX)!;
    const header = compileHeader(vmlinux, scratch);
    notes.push(...header.differences.slice(0, 20));
    const merged = mergedTypes(corpus, scratch);
    const counts = DUMP_FORMATS.map((format) => `${format} ${equal[format]}/${dumps}`).join(", ");
    return {
      summary: `btf: ${counts}, header types ${header.equal}/${header.compared}, merged ${merged.before} -> ${merged.ours} (bpftool ${merged.theirs})`,
      notes,
      rows,
      ok: notes.length === 0 && merged.ours === merged.theirs,
    };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
