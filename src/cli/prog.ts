// tsbpf prog show, prog dump: the programs of an object file.
import { Command } from "commander";
import type { BpfObject, ProgramSpec } from "../loader/index.ts";
import { bpf_attach_type_names, bpf_prog_type_names } from "../uapi/index.ts";
import { openObject } from "./object.ts";
import { print, printJson } from "./output.ts";

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
  return prog;
}

/** `xdp` for BPF_PROG_TYPE_XDP. */
export function progTypeName(type: number): string {
  return (bpf_prog_type_names[type] ?? `type_${type}`).replace("BPF_PROG_TYPE_", "").toLowerCase();
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
