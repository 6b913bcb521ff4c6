/**
 * Runs a generated program on random inputs, in BigInt and with every access checked, and asks at each instruction
 * whether the registers are what the verifier claimed. Only what a program does by itself: no kernel behind it, so few
 * helpers.
 */
import type { Slots } from "../../src/asm/index.ts";
import * as U from "../../src/uapi/index.ts";
import { Random } from "../fuzz-isa/random.ts";
import type { ProgKind } from "./generate.ts";
import { MAPS } from "./world.ts";

const u64 = (v: bigint): bigint => BigInt.asUintN(64, v);
const s64 = (v: bigint): bigint => BigInt.asIntN(64, v);
const u32 = (v: bigint): bigint => BigInt.asUintN(32, v);
const s32 = (v: bigint): bigint => BigInt.asIntN(32, v);

export const STACK_TOP = 0x1_0000_1000n;
const FRAME = 0x1000n;
export const CTX_BASE = 0x2_0000_0000n;
export const PACKET_BASE = 0x3_0000_0000n;
/** Each value has a page of its own, each map a gigabyte. */
export const mapValue = (map: number, entry: number): bigint =>
  0x10_0000_0000n + BigInt(map) * 0x4000_0000n + BigInt(entry) * 0x1000n;

/** R10 of frame `depth`. */
export const frameTop = (depth: number): bigint => STACK_TOP + BigInt(depth) * FRAME;

/** The program does something that this machine has no model of. */
export class Unsupported extends Error {}
/** The program accessed what it must not: the verifier was wrong. */
export class Violation extends Error {}

export interface Step {
  readonly insn: number;
  readonly depth: number;
  readonly regs: readonly bigint[];
}

interface Region {
  readonly base: bigint;
  readonly bytes: Uint8Array;
}

export class Machine {
  readonly regions = new Map<bigint, Region>();
  readonly packetSize: number;
  regs: bigint[];
  depth = 0;
  private readonly r: Random;
  private readonly kind: ProgKind;
  private readonly slots: Slots;
  private readonly frames: { readonly back: number; readonly saved: readonly bigint[] }[] = [];

  constructor(slots: Slots, kind: ProgKind, seed: number) {
    this.slots = slots;
    this.kind = kind;
    this.r = new Random(seed);
    this.regs = Array.from({ length: 11 }, () => 0xdead_dead_dead_deadn);
    this.packetSize = this.r.pick([0, 1, 14, 34, 64, 200, 1500]);
    this.add(CTX_BASE, 512);
    this.add(PACKET_BASE, this.packetSize);
    for (const [map, row] of MAPS.entries())
      for (let entry = 0; entry < row.entries && entry < 16 && row.value > 0; entry++)
        this.add(mapValue(map, entry), row.value);
    this.add(frameTop(0) - 512n, 512);
    this.regs[1] = CTX_BASE;
    this.regs[10] = frameTop(0);
  }

  private add(base: bigint, size: number): void {
    const bytes = new Uint8Array(size);
    // Small numbers are more telling than large ones.
    const mostly = this.r.below(3);
    for (let i = 0; i < size; i++)
      bytes[i] = mostly === 0 ? this.r.below(256) : this.r.chance(80) ? 0 : this.r.pick([1, 8, 255]);
    this.regions.set(base, { base, bytes });
  }

  private find(at: bigint, size: number): { bytes: Uint8Array; off: number } {
    for (const region of this.regions.values()) {
      const off = at - region.base;
      if (off >= 0n && off + BigInt(size) <= BigInt(region.bytes.length))
        return { bytes: region.bytes, off: Number(off) };
    }
    throw new Violation(`access of ${size} bytes at 0x${at.toString(16)}`);
  }

  load(at: bigint, size: number): bigint {
    const { bytes, off } = this.find(at, size);
    let v = 0n;
    for (let i = size - 1; i >= 0; i--) v = (v << 8n) | BigInt(bytes[off + i]!);
    return v;
  }

  private store(at: bigint, size: number, value: bigint): void {
    const { bytes, off } = this.find(at, size);
    for (let i = 0; i < size; i++) bytes[off + i] = Number((value >> BigInt(8 * i)) & 255n);
  }

  random(): bigint {
    const { r } = this;
    const any = (BigInt(r.u32()) << 32n) | BigInt(r.u32());
    return r.pick([
      any,
      any & 0xffn,
      any & 0xffffn,
      u32(any),
      u64(-(any & 0xffn)),
      0n,
      1n,
      8n,
      16n,
      47n,
      48n,
    ]);
  }

  /** Runs to the end; `observe` sees every step before it is taken. */
  run(observe: (step: Step) => void, limit = 4_000): void {
    const { op, dst, src, off, imm } = this.slots;
    for (let pc = 0, steps = 0; ; pc++) {
      if (++steps > limit) throw new Unsupported("too long");
      observe({ insn: pc, depth: this.depth, regs: this.regs });
      const code = op[pc]!;
      const d = dst[pc]!;
      const s = src[pc]!;
      const k = imm[pc]!;
      const cls = code & 7;
      switch (cls) {
        case U.BPF_ALU:
        case U.BPF_ALU64:
          this.regs[d] = this.alu(pc);
          break;
        case U.BPF_LD: {
          if (code !== 0x18) throw new Unsupported("LD_ABS");
          if (s === 0) this.regs[d] = (BigInt(imm[pc + 1]! >>> 0) << 32n) | BigInt(k >>> 0);
          else if (s === U.BPF_PSEUDO_MAP_FD) this.regs[d] = BigInt(k) + 0xff_0000_0000n;
          else if (s === U.BPF_PSEUDO_MAP_VALUE) this.regs[d] = mapValue(k, 0) + BigInt(imm[pc + 1]!);
          else throw new Unsupported("pseudo load");
          pc++;
          break;
        }
        case U.BPF_LDX: {
          const size = [4, 2, 1, 8][(code >> 3) & 3]!;
          const at = u64(this.regs[s]! + BigInt(off[pc]!));
          const mode = code & 0xe0;
          if (mode !== U.BPF_MEM && mode !== U.BPF_MEMSX) throw new Unsupported("load");
          let v = this.fromContext(at) ?? this.load(at, size);
          if (mode === U.BPF_MEMSX) v = u64(BigInt.asIntN(size * 8, v));
          this.regs[d] = v;
          break;
        }
        case U.BPF_ST:
        case U.BPF_STX: {
          const size = [4, 2, 1, 8][(code >> 3) & 3]!;
          const at = u64(this.regs[d]! + BigInt(off[pc]!));
          if (cls === U.BPF_STX && (code & 0xe0) === U.BPF_ATOMIC) this.atomic(at, size, k, s, d, off[pc]!);
          else this.store(at, size, cls === U.BPF_ST ? u64(BigInt(k)) : this.regs[s]!);
          break;
        }
        default: {
          const opcode = code & 0xf0;
          if (opcode === U.BPF_EXIT) {
            const frame = this.frames.pop();
            if (frame === undefined) return;
            this.regions.delete(frameTop(this.depth) - 512n);
            this.depth--;
            for (let r = 6; r <= 10; r++) this.regs[r] = frame.saved[r - 6]!;
            for (let r = 1; r <= 5; r++) this.regs[r] = 0xdead_dead_dead_deadn;
            pc = frame.back;
          } else if (opcode === U.BPF_CALL) {
            if (s === U.BPF_PSEUDO_CALL) {
              this.frames.push({ back: pc, saved: this.regs.slice(6, 11) });
              this.depth++;
              this.add(frameTop(this.depth) - 512n, 512);
              this.regs[10] = frameTop(this.depth);
              pc += k;
            } else if (s === 0) this.call(k);
            else throw new Unsupported("kfunc");
          } else if (opcode === U.BPF_JA) pc += cls === U.BPF_JMP32 ? k : off[pc]!;
          else if (opcode === U.BPF_JCOND) pc += this.r.chance(30) ? off[pc]! : 0;
          else if (this.taken(pc)) pc += off[pc]!;
        }
      }
    }
  }

  /** Packet pointers that the context holds. */
  private fromContext(at: bigint): bigint | undefined {
    const off = Number(at - CTX_BASE);
    if (this.kind.data < 0) return undefined;
    if (off === this.kind.data) return PACKET_BASE;
    return off === this.kind.dataEnd ? PACKET_BASE + BigInt(this.packetSize) : undefined;
  }

  private alu(pc: number): bigint {
    const { op, dst, src, off, imm } = this.slots;
    const code = op[pc]!;
    const wide = (code & 7) === U.BPF_ALU64;
    const a64 = this.regs[dst[pc]!]!;
    const b64 = (code & 8) !== 0 ? this.regs[src[pc]!]! : u64(BigInt(imm[pc]!));
    const cut = wide ? u64 : u32;
    const sign = wide ? s64 : s32;
    const bits = wide ? 64n : 32n;
    const a = cut(a64);
    const b = cut(b64);
    const signed = off[pc] === 1;
    switch (code & 0xf0) {
      case U.BPF_ADD:
        return cut(a + b);
      case U.BPF_SUB:
        return cut(a - b);
      case U.BPF_MUL:
        return cut(a * b);
      case U.BPF_DIV:
        return b === 0n ? 0n : signed ? cut(sign(a) / sign(b)) : a / b;
      case U.BPF_MOD:
        return b === 0n ? a : signed ? cut(sign(a) % sign(b)) : a % b;
      case U.BPF_OR:
        return a | b;
      case U.BPF_AND:
        return a & b;
      case U.BPF_XOR:
        return a ^ b;
      case U.BPF_LSH:
        return cut(a << (b & (bits - 1n)));
      case U.BPF_RSH:
        return a >> (b & (bits - 1n));
      case U.BPF_ARSH:
        return cut(sign(a) >> (b & (bits - 1n)));
      case U.BPF_NEG:
        return cut(-a);
      case U.BPF_MOV:
        if (off[pc] === 0) return b;
        if (off[pc] === 1) throw new Unsupported("address space");
        return cut(BigInt.asIntN(off[pc]!, b));
      default: {
        const n = imm[pc]!;
        const low = BigInt.asUintN(n, a64);
        if (!wide && (code & 8) === 0) return low;
        let v = 0n;
        for (let i = 0n; i < BigInt(n); i += 8n) v = (v << 8n) | ((low >> i) & 255n);
        return v;
      }
    }
  }

  private taken(pc: number): boolean {
    const { op, dst, src, imm } = this.slots;
    const code = op[pc]!;
    const wide = (code & 7) === U.BPF_JMP;
    const cut = wide ? u64 : u32;
    const sign = wide ? s64 : s32;
    const a = cut(this.regs[dst[pc]!]!);
    const b = cut((code & 8) !== 0 ? this.regs[src[pc]!]! : u64(BigInt(imm[pc]!)));
    switch (code & 0xf0) {
      case U.BPF_JEQ:
        return a === b;
      case U.BPF_JNE:
        return a !== b;
      case U.BPF_JGT:
        return a > b;
      case U.BPF_JGE:
        return a >= b;
      case U.BPF_JLT:
        return a < b;
      case U.BPF_JLE:
        return a <= b;
      case U.BPF_JSET:
        return (a & b) !== 0n;
      case U.BPF_JSGT:
        return sign(a) > sign(b);
      case U.BPF_JSGE:
        return sign(a) >= sign(b);
      case U.BPF_JSLT:
        return sign(a) < sign(b);
      default:
        return sign(a) <= sign(b);
    }
  }

  private atomic(at: bigint, size: number, op: number, s: number, d: number, off: number): void {
    if (op === U.BPF_LOAD_ACQ) {
      this.regs[d] = this.load(u64(this.regs[s]! + BigInt(off)), size);
      return;
    }
    const value = BigInt.asUintN(size * 8, this.regs[s]!);
    if (op === U.BPF_STORE_REL) {
      this.store(at, size, value);
      return;
    }
    const old = this.load(at, size);
    if (op === U.BPF_CMPXCHG) {
      if (old === BigInt.asUintN(size * 8, this.regs[0]!)) this.store(at, size, value);
      this.regs[0] = old;
      return;
    }
    const results: Readonly<Record<number, bigint>> = {
      [U.BPF_ADD]: old + value,
      [U.BPF_OR]: old | value,
      [U.BPF_AND]: old & value,
      [U.BPF_XOR]: old ^ value,
    };
    this.store(at, size, op === U.BPF_XCHG ? value : BigInt.asUintN(size * 8, results[op & ~U.BPF_FETCH]!));
    if (op === U.BPF_XCHG || (op & U.BPF_FETCH) !== 0) this.regs[s] = old;
  }

  private call(id: number): void {
    const { regs } = this;
    let result: bigint;
    switch (id) {
      case U.BPF_FUNC_get_prandom_u32:
        result = u32(this.random());
        break;
      case U.BPF_FUNC_ktime_get_ns:
        result = this.random();
        break;
      case U.BPF_FUNC_map_lookup_elem: {
        const map = Number(regs[1]! - 0xff_0000_0000n);
        const row = MAPS[map];
        if (row === undefined || row.value === 0 || row.inner !== undefined) throw new Unsupported("lookup");
        const key = this.load(regs[2]!, row.key);
        const isArray = row.type === U.BPF_MAP_TYPE_ARRAY || row.type === U.BPF_MAP_TYPE_PERCPU_ARRAY;
        if (isArray) result = key < BigInt(row.entries) ? mapValue(map, Number(key)) : 0n;
        else result = this.r.chance(40) ? 0n : mapValue(map, this.r.below(Math.min(row.entries, 16)));
        break;
      }
      default:
        throw new Unsupported(`helper ${id}`);
    }
    for (let r = 1; r <= 5; r++) regs[r] = 0xdead_dead_dead_deadn;
    regs[0] = result;
  }
}
