// All cases of the contract, in one list that both kernels go through.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { CASES } from "../kernel/cases.ts";
import { outcome } from "../kernel/notation.ts";
import { MAP_CASES } from "../maps/cases.ts";
import { casesOf, expectedOf, runCase } from "../maps/notation.ts";
import { PROGRAM_CASES } from "../maps/program-cases.ts";
import { missing } from "../support/need.ts";
import { pin } from "../support/pin.ts";
import { GLOBAL_CASES } from "./global-cases.ts";
import { OBJECT_CASES, runObjectCase } from "./object-cases.ts";
import type { Side } from "./side.ts";

export interface SuiteRow {
  readonly area: string;
  readonly name: string;
  readonly ok: boolean;
  readonly want: string;
  readonly got: string;
}

const text = (value: unknown): string =>
  JSON.stringify(value, (_key, v) => (typeof v === "bigint" ? `${v}n` : v)) ?? "undefined";

function row(area: string, name: string, want: unknown, run: () => unknown): SuiteRow {
  let got: unknown;
  try {
    got = run();
  } catch (error) {
    got = error instanceof Error ? error.message : String(error);
  }
  return { area, name, ok: text(got) === text(want), want: text(want), got: text(got) };
}

/**
 * What Linux 6.18 answers to the test runs, as a hash of each outcome: some are kilobytes. `npm run parity -- contract
 * --record` writes the file again from the running kernel.
 */
const RECORDED = new URL("test-runs-6.18.json", import.meta.url);

const hash = (outcome_: unknown): string =>
  createHash("sha256").update(text(outcome_)).digest("hex").slice(0, 16);

/** The name, and which of those that share it. */
const keys: readonly string[] = CASES.map((c, i) => {
  const before = CASES.slice(0, i).filter((other) => other.name === c.name).length;
  return before === 0 ? c.name : `${c.name} (${before + 1})`;
});

export function recordTestRuns(side: Side): number {
  const rows = CASES.map((c, i) => [keys[i]!, hash(outcome(side.backend, c))] as const);
  const lines = rows.map(([name, sum]) => `  ${JSON.stringify(name)}: "${sum}"`);
  writeFileSync(RECORDED, `{\n${lines.join(",\n")}\n}\n`);
  return rows.length;
}

function testRuns(side: Side): SuiteRow[] {
  const recorded = JSON.parse(readFileSync(RECORDED, "utf8")) as Readonly<Record<string, string>>;
  return CASES.map((c, i) => {
    let got: unknown;
    try {
      got = outcome(side.backend, c);
    } catch (error) {
      got = error instanceof Error ? error.message : String(error);
    }
    const want = recorded[keys[i]!] ?? "no record";
    return { area: "test runs", name: keys[i]!, ok: hash(got) === want, want, got: text(got) };
  });
}

export function runContract(side: Side): SuiteRow[] {
  const { backend } = side;
  // Per-CPU values are those of the CPU that a test run happens to be on.
  if (backend.name === "linux") pin("0");
  const notes = (area: string, cases: string): SuiteRow[] =>
    casesOf(cases).map((c) => row(area, c.name, expectedOf(c), () => runCase(c, backend)));
  return [
    ...notes("maps", MAP_CASES),
    ...notes("map helpers", PROGRAM_CASES),
    ...testRuns(side),
    ...OBJECT_CASES.map((c) => row("objects", c.name, c.want, () => runObjectCase(side, c))),
    ...(missing("clang-19") ? [] : GLOBAL_CASES).map((c) =>
      row("globals", c.name, c.want, () => c.run(backend)),
    ),
  ];
}
