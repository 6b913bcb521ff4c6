// tsbpf filter: a classic BPF program, as `tcpdump -ddd` prints it, over a capture.
import { Command, Option } from "commander";
import {
  type ClassicInsn,
  type ClassicSemantics,
  classicToEbpf,
  decodeClassic,
  disassemble,
  disassembleClassic,
  encodeClassic,
  parseDdd,
  validateClassic,
} from "../asm/index.ts";
import { InternalError } from "../diag/index.ts";
import { type FilterRunner, Kernel } from "../kernel/index.ts";
import type { CaptureInterface } from "../pcap/index.ts";
import { readFile } from "../platform/node.ts";
import { BPF_PROG_TYPE_SOCKET_FILTER } from "../uapi/index.ts";
import type { Engine } from "../vm/index.ts";
import { CaptureOutput, forEachPacket } from "./capture.ts";
import { inFile, print, printJson, UsageError } from "./output.ts";

interface FilterOptions {
  readonly file: string;
  readonly bigEndian?: boolean;
  readonly pcap?: string;
  readonly write?: string;
  readonly engine: Engine["name"];
  readonly semantics: ClassicSemantics;
  readonly dump?: boolean | "classic" | "ebpf";
  readonly json?: boolean;
}

export function filterCommand(): Command {
  return new Command("filter")
    .description("run a classic BPF filter (`tcpdump -ddd EXPR`, or struct sock_filter bytes) over a capture")
    .option("--file <file>", "the filter program; - is standard input", "-")
    .option("--big-endian", "the program is struct sock_filter bytes of a big-endian machine")
    .option("--pcap <file>", "pcap or pcapng file to filter; - is standard input")
    .option("--write <file>", "write the packets that match there, as pcap; - is standard output")
    .addOption(
      new Option("--engine <engine>", "how the filter runs")
        .choices(["auto", "jit", "interp"])
        .default("auto"),
    )
    .addOption(
      new Option("--semantics <whose>", "whose answers count: libpcap's for captures, or a Linux socket's")
        .choices(["libpcap", "linux"])
        .default("libpcap"),
    )
    .addOption(
      new Option("--dump [form]", "print the program instead: as tcpdump -d does, or translated")
        .choices(["classic", "ebpf"])
        .preset("classic"),
    )
    .option("-j, --json", "print JSON")
    .addHelpText(
      "after",
      "\nExample:\n  tcpdump -r in.pcap -ddd 'tcp port 80' | tsbpf filter --pcap in.pcap --write out.pcap",
    )
    .action(filter);
}

async function filter(options: FilterOptions): Promise<void> {
  if (options.dump === undefined && options.pcap === undefined)
    throw new UsageError("nothing to do: give --pcap FILE to run the filter, or --dump to print it");
  if (options.pcap === "-" && options.file === "-")
    throw new UsageError("filter and capture cannot both come from standard input: give --file FILE");
  const insns = readProgram(options.file, options.bigEndian === true);
  const [error] = validateClassic(insns);
  if (error !== undefined) throw error;
  const ebpf = classicToEbpf(insns, { semantics: options.semantics });
  if (options.dump !== undefined) dump(insns, ebpf, options);
  else await filterCapture(ebpf, options.pcap!, options);
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

function dump(insns: readonly ClassicInsn[], ebpf: Uint8Array, options: FilterOptions): void {
  if (options.json) printJson({ insns, bytes: encodeClassic(insns), ebpf });
  else if (options.dump === "ebpf") print(disassemble(ebpf, { numbers: true }));
  else print(disassembleClassic(insns));
}

async function filterCapture(ebpf: Uint8Array, path: string, options: FilterOptions): Promise<void> {
  const runner = openRunner(ebpf, options.engine);
  const output = options.write === undefined ? undefined : new CaptureOutput(options.write);
  const indices: number[] = [];
  let packets = 0;
  let interfaces: readonly CaptureInterface[] = [];
  try {
    interfaces = await forEachPacket(path, (packet, index, reader) => {
      packets++;
      const keep = runner.run(packet.data, packet.originalLength);
      if (keep === 0) return;
      indices.push(index);
      output?.write(packet, reader, keep < packet.data.length ? packet.data.subarray(0, keep) : packet.data);
    });
  } finally {
    // Of a capture that breaks off, what came before is kept.
    output?.close(interfaces);
    runner.close();
  }
  if (options.write === "-") return;
  if (options.json) printJson({ packets, matched: indices.length, indices });
  else print(`${indices.length} of ${packets} packets match\n`);
}

function openRunner(insns: Uint8Array, engine: Engine["name"]): FilterRunner {
  const kernel = new Kernel({ engine, maxBytes: 256 << 20 });
  const { fd } = kernel.progLoad({ prog_type: BPF_PROG_TYPE_SOCKET_FILTER, insns, license: "" });
  const runner = kernel.openFilterRunner(fd);
  if (typeof runner === "number") throw new InternalError(`a translated filter does not load: errno ${-fd}`);
  return runner;
}
