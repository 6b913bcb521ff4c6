/** Slots of a frame's stack: which kind they are of, growing, spilling a register into one. */
import type { Env } from "../env.ts";
import { RegState } from "./reg.ts";
import {
  baseType,
  CONST_PTR_TO_MAP,
  PTR_TO_ARENA,
  PTR_TO_BTF_ID,
  PTR_TO_BUF,
  PTR_TO_CTX,
  PTR_TO_FLOW_KEYS,
  PTR_TO_FUNC,
  PTR_TO_INSN,
  PTR_TO_MAP_KEY,
  PTR_TO_MAP_VALUE,
  PTR_TO_MEM,
  PTR_TO_PACKET,
  PTR_TO_PACKET_END,
  PTR_TO_PACKET_META,
  PTR_TO_SOCK_COMMON,
  PTR_TO_SOCKET,
  PTR_TO_STACK,
  PTR_TO_TCP_SOCK,
  PTR_TO_XDP_SOCK,
  SCALAR_VALUE,
} from "./reg-type.ts";
import {
  BPF_REG_SIZE,
  type FuncState,
  STACK_DYNPTR,
  STACK_INVALID,
  STACK_IRQ_FLAG,
  STACK_ITER,
  STACK_MISC,
  STACK_SPILL,
  STACK_ZERO,
  StackSlot,
} from "./state.ts";

const nothing = new RegState();
nothing.shared = true;
const untouched = new StackSlot(0, nothing);
untouched.shared = true;

/** The slot that the byte at `off` (negative, from the frame pointer) lies in. __get_spi(). */
export function spiOf(off: number): number {
  return ((-off - 1) / BPF_REG_SIZE) | 0;
}

/** The stack reaches down to `-size` from now on. grow_stack_state(). */
export function growStack(env: Env, frame: FuncState, size: number): void {
  const rounded = (size + BPF_REG_SIZE - 1) & -BPF_REG_SIZE;
  if (frame.allocatedStack >= rounded) return;
  while (frame.stack.length * BPF_REG_SIZE < rounded) frame.stack.push(untouched);
  frame.allocatedStack = rounded;
  const subprog = env.subprogs[frame.subprogno]!;
  if (subprog.stackDepth < rounded) subprog.stackDepth = rounded;
}

/** Kinds of pointers that keep what they are on the stack. is_spillable_regtype(). */
const SPILLABLE: ReadonlySet<number> = new Set([
  PTR_TO_MAP_VALUE,
  PTR_TO_STACK,
  PTR_TO_CTX,
  PTR_TO_PACKET,
  PTR_TO_PACKET_META,
  PTR_TO_PACKET_END,
  PTR_TO_FLOW_KEYS,
  CONST_PTR_TO_MAP,
  PTR_TO_SOCKET,
  PTR_TO_SOCK_COMMON,
  PTR_TO_TCP_SOCK,
  PTR_TO_XDP_SOCK,
  PTR_TO_BTF_ID,
  PTR_TO_BUF,
  PTR_TO_MEM,
  PTR_TO_FUNC,
  PTR_TO_MAP_KEY,
  PTR_TO_ARENA,
  PTR_TO_INSN,
]);

export function isSpillableType(type: number): boolean {
  return SPILLABLE.has(baseType(type));
}

/** Something was spilled here: the highest byte says so. is_spilled_reg(). */
export function isSpilledReg(slot: StackSlot): boolean {
  return slot.types >>> 28 === STACK_SPILL;
}

/** is_spilled_scalar_reg(). */
export function isSpilledScalar(slot: StackSlot): boolean {
  return isSpilledReg(slot) && slot.spilled.type === SCALAR_VALUE;
}

/** is_spilled_scalar_reg64(). */
export function isSpilledScalar64(slot: StackSlot): boolean {
  return (slot.types & 15) === STACK_SPILL && slot.spilled.type === SCALAR_VALUE;
}

/** A dynptr, an iterator or saved IRQ flags. is_stack_slot_special(), less spills. */
export function holdsObject(slot: StackSlot): boolean {
  const type = slot.types >>> 28;
  return type === STACK_DYNPTR || type === STACK_ITER || type === STACK_IRQ_FLAG;
}

/** is_stack_slot_special(). */
export function isSpecialSlot(slot: StackSlot): boolean {
  return isSpilledReg(slot) || holdsObject(slot);
}

/** Kind of a byte beside a spill: what is known to be zero stays, what was never written stays unless that leaks. mark_stack_slot_misc(). */
function besideSpill(env: Env, type: number): number {
  if (type === STACK_ZERO) return type;
  if (env.allowPtrLeaks && type === STACK_INVALID) return type;
  return STACK_MISC;
}

/** Every byte that was written is just a byte now. scrub_spilled_slot() for all eight; the slot must be owned. */
export function scrubSlot(slot: StackSlot): void {
  for (let i = 0; i < BPF_REG_SIZE; i++) if (slot.typeAt(i) !== STACK_INVALID) slot.setType(i, STACK_MISC);
}

/** scrub_special_slot(): no register is spilled in slot `spi` any more. */
export function scrubSpecialSlot(frame: FuncState, spi: number): StackSlot {
  const slot = frame.ownSlot(spi);
  const special = isSpecialSlot(slot);
  slot.spilled = nothing;
  frame.setSlotPrecise(spi, false);
  if (special) scrubSlot(slot);
  return slot;
}

/** Spills `size` bytes of `reg` into slot `spi`. save_register_state(). */
export function saveRegister(
  env: Env,
  frame: FuncState,
  spi: number,
  reg: RegState,
  precise: boolean,
  size: number,
): void {
  const slot = frame.ownSlot(spi);
  reg.shared = true;
  slot.spilled = reg;
  frame.setSlotPrecise(spi, precise);
  let i = BPF_REG_SIZE;
  for (; i > BPF_REG_SIZE - size; i--) slot.setType(i - 1, STACK_SPILL);
  for (; i > 0; i--) slot.setType(i - 1, besideSpill(env, slot.typeAt(i - 1)));
}
