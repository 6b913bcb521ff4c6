/**
 * Random eBPF programs that the kernel's verifier accepts: registers and stack are initialised before they are read,
 * pointers stay inside their objects, loops run on a locked counter. Program text depends on the seed alone.
 *
 * Memory of a program (the single value of an ARRAY map), compared byte by byte after the run:
 *
 *   0          256          336         400
 *   | memory   | r0 ... r9  | stack     |
 */

import type { Insn } from "../src/asm/index.ts";
import * as bpf from "../src/asm/index.ts";
import * as u from "../src/uapi/index.ts";

export const MEMORY_SIZE = 256;
const REGS_AT = MEMORY_SIZE;
const STACK_AT = REGS_AT + 80;
const WINDOW = 64;
export const VALUE_SIZE: number = STACK_AT + WINDOW;

/** xorshift32 behind a scrambler: small seeds give unrelated streams. */
export class Random {
  private state: number;
  constructor(seed: number) {
    let h = (seed ^ 0x9e3779b9) | 0;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    this.state = (h ^ (h >>> 16)) | 1;
  }
  u32(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x >>> 0;
  }
  below(n: number): number {
    return this.u32() % n;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}

/** What a register holds. Objects: the map's memory, this frame's window, a window that the caller passed. */
type Kind = "none" | "scalar" | "map" | "stack" | "caller";
interface Reg {
  readonly kind: Kind;
  /** Pointers: constant distance from the object's start. */
  readonly off: number;
}
const NONE: Reg = { kind: "none", off: 0 };
const SCALAR: Reg = { kind: "scalar", off: 0 };
const SIZE_OF: Readonly<Record<string, number>> = { map: MEMORY_SIZE, stack: WINDOW, caller: WINDOW };

/** An instruction, with what is still to be resolved: a label to jump to, a function to call, a map's address. */
interface Item {
  insn: Insn;
  readonly target?: number;
  readonly long?: boolean;
  readonly callee?: number;
}

export type ArgKind = "scalar" | "map" | "caller";
interface Fn {
  readonly items: Item[];
  readonly args: readonly ArgKind[];
  /** Instructions that one call runs, at most. */
  readonly cost: number;
  /** Bytes of stack of this function and what it calls. */
  readonly depth: number;
}

const ALU_OPS = [
  u.BPF_ADD,
  u.BPF_SUB,
  u.BPF_MUL,
  u.BPF_DIV,
  u.BPF_OR,
  u.BPF_AND,
  u.BPF_LSH,
  u.BPF_RSH,
  u.BPF_MOD,
  u.BPF_XOR,
  u.BPF_ARSH,
];
const JMP_OPS = [
  u.BPF_JEQ,
  u.BPF_JGT,
  u.BPF_JGE,
  u.BPF_JSET,
  u.BPF_JNE,
  u.BPF_JSGT,
  u.BPF_JSGE,
  u.BPF_JLT,
  u.BPF_JLE,
  u.BPF_JSLT,
  u.BPF_JSLE,
];
const SIZES = [u.BPF_B, u.BPF_H, u.BPF_W, u.BPF_DW];
const BYTES: Readonly<Record<number, number>> = { [u.BPF_B]: 1, [u.BPF_H]: 2, [u.BPF_W]: 4, [u.BPF_DW]: 8 };
const ATOMIC_OPS = [u.BPF_ADD, u.BPF_OR, u.BPF_AND, u.BPF_XOR].flatMap((op) => [op, op | u.BPF_FETCH]);
const CONSTANTS = [
  0, 1, -1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x10000,
  0x7fffffff, -0x80000000, -2, -128, -32768,
];
const MAX_COST = 6000;
const MAX_ITEMS = 160;
/** One program in so many is large, where large ones are asked for: engines split long functions. */
const LARGE_EVERY = 250;
const LARGE_ITEMS = 7_000;

/** One function in the making. */
class FunctionBuilder {
  readonly items: Item[] = [];
  readonly labels: number[] = [];
  private readonly regs: Reg[] = Array.from({ length: 10 }, () => NONE);
  /** Registers that must keep what they hold (loop counters, passed pointers inside nested code). */
  private readonly locked = new Set<number>();
  private readonly rnd: Random;
  private readonly callees: readonly (Fn | undefined)[];
  private readonly index: number;
  private readonly exitLabel: number;
  private readonly window: number;
  private multiplier = 1;
  private cost = 0;
  private nesting = 0;
  private calleeDepth = 0;
  private readonly maxItems: number;
  private readonly maxCost: number;

  constructor(
    rnd: Random,
    index: number,
    callees: readonly (Fn | undefined)[],
    args: readonly ArgKind[],
    large: boolean,
  ) {
    this.maxItems = large ? LARGE_ITEMS : MAX_ITEMS;
    this.maxCost = large ? 4 * LARGE_ITEMS : MAX_COST;
    this.rnd = rnd;
    this.index = index;
    this.callees = callees;
    const calls = callees.some((f, i) => i > index && f !== undefined);
    const deepest = index === 0 && !calls ? 54 : 4;
    this.window = -WINDOW - 8 * rnd.below(deepest + 1);
    this.exitLabel = this.newLabel();
    args.forEach((kind, i) => {
      this.regs[i + 1] = kind === "scalar" ? SCALAR : { kind, off: 0 };
    });
  }

  // ---- emission ----
  private newLabel(): number {
    return this.labels.push(-1) - 1;
  }
  private place(label: number): void {
    this.labels[label] = this.items.length;
  }
  private emit(insn: Insn, extra: Omit<Item, "insn"> = {}): void {
    this.items.push({ insn, ...extra });
    this.cost += this.multiplier;
  }
  private jump(label: number): void {
    const long = this.rnd.chance(30);
    this.emit(long ? bpf.jal(0) : bpf.ja(0), { target: label, long });
  }
  private set(reg: number, value: Reg): void {
    this.regs[reg] = value;
  }

  // ---- choices ----
  private constant(): number {
    return this.rnd.chance(60) ? this.rnd.pick(CONSTANTS) : this.rnd.u32() | 0;
  }
  private constant64(): bigint {
    if (this.rnd.chance(40)) return BigInt(this.constant());
    return (BigInt(this.rnd.u32()) << 32n) | BigInt(this.rnd.u32());
  }
  private free(): number[] {
    return this.regs.map((_, i) => i).filter((i) => !this.locked.has(i));
  }
  private of(kind: Kind): number[] {
    return this.free().filter((i) => this.regs[i]!.kind === kind);
  }
  /** Any register that may be overwritten. */
  private dst(): number {
    return this.rnd.pick(this.free());
  }
  /** A scalar that may be overwritten. */
  private scalar(): number {
    const candidates = this.of("scalar");
    if (candidates.length > 0) return this.rnd.pick(candidates);
    const reg = this.dst();
    this.emit(bpf.mov64Imm(reg, this.constant()));
    this.set(reg, SCALAR);
    return reg;
  }
  /** A scalar to read: loop counters too. */
  private source(): number {
    const candidates = this.regs.map((_, i) => i).filter((i) => this.regs[i]!.kind === "scalar");
    return candidates.length > 0 ? this.rnd.pick(candidates) : this.scalar();
  }
  /** A register other than `not` that points at something; made where there is none. */
  private pointer(not: readonly number[] = []): number {
    const candidates = this.regs
      .map((_, i) => i)
      .filter((i) => !not.includes(i) && ["map", "stack", "caller"].includes(this.regs[i]!.kind));
    if (candidates.length > 0 && this.rnd.chance(80)) return this.rnd.pick(candidates);
    const reg = this.rnd.pick(this.free().filter((i) => !not.includes(i)));
    this.makePointer(reg, { kind: this.rnd.chance(65) ? "map" : "stack", off: 8 * this.rnd.below(6) });
    return reg;
  }
  /** Loads a pointer into `reg`. */
  private makePointer(reg: number, to: Reg): void {
    if (to.kind === "map") this.emit(bpf.ldMapValue(reg, 0, to.off));
    else {
      this.emit(bpf.mov64Reg(reg, 10));
      this.emit(bpf.alu64Imm(u.BPF_ADD, reg, this.window + to.off));
    }
    this.set(reg, to);
  }
  /** A place of `bytes` in what `reg` (10: this frame) points at, as the displacement. Stacks want it aligned. */
  private place8(reg: number, bytes: number, aligned: boolean): number {
    const { kind, off } = reg === 10 ? { kind: "stack" as Kind, off: -this.window } : this.regs[reg]!;
    const room = SIZE_OF[kind]! - bytes;
    let at = this.rnd.below(room + 1);
    if (aligned || kind !== "map") at -= at % bytes;
    return at - off;
  }

  // ---- statements ----
  private alu(): void {
    const r = this.rnd;
    const op = r.pick(ALU_OPS);
    const wide = r.chance(60);
    const dst = this.scalar();
    const signed = (op === u.BPF_DIV || op === u.BPF_MOD) && r.chance(50);
    if (r.chance(50)) {
      const src = this.source();
      if (signed) this.emit(wide ? bpf.salu64Reg(op, dst, src) : bpf.salu32Reg(op, dst, src));
      else this.emit(wide ? bpf.alu64Reg(op, dst, src) : bpf.alu32Reg(op, dst, src));
      return;
    }
    let imm = this.constant();
    if (op === u.BPF_LSH || op === u.BPF_RSH || op === u.BPF_ARSH) imm = r.below(wide ? 64 : 32);
    if ((op === u.BPF_DIV || op === u.BPF_MOD) && imm === 0) imm = 1;
    if (signed) this.emit(wide ? bpf.salu64Imm(op, dst, imm) : bpf.salu32Imm(op, dst, imm));
    else this.emit(wide ? bpf.alu64Imm(op, dst, imm) : bpf.alu32Imm(op, dst, imm));
  }

  private unary(): void {
    const r = this.rnd;
    const dst = this.scalar();
    const bits = r.pick([16, 32, 64]);
    this.emit(
      r.pick([
        () => bpf.neg64(dst),
        () => bpf.neg32(dst),
        () => bpf.le(bits, dst),
        () => bpf.be(bits, dst),
        () => bpf.bswap(bits, dst),
      ])(),
    );
  }

  private move(): void {
    const r = this.rnd;
    const src = this.source();
    const dst = this.dst();
    this.emit(
      r.pick([
        () => bpf.mov64Imm(dst, this.constant()),
        () => bpf.mov32Imm(dst, this.constant()),
        () => bpf.mov64Reg(dst, src),
        () => bpf.mov32Reg(dst, src),
        () => bpf.movsx64(r.pick([8, 16, 32]), dst, src),
        () => bpf.movsx32(r.pick([8, 16]), dst, src),
        () => bpf.ldImm64(dst, this.constant64()),
      ])(),
    );
    this.set(dst, SCALAR);
  }

  /** A base register for an access: r10, or a pointer. */
  private base(not: readonly number[] = []): number {
    return this.rnd.chance(30) ? 10 : this.pointer(not);
  }

  private load(): void {
    const r = this.rnd;
    const base = this.base();
    const dst = this.dst();
    if (r.chance(30)) {
      const size = r.pick([u.BPF_B, u.BPF_H, u.BPF_W]);
      this.emit(bpf.ldxMemsx(size, dst, base, this.place8(base, BYTES[size]!, false)));
    } else if (r.chance(8)) {
      const size = r.pick(SIZES);
      this.emit(bpf.loadAcquire(size, dst, base, this.place8(base, BYTES[size]!, true)));
    } else {
      const size = r.pick(SIZES);
      this.emit(bpf.ldxMem(size, dst, base, this.place8(base, BYTES[size]!, false)));
    }
    this.set(dst, SCALAR);
  }

  private store(): void {
    const r = this.rnd;
    const size = r.pick(SIZES);
    const src = this.source();
    const base = this.base([src]);
    if (r.chance(30))
      this.emit(bpf.stMem(size, base, this.place8(base, BYTES[size]!, false), this.constant()));
    else if (r.chance(8)) this.emit(bpf.storeRelease(size, base, src, this.place8(base, BYTES[size]!, true)));
    else this.emit(bpf.stxMem(size, base, src, this.place8(base, BYTES[size]!, false)));
  }

  private atomic(): void {
    const r = this.rnd;
    const size = r.pick([u.BPF_W, u.BPF_DW]);
    const op = r.pick([...ATOMIC_OPS, u.BPF_XCHG, u.BPF_CMPXCHG]);
    const compares = op === u.BPF_CMPXCHG;
    if (compares && this.locked.has(0)) return;
    if (compares && this.regs[0]!.kind !== "scalar") {
      this.emit(bpf.mov64Imm(0, this.constant()));
      this.set(0, SCALAR);
    }
    // What fetches overwrites its source.
    const src = this.scalar();
    const base = this.base([src, 0]);
    const off = this.place8(base, BYTES[size]!, true);
    // Half of the compares find what they expect.
    if (compares && r.chance(50)) this.emit(bpf.ldxMem(size, 0, base, off));
    this.emit(bpf.atomic(size, op, base, src, off));
  }

  private pointers(): void {
    const r = this.rnd;
    const reg = this.dst();
    if (r.chance(40)) {
      this.makePointer(reg, { kind: r.chance(60) ? "map" : "stack", off: 8 * r.below(8) });
      return;
    }
    const from = this.pointer([reg]);
    const { kind, off } = this.regs[from]!;
    this.emit(bpf.mov64Reg(reg, from));
    this.set(reg, { kind, off });
    const step = 8 * (r.below(9) - 4);
    if (step === 0 || off + step < 0 || off + step >= SIZE_OF[kind]!) return;
    // The verifier refuses subtraction from a stack pointer.
    this.emit(
      kind !== "map" || r.chance(50)
        ? bpf.alu64Imm(u.BPF_ADD, reg, step)
        : bpf.alu64Imm(u.BPF_SUB, reg, -step),
    );
    this.set(reg, { kind, off: off + step });
  }

  /** base + (unknown & mask): an address that only the run knows. */
  private variable(): void {
    const r = this.rnd;
    const stack = r.chance(30);
    const index = this.dst();
    const from = this.source();
    const rest = this.free().filter((i) => i !== index);
    if (rest.length === 0) return;
    const at = r.pick(rest);
    this.emit(bpf.mov64Reg(index, from));
    this.emit(
      r.chance(50)
        ? bpf.alu64Imm(u.BPF_AND, index, stack ? 0x18 : 0x7f)
        : bpf.alu32Imm(u.BPF_AND, index, stack ? 0x18 : 0x7f),
    );
    this.set(index, SCALAR);
    this.makePointer(at, { kind: stack ? "stack" : "map", off: 0 });
    this.emit(bpf.alu64Reg(u.BPF_ADD, at, index));
    const size = r.pick(SIZES);
    const bytes = BYTES[size]!;
    let off = r.below((stack ? WINDOW - 0x18 : MEMORY_SIZE - 0x7f) - bytes + 1);
    if (stack) off -= off % bytes;
    if (r.chance(50)) {
      this.emit(bpf.stxMem(size, at, index, off));
      this.emit(bpf.mov64Imm(at, this.constant()));
    } else this.emit(bpf.ldxMem(size, at, at, off));
    this.set(at, SCALAR);
  }

  /** A pointer goes through the stack and comes back. */
  private spill(): void {
    const from = this.pointer();
    const slot = this.window + 8 * this.rnd.below(WINDOW / 8);
    const to = this.dst();
    this.emit(bpf.stxMem(u.BPF_DW, 10, from, slot));
    this.emit(bpf.ldxMem(u.BPF_DW, to, 10, slot));
    this.set(to, this.regs[from]!);
    this.emit(bpf.stMem(u.BPF_DW, 10, slot, this.constant()));
  }

  private condition(label: number): void {
    const r = this.rnd;
    if (r.chance(3)) {
      this.emit(bpf.mayGoto(0), { target: label });
      return;
    }
    const op = r.pick(JMP_OPS);
    const dst = this.source();
    const wide = r.chance(50);
    if (r.chance(50)) {
      const imm = this.constant();
      this.emit(wide ? bpf.jmpImm(op, dst, imm, 0) : bpf.jmp32Imm(op, dst, imm, 0), { target: label });
    } else {
      const src = this.source();
      this.emit(wide ? bpf.jmpReg(op, dst, src, 0) : bpf.jmp32Reg(op, dst, src, 0), { target: label });
    }
  }

  /** Makes the registers what `want` says, so that two paths may meet. */
  private conform(want: readonly Reg[]): void {
    want.forEach((reg, i) => {
      const now = this.regs[i]!;
      if (reg.kind === "none" || (now.kind === reg.kind && now.off === reg.off)) {
        this.set(i, reg);
        return;
      }
      if (reg.kind === "scalar") {
        this.emit(bpf.mov64Imm(i, this.constant()));
        this.set(i, SCALAR);
      } else this.makePointer(i, reg);
    });
  }

  /** Runs `body` as nested code: passed pointers, which nothing can make again, are locked. */
  private nested(body: () => void): void {
    const added = this.regs
      .map((_, i) => i)
      .filter((i) => this.regs[i]!.kind === "caller" && !this.locked.has(i));
    for (const i of added) this.locked.add(i);
    this.nesting++;
    body();
    this.nesting--;
    for (const i of added) this.locked.delete(i);
  }

  private branch(): void {
    const head = [...this.regs];
    const end = this.newLabel();
    this.nested(() => {
      if (this.rnd.chance(50)) {
        this.condition(end);
        this.block(1 + this.rnd.below(5));
        this.conform(head);
      } else {
        const other = this.newLabel();
        this.condition(other);
        this.block(1 + this.rnd.below(4));
        this.conform(head);
        this.jump(end);
        this.place(other);
        this.restore(head);
        this.block(1 + this.rnd.below(4));
        this.conform(head);
      }
    });
    this.place(end);
    this.restore(head);
  }

  private restore(regs: readonly Reg[]): void {
    regs.forEach((reg, i) => {
      this.set(i, reg);
    });
  }

  /** `if (...) goto label` out of nested code, the registers made what they are at the label. */
  private leave(label: number, want: readonly Reg[]): void {
    const skip = this.newLabel();
    const here = [...this.regs];
    this.condition(skip);
    this.conform(want);
    this.jump(label);
    this.place(skip);
    this.restore(here);
  }

  private loop(): void {
    const r = this.rnd;
    const counters = [6, 7, 8, 9].filter((i) => !this.locked.has(i));
    if (counters.length < 2) return;
    const counter = r.pick(counters);
    const branchy = r.chance(40);
    const rounds = 1 + r.below(branchy ? 6 : 40);
    if (this.cost + this.multiplier * rounds * 12 > this.maxCost) return;
    const up = r.chance(50);
    this.emit(bpf.mov64Imm(counter, up ? 0 : rounds));
    this.set(counter, SCALAR);
    this.locked.add(counter);
    const [head, latch, end] = [this.newLabel(), this.newLabel(), this.newLabel()];
    const outer = this.multiplier;
    this.nested(() => {
      const state = [...this.regs];
      const irreducible = r.chance(15);
      // A second way in, to the middle of the loop.
      const middle = this.newLabel();
      if (irreducible) this.condition(middle);
      this.place(head);
      this.multiplier *= rounds;
      this.block(1 + r.below(4), branchy);
      if (irreducible) {
        this.conform(state);
        this.place(middle);
        this.restore(state);
        this.block(1 + r.below(3), branchy);
      }
      if (branchy && r.chance(40)) this.leave(latch, state);
      if (branchy && r.chance(40)) this.leave(end, state);
      this.block(r.below(3), branchy);
      this.conform(state);
      this.place(latch);
      this.restore(state);
      const op = up ? u.BPF_ADD : u.BPF_SUB;
      this.emit(bpf.alu64Imm(op, counter, 1));
      const wide = r.chance(50);
      const [jmp, limit] = up ? [u.BPF_JLT, rounds] : [u.BPF_JNE, 0];
      this.emit(wide ? bpf.jmpImm(jmp, counter, limit, 0) : bpf.jmp32Imm(jmp, counter, limit, 0), {
        target: head,
      });
      this.place(end);
    });
    this.multiplier = outer;
    this.locked.delete(counter);
  }

  private call(): void {
    const candidates = this.callees
      .map((_, i) => i)
      .filter((i) => i > this.index && this.cost + this.callees[i]!.cost * this.multiplier < this.maxCost);
    if (candidates.length === 0) return;
    if ([0, 1, 2, 3, 4, 5].some((i) => this.locked.has(i))) return;
    const callee = this.rnd.pick(candidates);
    const fn = this.callees[callee]!;
    fn.args.forEach((kind, i) => {
      const reg = i + 1;
      if (kind === "scalar") {
        if (this.regs[reg]!.kind === "scalar") return;
        const others = this.of("scalar");
        if (others.length > 0) this.emit(bpf.mov64Reg(reg, this.rnd.pick(others)));
        else this.emit(bpf.mov64Imm(reg, this.constant()));
        this.set(reg, SCALAR);
      } else if (kind === "map") this.makePointer(reg, { kind: "map", off: 0 });
      else this.makePointer(reg, { kind: "stack", off: 0 });
    });
    this.emit(bpf.callLocal(0), { callee });
    this.cost += fn.cost * this.multiplier;
    this.calleeDepth = Math.max(this.calleeDepth, fn.depth);
    this.set(0, SCALAR);
    for (let i = 1; i <= 5; i++) this.set(i, NONE);
  }

  private block(statements: number, mayNest = true): void {
    for (let i = 0; i < statements && this.items.length < this.maxItems; i++) {
      const nest = mayNest && this.nesting < 3;
      const w = this.rnd.below(100);
      if (w < 30) this.alu();
      else if (w < 37) this.unary();
      else if (w < 49) this.move();
      else if (w < 60) this.load();
      else if (w < 71) this.store();
      else if (w < 77) this.atomic();
      else if (w < 80) this.pointers();
      else if (w < 83) this.variable();
      else if (w < 84) this.spill();
      else if (!nest) this.alu();
      else if (w < 92) this.branch();
      else if (w < 95) this.loop();
      else if (w < 99) this.call();
      else if (this.nesting > 0 && this.index === 0)
        this.leave(
          this.exitLabel,
          this.regs.map(() => SCALAR),
        );
    }
  }

  /** The whole function: fill the window and some registers, statements, and the end that shows everything. */
  build(): Fn & { readonly labels: readonly number[] } {
    const r = this.rnd;
    for (let i = 0; i < WINDOW; i += 8) this.emit(bpf.stMem(u.BPF_DW, 10, this.window + i, this.constant()));
    if (this.index === 0) {
      const base = r.below(10);
      this.makePointer(base, { kind: "map", off: 0 });
      for (let i = 0; i < 10; i++)
        if (i !== base) {
          if (r.chance(50)) this.emit(bpf.ldxMem(u.BPF_DW, i, base, this.place8(base, 8, false)));
          else this.emit(bpf.ldImm64(i, this.constant64()));
          this.set(i, SCALAR);
        }
    }
    this.block(this.maxItems > MAX_ITEMS ? this.maxItems : 4 + r.below(this.index === 0 ? 36 : 12));
    const ends = this.regs.map((_, i) => (this.index === 0 || i === 0 ? SCALAR : NONE));
    this.conform(ends);
    this.place(this.exitLabel);
    if (this.index === 0) this.show();
    this.emit(bpf.exit());
    const depth = Math.ceil((-this.window + 8 + 16) / 32) * 32 + this.calleeDepth;
    return { items: this.items, labels: this.labels, args: [], cost: this.cost, depth };
  }

  /** Stores r0..r9 and the window into the map; r0 stays the return value. */
  private show(): void {
    const spare = this.window - 8;
    this.emit(bpf.stxMem(u.BPF_DW, 10, 1, spare));
    this.emit(bpf.ldMapValue(1, 0, REGS_AT));
    for (let i = 0; i < 10; i++) if (i !== 1) this.emit(bpf.stxMem(u.BPF_DW, 1, i, 8 * i));
    this.emit(bpf.ldxMem(u.BPF_DW, 2, 10, spare));
    this.emit(bpf.stxMem(u.BPF_DW, 1, 2, 8));
    for (let i = 0; i < WINDOW; i += 8) {
      this.emit(bpf.ldxMem(u.BPF_DW, 2, 10, this.window + i));
      this.emit(bpf.stxMem(u.BPF_DW, 1, 2, STACK_AT - REGS_AT + i));
    }
  }
}

function slots(item: Item): number {
  return item.insn.imm64 !== undefined ? 2 : 1;
}

/** Functions that main calls, itself among them: the verifier refuses code that nothing reaches. */
function reachable(fns: readonly Fn[]): Set<number> {
  const seen = new Set<number>([0]);
  for (const f of seen) for (const { callee } of fns[f]!.items) if (callee !== undefined) seen.add(callee);
  return seen;
}

/** The program of `seed`; `allowLarge` lets some be long. LD_IMM64 with BPF_PSEUDO_MAP_VALUE and fd 0 stands for the one map. */
export function generate(
  seed: number,
  allowLarge = false,
): { readonly insns: Insn[]; readonly memory: Uint8Array } {
  const rnd = new Random(seed);
  const count = rnd.chance(50) ? 1 : 2 + rnd.below(3);
  const large = allowLarge && seed % LARGE_EVERY === 0;
  const fns: (Fn & { labels: readonly number[] })[] = [];
  for (let i = count - 1; i >= 0; i--) {
    const args = Array.from({ length: i === 0 ? 0 : rnd.below(6) }, () =>
      rnd.pick<ArgKind>(["scalar", "scalar", "scalar", "map", "caller"]),
    );
    fns[i] = { ...new FunctionBuilder(rnd, i, fns, args, large && i === 0).build(), args };
  }
  // Functions one after the other; jumps and calls count slots from the instruction that follows.
  const starts: number[] = [];
  let at = 0;
  const called = reachable(fns);
  for (const [f, fn] of fns.entries()) {
    starts.push(at);
    if (!called.has(f)) continue;
    for (const item of fn.items) at += slots(item);
  }
  const insns: Insn[] = [];
  fns.forEach((fn, f) => {
    if (!called.has(f)) return;
    const offsets: number[] = [];
    let slot = starts[f]!;
    for (const item of fn.items) {
      offsets.push(slot);
      slot += slots(item);
    }
    fn.items.forEach((item, i) => {
      const next = offsets[i]! + slots(item);
      if (item.callee !== undefined) insns.push({ ...item.insn, imm: starts[item.callee]! - next });
      else if (item.target !== undefined) {
        const delta = offsets[fn.labels[item.target]!]! - next;
        insns.push(item.long ? { ...item.insn, imm: delta } : { ...item.insn, off: delta });
      } else insns.push(item.insn);
    });
  });
  const memory = new Uint8Array(VALUE_SIZE);
  for (let i = 0; i < MEMORY_SIZE; i++)
    memory[i] = rnd.chance(20) ? rnd.pick([0, 0x7f, 0x80, 0xff]) : rnd.u32();
  return { insns, memory };
}
