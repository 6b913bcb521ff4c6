import { InternalError } from "../diag/index.ts";

/** A C struct as a table: member names with their sizes in bytes, laid out with natural alignment as UAPI structs are. */
export interface StructLayout {
  readonly offsets: Readonly<Record<string, number>>;
  readonly sizes: Readonly<Record<string, number>>;
  readonly size: number;
}

/**
 * `"map_type:4 map_name:16s map_extra:8"`: integers of 4 or 8 bytes (aligned to their size), `s` marks bytes (aligned
 * to 1). A member in parentheses, `(attach_btf_obj_fd:4)`, shares the offset of the one before it (a union).
 */
export function layoutOf(text: string): StructLayout {
  const offsets: Record<string, number> = {};
  const sizes: Record<string, number> = {};
  let end = 0;
  let last = 0;
  for (const word of text.trim().split(/\s+/)) {
    const m = /^(\()?(\w+):(\d+)(s?)\)?$/.exec(word)!;
    const size = Number(m[3]);
    const align = m[4] ? 1 : size;
    const at: number = m[1] ? last : Math.ceil(end / align) * align;
    offsets[m[2]!] = at;
    sizes[m[2]!] = size;
    last = at;
    end = Math.max(end, at + size);
  }
  return { offsets, sizes, size: Math.ceil(end / 8) * 8 };
}

export type FieldValue = number | bigint | Uint8Array | undefined;

/** Writes `values` into `out`; an absent value leaves zeroes. Negative numbers are stored as two's complement. */
export function packStruct(
  layout: StructLayout,
  values: Readonly<Record<string, FieldValue>>,
  out: Uint8Array,
): void {
  const dv = new DataView(out.buffer, out.byteOffset, out.byteLength);
  for (const [name, value] of Object.entries(values)) {
    // A zero never overwrites the other member of a union.
    if (!value) continue;
    const at = layout.offsets[name];
    if (at === undefined) throw new InternalError(`the struct has no member ${name}`);
    const size = layout.sizes[name]!;
    if (value instanceof Uint8Array) out.set(value.subarray(0, size), at);
    else if (size === 8) dv.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
    else dv.setUint32(at, Number(value) >>> 0, true);
  }
}

/** Reads members of a struct that the kernel filled in. */
export class StructReader {
  private readonly layout: StructLayout;
  private readonly bytes: Uint8Array;
  private readonly dv: DataView;
  constructor(layout: StructLayout, bytes: Uint8Array) {
    this.layout = layout;
    this.bytes = bytes;
    this.dv = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  u32(name: string): number {
    return this.dv.getUint32(this.layout.offsets[name]!, true);
  }
  u64(name: string): bigint {
    return this.dv.getBigUint64(this.layout.offsets[name]!, true);
  }
  raw(name: string): Uint8Array {
    const at = this.layout.offsets[name]!;
    return this.bytes.slice(at, at + this.layout.sizes[name]!);
  }
  /** A NUL-terminated name. */
  text(name: string): string {
    const raw = this.raw(name);
    const end = raw.indexOf(0);
    return new TextDecoder().decode(end < 0 ? raw : raw.subarray(0, end));
  }
}
