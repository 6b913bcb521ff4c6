/** Conditional jumps: check_cond_jmp_op(). */
import { BPF_JCOND, BPF_JEQ, BPF_JMP, BPF_JMP32, BPF_JNE, BPF_X, EACCES, EINVAL } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { printInsnState } from "../log/log.ts";
import { isBranchTaken, isNotNull, isPktPointerAny, TAKEN, UNKNOWN } from "../numbers/branch-taken.ts";
import { collectLinked, syncLinked } from "../numbers/linked-regs.ts";
import { refineBranches } from "../numbers/refine.ts";
import {
  INSN_F_DST_REG_STACK,
  INSN_F_SRC_REG_STACK,
  markChainPrecision,
  pushHistory,
} from "../paths/precision.ts";
import { findPrevEntry, widenImpreciseScalars } from "../paths/widen.ts";
import { pushStack } from "../state/branch.ts";
import { markPtrOrNull } from "../state/null-marks.ts";
import { markPtrNotNull } from "../state/ptr-null.ts";
import { RegState } from "../state/reg.ts";
import { checkSrcReg } from "../state/reg-arg.ts";
import { markConstScalar } from "../state/reg-ops.ts";
import { baseType, mayBeNull, PTR_TO_BTF_ID, PTR_TO_STACK, SCALAR_VALUE } from "../state/reg-type.ts";
import type { VerifierState } from "../state/state.ts";
import { markPacketRange } from "./packet-range.ts";
import { pushSpeculative } from "./sanitize.ts";

/** Constant operands; the two sides narrow one each. */
const immediate = new RegState();
const otherImmediate = new RegState();

/** The conditional jump at env.insnIdx; returns the instruction to go on with (the other side is queued). */
export function checkCondJump(env: Env): number {
  const { slots, insnIdx } = env;
  const op = slots.op[insnIdx]!;
  const opcode = op & 0xf0;
  const off = slots.off[insnIdx]!;
  if (opcode === 0 || opcode > BPF_JCOND)
    env.reject(EINVAL, `invalid BPF_JMP/JMP32 opcode ${opcode.toString(16)}`);
  if (opcode === BPF_JCOND) return checkMayGoto(env, op, off);

  const dst = slots.dst[insnIdx]!;
  const src = slots.src[insnIdx]!;
  const imm = slots.imm[insnIdx]!;
  const fromReg = (op & BPF_X) !== 0;
  const is32 = (op & 7) === BPF_JMP32;
  checkSrcReg(env, dst);
  const state = env.state;
  const { frame } = state;
  const dstReg = frame.regs[dst]!;
  let srcReg = immediate;
  let flags = dstReg.type === PTR_TO_STACK ? INSN_F_DST_REG_STACK : 0;
  if (fromReg) {
    if (imm !== 0) env.reject(EINVAL, "BPF_JMP/JMP32 uses reserved fields");
    checkSrcReg(env, src);
    srcReg = frame.regs[src]!;
    if (
      !(isPktPointerAny(dstReg.type) && isPktPointerAny(srcReg.type)) &&
      !env.allowPtrLeaks &&
      srcReg.type !== SCALAR_VALUE
    )
      env.reject(EACCES, `R${src} pointer comparison prohibited`);
    if (srcReg.type === PTR_TO_STACK) flags |= INSN_F_SRC_REG_STACK;
  } else {
    if (src !== 0) env.reject(EINVAL, "BPF_JMP/JMP32 uses reserved fields");
    markConstScalar(immediate, imm, imm >> 31);
  }
  if (flags !== 0) pushHistory(env, flags, null);

  const taken = isBranchTaken(env, frame.regs[dst]!, srcReg, opcode, is32);
  if (taken !== UNKNOWN) {
    if (dstReg.type === SCALAR_VALUE) markChainPrecision(env, dst);
    if (fromReg && srcReg.type === SCALAR_VALUE) markChainPrecision(env, src);
    // The processor may go the other way for a while.
    const target = insnIdx + off + 1;
    if (!env.bypassSpecV1) pushSpeculative(env, insnIdx, taken === TAKEN ? insnIdx + 1 : target);
    if (env.log.level !== 0) printInsnState(env, state, state.curframe);
    return taken === TAKEN ? target : insnIdx + 1;
  }

  const linked: number[] = [];
  if (fromReg && srcReg.type === SCALAR_VALUE && srcReg.id !== 0) collectLinked(state, srcReg.id, linked);
  if (frame.regs[dst]!.type === SCALAR_VALUE && frame.regs[dst]!.id !== 0)
    collectLinked(state, frame.regs[dst]!.id, linked);
  if (linked.length > 1) pushHistory(env, 0, linked);

  const other = pushStack(env, insnIdx + off + 1, insnIdx, false);
  refineAndSync(env, state, other, dst, fromReg ? src : -1, opcode, is32, linked);
  if (!is32 && fromReg) pointersEqual(env, state, other, dst, src, opcode);

  if (
    !is32 &&
    !fromReg &&
    imm === 0 &&
    (opcode === BPF_JEQ || opcode === BPF_JNE) &&
    mayBeNull(frame.regs[dst]!.type)
  ) {
    markPtrOrNull(env, state, dst, opcode === BPF_JNE);
    markPtrOrNull(env, other, dst, opcode === BPF_JEQ);
  } else if (
    !(fromReg && !is32 && markPacketRange(opcode, dst, src, other, state)) &&
    !env.allowPtrLeaks &&
    frame.regs[dst]!.type !== SCALAR_VALUE
  )
    env.reject(EACCES, `R${dst} pointer comparison prohibited`);
  if (env.log.level !== 0) printInsnState(env, state, state.curframe);
  return insnIdx + 1;
}

/** Narrows the compared numbers on both sides, and what is linked with them. */
function refineAndSync(
  env: Env,
  state: VerifierState,
  other: VerifierState,
  dst: number,
  src: number,
  opcode: number,
  is32: boolean,
  linked: readonly number[],
): void {
  const { frame } = state;
  const numbers =
    frame.regs[dst]!.type === SCALAR_VALUE && (src < 0 || frame.regs[src]!.type === SCALAR_VALUE);
  if (numbers) {
    if (src < 0) otherImmediate.assign(immediate);
    refineBranches(
      env,
      other.frame.own(dst),
      src < 0 ? immediate : other.frame.own(src),
      frame.own(dst),
      src < 0 ? otherImmediate : frame.own(src),
      opcode,
      is32,
    );
  }
  for (const r of [src, dst]) {
    if (r < 0) continue;
    const reg = frame.regs[r]!;
    if (reg.type !== SCALAR_VALUE || reg.id === 0 || reg.id !== other.frame.regs[r]!.id) continue;
    syncLinked(env, state, r, linked);
    syncLinked(env, other, r, linked);
  }
}

/** Where two pointers are equal and one is not null, the other is not either. Kernel objects may be null all the same. */
function pointersEqual(
  env: Env,
  state: VerifierState,
  other: VerifierState,
  dst: number,
  src: number,
  opcode: number,
): void {
  if (opcode !== BPF_JEQ && opcode !== BPF_JNE) return;
  const a = state.frame.regs[dst]!;
  const b = state.frame.regs[src]!;
  if (a.type === SCALAR_VALUE || b.type === SCALAR_VALUE) return;
  if (baseType(a.type) === PTR_TO_BTF_ID || baseType(b.type) === PTR_TO_BTF_ID) return;
  const { frame } = opcode === BPF_JEQ ? other : state;
  const aNotNull = isNotNull(env, a);
  const bNotNull = isNotNull(env, b);
  if (aNotNull && mayBeNull(b.type)) markPtrNotNull(env, frame.own(src));
  if (bNotNull && mayBeNull(a.type)) markPtrNotNull(env, frame.own(dst));
}

/** may_goto: a loop that the run time ends at some point. Both ways are open, always. */
function checkMayGoto(env: Env, op: number, off: number): number {
  const { slots, insnIdx } = env;
  const imm = slots.imm[insnIdx]!;
  if (
    op !== (BPF_JMP | BPF_JCOND) ||
    slots.src[insnIdx] !== 0 ||
    slots.dst[insnIdx] !== 0 ||
    imm !== 0 ||
    off === 0
  )
    env.reject(EINVAL, `invalid may_goto off ${off} imm ${imm}`);
  const previous = findPrevEntry(env, env.state.parent, insnIdx);
  const queued = pushStack(env, insnIdx + 1, insnIdx, false);
  queued.mayGotoDepth++;
  if (previous !== null) widenImpreciseScalars(env, previous, queued);
  return insnIdx + off + 1;
}
