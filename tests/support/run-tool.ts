/** Runs a program of tools/ as a person would, and hands back what it printed. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface ToolRun {
  readonly status: number | null;
  readonly stdout: string;
  /** Standard output, then standard error. */
  readonly text: string;
  readonly lastLine: string;
}

export function runTool(name: string, ...args: string[]): ToolRun {
  const run = spawnSync(process.execPath, ["--import", "tsx", `tools/${name}`, ...args], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  const lines = run.stdout.trimEnd().split("\n");
  return {
    status: run.status,
    stdout: run.stdout,
    text: run.stdout + run.stderr,
    lastLine: lines.at(-1) ?? "",
  };
}
