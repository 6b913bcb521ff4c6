// Arithmetic that WebAssembly would trap on, and atomics.
import { BPF_ADD, BPF_AND, BPF_CMPXCHG, BPF_FETCH, BPF_OR, BPF_XCHG, BPF_XOR } from "../../src/uapi/insn";
import { INSN_IMM, INSN_SRC } from "../../src/vm/interp/layout";

export function sdiv64(a: i64, b: i64): i64 {
  return b == 0 ? 0 : b == -1 ? 0 - a : a / b;
}
export function smod64(a: i64, b: i64): i64 {
  return b == 0 ? a : b == -1 ? 0 : a % b;
}
export function sdiv32(a: i32, b: i32): i32 {
  return b == 0 ? 0 : b == -1 ? 0 - a : a / b;
}
export function smod32(a: i32, b: i32): i32 {
  return b == 0 ? a : b == -1 ? 0 : a % b;
}

/** imm without BPF_FETCH, which decides what becomes of the old value. */
function combine<T>(imm: i32, old: T, operand: T): T {
  switch (imm & ~BPF_FETCH) {
    case BPF_ADD:
      return <T>(old + operand);
    case BPF_OR:
      return <T>(old | operand);
    case BPF_AND:
      return <T>(old & operand);
    case BPF_XOR:
      return <T>(old ^ operand);
    default:
      return operand;
  }
}

// @ts-ignore: decorator
@inline
function atomic<T>(state: usize, pc: usize, at: usize): void {
  const imm = load<i32>(pc, INSN_IMM);
  const src = state + load<u16>(pc, INSN_SRC);
  const old = load<T>(at);
  if (imm == BPF_CMPXCHG) {
    // r0 is compared, src is stored, r0 becomes the old value.
    if (old == load<T>(state)) store<T>(at, load<T>(src));
    store<u64>(state, <u64>old);
    return;
  }
  store<T>(at, combine<T>(imm, old, load<T>(src)));
  if (imm & BPF_FETCH) store<u64>(src, <u64>old);
}

export function atomic32(state: usize, pc: usize, at: usize): void {
  atomic<u32>(state, pc, at);
}
export function atomic64(state: usize, pc: usize, at: usize): void {
  atomic<u64>(state, pc, at);
}
