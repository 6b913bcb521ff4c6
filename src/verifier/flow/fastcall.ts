/** Calls that clobber fewer registers than others, and the spills around them that are then not needed. */
import {
  BPF_CALL,
  BPF_DW,
  BPF_FUNC_get_smp_processor_id,
  BPF_JMP,
  BPF_LDX,
  BPF_MEM,
  BPF_STX,
} from "../../uapi/index.ts";
import { RET_VOID } from "../calls/arg-type.ts";
import { helperProto } from "../calls/helper-proto.ts";
import type { Env, Subprog } from "../env.ts";
import { isHelperCall, isKfuncCall, kfuncBtf, kfuncName } from "../insns/insn-kind.ts";
import { CALLER_SAVED_REGS } from "../limits.ts";

const ALL_CALLER_SAVED = (1 << CALLER_SAVED_REGS) - 1;
const NEVER = -0x8000;
const SPILL = BPF_STX | BPF_MEM | BPF_DW;
const FILL = BPF_LDX | BPF_MEM | BPF_DW;

/** No stack of this function is for fastcall spills only. */
export function dropFastcallPatterns(env: Env, subprog: Subprog): void {
  subprog.fastcallStackOff = NEVER;
  for (let i = subprog.start; i < subprog.end; i++) {
    env.aux[i]!.fastcallSpillsNum = 0;
    env.aux[i]!.fastcallPattern = 0;
  }
}

/** Registers that the call at `i` clobbers, and whether it will be replaced by instructions. */
function clobbers(env: Env, i: number): { mask: number; inlined: boolean } {
  const all = { mask: ALL_CALLER_SAVED, inlined: false };
  const id = env.slots.imm[i]!;
  if (isHelperCall(env.slots, i)) {
    const fn = helperProto(env, id);
    if (fn === null) return all;
    let mask = fn.ret !== RET_VOID ? 1 : 0;
    for (let a = 0; a < fn.args.length && fn.args[a] !== 0; a++) mask |= 2 << a;
    return { mask, inlined: fn.allowFastcall && id === BPF_FUNC_get_smp_processor_id };
  }
  if (isKfuncCall(env.slots, i)) {
    const btf = kfuncBtf(env, i);
    const name = kfuncName(env, i);
    if (btf === null || name === "") return all;
    const proto = btf.sizeOrType(id);
    let mask = btf.sizeOrType(proto) !== 0 ? 1 : 0;
    for (let a = 0; a < btf.vlen(proto); a++) mask |= 2 << a;
    return { mask, inlined: name === "bpf_cast_to_kern_ctx" || name === "bpf_rdonly_cast" };
  }
  return all;
}

/** mark_fastcall_pattern_for_call(). */
function markCall(env: Env, subprog: Subprog, call: number, lowest: number): void {
  const { op, dst, src, off, count } = env.slots;
  const { mask, inlined } = clobbers(env, call);
  let expected = ~mask & ALL_CALLER_SAVED;
  if (expected === 0) return;
  let at = lowest;
  let i = 1;
  for (; i <= CALLER_SAVED_REGS; i++, at += 8) {
    const stx = call - i;
    const ldx = call + i;
    if (stx < 0 || ldx >= count) break;
    if (env.aux[stx + 1]!.jumpTarget || env.aux[ldx]!.jumpTarget) break;
    if (op[stx] !== SPILL || op[ldx] !== FILL || dst[stx] !== 10 || src[ldx] !== 10) break;
    const reg = src[stx]!;
    if (reg !== dst[ldx] || ((expected >>> reg) & 1) === 0) break;
    if (off[stx] !== at || off[ldx] !== at) break;
    expected &= ~(1 << reg);
    env.aux[stx]!.fastcallPattern = 1;
    env.aux[ldx]!.fastcallPattern = 1;
  }
  if (i === 1) return;
  if (inlined) env.aux[call]!.fastcallSpillsNum = i - 1;
  else subprog.keepFastcallStack = true;
  subprog.fastcallStackOff = Math.min(subprog.fastcallStackOff, at);
}

/** mark_fastcall_patterns(). */
export function markFastcallPatterns(env: Env): void {
  const { op, dst, off } = env.slots;
  for (const subprog of env.subprogs) {
    let lowest = 0;
    for (let i = subprog.start; i < subprog.end; i++)
      if (op[i] === SPILL && dst[i] === 10) lowest = Math.min(lowest, off[i]!);
    for (let i = subprog.start; i < subprog.end; i++)
      if (op[i] === (BPF_JMP | BPF_CALL)) markCall(env, subprog, i, lowest);
  }
}

/** Afterwards: functions whose lowest stack only held spills that go need less of it. remove_fastcall_spills_fills(). */
export function shrinkFastcallStacks(env: Env): void {
  for (const subprog of env.subprogs) {
    if (subprog.keepFastcallStack) continue;
    for (let i = subprog.start; i < subprog.end; i++) {
      if (env.aux[i]!.fastcallSpillsNum === 0) continue;
      subprog.stackDepth = -subprog.fastcallStackOff;
      break;
    }
  }
}
