/** What is learnt of a call while its arguments are checked: struct bpf_call_arg_meta. */
import type { Btf } from "../../btf/index.ts";
import type { BtfField } from "../btf/btf-record.ts";
import type { MapDescription } from "../map-description.ts";
import type { SizeMeta } from "./helper-mem.ts";

export interface CallMeta extends SizeMeta {
  readonly funcId: number;
  readonly pktAccess: boolean;
  map: MapDescription | null;
  mapUid: number;
  /** Argument register whose reference is released, or 0. */
  releaseRegno: number;
  refObjId: number;
  dynptrId: number;
  memSize: number;
  retBtf: Btf | null;
  retBtfId: number;
  subprogno: number;
  kptrField: BtfField | null;
  /** Value of a key on the stack, -1: not known. */
  constMapKey: number;
}

export function newCallMeta(funcId: number, pktAccess: boolean): CallMeta {
  return {
    funcId,
    pktAccess,
    rawMode: false,
    accessSize: 0,
    regno: 0,
    sizeMax: 0n,
    map: null,
    mapUid: 0,
    releaseRegno: 0,
    refObjId: 0,
    dynptrId: 0,
    memSize: 0,
    retBtf: null,
    retBtfId: 0,
    subprogno: 0,
    kptrField: null,
    constMapKey: -1,
  };
}
