/** Constant strings in read-only maps, and format strings of printing helpers: check_reg_const_str(), bpf_bprintf_prepare(). */
import { BPF_F_RDONLY_PROG, BPF_MAP_TYPE_ARRAY, EACCES, EINVAL } from "../uapi/index.ts";
import type { Env } from "./env.ts";
import type { MapDescription } from "./map-description.ts";
import { checkMapAccess } from "./mem-region.ts";
import { isConst, type RegState } from "./reg.ts";
import { PTR_TO_MAP_VALUE } from "./reg-type.ts";

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

/** Whether `format` fits `args` values: true = bpf_bprintf_prepare() takes it. */
export function isFormatOk(format: string, args: number): boolean {
  const printable = (c: string): boolean => /^[\x09-\x0d\x20-\x7e]$/.test(c);
  let used = 0;
  for (let i = 0; i < format.length; i++) {
    const at = (k: number): string => format[k] ?? "";
    if (!printable(at(i))) return false;
    if (at(i) !== "%") continue;
    if (at(i + 1) === "%") {
      i++;
      continue;
    }
    if (used >= args) return false;
    // Flags, width (no precision), then what to print.
    i++;
    while (/^[0\-+ #]$/.test(at(i))) i++;
    if (/^[1-9]$/.test(at(i))) while (/^[0-9]$/.test(at(i))) i++;
    const ends = (k: number): boolean => {
      const c = at(k);
      return c === "" || /^[\s!-/:-@[-`{-~]$/.test(c);
    };
    if (at(i) === "p") {
      const next = at(i + 1);
      if ((next === "k" || next === "u") && at(i + 2) === "s") i += 2;
      else if (next === "K" || next === "x" || next === "s" || next === "S") i++;
      else if (next === "B") i++;
      else if ((next === "i" || next === "I") && (at(i + 2) === "4" || at(i + 2) === "6")) i += 2;
      else if (!ends(i + 1)) return false;
    } else if (at(i) === "s" || at(i) === "c") {
      // One of them.
    } else {
      if (at(i) === "l") i++;
      if (at(i) === "l") i++;
      if (!/^[iduxX]$/.test(at(i))) return false;
    }
    used++;
  }
  return true;
}
