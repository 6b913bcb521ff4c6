/**
 * Contexts as tables: which bytes a program may read and write, with which sizes, and what a load gives. One table
 * answers is_valid_access() of its program types; bytes that no row covers are out of bounds.
 */
import type { Btf } from "../../btf/index.ts";
import { SCALAR_VALUE } from "../state/reg-type.ts";
import type { RetvalRange } from "../state/state.ts";

/** What a legal access to the context gives, whatever describes it: struct bpf_insn_access_aux. */
export interface CtxAccessInfo {
  regType: number;
  btf: Btf | null;
  btfId: number;
  refObjId: number;
  /** The value is what the attached function returned. */
  isRetval: boolean;
  /** ...and its range is known. */
  retval: RetvalRange | null;
  fieldSize: number;
}

/** What a table says of a legal access. */
export interface CtxInfo {
  regType: number;
  /** Width of the field that a narrower load lies in, 0: the load is done as it is. */
  fieldSize: number;
}

export interface Field {
  /** First byte, and one past the last. */
  readonly at: number;
  readonly end: number;
  /** Sizes that loads may have, as a bit set of the sizes themselves (1 | 2 | 4 | 8). */
  readonly read: number;
  /** Likewise for stores. */
  readonly write: number;
  readonly fieldSize: number;
  readonly regType: number;
  /** Of a union or array whose parts may be read two at once: 8-byte accesses at multiples of 8 inside [at, end). */
  readonly wide: boolean;
  /** Accesses must begin at `at`, not inside. */
  readonly exact: boolean;
}

interface FieldOptions {
  write?: number;
  regType?: number;
  wide?: boolean;
  exact?: boolean;
}

const NARROW = { 1: 1, 2: 3, 4: 7, 8: 15 } as const;

/** A field that narrower loads may read part of. */
export function narrow(at: number, end: number, size: 1 | 2 | 4 | 8, more: FieldOptions = {}): Field {
  return { ...fixed(at, end, NARROW[size], more), fieldSize: size };
}

/** A field that is loaded in these sizes only. */
export function fixed(at: number, end: number, sizes: number, more: FieldOptions = {}): Field {
  const { write = 0, regType = SCALAR_VALUE, wide = false, exact = false } = more;
  return { at, end, read: sizes, write, fieldSize: 0, regType, wide, exact };
}

/** A pointer of eight bytes, or one that the UAPI shows as four (`size`). */
export function pointer(at: number, size: 4 | 8, regType: number): Field {
  return fixed(at, at + size, size, { regType });
}

/** Looks an access up; null: not allowed. Sign extension cannot make a pointer. */
export function fieldAccess(
  fields: readonly Field[],
  off: number,
  size: number,
  write: boolean,
  signed: boolean,
): CtxInfo | null {
  if (off < 0 || off % size !== 0) return null;
  for (const f of fields) {
    if (off < f.at || off >= f.end) continue;
    if (f.exact && off !== f.at) return null;
    if (f.wide && size === 8) {
      if (off + 8 > f.end || (write && f.write === 0)) return null;
      return { regType: f.regType, fieldSize: 0 };
    }
    if (((write ? f.write : f.read) & size) === 0) return null;
    if (f.regType !== SCALAR_VALUE && signed && size === 4) return null;
    return { regType: f.regType, fieldSize: write ? 0 : f.fieldSize };
  }
  return null;
}
