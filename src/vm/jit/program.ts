import { decodeSlots, type Slots } from "../../asm/index.ts";
import { InvalidProgramError } from "../../diag/index.ts";
import {
  BPF_CALL,
  BPF_DW,
  BPF_EXIT,
  BPF_IMM,
  BPF_JA,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_X,
} from "../../uapi/index.ts";
import type { VmProgram } from "../engine.ts";

export const LD_IMM64: number = BPF_LD | BPF_IMM | BPF_DW;
export const CALL: number = BPF_JMP | BPF_CALL;
export const CALLX: number = BPF_JMP | BPF_CALL | BPF_X;
export const EXIT: number = BPF_JMP | BPF_EXIT;
export const MAY_GOTO: number = BPF_JMP | BPF_JCOND;
const GOTO: number = BPF_JMP | BPF_JA;
const GOTOL: number = BPF_JMP32 | BPF_JA;
const GOTOX: number = BPF_JMP | BPF_JA | BPF_X;

/** One BPF function: the slots [start, end), and its basic blocks. Block 0 begins at `start`. */
export interface BpfFunction {
  readonly start: number;
  readonly end: number;
  /** Per block: first slot, and the slot after its last. */
  readonly first: number[];
  readonly last: number[];
  /** Conditional jumps: [taken, fall-through]. */
  readonly succ: number[][];
  /** Blocks that can be reached, in reverse postorder, and the number of slots in them. */
  readonly order: number[];
  readonly size: number;
}

export interface DecodedProgram {
  readonly source: VmProgram;
  readonly slots: Slots;
  readonly functions: readonly BpfFunction[];
  /** Slot of a function's first instruction to its index. */
  readonly functionAt: ReadonlyMap<number, number>;
  /** Functions whose address is taken (BPF_PSEUDO_FUNC). */
  readonly callbacks: ReadonlySet<number>;
}

/** Register that holds the target of CALLX: older LLVMs put it in imm, newer ones in dst. */
export function callxRegister(slots: Slots, i: number): number {
  return slots.imm[i] > 0 && slots.imm[i] <= 10 ? slots.imm[i] : slots.dst[i];
}

export function isConditional(op: number): boolean {
  const cls = op & 7;
  if (cls !== BPF_JMP && cls !== BPF_JMP32) return false;
  const code = op & 0xf0;
  return code !== BPF_JA && code !== BPF_CALL && code !== BPF_EXIT;
}

/** Does control never fall from this instruction to the next one? */
function isFinal(op: number): boolean {
  return op === EXIT || op === GOTO || op === GOTOL || op === GOTOX;
}

/** Slot that the jump at `i` leads to. */
function target(slots: Slots, i: number): number {
  return i + 1 + (slots.op[i] === GOTOL ? slots.imm[i] : slots.off[i]);
}

/** Splits a program into functions and their blocks. Throws InvalidProgramError for control flow that leaves them. */
export function decodeProgram(source: VmProgram, longestBlock: number): DecodedProgram {
  if (source.insns.length % 8 !== 0 || source.insns.length === 0)
    throw new InvalidProgramError(`program of ${source.insns.length} bytes`, 0);
  const slots = decodeSlots(source.insns);
  const { count, op, src, imm } = slots;
  const functionAt = new Map<number, number>([[0, 0]]);
  const callbackSlots: number[] = [];
  const entries: number[] = [0];
  const enter = (i: number): number => {
    const to = i + 1 + imm[i];
    if (to < 0 || to >= count) throw new InvalidProgramError(`call of slot ${to} of ${count}`, i);
    entries.push(to);
    return to;
  };
  for (let i = 0; i < count; i++) {
    if (op[i] === LD_IMM64) {
      if (i + 1 === count || op[i + 1] !== 0)
        throw new InvalidProgramError("LD_IMM64 lacks its second slot", i);
      if (src[i] === BPF_PSEUDO_FUNC) callbackSlots.push(enter(i));
      i++;
    } else if (op[i] === CALL && src[i] === BPF_PSEUDO_CALL) enter(i);
  }
  entries.sort((a, b) => a - b);
  const starts = entries.filter((slot, k) => k === 0 || slot !== entries[k - 1]);
  starts.forEach((slot, k) => {
    functionAt.set(slot, k);
  });
  const functions = starts.map((start, k) => blocks(slots, start, starts[k + 1] ?? count, longestBlock));
  return {
    source,
    slots,
    functions,
    functionAt,
    callbacks: new Set(callbackSlots.map((slot) => functionAt.get(slot)!)),
  };
}

function blocks(slots: Slots, start: number, end: number, longestBlock: number): BpfFunction {
  const { op } = slots;
  const leader = new Uint8Array(end - start + 1);
  const second = new Uint8Array(end - start + 1);
  leader[0] = 1;
  for (let i = start; i < end; i++) {
    const code = op[i];
    if (code === LD_IMM64) {
      second[++i - start] = 1;
      continue;
    }
    const cls = code & 7;
    if (cls !== BPF_JMP && cls !== BPF_JMP32) continue;
    if (code === CALL || code === CALLX) continue;
    leader[i + 1 - start] = 1;
    if (code === EXIT || code === GOTOX) continue;
    const to = target(slots, i);
    if (to < start || to >= end)
      throw new InvalidProgramError(`jump to slot ${to}, outside of its function (${start}..${end - 1})`, i);
    leader[to - start] = 1;
  }
  const first: number[] = [];
  const last: number[] = [];
  const blockAt = new Int32Array(end - start);
  for (let i = start; i < end; i++) {
    if (second[i - start]) {
      if (leader[i - start]) throw new InvalidProgramError("jump into the middle of LD_IMM64", i - 1);
      continue;
    }
    if (leader[i - start] || i - first[first.length - 1] >= longestBlock) {
      if (first.length > 0) last.push(i);
      first.push(i);
    }
    blockAt[i - start] = first.length - 1;
  }
  last.push(end);
  const succ = first.map((from, b) => {
    const tail = last[b] - 1;
    // The tail may be the second half of LD_IMM64, whose opcode is 0: it falls through.
    const code = from === tail || !second[tail - start] ? op[tail] : 0;
    if (code === EXIT || code === GOTOX) return [];
    const next = (): number => (last[b] < end ? blockAt[last[b] - start] : -1);
    if (isFinal(code)) return [blockAt[target(slots, tail) - start]];
    if (isConditional(code)) return [blockAt[target(slots, tail) - start], next()];
    return [next()];
  });
  // Depth-first over what can be reached; falling off the end is an error only there.
  const seen = new Uint8Array(first.length);
  const order: number[] = [];
  const stack: number[] = [0];
  const at: number[] = [0];
  seen[0] = 1;
  let size = 0;
  while (stack.length > 0) {
    const top = stack.length - 1;
    const b = stack[top];
    if (at[top] < succ[b].length) {
      const to = succ[b][at[top]++];
      if (to < 0) throw new InvalidProgramError("control runs off the end of the function", last[b] - 1);
      if (seen[to]) continue;
      seen[to] = 1;
      stack.push(to);
      at.push(0);
    } else {
      order.push(b);
      size += last[b] - first[b];
      stack.pop();
      at.pop();
    }
  }
  return { start, end, first, last, succ, order: order.reverse(), size };
}
