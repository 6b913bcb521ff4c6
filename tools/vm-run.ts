/**
 * Boots a kernel in QEMU with a script that Node runs there as root, and gives what it printed. Software emulation by
 * default: it works where there is no KVM, a boot takes some seconds.
 */
import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { baseArchive, kernelImage, overlayArchive } from "./vm-image.ts";

export interface GuestOptions {
  /** "6.1", "6.12", or the path of a kernel image. */
  readonly kernel: string;
  /** A script (TypeScript or JavaScript): bundled, then run by Node in /app. */
  readonly script: string;
  /** Words without blanks. */
  readonly args?: readonly string[];
  /** Path in /app -> file or folder on this machine. */
  readonly files?: Readonly<Record<string, string>>;
  readonly modules?: readonly string[];
  readonly memoryMb?: number;
  readonly timeoutMs?: number;
  readonly accelerator?: "tcg" | "kvm";
  /** Added to the kernel's command line. */
  readonly append?: string;
  /** Lines as the guest prints them. */
  readonly onLine?: (line: string) => void;
}

export interface GuestResult {
  /** Exit status of the script; undefined: it did not come to its end. */
  readonly status: number | undefined;
  /** What it printed. */
  readonly lines: readonly string[];
  /** All of the console. */
  readonly console: string;
}

/** One file that runs without node_modules, except koffi. */
export function bundle(script: string, out: string): void {
  if (script.endsWith(".mjs")) {
    copyFileSync(script, out);
    return;
  }
  const root = fileURLToPath(new URL("..", import.meta.url));
  const dir = `${out}.d`;
  execFileSync(
    join(root, "node_modules/.bin/tsdown"),
    [
      ...[script, "--no-config", "--platform", "node", "--format", "esm", "--out-dir", dir, "--no-dts"],
      ...["--external", "koffi", "--no-clean", "--log-level", "error", "--target", "node20"],
    ],
    { cwd: root, stdio: ["ignore", "pipe", "pipe"] },
  );
  const name = basename(script).replace(/\.ts$/, "");
  copyFileSync([".mjs", ".js"].map((end) => join(dir, name + end)).find((path) => existsSync(path))!, out);
  rmSync(dir, { recursive: true });
}

/** Throws where QEMU is missing; a guest that hangs ends at `timeoutMs` with status undefined. */
export async function runGuest(options: GuestOptions): Promise<GuestResult> {
  const kernel = kernelImage(options.kernel);
  const base = baseArchive();
  const dir = mkdtempSync(join(tmpdir(), "tsbpf-guest-"));
  try {
    const script = join(dir, "script.mjs");
    bundle(options.script, script);
    const overlay = join(dir, "overlay.cpio");
    overlayArchive(
      {
        script: "script.mjs",
        args: options.args ?? [],
        files: { "script.mjs": script, ...options.files },
        modules: options.modules ?? [],
      },
      kernel,
      overlay,
    );
    const initrd = join(dir, "initrd");
    // cpio archives are padded to 512 bytes, so that one behind the other is one initramfs.
    execFileSync("sh", ["-c", `cat "$1" "$2" > "$0"`, initrd, base, overlay]);
    return await boot(kernel.image, initrd, options);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function boot(image: string, initrd: string, options: GuestOptions): Promise<GuestResult> {
  const accelerator = options.accelerator ?? "tcg";
  const qemu = spawn(
    "nice",
    [
      "qemu-system-x86_64",
      ...["-accel", accelerator, "-cpu", accelerator === "kvm" ? "host" : "max", "-smp", "1"],
      ...["-m", String(options.memoryMb ?? 2048), "-kernel", image, "-initrd", initrd],
      ...["-nographic", "-no-reboot", "-net", "none", "-monitor", "none", "-serial", "stdio"],
      "-append",
      `console=ttyS0 quiet loglevel=3 panic=-1 no_timer_check lsm=capability,bpf ${options.append ?? ""}`,
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  return new Promise((resolve, reject) => {
    let console_ = "";
    let errors = "";
    let rest = "";
    let inside = false;
    let status: number | undefined;
    const lines: string[] = [];
    const timer = setTimeout(() => qemu.kill("SIGKILL"), options.timeoutMs ?? 300_000);
    const line = (text: string): void => {
      if (text.startsWith("@@BEGIN")) inside = true;
      else if (text.startsWith("@@END ")) {
        inside = false;
        status = Number(text.slice(6));
      } else if (inside) {
        lines.push(text);
        options.onLine?.(text);
      }
    };
    qemu.stdout.setEncoding("utf8");
    qemu.stdout.on("data", (piece: string) => {
      console_ += piece;
      const parts = (rest + piece).split("\n");
      rest = parts.pop()!;
      for (const part of parts) line(part.replaceAll("\r", ""));
    });
    qemu.stderr.on("data", (piece: Buffer) => {
      errors += piece.toString();
    });
    qemu.on("error", (error) => {
      clearTimeout(timer);
      reject(
        new Error("qemu-system-x86_64 does not start (apt-get install qemu-system-x86)", { cause: error }),
      );
    });
    qemu.on("close", (code) => {
      clearTimeout(timer);
      if (console_ === "" && code !== 0 && errors !== "") reject(new Error(errors.trim()));
      else resolve({ status, lines: trimmed(lines), console: console_ });
    });
  });
}

/** The console puts an empty line before each marker. */
function trimmed(lines: readonly string[]): readonly string[] {
  return lines.at(-1) === "" ? lines.slice(0, -1) : lines;
}

/** A JSON value that the script printed behind `@@JSON `. */
export function guestJson<T>(result: GuestResult): T[] {
  return result.lines.flatMap((text) => (text.startsWith("@@JSON ") ? [JSON.parse(text.slice(7)) as T] : []));
}
