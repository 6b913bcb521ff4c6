import { InvalidProgramError } from "../../diag/index.ts";
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_KFUNC_CALL,
} from "../../uapi/index.ts";
import type { DirectCalls, HelperBinding, VmMap } from "../engine.ts";
import { CALL, type DecodedProgram } from "./program.ts";

export const HELPER_MAP_LOOKUP_ELEM = 1;
export const HELPER_MAP_UPDATE_ELEM = 2;
export const HELPER_TAIL_CALL = 12;

/** Is a lookup in this map emitted in place of the call? */
export function isLookupInlined(map: VmMap): boolean {
  return isInlinable(map) || map.hash4 !== undefined;
}

/** Is a lookup in this map an address computation? */
export function isInlinable(map: VmMap): boolean {
  const array = map.type === BPF_MAP_TYPE_ARRAY || map.type === BPF_MAP_TYPE_PERCPU_ARRAY;
  return array && map.keySize === 4 && map.values !== 0;
}

const DIRECT: Readonly<Record<number, keyof DirectCalls>> = { 1: "lookup", 2: "update", 3: "delete" };

/** The core export that does helper `helper` for this very map, if there is one. */
export function directCall(map: VmMap, helper: number): string | undefined {
  const operation = DIRECT[helper];
  return operation && map.direct?.[operation];
}

/** What the CALL at `insn` reaches: a BPF function, or a helper or kfunc with its binding. */
export interface CallSite {
  readonly insn: number;
  /** Index of the BPF function; -1 otherwise. */
  readonly callee: number;
  /** Helper id; -1 for the rest. */
  readonly helper: number;
  /** undefined for BPF functions and for the tail call, which is emitted inline. */
  readonly binding: HelperBinding | undefined;
}

/** Resolves the calls of a program. An unknown one throws InvalidProgramError when it is asked for. */
export class CallSites {
  private readonly program: DecodedProgram;
  private readonly known = new Map<number, CallSite>();

  constructor(program: DecodedProgram) {
    this.program = program;
  }

  at(insn: number): CallSite {
    let site = this.known.get(insn);
    if (site === undefined) this.known.set(insn, (site = this.resolve(insn)));
    return site;
  }

  private resolve(insn: number): CallSite {
    const { slots, source, functionAt } = this.program;
    const src = slots.src[insn];
    const imm = slots.imm[insn];
    if (slots.op[insn] === CALL && src === BPF_PSEUDO_CALL)
      return { insn, callee: functionAt.get(insn + 1 + imm)!, helper: -1, binding: undefined };
    if (src === BPF_PSEUDO_KFUNC_CALL) {
      const binding = source.kfunc(imm, slots.off[insn]);
      if (binding === undefined) throw new InvalidProgramError(`unknown kfunc, BTF id ${imm}`, insn);
      return { insn, callee: -1, helper: -1, binding };
    }
    if (src !== 0) throw new InvalidProgramError(`call with source register ${src}`, insn);
    return this.helper(insn, imm);
  }

  helper(insn: number, id: number): CallSite {
    if (id === HELPER_TAIL_CALL) return { insn, callee: -1, helper: id, binding: undefined };
    const binding = this.program.source.helper(id);
    if (binding === undefined) throw new InvalidProgramError(`unknown helper ${id}`, insn);
    return { insn, callee: -1, helper: id, binding };
  }

  /** The map whose header stands at `address`. */
  map(address: number): VmMap | undefined {
    return this.program.source.maps.find((map) => map.address === address >>> 0);
  }
}
