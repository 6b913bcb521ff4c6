/** Whether an access to the stack stays inside it, and whether all it reads was written. */
import { EACCES, EFAULT, EINVAL } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { BPF_MAX_VAR_OFF } from "../limits.ts";
import { varOffText } from "../log/text.ts";
import { smaxOf, sminOf } from "../numbers/range.ts";
import { isConst } from "../state/reg.ts";
import { markUnknown } from "../state/reg-ops.ts";
import { SCALAR_VALUE } from "../state/reg-type.ts";
import { growStack, isSpilledReg, scrubSlot, spiOf } from "../state/stack-slots.ts";
import { MAX_BPF_STACK, STACK_DYNPTR, STACK_INVALID, STACK_MISC, STACK_ZERO } from "../state/state.ts";

/** What a helper call remembers of a memory argument that the helper fills in: struct bpf_call_arg_meta. */
export interface RawMode {
  rawMode: boolean;
  accessSize: number;
  regno: number;
}

/**
 * check_stack_access_within_bounds(). `direct`: by a load or store, not by a helper.
 * Grows the frame's stack to what is accessed.
 */
export function checkStackAccessWithinBounds(
  env: Env,
  regno: number,
  off: number,
  size: number,
  direct: boolean,
  write: boolean,
): void {
  const reg = env.reg(regno);
  const frame = env.state.frames[reg.frameno]!;
  // Before 6.14, an access by a helper was neither a read nor a write.
  const kind =
    !direct && !env.profile.rules.has("helper-mem-access-type")
      ? " indirect access to"
      : write
        ? " write to"
        : " read from";
  let minOff: number;
  let maxOff: number;
  const fixed = isConst(reg);
  if (fixed) {
    minOff = sminOf(reg) + off;
    maxOff = minOff + size;
  } else {
    if (smaxOf(reg) >= BPF_MAX_VAR_OFF || sminOf(reg) <= -BPF_MAX_VAR_OFF)
      env.reject(EACCES, `invalid unbounded variable-offset${kind} stack R${regno}`);
    minOff = sminOf(reg) + off;
    maxOff = smaxOf(reg) + off + size;
  }
  // What was never written may be read by who may read uninitialised stack.
  const lowest = write || env.allowUninitStack ? -MAX_BPF_STACK : -frame.allocatedStack;
  let errno = 0;
  if (minOff < lowest || minOff > -1) errno = EACCES;
  else if (maxOff > 0) errno = EINVAL;
  else if (size < 0) errno = EFAULT;
  if (errno !== 0)
    env.reject(
      errno,
      fixed
        ? `invalid${kind} stack R${regno} off=${off} size=${size}`
        : `invalid variable-offset${kind} stack R${regno} var_off=${varOffText(reg)} off=${off} size=${size}`,
    );
  growStack(env, frame, -minOff);
}

/**
 * Every byte that may be accessed through R`regno` + `off` can be read; a helper that writes (`write`) leaves unknown
 * bytes. `meta`, if it asks for raw mode: the helper fills the memory in, nothing needs to be there before.
 * check_stack_range_initialized().
 */
export function checkStackRangeInitialized(
  env: Env,
  regno: number,
  off: number,
  size: number,
  zeroSizeAllowed: boolean,
  write: boolean,
  direct: boolean,
  meta: RawMode | null,
): void {
  const reg = env.reg(regno);
  const frame = env.state.frames[reg.frameno]!;
  const typed = env.profile.rules.has("helper-mem-access-type");
  const kind = direct || typed ? "" : " indirect";
  if (size === 0 && !zeroSizeAllowed) env.reject(EACCES, "invalid zero-sized read");
  const clobber = typed ? write : !direct;
  checkStackAccessWithinBounds(env, regno, off, size, direct, typed ? write : !direct);

  const fixed = isConst(reg);
  let raw = meta?.rawMode ? meta : null;
  if (!fixed) {
    if (!env.bypassSpecV1)
      env.reject(
        EACCES,
        `R${regno}${kind} variable offset stack access prohibited for !root, var_off=${varOffText(reg)}`,
      );
    // Where it will be written is not known, so the stack must be initialised all the same.
    raw = null;
  }
  const minOff = sminOf(reg) + off;
  const end = (fixed ? minOff : smaxOf(reg) + off) + size;

  if (raw !== null) {
    for (let i = minOff; i < end; i++) {
      const spi = spiOf(i);
      const slot = frame.stack[spi];
      if (slot !== undefined && slot.typeAt((-i - 1) & 7) === STACK_DYNPTR)
        env.reject(EACCES, `potential write to dynptr at off=${i} disallowed`);
    }
    raw.accessSize = size;
    raw.regno = regno;
    return;
  }

  for (let i = minOff; i < end; i++) {
    const spi = spiOf(i);
    const slot = frame.stack[spi]!;
    const byte = (-i - 1) & 7;
    const type = slot.typeAt(byte);
    if (type !== STACK_MISC) {
      if (type === STACK_ZERO || (type === STACK_INVALID && env.allowUninitStack)) {
        if (clobber) frame.ownSlot(spi).setType(byte, STACK_MISC);
      } else if (isSpilledReg(slot) && (slot.spilled.type === SCALAR_VALUE || env.allowPtrLeaks)) {
        if (clobber) {
          markUnknown(frame.ownSpilled(spi));
          frame.setSlotPrecise(spi, !env.bpfCapable);
          scrubSlot(frame.stack[spi]!);
        }
      } else {
        env.reject(
          EACCES,
          fixed
            ? `invalid${kind} read from stack R${regno} off ${minOff}+${i - minOff} size ${size}`
            : `invalid${kind} read from stack R${regno} var_off ${varOffText(reg)}+${i - minOff} size ${size}`,
        );
      }
    }
    env.stackLiveness?.markRead(env, reg.frameno, env.insnIdx, spi);
  }
}
