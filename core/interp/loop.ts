// The interpreter's loop: one case per operation. Registers live in the state, at the byte offsets that the records
// carry (src/vm/interp/layout.ts); a jump's record holds the address before its target, so that every case ends in
// the same step to the next record.
import {
  BPF_ADD, BPF_AND, BPF_ARSH, BPF_B, BPF_DIV, BPF_DW, BPF_EXIT, BPF_H, BPF_JA, BPF_JCOND, BPF_JEQ, BPF_JGE, BPF_JGT,
  BPF_JLE, BPF_JLT, BPF_JNE, BPF_JSET, BPF_JSGE, BPF_JSGT, BPF_JSLE, BPF_JSLT, BPF_K, BPF_LSH, BPF_MOD, BPF_MOV,
  BPF_MUL, BPF_NEG, BPF_OR, BPF_RSH, BPF_SUB, BPF_W, BPF_X, BPF_XOR,
} from "../../src/uapi/insn";
import {
  CALL_LOCAL, INSN_DST, INSN_IMM, INSN_OFF, INSN_OP, INSN_REAL, INSN_SIZE, INSN_SRC, OP_ALU32, OP_ALU64, OP_ATOMIC32,
  OP_ATOMIC32_CHECKED, OP_ATOMIC64, OP_ATOMIC64_CHECKED, OP_BREAK, OP_CALLX, OP_CALL_CORE, OP_CALL_JS, OP_CALL_LOCAL,
  OP_CALL_LOOP, OP_CHECKED, OP_JMP32, OP_JMP64, OP_LDX, OP_LDXSX, OP_LD_ABS, OP_LD_IMM64, OP_LD_IND, OP_MOVSX32_16,
  OP_MOVSX32_8, OP_MOVSX64_16, OP_MOVSX64_32, OP_MOVSX64_8, OP_NONE, OP_NOP, OP_PROBE, OP_SDIV32_K, OP_SDIV32_X, OP_SDIV64_K,
  OP_SDIV64_X, OP_SMOD32_K, OP_SMOD32_X, OP_SMOD64_K, OP_SMOD64_X, OP_ST, OP_STX, OP_SWAP16, OP_SWAP32, OP_SWAP64,
  OP_TAIL_CALL, OP_ZEXT16, OP_ZEXT32, STATE_FAULT, STATE_FAULT_ADDR, STATE_LEFT, STATE_MAY_GOTO, STATE_PC,
  STOP_BREAK, STOP_EXIT, STOP_FAULT, STOP_STEPS,
} from "../../src/vm/interp/layout";
import { FAULT_INSN, FAULT_NONE, FAULT_READ, FAULT_STACK, FAULT_WRITE, SHADOW_BASE } from "../../src/vm/layout";
import { maxBytes, shadowWrite } from "../env";
import { atomic32, atomic64, sdiv32, sdiv64, smod32, smod64 } from "./alu";
import { callCore, callIndex, callJs, callLoop, leave, push, tailCall } from "./calls";
import { probe_read } from "../probe";
import { packet } from "./packet";

// @ts-ignore: decorator
@inline
function dst(state: usize, pc: usize): usize {
  return state + load<u16>(pc, INSN_DST);
}
// @ts-ignore: decorator
@inline
function src(state: usize, pc: usize): usize {
  return state + load<u16>(pc, INSN_SRC);
}
// @ts-ignore: decorator
@inline
function off(pc: usize): i32 {
  return load<i32>(pc, INSN_OFF);
}
// @ts-ignore: decorator
@inline
function imm(pc: usize): i64 {
  return load<i32>(pc, INSN_IMM);
}

/** check_read and check_write for the sizes of an instruction, the other way round. */
// @ts-ignore: decorator
@inline
function unreadable(at: u32, n: u32): bool {
  return at >= maxBytes || <u32>load<u8>(SHADOW_BASE + (at >>> 3)) < (at & 7) + n;
}
// @ts-ignore: decorator
@inline
function unwritable(at: u32, n: u32): bool {
  return at >= maxBytes || <u32>load<u8>(shadowWrite + (at >>> 3)) < (at & 7) + n;
}

/** Leaves the loop at `pc`, with steps left up to `end`. */
function stop(state: usize, pc: usize, end: usize, why: i32): i32 {
  store<u32>(state, pc, STATE_PC);
  store<u32>(state, (end - pc) / INSN_SIZE, STATE_LEFT);
  return why;
}

/** `base`: the register that the address was computed from. */
function fault(state: usize, pc: usize, end: usize, code: u32, base: usize): i32 {
  store<u32>(state, code, STATE_FAULT);
  store<u64>(state, base == 0 ? 0 : load<u64>(base) + load<i32>(pc, INSN_OFF), STATE_FAULT_ADDR);
  return stop(state, pc, end, STOP_FAULT);
}

/**
 * Runs up to `left` (1 to 2^24) instructions of `state`, the first one even under a breakpoint. Returns STOP_*, with
 * STATE_PC at the instruction to go on with (after STOP_EXIT and STOP_FAULT: at the one that did it) and STATE_LEFT
 * at the steps not taken.
 */
export function slice(state: usize, left: i32): i32 {
  let pc: usize = load<u32>(state, STATE_PC);
  // Where the steps run out if no jump comes; a jump moves it along. Cheaper than a count, which every step would store.
  let end: usize = pc + left * INSN_SIZE;
  let op: u32 = load<u16>(pc, INSN_REAL);
  while (true) {
    switch (op) {
      case OP_ALU64 + ((BPF_ADD | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) + <u64>imm(pc));
        break;
      }
      case OP_ALU64 + ((BPF_ADD | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) + load<u64>(src(state, pc)));
        break;
      }
      case OP_ALU64 + ((BPF_SUB | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) - <u64>imm(pc));
        break;
      }
      case OP_ALU64 + ((BPF_SUB | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) - load<u64>(src(state, pc)));
        break;
      }
      case OP_ALU64 + ((BPF_MUL | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) * <u64>imm(pc));
        break;
      }
      case OP_ALU64 + ((BPF_MUL | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) * load<u64>(src(state, pc)));
        break;
      }
      case OP_ALU64 + ((BPF_DIV | BPF_K) >> 3): {
        const d = dst(state, pc);
        const a = load<u64>(d);
        const b = <u64>imm(pc);
        store<u64>(d, b == 0 ? 0 : a / b);
        break;
      }
      case OP_ALU64 + ((BPF_DIV | BPF_X) >> 3): {
        const d = dst(state, pc);
        const a = load<u64>(d);
        const b = load<u64>(src(state, pc));
        store<u64>(d, b == 0 ? 0 : a / b);
        break;
      }
      case OP_ALU64 + ((BPF_OR | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) | <u64>imm(pc));
        break;
      }
      case OP_ALU64 + ((BPF_OR | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) | load<u64>(src(state, pc)));
        break;
      }
      case OP_ALU64 + ((BPF_AND | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) & <u64>imm(pc));
        break;
      }
      case OP_ALU64 + ((BPF_AND | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) & load<u64>(src(state, pc)));
        break;
      }
      case OP_ALU64 + ((BPF_LSH | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) << <u64>imm(pc));
        break;
      }
      case OP_ALU64 + ((BPF_LSH | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) << <u64>load<u64>(src(state, pc)));
        break;
      }
      case OP_ALU64 + ((BPF_RSH | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) >> <u64>imm(pc));
        break;
      }
      case OP_ALU64 + ((BPF_RSH | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) >> <u64>load<u64>(src(state, pc)));
        break;
      }
      case OP_ALU64 + (BPF_NEG >> 3): {
        const d = dst(state, pc);
        store<u64>(d, (0 - load<u64>(d)));
        break;
      }
      case OP_ALU64 + ((BPF_MOD | BPF_K) >> 3): {
        const d = dst(state, pc);
        const a = load<u64>(d);
        const b = <u64>imm(pc);
        store<u64>(d, b == 0 ? a : a % b);
        break;
      }
      case OP_ALU64 + ((BPF_MOD | BPF_X) >> 3): {
        const d = dst(state, pc);
        const a = load<u64>(d);
        const b = load<u64>(src(state, pc));
        store<u64>(d, b == 0 ? a : a % b);
        break;
      }
      case OP_ALU64 + ((BPF_XOR | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) ^ <u64>imm(pc));
        break;
      }
      case OP_ALU64 + ((BPF_XOR | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<u64>(d) ^ load<u64>(src(state, pc)));
        break;
      }
      case OP_ALU64 + ((BPF_MOV | BPF_K) >> 3): {
        store<i64>(dst(state, pc), imm(pc));
        break;
      }
      case OP_ALU64 + ((BPF_MOV | BPF_X) >> 3): {
        store<u64>(dst(state, pc), load<u64>(src(state, pc)));
        break;
      }
      case OP_ALU64 + ((BPF_ARSH | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<i64>(d) >> <i64>imm(pc));
        break;
      }
      case OP_ALU64 + ((BPF_ARSH | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, load<i64>(d) >> <i64>load<i64>(src(state, pc)));
        break;
      }
      case OP_ALU32 + ((BPF_ADD | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) + <u32>imm(pc)));
        break;
      }
      case OP_ALU32 + ((BPF_ADD | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) + load<u32>(src(state, pc))));
        break;
      }
      case OP_ALU32 + ((BPF_SUB | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) - <u32>imm(pc)));
        break;
      }
      case OP_ALU32 + ((BPF_SUB | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) - load<u32>(src(state, pc))));
        break;
      }
      case OP_ALU32 + ((BPF_MUL | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) * <u32>imm(pc)));
        break;
      }
      case OP_ALU32 + ((BPF_MUL | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) * load<u32>(src(state, pc))));
        break;
      }
      case OP_ALU32 + ((BPF_DIV | BPF_K) >> 3): {
        const d = dst(state, pc);
        const a = load<u32>(d);
        const b = <u32>imm(pc);
        store<u64>(d, b == 0 ? 0 : a / b);
        break;
      }
      case OP_ALU32 + ((BPF_DIV | BPF_X) >> 3): {
        const d = dst(state, pc);
        const a = load<u32>(d);
        const b = load<u32>(src(state, pc));
        store<u64>(d, b == 0 ? 0 : a / b);
        break;
      }
      case OP_ALU32 + ((BPF_OR | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) | <u32>imm(pc)));
        break;
      }
      case OP_ALU32 + ((BPF_OR | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) | load<u32>(src(state, pc))));
        break;
      }
      case OP_ALU32 + ((BPF_AND | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) & <u32>imm(pc)));
        break;
      }
      case OP_ALU32 + ((BPF_AND | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) & load<u32>(src(state, pc))));
        break;
      }
      case OP_ALU32 + ((BPF_LSH | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) << <u32>imm(pc)));
        break;
      }
      case OP_ALU32 + ((BPF_LSH | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) << <u32>load<u32>(src(state, pc))));
        break;
      }
      case OP_ALU32 + ((BPF_RSH | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) >> <u32>imm(pc)));
        break;
      }
      case OP_ALU32 + ((BPF_RSH | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) >> <u32>load<u32>(src(state, pc))));
        break;
      }
      case OP_ALU32 + (BPF_NEG >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(0 - load<u32>(d)));
        break;
      }
      case OP_ALU32 + ((BPF_MOD | BPF_K) >> 3): {
        const d = dst(state, pc);
        const a = load<u32>(d);
        const b = <u32>imm(pc);
        store<u64>(d, b == 0 ? a : a % b);
        break;
      }
      case OP_ALU32 + ((BPF_MOD | BPF_X) >> 3): {
        const d = dst(state, pc);
        const a = load<u32>(d);
        const b = load<u32>(src(state, pc));
        store<u64>(d, b == 0 ? a : a % b);
        break;
      }
      case OP_ALU32 + ((BPF_XOR | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) ^ <u32>imm(pc)));
        break;
      }
      case OP_ALU32 + ((BPF_XOR | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<u32>(d) ^ load<u32>(src(state, pc))));
        break;
      }
      case OP_ALU32 + ((BPF_MOV | BPF_K) >> 3): {
        store<u64>(dst(state, pc), <u64><u32>imm(pc));
        break;
      }
      case OP_ALU32 + ((BPF_MOV | BPF_X) >> 3): {
        store<u64>(dst(state, pc), load<u32>(src(state, pc)));
        break;
      }
      case OP_ALU32 + ((BPF_ARSH | BPF_K) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<i32>(d) >> <i32>imm(pc)));
        break;
      }
      case OP_ALU32 + ((BPF_ARSH | BPF_X) >> 3): {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>(load<i32>(d) >> <i32>load<i32>(src(state, pc))));
        break;
      }
      case OP_JMP64 + (BPF_JA >> 3): {
        const by = off(pc);
        pc += by;
        end += by;
        break;
      }
      case OP_JMP64 + ((BPF_JEQ | BPF_K) >> 3): {
        if (load<u64>(dst(state, pc)) == <u64>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JEQ | BPF_X) >> 3): {
        if (load<u64>(dst(state, pc)) == load<u64>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JGT | BPF_K) >> 3): {
        if (load<u64>(dst(state, pc)) > <u64>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JGT | BPF_X) >> 3): {
        if (load<u64>(dst(state, pc)) > load<u64>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JGE | BPF_K) >> 3): {
        if (load<u64>(dst(state, pc)) >= <u64>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JGE | BPF_X) >> 3): {
        if (load<u64>(dst(state, pc)) >= load<u64>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JSET | BPF_K) >> 3): {
        if ((load<u64>(dst(state, pc)) & <u64>imm(pc)) != 0) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JSET | BPF_X) >> 3): {
        if ((load<u64>(dst(state, pc)) & load<u64>(src(state, pc))) != 0) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JNE | BPF_K) >> 3): {
        if (load<u64>(dst(state, pc)) != <u64>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JNE | BPF_X) >> 3): {
        if (load<u64>(dst(state, pc)) != load<u64>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JSGT | BPF_K) >> 3): {
        if (load<i64>(dst(state, pc)) > <i64>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JSGT | BPF_X) >> 3): {
        if (load<i64>(dst(state, pc)) > load<i64>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JSGE | BPF_K) >> 3): {
        if (load<i64>(dst(state, pc)) >= <i64>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JSGE | BPF_X) >> 3): {
        if (load<i64>(dst(state, pc)) >= load<i64>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + (BPF_EXIT >> 3): {
        const next = leave(state);
        if (next == 0) return stop(state, pc, end - INSN_SIZE, STOP_EXIT);
        end += next - pc;
        pc = next;
        break;
      }
      case OP_JMP64 + ((BPF_JLT | BPF_K) >> 3): {
        if (load<u64>(dst(state, pc)) < <u64>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JLT | BPF_X) >> 3): {
        if (load<u64>(dst(state, pc)) < load<u64>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JLE | BPF_K) >> 3): {
        if (load<u64>(dst(state, pc)) <= <u64>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JLE | BPF_X) >> 3): {
        if (load<u64>(dst(state, pc)) <= load<u64>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JSLT | BPF_K) >> 3): {
        if (load<i64>(dst(state, pc)) < <i64>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JSLT | BPF_X) >> 3): {
        if (load<i64>(dst(state, pc)) < load<i64>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JSLE | BPF_K) >> 3): {
        if (load<i64>(dst(state, pc)) <= <i64>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + ((BPF_JSLE | BPF_X) >> 3): {
        if (load<i64>(dst(state, pc)) <= load<i64>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP64 + (BPF_JCOND >> 3): {
        const more = load<u32>(state, STATE_MAY_GOTO);
        if (more == 0) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        else store<u32>(state, more - 1, STATE_MAY_GOTO);
        break;
      }
      case OP_JMP32 + ((BPF_JEQ | BPF_K) >> 3): {
        if (load<u32>(dst(state, pc)) == <u32>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JEQ | BPF_X) >> 3): {
        if (load<u32>(dst(state, pc)) == load<u32>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JGT | BPF_K) >> 3): {
        if (load<u32>(dst(state, pc)) > <u32>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JGT | BPF_X) >> 3): {
        if (load<u32>(dst(state, pc)) > load<u32>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JGE | BPF_K) >> 3): {
        if (load<u32>(dst(state, pc)) >= <u32>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JGE | BPF_X) >> 3): {
        if (load<u32>(dst(state, pc)) >= load<u32>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JSET | BPF_K) >> 3): {
        if ((load<u32>(dst(state, pc)) & <u32>imm(pc)) != 0) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JSET | BPF_X) >> 3): {
        if ((load<u32>(dst(state, pc)) & load<u32>(src(state, pc))) != 0) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JNE | BPF_K) >> 3): {
        if (load<u32>(dst(state, pc)) != <u32>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JNE | BPF_X) >> 3): {
        if (load<u32>(dst(state, pc)) != load<u32>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JSGT | BPF_K) >> 3): {
        if (load<i32>(dst(state, pc)) > <i32>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JSGT | BPF_X) >> 3): {
        if (load<i32>(dst(state, pc)) > load<i32>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JSGE | BPF_K) >> 3): {
        if (load<i32>(dst(state, pc)) >= <i32>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JSGE | BPF_X) >> 3): {
        if (load<i32>(dst(state, pc)) >= load<i32>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JLT | BPF_K) >> 3): {
        if (load<u32>(dst(state, pc)) < <u32>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JLT | BPF_X) >> 3): {
        if (load<u32>(dst(state, pc)) < load<u32>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JLE | BPF_K) >> 3): {
        if (load<u32>(dst(state, pc)) <= <u32>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JLE | BPF_X) >> 3): {
        if (load<u32>(dst(state, pc)) <= load<u32>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JSLT | BPF_K) >> 3): {
        if (load<i32>(dst(state, pc)) < <i32>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JSLT | BPF_X) >> 3): {
        if (load<i32>(dst(state, pc)) < load<i32>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JSLE | BPF_K) >> 3): {
        if (load<i32>(dst(state, pc)) <= <i32>imm(pc)) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_JMP32 + ((BPF_JSLE | BPF_X) >> 3): {
        if (load<i32>(dst(state, pc)) <= load<i32>(src(state, pc))) {
          const by = off(pc);
          pc += by;
          end += by;
        }
        break;
      }
      case OP_LDX + (BPF_W >> 3): {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        store<u64>(dst(state, pc), <u64>load<u32>(at));
        break;
      }
      case OP_LDX + (BPF_H >> 3): {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        store<u64>(dst(state, pc), <u64>load<u16>(at));
        break;
      }
      case OP_LDX + (BPF_B >> 3): {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        store<u64>(dst(state, pc), <u64>load<u8>(at));
        break;
      }
      case OP_LDX + (BPF_DW >> 3): {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        store<u64>(dst(state, pc), <u64>load<u64>(at));
        break;
      }
      case OP_LDXSX + (BPF_W >> 3): {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        store<u64>(dst(state, pc), <u64><i64>load<i32>(at));
        break;
      }
      case OP_LDXSX + (BPF_H >> 3): {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        store<u64>(dst(state, pc), <u64><i64>load<i16>(at));
        break;
      }
      case OP_LDXSX + (BPF_B >> 3): {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        store<u64>(dst(state, pc), <u64><i64>load<i8>(at));
        break;
      }
      case OP_ST + (BPF_W >> 3): {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        store<u32>(at, <u32>imm(pc));
        break;
      }
      case OP_ST + (BPF_H >> 3): {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        store<u16>(at, <u16>imm(pc));
        break;
      }
      case OP_ST + (BPF_B >> 3): {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        store<u8>(at, <u8>imm(pc));
        break;
      }
      case OP_ST + (BPF_DW >> 3): {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        store<u64>(at, <u64>imm(pc));
        break;
      }
      case OP_STX + (BPF_W >> 3): {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        store<u32>(at, load<u32>(src(state, pc)));
        break;
      }
      case OP_STX + (BPF_H >> 3): {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        store<u16>(at, load<u16>(src(state, pc)));
        break;
      }
      case OP_STX + (BPF_B >> 3): {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        store<u8>(at, load<u8>(src(state, pc)));
        break;
      }
      case OP_STX + (BPF_DW >> 3): {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        store<u64>(at, load<u64>(src(state, pc)));
        break;
      }
      case OP_LDX + (BPF_W >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        if (unreadable(at, 4)) return fault(state, pc, end, FAULT_READ, src(state, pc));
        store<u64>(dst(state, pc), <u64>load<u32>(at));
        break;
      }
      case OP_LDX + (BPF_H >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        if (unreadable(at, 2)) return fault(state, pc, end, FAULT_READ, src(state, pc));
        store<u64>(dst(state, pc), <u64>load<u16>(at));
        break;
      }
      case OP_LDX + (BPF_B >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        if (unreadable(at, 1)) return fault(state, pc, end, FAULT_READ, src(state, pc));
        store<u64>(dst(state, pc), <u64>load<u8>(at));
        break;
      }
      case OP_LDX + (BPF_DW >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        if (unreadable(at, 8)) return fault(state, pc, end, FAULT_READ, src(state, pc));
        store<u64>(dst(state, pc), <u64>load<u64>(at));
        break;
      }
      case OP_LDXSX + (BPF_W >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        if (unreadable(at, 4)) return fault(state, pc, end, FAULT_READ, src(state, pc));
        store<u64>(dst(state, pc), <u64><i64>load<i32>(at));
        break;
      }
      case OP_LDXSX + (BPF_H >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        if (unreadable(at, 2)) return fault(state, pc, end, FAULT_READ, src(state, pc));
        store<u64>(dst(state, pc), <u64><i64>load<i16>(at));
        break;
      }
      case OP_LDXSX + (BPF_B >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(src(state, pc)) + off(pc);
        if (unreadable(at, 1)) return fault(state, pc, end, FAULT_READ, src(state, pc));
        store<u64>(dst(state, pc), <u64><i64>load<i8>(at));
        break;
      }
      case OP_ST + (BPF_W >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        if (unwritable(at, 4)) return fault(state, pc, end, FAULT_WRITE, dst(state, pc));
        store<u32>(at, <u32>imm(pc));
        break;
      }
      case OP_ST + (BPF_H >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        if (unwritable(at, 2)) return fault(state, pc, end, FAULT_WRITE, dst(state, pc));
        store<u16>(at, <u16>imm(pc));
        break;
      }
      case OP_ST + (BPF_B >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        if (unwritable(at, 1)) return fault(state, pc, end, FAULT_WRITE, dst(state, pc));
        store<u8>(at, <u8>imm(pc));
        break;
      }
      case OP_ST + (BPF_DW >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        if (unwritable(at, 8)) return fault(state, pc, end, FAULT_WRITE, dst(state, pc));
        store<u64>(at, <u64>imm(pc));
        break;
      }
      case OP_STX + (BPF_W >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        if (unwritable(at, 4)) return fault(state, pc, end, FAULT_WRITE, dst(state, pc));
        store<u32>(at, load<u32>(src(state, pc)));
        break;
      }
      case OP_STX + (BPF_H >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        if (unwritable(at, 2)) return fault(state, pc, end, FAULT_WRITE, dst(state, pc));
        store<u16>(at, load<u16>(src(state, pc)));
        break;
      }
      case OP_STX + (BPF_B >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        if (unwritable(at, 1)) return fault(state, pc, end, FAULT_WRITE, dst(state, pc));
        store<u8>(at, load<u8>(src(state, pc)));
        break;
      }
      case OP_STX + (BPF_DW >> 3) + OP_CHECKED: {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        if (unwritable(at, 8)) return fault(state, pc, end, FAULT_WRITE, dst(state, pc));
        store<u64>(at, load<u64>(src(state, pc)));
        break;
      }
      case OP_NONE:
        return fault(state, pc, end, FAULT_INSN, 0);
      case OP_BREAK:
        return stop(state, pc, end, STOP_BREAK);
      case OP_SDIV64_K: {
        const d = dst(state, pc);
        store<u64>(d, <u64>sdiv64(load<i64>(d), <i64>imm(pc)));
        break;
      }
      case OP_SDIV64_X: {
        const d = dst(state, pc);
        store<u64>(d, <u64>sdiv64(load<i64>(d), load<i64>(src(state, pc))));
        break;
      }
      case OP_SDIV32_K: {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>sdiv32(load<i32>(d), <i32>imm(pc)));
        break;
      }
      case OP_SDIV32_X: {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>sdiv32(load<i32>(d), load<i32>(src(state, pc))));
        break;
      }
      case OP_SMOD64_K: {
        const d = dst(state, pc);
        store<u64>(d, <u64>smod64(load<i64>(d), <i64>imm(pc)));
        break;
      }
      case OP_SMOD64_X: {
        const d = dst(state, pc);
        store<u64>(d, <u64>smod64(load<i64>(d), load<i64>(src(state, pc))));
        break;
      }
      case OP_SMOD32_K: {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>smod32(load<i32>(d), <i32>imm(pc)));
        break;
      }
      case OP_SMOD32_X: {
        const d = dst(state, pc);
        store<u64>(d, <u64><u32>smod32(load<i32>(d), load<i32>(src(state, pc))));
        break;
      }
      case OP_MOVSX64_8: {
        store<i64>(dst(state, pc), <i64>load<i8>(src(state, pc)));
        break;
      }
      case OP_MOVSX64_16: {
        store<i64>(dst(state, pc), <i64>load<i16>(src(state, pc)));
        break;
      }
      case OP_MOVSX64_32: {
        store<i64>(dst(state, pc), <i64>load<i32>(src(state, pc)));
        break;
      }
      case OP_MOVSX32_8: {
        store<u64>(dst(state, pc), <u64><u32><i32>load<i8>(src(state, pc)));
        break;
      }
      case OP_MOVSX32_16: {
        store<u64>(dst(state, pc), <u64><u32><i32>load<i16>(src(state, pc)));
        break;
      }
      case OP_ZEXT16: {
        const d = dst(state, pc);
        store<u64>(d, <u64>load<u16>(d));
        break;
      }
      case OP_ZEXT32: {
        const d = dst(state, pc);
        store<u64>(d, <u64>load<u32>(d));
        break;
      }
      case OP_NOP:
        break;
      case OP_SWAP16: {
        const d = dst(state, pc);
        store<u64>(d, <u64>bswap<u16>(load<u16>(d)));
        break;
      }
      case OP_SWAP32: {
        const d = dst(state, pc);
        store<u64>(d, <u64>bswap<u32>(load<u32>(d)));
        break;
      }
      case OP_SWAP64: {
        const d = dst(state, pc);
        store<u64>(d, bswap<u64>(load<u64>(d)));
        break;
      }
      case OP_ATOMIC32: {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        atomic32(state, pc, at);
        break;
      }
      case OP_ATOMIC64: {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        atomic64(state, pc, at);
        break;
      }
      case OP_ATOMIC32_CHECKED: {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        if (unwritable(at, 4)) return fault(state, pc, end, FAULT_WRITE, dst(state, pc));
        atomic32(state, pc, at);
        break;
      }
      case OP_ATOMIC64_CHECKED: {
        const at = <u32>load<u64>(dst(state, pc)) + off(pc);
        if (unwritable(at, 8)) return fault(state, pc, end, FAULT_WRITE, dst(state, pc));
        atomic64(state, pc, at);
        break;
      }
      case OP_LD_IMM64: {
        store<u64>(dst(state, pc), load<u64>(pc, INSN_OFF));
        pc += INSN_SIZE;
        end += INSN_SIZE;
        break;
      }
      case OP_LD_ABS:
      case OP_LD_IND: {
        if (!packet(state, pc, op == OP_LD_IND)) {
          store<u64>(state, 0);
          const next = leave(state);
          if (next == 0) return stop(state, pc, end - INSN_SIZE, STOP_EXIT);
          end += next - pc;
          pc = next;
        }
        break;
      }
      case OP_CALL_LOCAL: {
        if (!push(state, pc, CALL_LOCAL)) return fault(state, pc, end, FAULT_STACK, 0);
        const by = off(pc);
        pc += by;
        end += by;
        break;
      }
      case OP_PROBE: {
        store<u64>(dst(state, pc), probe_read(load<u64>(src(state, pc)) + off(pc), load<u32>(pc, INSN_IMM)));
        break;
      }
      case OP_CALL_CORE: {
        callCore(state, pc);
        break;
      }
      case OP_CALL_JS: {
        callJs(state, pc);
        break;
      }
      case OP_CALL_LOOP:
      case OP_TAIL_CALL:
      case OP_CALLX: {
        const next: usize =
          op == OP_CALL_LOOP ? callLoop(state, pc) : op == OP_TAIL_CALL ? tailCall(state, pc) : callIndex(state, pc);
        if (next == 0) {
          const code = load<u32>(state, STATE_FAULT);
          if (code != FAULT_NONE) return fault(state, pc, end, code, 0);
          return stop(state, pc, end - INSN_SIZE, STOP_EXIT);
        }
        end += next - pc;
        pc = next;
        break;
      }
      default:
        return fault(state, pc, end, FAULT_INSN, 0);
    }
    pc += INSN_SIZE;
    if (pc == end) return stop(state, pc, end, STOP_STEPS);
    op = load<u16>(pc, INSN_OP);
  }
}
