/**
 * Random eBPF programs that the kernel's verifier accepts: registers and stack are initialised before they are read,
 * pointers stay inside their objects, loops run on a locked counter. Program text depends on the seed alone.
 *
 * Memory of a program (the single value of an ARRAY map), compared byte by byte after the run:
 *
 *   0          256          336         400
 *   | memory   | r0 ... r9  | stack     |
 */

import type { Insn } from "../../src/asm/index.ts";
import * as bpf from "../../src/asm/index.ts";
import * as u from "../../src/uapi/index.ts";
import {
  type ArgKind,
  type Fn,
  FunctionBuilder,
  type Item,
  MEMORY_SIZE,
  NONE,
  SCALAR,
  STACK_AT,
  VALUE_SIZE,
  WINDOW,
} from "./builder.ts";
import { block } from "./control.ts";
import { Random } from "./random.ts";

/** One program in so many is large, where large ones are asked for. */
const LARGE_EVERY = 250;

/** The whole function: fill the window and some registers, statements, and the end that shows everything. */
function build(f: FunctionBuilder): Fn & { readonly labels: readonly number[] } {
  const r = f.rnd;
  for (let i = 0; i < WINDOW; i += 8) f.emit(bpf.stMem(u.BPF_DW, 10, f.window + i, f.constant()));
  if (f.index === 0) {
    const base = r.below(10);
    f.makePointer(base, { kind: "map", off: 0 });
    for (let i = 0; i < 10; i++)
      if (i !== base) {
        if (r.chance(50)) f.emit(bpf.ldxMem(u.BPF_DW, i, base, f.place8(base, 8, false)));
        else f.emit(bpf.ldImm64(i, f.constant64()));
        f.set(i, SCALAR);
      }
  }
  block(f, f.large ? f.maxItems : 4 + r.below(f.index === 0 ? 36 : 12));
  const ends = f.regs.map((_, i) => (f.index === 0 || i === 0 ? SCALAR : NONE));
  f.conform(ends);
  f.place(f.exitLabel);
  if (f.index === 0) show(f);
  f.emit(bpf.exit());
  const depth = Math.ceil((-f.window + 8 + 16) / 32) * 32 + f.calleeDepth;
  return { items: f.items, labels: f.labels, args: [], cost: f.cost, depth };
}

/** Stores r0..r9 and the window into the map; r0 stays the return value. */
function show(f: FunctionBuilder): void {
  const spare = f.window - 8;
  f.emit(bpf.stxMem(u.BPF_DW, 10, 1, spare));
  f.emit(bpf.ldMapValue(1, 0, MEMORY_SIZE));
  for (let i = 0; i < 10; i++) if (i !== 1) f.emit(bpf.stxMem(u.BPF_DW, 1, i, 8 * i));
  f.emit(bpf.ldxMem(u.BPF_DW, 2, 10, spare));
  f.emit(bpf.stxMem(u.BPF_DW, 1, 2, 8));
  for (let i = 0; i < WINDOW; i += 8) {
    f.emit(bpf.ldxMem(u.BPF_DW, 2, 10, f.window + i));
    f.emit(bpf.stxMem(u.BPF_DW, 1, 2, STACK_AT - MEMORY_SIZE + i));
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
    fns[i] = { ...build(new FunctionBuilder(rnd, i, fns, args, large && i === 0)), args };
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
