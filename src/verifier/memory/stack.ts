/** Loads from and stores to the stack: check_stack_read(), check_stack_write() and what they consist of. */
import { BPF_MEM, BPF_ST, EACCES, EINVAL } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { dropFastcallPatterns } from "../flow/fastcall.ts";
import { verboseLineInfo } from "../log/log.ts";
import { varOffText } from "../log/text.ts";
import { smaxOf, sminOf } from "../numbers/range.ts";
import { assignScalarIdBeforeMov, clearScalarId, wantsScalarId } from "../numbers/scalar-id.ts";
import { markChainPrecision, pushHistory, stackAccessFlags } from "../paths/precision.ts";
import { destroyIfDynptrSlot } from "../state/dynptr.ts";
import { isConst, isNullScalar, RegState } from "../state/reg.ts";
import { markConstScalar, markRegConstZero, markRegUnknown, regWidth } from "../state/reg-ops.ts";
import { PTR_TO_STACK, SCALAR_VALUE } from "../state/reg-type.ts";
import {
  isSpillableType,
  isSpilledReg,
  isSpilledScalar,
  saveRegister,
  scrubSpecialSlot,
  spiOf,
} from "../state/stack-slots.ts";
import {
  BPF_REG_SIZE,
  type FuncState,
  STACK_INVALID,
  STACK_MISC,
  STACK_SPILL,
  STACK_ZERO,
} from "../state/state.ts";
import { checkStackRangeInitialized } from "./stack-range.ts";

/** BPF_ST | BPF_MEM: stores its immediate. */
function isStoreImm(op: number): boolean {
  return (op & 7) === BPF_ST && (op & 0xe0) === BPF_MEM;
}

/** Byte of a slot (as StackSlot.typeAt counts) that lies at offset `off` of the frame. */
function byteOf(off: number): number {
  return (-off - 1) & 7;
}

function checkStackWriteFixedOff(
  env: Env,
  frame: FuncState,
  off: number,
  size: number,
  valueReg: number,
  insnIdx: number,
): void {
  const spi = spiOf(off);
  const cur = env.frame;
  const op = env.slots.op[insnIdx]!;
  const imm = env.slots.imm[insnIdx]!;
  const reg = valueReg >= 0 ? cur.regs[valueReg]! : null;
  const old = frame.stack[spi]!;

  if (!env.allowPtrLeaks && isSpilledReg(old) && !isSpilledScalar(old) && size !== BPF_REG_SIZE)
    env.reject(EACCES, "attempt to corrupt spilled pointer on stack");

  if (!env.bypassSpecV4) {
    let sanitize = reg !== null && isSpillableType(reg.type);
    for (let i = 0; i < size && !sanitize; i++) {
      const type = old.typeAt(byteOf(off + i));
      sanitize = type !== STACK_MISC && type !== STACK_ZERO;
    }
    if (sanitize) {
      const aux = env.aux[insnIdx]!;
      if (env.barriers) aux.nospecResult = true;
      else aux.sanitizeStackSpill = true;
    }
  }

  destroyIfDynptrSlot(env, frame, spi);
  checkFastcallStackContract(env, frame, insnIdx, off);
  env.markSlotScratched(spi);
  const aligned = off % BPF_REG_SIZE === 0;
  if (aligned && size === BPF_REG_SIZE) env.stackLiveness?.markWrite(env, frame.frameno, spi);

  if (reg !== null && aligned && reg.type === SCALAR_VALUE && env.bpfCapable) {
    const fits = regWidth(reg) <= 8 * size;
    let value = reg;
    if (fits && wantsScalarId(reg)) {
      value = cur.own(valueReg);
      assignScalarIdBeforeMov(env, value);
    }
    saveRegister(env, frame, spi, value, cur.isPrecise(valueReg), size);
    // What will be read back is not the register's number.
    if (!fits && value.id !== 0) frame.ownSpilled(spi).id = 0;
  } else if (reg === null && aligned && isStoreImm(op) && env.bpfCapable) {
    const value = new RegState();
    markConstScalar(value, imm, imm >> 31);
    saveRegister(env, frame, spi, value, false, size);
  } else if (reg !== null && isSpillableType(reg.type)) {
    if (size !== BPF_REG_SIZE) {
      verboseLineInfo(env, insnIdx, "; ");
      env.reject(EACCES, "invalid size of register spill");
    }
    if (frame !== cur && reg.type === PTR_TO_STACK)
      env.reject(EINVAL, "cannot spill pointers to stack into stack frame of the caller");
    saveRegister(env, frame, spi, reg, cur.isPrecise(valueReg), size);
  } else {
    const slot = scrubSpecialSlot(frame, spi);
    let type = STACK_MISC;
    if (reg !== null ? isNullScalar(reg) : isStoreImm(op) && imm === 0) {
      // A zero on the stack is a fact that states are compared by: the register must really be zero.
      if (valueReg >= 0) markChainPrecision(env, valueReg);
      type = STACK_ZERO;
    }
    for (let i = 0; i < size; i++) slot.setType(byteOf(off + i), type);
    return;
  }
  pushHistory(env, stackAccessFlags(frame.frameno, spi), null);
}

function checkStackWriteVarOff(
  env: Env,
  frame: FuncState,
  ptrReg: number,
  off: number,
  size: number,
  valueReg: number,
  insnIdx: number,
): void {
  const cur = env.frame;
  const ptr = cur.regs[ptrReg]!;
  const value = valueReg >= 0 ? cur.regs[valueReg]! : null;
  const minOff = sminOf(ptr) + off;
  const maxOff = smaxOf(ptr) + off + size;
  const writesZero =
    value !== null ? isNullScalar(value) : isStoreImm(env.slots.op[insnIdx]!) && env.slots.imm[insnIdx] === 0;
  let zeroUsed = false;

  for (let i = minOff; i < maxOff; i++) destroyIfDynptrSlot(env, frame, spiOf(i));
  checkFastcallStackContract(env, frame, insnIdx, minOff);

  for (let i = minOff; i < maxOff; i++) {
    const spi = spiOf(i);
    const byte = byteOf(i);
    const old = frame.stack[spi]!;
    const type = old.typeAt(byte);
    env.markSlotScratched(spi);

    if (!env.allowPtrLeaks && type !== STACK_MISC && type !== STACK_ZERO) {
      // The kernel's message has no newline; the statistics follow on the same line.
      env.verbose(`spilled ptr in range of var-offset stack write; insn ${insnIdx}, ptr off: ${i}`);
      env.reject(EINVAL, "");
    }
    // A zero over a spilled zero changes nothing.
    if (writesZero && type === STACK_SPILL && isSpilledScalar(old) && isNullScalar(old.spilled)) {
      zeroUsed = true;
      continue;
    }
    const slot = scrubSpecialSlot(frame, spi);
    let newType = STACK_MISC;
    if (writesZero && slot.typeAt(byte) === STACK_ZERO) {
      newType = STACK_ZERO;
      zeroUsed = true;
    }
    if (slot.typeAt(byte) === STACK_INVALID && !env.allowUninitStack) {
      env.verbose(
        `uninit stack in range of var-offset write prohibited for !root; insn ${insnIdx}, off: ${i}`,
      );
      env.reject(EINVAL, "");
    }
    slot.setType(byte, newType);
  }
  if (zeroUsed && valueReg >= 0) markChainPrecision(env, valueReg);
}

/** mark_reg_stack_read(): R`dst` holds what bytes `minOff` to `maxOff` hold, of which only "all zero" is worth knowing. */
function markRegStackRead(env: Env, from: FuncState, minOff: number, maxOff: number, dst: number): void {
  let zero = true;
  for (let i = minOff; i < maxOff; i++) {
    const spi = spiOf(i);
    env.markSlotScratched(spi);
    if (from.stack[spi]!.typeAt(byteOf(i)) !== STACK_ZERO) {
      zero = false;
      break;
    }
  }
  if (zero) markRegConstZero(env, env.frame, dst);
  else markRegUnknown(env, env.frame, dst);
}

/** Whether a load may read a byte of this kind that no register was spilled to. */
function readableByte(env: Env, type: number): boolean {
  return type === STACK_MISC || type === STACK_ZERO || (type === STACK_INVALID && env.allowUninitStack);
}

function checkStackReadFixedOff(env: Env, from: FuncState, off: number, size: number, dst: number): void {
  const cur = env.frame;
  const spi = spiOf(off);
  const slot = from.stack[spi]!;
  env.markSlotScratched(spi);
  checkFastcallStackContract(env, cur, env.insnIdx, off);
  env.stackLiveness?.markRead(env, from.frameno, env.insnIdx, spi);

  if (!isSpilledReg(slot)) {
    for (let i = 0; i < size; i++)
      if (!readableByte(env, slot.typeAt(byteOf(off + i))))
        env.reject(EACCES, `invalid read from stack off ${off}+${i} size ${size}`);
    if (dst >= 0) markRegStackRead(env, from, off, off + size, dst);
    return;
  }

  let reg = slot.spilled;
  let spillSize = 1;
  for (let i = BPF_REG_SIZE - 1; i > 0 && slot.typeAt(i - 1) === STACK_SPILL; i--) spillSize++;
  const assignIds = env.bpfCapable && env.fillAssignsIds;

  if (size !== BPF_REG_SIZE || spillSize !== BPF_REG_SIZE) {
    if (reg.type !== SCALAR_VALUE) {
      verboseLineInfo(env, env.insnIdx, "; ");
      env.reject(EACCES, "invalid size of register fill");
    }
    if (dst < 0) return;
    if (size <= spillSize && off % BPF_REG_SIZE === 0) {
      const { subregDef } = cur.regs[dst]!;
      if (assignIds && size === 4 && spillSize === 4 && regWidth(reg) <= 32 && wantsScalarId(reg)) {
        reg = from.ownSpilled(spi);
        assignScalarIdBeforeMov(env, reg);
      }
      cur.copyReg(dst, reg, from.isSlotPrecise(spi));
      const own = cur.own(dst);
      own.subregDef = subregDef;
      // The loaded number is part of the spilled one: not the same.
      if (regWidth(reg) > size * 8) clearScalarId(own);
    } else {
      let spilled = 0;
      let zeros = 0;
      for (let i = 0; i < size; i++) {
        const type = slot.typeAt(byteOf(off + i));
        if (type === STACK_SPILL) spilled++;
        else if (type === STACK_ZERO) zeros++;
        else if (!readableByte(env, type))
          env.reject(EACCES, `invalid read from stack off ${off}+${i} size ${size}`);
      }
      if (spilled === size && isNullScalar(reg)) {
        markRegConstZero(env, cur, dst);
      } else {
        if (zeros === size) markRegConstZero(env, cur, dst);
        else markRegUnknown(env, cur, dst);
        return;
      }
    }
  } else if (dst >= 0) {
    if (assignIds && wantsScalarId(reg)) {
      reg = from.ownSpilled(spi);
      assignScalarIdBeforeMov(env, reg);
    }
    cur.copyReg(dst, reg, from.isSlotPrecise(spi));
  } else if (!env.allowPtrLeaks && reg.type !== SCALAR_VALUE) {
    // Atomics read without naming a destination.
    env.reject(EACCES, `leaking pointer from stack off ${off}`);
  }
  pushHistory(env, stackAccessFlags(from.frameno, spi), null);
}

function checkStackReadVarOff(env: Env, ptrReg: number, off: number, size: number, dst: number): void {
  const ptr = env.reg(ptrReg);
  const from = env.state.frames[ptr.frameno]!;
  checkStackRangeInitialized(env, ptrReg, off, size, false, false, true, null);
  const minOff = sminOf(ptr) + off;
  const maxOff = smaxOf(ptr) + off;
  markRegStackRead(env, from, minOff, maxOff + size, dst);
  checkFastcallStackContract(env, from, env.insnIdx, minOff);
}

/** Loads `size` bytes through R`ptrReg` + `off` into R`dst` (-1: nowhere). check_stack_read(). */
export function checkStackRead(env: Env, ptrReg: number, off: number, size: number, dst: number): void {
  const ptr = env.reg(ptrReg);
  if (!isConst(ptr)) {
    if (dst < 0)
      env.reject(
        EACCES,
        `variable offset stack pointer cannot be passed into helper function; var_off=${varOffText(ptr)} off=${off} size=${size}`,
      );
    checkStackReadVarOff(env, ptrReg, off, size, dst);
    return;
  }
  checkStackReadFixedOff(env, env.state.frames[ptr.frameno]!, off + ptr.valueLo, size, dst);
}

/** Stores `size` bytes of R`valueReg` (-1: an immediate, or what an atomic makes) through R`ptrReg` + `off`. check_stack_write(). */
export function checkStackWrite(
  env: Env,
  ptrReg: number,
  off: number,
  size: number,
  valueReg: number,
  insnIdx: number,
): void {
  const ptr = env.reg(ptrReg);
  const frame = env.state.frames[ptr.frameno]!;
  if (isConst(ptr)) checkStackWriteFixedOff(env, frame, off + ptr.valueLo, size, valueReg, insnIdx);
  else checkStackWriteVarOff(env, frame, ptrReg, off, size, valueReg, insnIdx);
}

/** Only the spills around a fastcall may use its part of the stack; else they stay. check_fastcall_stack_contract(). */
export function checkFastcallStackContract(env: Env, frame: FuncState, insnIdx: number, off: number): void {
  const subprog = env.subprogs[frame.subprogno]!;
  if (subprog.fastcallStackOff <= off || env.aux[insnIdx]!.fastcallPattern !== 0) return;
  dropFastcallPatterns(env, subprog);
}
