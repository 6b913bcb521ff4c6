/** What the recorded kernels said, as cases to compare with: one row a program, kernel and privilege. */
import { recordedRows } from "../../tests/support/recorded.ts";

export interface RecordedVerdict {
  readonly verdict: string;
  readonly errno: number;
  readonly processed: number;
  readonly log_tail: readonly string[];
}

interface Row extends RecordedVerdict {
  readonly obj: string;
  readonly prog: string | null;
  readonly type: string | null;
  readonly flags?: number;
  readonly caps?: string;
  readonly expect?: {
    readonly priv?: string | null;
    readonly unpriv?: string | null;
    readonly msgs?: readonly string[];
    readonly msgs_unpriv?: readonly string[];
    readonly log_level?: number;
    readonly btf_path?: string;
  } | null;
  readonly k612?: RecordedVerdict;
  readonly k612_unpriv?: RecordedVerdict;
}

interface Insns {
  readonly obj: string;
  readonly prog: string;
  readonly prog_type: number;
  readonly expected_attach_type: number;
  readonly prog_flags: number;
}

export type Mode = "6.12" | "6.18" | "unpriv";

export interface Case {
  readonly obj: string;
  readonly prog: string;
  readonly mode: Mode;
  /** Recorded. */
  readonly accepted: boolean;
  readonly errno: number;
  readonly processed: number;
  /** The recorded log's last line before the statistics. */
  readonly message: string;
  /** Its verdict is annotated by the test itself. */
  readonly annotated: boolean;
  /** Messages that the log has to hold, in order. */
  readonly msgs: readonly string[];
  readonly logLevel: number;
  readonly progType: number | undefined;
  readonly expectedAttachType: number | undefined;
  readonly progFlags: number;
  readonly caps: {
    readonly bpf: boolean;
    readonly perfmon: boolean;
    readonly netAdmin: boolean;
    readonly sysAdmin: boolean;
  };
}

const judged = (v: RecordedVerdict | undefined): v is RecordedVerdict =>
  v !== undefined && (v.verdict === "success" || v.verdict === "failure");

function lastMessage(v: RecordedVerdict): string {
  return (
    v.log_tail
      .filter((l) => !/^(verification time|stack depth|processed \d|insns processed)/.test(l))
      .at(-1) ?? ""
  );
}

/** All cases, objects together. */
export function recordedCases(): Case[] {
  const rows = recordedRows<Row>("selftests-6.12");
  const insns = new Map(recordedRows<Insns>("selftests-6.12.insns").map((r) => [`${r.obj} ${r.prog}`, r]));
  const out: Case[] = [];
  for (const row of rows) {
    if (row.prog === null) continue;
    const loaded = insns.get(`${row.obj} ${row.prog}`);
    const lacks = (cap: string): boolean => (row.caps ?? "").includes(`-${cap}`);
    const add = (mode: Mode, v: RecordedVerdict, msgs: readonly string[], annotated: boolean): void => {
      const root = mode !== "unpriv";
      out.push({
        obj: row.obj,
        prog: row.prog!,
        mode,
        accepted: v.verdict === "success",
        errno: v.errno,
        processed: v.processed,
        message: v.verdict === "success" ? "" : lastMessage(v),
        annotated,
        msgs,
        // test_loader.c: at least level 1.
        logLevel:
          ((row.expect?.log_level ?? 0) & 3) < 1
            ? ((row.expect?.log_level ?? 0) & 4) | 1
            : row.expect!.log_level!,
        progType: loaded?.prog_type,
        expectedAttachType: loaded?.expected_attach_type,
        progFlags: row.flags ?? 0,
        caps: {
          bpf: root,
          perfmon: root && !lacks("PERFMON"),
          netAdmin: root,
          sysAdmin: root && !lacks("SYS_ADMIN"),
        },
      });
    };
    const told = row.expect?.priv === "success" || row.expect?.priv === "failure";
    if (judged(row.k612)) add("6.12", row.k612, told ? (row.expect?.msgs ?? []) : [], told);
    if (judged(row)) add("6.18", row, [], told);
    if (judged(row.k612_unpriv))
      add("unpriv", row.k612_unpriv, row.expect?.msgs_unpriv ?? row.expect?.msgs ?? [], true);
  }
  return out;
}

/** The first message that `log` does not hold after the ones before it: validate_msgs() of test_loader.c. */
export function missingMessage(log: string, msgs: readonly string[]): string | undefined {
  let at = 0;
  for (const msg of msgs) {
    if (!msg.includes("{{")) {
      const found = log.indexOf(msg, at);
      if (found < 0) return msg;
      at = found + msg.length;
      continue;
    }
    const pattern = msg
      .split(/(\{\{.*?\}\})/)
      .map((part) =>
        part.startsWith("{{") ? posix(part.slice(2, -2)) : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"),
      )
      .join("");
    const re = new RegExp(pattern, "gm");
    re.lastIndex = at;
    const found = re.exec(log);
    if (!found) return msg;
    at = re.lastIndex;
  }
  return undefined;
}

/** POSIX extended: a dot matches newlines too. */
function posix(pattern: string): string {
  return pattern.replace(/(^|[^\\])\./g, "$1[^]").replaceAll("[[:space:]]", "\\s");
}
