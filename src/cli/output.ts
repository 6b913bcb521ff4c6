// What every command shares: standard output, JSON, the one line of an error.
import pc from "picocolors";
import { IoError, TsbpfError } from "../diag/index.ts";

/** A wrong command line: exit status 2. */
export class UsageError extends TsbpfError {
  constructor(message: string) {
    super("USAGE", message);
  }
}

/** Runs `read` on what came from a file, and names the file in what it throws. */
export function inFile<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw nameFile(path, error);
  }
}

/** The error with the file's name in its message; what is no TsbpfError, or has it already, as it is. */
export function nameFile(path: string, error: unknown): unknown {
  if (!(error instanceof TsbpfError) || error instanceof IoError || error instanceof UsageError) return error;
  const name = path === "-" ? "standard input" : path;
  return new TsbpfError(error.code, `${name}: ${error.message}`, { cause: error });
}

export function print(text: string): void {
  process.stdout.write(text);
}

/** One JSON value and a line feed. Bytes become hex strings, bigints numbers where they fit and strings elsewhere. */
export function printJson(value: unknown): void {
  print(`${JSON.stringify(value, jsonValue, process.stdout.isTTY ? 2 : 0)}\n`);
}

function jsonValue(_: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return hexBytes(value);
  if (value instanceof Map) return Object.fromEntries(value);
  if (typeof value === "bigint")
    return value >= -0x1fffffffffffffn && value <= 0x1fffffffffffffn ? Number(value) : value.toString();
  return value;
}

export function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Offset, 16 bytes and their characters a line, as bpftool prints data. */
export function hexDump(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16);
    const cells = Array.from(row, (byte) => byte.toString(16).padStart(2, "0"));
    const characters = Array.from(row, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".",
    );
    text += `${at.toString(16).padStart(7, "0")}  ${cells.join(" ").padEnd(48)} |${characters.join("")}|\n`;
  }
  return text;
}

/** Columns as wide as their widest cell; the last is left ragged. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  return rows
    .map(
      (row) =>
        `${row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]!))).join("  ")}\n`,
    )
    .join("");
}

/** The one line that an error is worth; our own bugs are not caught here. */
export function printError(error: TsbpfError): void {
  process.stderr.write(`${pc.red("tsbpf:")} ${error.message}\n`);
}

/** A reader that goes away (`tsbpf ... | head`) ends the command quietly. */
export function endQuietlyOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      process.exit(0);
    });
}

export function isElf(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}
