/** Growing bytes of one section. */
import { AsmError } from "../diag/index.ts";

/** No program is longer than the kernel's million instructions (16 MB); hostile `.fill` and `.rept` stop here. */
const MAX_BYTES = 1 << 24;

export class SectionBytes {
  private buffer = new Uint8Array(256);
  private view: DataView = new DataView(this.buffer.buffer);
  length = 0;

  /** Room for `n` more bytes, zeroed; returns their offset. */
  grow(n: number, line: number): number {
    const at = this.length;
    if (at + n > MAX_BYTES) throw new AsmError(`more than ${MAX_BYTES} bytes`, { line });
    if (at + n > this.buffer.length) {
      const bigger = new Uint8Array(Math.max(this.buffer.length * 2, at + n));
      bigger.set(this.buffer);
      this.buffer = bigger;
      this.view = new DataView(bigger.buffer);
    }
    this.length = at + n;
    return at;
  }

  insn(op: number, dst: number, src: number, off: number, imm: number, line: number): number {
    const at = this.grow(8, line);
    this.buffer[at] = op;
    this.buffer[at + 1] = dst | (src << 4);
    this.view.setInt16(at + 2, off, true);
    this.view.setInt32(at + 4, imm, true);
    return at;
  }

  /** Little-endian integer of 1, 2, 4 or 8 bytes. */
  integer(value: bigint, size: number, line: number): void {
    const at = this.grow(size, line);
    for (let i = 0; i < size; i++) this.buffer[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }

  fill(count: number, byte: number, line: number): void {
    const at = this.grow(count, line);
    this.buffer.fill(byte, at, at + count);
  }

  setSrc(at: number, src: number): void {
    this.buffer[at + 1] = (this.buffer[at + 1]! & 15) | (src << 4);
  }
  setOff(at: number, off: number): void {
    this.view.setInt16(at + 2, off, true);
  }
  setImm(at: number, imm: number): void {
    this.view.setInt32(at + 4, imm, true);
  }

  bytes(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }
}
