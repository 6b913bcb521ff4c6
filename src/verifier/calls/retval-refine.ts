/** A helper's result is known to lie in a range: do_refine_retval_range(). */
import { boundsSync, lowerS32Max, setS64, setU64 } from "../numbers/bounds.ts";
import type { RegState } from "../state/reg.ts";

const lo = (v: bigint): number => Number(BigInt.asIntN(32, v));
const high = (v: bigint): number => Number(BigInt.asIntN(32, v >> 32n));

/** `reg` is between `min` (at most 0) and `max`. */
export function refineReturn(reg: RegState, min: bigint, max: bigint): void {
  setS64(reg, lo(min), high(min), lo(max), high(max));
  reg.s32Min = lo(min);
  lowerS32Max(reg, lo(max));
  if (min >= 0n) {
    setU64(reg, lo(min), high(min), lo(max), high(max));
    reg.u32Min = lo(min);
    reg.u32Max = lo(max);
  }
  boundsSync(reg);
}
