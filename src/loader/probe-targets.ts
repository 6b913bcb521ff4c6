/** Where probes go: functions of an ELF file as offsets in it, kernel functions by a pattern. */
import type { Backend } from "../backend/index.ts";
import { LoadError, UnsupportedError } from "../diag/index.ts";
import { ENOENT } from "../uapi/index.ts";

function read(backend: Backend, path: string): Uint8Array {
  if (backend.readFile === undefined)
    throw new UnsupportedError(`probes on the ${backend.name} backend`, "it has no files and no functions");
  return backend.readFile(path);
}

const SHT_SYMTAB = 2;
const SHT_DYNSYM = 11;
const PT_LOAD = 1;
const STT_FUNC = 2;

/** The file offset of a function of a 64-bit executable or shared library: what uprobes are placed by. */
export function uprobeOffset(backend: Backend, path: string, name: string): bigint {
  const bytes = read(backend, path);
  const address = functionAddress(bytes, path, name);
  const view = viewOf(bytes);
  const [phoff, size, count] = [
    Number(view.getBigUint64(32, true)),
    view.getUint16(54, true),
    view.getUint16(56, true),
  ];
  for (let i = 0; i < count; i++) {
    const at = phoff + i * size;
    if (at + 56 > bytes.length || view.getUint32(at, true) !== PT_LOAD) continue;
    const offset = view.getBigUint64(at + 8, true);
    const start = view.getBigUint64(at + 16, true);
    if (address >= start && address < start + view.getBigUint64(at + 40, true))
      return address - start + offset;
  }
  throw new LoadError(`${path}: '${name}' is in no segment of the file`, ENOENT);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function functionAddress(bytes: Uint8Array, path: string, name: string): bigint {
  const view = viewOf(bytes);
  // \x7fELF, 64 bits, little-endian.
  if (bytes.length < 64 || view.getUint32(0, true) !== 0x464c457f || bytes[4] !== 2 || bytes[5] !== 1)
    throw new LoadError(`${path}: no 64-bit little-endian ELF file`, ENOENT);
  const wanted = new TextEncoder().encode(`${name}\0`);
  const shoff = Number(view.getBigUint64(40, true));
  const [size, count] = [view.getUint16(58, true), view.getUint16(60, true)];
  const section = (i: number): { type: number; offset: number; size: number; link: number } => {
    const at = shoff + i * size;
    if (at + 64 > bytes.length) throw new LoadError(`${path}: section headers reach behind the file`, ENOENT);
    return {
      type: view.getUint32(at + 4, true),
      offset: Number(view.getBigUint64(at + 24, true)),
      size: Number(view.getBigUint64(at + 32, true)),
      link: view.getUint32(at + 40, true),
    };
  };
  for (let i = 0; i < count; i++) {
    const table = section(i);
    if (table.type !== SHT_SYMTAB && table.type !== SHT_DYNSYM) continue;
    const strings = section(table.link).offset;
    const end = Math.min(table.offset + table.size, bytes.length - 23);
    for (let at = table.offset; at < end; at += 24) {
      if ((bytes[at + 4]! & 15) !== STT_FUNC || view.getBigUint64(at + 8, true) === 0n) continue;
      const text = strings + view.getUint32(at, true);
      if (wanted.every((byte, k) => bytes[text + k] === byte)) return view.getBigUint64(at + 8, true);
    }
  }
  throw new LoadError(`${path}: no function '${name}'`, ENOENT);
}

/** Kernel functions that can be traced and whose name fits: `*` is any text, `?` any character. */
export function matchingFunctions(backend: Backend, pattern: string): string[] {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  const regex = new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`);
  const text = new TextDecoder().decode(read(backend, "/sys/kernel/tracing/available_filter_functions"));
  const names = text.split("\n").map((line) => line.split(" ", 1)[0]!);
  return [...new Set(names.filter((name) => regex.test(name)))];
}
