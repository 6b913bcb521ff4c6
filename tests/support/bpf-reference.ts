/**
 * eBPF on BigInt, straight from RFC 9669, for tests of the engines: slow and plain. Memory is a DataView; a pointer's
 * low 32 bits are an offset in it. Helpers are not modelled.
 */
export interface ReferenceRun {
  readonly r0: bigint;
  readonly steps: number;
}

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const SIZES = [4, 2, 1, 8];

function divide(a: bigint, b: bigint, bits: number, signed: boolean, modulo: boolean): bigint {
  const wrap = (v: bigint): bigint => (signed ? BigInt.asIntN(bits, v) : BigInt.asUintN(bits, v));
  const x = wrap(a);
  const y = wrap(b);
  if (y === 0n) return modulo ? BigInt.asUintN(bits, a) : 0n;
  return BigInt.asUintN(bits, modulo ? x % y : x / y);
}

export function swapBytes(value: bigint, bits: number): bigint {
  let out = 0n;
  for (let i = 0; i < bits; i += 8) out = (out << 8n) | ((value >> BigInt(i)) & 0xffn);
  return out;
}

/** One ALU operation on values of `bits` bits. */
export function referenceAlu(code: number, a: bigint, b: bigint, bits: 32 | 64, off: number): bigint {
  const wrap = (v: bigint): bigint => BigInt.asUintN(bits, v);
  const count = b & BigInt(bits - 1);
  switch (code) {
    case 0x00:
      return wrap(a + b);
    case 0x10:
      return wrap(a - b);
    case 0x20:
      return wrap(a * b);
    case 0x30:
      return divide(a, b, bits, off === 1, false);
    case 0x40:
      return wrap(a | b);
    case 0x50:
      return wrap(a & b);
    case 0x60:
      return wrap(a << count);
    case 0x70:
      return wrap(a) >> count;
    case 0x80:
      return wrap(-a);
    case 0x90:
      return divide(a, b, bits, off === 1, true);
    case 0xa0:
      return wrap(a ^ b);
    case 0xb0:
      return wrap(off >= 8 ? BigInt.asIntN(off, b) : b);
    case 0xc0:
      return wrap(BigInt.asIntN(bits, a) >> count);
  }
  throw new Error(`reference: ALU operation 0x${code.toString(16)}`);
}

export function referenceJump(code: number, a: bigint, b: bigint, bits: 32 | 64): boolean {
  const x = BigInt.asUintN(bits, a);
  const y = BigInt.asUintN(bits, b);
  const sx = BigInt.asIntN(bits, a);
  const sy = BigInt.asIntN(bits, b);
  switch (code) {
    case 0x10:
      return x === y;
    case 0x20:
      return x > y;
    case 0x30:
      return x >= y;
    case 0x40:
      return (x & y) !== 0n;
    case 0x50:
      return x !== y;
    case 0x60:
      return sx > sy;
    case 0x70:
      return sx >= sy;
    case 0xa0:
      return x < y;
    case 0xb0:
      return x <= y;
    case 0xc0:
      return sx < sy;
    case 0xd0:
      return sx <= sy;
  }
  throw new Error(`reference: jump 0x${code.toString(16)}`);
}

/** Runs from slot 0 with r1 = `ctx` and r10 = `frame`; throws after `maxSteps` instructions. */
export function runReference(
  code: Uint8Array,
  mem: DataView,
  ctx: bigint,
  frame: bigint,
  maxSteps = 1_000_000,
): ReferenceRun {
  const program = new DataView(code.buffer, code.byteOffset, code.length);
  let regs = new Array<bigint>(11).fill(0n);
  regs[1] = ctx;
  regs[10] = frame;
  const calls: { regs: bigint[]; pc: number }[] = [];
  const load = (at: number, size: number): bigint =>
    size === 1
      ? BigInt(mem.getUint8(at))
      : size === 2
        ? BigInt(mem.getUint16(at, true))
        : size === 4
          ? BigInt(mem.getUint32(at, true))
          : mem.getBigUint64(at, true);
  const store = (at: number, size: number, value: bigint): void => {
    if (size === 1) mem.setUint8(at, Number(value & 0xffn));
    else if (size === 2) mem.setUint16(at, Number(value & 0xffffn), true);
    else if (size === 4) mem.setUint32(at, Number(value & 0xffffffffn), true);
    else mem.setBigUint64(at, value, true);
  };
  for (let pc = 0, steps = 1; steps <= maxSteps; steps++) {
    const op = program.getUint8(pc * 8);
    const dst = program.getUint8(pc * 8 + 1) & 15;
    const src = program.getUint8(pc * 8 + 1) >> 4;
    const off = program.getInt16(pc * 8 + 2, true);
    const imm = program.getInt32(pc * 8 + 4, true);
    const cls = op & 7;
    const operation = op & 0xf0;
    const size = SIZES[(op >> 3) & 3];
    const address = (reg: number): number => Number(BigInt.asUintN(32, regs[reg] + BigInt(off)));
    pc++;
    switch (cls) {
      case 0: {
        if (op !== 0x18) throw new Error(`reference: opcode 0x${op.toString(16)}`);
        const high = program.getUint32(pc * 8 + 4, true);
        regs[dst] = (BigInt(high) << 32n) | BigInt(imm >>> 0);
        pc++;
        continue;
      }
      case 1: {
        const value = load(address(src), size);
        regs[dst] = (op & 0xe0) === 0x80 ? u64(BigInt.asIntN(size * 8, value)) : value;
        continue;
      }
      case 2:
        store(address(dst), size, u64(BigInt(imm)));
        continue;
      case 3: {
        if ((op & 0xe0) === 0x60) {
          store(address(dst), size, regs[src]);
          continue;
        }
        if (imm === 0x100) {
          regs[dst] = load(address(src), size);
          continue;
        }
        if (imm === 0x110) {
          store(address(dst), size, regs[src]);
          continue;
        }
        const bits = (size * 8) as 32 | 64;
        const old = load(address(dst), size);
        const value = BigInt.asUintN(bits, regs[src]);
        if (imm === 0xf1) {
          if (old === BigInt.asUintN(bits, regs[0])) store(address(dst), size, value);
          regs[0] = old;
          continue;
        }
        store(address(dst), size, imm === 0xe1 ? value : referenceAlu(imm & 0xf0, old, value, bits, 0));
        if (imm & 1) regs[src] = old;
        continue;
      }
      case 4:
      case 7: {
        const bits = cls === 7 ? 64 : 32;
        if (operation === 0xd0) {
          const value = BigInt.asUintN(imm, regs[dst]);
          regs[dst] = cls === 7 || op & 8 ? swapBytes(value, imm) : value;
        } else regs[dst] = referenceAlu(operation, regs[dst], op & 8 ? regs[src] : BigInt(imm), bits, off);
        continue;
      }
    }
    if (op === 0x95) {
      const back = calls.pop();
      if (back === undefined) return { r0: regs[0], steps };
      back.regs[0] = regs[0];
      regs = back.regs;
      pc = back.pc;
    } else if (op === 0x85 && src === 1) {
      calls.push({ regs: [...regs], pc });
      regs[10] -= 512n;
      pc += imm;
    } else if (operation === 0) pc += cls === 6 ? imm : off;
    else if (referenceJump(operation, regs[dst], op & 8 ? regs[src] : u64(BigInt(imm)), cls === 6 ? 32 : 64))
      pc += off;
  }
  throw new Error(`reference: more than ${maxSteps} steps`);
}
