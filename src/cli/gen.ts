// tsbpf gen: files made from object files.
import { Command } from "commander";
import { BpfLinker } from "../linker/index.ts";
import { readFile, writeFile } from "../platform/node.ts";
import { inFile } from "./output.ts";

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
  return gen;
}

function object(output: string, inputs: readonly string[], options: { readonly settle?: boolean }): void {
  const linker = new BpfLinker();
  for (const path of inputs) {
    const bytes = readFile(path);
    inFile(path, () => linker.add(bytes, path));
  }
  writeFile(output, linker.finish(options));
}
