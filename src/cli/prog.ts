// tsbpf prog show, prog dump: the programs of an object file.
import { Command } from "commander";
import type { BpfObject, ProgramSpec } from "../loader/index.ts";
import { BPF_PSEUDO_MAP_IDX_VALUE, BPF_PSEUDO_MAP_VALUE, bpf_attach_type_names } from "../uapi/index.ts";
import { dialectOption, listing } from "./disasm.ts";
import { chooseProgram, openObject, progTypeName } from "./object.ts";
import { inFile, print, printJson } from "./output.ts";

export function progCommand(): Command {
  const prog = new Command("prog").description("programs of an object file");
  prog.addCommand(
    new Command("show")
      .alias("list")
      .description("list the programs: section, type, instructions, maps")
      .argument("<obj>", "BPF object file; - is standard input")
      .option("-j, --json", "print JSON")
      .action(show),
  );
  prog.addCommand(
    new Command("dump")
      .description("print a program's instructions as the kernel gets them: linked, maps named")
      .argument("<obj>", "BPF object file; - is standard input")
      .option("--prog <name>", "this program only")
      .addOption(dialectOption())
      .option("-j, --json", "print JSON")
      .action(dump),
  );
  return prog;
}

function show(path: string, options: { readonly json?: boolean }): void {
  const object = openObject(path);
  const rows = object.programList.map((program) => describe(object, program));
  if (options.json) printJson({ license: object.license, programs: rows });
  else print(rows.map((row, i) => formatRow(row, i, object.license)).join(""));
}

interface ProgramRow {
  readonly name: string;
  readonly section: string;
  readonly type: string;
  readonly attach_type: string;
  readonly attach_target: string;
  readonly autoload: boolean;
  readonly bytes_xlated: number;
  readonly insns: number;
  /** The program itself, then what it calls. */
  readonly functions: readonly string[];
  readonly maps: readonly string[];
}

function describe(object: BpfObject, program: ProgramSpec): ProgramRow {
  const linked = object.link(program);
  return {
    name: program.name,
    section: program.sectionName,
    type: progTypeName(program.type),
    attach_type: attachTypeName(program),
    attach_target: program.attachTarget,
    autoload: program.autoload,
    bytes_xlated: linked.insns.length,
    insns: linked.insns.length / 8,
    functions: linked.functions.map(({ fn }) => fn.name),
    maps: [...new Set(linked.mapReferences.map(({ map }) => map.name))],
  };
}

/** "" where the section's name sets none; 0 is also the number of BPF_CGROUP_INET_INGRESS. */
function attachTypeName({ attachType, section }: ProgramSpec): string {
  if (attachType === 0 && !section?.def.pattern.startsWith("cgroup_skb")) return "";
  return (bpf_attach_type_names[attachType] ?? String(attachType)).replace("BPF_", "").toLowerCase();
}

function formatRow(row: ProgramRow, index: number, license: string): string {
  const head = [`${index}: ${row.type}  name ${row.name}  section ${row.section}`];
  if (row.attach_type) head.push(`attach_type ${row.attach_type}`);
  if (row.attach_target) head.push(`attach_target ${row.attach_target}`);
  head.push(license === "" ? "no license" : `license ${license}`);
  if (!row.autoload) head.push("not loaded unless asked for");
  const body = [`xlated ${row.bytes_xlated}B`, `insns ${row.insns}`];
  if (row.functions.length > 1) body.push(`functions ${row.functions.join(",")}`);
  if (row.maps.length > 0) body.push(`maps ${row.maps.join(",")}`);
  return `${head.join("  ")}\n\t${body.join("  ")}\n`;
}

interface DumpOptions {
  readonly prog?: string;
  readonly dialect: "llvm" | "kernel";
  readonly json?: boolean;
}

/** The instructions as the kernel would get them: subprograms linked in, maps named. */
function dump(path: string, options: DumpOptions): void {
  const object = openObject(path);
  const programs =
    options.prog === undefined && object.programList.length > 0
      ? object.programList
      : [chooseProgram(object, path, options.prog)];
  const dumps = programs.map((program) => {
    const linked = inFile(path, () => object.link(program));
    const maps = new Map(linked.mapReferences.map(({ insn, map }) => [insn, map.name]));
    const functions = new Map(linked.functions.map(({ insn, fn }) => [insn, fn.name]));
    const insns = listing(linked.insns, options.dialect).map((row) => ({
      ...row,
      ...(functions.has(row.slot) ? { function: functions.get(row.slot) } : {}),
      ...(maps.has(row.slot) ? { text: mapLoad(row.bytes, maps.get(row.slot)!, options.dialect) } : {}),
    }));
    return { name: program.name, type: progTypeName(program.type), insns };
  });
  if (options.json) {
    printJson({ programs: dumps });
    return;
  }
  let text = "";
  for (const { insns } of dumps)
    for (const row of insns) {
      if (row.function !== undefined) text += `${text === "" ? "" : "\n"}${row.function}:\n`;
      text += `${String(row.slot).padStart(4)}: ${row.text}\n`;
    }
  print(text);
}

/** LD_IMM64 of a map, or of a place in its first value, by the map's name. */
function mapLoad(bytes: Uint8Array, map: string, dialect: "llvm" | "kernel"): string {
  const dst = bytes[1]! & 15;
  const src = bytes[1]! >> 4;
  const offset = new DataView(bytes.buffer, bytes.byteOffset).getUint32(12, true);
  const isValue = src === BPF_PSEUDO_MAP_VALUE || src === BPF_PSEUDO_MAP_IDX_VALUE;
  if (dialect === "kernel") return `(18) r${dst} = map[${map}]${isValue ? `[0]+${offset}` : ""}`;
  return `r${dst} = ${map}${isValue ? `[0]+${offset}` : ""} ll`;
}
