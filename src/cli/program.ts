// The command line: bpftool's nouns and flags. Exit status 0: done; 1: the operation failed; 2: wrong usage.
import { Command, CommanderError } from "commander";
import { TsbpfError } from "../diag/index.ts";
import { asmCommand } from "./asm.ts";
import { btfCommand } from "./btf.ts";
import { disasmCommand } from "./disasm.ts";
import { featureCommand } from "./feature.ts";
import { filterCommand } from "./filter.ts";
import { genCommand } from "./gen.ts";
import { isLinuxCommand, linuxCommand } from "./linux-commands.ts";
import { mapCommand } from "./map.ts";
import { endQuietlyOnClosedPipe, printError, UsageError } from "./output.ts";
import { progCommand } from "./prog.ts";
import { runCommand } from "./run.ts";
import { verifyCommand } from "./verify.ts";
import { VERSION } from "./version.ts";

const OK = 0;
const FAILED = 1;
const USAGE = 2;

function buildProgram(): Command {
  const program = new Command("tsbpf")
    .description("The BPF programming environment: run and inspect BPF programs anywhere.")
    .version(VERSION, "-V, --version")
    .helpCommand(false);
  for (const command of [
    verifyCommand(),
    runCommand(),
    progCommand(),
    mapCommand(),
    btfCommand(),
    genCommand(),
    asmCommand(),
    disasmCommand(),
    filterCommand(),
    featureCommand(),
  ])
    program.addCommand(command);
  forEachCommand(program, (command) =>
    command
      .exitOverride()
      .showHelpAfterError("(--help shows what there is)")
      .configureOutput({ outputError: (text, write) => write(text.replace(/^error:/, "tsbpf:")) }),
  );
  return program;
}

function forEachCommand(command: Command, visit: (command: Command) => void): void {
  visit(command);
  for (const child of command.commands) forEachCommand(child, visit);
}

/** Runs one command line and returns the exit status. What is no TsbpfError is a bug, and is left to crash. */
export async function run(args: readonly string[]): Promise<number> {
  endQuietlyOnClosedPipe();
  try {
    if (isLinuxCommand(args)) await linuxCommand(args);
    else await buildProgram().parseAsync(args, { from: "user" });
    // A command that did its work and found something wrong says so (verify).
    return typeof process.exitCode === "number" ? process.exitCode : OK;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? OK : USAGE;
    if (!(error instanceof TsbpfError)) throw error;
    printError(error);
    return error instanceof UsageError ? USAGE : FAILED;
  }
}
