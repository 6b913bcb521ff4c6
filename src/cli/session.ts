// A program of an object on the embedded kernel, and its run on what the command line gives it: what run and map dump
// share.
import { type Command, InvalidArgumentError, Option } from "commander";
import type { TestRunResult } from "../backend/index.ts";
import { BackendError, UnsupportedError } from "../diag/index.ts";
import { Kernel } from "../kernel/index.ts";
import type { BpfObject, LiveProgram, LoadedObject, ProgramSpec } from "../loader/index.ts";
import type { CaptureReader } from "../pcap/index.ts";
import { readFile } from "../platform/node.ts";
import {
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_XDP,
  EINVAL,
  errnoName,
} from "../uapi/index.ts";
import type { Engine } from "../vm/index.ts";
import { CaptureOutput, forEachPacket } from "./capture.ts";
import { progTypeName } from "./object.ts";
import { UsageError } from "./output.ts";
import { CaptureRun } from "./run-capture.ts";

export interface SessionOptions {
  readonly prog?: string;
  readonly pcap?: string;
  readonly data?: string;
  readonly ctx?: string;
  readonly repeat?: number;
  readonly engine: Engine["name"];
  readonly verify?: boolean;
  readonly unchecked?: boolean;
  readonly write?: string;
}

/** Room for what a program may put before or behind a packet, and before an answer is too long for the buffer. */
const GROWTH = 4096;
const ETH_HLEN = 14;
const WITH_HEADER: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE_XDP,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SCHED_ACT,
]);

export function addSessionOptions(command: Command): Command {
  return command
    .option("--prog <name>", "the program to run; needed where the object holds several")
    .option("--pcap <file>", "run on each packet of a pcap or pcapng file; - is standard input")
    .option("--data <file>", "run once on this packet; - is standard input")
    .option("--ctx <file>", "the context's bytes (struct __sk_buff, xdp_md, or what the program type takes)")
    .option("--repeat <n>", "runs on each packet, for measuring", positive)
    .addOption(
      new Option("--engine <engine>", "how the program runs")
        .choices(["auto", "jit", "interp"])
        .default("auto"),
    )
    .option("--no-verify", "do not verify the program; its accesses are checked as it runs")
    .option("--unchecked", "neither verify nor check: only for programs that a kernel has accepted")
    .option("--write <file>", "with --pcap: write the packets that go on there, as the program left them");
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 0x7fffffff)
    throw new InvalidArgumentError("It must be a number from 1 to 2147483647.");
  return value;
}

export class Session {
  readonly kernel: Kernel;
  readonly loaded: LoadedObject;
  readonly #options: SessionOptions;

  /** Loads `program` (all of the object's programs where it is undefined) and the maps. */
  constructor(object: BpfObject, program: ProgramSpec | undefined, options: SessionOptions) {
    this.#options = options;
    this.kernel = new Kernel({
      engine: options.engine,
      ...(options.unchecked === true ? { unchecked: true } : { verify: options.verify !== false }),
    });
    if (program !== undefined) onlyWhatItNeeds(object, program);
    this.loaded = object.load(this.kernel);
  }

  static wantsInput(options: SessionOptions): boolean {
    return options.pcap !== undefined || options.data !== undefined || options.ctx !== undefined;
  }

  /** Throws UsageError for flags that contradict each other. */
  static check(options: SessionOptions): void {
    if (options.pcap !== undefined && (options.data !== undefined || options.ctx !== undefined))
      throw new UsageError(
        "--pcap runs on packets of a capture, --data and --ctx on one input: give one kind",
      );
    if (options.write !== undefined && options.pcap === undefined)
      throw new UsageError("--write wants the packets of --pcap");
    if (options.data === "-" && options.ctx === "-")
      throw new UsageError("data and context cannot both come from standard input");
  }

  program(spec: ProgramSpec): LiveProgram {
    return this.loaded.programs[spec.name]!;
  }

  /** The program over the capture. */
  async runCapture(spec: ProgramSpec, path: string): Promise<CaptureRun> {
    const { repeat = 1, write } = this.#options;
    const runner = this.kernel.openPacketRunner(this.program(spec).fd);
    if (typeof runner === "number")
      throw new UnsupportedError(
        `running a ${progTypeName(spec.type)} program over a capture`,
        "give its context with --ctx, or a packet with --data",
      );
    const output = write === undefined ? undefined : new CaptureOutput(write);
    let reader: CaptureReader | undefined;
    const run = new CaptureRun({
      runner,
      progType: spec.type,
      repeat,
      ...(output === undefined
        ? {}
        : {
            onPacket: (packet, { keep, length }) => {
              if (keep)
                output.write(packet, reader!, restoreHeader(spec, packet.data, runner.packet(), length));
            },
          }),
    });
    try {
      await forEachPacket(path, (packet, _, from) => {
        reader = from;
        run.packet(packet);
      });
    } finally {
      // Of a run that breaks off, what came before is kept.
      output?.close(reader?.interfaces ?? []);
      runner.close();
    }
    return run;
  }

  /** BPF_PROG_TEST_RUN on --data and --ctx. */
  runOnce(spec: ProgramSpec): TestRunResult {
    const { data, ctx, repeat = 1 } = this.#options;
    const dataIn = data === undefined ? undefined : readFile(data);
    const ctxIn = ctx === undefined ? undefined : readFile(ctx);
    const result = this.program(spec).testRun({
      repeat,
      ...(dataIn === undefined ? {} : { data_in: dataIn, data_size_out: dataIn.length + GROWTH }),
      ...(ctxIn === undefined ? {} : { ctx_in: ctxIn, ctx_size_out: ctxIn.length }),
    });
    if (result.err < 0) throw testRunError(spec, -result.err, dataIn);
    return result;
  }
}

/** Some program types see the packet behind its Ethernet header, and a socket filter's verdict counts from there. */
function restoreHeader(
  spec: ProgramSpec,
  before: Uint8Array,
  after: Uint8Array,
  length: number | undefined,
): Uint8Array {
  if (WITH_HEADER.has(spec.type)) return after;
  const out = after.slice(0, ETH_HLEN + (length ?? after.length));
  out.set(before.subarray(0, ETH_HLEN));
  return out;
}

function testRunError(spec: ProgramSpec, errno: number, data: Uint8Array | undefined): BackendError {
  const what = `running ${spec.name} (${progTypeName(spec.type)})`;
  const hint =
    errno !== EINVAL
      ? ""
      : data === undefined
        ? "; most program types want a packet: give --data FILE or --pcap FILE"
        : `; is a packet of ${data.length} bytes with that context what the program type takes?`;
  return new BackendError(what, `${errnoName(errno)}${hint}`, errno);
}

/** Leaves the program, what it may tail-call, and no struct_ops. */
function onlyWhatItNeeds(object: BpfObject, program: ProgramSpec): void {
  const slots = new Set(object.mapList.flatMap((map) => [...map.initialSlots.values()]));
  for (const other of object.programList) other.autoload = other === program || slots.has(other.name);
  for (const map of object.mapList) if (map.structOps !== undefined) map.autocreate = false;
}
