/** What a register holds, as the log shows it: print_reg_state() of kernel/bpf/log.c. */
import { toS64, toU64 } from "../numbers/int64.ts";
import { isConst, type RegState } from "../state/reg.ts";
import {
  baseType,
  CONST_PTR_TO_DYNPTR,
  CONST_PTR_TO_MAP,
  NON_OWN_REF,
  PTR_TO_ARENA,
  PTR_TO_BTF_ID,
  PTR_TO_MAP_KEY,
  PTR_TO_MAP_VALUE,
  PTR_TO_MEM,
  PTR_TO_PACKET,
  PTR_TO_PACKET_META,
  PTR_TO_STACK,
  SCALAR_VALUE,
} from "../state/reg-type.ts";
import { varOffText } from "./text.ts";
import { dynptrTypeStr, regTypeStr } from "./type-names.ts";

const S64_MIN = -(1n << 63n);
const S64_MAX = (1n << 63n) - 1n;
const U64_MAX = (1n << 64n) - 1n;

/** Small numbers are decimal, others hexadecimal: verbose_unum(). */
export function unum(value: bigint): string {
  return value <= 0xffffn ? String(value) : `0x${value.toString(16)}`;
}

/** verbose_snum(). */
export function snum(value: bigint): string {
  return value >= -32768n && value <= 32767n ? String(value) : `0x${BigInt.asUintN(64, value).toString(16)}`;
}

/** In 32-bit bounds that print as hexadecimal, no sign extension. */
function snum32(value: number): bigint {
  return value >= -32768 && value <= 32767 ? BigInt(value) : BigInt(value >>> 0);
}

/** Ranges that say something, equal ones joined ("smin=umin=1"): print_scalar_ranges(). */
function ranges(reg: RegState): string[] {
  const smin = toS64(reg.sminLo, reg.sminHi);
  const smax = toS64(reg.smaxLo, reg.smaxHi);
  const umin = toU64(reg.uminLo, reg.uminHi);
  const umax = toU64(reg.umaxLo, reg.umaxHi);
  const u32Min = BigInt(reg.u32Min >>> 0);
  const u32Max = BigInt(reg.u32Max >>> 0);
  const entries: { name: string; value: bigint; omit: boolean }[] = [
    { name: "smin", value: smin, omit: smin === S64_MIN },
    { name: "smax", value: smax, omit: smax === S64_MAX },
    { name: "umin", value: umin, omit: umin === 0n },
    { name: "umax", value: umax, omit: umax === U64_MAX },
    { name: "smin32", value: snum32(reg.s32Min), omit: reg.s32Min === -0x80000000 },
    { name: "smax32", value: snum32(reg.s32Max), omit: reg.s32Max === 0x7fffffff },
    { name: "umin32", value: u32Min, omit: u32Min === 0n },
    { name: "umax32", value: u32Max, omit: u32Max === 0xffffffffn },
  ];
  const out: string[] = [];
  for (let i = 0; i < entries.length; i++) {
    const a = entries[i]!;
    if (a.omit) continue;
    const signed = a.name[0] === "s";
    const negative = signed && a.value < 0n;
    let text = `${a.name}=`;
    for (let j = i + 2; j < entries.length; j += 2) {
      const b = entries[j]!;
      // The kernel compares the bits, and does not mix negative numbers with positive ones.
      if (b.omit || BigInt.asUintN(64, b.value) !== BigInt.asUintN(64, a.value)) continue;
      if ((b.name[0] === "s" && b.value < 0n) !== negative) continue;
      b.omit = true;
      text += `${b.name}=`;
    }
    out.push(text + (signed ? snum(a.value) : unum(a.value)));
  }
  return out;
}

/** `frameno`: whose register it is. */
export function regText(reg: RegState, frameno: number, precise: boolean): string {
  const t = reg.type;
  const base = baseType(t);
  let text = t === SCALAR_VALUE && precise ? "P" : "";
  if (t === SCALAR_VALUE && isConst(reg)) return text + snum(toS64(reg.valueLo, reg.valueHi));
  text += regTypeStr(t);
  if (t === PTR_TO_ARENA) return text;
  if (t === PTR_TO_STACK) {
    if (frameno !== reg.frameno) text += `[${reg.frameno}]`;
    if (isConst(reg))
      return text + snum(BigInt.asIntN(64, toS64(reg.valueLo, reg.valueHi) + BigInt(reg.off)));
  }
  if (base === PTR_TO_BTF_ID) text += reg.btf?.typeName(reg.btfId) ?? "";
  const parts: string[] = [];
  const addConst = reg.id < 0;
  // BPF_ADD_CONST is the sign bit of the id.
  if (reg.id !== 0)
    parts.push(`id=${reg.id & 0x7fffffff}${addConst ? (reg.off < 0 ? reg.off : `+${reg.off}`) : ""}`);
  if (reg.refObjId !== 0) parts.push(`ref_obj_id=${reg.refObjId}`);
  if ((t & NON_OWN_REF) !== 0) parts.push("non_own_ref");
  if (base === CONST_PTR_TO_MAP || base === PTR_TO_MAP_KEY || base === PTR_TO_MAP_VALUE) {
    if (reg.map?.name) parts.push(`map=${reg.map.name}`);
    parts.push(`ks=${reg.map?.keySize ?? 0},vs=${reg.map?.valueSize ?? 0}`);
  }
  if (t !== SCALAR_VALUE && reg.off !== 0) parts.push(`off=${snum(BigInt(reg.off))}`);
  if (base === PTR_TO_PACKET || base === PTR_TO_PACKET_META)
    parts.push(`r=${unum(BigInt.asUintN(64, BigInt(reg.range)))}`);
  if (base === PTR_TO_MEM) parts.push(`sz=${unum(BigInt(reg.memSize >>> 0))}`);
  if (t === CONST_PTR_TO_DYNPTR) parts.push(`type=${dynptrTypeStr(reg.dynptrType)}`);
  if (isConst(reg)) {
    if ((reg.valueLo | reg.valueHi) !== 0) parts.push(`imm=${snum(toS64(reg.valueLo, reg.valueHi))}`);
  } else {
    parts.push(...ranges(reg));
    if ((reg.maskLo & reg.maskHi) !== -1) parts.push(`var_off=${varOffText(reg)}`);
  }
  return `${text}(${parts.join(",")})`;
}
