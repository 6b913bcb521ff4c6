/** A rejection for people: where, what was required, what the register held and where that came from, what to write. */
import type { LineInfo } from "../verifier/index.ts";
import { type Cause, causeOf } from "./causes.ts";
import { type FailingPath, failingPath, lastState, originOf } from "./failing-path.ts";
import type { CheckResult } from "./program.ts";

export interface SourcePlace {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

export interface Explanation {
  /** Stable: "missing-null-check", "packet-bounds", ...; "other" where no class fits. */
  readonly code: string;
  /** The kernel's own words. */
  readonly message: string;
  readonly errno: number;
  /** Slot, or -1. */
  readonly insn: number;
  readonly insnText: string;
  readonly source: SourcePlace | null;
  /** What the verifier wanted and did not find. */
  readonly cause: string;
  /** What the register in question held, in the log's words. */
  readonly held: string | null;
  /** Where its value came from, earliest first. */
  readonly origin: readonly (SourcePlace & { readonly insn: number; readonly what: string })[];
  readonly repair: string | null;
}

function place(line: LineInfo | null): SourcePlace | null {
  return line === null
    ? null
    : { file: line.file.slice(line.file.lastIndexOf("/") + 1), line: line.line, text: line.text.trim() };
}

/** undefined for a program that was not rejected by the verifier. */
export function explain(result: CheckResult): Explanation | undefined {
  const { verdict, input } = result;
  if (verdict === undefined || input === undefined || verdict.ok) return undefined;
  const path = failingPath(input, verdict);
  const cause: Cause = causeOf(path, verdict, input, result.kernel);
  const insn = cause.insn ?? (path.steps.length > 0 ? path.steps.at(-1)!.insn : verdict.insn);
  const origin: { file: string; line: number; text: string; insn: number; what: string }[] = [];
  if (cause.reg !== undefined)
    for (const step of originOf(path, cause.reg).reverse()) {
      const at = place(path.lineOf(step.insn));
      if (at === null || origin.at(-1)?.line === at.line) continue;
      origin.push({ ...at, insn: step.insn, what: step.text });
    }
  const step = path.steps.findLast((s) => s.insn === insn);
  return {
    code: cause.code,
    message: verdict.message || path.messages.join("; "),
    errno: verdict.errno,
    insn,
    insnText: step?.text ?? "",
    source: insn >= 0 ? place(path.lineOf(insn)) : null,
    cause: cause.text,
    held: cause.reg === undefined ? null : (lastState(path, cause.reg) ?? null),
    origin,
    repair: cause.repair ?? null,
  };
}

/** As the command line prints it. */
export function formatExplanation(e: Explanation, title: string): string {
  const out = [`${title}: rejected: ${e.cause}`];
  if (e.source !== null) out.push(`  at ${e.source.file}:${e.source.line}: ${e.source.text}`);
  if (e.insn >= 0 && e.insnText !== "") out.push(`  instruction ${e.insn}: ${e.insnText}`);
  if (e.held !== null) out.push(`  it held: ${e.held}`);
  for (const o of e.origin)
    if (o.line !== e.source?.line) out.push(`  value from ${o.file}:${o.line}: ${o.text}`);
  if (e.repair !== null) out.push(`  repair: ${e.repair}`);
  if (e.message !== "") out.push(`  kernel: ${e.message}`);
  return `${out.join("\n")}\n`;
}

export type { FailingPath };
