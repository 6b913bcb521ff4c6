/**
 * A growable byte buffer with the encodings of the WebAssembly binary format. 64-bit constants are given as two
 * 32-bit halves, so that emitting code never makes a BigInt.
 */
export class WasmBytes {
  private data: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.data = new Uint8Array(capacity);
  }

  private grow(atLeast: number): void {
    const data = new Uint8Array(Math.max(this.data.length * 2, this.length + atLeast));
    data.set(this.data.subarray(0, this.length));
    this.data = data;
  }

  u8(value: number): void {
    if (this.length === this.data.length) this.grow(1);
    this.data[this.length++] = value;
  }

  /** Unsigned LEB128 of a u32. */
  u32(value: number): void {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.u8(rest);
  }

  /** Signed LEB128 of an i32. */
  s32(value: number): void {
    let rest = value | 0;
    while (rest < -64 || rest > 63) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>= 7;
    }
    this.u8(rest & 0x7f);
  }

  /** Signed LEB128 of the i64 `hi:lo`. */
  s64(low: number, high: number): void {
    let lo = low | 0;
    let hi = high | 0;
    while (hi !== lo >> 31 || lo < -64 || lo > 63) {
      this.u8((lo & 0x7f) | 0x80);
      lo = (lo >>> 7) | (hi << 25);
      hi >>= 7;
    }
    this.u8(lo & 0x7f);
  }

  append(other: WasmBytes): void {
    this.raw(other.data.subarray(0, other.length));
  }

  raw(bytes: Uint8Array): void {
    if (this.length + bytes.length > this.data.length) this.grow(bytes.length);
    this.data.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** A name: UTF-8 with its length in front. */
  name(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u32(bytes.length);
    this.raw(bytes);
  }

  /** A view, valid until the next write. */
  view(): Uint8Array {
    return this.data.subarray(0, this.length);
  }
}
