/** Random statements that compute. */
import * as bpf from "../../src/asm/index.ts";
import * as u from "../../src/uapi/index.ts";
import { type FunctionBuilder, SCALAR } from "./builder.ts";

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
]; // ---- statements ----
export function alu(f: FunctionBuilder): void {
  const r = f.rnd;
  const op = r.pick(ALU_OPS);
  const wide = r.chance(60);
  const dst = f.scalar();
  const signed = (op === u.BPF_DIV || op === u.BPF_MOD) && r.chance(50);
  if (r.chance(50)) {
    const src = f.source();
    if (signed) f.emit(wide ? bpf.salu64Reg(op, dst, src) : bpf.salu32Reg(op, dst, src));
    else f.emit(wide ? bpf.alu64Reg(op, dst, src) : bpf.alu32Reg(op, dst, src));
    return;
  }
  let imm = f.constant();
  if (op === u.BPF_LSH || op === u.BPF_RSH || op === u.BPF_ARSH) imm = r.below(wide ? 64 : 32);
  if ((op === u.BPF_DIV || op === u.BPF_MOD) && imm === 0) imm = 1;
  if (signed) f.emit(wide ? bpf.salu64Imm(op, dst, imm) : bpf.salu32Imm(op, dst, imm));
  else f.emit(wide ? bpf.alu64Imm(op, dst, imm) : bpf.alu32Imm(op, dst, imm));
}

export function unary(f: FunctionBuilder): void {
  const r = f.rnd;
  const dst = f.scalar();
  const bits = r.pick([16, 32, 64]);
  f.emit(
    r.pick([
      () => bpf.neg64(dst),
      () => bpf.neg32(dst),
      () => bpf.le(bits, dst),
      () => bpf.be(bits, dst),
      () => bpf.bswap(bits, dst),
    ])(),
  );
}

export function move(f: FunctionBuilder): void {
  const r = f.rnd;
  const src = f.source();
  const dst = f.dst();
  f.emit(
    r.pick([
      () => bpf.mov64Imm(dst, f.constant()),
      () => bpf.mov32Imm(dst, f.constant()),
      () => bpf.mov64Reg(dst, src),
      () => bpf.mov32Reg(dst, src),
      () => bpf.movsx64(r.pick([8, 16, 32]), dst, src),
      () => bpf.movsx32(r.pick([8, 16]), dst, src),
      () => bpf.ldImm64(dst, f.constant64()),
    ])(),
  );
  f.set(dst, SCALAR);
}
