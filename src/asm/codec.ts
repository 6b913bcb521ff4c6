/**
 * Bytes to instructions and back (struct bpf_insn, little-endian):
 *
 *   byte 0   1          2 3      4 5 6 7
 *   opcode   src | dst  off s16  imm s32
 */
import { AsmError } from "../diag/index.ts";
import { BPF_DW, BPF_IMM, BPF_LD } from "../uapi/index.ts";

/** Bytes of one slot. */
export const SLOT_SIZE = 8;

/** A program as columns, one entry a slot (the second half of LD_IMM64 is a slot of its own). For hot readers. */
export interface Slots {
  readonly count: number;
  readonly op: Uint8Array;
  readonly dst: Uint8Array;
  readonly src: Uint8Array;
  readonly off: Int16Array;
  readonly imm: Int32Array;
}

/** One instruction. LD_IMM64 is one object and two slots. */
export interface Insn {
  /** The opcode byte. */
  readonly op: number;
  readonly dst: number;
  readonly src: number;
  /** s16. */
  readonly off: number;
  /** s32; LD_IMM64: the low half. */
  readonly imm: number;
  /** LD_IMM64 only: both halves, as u64. */
  readonly imm64?: bigint;
}

const LD_IMM64 = BPF_LD | BPF_IMM | BPF_DW;

export function isLdImm64(op: number): boolean {
  return op === LD_IMM64;
}

function wholeSlots(bytes: Uint8Array): number {
  if (bytes.length % SLOT_SIZE !== 0)
    throw new AsmError(`${bytes.length} bytes are not a whole number of 8-byte slots`, {
      insn: Math.floor(bytes.length / SLOT_SIZE),
    });
  return bytes.length / SLOT_SIZE;
}

/** Every slot as it is, valid or not. Throws AsmError only when the length is not a multiple of 8. */
export function decodeSlots(bytes: Uint8Array): Slots {
  const count = wholeSlots(bytes);
  const op = new Uint8Array(count);
  const dst = new Uint8Array(count);
  const src = new Uint8Array(count);
  const off = new Int16Array(count);
  const imm = new Int32Array(count);
  for (let i = 0, p = 0; i < count; i++, p += SLOT_SIZE) {
    op[i] = bytes[p]!;
    const regs = bytes[p + 1]!;
    dst[i] = regs & 15;
    src[i] = regs >> 4;
    off[i] = bytes[p + 2]! | (bytes[p + 3]! << 8);
    imm[i] = bytes[p + 4]! | (bytes[p + 5]! << 8) | (bytes[p + 6]! << 16) | (bytes[p + 7]! << 24);
  }
  return { count, op, dst, src, off, imm };
}

/** Both halves of the LD_IMM64 at slot `i`, as u64. */
export function imm64At(slots: Slots, i: number): bigint {
  return (BigInt(slots.imm[i + 1]! >>> 0) << 32n) | BigInt(slots.imm[i]! >>> 0);
}

/**
 * Object form. Throws AsmError for an LD_IMM64 without its second slot, or with anything but an immediate in it;
 * unknown opcodes pass (`validate` is there for that).
 */
export function decode(bytes: Uint8Array): Insn[] {
  const s = decodeSlots(bytes);
  const insns: Insn[] = [];
  for (let i = 0; i < s.count; i++) {
    const insn = { op: s.op[i]!, dst: s.dst[i]!, src: s.src[i]!, off: s.off[i]!, imm: s.imm[i]! };
    if (!isLdImm64(insn.op)) {
      insns.push(insn);
      continue;
    }
    if (i + 1 === s.count) throw new AsmError("LD_IMM64 lacks its second slot", { insn: i });
    if (s.op[i + 1] || s.dst[i + 1] || s.src[i + 1] || s.off[i + 1])
      throw new AsmError("the second slot of LD_IMM64 holds more than an immediate", { insn: i });
    insns.push({ ...insn, imm64: imm64At(s, i) });
    i++;
  }
  return insns;
}

function check(name: string, value: number, min: number, max: number, insn: number): void {
  if (!Number.isInteger(value) || value < min || value > max)
    throw new AsmError(`${name} ${value} is outside ${min}..${max}`, { insn });
}

/**
 * Bytes of `insns`. imm may be given as s32 or u32; LD_IMM64 without imm64 takes imm as its low half and zero as its
 * high half. A field that does not fit throws AsmError (`insn` is the slot).
 */
export function encode(insns: readonly Insn[]): Uint8Array {
  let count = 0;
  for (const insn of insns) count += isLdImm64(insn.op) ? 2 : 1;
  const bytes = new Uint8Array(count * SLOT_SIZE);
  const view = new DataView(bytes.buffer);
  let slot = 0;
  for (const { op, dst, src, off, imm, imm64 } of insns) {
    check("opcode", op, 0, 0xff, slot);
    check("dst", dst, 0, 15, slot);
    check("src", src, 0, 15, slot);
    check("off", off, -0x8000, 0x7fff, slot);
    check("imm", imm, -0x80000000, 0xffffffff, slot);
    const p = slot * SLOT_SIZE;
    bytes[p] = op;
    bytes[p + 1] = dst | (src << 4);
    view.setInt16(p + 2, off, true);
    view.setInt32(p + 4, imm, true);
    slot++;
    if (!isLdImm64(op)) continue;
    if (imm64 !== undefined) {
      if (imm64 !== BigInt.asUintN(64, imm64) && imm64 !== BigInt.asIntN(64, imm64))
        throw new AsmError(`imm64 ${imm64} does not fit 64 bits`, { insn: slot - 1 });
      view.setInt32(p + 4, Number(BigInt.asIntN(32, imm64)), true);
      view.setInt32(p + 12, Number(BigInt.asIntN(32, imm64 >> 32n)), true);
    }
    slot++;
  }
  return bytes;
}
