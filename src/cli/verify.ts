// tsbpf verify: what Linux would say of an object's programs, without Linux.
import { Command, InvalidArgumentError } from "commander";
import { type Btf, parseBtf } from "../btf/index.ts";
import { type CheckResult, checkProgram, explain, formatExplanation } from "../check/index.ts";
import { TsbpfError } from "../diag/index.ts";
import type { BpfObject, ProgramSpec } from "../loader/index.ts";
import { readFile, shippedKernelBtf } from "../platform/node.ts";
import { errnoName } from "../uapi/index.ts";
import { DEFAULT_PROFILE, findProfile, PROFILE_NAMES } from "../verifier/index.ts";
import { openObject, progTypeName } from "./object.ts";
import { inFile, print, printJson, table, UsageError } from "./output.ts";
import { Progress } from "./progress.ts";

interface VerifyOptions {
  readonly prog?: string;
  readonly kernel: string;
  readonly btf?: string;
  readonly log?: string;
  readonly stats?: boolean;
  readonly json?: boolean;
  readonly unprivileged?: boolean;
  readonly limit?: number;
}

export function verifyCommand(): Command {
  return new Command("verify")
    .description("say what Linux's verifier would say of an object's programs")
    .argument("<obj>", "BPF object file; - is standard input")
    .option("--prog <name>", "this program only")
    .option(
      "--kernel <versions>",
      `kernels, separated by commas: ${PROFILE_NAMES.join(", ")}`,
      DEFAULT_PROFILE,
    )
    .option("--btf <file>", "the kernel's BTF, instead of the one that ships for the version")
    .option("--log <form>", "print the verifier's log: classic, or classic=LEVEL (1, 2, 4 and sums)")
    .option("--stats", "print veristat's columns")
    .option("-j, --json", "print JSON")
    .option("--unprivileged", "as a user without CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN")
    .option("--limit <n>", "instructions to process at most (the kernel: 1000000)", positive)
    .addHelpText(
      "after",
      "\nExit status: 0, every program passes on every kernel; 1, one does not.\n\nExamples:\n  tsbpf verify firewall.bpf.o\n  tsbpf verify --kernel 6.1,6.12,6.18 probe.bpf.o\n  tsbpf verify --prog xdp_main --log classic=2 firewall.bpf.o",
    )
    .action(verifyObject);
}

function positive(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError("not a positive number");
  return n;
}

function logLevelOf(form: string | undefined): number {
  if (form === undefined) return 0;
  const m = /^classic(?:=([1-7]))?$/.exec(form);
  if (!m) throw new UsageError(`--log ${form}: classic, or classic=LEVEL with a level from 1 to 7`);
  return Number(m[1] ?? 1);
}

function kernelsOf(list: string): string[] {
  const names = list.split(",").map((s) => s.trim());
  for (const name of names)
    if (findProfile(name) === null)
      throw new UsageError(`--kernel ${name}: there are profiles of ${PROFILE_NAMES.join(", ")}`);
  return [...new Set(names.map((n) => findProfile(n)!.name))];
}

function btfOf(kernel: string, path: string | undefined): Btf {
  if (path !== undefined) return inFile(path, () => parseBtf(readFile(path)));
  const bytes = shippedKernelBtf(kernel);
  if (bytes === undefined)
    throw new TsbpfError(
      "NO_BTF",
      `the BTF of Linux ${kernel} is not part of this installation; name one with --btf`,
    );
  return parseBtf(bytes);
}

function verifyObject(path: string, options: VerifyOptions): void {
  const level = logLevelOf(options.log);
  const kernels = kernelsOf(options.kernel);
  if (options.btf !== undefined && kernels.length > 1) throw new UsageError("--btf goes with one --kernel");
  const object = openObject(path);
  const programs = object.programList.filter((p) => options.prog === undefined || p.name === options.prog);
  if (programs.length === 0)
    throw new UsageError(
      options.prog === undefined
        ? `${path} holds no programs`
        : `${path} holds no program "${options.prog}"; it holds: ${object.programList.map((p) => p.name).join(", ")}`,
    );
  const results: CheckResult[] = [];
  const progress = new Progress(programs.length * kernels.length);
  for (const kernel of kernels) {
    const kernelBtf = btfOf(kernel, options.btf);
    for (const program of programs) {
      progress.update(results.length, () => `${program.name} on ${kernel}`);
      results.push(checkOne(object, program, kernel, kernelBtf, level, options));
    }
  }
  progress.end();
  report(results, kernels, programs, level, options);
  if (results.some((r) => r.verdict?.ok !== true)) process.exitCode = 1;
}

function checkOne(
  object: BpfObject,
  program: ProgramSpec,
  kernel: string,
  kernelBtf: Btf,
  level: number,
  options: VerifyOptions,
): CheckResult {
  const none = { bpf: false, perfmon: false, netAdmin: false, sysAdmin: false };
  const all = {
    kernel,
    kernelBtf,
    kconfig: "",
    ...(options.unprivileged ? { caps: none } : {}),
    ...(options.limit !== undefined ? { limit: options.limit } : {}),
  };
  // Level 1 is what the explanation reads; an accepted program needs no log.
  const result = checkProgram(object, program, { ...all, logLevel: level });
  if (level !== 0 || result.verdict?.ok !== false) return result;
  return checkProgram(object, program, { ...all, logLevel: 1 });
}

function verdictText(r: CheckResult): string {
  if (r.error !== undefined) return "cannot be linked";
  return r.verdict!.ok ? "success" : "failure";
}

function report(
  results: readonly CheckResult[],
  kernels: readonly string[],
  programs: readonly ProgramSpec[],
  level: number,
  options: VerifyOptions,
): void {
  if (options.json) {
    printJson(results.map((r) => jsonRow(r, level)));
    return;
  }
  if (kernels.length > 1 && options.stats !== true) print(matrix(results, kernels, programs));
  for (const r of results) {
    const many = kernels.length > 1 ? ` on ${r.kernel}` : "";
    if (level !== 0 && r.verdict !== undefined) print(`${r.program}${many}:\n${r.verdict.log}`);
    if (r.error !== undefined) print(`${r.program}${many}: ${r.error.message}\n`);
    else if (!r.verdict!.ok && level === 0)
      print(`${formatExplanation(explain(r)!, `${r.program}${many}`)}\n`);
    else if (r.verdict!.ok && kernels.length === 1 && options.stats !== true)
      print(`${r.program}: success (${r.verdict!.stats.processed} instructions processed)\n`);
  }
  if (options.stats) print(statsTable(results));
}

/** One row a program, one column a kernel. */
function matrix(
  results: readonly CheckResult[],
  kernels: readonly string[],
  programs: readonly ProgramSpec[],
): string {
  const of = (program: string, kernel: string): CheckResult =>
    results.find((r) => r.program === program && r.kernel === kernel)!;
  return table([
    ["Program", "Type", ...kernels],
    ...programs.map((p) => [p.name, progTypeName(p.type), ...kernels.map((k) => verdictText(of(p.name, k)))]),
  ]);
}

/** veristat's default columns. */
function statsTable(results: readonly CheckResult[]): string {
  return table([
    ["Program", "Kernel", "Verdict", "Duration (us)", "Insns", "States", "Peak states", "Program size"],
    ...results.map((r) => {
      const s = r.verdict?.stats;
      return [
        r.program,
        r.kernel,
        verdictText(r),
        s ? String(Math.round(s.timeMs * 1000)) : "-",
        s ? String(s.processed) : "-",
        s ? String(s.totalStates) : "-",
        s ? String(s.peakStates) : "-",
        r.input ? String(r.input.insns.length / 8) : "-",
      ];
    }),
  ]);
}

function jsonRow(r: CheckResult, level: number): object {
  const head = {
    program: r.program,
    kernel: r.kernel,
    type: r.input ? progTypeName(r.input.progType) : null,
  };
  if (r.error !== undefined)
    return { ...head, verdict: "error", error: { code: r.error.code, message: r.error.message } };
  const v = r.verdict!;
  return {
    ...head,
    verdict: v.ok ? "success" : "failure",
    errno: v.ok ? 0 : v.errno,
    ...(v.ok
      ? {}
      : { errnoName: errnoName(v.errno), message: v.message, insn: v.insn, explanation: explain(r) }),
    stats: v.stats,
    ...(level !== 0 ? { log: v.log } : {}),
  };
}
