/**
 * Loads of the bounds-checked mode that one check may serve: they go through the same unchanged register, and nothing
 * that could be observed lies between them. Where the common check fails, each is checked by itself, in order.
 */
import type { Slots } from "../../asm/index.ts";
import {
  BPF_ALU,
  BPF_ALU64,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_ST,
  BPF_STX,
} from "../../uapi/index.ts";
import { accessSize } from "./frame.ts";
import { CALL, CALLX } from "./program.ts";

export interface Group {
  /** Slots of the loads, in order; the check is made at the first. */
  readonly members: number[];
  /** Lowest displacement, and the end of the highest access. */
  min: number;
  end: number;
}

/** By the slot of their first load. */
export type Groups = ReadonlyMap<number, Group>;

export const NO_GROUPS: Groups = new Map();

/**
 * `isPrivate`: the store at that slot goes to the function's own frame, which nobody sees after a fault.
 * `isUnchecked`: the load there needs no check.
 */
export function findGroups(
  slots: Slots,
  first: number,
  last: number,
  isPrivate: (insn: number) => boolean,
  isUnchecked: (insn: number) => boolean,
): Groups {
  const { op, dst, src, off } = slots;
  let loads = 0;
  for (let i = first; i < last; i++) if ((op[i] & 7) === BPF_LDX) loads++;
  if (loads < 2) return NO_GROUPS;
  const leaders = new Map<number, Group>();
  const open: (Group | undefined)[] = new Array(11);
  for (let i = first; i < last; i++) {
    const code = op[i];
    switch (code & 7) {
      case BPF_LDX: {
        if (isUnchecked(i)) {
          open[dst[i]] = undefined;
          break;
        }
        const base = src[i];
        const group = open[base];
        const end = off[i] + accessSize(code);
        if (group === undefined) open[base] = { members: [i], min: off[i], end };
        else {
          if (group.members.length === 1) leaders.set(group.members[0], group);
          group.members.push(i);
          group.min = Math.min(group.min, off[i]);
          group.end = Math.max(group.end, end);
        }
        open[dst[i]] = undefined;
        break;
      }
      case BPF_ALU:
      case BPF_ALU64:
        open[dst[i]] = undefined;
        break;
      case BPF_LD:
        // LD_IMM64's second slot has opcode 0.
        if (code === 0x18) open[dst[i]] = undefined;
        else if (code !== 0) open.fill(undefined);
        break;
      case BPF_ST:
      case BPF_STX:
        if (!isPrivate(i)) open.fill(undefined);
        break;
      case BPF_JMP:
      case BPF_JMP32:
        if (code === CALL || code === CALLX) open.fill(undefined);
    }
  }
  return leaders;
}
