/**
 * The recorder: loads Linux 6.12's BPF selftests one program at a time on the running kernel, or on one that it boots, and
 * writes a JSON line a program: verdict, errno, the verifier's counts, the last lines of its log, the test's own
 * annotations and whether kernel and test agree, the return value of a test run. Flags, capabilities and log level are
 * those of the selftests' own runner. Needs nothing but Debian's packages (linux-source-6.12, clang-19).
 *
 *   npx tsx tools/record.ts [--vm 6.12|6.1|IMAGE] [--out FILE] [--full] [--compare] [NAME...]
 *
 * --full keeps each whole log and the instructions as they were loaded; --compare holds the verdicts against the recorded
 * rows beside the project, where they are, and ends in `record: N/N`.
 */
import { spawn } from "node:child_process";
import { createWriteStream, existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { selftests } from "../tests/support/corpus.ts";
import { type RecordedProgram, recordedRows } from "../tests/support/recorded.ts";
import type { RecordRow } from "./record-object.ts";
import { kernelImage } from "./vm-image.ts";
import { guestJson, runGuest } from "./vm-run.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    vm: { type: "string" },
    out: { type: "string" },
    full: { type: "boolean" },
    compare: { type: "boolean" },
  },
});

/** 6.18.44 dereferences null while it verifies calls that these make; other kernels take them. */
const OOPSES_6_18 = /^(wq|task_work)/;

interface Line {
  readonly row: RecordRow;
  readonly log?: string;
  readonly insns?: string;
}

const script = fileURLToPath(new URL("record-guest.ts", import.meta.url));

const asLine = (text: string): Line[] =>
  text.startsWith("@@JSON ") ? [JSON.parse(text.slice(7)) as Line] : [];

/** In a process of its own: what a kernel does to it stays there, and what came before is kept. */
async function recordHere(folder: string): Promise<Line[]> {
  const child = spawn(
    process.execPath,
    ["--import", "tsx", script, folder, ...(values.full ? ["--logs"] : [])],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const lines: Line[] = [];
  for await (const text of createInterface({ input: child.stdout })) lines.push(...asLine(text));
  return lines;
}

async function recordThere(kernel: string, folder: string, names: readonly string[]): Promise<Line[]> {
  const { image } = kernelImage(kernel);
  const config = image.replace("/vmlinuz-", "/config-");
  const files = Object.fromEntries(names.map((name) => [`objects/${name}`, join(folder, name)]));
  const result = await runGuest({
    kernel,
    script,
    args: ["/app/objects", ...(values.full ? ["--logs"] : [])],
    files: { ...files, ...(existsSync(config) ? { config } : {}) },
    timeoutMs: 3_600_000,
    memoryMb: 3072,
  });
  if (result.status !== 0)
    console.error(`the guest ended with ${result.status ?? "nothing"}:\n${result.console.slice(-2000)}`);
  return guestJson<Line>(result);
}

const built = await selftests(positionals.length > 0 ? positionals : undefined);
const wanted = new Set(positionals.map((name) => `${name}.bpf.o`));
const skips = (name: string): boolean =>
  values.vm === undefined && release().startsWith("6.18.") && OOPSES_6_18.test(name);
const names = built.objects.filter((name) => (wanted.size === 0 || wanted.has(name)) && !skips(name));
const folder = mkdtempSync(join(tmpdir(), "tsbpf-record-"));
let lines: Line[];
try {
  for (const name of names) symlinkSync(join(built.dir, name), join(folder, name));
  lines =
    values.vm === undefined
      ? await recordHere(folder)
      : await recordThere(values.vm, folder, readdirSync(folder));
} finally {
  rmSync(folder, { recursive: true });
}

if (values.out !== undefined) {
  const out = createWriteStream(values.out);
  for (const { row, ...more } of lines) out.write(`${JSON.stringify({ ...row, ...more })}\n`);
  out.end();
}
const verdicts = new Map<string, number>();
for (const { row } of lines) verdicts.set(row.verdict, (verdicts.get(row.verdict) ?? 0) + 1);
console.log(
  `${names.length} objects, ${lines.length} programs: ${[...verdicts].map(([v, n]) => `${n} ${v}`).join(", ")}`,
);
const judged = lines.filter(({ row }) => row.agree !== undefined);
console.log(`annotated: ${judged.filter(({ row }) => row.agree).length}/${judged.length} as the tests want`);

if (values.compare) {
  type Recorded = RecordedProgram & { readonly errno: number; readonly k612?: { readonly verdict: string } };
  const recorded = new Map(
    recordedRows<Recorded>("selftests-6.12").map((row) => [`${row.obj} ${row.prog}`, row] as const),
  );
  const of612 = values.vm === "6.12";
  let [same, all] = [0, 0];
  for (const { row } of lines) {
    const other = recorded.get(`${row.obj} ${row.prog}`);
    const verdict = of612 ? other?.k612?.verdict : other?.verdict;
    if (verdict === undefined) continue;
    all++;
    if (verdict === row.verdict) same++;
    else
      console.log(
        `${row.obj} ${row.prog}: ${row.verdict} (${row.reason ?? row.log_tail?.[0] ?? ""}), recorded ${verdict}`,
      );
  }
  console.log(`record: ${same}/${all}`);
  if (same !== all) process.exitCode = 1;
}
