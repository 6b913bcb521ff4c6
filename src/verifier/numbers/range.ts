/** Bounds of a register as numbers. Beyond 2^53 they are rounded: good for comparing with small limits, not for more. */

import type { RegState } from "../state/reg.ts";
import { toNumberS64, toNumberU64 } from "./int64.ts";

export function sminOf(reg: RegState): number {
  return toNumberS64(reg.sminLo, reg.sminHi);
}

export function smaxOf(reg: RegState): number {
  return toNumberS64(reg.smaxLo, reg.smaxHi);
}

export function uminOf(reg: RegState): number {
  return toNumberU64(reg.uminLo, reg.uminHi);
}

export function umaxOf(reg: RegState): number {
  return toNumberU64(reg.umaxLo, reg.umaxHi);
}
