// tsbpf run: a program of an object on the embedded kernel, over a capture or on one input.
import { Command } from "commander";
import type { TestRunResult } from "../backend/index.ts";
import type { ProgramSpec } from "../loader/index.ts";
import { formatMap, mapRows } from "./map-rows.ts";
import { chooseProgram, openObject, progTypeName } from "./object.ts";
import { hexDump, inFile, print, printJson, table } from "./output.ts";
import type { CaptureRun } from "./run-capture.ts";
import { addSessionOptions, Session, type SessionOptions } from "./session.ts";
import { verdictOf } from "./verdicts.ts";

interface RunOptions extends SessionOptions {
  readonly maps?: boolean;
  readonly json?: boolean;
}

export function runCommand(): Command {
  return addSessionOptions(
    new Command("run")
      .description("run a program on the embedded kernel, over a capture or on one packet or context")
      .argument("<obj>", "BPF object file; - is standard input"),
  )
    .option("--maps", "print the maps' entries after the run")
    .option("-j, --json", "print JSON")
    .addHelpText(
      "after",
      "\nPrograms are verified first; --no-verify runs them bounds-checked instead.\n\nExample:\n  tsbpf run firewall.bpf.o --pcap in.pcap --write passed.pcap --maps",
    )
    .action(run);
}

async function run(path: string, options: RunOptions): Promise<void> {
  Session.check(options);
  const object = openObject(path);
  const program = chooseProgram(object, path, options.prog);
  const session = inFile(path, () => new Session(object, program, options));
  const head = { program: program.name, type: progTypeName(program.type) };
  const result =
    options.pcap === undefined
      ? onceResult(program, session.runOnce(program))
      : captureResult(await session.runCapture(program, options.pcap));
  const trace = session.kernel.tracePipe.read().join("");
  const maps = options.maps
    ? Object.values(session.loaded.maps).map((map) => mapRows(session.loaded, map))
    : undefined;
  // The capture goes to standard output: nothing else may.
  if (options.write === "-") return;
  if (options.json) {
    printJson({
      ...head,
      ...result.json,
      ...(trace === "" ? {} : { trace }),
      ...(maps === undefined ? {} : { maps }),
    });
    return;
  }
  print(`${head.program} (${head.type}): ${result.text}`);
  if (trace !== "") print(`\ntrace_pipe:\n${trace}`);
  if (maps !== undefined) print(`\n${maps.map(formatMap).join("\n")}`);
}

interface Printable {
  readonly json: object;
  readonly text: string;
}

function captureResult(run: CaptureRun): Printable {
  const { packets, bytes, skipped } = run;
  const ns = Math.round(run.nanosecondsPerPacket * 10) / 10;
  const rows = [...run.verdicts].map(([name, row]) => [name, `${row.packets} packets`, `${row.bytes} bytes`]);
  const skippedLine = skipped === 0 ? "" : `${skipped} packets not run: too short or too long\n`;
  return {
    json: { packets, bytes, skipped, verdicts: run.verdicts, ns_per_packet: ns },
    text: `${packets} packets, ${bytes} bytes\n${table(rows)}${skippedLine}${ns} ns per packet\n`,
  };
}

function onceResult(program: ProgramSpec, result: TestRunResult): Printable {
  const { retval, duration, data_out, ctx_out } = result;
  const verdict = verdictOf(program.type, retval);
  let text = `return value ${retval}${verdict.name === String(retval | 0) ? "" : ` (${verdict.name})`}, duration (average) ${duration}ns\n`;
  if (data_out.length > 0) text += `data:\n${hexDump(data_out)}`;
  if (ctx_out.length > 0) text += `ctx:\n${hexDump(ctx_out)}`;
  return {
    json: { retval, verdict: verdict.name, duration, data_out, ctx_out },
    text,
  };
}
