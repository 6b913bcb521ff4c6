// tsbpf asm: text to instructions.
import { Command, Option } from "commander";
import { assemble, SLOT_SIZE } from "../asm/index.ts";
import { OutputFile, readFile } from "../platform/node.ts";
import { hexBytes, inFile, print, printJson } from "./output.ts";

interface AsmOptions {
  readonly dialect: "llvm" | "kernel" | "mnemonic";
  readonly output?: string;
  readonly json?: boolean;
}

export function asmCommand(): Command {
  return new Command("asm")
    .description("assemble BPF; prints a line of hex an instruction slot, which disasm reads again")
    .argument("<file>", "assembly text; - is standard input")
    .addOption(
      new Option("--dialect <dialect>", "LLVM's, the kernel verifier's, or one mnemonic an instruction")
        .choices(["llvm", "kernel", "mnemonic"])
        .default("llvm"),
    )
    .option("-o, --output <file>", "write the instructions' bytes there")
    .option("-j, --json", "print JSON")
    .action(asm);
}

function asm(path: string, options: AsmOptions): void {
  const text = new TextDecoder().decode(readFile(path));
  const { bytes, labels } = inFile(path, () => assemble(text, { dialect: options.dialect }));
  if (options.output !== undefined) {
    const file = new OutputFile(options.output);
    file.write(bytes);
    file.close();
  }
  if (options.json) {
    const slots = new Map([...labels].map(([name, offset]) => [name, offset / SLOT_SIZE]));
    printJson({ insns: bytes.length / SLOT_SIZE, bytes, labels: slots });
  } else if (options.output === undefined) {
    let lines = "";
    for (let at = 0; at < bytes.length; at += SLOT_SIZE)
      lines += `${hexBytes(bytes.subarray(at, at + SLOT_SIZE))}\n`;
    print(lines);
  }
}
