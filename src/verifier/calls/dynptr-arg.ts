/** A dynptr passed to a helper, a kfunc or a global function: process_dynptr_func(). */
import { EFAULT, EINVAL } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { dynptrTypeStr } from "../log/type-names.ts";
import { checkMemAccess } from "../memory/mem-access.ts";
import {
  argToDynptrType,
  BPF_DYNPTR_SIZE,
  dynptrSpi,
  isDynptrInit,
  isDynptrTypeExpected,
  isDynptrUninit,
  markDynptrSlots,
} from "../state/dynptr.ts";
import { CONST_PTR_TO_DYNPTR, MEM_RDONLY, MEM_UNINIT, PTR_TO_STACK } from "../state/reg-type.ts";

/** MEM_UNINIT: it will be made there. MEM_RDONLY: it will not be changed or released. */
export function processDynptr(
  env: Env,
  regno: number,
  insnIdx: number,
  argType: number,
  cloneRefObjId: number,
): void {
  const reg = env.reg(regno);
  if (reg.type !== PTR_TO_STACK && reg.type !== CONST_PTR_TO_DYNPTR)
    env.reject(EINVAL, `arg#${regno - 1} expected pointer to stack or const struct bpf_dynptr`);
  if ((argType & (MEM_UNINIT | MEM_RDONLY)) === (MEM_UNINIT | MEM_RDONLY))
    env.reject(EFAULT, "verifier internal error: misconfigured dynptr helper type flags");
  if ((argType & MEM_UNINIT) !== 0) {
    if (!isDynptrUninit(env, reg)) env.reject(EINVAL, "Dynptr has to be an uninitialized dynptr");
    for (let i = 0; i < BPF_DYNPTR_SIZE; i += 8)
      checkMemAccess(env, insnIdx, regno, i, 8, true, -1, false, false);
    markDynptrSlots(env, reg, argType, insnIdx, cloneRefObjId);
    return;
  }
  if (reg.type === CONST_PTR_TO_DYNPTR && (argType & MEM_RDONLY) === 0)
    env.reject(EINVAL, "cannot pass pointer to const bpf_dynptr, the helper mutates it");
  if (!isDynptrInit(env, reg)) env.reject(EINVAL, `Expected an initialized dynptr as arg #${regno - 1}`);
  if (!isDynptrTypeExpected(env, reg, argType & ~MEM_RDONLY))
    env.reject(
      EINVAL,
      `Expected a dynptr of type ${dynptrTypeStr(argToDynptrType(argType))} as arg #${regno - 1}`,
    );
  if (reg.type === CONST_PTR_TO_DYNPTR) return;
  const spi = dynptrSpi(env, reg);
  for (const i of [spi, spi - 1]) {
    env.markSlotScratched(i);
    env.stackLiveness?.markRead(env, reg.frameno, insnIdx >= 0 ? insnIdx : env.insnIdx, i);
  }
}
