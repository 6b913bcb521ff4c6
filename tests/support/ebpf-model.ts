/**
 * A model of the part of eBPF that translated classic filters use, straight from RFC 9669: 32-bit ALU, 64-bit moves and
 * sums, 32-bit and 64-bit jumps, u8/u16/u32 memory, LD_ABS, LD_IND. Memory is one array: frame, context, then nothing else.
 */
export interface ModelInput {
  /** struct __sk_buff, at least its first 72 bytes. */
  readonly ctx: Uint8Array;
  readonly packet: Uint8Array;
  readonly networkOffset?: number;
  readonly random?: number;
}

const FRAME_END = 512;
const CTX_BASE = 1024;
const U64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const U32 = (value: bigint): bigint => BigInt.asUintN(32, value);
const S64 = (value: bigint): bigint => BigInt.asIntN(64, value);

/** Returns r0 as u32. Throws on what the model lacks. */
export function runModel(slots: Uint8Array, input: ModelInput): number {
  const memory = new Uint8Array(2048);
  memory.set(input.ctx, CTX_BASE);
  const mem = new DataView(memory.buffer);
  const code = new DataView(slots.buffer, slots.byteOffset, slots.length);
  const { packet } = input;
  const regs = new Array<bigint>(11).fill(0xdeadbeefdeadbeefn);
  regs[1] = BigInt(CTX_BASE);
  regs[10] = BigInt(FRAME_END);

  const load = (offset: number, size: number): bigint | undefined => {
    let at = offset | 0;
    if (at < -0x200000) return undefined;
    if (at < 0) at = at >= -0x100000 ? at + 0x100000 + (input.networkOffset ?? 14) : at + 0x200000;
    if (at + size > packet.length) return undefined;
    let value = 0n;
    for (let i = 0; i < size; i++) value = (value << 8n) | BigInt(packet[at + i]!);
    return value;
  };

  for (let pc = 0, steps = 0; steps < 1_000_000; pc++, steps++) {
    const op = code.getUint8(pc * 8);
    const dst = code.getUint8(pc * 8 + 1) & 15;
    const src = code.getUint8(pc * 8 + 1) >> 4;
    const off = code.getInt16(pc * 8 + 2, true);
    const imm = code.getInt32(pc * 8 + 4, true);
    const cls = op & 7;
    const size = [4, 2, 1, 8][(op >> 3) & 3]!;
    const operand = op & 8 ? regs[src]! : U64(BigInt(imm));
    const fail = (): never => {
      throw new Error(`model: opcode 0x${op.toString(16)} at ${pc}`);
    };
    switch (cls) {
      case 0: {
        const mode = op & 0xe0;
        if (mode !== 0x20 && mode !== 0x40) fail();
        if (regs[6] !== BigInt(CTX_BASE)) throw new Error("model: r6 is not the context");
        const value = load(mode === 0x40 ? Number(U32(regs[src]! + BigInt(imm))) : imm, size);
        if (value === undefined) return 0;
        for (let r = 1; r <= 5; r++) regs[r] = 0xdeadbeefdeadbeefn;
        regs[0] = value;
        break;
      }
      case 1: {
        const at = Number(U32(regs[src]!)) + off;
        regs[dst] = BigInt(
          size === 4 ? mem.getUint32(at, true) : size === 2 ? mem.getUint16(at, true) : mem.getUint8(at),
        );
        break;
      }
      case 3:
        if (size !== 4) fail();
        mem.setUint32(Number(regs[dst]!) + off, Number(U32(regs[src]!)), true);
        break;
      case 4:
      case 7: {
        if (op === 0xdc) {
          if (imm !== 16) fail();
          const value = Number(U32(regs[dst]!));
          regs[dst] = BigInt(((value & 0xff) << 8) | ((value >> 8) & 0xff));
          break;
        }
        const cut = cls === 4 ? U32 : U64;
        const a = cut(regs[dst]!);
        const b = cut(operand);
        const shift = b & (cls === 4 ? 31n : 63n);
        const results: Record<number, () => bigint> = {
          0: () => a + b,
          16: () => a - b,
          32: () => a * b,
          48: () => (b === 0n ? 0n : a / b),
          64: () => a | b,
          80: () => a & b,
          96: () => a << shift,
          112: () => a >> shift,
          128: () => -a,
          144: () => (b === 0n ? a : a % b),
          160: () => a ^ b,
          176: () => b,
        };
        regs[dst] = cut((results[op & 0xf0] ?? fail)());
        break;
      }
      case 5:
      case 6: {
        if (op === 0x95) return Number(U32(regs[0]!));
        if (op === 0x05) {
          pc += off;
          break;
        }
        if (op === 0x85) {
          if (imm === 7) regs[0] = BigInt(input.random ?? 4);
          else if (imm === 8) regs[0] = 0n;
          else if (imm === 26) {
            const from = Number(U32(regs[2]!));
            const length = Number(U32(regs[4]!));
            const ok = from + length <= packet.length;
            if (ok) memory.set(packet.subarray(from, from + length), Number(regs[3]!));
            regs[0] = ok ? 0n : U64(-14n);
          } else fail();
          for (let r = 1; r <= 5; r++) regs[r] = 0xdeadbeefdeadbeefn;
          break;
        }
        const cut = cls === 6 ? U32 : U64;
        const a = cut(regs[dst]!);
        const b = cut(operand);
        const tests: Record<number, boolean> = {
          16: a === b,
          32: a > b,
          48: a >= b,
          64: (a & b) !== 0n,
          80: a !== b,
          160: a < b,
          176: a <= b,
          192: S64(a) < S64(b),
        };
        if (tests[op & 0xf0] ?? fail()) pc += off;
        break;
      }
      default:
        fail();
    }
  }
  throw new Error("model: does not end");
}
