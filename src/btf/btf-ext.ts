/**
 * Reads .BTF.ext (struct btf_ext_header of libbpf): function, line and CO-RE records by ELF section.
 *
 *   header | each part: u32 record size, then per section { u32 name offset, u32 count, records }
 */
import { BtfError } from "../diag/index.ts";
import type { Btf } from "./btf.ts";
import { BTF_MAGIC } from "./constants.ts";

/** The records of one ELF section. */
export interface BtfExtSection {
  readonly section: string;
  readonly count: number;
  /** `count` records of `recordSize` bytes; the first u32 of each is the instruction's offset in bytes. */
  readonly data: Uint8Array;
}

export interface BtfExtPart {
  readonly recordSize: number;
  readonly sections: readonly BtfExtSection[];
}

export interface BtfExt {
  readonly littleEndian: boolean;
  readonly funcInfo: BtfExtPart;
  readonly lineInfo: BtfExtPart;
  readonly coreRelocations: BtfExtPart;
}

/** struct bpf_core_relo. */
export interface CoreRelocation {
  /** Bytes from the start of the ELF section. */
  readonly insnOffset: number;
  readonly typeId: number;
  /** "0:1:2": see Documentation/bpf/llvm_reloc.rst. */
  readonly access: string;
  /** BPF_CORE_*. */
  readonly kind: number;
}

const HEADER_SIZE = 24;
const CORE_HEADER_SIZE = 32;

export function parseBtfExt(bytes: Uint8Array, btf: Btf): BtfExt {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER_SIZE)
    throw new BtfError(`.BTF.ext: ${bytes.length} bytes are too short for a header`, { offset: 0 });
  const magic = view.getUint16(0, true);
  if (magic !== BTF_MAGIC && magic !== 0x9feb)
    throw new BtfError(`.BTF.ext: magic 0x${magic.toString(16)}`, { offset: 0 });
  const littleEndian = magic === BTF_MAGIC;
  if (bytes[2] !== 1) throw new BtfError(`.BTF.ext: unknown version ${bytes[2]}`, { offset: 2 });
  const headerLength = view.getUint32(4, littleEndian);
  if (headerLength < HEADER_SIZE || headerLength > bytes.length)
    throw new BtfError(`.BTF.ext: header of ${headerLength} bytes`, { offset: 4 });
  const part = (at: number, minimum: number, what: string): BtfExtPart =>
    at + 8 > headerLength
      ? { recordSize: 0, sections: [] }
      : readPart(
          view,
          bytes,
          btf,
          headerLength + view.getUint32(at, littleEndian),
          view.getUint32(at + 4, littleEndian),
          littleEndian,
          minimum,
          what,
        );
  return {
    littleEndian,
    funcInfo: part(8, 8, "func_info"),
    lineInfo: part(16, 16, "line_info"),
    coreRelocations:
      headerLength >= CORE_HEADER_SIZE ? part(24, 16, "core_relo") : { recordSize: 0, sections: [] },
  };
}

function readPart(
  view: DataView,
  bytes: Uint8Array,
  btf: Btf,
  start: number,
  size: number,
  littleEndian: boolean,
  minimum: number,
  what: string,
): BtfExtPart {
  if (size === 0) return { recordSize: 0, sections: [] };
  const end = start + size;
  if (start % 4 !== 0 || end > bytes.length || size < 4)
    throw new BtfError(`.BTF.ext: ${what} of ${size} bytes does not fit into ${bytes.length}`, {
      offset: start,
    });
  const recordSize = view.getUint32(start, littleEndian);
  if (recordSize < minimum || recordSize % 4 !== 0 || recordSize > size)
    throw new BtfError(`.BTF.ext: ${what} records of ${recordSize} bytes`, { offset: start });
  const sections: BtfExtSection[] = [];
  for (let at = start + 4; at < end; ) {
    if (at + 8 > end) throw new BtfError(`.BTF.ext: ${what} is cut off`, { offset: at });
    const name = btf.string(view.getUint32(at, littleEndian));
    const count = view.getUint32(at + 4, littleEndian);
    const next = at + 8 + count * recordSize;
    if (count === 0 || next > end)
      throw new BtfError(`.BTF.ext: ${count} ${what} records do not fit`, { offset: at });
    sections.push({ section: name, count, data: bytes.subarray(at + 8, next) });
    at = next;
  }
  return { recordSize, sections };
}

/** Decodes the CO-RE records of one section. */
export function coreRelocations(ext: BtfExt, section: BtfExtSection, btf: Btf): CoreRelocation[] {
  const { data } = section;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const out: CoreRelocation[] = [];
  for (let at = 0; at < data.length; at += ext.coreRelocations.recordSize)
    out.push({
      insnOffset: view.getUint32(at, ext.littleEndian),
      typeId: view.getUint32(at + 4, ext.littleEndian),
      access: btf.string(view.getUint32(at + 8, ext.littleEndian)),
      kind: view.getUint32(at + 12, ext.littleEndian),
    });
  return out;
}

/** Where the records of each part hold ids of types and offsets of strings, in bytes; word 0 is the instruction's offset. */
export const BTF_EXT_FIELDS: Readonly<
  Record<
    "funcInfo" | "lineInfo" | "coreRelocations",
    { readonly types: readonly number[]; readonly strings: readonly number[] }
  >
> = {
  funcInfo: { types: [4], strings: [] },
  lineInfo: { types: [], strings: [4, 8] },
  coreRelocations: { types: [4], strings: [8] },
};

/** Encodes .BTF.ext; `nameOffset` gives the offset of a section's name in the strings of the BTF that it belongs to. */
export function encodeBtfExt(ext: BtfExt, nameOffset: (section: string) => number): Uint8Array {
  const parts = [ext.funcInfo, ext.lineInfo, ext.coreRelocations];
  const sizes = parts.map(({ sections }) =>
    sections.length === 0 ? 0 : sections.reduce((sum, { data }) => sum + 8 + data.length, 4),
  );
  const out = new Uint8Array(CORE_HEADER_SIZE + sizes.reduce((a, b) => a + b, 0));
  const view = new DataView(out.buffer);
  view.setUint16(0, BTF_MAGIC, ext.littleEndian);
  out[2] = 1;
  view.setUint32(4, CORE_HEADER_SIZE, ext.littleEndian);
  let at = CORE_HEADER_SIZE;
  parts.forEach((part, i) => {
    view.setUint32(8 + i * 8, at - CORE_HEADER_SIZE, ext.littleEndian);
    view.setUint32(12 + i * 8, sizes[i]!, ext.littleEndian);
    if (sizes[i] === 0) return;
    view.setUint32(at, part.recordSize, ext.littleEndian);
    at += 4;
    for (const { section, count, data } of part.sections) {
      view.setUint32(at, nameOffset(section), ext.littleEndian);
      view.setUint32(at + 4, count, ext.littleEndian);
      out.set(data, at + 8);
      at += 8 + data.length;
    }
  });
  return out;
}
