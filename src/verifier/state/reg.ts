/**
 * One register (or spilled register): struct bpf_reg_state of include/linux/bpf_verifier.h.
 *
 * 64-bit quantities are pairs of int32 (`Hi`, `Lo`): V8 keeps int32 fields as small integers, while a BigInt costs ten
 * times as much an operation. Unsigned quantities are stored as int32 too; read them with `>>> 0`.
 *
 * A RegState may be shared by many states, frames and stack slots. Nobody writes to one that is `shared`: take it
 * through FuncState.own() or ownSpilled(), which clone where needed. That is what makes copying a state cheap.
 * `precise` is not here but in FuncState (a bit per register and slot), because marking an ancestor must not mark its
 * descendants.
 */
import type { Btf } from "../../btf/index.ts";
import type { MapDescription } from "../map-description.ts";
import { NOT_INIT, SCALAR_VALUE } from "./reg-type.ts";

export class RegState {
  shared = false;
  /** reg-type.ts: base type and flags. */
  type: number = NOT_INIT;
  /** Fixed part of a pointer's offset (s32). */
  off = 0;

  // What follows depends on the type.
  /** PTR_TO_PACKET*: bytes known to be accessible. AT_PKT_END (-1), BEYOND_PKT_END (-2) while comparing. */
  range = 0;
  /** CONST_PTR_TO_MAP, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE. */
  map: MapDescription | null = null;
  /** Tells two lookups of an inner map apart. */
  mapUid = 0;
  /** PTR_TO_BTF_ID, and iterator slots: the type. */
  btf: Btf | null = null;
  btfId = 0;
  /** PTR_TO_MEM: its size in bytes (u32). */
  memSize = 0;
  /** Dynptr slots and CONST_PTR_TO_DYNPTR: BPF_DYNPTR_TYPE_*, and whether this is the first of the two slots. */
  dynptrType = 0;
  dynptrFirstSlot = false;
  /** PTR_TO_MEM: the dynptr that this is a slice of. */
  dynptrId = 0;
  /** Iterator slots: BPF_ITER_STATE_*, and how often its next() was called. */
  iterState = 0;
  iterDepth = 0;
  /** IRQ flag slots: which kfunc class saved it. */
  irqClass = 0;
  /** PTR_TO_FUNC. */
  subprogno = 0;

  /** Scalars: value[i] = this | unknown bits of mask (tnum). Pointers: the variable part of the offset. */
  valueLo = 0;
  valueHi = 0;
  maskLo = 0;
  maskHi = 0;
  sminLo = 0;
  sminHi = 0;
  smaxLo = 0;
  smaxHi = 0;
  uminLo = 0;
  uminHi = 0;
  umaxLo = 0;
  umaxHi = 0;
  s32Min = 0;
  s32Max = 0;
  u32Min = 0;
  u32Max = 0;

  /** Links registers: same value (scalars), same lookup (map values), same packet pointer. BPF_ADD_CONST is a bit of it. */
  id = 0;
  /** Scalars with BPF_ADD_CONST in `id`: the constant (6.12+ uses `off` for it). */
  /** The acquired reference that this pointer belongs to. */
  refObjId = 0;
  /** PTR_TO_STACK: whose frame. */
  frameno = 0;
  /** Slot index (0-based insn) that wrote the low half last, + 1; 0: no need for zero extension (struct's subreg_def). */
  subregDef = 0;

  /** Unshared copy. */
  clone(): RegState {
    return new RegState().assign(this);
  }

  /** Takes over everything but `shared`. */
  assign(from: RegState): this {
    this.type = from.type;
    this.off = from.off;
    this.range = from.range;
    this.map = from.map;
    this.mapUid = from.mapUid;
    this.btf = from.btf;
    this.btfId = from.btfId;
    this.memSize = from.memSize;
    this.dynptrType = from.dynptrType;
    this.dynptrFirstSlot = from.dynptrFirstSlot;
    this.dynptrId = from.dynptrId;
    this.iterState = from.iterState;
    this.iterDepth = from.iterDepth;
    this.irqClass = from.irqClass;
    this.subprogno = from.subprogno;
    this.valueLo = from.valueLo;
    this.valueHi = from.valueHi;
    this.maskLo = from.maskLo;
    this.maskHi = from.maskHi;
    this.sminLo = from.sminLo;
    this.sminHi = from.sminHi;
    this.smaxLo = from.smaxLo;
    this.smaxHi = from.smaxHi;
    this.uminLo = from.uminLo;
    this.uminHi = from.uminHi;
    this.umaxLo = from.umaxLo;
    this.umaxHi = from.umaxHi;
    this.s32Min = from.s32Min;
    this.s32Max = from.s32Max;
    this.u32Min = from.u32Min;
    this.u32Max = from.u32Max;
    this.id = from.id;
    this.refObjId = from.refObjId;
    this.frameno = from.frameno;
    this.subregDef = from.subregDef;
    return this;
  }
}

/** tnum_is_const(reg->var_off). */
export function isConst(reg: RegState): boolean {
  return (reg.maskLo | reg.maskHi) === 0;
}

/** register_is_null(). */
export function isNullScalar(reg: RegState): boolean {
  return reg.type === SCALAR_VALUE && (reg.maskLo | reg.maskHi) === 0 && (reg.valueLo | reg.valueHi) === 0;
}
