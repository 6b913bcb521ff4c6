/** Runs the command line as a user does: the bundle, a process of its own, its streams and its exit status. */
import { spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "tsdown";
import { afterAll } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "tsbpf-bundle-"));
afterAll(() => rmSync(dir, { recursive: true }));
copyFileSync(join(root, "package.json"), join(dir, "package.json"));
symlinkSync(join(root, "data"), join(dir, "data"));
await build({ cwd: root, outDir: join(dir, "dist"), logLevel: "silent" });
/** The command line as one file, in a folder without node_modules. */
export const BUNDLE: string = join(dir, "dist/cli.mjs");

export interface Finished {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: Buffer;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Options {
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  /** Close the reading end of standard output after this many bytes. */
  readonly closeAfter?: number;
}

export function tsbpf(args: readonly string[], options: Options = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BUNDLE, ...args], {
      stdio: "pipe",
      cwd: options.cwd,
      env: { ...process.env, NO_COLOR: "1" },
    });
    const out: Uint8Array[] = [];
    const err: Uint8Array[] = [];
    let size = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      out.push(new Uint8Array(chunk));
      size += chunk.length;
      if (options.closeAfter !== undefined && size >= options.closeAfter) child.stdout.destroy();
    });
    child.stderr.on("data", (chunk: Buffer) => err.push(new Uint8Array(chunk)));
    child.on("error", reject);
    child.on("close", (status, signal) => {
      const all = Buffer.concat(out);
      resolve({
        status,
        signal,
        out: all,
        stdout: all.toString(),
        stderr: Buffer.concat(err).toString(),
      });
    });
    // A command that does not read its input closes the pipe.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input ?? "");
  });
}
