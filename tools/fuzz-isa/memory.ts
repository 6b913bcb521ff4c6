/** Random statements that read and write memory and make pointers. */
import * as bpf from "../../src/asm/index.ts";
import * as u from "../../src/uapi/index.ts";
import { type FunctionBuilder, MEMORY_SIZE, SCALAR, SIZE_OF, WINDOW } from "./builder.ts";

const SIZES = [u.BPF_B, u.BPF_H, u.BPF_W, u.BPF_DW];
const BYTES: Readonly<Record<number, number>> = { [u.BPF_B]: 1, [u.BPF_H]: 2, [u.BPF_W]: 4, [u.BPF_DW]: 8 };
const ATOMIC_OPS = [u.BPF_ADD, u.BPF_OR, u.BPF_AND, u.BPF_XOR].flatMap((op) => [
  op,
  op | u.BPF_FETCH,
]); /** A base register for an access: r10, or a pointer. */
export function anyBase(f: FunctionBuilder, not: readonly number[] = []): number {
  return f.rnd.chance(30) ? 10 : f.pointer(not);
}

export function load(f: FunctionBuilder): void {
  const r = f.rnd;
  const base = anyBase(f);
  const dst = f.dst();
  if (r.chance(30)) {
    const size = r.pick([u.BPF_B, u.BPF_H, u.BPF_W]);
    f.emit(bpf.ldxMemsx(size, dst, base, f.place8(base, BYTES[size]!, false)));
  } else if (r.chance(8)) {
    const size = r.pick(SIZES);
    f.emit(bpf.loadAcquire(size, dst, base, f.place8(base, BYTES[size]!, true)));
  } else {
    const size = r.pick(SIZES);
    f.emit(bpf.ldxMem(size, dst, base, f.place8(base, BYTES[size]!, false)));
  }
  f.set(dst, SCALAR);
}

export function store(f: FunctionBuilder): void {
  const r = f.rnd;
  const size = r.pick(SIZES);
  const src = f.source();
  const base = anyBase(f, [src]);
  if (r.chance(30)) f.emit(bpf.stMem(size, base, f.place8(base, BYTES[size]!, false), f.constant()));
  else if (r.chance(8)) f.emit(bpf.storeRelease(size, base, src, f.place8(base, BYTES[size]!, true)));
  else f.emit(bpf.stxMem(size, base, src, f.place8(base, BYTES[size]!, false)));
}

export function atomic(f: FunctionBuilder): void {
  const r = f.rnd;
  const size = r.pick([u.BPF_W, u.BPF_DW]);
  const op = r.pick([...ATOMIC_OPS, u.BPF_XCHG, u.BPF_CMPXCHG]);
  const compares = op === u.BPF_CMPXCHG;
  if (compares && f.locked.has(0)) return;
  if (compares && f.regs[0]!.kind !== "scalar") {
    f.emit(bpf.mov64Imm(0, f.constant()));
    f.set(0, SCALAR);
  }
  // What fetches overwrites its source.
  const src = f.scalar();
  const base = anyBase(f, [src, 0]);
  const off = f.place8(base, BYTES[size]!, true);
  // Half of the compares find what they expect.
  if (compares && r.chance(50)) f.emit(bpf.ldxMem(size, 0, base, off));
  f.emit(bpf.atomic(size, op, base, src, off));
}

export function pointers(f: FunctionBuilder): void {
  const r = f.rnd;
  const reg = f.dst();
  if (r.chance(40)) {
    f.makePointer(reg, { kind: r.chance(60) ? "map" : "stack", off: 8 * r.below(8) });
    return;
  }
  const from = f.pointer([reg]);
  const { kind, off } = f.regs[from]!;
  f.emit(bpf.mov64Reg(reg, from));
  f.set(reg, { kind, off });
  const step = 8 * (r.below(9) - 4);
  if (step === 0 || off + step < 0 || off + step >= SIZE_OF[kind]!) return;
  // The verifier refuses subtraction from a stack pointer.
  f.emit(
    kind !== "map" || r.chance(50) ? bpf.alu64Imm(u.BPF_ADD, reg, step) : bpf.alu64Imm(u.BPF_SUB, reg, -step),
  );
  f.set(reg, { kind, off: off + step });
}

/** base + (unknown & mask): an address that only the run knows. */
export function variable(f: FunctionBuilder): void {
  const r = f.rnd;
  const stack = r.chance(30);
  const index = f.dst();
  const from = f.source();
  const rest = f.free().filter((i) => i !== index);
  if (rest.length === 0) return;
  const at = r.pick(rest);
  f.emit(bpf.mov64Reg(index, from));
  f.emit(
    r.chance(50)
      ? bpf.alu64Imm(u.BPF_AND, index, stack ? 0x18 : 0x7f)
      : bpf.alu32Imm(u.BPF_AND, index, stack ? 0x18 : 0x7f),
  );
  f.set(index, SCALAR);
  f.makePointer(at, { kind: stack ? "stack" : "map", off: 0 });
  f.emit(bpf.alu64Reg(u.BPF_ADD, at, index));
  const size = r.pick(SIZES);
  const bytes = BYTES[size]!;
  let off = r.below((stack ? WINDOW - 0x18 : MEMORY_SIZE - 0x7f) - bytes + 1);
  if (stack) off -= off % bytes;
  if (r.chance(50)) {
    f.emit(bpf.stxMem(size, at, index, off));
    f.emit(bpf.mov64Imm(at, f.constant()));
  } else f.emit(bpf.ldxMem(size, at, at, off));
  f.set(at, SCALAR);
}

/** A pointer goes through the stack and comes back. */
export function spill(f: FunctionBuilder): void {
  const from = f.pointer();
  const slot = f.window + 8 * f.rnd.below(WINDOW / 8);
  const to = f.dst();
  f.emit(bpf.stxMem(u.BPF_DW, 10, from, slot));
  f.emit(bpf.ldxMem(u.BPF_DW, to, 10, slot));
  f.set(to, f.regs[from]!);
  f.emit(bpf.stMem(u.BPF_DW, 10, slot, f.constant()));
}
