/** Random statements that hold others: branches, loops, calls; and the mix of them all. */
import * as bpf from "../../src/asm/index.ts";
import * as u from "../../src/uapi/index.ts";
import { alu, move, unary } from "./alu.ts";
import { type FunctionBuilder, NONE, type Reg, SCALAR } from "./builder.ts";
import { atomic, load, pointers, spill, store, variable } from "./memory.ts";

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
export function condition(f: FunctionBuilder, label: number): void {
  const r = f.rnd;
  if (r.chance(3)) {
    f.emit(bpf.mayGoto(0), { target: label });
    return;
  }
  const op = r.pick(JMP_OPS);
  const dst = f.source();
  const wide = r.chance(50);
  if (r.chance(50)) {
    const imm = f.constant();
    f.emit(wide ? bpf.jmpImm(op, dst, imm, 0) : bpf.jmp32Imm(op, dst, imm, 0), { target: label });
  } else {
    const src = f.source();
    f.emit(wide ? bpf.jmpReg(op, dst, src, 0) : bpf.jmp32Reg(op, dst, src, 0), { target: label });
  }
}

export function branch(f: FunctionBuilder): void {
  f.needScalar();
  const head = [...f.regs];
  const end = f.newLabel();
  f.nested(() => {
    if (f.rnd.chance(50)) {
      condition(f, end);
      block(f, 1 + f.rnd.below(5));
      f.conform(head);
    } else {
      const other = f.newLabel();
      condition(f, other);
      block(f, 1 + f.rnd.below(4));
      f.conform(head);
      f.jump(end);
      f.place(other);
      f.restore(head);
      block(f, 1 + f.rnd.below(4));
      f.conform(head);
    }
  });
  f.place(end);
  f.restore(head);
}

/** `if (...) goto label` out of nested code, the registers made what they are at the label. */
export function leave(f: FunctionBuilder, label: number, want: readonly Reg[]): void {
  const skip = f.newLabel();
  f.needScalar();
  const here = [...f.regs];
  condition(f, skip);
  f.conform(want);
  f.jump(label);
  f.place(skip);
  f.restore(here);
}

export function loop(f: FunctionBuilder): void {
  const r = f.rnd;
  const counters = [6, 7, 8, 9].filter((i) => !f.locked.has(i));
  if (counters.length < 2) return;
  const counter = r.pick(counters);
  const branchy = r.chance(40);
  const rounds = 1 + r.below(branchy ? 6 : 40);
  if (f.cost + f.multiplier * rounds * 12 > f.maxCost) return;
  const up = r.chance(50);
  f.emit(bpf.mov64Imm(counter, up ? 0 : rounds));
  f.set(counter, SCALAR);
  f.locked.add(counter);
  const [head, latch, end] = [f.newLabel(), f.newLabel(), f.newLabel()];
  const outer = f.multiplier;
  f.nested(() => {
    const state = [...f.regs];
    const irreducible = r.chance(15);
    // A second way in, to the middle of the loop.
    const middle = f.newLabel();
    if (irreducible) condition(f, middle);
    f.place(head);
    f.multiplier *= rounds;
    block(f, 1 + r.below(4), branchy);
    if (irreducible) {
      f.conform(state);
      f.place(middle);
      f.restore(state);
      block(f, 1 + r.below(3), branchy);
    }
    if (branchy && r.chance(40)) leave(f, latch, state);
    if (branchy && r.chance(40)) leave(f, end, state);
    block(f, r.below(3), branchy);
    f.conform(state);
    f.place(latch);
    f.restore(state);
    const op = up ? u.BPF_ADD : u.BPF_SUB;
    f.emit(bpf.alu64Imm(op, counter, 1));
    const wide = r.chance(50);
    const [jmp, limit] = up ? [u.BPF_JLT, rounds] : [u.BPF_JNE, 0];
    f.emit(wide ? bpf.jmpImm(jmp, counter, limit, 0) : bpf.jmp32Imm(jmp, counter, limit, 0), {
      target: head,
    });
    f.place(end);
  });
  f.multiplier = outer;
  f.locked.delete(counter);
}

export function call(f: FunctionBuilder): void {
  const candidates = f.callees
    .map((_, i) => i)
    .filter((i) => i > f.index && f.cost + f.callees[i]!.cost * f.multiplier < f.maxCost);
  if (candidates.length === 0) return;
  if ([0, 1, 2, 3, 4, 5].some((i) => f.locked.has(i))) return;
  const callee = f.rnd.pick(candidates);
  const fn = f.callees[callee]!;
  fn.args.forEach((kind, i) => {
    const reg = i + 1;
    if (kind === "scalar") {
      if (f.regs[reg]!.kind === "scalar") return;
      const others = f.of("scalar");
      if (others.length > 0) f.emit(bpf.mov64Reg(reg, f.rnd.pick(others)));
      else f.emit(bpf.mov64Imm(reg, f.constant()));
      f.set(reg, SCALAR);
    } else if (kind === "map") f.makePointer(reg, { kind: "map", off: 0 });
    else f.makePointer(reg, { kind: "stack", off: 0 });
  });
  f.emit(bpf.callLocal(0), { callee });
  f.cost += fn.cost * f.multiplier;
  f.calleeDepth = Math.max(f.calleeDepth, fn.depth);
  f.set(0, SCALAR);
  for (let i = 1; i <= 5; i++) f.set(i, NONE);
}

export function block(f: FunctionBuilder, statements: number, mayNest = true): void {
  for (let i = 0; i < statements && f.items.length < f.maxItems; i++) {
    const nest = mayNest && f.nesting < 3;
    const w = f.rnd.below(100);
    if (w < 30) alu(f);
    else if (w < 37) unary(f);
    else if (w < 49) move(f);
    else if (w < 60) load(f);
    else if (w < 71) store(f);
    else if (w < 77) atomic(f);
    else if (w < 80) pointers(f);
    else if (w < 83) variable(f);
    else if (w < 84) spill(f);
    else if (!nest) alu(f);
    else if (w < 92) branch(f);
    else if (w < 95) loop(f);
    else if (w < 99) call(f);
    else if (f.nesting > 0 && f.index === 0)
      leave(
        f,
        f.exitLabel,
        f.regs.map(() => SCALAR),
      );
  }
}
