// Objects and programs as named on the command line.
import { basename } from "node:path";
import { BpfObject, type ProgramSpec } from "../loader/index.ts";
import { readFile } from "../platform/node.ts";
import { bpf_prog_type_names } from "../uapi/index.ts";
import { inFile, UsageError } from "./output.ts";

/** Opens an object file (`-`: standard input) under the name that libbpf would give it. */
export function openObject(path: string): BpfObject {
  const bytes = readFile(path);
  return inFile(path, () => BpfObject.open(bytes, { name: basename(path).split(".")[0] || "object" }));
}

/** The program called `name`, or the only one. Throws UsageError that lists what there is. */
export function chooseProgram(object: BpfObject, path: string, name: string | undefined): ProgramSpec {
  const names = object.programList.map((program) => program.name);
  if (names.length === 0) throw new UsageError(`${path} holds no programs`);
  if (name === undefined) {
    if (names.length === 1) return object.programList[0]!;
    throw new UsageError(`${path} holds ${names.length} programs; name one with --prog: ${names.join(", ")}`);
  }
  const found = object.programs[name];
  if (found === undefined)
    throw new UsageError(`${path} holds no program "${name}"; it holds: ${names.join(", ")}`);
  return found;
}

/** `xdp` for BPF_PROG_TYPE_XDP. */
export function progTypeName(type: number): string {
  return (bpf_prog_type_names[type] ?? `type_${type}`).replace("BPF_PROG_TYPE_", "").toLowerCase();
}
