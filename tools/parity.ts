/**
 * Compares this package with what it has to equal, and ends in one line of fixed form.
 *
 *   npm run parity -- NAME [--json] [options of that comparison]
 *
 * NAME is a file parity-NAME.ts beside this one. Exit status 1: something differs.
 */
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** What a comparison found. */
export interface ParityReport {
  /** The last line. */
  readonly summary: string;
  /** Printed before it: what is wrong, missing or waited for. */
  readonly notes: readonly string[];
  /** One object a compared thing, for --json. */
  readonly rows: readonly object[];
  readonly ok: boolean;
}

/** A module parity-NAME.ts. */
export interface Parity {
  /** `args`: the command line after NAME, without --json. */
  parity(args: readonly string[]): Promise<ParityReport>;
}

const here = fileURLToPath(new URL(".", import.meta.url));

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  const names = readdirSync(here).flatMap((file) => /^parity-(\w+)\.ts$/.exec(file)?.[1] ?? []);
  if (name === undefined || !existsSync(`${here}parity-${name}.ts`)) {
    console.error(`usage: npm run parity -- ${names.join("|")} [--json]`);
    return 2;
  }
  const module = (await import(`./parity-${name}.ts`)) as Parity;
  const report = await module.parity(rest.filter((arg) => arg !== "--json"));
  if (rest.includes("--json")) console.log(JSON.stringify(report, null, 1));
  else {
    for (const note of report.notes) console.log(note);
    console.log(report.summary);
  }
  return report.ok ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
