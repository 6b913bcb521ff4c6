/** The flow between instructions of one function, calls passed over: successors and the order in which to visit them. */
import type { Slots } from "../../asm/index.ts";
import { BPF_CALL, BPF_DW, BPF_EXIT, BPF_IMM, BPF_JA, BPF_JMP, BPF_JMP32, BPF_LD } from "../../uapi/index.ts";
import type { Subprog } from "../env.ts";

/** The slot after the instruction at `i`, or -1 where it does not go on. */
export function fallThrough(slots: Slots, i: number): number {
  const op = slots.op[i]!;
  if (op === (BPF_LD | BPF_IMM | BPF_DW)) return i + 2;
  const cls = op & 7;
  if (cls !== BPF_JMP && cls !== BPF_JMP32) return i + 1;
  const opcode = op & 0xf0;
  return opcode === BPF_EXIT || opcode === BPF_JA ? -1 : i + 1;
}

/** Where the instruction at `i` may jump to, or -1. */
export function jumpTarget(slots: Slots, i: number): number {
  const op = slots.op[i]!;
  const cls = op & 7;
  if (cls !== BPF_JMP && cls !== BPF_JMP32) return -1;
  const opcode = op & 0xf0;
  if (opcode === BPF_CALL || opcode === BPF_EXIT) return -1;
  return i + 1 + (op === (BPF_JMP32 | BPF_JA) ? slots.imm[i]! : slots.off[i]!);
}

/** Reachable instructions, every one after its successors (but for loops), function by function: compute_postorder(). */
export interface Postorder {
  readonly order: Int32Array;
  /** Where each function's part begins; one more than there are functions. */
  readonly starts: Int32Array;
}

export function computePostorder(slots: Slots, subprogs: readonly Subprog[]): Postorder {
  const order = new Int32Array(slots.count);
  const starts = new Int32Array(subprogs.length + 1);
  /** 1: on the stack; 2: its successors are too. */
  const state = new Uint8Array(slots.count);
  const stack = new Int32Array(slots.count + 1);
  let n = 0;
  for (let s = 0; s < subprogs.length; s++) {
    starts[s] = n;
    stack[0] = subprogs[s]!.start;
    let size = 1;
    while (size > 0) {
      const top = stack[size - 1]!;
      if (state[top] === 2) {
        order[n++] = top;
        size--;
        continue;
      }
      const next = fallThrough(slots, top);
      const target = jumpTarget(slots, top);
      if (next >= 0 && next < slots.count && state[next] === 0) {
        stack[size++] = next;
        state[next] = 1;
      }
      if (target >= 0 && target < slots.count && state[target] === 0) {
        stack[size++] = target;
        state[target] = 1;
      }
      state[top] = 2;
    }
  }
  starts[subprogs.length] = n;
  return { order: order.subarray(0, n), starts };
}
