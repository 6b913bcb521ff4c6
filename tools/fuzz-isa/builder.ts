/** One function of a random program while it is made: instructions, labels, what each register holds. */
import type { Insn } from "../../src/asm/index.ts";
import * as bpf from "../../src/asm/index.ts";
import * as u from "../../src/uapi/index.ts";
import type { Random } from "./random.ts";

export const MEMORY_SIZE = 256;
const REG_BYTES = 10 * 8;
export const STACK_AT: number = MEMORY_SIZE + REG_BYTES;
export const WINDOW = 64;
export const VALUE_SIZE: number = STACK_AT + WINDOW;
/** What a register holds. Objects: the map's memory, this frame's window, a window that the caller passed. */
export type Kind = "none" | "scalar" | "map" | "stack" | "caller";
export interface Reg {
  readonly kind: Kind;
  /** Pointers: constant distance from the object's start. */
  readonly off: number;
}
export const NONE: Reg = { kind: "none", off: 0 };
export const SCALAR: Reg = { kind: "scalar", off: 0 };
export const SIZE_OF: Readonly<Record<string, number>> = { map: MEMORY_SIZE, stack: WINDOW, caller: WINDOW };

/** An instruction, with what is still to be resolved: a label to jump to, a function to call, a map's address. */
export interface Item {
  insn: Insn;
  readonly target?: number;
  readonly long?: boolean;
  readonly callee?: number;
}

export type ArgKind = "scalar" | "map" | "caller";
export interface Fn {
  readonly items: Item[];
  readonly args: readonly ArgKind[];
  /** Instructions that one call runs, at most. */
  readonly cost: number;
  /** Bytes of stack of this function and what it calls. */
  readonly depth: number;
}
const CONSTANTS = [
  0, 1, -1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x10000,
  0x7fffffff, -0x80000000, -2, -128, -32768,
];
const MAX_COST = 6000;
const MAX_ITEMS = 160;
/** Instructions of a large program: engines split long functions. */
const LARGE_ITEMS = 7_000;
/** One function in the making. */
export class FunctionBuilder {
  readonly items: Item[] = [];
  readonly labels: number[] = [];
  readonly regs: Reg[] = Array.from({ length: 10 }, () => NONE);
  /** Registers that must keep what they hold (loop counters, passed pointers inside nested code). */
  readonly locked = new Set<number>();
  readonly rnd: Random;
  readonly callees: readonly (Fn | undefined)[];
  readonly index: number;
  readonly exitLabel: number;
  readonly window: number;
  multiplier = 1;
  cost = 0;
  nesting = 0;
  calleeDepth = 0;
  readonly large: boolean;
  readonly maxItems: number;
  readonly maxCost: number;

  constructor(
    rnd: Random,
    index: number,
    callees: readonly (Fn | undefined)[],
    args: readonly ArgKind[],
    large: boolean,
  ) {
    this.large = large;
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
  newLabel(): number {
    return this.labels.push(-1) - 1;
  }
  place(label: number): void {
    this.labels[label] = this.items.length;
  }
  emit(insn: Insn, extra: Omit<Item, "insn"> = {}): void {
    this.items.push({ insn, ...extra });
    this.cost += this.multiplier;
  }
  jump(label: number): void {
    const long = this.rnd.chance(30);
    this.emit(long ? bpf.jal(0) : bpf.ja(0), { target: label, long });
  }
  set(reg: number, value: Reg): void {
    this.regs[reg] = value;
  }

  // ---- choices ----
  constant(): number {
    return this.rnd.chance(60) ? this.rnd.pick(CONSTANTS) : this.rnd.u32() | 0;
  }
  constant64(): bigint {
    if (this.rnd.chance(40)) return BigInt(this.constant());
    return (BigInt(this.rnd.u32()) << 32n) | BigInt(this.rnd.u32());
  }
  free(): number[] {
    return this.regs.map((_, i) => i).filter((i) => !this.locked.has(i));
  }
  of(kind: Kind): number[] {
    return this.free().filter((i) => this.regs[i]!.kind === kind);
  }
  /** Any register that may be overwritten. */
  dst(): number {
    return this.rnd.pick(this.free());
  }
  /** A scalar that may be overwritten. */
  scalar(): number {
    const candidates = this.of("scalar");
    if (candidates.length > 0) return this.rnd.pick(candidates);
    const reg = this.dst();
    this.emit(bpf.mov64Imm(reg, this.constant()));
    this.set(reg, SCALAR);
    return reg;
  }
  /** Makes a scalar where there is none: a comparison wants one, and must not change registers on its own. */
  needScalar(): void {
    if (!this.regs.some(({ kind }) => kind === "scalar")) this.scalar();
  }
  /** A scalar to read: loop counters too. */
  source(): number {
    const candidates = this.regs.map((_, i) => i).filter((i) => this.regs[i]!.kind === "scalar");
    return candidates.length > 0 ? this.rnd.pick(candidates) : this.scalar();
  }
  /** A register other than `not` that points at something; made where there is none. */
  pointer(not: readonly number[] = []): number {
    const candidates = this.regs
      .map((_, i) => i)
      .filter((i) => !not.includes(i) && ["map", "stack", "caller"].includes(this.regs[i]!.kind));
    if (candidates.length > 0 && this.rnd.chance(80)) return this.rnd.pick(candidates);
    const reg = this.rnd.pick(this.free().filter((i) => !not.includes(i)));
    this.makePointer(reg, { kind: this.rnd.chance(65) ? "map" : "stack", off: 8 * this.rnd.below(6) });
    return reg;
  }
  /** Loads a pointer into `reg`. */
  makePointer(reg: number, to: Reg): void {
    if (to.kind === "map") this.emit(bpf.ldMapValue(reg, 0, to.off));
    else {
      this.emit(bpf.mov64Reg(reg, 10));
      this.emit(bpf.alu64Imm(u.BPF_ADD, reg, this.window + to.off));
    }
    this.set(reg, to);
  }
  /** A place of `bytes` in what `reg` (10: this frame) points at, as the displacement. Stacks want it aligned. */
  place8(reg: number, bytes: number, aligned: boolean): number {
    const { kind, off } = reg === 10 ? { kind: "stack" as Kind, off: -this.window } : this.regs[reg]!;
    const room = SIZE_OF[kind]! - bytes;
    let at = this.rnd.below(room + 1);
    if (aligned || kind !== "map") at -= at % bytes;
    return at - off;
  }

  /** Makes the registers what `want` says, so that two paths may meet. */
  conform(want: readonly Reg[]): void {
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
  nested(body: () => void): void {
    const added = this.regs
      .map((_, i) => i)
      .filter((i) => this.regs[i]!.kind === "caller" && !this.locked.has(i));
    for (const i of added) this.locked.add(i);
    this.nesting++;
    body();
    this.nesting--;
    for (const i of added) this.locked.delete(i);
  }

  restore(regs: readonly Reg[]): void {
    regs.forEach((reg, i) => {
      this.set(i, reg);
    });
  }
}
