/**
 * How far the verifier agrees with real kernels: every program of Linux 6.12's BPF selftests, linked for the kernel in
 * question, beside the verdicts, errnos, messages and instruction counts that were recorded from 6.12 and 6.18.
 *
 *   npm run parity -- verifier [--only FILE[,FILE]] [--prog NAME] [--mode 6.12|6.18|unpriv] [--diff] [--log] [--json]
 *                              [--jobs N] [--seconds N] [--level N] [--bad]
 *
 * --only takes object names without `.bpf.o` (a part is enough); --diff prints the first line of the log that differs
 * from the recorded one; --log prints our log; --bad lists every case that disagrees (default: with --only).
 */
import { parseArgs } from "node:util";
import { selftests } from "../tests/support/corpus.ts";
import { kernelBtf, recordedRows } from "../tests/support/recorded.ts";
import type { ParityReport } from "./parity.ts";
import { type Case, type Mode, recordedCases } from "./parity-verifier/cases.ts";
import { runPool } from "./parity-verifier/pool.ts";
import type { Answer } from "./parity-verifier/worker.ts";

export interface VerifierRow extends Answer {
  readonly obj: string;
  readonly prog: string;
  readonly mode: Mode;
  readonly annotated: boolean;
  readonly want: {
    readonly accepted: boolean;
    readonly errno: number;
    readonly processed: number;
    readonly message: string;
  };
  readonly agrees: boolean;
  readonly hasMessages: boolean;
}

interface Options {
  only?: string[];
  prog?: string;
  mode?: string;
  wantLog: boolean;
  level?: number;
  jobs: number;
  seconds: number;
}

export async function measureVerifier(options: Options): Promise<VerifierRow[]> {
  const cases = recordedCases().filter(
    (c) =>
      (options.only === undefined || options.only.some((o) => c.obj.startsWith(o))) &&
      (options.prog === undefined || c.prog === options.prog) &&
      (options.mode === undefined || c.mode === options.mode),
  );
  const corpus = await selftests([...new Set(cases.map((c) => c.obj.replace(/\.bpf\.o$/, "")))]);
  const progress = process.stderr.isTTY
    ? (done: number): void => {
        if (done % 50 === 0) process.stderr.write(`\r${done}/${cases.length}`);
      }
    : undefined;
  const answers = await runPool(
    cases.map((c) => ({
      case: c,
      wantLog: options.wantLog,
      ...(options.level !== undefined ? { level: options.level } : {}),
    })),
    {
      args: [corpus.dir, kernelBtf("6.12")!, kernelBtf("6.18")!],
      workers: options.jobs,
      seconds: options.seconds,
      ...(progress ? { onAnswer: progress } : {}),
    },
  );
  return cases.map((c: Case, i) => ({
    obj: c.obj,
    prog: c.prog,
    mode: c.mode,
    annotated: c.annotated,
    want: { accepted: c.accepted, errno: c.errno, processed: c.processed, message: c.message },
    agrees: answers[i]!.accepted === c.accepted,
    hasMessages: c.msgs.length > 0,
    ...answers[i]!,
  }));
}

/** Rejections that protect memory, as opposed to those of style, limits or support. */
const NOT_MEMORY_SAFETY =
  /back-edge|infinite loop|too large|too many|too complex|unreachable|not sleepable|GPL|not supported|unsupported|unknown func|not allowed in|calling kernel function|is not allowed|must be|should have been|At program exit|cannot find|does not support|Caller passes|not found|Tracing|recursive|invalid kernel function|tail_calls/;

/** ENOENT and ENOSPC: the recording machine hid a symbol, or its log was full. Neither says anything of the program. */
const NOT_A_VERDICT: ReadonlySet<number> = new Set([2, 28]);

interface Figures {
  annotated: [number, number];
  k612: [number, number];
  k618: [number, number];
  messages: [number, number];
  unpriv: [number, number];
  unsafe: VerifierRow[];
}

export function figures(rows: readonly VerifierRow[]): Figures {
  const count = (list: readonly VerifierRow[], good: (r: VerifierRow) => boolean): [number, number] => [
    list.filter(good).length,
    list.length,
  ];
  const agrees = (r: VerifierRow): boolean => r.agrees;
  const main = rows.filter((r) => r.mode === "6.12");
  const rejected = new Map<string, number>();
  for (const r of rows)
    if (r.mode !== "unpriv" && !r.want.accepted) {
      const key = `${r.obj} ${r.prog}`;
      rejected.set(key, (rejected.get(key) ?? 0) + 1);
    }
  return {
    annotated: count(
      main.filter((r) => r.annotated),
      agrees,
    ),
    k612: count(main, agrees),
    k618: count(
      rows.filter((r) => r.mode === "6.18"),
      agrees,
    ),
    messages: count(
      main.filter((r) => r.agrees && r.hasMessages),
      (r) => r.missing === undefined,
    ),
    unpriv: count(
      rows.filter((r) => r.mode === "unpriv"),
      agrees,
    ),
    // Both kernels reject; where only 6.12 judged, it alone counts.
    unsafe: rows.filter(
      (r) =>
        r.accepted === true &&
        !r.want.accepted &&
        r.mode !== "unpriv" &&
        rejected.get(`${r.obj} ${r.prog}`) ===
          rows.filter((x) => x.obj === r.obj && x.prog === r.prog && x.mode !== "unpriv").length &&
        !NOT_A_VERDICT.has(r.want.errno) &&
        !NOT_MEMORY_SAFETY.test(r.want.message),
    ),
  };
}

function perFile(rows: readonly VerifierRow[]): string[] {
  const files = new Map<string, VerifierRow[]>();
  for (const r of rows) files.set(r.obj, [...(files.get(r.obj) ?? []), r]);
  const lines: string[] = [];
  for (const [obj, list] of [...files].sort()) {
    const bad = list.filter((r) => !r.agrees);
    const missing = list.filter((r) => r.agrees && r.missing !== undefined);
    if (bad.length === 0 && missing.length === 0) continue;
    const f = figures(list);
    const frac = (p: [number, number]): string => `${p[0]}/${p[1]}`;
    lines.push(
      `${obj.replace(".bpf.o", "").padEnd(36)} 6.12 ${frac(f.k612).padEnd(8)} 6.18 ${frac(f.k618).padEnd(8)} msgs ${frac(f.messages).padEnd(7)} unpriv ${frac(f.unpriv)}`,
    );
  }
  return lines;
}

function processedNote(rows: readonly VerifierRow[]): string {
  const ok = rows.filter(
    (r) => r.accepted === true && r.want.accepted && r.mode !== "unpriv" && r.want.processed > 0,
  );
  const byProgram = new Map<string, VerifierRow[]>();
  for (const r of ok)
    byProgram.set(`${r.obj} ${r.prog}`, [...(byProgram.get(`${r.obj} ${r.prog}`) ?? []), r]);
  let exact = 0;
  let within = 0;
  for (const list of byProgram.values()) {
    const least = Math.min(...list.map((r) => r.want.processed));
    const ours = Math.min(...list.map((r) => r.processed));
    if (list.every((r) => r.processed === r.want.processed)) exact++;
    if (ours <= 1.25 * least) within++;
  }
  return `processed: ${exact} of ${byProgram.size} accepted programs exactly as recorded, ${within} within 1.25x of the smaller count`;
}

function describe(r: VerifierRow): string {
  const want = r.want.accepted ? "accepted" : `rejected (${r.want.errno}) ${r.want.message}`;
  const got =
    r.error !== undefined
      ? `ERROR ${r.error}`
      : r.accepted
        ? "accepted"
        : `rejected (${r.errno}) at ${r.insn}: ${r.message}`;
  return `${r.mode.padEnd(6)} ${r.obj.replace(".bpf.o", "")} ${r.prog}\n         kernel ${want}\n         tsbpf  ${got}`;
}

/** First line in which our log differs from the recorded one, and what surrounds it. */
function firstDifference(ours: string, recorded: string): string {
  const clean = (s: string): string[] =>
    s
      .split("\n")
      .filter((l) => !/^(verification time|stack depth)/.test(l))
      .map((l) => l.replace(/0xffff[0-9a-f]{12}/g, "PTR").trimEnd());
  const [a, b] = [clean(ours), clean(recorded)];
  for (let i = 0; i < Math.max(a.length, b.length); i++)
    if (a[i] !== b[i]) {
      const context = b.slice(Math.max(0, i - 3), i).map((l) => `    ${l}`);
      return [...context, `  - ${b[i] ?? "(end)"}`, `  + ${a[i] ?? "(end)"}`].join("\n");
    }
  return "  logs are equal";
}

export async function parity(args: readonly string[]): Promise<ParityReport> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string" },
      prog: { type: "string" },
      mode: { type: "string" },
      diff: { type: "boolean" },
      log: { type: "boolean" },
      bad: { type: "boolean" },
      jobs: { type: "string" },
      seconds: { type: "string" },
      level: { type: "string" },
    },
  });
  const level = values.level ?? (values.diff ? "2" : undefined);
  const rows = await measureVerifier({
    ...(values.only ? { only: values.only.split(",") } : {}),
    ...(values.prog ? { prog: values.prog } : {}),
    ...(values.mode ? { mode: values.mode } : {}),
    wantLog: values.diff === true || values.log === true,
    ...(level !== undefined ? { level: Number(level) } : {}),
    jobs: Number(values.jobs ?? 2),
    seconds: Number(values.seconds ?? 20),
  });
  const notes: string[] = [];
  if (values.log)
    for (const r of rows) notes.push(`==== ${r.mode} ${r.obj} ${r.prog}`, r.log ?? r.error ?? "");
  if (values.diff) {
    const logs = new Map<string, string>();
    for (const version of ["6.12", "6.18"])
      for (const r of recordedRows<{ obj: string; prog: string; log: string }>(`logs-${version}`))
        logs.set(`${version} ${r.obj} ${r.prog}`, r.log);
    for (const r of rows) {
      const recorded = logs.get(`${r.mode} ${r.obj} ${r.prog}`);
      if (recorded !== undefined && r.log !== undefined)
        notes.push(`${r.mode} ${r.obj} ${r.prog}`, firstDifference(r.log, recorded));
    }
  }
  if (values.bad || values.only || values.prog) {
    for (const r of rows) if (!r.agrees) notes.push(describe(r));
    for (const r of rows)
      if (r.agrees && r.missing !== undefined)
        notes.push(`${r.mode.padEnd(6)} ${r.obj} ${r.prog}: lacks message: ${r.missing}`);
  }
  notes.push(...perFile(rows));
  const errors = rows.filter((r) => r.error !== undefined);
  const byError = new Map<string, number>();
  for (const r of errors) byError.set(r.error!, (byError.get(r.error!) ?? 0) + 1);
  for (const [error, n] of [...byError].sort((a, b) => b[1] - a[1]).slice(0, 40))
    notes.push(`error x${n}: ${error}`);
  const f = figures(rows);
  for (const r of f.unsafe) notes.push(`unsafe-accept: ${describe(r)}`);
  notes.push(processedNote(rows));
  const frac = (p: [number, number]): string => `${p[0]}/${p[1]}`;
  return {
    summary: `verifier: annotated ${frac(f.annotated)}, programs-6.12 ${frac(f.k612)}, programs-6.18 ${frac(f.k618)}, messages ${frac(f.messages)}, unprivileged ${frac(f.unpriv)}, unsafe-accepts ${f.unsafe.length}`,
    notes,
    rows: rows.map(({ log: _log, ...r }) => r),
    ok: rows.every((r) => r.agrees),
  };
}
