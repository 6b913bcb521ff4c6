/** Numbers in messages, as printf prints them. */
import { toU64 } from "../numbers/int64.ts";
import type { RegState } from "../state/reg.ts";

/** %#llx; the kernel's printf gives zero its prefix too. */
export function hexAlt(value: bigint): string {
  return `0x${value.toString(16)}`;
}

/** tnum_strn() of a register's value or variable offset: "(0x10; 0xff)", a constant as a number. */
export function varOffText(reg: RegState): string {
  if ((reg.maskLo | reg.maskHi) === 0) {
    const value = toU64(reg.valueLo, reg.valueHi);
    return value <= 0xffffn ? String(value) : hexAlt(value);
  }
  return `(${hexAlt(toU64(reg.valueLo, reg.valueHi))}; ${hexAlt(toU64(reg.maskLo, reg.maskHi))})`;
}
