// Files and streams under Node.
import {
  closeSync,
  createReadStream,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeSync,
} from "node:fs";
import { gunzipSync } from "node:zlib";
import { IoError } from "../diag/index.ts";

/** Objects, type information and programs are read whole up to this size; captures are read in chunks. */
const MAX_WHOLE_FILE = 1 << 30;
const CHUNK = 1 << 20;

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EISDIR: "it is a directory",
  ENOTDIR: "a part of the path is not a directory",
  ENOSPC: "no space left on the device",
  EROFS: "the file system is read-only",
  EMFILE: "too many open files",
};

function failure(verb: string, path: string, cause: unknown): IoError {
  const code = (cause as NodeJS.ErrnoException).code;
  const reason = (code !== undefined && WORDS[code]) || (cause as Error).message;
  return new IoError(`cannot ${verb} ${path === "-" ? "standard input" : path}: ${reason}`, path, { cause });
}

/** A whole file, or standard input for `-`. Throws IoError. */
export function readFile(path: string): Uint8Array {
  let fd = 0;
  try {
    if (path !== "-") fd = openSync(path, "r");
    const { size } = fstatSync(fd);
    if (size > MAX_WHOLE_FILE)
      throw new IoError(`cannot read ${path}: ${size} bytes are more than ${MAX_WHOLE_FILE}`, path);
    return path === "-" ? readStdin() : plainBytes(readFileSync(fd));
  } catch (cause) {
    throw cause instanceof IoError ? cause : failure("read", path, cause);
  } finally {
    if (fd !== 0) closeSync(fd);
  }
}

function readStdin(): Uint8Array {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    const chunk = new Uint8Array(CHUNK);
    let count: number;
    try {
      count = readSync(0, chunk, 0, CHUNK, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EOF") break;
      if (code !== "EAGAIN") throw error;
      // A non-blocking descriptor without data: sleep a moment, do not spin.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      continue;
    }
    if (count === 0) break;
    chunks.push(chunk.subarray(0, count));
    total += count;
    if (total > MAX_WHOLE_FILE)
      throw new IoError(`cannot read standard input: more than ${MAX_WHOLE_FILE} bytes`, "-");
  }
  return plainBytes(Buffer.concat(chunks, total));
}

/** Node's Buffer redefines slice(); nothing above this file sees one. */
function plainBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** A file in chunks, or standard input for `-`. Throws IoError. */
export async function* readChunks(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  const stream = path === "-" ? process.stdin : createReadStream(path, { highWaterMark: CHUNK });
  try {
    for await (const chunk of stream) yield plainBytes(chunk as Buffer);
  } catch (cause) {
    throw failure("read", path, cause);
  }
}

/** Bytes in a file; undefined where that cannot be known (standard input, pipes). */
export function fileSize(path: string): number | undefined {
  try {
    const stat = path === "-" ? fstatSync(0) : statSync(path);
    return stat.isFile() ? stat.size : undefined;
  } catch {
    return undefined;
  }
}

/** A file (or standard output for `-`) written through a buffer. Throws IoError. */
export class OutputFile {
  readonly #path: string;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(CHUNK);
  #used = 0;

  constructor(path: string) {
    this.#path = path;
    try {
      this.#fd = path === "-" ? 1 : openSync(path, "w");
    } catch (cause) {
      throw failure("write", path, cause);
    }
  }

  write(bytes: Uint8Array): void {
    if (this.#used + bytes.length > CHUNK) this.#flush();
    if (bytes.length > CHUNK) {
      this.#writeAll(bytes);
      return;
    }
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  close(): void {
    this.#flush();
    if (this.#fd !== 1) closeSync(this.#fd);
  }

  #flush(): void {
    this.#writeAll(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }

  #writeAll(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      try {
        at += writeSync(this.#fd, bytes, at);
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === "EAGAIN") {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
          continue;
        }
        throw failure("write", this.#path, cause);
      }
    }
  }
}

/** Writes a whole file, or to standard output for `-`. Throws IoError. */
export function writeFile(path: string, bytes: Uint8Array): void {
  const file = new OutputFile(path);
  file.write(bytes);
  file.close();
}

/** The BTF that ships for a kernel version (data/kernels of the package), unpacked; undefined: there is none. */
export function shippedKernelBtf(version: string): Uint8Array | undefined {
  if (!/^\d+\.\d+$/.test(version)) return undefined;
  // From src/platform, dist/platform, and from the command's bundle in dist.
  for (const up of ["../../data/kernels/", "../data/kernels/"]) {
    let packed: Uint8Array;
    try {
      packed = readFileSync(new URL(`${up}${version}.btf.gz`, import.meta.url));
    } catch {
      continue;
    }
    return plainBytes(gunzipSync(packed));
  }
  return undefined;
}
