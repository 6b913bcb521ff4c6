/**
 * Finds 64-bit rotations: LLVM has no other way to say them in BPF than two shifts of one value and an `or` (or a sum,
 * or an exclusive or) of the results. V8 makes a rotation of the 32-bit form by itself.
 */
import type { Slots } from "../../asm/index.ts";
import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CALL,
  BPF_JMP,
  BPF_LD,
  BPF_LDX,
  BPF_LSH,
  BPF_MOV,
  BPF_OR,
  BPF_RSH,
  BPF_STX,
  BPF_X,
  BPF_XOR,
} from "../../uapi/index.ts";

export interface Rotations {
  /** At this slot, before the instruction, the destination register goes into the temporary of that number. */
  readonly save: ReadonlyMap<number, number>;
  /** The instruction at this slot gives temporary `temp` rotated left by `count`. */
  readonly rotate: ReadonlyMap<number, { readonly temp: number; readonly count: number }>;
}

const NO_ROTATIONS: Rotations = { save: new Map(), rotate: new Map() };

const SHIFT_LEFT: number = BPF_ALU64 | BPF_LSH;
const SHIFT_RIGHT: number = BPF_ALU64 | BPF_RSH;

/** Of the basic block in slots [first, last). */
export function findRotations(slots: Slots, first: number, last: number): Rotations {
  const { op, dst, src, imm } = slots;
  let shifts = 0;
  for (let i = first; i < last; i++) if (op[i] === SHIFT_RIGHT) shifts++;
  if (shifts === 0) return NO_ROTATIONS;
  const save = new Map<number, number>();
  const rotate = new Map<number, { temp: number; count: number }>();
  /** Number of the value in each register, and the shift that made it (-1: none) of which value. */
  const value = new Int32Array(16);
  const shift = new Int32Array(16).fill(-1);
  const shifted = new Int32Array(16);
  /** Last slot at which each temporary is in use. */
  const busy: number[] = [];
  for (let r = 0; r < 16; r++) value[r] = r;
  let next = 16;
  const define = (reg: number): void => {
    value[reg] = next++;
    shift[reg] = -1;
  };
  for (let i = first; i < last; i++) {
    const code = op[i];
    const cls = code & 7;
    const d = dst[i];
    const s = src[i];
    if (code === (BPF_ALU64 | BPF_MOV | BPF_X) && slots.off[i] === 0) {
      value[d] = value[s];
      shift[d] = shift[s];
      shifted[d] = shifted[s];
    } else if (code === SHIFT_LEFT || code === SHIFT_RIGHT) {
      const of = value[d];
      define(d);
      shift[d] = i;
      shifted[d] = of;
    } else if (isJoin(code) && shift[d] >= 0 && shift[s] >= 0 && shifted[d] === shifted[s]) {
      const [a, b] = [shift[d], shift[s]];
      if (op[a] !== op[b] && imm[a] > 0 && imm[a] + imm[b] === 64) {
        const from = Math.min(a, b);
        let temp = save.get(from) ?? busy.findIndex((until) => until <= from);
        if (temp < 0) temp = busy.push(0) - 1;
        busy[temp] = i;
        save.set(from, temp);
        rotate.set(i, { temp, count: op[a] === SHIFT_LEFT ? imm[a] : imm[b] });
      }
      define(d);
    } else if (cls === BPF_JMP) {
      if ((code & 0xf0) === BPF_CALL) for (let r = 0; r <= 5; r++) define(r);
    } else if (cls === BPF_LD && code !== 0x18) for (let r = 0; r <= 5; r++) define(r);
    else if (cls === BPF_STX) {
      if ((code & 0xe0) !== BPF_ATOMIC) continue;
      define(0);
      define(s);
      define(d);
    } else if (cls === BPF_LDX || cls === BPF_LD || cls === BPF_ALU64 || cls === BPF_ALU) define(d);
  }
  return { save, rotate };
}

function isJoin(code: number): boolean {
  return (
    code === (BPF_ALU64 | BPF_OR | BPF_X) ||
    code === (BPF_ALU64 | BPF_XOR | BPF_X) ||
    code === (BPF_ALU64 | BPF_ADD | BPF_X)
  );
}
