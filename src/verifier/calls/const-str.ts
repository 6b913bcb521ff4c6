/** Constant strings in read-only maps, and format strings of printing helpers: check_reg_const_str(), bpf_bprintf_prepare(). */
import { BPF_F_RDONLY_PROG, BPF_MAP_TYPE_ARRAY, EACCES, EINVAL } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import type { MapDescription } from "../map-description.ts";
import { checkMapAccess } from "../memory/mem-region.ts";
import { isConst, type RegState } from "../state/reg.ts";
import { PTR_TO_MAP_VALUE } from "../state/reg-type.ts";

/** bpf_map_is_rdonly(). */
function isReadOnly(map: MapDescription): boolean {
  return (map.flags & BPF_F_RDONLY_PROG) !== 0 && map.frozen;
}

/** R`regno` points at a string that cannot change. */
export function checkConstStr(env: Env, regno: number): void {
  const reg = env.reg(regno);
  const { map } = reg;
  if (reg.type !== PTR_TO_MAP_VALUE || map === null) return env.reject(EINVAL, "");
  if (!isReadOnly(map)) env.reject(EACCES, `R${regno} does not point to a readonly map'`);
  if (!isConst(reg)) env.reject(EACCES, `R${regno} is not a constant address'`);
  if (map.type !== BPF_MAP_TYPE_ARRAY || map.maxEntries !== 1)
    env.reject(EACCES, "no direct value access support for this map type");
  checkMapAccess(env, regno, reg.off, map.valueSize - reg.off, false, false);
  if (map.contents === null) return;
  const off = reg.off + reg.valueLo;
  if (!map.contents.subarray(off).includes(0)) env.reject(EINVAL, "string is not zero-terminated");
}

/** The string that `reg` points at, after checkConstStr(); null: its contents are not known. */
export function constStr(reg: RegState): string | null {
  const contents = reg.map?.contents ?? null;
  if (contents === null) return null;
  const off = reg.off + reg.valueLo;
  const end = contents.indexOf(0, off);
  return String.fromCharCode(...contents.subarray(off, end));
}

const PRINTABLE = /^[\t-\r -~]*$/;
const DIGIT = /^[0-9]$/;
/** Nothing, space or punctuation: where a conversion of pointers and strings may end. */
const ENDS = /^(|[\t-\r -/:-@[-`{-~])$/;
/** Conversions of `%p`: symbols and addresses; IPv4 and IPv6 addresses. */
const POINTER = /^[KxsSB]/;
const IP = /^[iI][46]/;

/** Whether `format` can be printed with `args` values: bpf_bprintf_prepare(). */
export function isFormatOk(format: string, args: number): boolean {
  if (!PRINTABLE.test(format)) return false;
  const at = (k: number): string => format[k] ?? "";
  let used = 0;
  for (let i = 0; i < format.length; i++) {
    if (at(i) !== "%") continue;
    if (at(i + 1) === "%") {
      i++;
      continue;
    }
    if (used++ >= args) return false;
    i++;
    while ("0+- ".includes(at(i)) && at(i) !== "") i++;
    if (at(i) !== "0") while (DIGIT.test(at(i))) i++;
    let string = at(i) === "s";
    if (at(i) === "p") {
      const rest = format.slice(i + 1);
      if (ENDS.test(at(i + 1))) continue;
      string = rest.startsWith("ks") || rest.startsWith("us");
      if (string || IP.test(rest)) i += 2;
      else if (POINTER.test(rest)) i++;
      else return false;
      if (!string) continue;
    }
    if (string) {
      if (!ENDS.test(at(i + 1))) return false;
      continue;
    }
    if (at(i) === "c") continue;
    if (at(i) === "l") i++;
    if (at(i) === "l") i++;
    if (!"iduxX".includes(at(i)) || at(i) === "") return false;
  }
  return true;
}
