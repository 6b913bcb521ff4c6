/** func_info and line_info of a linked program (adjust_prog_btf_ext_info of tools/lib/bpf/libbpf.c). */
import type { BtfExtPart } from "../btf/index.ts";
import { INSN_SIZE } from "./sections.ts";
import type { FunctionSpec } from "./spec.ts";

/** Collects the records of the functions that a program consists of. */
export class ExtInfo {
  readonly #part: BtfExtPart;
  readonly #littleEndian: boolean;
  readonly #chunks: Uint8Array[] = [];
  #lost = false;

  constructor(part: BtfExtPart, littleEndian: boolean) {
    this.#part = part;
    this.#littleEndian = littleEndian;
  }

  get recordSize(): number {
    return this.#part.recordSize;
  }

  /** Adds the records of `fn`, whose code now starts at slot `at`. One function without any: there are none at all. */
  add(fn: FunctionSpec, sectionName: string, at: number): void {
    if (this.#lost || this.#part.recordSize === 0) return;
    const section = this.#part.sections.find((s) => s.section === sectionName);
    const rows = section === undefined ? undefined : this.#rows(section.data, fn);
    if (rows === undefined) {
      this.#lost = true;
      this.#chunks.length = 0;
      return;
    }
    const view = new DataView(rows.buffer);
    for (let row = 0; row < rows.length; row += this.#part.recordSize)
      view.setUint32(
        row,
        view.getUint32(row, this.#littleEndian) / INSN_SIZE - fn.sectionInsn + at,
        this.#littleEndian,
      );
    this.#chunks.push(rows);
  }

  #rows(data: Uint8Array, fn: FunctionSpec): Uint8Array | undefined {
    const { recordSize } = this.#part;
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const from = fn.sectionInsn * INSN_SIZE;
    const to = from + fn.insns.length;
    let start = -1;
    let end = -1;
    for (let row = 0; row < data.length; row += recordSize) {
      const offset = view.getUint32(row, this.#littleEndian);
      if (offset < from) continue;
      if (offset >= to) break;
      if (start < 0) start = row;
      end = row + recordSize;
    }
    return start < 0 ? undefined : Uint8Array.from(data.subarray(start, end));
  }

  bytes(): Uint8Array | undefined {
    const size = this.#chunks.reduce((sum, c) => sum + c.length, 0);
    if (size === 0) return undefined;
    const out = new Uint8Array(size);
    let at = 0;
    for (const chunk of this.#chunks) {
      out.set(chunk, at);
      at += chunk.length;
    }
    return out;
  }
}
