/**
 * Random programs that a verifier has something to think about: mostly well-formed, made of the idioms that real ones
 * are made of, with bounds that sit on the edge or one beside it. A seed gives one program.
 */

import type { Insn } from "../../src/asm/index.ts";
import * as asm from "../../src/asm/index.ts";
import * as U from "../../src/uapi/index.ts";
import { findProfile } from "../../src/verifier/profiles.ts";
import { SCALAR_VALUE } from "../../src/verifier/state/reg-type.ts";
import { Random } from "../fuzz-isa/random.ts";
import { type Item, type Kind, NONE, type Reg, SCALAR, type Shape } from "./builder.ts";
import { callGadget, kfuncGadget } from "./calls.ts";
import { MAPS } from "./world.ts";

export interface ProgKind {
  readonly type: number;
  readonly attach: number;
  /** Where `data` and `data_end` lie in the context, or -1. */
  readonly data: number;
  readonly dataEnd: number;
  readonly ctxSize: number;
  /** LD_ABS and LD_IND work. */
  readonly ldAbs?: boolean;
}

const P = (type: number, ctxSize: number, attach = 0, data = -1, dataEnd = -1, ldAbs = false): ProgKind => ({
  type,
  attach,
  data,
  dataEnd,
  ctxSize,
  ldAbs,
});

export const PROG_KINDS: readonly ProgKind[] = [
  P(U.BPF_PROG_TYPE_SOCKET_FILTER, 192, 0, -1, -1, true),
  P(U.BPF_PROG_TYPE_SCHED_CLS, 192, 0, 76, 80, true),
  P(U.BPF_PROG_TYPE_SCHED_CLS, 192, 0, 76, 80, true),
  P(U.BPF_PROG_TYPE_XDP, 24, 0, 0, 4),
  P(U.BPF_PROG_TYPE_XDP, 24, 0, 0, 4),
  P(U.BPF_PROG_TYPE_CGROUP_SKB, 192, U.BPF_CGROUP_INET_INGRESS, 76, 80),
  P(U.BPF_PROG_TYPE_CGROUP_SKB, 192, U.BPF_CGROUP_INET_EGRESS, 76, 80),
  P(U.BPF_PROG_TYPE_KPROBE, 168),
  P(U.BPF_PROG_TYPE_TRACEPOINT, 64),
  P(U.BPF_PROG_TYPE_RAW_TRACEPOINT, 64),
  P(U.BPF_PROG_TYPE_PERF_EVENT, 184),
  P(U.BPF_PROG_TYPE_LWT_XMIT, 192, 0, 76, 80),
  P(U.BPF_PROG_TYPE_LWT_IN, 192, 0, 76, 80),
  P(U.BPF_PROG_TYPE_SK_SKB, 192, 0, 76, 80),
  P(U.BPF_PROG_TYPE_SK_MSG, 80, 0, 0, 8),
  P(U.BPF_PROG_TYPE_SOCK_OPS, 224, U.BPF_CGROUP_SOCK_OPS),
  P(U.BPF_PROG_TYPE_CGROUP_SOCK, 80, U.BPF_CGROUP_INET_SOCK_CREATE),
  P(U.BPF_PROG_TYPE_CGROUP_SOCK, 80, U.BPF_CGROUP_INET4_POST_BIND),
  P(U.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, 80, U.BPF_CGROUP_INET4_CONNECT),
  P(U.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, 80, U.BPF_CGROUP_UDP6_SENDMSG),
  P(U.BPF_PROG_TYPE_CGROUP_DEVICE, 12, U.BPF_CGROUP_DEVICE),
  P(U.BPF_PROG_TYPE_CGROUP_SYSCTL, 8, U.BPF_CGROUP_SYSCTL),
  P(U.BPF_PROG_TYPE_CGROUP_SOCKOPT, 40, U.BPF_CGROUP_SETSOCKOPT),
  P(U.BPF_PROG_TYPE_CGROUP_SOCKOPT, 40, U.BPF_CGROUP_GETSOCKOPT),
  P(U.BPF_PROG_TYPE_SK_REUSEPORT, 72, U.BPF_SK_REUSEPORT_SELECT, 0, 8),
  P(U.BPF_PROG_TYPE_FLOW_DISSECTOR, 192, U.BPF_FLOW_DISSECTOR, 76, 80),
  P(U.BPF_PROG_TYPE_SK_LOOKUP, 72, U.BPF_SK_LOOKUP),
  P(U.BPF_PROG_TYPE_SYSCALL, 64),
];

/** Where locks in maps are not allowed. */
const TRACING: ReadonlySet<number> = new Set([
  U.BPF_PROG_TYPE_KPROBE,
  U.BPF_PROG_TYPE_TRACEPOINT,
  U.BPF_PROG_TYPE_RAW_TRACEPOINT,
  U.BPF_PROG_TYPE_PERF_EVENT,
  U.BPF_PROG_TYPE_SOCKET_FILTER,
]);

interface GoodAccess {
  readonly off: number;
  readonly size: number;
  readonly kind: Kind;
}

const accesses = new Map<string, GoodAccess[]>();

/** Every context access that the tables allow. */
function goodAccesses(kind: ProgKind, write: boolean): readonly GoodAccess[] {
  const key = `${kind.type}/${kind.attach}/${write}`;
  let found = accesses.get(key);
  if (found !== undefined) return found;
  found = [];
  for (let off = 0; off < kind.ctxSize; off++)
    for (const size of SIZES) {
      const n = BYTES[size]!;
      if (off % n !== 0) continue;
      const access = profile.ctxAccess(kind.type, kind.attach, off, n, write);
      if (access) found.push({ off, size, kind: access.regType === SCALAR_VALUE ? "scalar" : "mixed" });
    }
  accesses.set(key, found);
  return found;
}

const profile = findProfile("6.18")!;

const SIZES = [U.BPF_B, U.BPF_H, U.BPF_W, U.BPF_DW] as const;
/** Program types whose packets the machine models, and those without; and how many gadgets of step() need no kernel. */
const ALONE_KINDS: readonly ProgKind[] = PROG_KINDS.filter(
  (k) =>
    k.type === U.BPF_PROG_TYPE_SCHED_CLS ||
    k.type === U.BPF_PROG_TYPE_XDP ||
    k.type === U.BPF_PROG_TYPE_SOCKET_FILTER,
);
const ALONE_GADGETS = 14;

const BYTES: Readonly<Record<number, number>> = { [U.BPF_B]: 1, [U.BPF_H]: 2, [U.BPF_W]: 4, [U.BPF_DW]: 8 };
const ALU_OPS = [
  U.BPF_ADD,
  U.BPF_SUB,
  U.BPF_MUL,
  U.BPF_DIV,
  U.BPF_OR,
  U.BPF_AND,
  U.BPF_LSH,
  U.BPF_RSH,
  U.BPF_MOD,
  U.BPF_XOR,
  U.BPF_ARSH,
] as const;
const JUMPS = [
  U.BPF_JEQ,
  U.BPF_JGT,
  U.BPF_JGE,
  U.BPF_JSET,
  U.BPF_JNE,
  U.BPF_JSGT,
  U.BPF_JSGE,
  U.BPF_JLT,
  U.BPF_JLE,
  U.BPF_JSLT,
  U.BPF_JSLE,
] as const;
const EDGES = [
  0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 47, 48, 63, 64, 127, 255, 256, 511, 512, 4095, 65535, 65536, 0x7fffffff,
  -1, -2, -8, -16, -128, -256, -0x80000000, 0x40000000, 0x20000000,
];

/** R6 keeps the context in the main function. */
const CTX = 6;

export class Generator {
  readonly r: Random;
  readonly kind: ProgKind;
  readonly items: Item[] = [];
  regs: Reg[] = [];
  /** Bytes of stack known to be written, lowest offset first. */
  depth = 0;
  /** Functions still to be emitted: items that refer to them. */
  readonly functions: { name: string; refs: number[] }[] = [];
  inFunction = false;
  nesting = 0;
  /** Jumps to the end of the function. */
  exits: number[] = [];
  withBtf = false;

  /** Only what a program does by itself: no calls but a few, so that it can run without a kernel. */
  readonly alone: boolean;

  constructor(seed: number, kind?: ProgKind, alone = false) {
    this.r = new Random(seed);
    this.alone = alone;
    this.kind = kind ?? this.r.pick(alone ? ALONE_KINDS : PROG_KINDS);
  }

  emit(insn: Insn): number {
    return this.items.push({ insn }) - 1;
  }
  /** Patches a forward jump to here. */
  here(at: number): void {
    this.items[at]!.target = this.items.length;
  }
  set(reg: number, value: Reg): void {
    if (reg < 10) this.regs[reg] = value;
  }
  of(...kinds: Kind[]): number[] {
    const found: number[] = [];
    for (let i = 0; i < 10; i++) if (kinds.includes(this.regs[i]!.kind)) found.push(i);
    return found;
  }
  /** A register of one of these kinds, or -1. */
  some(...kinds: Kind[]): number {
    const found = this.of(...kinds);
    return found.length === 0 ? -1 : this.r.pick(found);
  }
  /** A register to write to: R0 to R5, R7 to R9. */
  free(): number {
    const x = this.r.below(9);
    return x >= 6 ? x + 1 : x;
  }
  /** A saved register: R7 to R9. */
  saved(): number {
    return 7 + this.r.below(3);
  }
  imm(): number {
    return this.r.chance(70) ? this.r.pick(EDGES) : this.r.u32() | 0;
  }
  scalar(): number {
    const found = this.some("scalar");
    if (found >= 0) return found;
    const reg = this.free();
    this.emit(asm.mov64Imm(reg, this.imm()));
    this.set(reg, SCALAR);
    return reg;
  }
  afterCall(ret: Reg): void {
    for (let i = 1; i <= 5; i++) this.regs[i] = NONE;
    this.regs[0] = ret;
  }
  unknown(reg: number): void {
    switch (this.r.below(3)) {
      case 0: {
        // Any number: from a call that leaves the saved registers alone.
        const kept = this.regs.slice();
        this.emit(asm.callHelper(U.BPF_FUNC_get_prandom_u32));
        this.regs = kept;
        this.afterCall(SCALAR);
        if (reg !== 0) this.emit(asm.mov64Reg(reg, 0));
        break;
      }
      default: {
        const value = this.some("value");
        if (value >= 0) this.emit(asm.ldxMem(this.r.pick(SIZES), reg, value, 0));
        else if (!this.inFunction && this.regs[CTX]!.kind === "ctx") {
          const good = this.goodAccess(false);
          if (good !== null && good.kind === "scalar") this.emit(asm.ldxMem(good.size, reg, CTX, good.off));
          else this.emit(asm.mov64Imm(reg, this.imm()));
        } else this.emit(asm.mov64Imm(reg, this.imm()));
      }
    }
    this.set(reg, SCALAR);
  }

  // ---- gadgets ----------------------------------------------------------------------------------------------------

  alu(): void {
    const { r } = this;
    const dst = this.scalar();
    const op = r.pick(ALU_OPS);
    const shift = op === U.BPF_LSH || op === U.BPF_RSH || op === U.BPF_ARSH;
    const wide = r.chance(60);
    if (r.chance(60)) {
      const imm = shift
        ? r.below(wide ? 65 : 33)
        : op === U.BPF_DIV || op === U.BPF_MOD
          ? this.imm() | 1
          : this.imm();
      this.emit(wide ? asm.alu64Imm(op, dst, imm) : asm.alu32Imm(op, dst, imm));
    } else {
      const src = this.scalar();
      this.emit(wide ? asm.alu64Reg(op, dst, src) : asm.alu32Reg(op, dst, src));
    }
    this.set(dst, SCALAR);
  }

  unary(): void {
    const { r } = this;
    const dst = this.scalar();
    const src = this.scalar();
    this.emit(
      r.pick([
        () => asm.neg64(dst),
        () => asm.neg32(dst),
        () => asm.le(r.pick([16, 32, 64]), dst),
        () => asm.be(r.pick([16, 32, 64]), dst),
        () => asm.bswap(r.pick([16, 32, 64]), dst),
        () => asm.movsx64(r.pick([8, 16, 32]), dst, src),
        () => asm.movsx32(r.pick([8, 16]), dst, src),
        () => asm.mov32Reg(dst, src),
        () => asm.mov64Reg(dst, src),
        () => asm.salu64Imm(r.pick([U.BPF_DIV, U.BPF_MOD]), dst, this.imm() | 1),
      ])(),
    );
    this.set(dst, SCALAR);
  }

  move(): void {
    const src = this.r.below(11);
    const from = src === 10 ? { kind: "fp" as const } : this.regs[src]!;
    if (from.kind === "none" && this.r.chance(97)) return;
    const dst = this.free();
    this.emit(asm.mov64Reg(dst, src));
    this.set(dst, from);
  }

  /** A number with a bound, made in one of the ways programs make it. */
  bounded(max: number): number {
    const { r } = this;
    const reg = r.chance(50) ? this.saved() : this.scalar();
    this.unknown(reg);
    const wide = r.chance(70);
    switch (r.below(6)) {
      case 0: {
        let mask = 1;
        while (mask <= max) mask = mask * 2;
        mask = mask - 1;
        if (mask > max && r.chance(80)) mask >>= 1;
        this.emit(wide ? asm.alu64Imm(U.BPF_AND, reg, mask) : asm.alu32Imm(U.BPF_AND, reg, mask));
        break;
      }
      case 1:
        this.emit(wide ? asm.alu64Imm(U.BPF_MOD, reg, max + 1) : asm.alu32Imm(U.BPF_MOD, reg, max + 1));
        this.guard(reg, max, wide);
        break;
      case 2: {
        // The check is made on a copy or on a number a constant apart.
        const copy = this.free();
        if (copy === reg) {
          this.guard(reg, max, wide);
          break;
        }
        const k = r.pick([0, 1, 4, 8, -1, -4]);
        this.emit(asm.mov64Reg(copy, reg));
        if (k !== 0) this.emit(wide ? asm.alu64Imm(U.BPF_ADD, copy, k) : asm.alu32Imm(U.BPF_ADD, copy, k));
        this.set(copy, SCALAR);
        this.guard(copy, max + k, wide);
        break;
      }
      case 3:
        if (r.chance(50)) this.emit(asm.alu64Imm(U.BPF_RSH, reg, 32 + r.below(32)));
        this.guard(reg, max, wide);
        break;
      case 4: {
        // Spilled, perhaps narrower, checked and filled again.
        const size = r.pick([U.BPF_W, U.BPF_DW]);
        const slot = -8 * (1 + r.below(4)) - (r.chance(20) ? 4 : 0);
        if (r.chance(50)) this.guard(reg, max, wide);
        this.emit(asm.stxMem(size, 10, reg, slot));
        const back = this.free();
        this.emit(asm.ldxMem(r.chance(80) ? size : r.pick(SIZES), back, 10, slot));
        this.set(back, SCALAR);
        this.guard(back, max, wide);
        return r.chance(80) ? back : reg;
      }
      default:
        this.guard(reg, max, wide);
    }
    this.set(reg, { kind: "scalar", max });
    return reg;
  }

  /** Leaves the function, or jumps over something, unless the number is at most `max`. */
  guard(reg: number, max: number, wide: boolean): void {
    const { r } = this;
    const k = max + (r.chance(15) ? r.pick([-1, 1]) : 0);
    const forms: [number, number][] = [
      [U.BPF_JGT, k],
      [U.BPF_JGE, k + 1],
      [U.BPF_JSGT, k],
      [U.BPF_JSGE, k + 1],
    ];
    const signed = r.chance(25);
    const [op, imm] = signed ? forms[2 + r.below(2)]! : forms[r.below(2)]!;
    this.exits.push(this.emit(wide ? asm.jmpImm(op, reg, imm, 0) : asm.jmp32Imm(op, reg, imm, 0)));
    if (signed && r.chance(80))
      this.exits.push(
        this.emit(wide ? asm.jmpImm(U.BPF_JSLT, reg, 0, 0) : asm.jmp32Imm(U.BPF_JSLT, reg, 0, 0)),
      );
  }

  access(ptr: number, off: number): void {
    const { r } = this;
    const size = r.pick(SIZES);
    const reg = this.free();
    switch (r.below(6)) {
      case 0:
      case 1:
        this.emit(asm.ldxMem(size, reg, ptr, off));
        this.set(reg, SCALAR);
        break;
      case 2:
        this.emit(
          r.chance(50)
            ? asm.ldxMemsx(r.pick([U.BPF_B, U.BPF_H, U.BPF_W]), reg, ptr, off)
            : asm.ldxMem(size, reg, ptr, off),
        );
        this.set(reg, SCALAR);
        break;
      case 3: {
        const src = r.chance(90) ? this.scalar() : r.below(10);
        this.emit(asm.stxMem(size, ptr, src, off));
        break;
      }
      case 4:
        this.emit(asm.stMem(size, ptr, off, this.imm()));
        break;
      default: {
        const src = this.scalar();
        const op = r.pick([U.BPF_ADD, U.BPF_AND, U.BPF_OR, U.BPF_XOR]) | (r.chance(50) ? U.BPF_FETCH : 0);
        this.emit(
          asm.atomic(
            r.pick([U.BPF_W, U.BPF_DW]),
            r.chance(70) ? op : r.pick([U.BPF_XCHG, U.BPF_CMPXCHG]),
            ptr,
            src,
            off,
          ),
        );
        this.set(src, SCALAR);
      }
    }
  }

  /** Offset at which an access of some size just fits, or just does not. */
  edge(total: number): number {
    const size = this.r.pick([1, 2, 4, 8]);
    const off = this.r.chance(50) ? total - size : 8 * this.r.below(Math.max(1, total / 8));
    return off + (this.r.chance(12) ? this.r.pick([-1, 1, 4, -8]) : 0);
  }

  lookup(): void {
    const { r } = this;
    const plain = [0, 0, 1, 2, 3, 15];
    const wide = r.chance(93) || this.alone;
    const map = wide
      ? r.pick(this.tracing() || this.alone ? plain : [...plain, 17, 18])
      : r.below(MAPS.length);
    const row = MAPS[map]!;
    const key = -(8 * (1 + r.below(3)));
    const k = r.chance(60) ? r.below(row.entries + 1) : this.imm();
    this.emit(asm.stMem(row.key === 8 ? U.BPF_DW : U.BPF_W, 10, key, k));
    this.emit(asm.mov64Reg(2, 10));
    this.emit(asm.alu64Imm(U.BPF_ADD, 2, r.chance(96) ? key : key + 4));
    this.emit(asm.ldMapFd(1, map));
    this.emit(asm.callHelper(U.BPF_FUNC_map_lookup_elem));
    this.afterCall({ kind: "value-or-null", map, size: row.value });
    let reg = 0;
    if (r.chance(50)) {
      reg = this.saved();
      this.emit(asm.mov64Reg(reg, 0));
      this.set(reg, this.regs[0]!);
    }
    if (r.chance(92)) this.nullCheck(reg, { kind: "value", map, size: row.value });
  }

  nullCheck(reg: number, then: Reg): void {
    const { r } = this;
    const before = this.regs[reg]!;
    if (r.chance(85)) this.exits.push(this.emit(asm.jmpImm(U.BPF_JEQ, reg, 0, 0)));
    else {
      const over = this.emit(asm.jmpImm(U.BPF_JNE, reg, 0, 0));
      this.exits.push(this.emit(asm.ja(0)));
      this.here(over);
    }
    for (let i = 0; i < 10; i++) if (this.regs[i] === before) this.regs[i] = then;
    this.set(reg, then);
  }

  directValue(): void {
    const reg = this.free();
    const map = this.r.chance(4) ? 0 : this.r.pick([13, 14, 19, 19]);
    this.emit(asm.ldMapValue(reg, map, this.r.chance(95) ? 8 * this.r.below(4) : this.r.below(70)));
    this.set(reg, { kind: "value", map, size: 8 });
  }

  valueAccess(): void {
    const { r } = this;
    const ptr = this.some("value", "mem");
    if (ptr < 0) return this.lookup();
    const size = this.regs[ptr]!.size ?? 8;
    if (r.chance(50)) return this.access(ptr, this.edge(size));
    // At an offset that varies.
    const width = r.pick([1, 2, 4, 8]);
    const index = this.bounded(Math.max(0, size - width));
    if (this.regs[ptr]!.kind === "none" || index === ptr) return;
    const at = this.free();
    if (at === index) return;
    const held = this.regs[ptr]!;
    this.emit(asm.mov64Reg(at, ptr));
    if (r.chance(15)) this.emit(asm.alu64Imm(U.BPF_LSH, index, r.below(3)));
    this.emit(r.chance(90) ? asm.alu64Reg(U.BPF_ADD, at, index) : asm.alu64Reg(U.BPF_SUB, at, index));
    this.set(at, { ...held, size: width });
    this.access(at, r.chance(80) ? 0 : r.pick([-1, 1, 4, -width]));
    this.set(at, { kind: "mixed" });
  }

  stack(): void {
    const { r } = this;
    const size = r.pick(SIZES);
    const n = BYTES[size]!;
    const off = -n * (1 + r.below(Math.floor(48 / n))) - (r.chance(5) ? 512 - 48 : 0);
    if (r.chance(50)) {
      const src = r.chance(60) ? this.scalar() : r.below(11);
      this.emit(r.chance(75) ? asm.stxMem(size, 10, src, off) : asm.stMem(size, 10, off, this.imm()));
      this.depth = Math.max(this.depth, -off);
    } else {
      const reg = this.free();
      this.emit(asm.ldxMem(size, reg, 10, off));
      this.set(reg, { kind: size === U.BPF_DW ? "mixed" : "scalar" });
    }
  }

  /** Spill and fill of whatever is there. */
  spill(): void {
    const reg = this.r.below(10);
    if (this.regs[reg]!.kind === "none") return;
    const slot = -8 * (1 + this.r.below(6));
    this.emit(asm.stxMem(U.BPF_DW, 10, reg, slot));
    const back = this.free();
    const held = this.regs[reg]!;
    if (this.r.chance(40)) this.step();
    this.emit(asm.ldxMem(U.BPF_DW, back, 10, slot));
    this.set(back, held.kind === "scalar" ? held : { kind: "mixed" });
  }

  /** The stack at an offset that varies. */
  stackVar(): void {
    const { r } = this;
    for (let i = 1; i <= 3; i++) this.emit(asm.stMem(U.BPF_DW, 10, -8 * i, this.imm()));
    const index = this.bounded(r.pick([15, 16, 20, 23]));
    const at = this.free();
    if (at === index) return;
    this.emit(asm.mov64Reg(at, 10));
    this.emit(asm.alu64Imm(U.BPF_ADD, at, -24));
    this.emit(asm.alu64Reg(U.BPF_ADD, at, index));
    this.set(at, { kind: "fp" });
    this.access(at, r.chance(80) ? 0 : r.pick([-1, 1, 8]));
    this.set(at, { kind: "mixed" });
  }

  /** A context access that is fine; null where the type has none that is known. */
  goodAccess(write: boolean): { off: number; size: number; kind: Kind } | null {
    const good = goodAccesses(this.kind, write);
    return good.length === 0 ? null : this.r.pick(good);
  }

  context(): void {
    const { r } = this;
    const ptr = this.some("ctx");
    if (ptr < 0) return;
    if (r.chance(90)) {
      const write = r.chance(20);
      const good = this.goodAccess(write);
      if (good === null) return;
      if (write) {
        this.emit(
          r.chance(70)
            ? asm.stxMem(good.size, ptr, this.scalar(), good.off)
            : asm.stMem(good.size, ptr, good.off, 0),
        );
        return;
      }
      const reg = this.free();
      this.emit(asm.ldxMem(good.size, reg, ptr, good.off));
      this.set(reg, { kind: good.kind });
      return;
    }
    const size = r.chance(70) ? U.BPF_W : r.pick(SIZES);
    const n = BYTES[size]!;
    const off = r.chance(90)
      ? n * r.below(Math.ceil(this.kind.ctxSize / n) + 1)
      : r.below(this.kind.ctxSize + 8);
    if (r.chance(80)) {
      const reg = this.free();
      this.emit(asm.ldxMem(size, reg, ptr, off));
      this.set(reg, { kind: "mixed" });
    } else if (r.chance(50)) this.emit(asm.stxMem(size, ptr, this.scalar(), off));
    else this.emit(asm.stMem(size, ptr, off, this.imm()));
  }

  packet(): void {
    const { r, kind } = this;
    if (kind.data < 0 || this.inFunction) return this.context();
    const ptr = this.some("ctx");
    if (ptr < 0) return;
    const width =
      kind.type === U.BPF_PROG_TYPE_SK_MSG || kind.type === U.BPF_PROG_TYPE_SK_REUSEPORT ? U.BPF_DW : U.BPF_W;
    const [data, end, at] = r.pick([
      [7, 8, 9],
      [2, 3, 4],
      [8, 3, 2],
      [9, 7, 1],
    ] as const);
    this.emit(asm.ldxMem(width, data, ptr, kind.data));
    this.emit(asm.ldxMem(width, end, ptr, kind.dataEnd));
    this.set(data, { kind: "pkt", size: 0 });
    this.set(end, { kind: "end" });
    this.emit(asm.mov64Reg(at, data));
    this.set(at, { kind: "pkt", size: 0 });
    const n = r.pick([1, 2, 8, 14, 34, 64]);
    if (r.chance(30)) {
      const index = this.bounded(r.pick([8, 255, 65535, 0x7fff]));
      if (this.regs[at]!.kind !== "pkt" || index === at || index === data || index === end) return;
      this.emit(asm.alu64Reg(U.BPF_ADD, at, index));
      if (r.chance(50)) this.emit(asm.mov64Reg(data, at));
    }
    this.emit(asm.alu64Imm(U.BPF_ADD, at, n));
    const forms: (() => Insn)[] = [
      () => asm.jmpReg(U.BPF_JGT, at, end, 0),
      () => asm.jmpReg(U.BPF_JGE, at, end, 0),
      () => asm.jmpReg(U.BPF_JLT, end, at, 0),
      () => asm.jmpReg(U.BPF_JLE, end, at, 0),
    ];
    if (r.chance(85)) this.exits.push(this.emit(r.pick(forms)()));
    else {
      const over = this.emit(
        r.pick([
          () => asm.jmpReg(U.BPF_JLE, at, end, 0),
          () => asm.jmpReg(U.BPF_JLT, at, end, 0),
          () => asm.jmpReg(U.BPF_JGE, end, at, 0),
          () => asm.jmpReg(U.BPF_JGT, end, at, 0),
        ])(),
      );
      this.exits.push(this.emit(asm.ja(0)));
      this.here(over);
    }
    this.set(data, { kind: "pkt", size: n });
    this.set(at, { kind: "mixed" });
    this.access(data, this.edge(n));
    if (r.chance(20)) this.access(at, -r.below(n + 2));
  }

  branch(): void {
    const { r } = this;
    if (this.nesting > 2) return;
    const dst = r.chance(85) ? this.scalar() : r.below(10);
    if (this.regs[dst]!.kind === "none" && r.chance(95)) return;
    const op = r.pick(JUMPS);
    const wide = r.chance(60);
    let jump: number;
    if (r.chance(60)) {
      const imm = this.imm();
      jump = this.emit(wide ? asm.jmpImm(op, dst, imm, 0) : asm.jmp32Imm(op, dst, imm, 0));
    } else {
      const src = r.chance(85) ? this.scalar() : r.below(10);
      jump = this.emit(wide ? asm.jmpReg(op, dst, src, 0) : asm.jmp32Reg(op, dst, src, 0));
    }
    const before = this.regs.slice();
    this.nesting++;
    const n = 1 + r.below(3);
    for (let i = 0; i < n; i++) this.step();
    let after = this.regs;
    if (r.chance(35)) {
      const over = this.emit(asm.ja(0));
      this.here(jump);
      this.regs = before.slice();
      for (let i = 1 + r.below(2); i > 0; i--) this.step();
      this.here(over);
      this.join(after, this.regs);
    } else {
      this.here(jump);
      this.join(after, before);
    }
    after = this.regs;
    this.nesting--;
  }

  join(a: readonly Reg[], b: readonly Reg[]): void {
    this.regs = a.map((x, i) => {
      const y = b[i]!;
      if (x === y) return x;
      if (x.kind === "none" || y.kind === "none") return NONE;
      return x.kind === "scalar" && y.kind === "scalar" ? SCALAR : { kind: "mixed" };
    });
  }

  loop(): void {
    const { r } = this;
    if (this.nesting > 1) return;
    const counter = this.saved();
    const before = this.regs.slice();
    const first = r.pick([0, 0, 1, 10]);
    this.emit(asm.mov64Imm(counter, first));
    this.set(counter, { kind: "mixed" });
    const start = this.items.length;
    this.nesting += 2;
    for (let i = 1 + r.below(2); i > 0; i--) this.step();
    this.nesting -= 2;
    if (r.chance(15)) {
      const leave = this.emit(asm.mayGoto(0));
      const back = this.emit(asm.ja(0));
      this.items[back]!.target = start;
      this.here(leave);
    } else {
      // Counting past the bound never ends: the kernel gives up after a million instructions, so that is rare.
      const down = r.chance(20);
      const wrong = r.chance(1);
      this.emit((r.chance(80) ? asm.alu64Imm : asm.alu32Imm)(U.BPF_ADD, counter, down !== wrong ? -1 : 1));
      const op = down
        ? r.pick([U.BPF_JSGT, U.BPF_JNE])
        : r.pick([U.BPF_JLT, U.BPF_JNE, U.BPF_JSLT, U.BPF_JLE]);
      const back = this.emit(
        asm.jmpImm(op, counter, down ? first - r.pick([2, 3, 5]) : first + r.pick([2, 3, 5, 8]), 0),
      );
      this.items[back]!.target = start;
    }
    this.join(this.regs, before);
    this.set(counter, SCALAR);
  }

  subprogram(): void {
    const { r } = this;
    if (this.inFunction && r.chance(70)) return;
    for (let i = 1; i <= 2; i++) {
      const src = r.chance(60) ? this.scalar() : r.below(11);
      if (src !== 10 && this.regs[src]!.kind === "none") continue;
      this.emit(asm.mov64Reg(i, src));
      this.set(i, src === 10 ? { kind: "fp" } : this.regs[src]!);
    }
    const ref = this.emit(asm.callLocal(0));
    this.refer(this.withBtf && r.chance(30) ? "global" : "sub", ref);
    this.afterCall(SCALAR);
  }

  refer(name: string, ref: number): void {
    const again = this.functions.filter((f) => f.name === name);
    if (again.length > 0 && this.r.chance(40)) this.r.pick(again).refs.push(ref);
    else this.functions.push({ name, refs: [ref] });
  }

  callback(): void {
    const { r } = this;
    if (!this.withBtf) return;
    const map = r.pick([0, 1, 3]);
    const loop = r.chance(60);
    if (loop) this.emit(asm.mov64Imm(1, r.pick([0, 1, 5, 100])));
    else this.emit(asm.ldMapFd(1, map));
    const ref = this.emit(asm.ldFunc(2, 0));
    this.refer("callback", ref);
    if (r.chance(60)) {
      this.emit(asm.stMem(U.BPF_DW, 10, -8, this.imm()));
      this.emit(asm.mov64Reg(3, 10));
      this.emit(asm.alu64Imm(U.BPF_ADD, 3, -8));
    } else this.emit(asm.mov64Imm(3, 0));
    this.emit(asm.mov64Imm(4, 0));
    this.emit(asm.callHelper(loop ? U.BPF_FUNC_loop : U.BPF_FUNC_for_each_map_elem));
    this.afterCall(SCALAR);
  }

  ringbuf(): void {
    const { r } = this;
    const size = r.pick([8, 16, 64]);
    this.emit(asm.ldMapFd(1, 4));
    this.emit(asm.mov64Imm(2, size));
    this.emit(asm.mov64Imm(3, 0));
    this.emit(asm.callHelper(U.BPF_FUNC_ringbuf_reserve));
    this.afterCall({ kind: "mem-or-null", size });
    const reg = this.saved();
    this.emit(asm.mov64Reg(reg, 0));
    const over = this.emit(asm.jmpImm(U.BPF_JEQ, reg, 0, 0));
    const before = this.regs.slice();
    this.set(reg, { kind: "mem", size });
    this.set(0, { kind: "mem", size });
    const exits = this.exits.length;
    for (let i = r.below(3); i > 0; i--) r.chance(60) ? this.access(reg, this.edge(size)) : this.alu();
    // Leaving early would leak it: mostly not done.
    if (this.exits.length > exits && r.chance(70)) return;
    if (r.chance(94)) {
      this.emit(asm.mov64Reg(1, reg));
      this.emit(asm.mov64Imm(2, 0));
      this.emit(asm.callHelper(r.chance(50) ? U.BPF_FUNC_ringbuf_submit : U.BPF_FUNC_ringbuf_discard));
      this.afterCall(NONE);
      if (r.chance(96)) this.set(reg, NONE);
    }
    this.here(over);
    this.join(this.regs, before);
    this.set(reg, NONE);
    this.set(0, NONE);
  }

  socket(): void {
    const { r } = this;
    const ctx = this.some("ctx");
    if (
      ctx < 0 ||
      ![U.BPF_PROG_TYPE_SCHED_CLS, U.BPF_PROG_TYPE_XDP, U.BPF_PROG_TYPE_CGROUP_SKB].includes(this.kind.type)
    )
      return this.context();
    for (let i = 1; i <= 2; i++) this.emit(asm.stMem(U.BPF_DW, 10, -8 * i, 0));
    if (ctx !== 1) this.emit(asm.mov64Reg(1, ctx));
    this.emit(asm.mov64Reg(2, 10));
    this.emit(asm.alu64Imm(U.BPF_ADD, 2, -16));
    this.emit(asm.mov64Imm(3, r.pick([12, 12, 36, 16])));
    this.emit(asm.mov64Imm(4, 0));
    this.emit(asm.mov64Imm(5, 0));
    this.emit(
      asm.callHelper(r.pick([U.BPF_FUNC_sk_lookup_tcp, U.BPF_FUNC_sk_lookup_udp, U.BPF_FUNC_skc_lookup_tcp])),
    );
    this.afterCall({ kind: "sock-or-null" });
    const over = this.emit(asm.jmpImm(U.BPF_JEQ, 0, 0, 0));
    const reg = this.saved();
    this.emit(asm.mov64Reg(reg, 0));
    if (r.chance(60)) {
      const to = this.saved();
      this.emit(asm.ldxMem(r.pick(SIZES), to === reg ? 2 : to, r.pick([reg, 0]), 4 * r.below(22)));
      if (to !== reg) this.set(to, SCALAR);
    }
    if (r.chance(94)) {
      this.emit(asm.mov64Reg(1, r.chance(97) ? reg : 10));
      this.emit(asm.callHelper(U.BPF_FUNC_sk_release));
      this.afterCall(SCALAR);
    }
    if (r.chance(5)) this.emit(asm.ldxMem(U.BPF_W, 0, reg, 4));
    this.here(over);
    this.set(reg, NONE);
    this.afterCall(SCALAR);
    this.set(0, { kind: "mixed" });
  }

  tracing(): boolean {
    return TRACING.has(this.kind.type);
  }

  lock(): void {
    const { r } = this;
    if (this.tracing() && r.chance(95)) return;
    this.emit(asm.stMem(U.BPF_W, 10, -4, r.below(2)));
    this.emit(asm.mov64Reg(2, 10));
    this.emit(asm.alu64Imm(U.BPF_ADD, 2, -4));
    this.emit(asm.ldMapFd(1, 17));
    this.emit(asm.callHelper(U.BPF_FUNC_map_lookup_elem));
    this.afterCall({ kind: "value-or-null", map: 17, size: 16 });
    const reg = this.saved();
    this.emit(asm.mov64Reg(reg, 0));
    this.nullCheck(reg, { kind: "value", map: 17, size: 16 });
    this.emit(asm.mov64Reg(1, reg));
    if (r.chance(4)) this.emit(asm.alu64Imm(U.BPF_ADD, 1, 4));
    this.emit(asm.callHelper(U.BPF_FUNC_spin_lock));
    this.afterCall(NONE);
    for (let i = r.below(3); i > 0; i--) {
      if (r.chance(6)) this.step();
      else this.emit(asm.stMem(U.BPF_W, reg, r.pick([4, 8, 12, 4, 0]), this.imm()));
    }
    if (r.chance(93)) {
      this.emit(asm.mov64Reg(1, reg));
      this.emit(asm.callHelper(U.BPF_FUNC_spin_unlock));
    }
    this.afterCall(NONE);
    this.regs[0] = NONE;
  }

  tailCall(): void {
    const ctx = this.some("ctx");
    if (ctx < 0) return;
    if (ctx !== 1) this.emit(asm.mov64Reg(1, ctx));
    this.emit(asm.ldMapFd(2, this.r.chance(95) ? 5 : 0));
    if (this.r.chance(80)) this.emit(asm.mov64Imm(3, this.r.below(4)));
    else this.emit(asm.mov64Reg(3, this.scalar()));
    this.emit(asm.callHelper(U.BPF_FUNC_tail_call));
    this.afterCall(NONE);
    this.regs[0] = SCALAR;
  }

  ldAbs(): void {
    if (!this.kind.ldAbs || (this.inFunction && this.r.chance(70)) || this.regs[CTX]!.kind !== "ctx") return;
    const size = this.r.pick([U.BPF_B, U.BPF_H, U.BPF_W]);
    this.emit(
      this.r.chance(60)
        ? asm.ldAbs(size, this.r.below(64))
        : asm.ldInd(size, this.scalar(), this.r.below(64)),
    );
    this.afterCall(SCALAR);
  }

  /** Anything done to anything. */
  wild(): void {
    const { r } = this;
    const dst = r.below(11);
    const src = r.below(11);
    const held = dst < 10 ? this.regs[dst]! : NONE;
    if (dst < 10 && held.kind === "none" && r.chance(80)) return;
    const off = r.pick([0, 1, 4, 8, -4, -8, -16, 16, 64]);
    this.emit(
      r.pick([
        () => asm.alu64Imm(r.pick(ALU_OPS), dst, r.pick([1, 4, 8, 31, -8, 0x20000000])),
        () => asm.alu64Reg(r.pick(ALU_OPS), dst, src),
        () => asm.alu32Imm(r.pick(ALU_OPS), dst, 1 + r.below(31)),
        () => asm.ldxMem(r.pick(SIZES), r.below(10), src, off),
        () => asm.stxMem(r.pick(SIZES), dst, src, off),
        () => asm.stMem(r.pick(SIZES), dst, off, 0),
        () => asm.atomic(r.pick([U.BPF_W, U.BPF_DW]), U.BPF_ADD, dst, src, off),
        () => asm.mov64Reg(r.below(10), src),
        () => asm.neg64(dst),
        () => asm.loadAcquire(r.pick(SIZES), r.below(10), src, off),
        () => asm.storeRelease(r.pick(SIZES), dst, src, off),
      ])(),
    );
    for (let i = 0; i < 10; i++)
      if (this.regs[i]!.kind !== "none" && (i === dst || i === src)) this.set(i, { kind: "mixed" });
  }

  /** One gadget. */
  step(): void {
    const { r } = this;
    if (this.items.length > 160) return;
    const table: [number, () => void][] = [
      [14, () => this.alu()],
      [8, () => this.unary()],
      [4, () => this.move()],
      [10, () => this.valueAccess()],
      [6, () => this.lookup()],
      [4, () => this.directValue()],
      [8, () => this.stack()],
      [5, () => this.spill()],
      [4, () => this.stackVar()],
      [8, () => this.context()],
      [9, () => this.packet()],
      [12, () => this.branch()],
      [4, () => this.loop()],
      [4, () => this.subprogram()],
      [4, () => this.callback()],
      [4, () => this.ringbuf()],
      [4, () => this.socket()],
      [3, () => this.lock()],
      [1, () => this.tailCall()],
      [2, () => this.ldAbs()],
      [14, () => callGadget(this)],
      [5, () => kfuncGadget(this)],
      [2, () => this.wild()],
    ];
    const usable = this.alone ? table.slice(0, ALONE_GADGETS) : table;
    let at = r.below(usable.reduce((n, [weight]) => n + weight, 0));
    for (const [weight, run] of usable) {
      at -= weight;
      if (at < 0) return run();
    }
  }

  end(callback: boolean): void {
    const { r } = this;
    const ret = callback ? r.pick([0, 0, 1, 1, 2]) : r.pick([0, 0, 0, 0, 1, 1, 2, 3]);
    if (r.chance(92)) this.emit(asm.mov64Imm(0, ret));
    this.emit(asm.exit());
    if (this.exits.length > 0) {
      for (const at of this.exits) this.here(at);
      this.exits = [];
      this.emit(asm.mov64Imm(0, r.chance(95) ? 0 : ret));
      this.emit(asm.exit());
    }
  }

  generate(): Shape {
    const { r } = this;
    this.withBtf = r.chance(45);
    const flags =
      (r.chance(10) ? U.BPF_F_STRICT_ALIGNMENT : 0) |
      (r.chance(10) ? U.BPF_F_TEST_STATE_FREQ : 0) |
      (r.chance(15) ? U.BPF_F_TEST_REG_INVARIANTS : 0) |
      (this.kind.type === U.BPF_PROG_TYPE_SYSCALL && r.chance(95) ? U.BPF_F_SLEEPABLE : 0);
    this.regs = [NONE, { kind: "ctx" }, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE];
    this.emit(asm.mov64Reg(CTX, 1));
    this.items[0]!.func = "main";
    this.regs[CTX] = { kind: "ctx" };
    for (let n = 1 + r.below(r.chance(60) ? 4 : 9); n > 0; n--) this.step();
    this.end(false);
    for (let i = 0; i < this.functions.length && i < 6; i++) {
      const fn = this.functions[i]!;
      this.inFunction = true;
      const start = this.items.length;
      for (const ref of fn.refs) this.items[ref]!.target = start;
      this.regs = Array.from({ length: 10 }, () => NONE);
      this.regs[1] = fn.name === "global" ? SCALAR : { kind: fn.name === "callback" ? "scalar" : "mixed" };
      if (fn.name !== "global") this.regs[2] = { kind: "mixed" };
      for (let n = r.below(4); n > 0; n--) this.step();
      this.end(fn.name === "callback");
      this.items[start]!.func = fn.name;
    }
    for (const fn of this.functions.slice(6)) for (const ref of fn.refs) this.items[ref]!.target = 0;
    if (r.chance(9)) this.mutate();
    return {
      progType: this.kind.type,
      attachType: this.kind.attach,
      flags,
      license: r.chance(94) ? "GPL" : "x",
      withBtf: this.withBtf,
      items: this.items,
    };
  }

  /** One field of one instruction is wrong. Calls to kernel functions are left alone. */
  mutate(): void {
    const { r } = this;
    const at = r.below(this.items.length);
    const item = this.items[at]!;
    const { insn } = item;
    if (insn.op === 0x85 && insn.src === U.BPF_PSEUDO_KFUNC_CALL) return;
    const changed = r.pick<() => Insn>([
      () => ({ ...insn, dst: r.below(12) }),
      () => ({ ...insn, src: r.below(12) }),
      () => ({ ...insn, off: r.pick([-1, 1, 8, 100, -100, 0]) }),
      () => (insn.op === 0x18 ? insn : { ...insn, imm: this.imm() }),
      () => (insn.op === 0x18 ? insn : { ...insn, op: insn.op ^ (1 << r.below(8)) }),
    ])();
    if (changed.op === 0x18 && insn.op !== 0x18) return;
    if (changed.op === 0x85 && changed.src === U.BPF_PSEUDO_KFUNC_CALL) return;
    if (insn.op === 0x18 && changed.dst !== insn.dst) return;
    this.items[at] = { ...item, insn: changed };
    if (item.target !== undefined && changed.off !== insn.off) delete this.items[at]!.target;
  }
}

export function generate(seed: number, kind?: ProgKind): Shape {
  return new Generator(seed, kind).generate();
}
