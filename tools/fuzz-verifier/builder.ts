/** A program under construction: instructions with symbolic targets, and what the generator believes of registers. */
import type { Insn } from "../../src/asm/index.ts";
import { BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC } from "../../src/uapi/index.ts";
import type { FuncAt, FuzzProgram } from "./program.ts";

/** One instruction; `target` is the item that it jumps to, calls or takes the address of. */
export interface Item {
  readonly insn: Insn;
  target?: number;
  /** A function starts here. */
  func?: string;
}

/** What a register is believed to hold; "mixed" where paths meet. */
export type Kind =
  | "none"
  | "scalar"
  | "ctx"
  | "fp"
  | "value"
  | "value-or-null"
  | "mem"
  | "mem-or-null"
  | "sock"
  | "sock-or-null"
  | "pkt"
  | "end"
  | "map"
  | "btf"
  | "mixed";

export interface Reg {
  readonly kind: Kind;
  /** Values: the map. */
  readonly map?: number;
  /** Memory: its size. */
  readonly size?: number;
  /** Scalars: at most this, where a check said so. */
  readonly max?: number;
}

export const NONE: Reg = { kind: "none" };
export const SCALAR: Reg = { kind: "scalar" };

const LD_IMM64 = 0x18;

/**
 * Symbolic targets become offsets. `keep` says which items stay; a target that is gone means the next one that is there.
 * Null where a jump does not fit or a function has no instruction left.
 */
export function resolve(
  items: readonly Item[],
  keep: readonly boolean[],
): { insns: Insn[]; funcs: FuncAt[] } | null {
  const slotOf: number[] = [];
  let slot = 0;
  for (const [i, item] of items.entries()) {
    slotOf.push(slot);
    if (keep[i]) slot += item.insn.op === LD_IMM64 ? 2 : 1;
  }
  slotOf.push(slot);
  const insns: Insn[] = [];
  const funcs: FuncAt[] = [];
  let pending: string | undefined;
  for (const [i, item] of items.entries()) {
    pending = item.func ?? pending;
    if (!keep[i]) continue;
    if (pending !== undefined) {
      funcs.push({ insn: insns.length, name: pending });
      pending = undefined;
    }
    let { insn } = item;
    if (item.target !== undefined) {
      const delta = slotOf[item.target]! - slotOf[i]! - 1;
      if (insn.op === LD_IMM64 && insn.src === BPF_PSEUDO_FUNC) {
        insn = { ...insn, imm: delta, imm64: BigInt.asUintN(32, BigInt(delta)) };
      } else if (insn.op === 0x85 && insn.src === BPF_PSEUDO_CALL) insn = { ...insn, imm: delta };
      else insn = { ...insn, off: delta };
    }
    insns.push(insn);
  }
  return insns.length === 0 ? null : { insns, funcs };
}

export interface Shape {
  readonly progType: number;
  readonly attachType: number;
  readonly flags: number;
  readonly license: string;
  readonly withBtf: boolean;
  readonly items: readonly Item[];
}

/** The program with only the items to be kept. */
export function programOf(
  shape: Shape,
  keep: readonly boolean[] = shape.items.map(() => true),
): FuzzProgram | null {
  const resolved = resolve(shape.items, keep);
  if (resolved === null) return null;
  return {
    progType: shape.progType,
    attachType: shape.attachType,
    flags: shape.flags,
    license: shape.license,
    insns: resolved.insns,
    funcs: shape.withBtf ? resolved.funcs : [],
  };
}
