// tsbpf filter: a classic BPF program, as `tcpdump -ddd` prints it, over a capture.
import { Command } from "commander";
import {
  type ClassicInsn,
  classicToEbpf,
  decodeClassic,
  disassembleClassic,
  encodeClassic,
  parseDdd,
  validateClassic,
} from "../asm/index.ts";
import { readFile } from "../platform/node.ts";
import { inFile, print, printJson, UsageError } from "./output.ts";

interface FilterOptions {
  readonly file: string;
  readonly bigEndian?: boolean;
  readonly dump?: boolean;
  readonly json?: boolean;
}

export function filterCommand(): Command {
  return new Command("filter")
    .description("run a classic BPF filter (`tcpdump -ddd EXPR`, or struct sock_filter bytes) over a capture")
    .option("--file <file>", "the filter program; - is standard input", "-")
    .option("--big-endian", "the program is struct sock_filter bytes of a big-endian machine")
    .option("--dump", "print the program instead of running it, as tcpdump -d does")
    .option("-j, --json", "print JSON")
    .addHelpText(
      "after",
      "\nExample:\n  tcpdump -r in.pcap -ddd 'tcp port 80' | tsbpf filter --pcap in.pcap --write out.pcap",
    )
    .action(filter);
}

function filter(options: FilterOptions): void {
  const insns = readProgram(options.file, options.bigEndian === true);
  const [error] = validateClassic(insns);
  if (error !== undefined) throw error;
  if (options.dump) dump(insns, options.json === true);
  else throw new UsageError("nothing to do: give --pcap FILE to run the filter, or --dump to print it");
}

/** Text has no NUL; the high byte of every valid sock_filter code is one. */
function readProgram(path: string, bigEndian: boolean): ClassicInsn[] {
  const bytes = readFile(path);
  return inFile(path, () =>
    bytes.includes(0)
      ? decodeClassic(bytes, bigEndian ? "big" : "little")
      : parseDdd(new TextDecoder().decode(bytes)),
  );
}

function dump(insns: readonly ClassicInsn[], json: boolean): void {
  if (json) printJson({ insns, bytes: encodeClassic(insns), ebpf: classicToEbpf(insns) });
  else print(disassembleClassic(insns));
}
