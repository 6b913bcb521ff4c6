// tsbpf gen: files made from object files.
import { basename } from "node:path";
import { Command } from "commander";
import { type CoreUser, minCoreBtf, parseBtf, parseBtfExt } from "../btf/index.ts";
import { BtfError } from "../diag/index.ts";
import { parseElf } from "../elf/index.ts";
import { BpfLinker } from "../linker/index.ts";
import { generateSkeleton } from "../loader/index.ts";
import { readFile, writeFile } from "../platform/node.ts";
import { readBtf } from "./btf.ts";
import { inFile, UsageError } from "./output.ts";

export function genCommand(): Command {
  const gen = new Command("gen").description("make files from object files");
  gen.addCommand(
    new Command("object")
      .description("link object files into one, as `bpftool gen object`")
      .argument("<output>", "object file to write")
      .argument("<inputs...>", "object files, in order")
      .option(
        "--settle",
        "offsets of externs that a later object defines are right at once (bpftool: when linked again)",
      )
      .action(object),
  );
  gen.addCommand(
    new Command("skeleton")
      .description("a TypeScript module with an object's programs, maps and variables, typed")
      .argument("<object>", "object file")
      .argument("[name]", "the word `name`, as bpftool has it")
      .argument("[value]", "the object's name; without one, the file's name up to its first dot")
      .option("-o, --output <file>", "file to write instead of standard output")
      .option("--from <module>", "what the module imports", "tsbpf")
      .action(skeleton),
  );
  gen.addCommand(
    new Command("min_core_btf")
      .description(
        "the part of a kernel's BTF that objects need for their relocations, as `bpftool gen min_core_btf`",
      )
      .argument("<input>", "BTF of the kernel; - is standard input")
      .argument("<output>", "file to write")
      .argument("<objects...>", "object files")
      .action(minCore),
  );
  return gen;
}

function minCore(input: string, output: string, objects: readonly string[]): void {
  const target = readBtf(input);
  const users = objects.map((path): CoreUser => {
    const bytes = readFile(path);
    return inFile(path, () => {
      const elf = parseElf(bytes);
      const [types, ext] = [".BTF", ".BTF.ext"].map((name) => elf.section(name)?.data);
      if (types === undefined || ext === undefined) throw new BtfError("no .BTF or no .BTF.ext section");
      const btf = parseBtf(types);
      return { btf, ext: parseBtfExt(ext, btf) };
    });
  });
  writeFile(output, minCoreBtf(target, users).bytes);
}

function skeleton(
  path: string,
  word: string | undefined,
  value: string | undefined,
  options: { readonly output?: string; readonly from: string },
): void {
  if (word !== undefined && (word !== "name" || value === undefined))
    throw new UsageError(`after the object: name NAME, not '${word}'`);
  const bytes = readFile(path);
  const name = value ?? (basename(path).split(".")[0] || "object");
  const text = inFile(path, () => generateSkeleton(bytes, { name, from: options.from }));
  if (options.output === undefined) process.stdout.write(text);
  else writeFile(options.output, new TextEncoder().encode(text));
}

function object(output: string, inputs: readonly string[], options: { readonly settle?: boolean }): void {
  const linker = new BpfLinker();
  for (const path of inputs) {
    const bytes = readFile(path);
    inFile(path, () => linker.add(bytes, path));
  }
  writeFile(output, linker.finish(options));
}
