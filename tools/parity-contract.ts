/**
 * The contract suite: the same cases on the embedded kernel and on the running one, over maps, programs, test runs, ring
 * buffers, globals, pins and links.
 *
 *   npm run parity -- contract [--verbose] [--record]
 *
 * The running kernel's half runs in network and mount namespaces of its own (util-linux's unshare).
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { embeddedSide, linuxSide } from "../tests/contract/side.ts";
import { recordTestRuns, runContract, type SuiteRow } from "../tests/contract/suite.ts";
import type { ParityReport } from "./parity.ts";

const self = fileURLToPath(import.meta.url);

/** Rows of the running kernel, or why there are none. */
function linuxRows(record: boolean): SuiteRow[] | string {
  try {
    const text = execFileSync(
      "unshare",
      [
        "-n",
        "-m",
        "--propagation",
        "private",
        process.execPath,
        "--import",
        "tsx",
        self,
        record ? "--record-rows" : "--linux-rows",
      ],
      { encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "pipe"] },
    );
    return JSON.parse(text) as SuiteRow[];
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    return (stderr || message).trim().split("\n").slice(-4).join("; ");
  }
}

export async function parity(args: readonly string[]): Promise<ParityReport> {
  const linux = linuxRows(args.includes("--record"));
  const embedded = runContract(embeddedSide());
  const notes: string[] = [];
  const count = (rows: readonly SuiteRow[]): string =>
    `${rows.filter((row) => row.ok).length}/${rows.length}`;
  const complain = (side: string, rows: readonly SuiteRow[]): void => {
    for (const row of rows)
      if (!row.ok || args.includes("--verbose"))
        notes.push(
          `${side}: ${row.area}: ${row.name}${row.ok ? "" : `\n  wanted ${row.want}\n  got    ${row.got}`}`,
        );
  };
  complain("embedded", embedded);
  if (typeof linux === "string") notes.push(`linux: ${linux}`);
  else complain("linux", linux);
  const areas = new Map<string, number>();
  for (const row of embedded) areas.set(row.area, (areas.get(row.area) ?? 0) + 1);
  notes.push([...areas].map(([area, n]) => `${area} ${n}`).join(", "));
  const rows = typeof linux === "string" ? [] : linux;
  return {
    summary: `contract: embedded ${count(embedded)}, linux ${typeof linux === "string" ? "-" : count(linux)}`,
    notes,
    rows: [
      ...embedded.map((row) => ({ side: "embedded", ...row })),
      ...rows.map((row) => ({ side: "linux", ...row })),
    ],
    ok: embedded.every((row) => row.ok) && rows.length === embedded.length && rows.every((row) => row.ok),
  };
}

if (process.argv.includes("--linux-rows") || process.argv.includes("--record-rows")) {
  const side = await linuxSide();
  try {
    if (process.argv.includes("--record-rows")) recordTestRuns(side);
    process.stdout.write(JSON.stringify(runContract(side)));
  } finally {
    side.dispose();
  }
}
