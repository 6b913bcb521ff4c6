// What can be said of a program before a verifier looks at it: which instructions it can come to, where branches on
// known constants go one way only (loaders leave calls behind such branches that no kernel could take), and how far it
// reads into its context.
import * as uapi from "../uapi/index.ts";

const LD_IMM64 = uapi.BPF_LD | uapi.BPF_IMM | uapi.BPF_DW;
const EXIT = uapi.BPF_JMP | uapi.BPF_EXIT;
const CALL = uapi.BPF_JMP | uapi.BPF_CALL;
const REGS = 11;

/** Known 32-bit constants by register; undefined: could be anything. */
type Constants = (number | undefined)[];

/** What a conditional jump on constants does; undefined: either way. Constants are sign-extended 32-bit values. */
function decide(op: number, a: number, b: number): boolean | undefined {
  switch (op & 0xf0) {
    case uapi.BPF_JEQ:
      return a === b;
    case uapi.BPF_JNE:
      return a !== b;
    case uapi.BPF_JSGT:
      return a > b;
    case uapi.BPF_JSGE:
      return a >= b;
    case uapi.BPF_JSLT:
      return a < b;
    case uapi.BPF_JSLE:
      return a <= b;
    default:
      // Unsigned comparisons and JSET agree with the 64-bit ones where both are non-negative.
      if (a < 0 || b < 0) return undefined;
      return decideUnsigned(op, a, b);
  }
}

function decideUnsigned(op: number, a: number, b: number): boolean | undefined {
  switch (op & 0xf0) {
    case uapi.BPF_JGT:
      return a > b;
    case uapi.BPF_JGE:
      return a >= b;
    case uapi.BPF_JLT:
      return a < b;
    case uapi.BPF_JLE:
      return a <= b;
    case uapi.BPF_JSET:
      return (a & b) !== 0;
    default:
      return undefined;
  }
}

/** One byte per slot, 1 where the program may come to the instruction that begins there. */
export function reachableSlots(insns: Uint8Array): Uint8Array {
  const slots = insns.length / 8;
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  const reached = new Uint8Array(slots);
  const known: (Constants | undefined)[] = new Array(slots).fill(undefined);
  const work: number[] = [];
  /** Control arrives at `slot` with these constants: what differs from before is forgotten. */
  const arrive = (slot: number, constants: Constants): void => {
    if (slot < 0 || slot >= slots) return;
    const before = known[slot];
    if (before === undefined) {
      known[slot] = constants.slice();
      reached[slot] = 1;
      work.push(slot);
      return;
    }
    let changed = false;
    for (let r = 0; r < REGS; r++)
      if (before[r] !== undefined && before[r] !== constants[r]) {
        before[r] = undefined;
        changed = true;
      }
    if (changed) work.push(slot);
  };
  const nothing: Constants = new Array(REGS).fill(undefined);
  arrive(0, nothing);
  for (let i = work.pop(); i !== undefined; i = work.pop()) {
    const op = insns[i * 8]!;
    const dst = insns[i * 8 + 1]! & 15;
    const src = insns[i * 8 + 1]! >> 4;
    const off = view.getInt16(i * 8 + 2, true);
    const imm = view.getInt32(i * 8 + 4, true);
    const cls = op & 7;
    const now = known[i]!.slice();
    if (op === EXIT) continue;
    if (cls === uapi.BPF_JMP || cls === uapi.BPF_JMP32) {
      if (op === CALL) {
        if (src === uapi.BPF_PSEUDO_CALL) arrive(i + 1 + imm, nothing);
        for (let r = 0; r < 6; r++) now[r] = undefined;
        arrive(i + 1, now);
        continue;
      }
      if ((op & 0xf0) === uapi.BPF_JA) {
        arrive(i + 1 + (cls === uapi.BPF_JMP32 ? imm : off), now);
        continue;
      }
      const right = op & uapi.BPF_X ? now[src] : imm;
      const left = now[dst];
      const taken = left !== undefined && right !== undefined ? decide(op, left, right) : undefined;
      if (taken !== false) arrive(i + 1 + off, now);
      if (taken !== true) arrive(i + 1, now);
      continue;
    }
    if (op === LD_IMM64) {
      const high = i + 1 < slots ? view.getInt32(i * 8 + 12, true) : 0;
      now[dst] = src === 0 && high === imm >> 31 ? imm : undefined;
      // A callback runs as a function of its own.
      if (src === uapi.BPF_PSEUDO_FUNC) arrive(i + 1 + imm, nothing);
      arrive(i + 2, now);
      continue;
    }
    if (cls === uapi.BPF_ALU || cls === uapi.BPF_ALU64) {
      const value = op & uapi.BPF_X ? now[src] : imm;
      const move =
        (op & 0xf0) === uapi.BPF_MOV && off === 0 && (cls === uapi.BPF_ALU64 || (value ?? -1) >= 0);
      now[dst] = move ? value : undefined;
    } else if (cls === uapi.BPF_LDX) now[dst] = undefined;
    else if (cls === uapi.BPF_LD) for (let r = 0; r < 6; r++) now[r] = undefined;
    else if (cls === uapi.BPF_STX && (op & 0xe0) === uapi.BPF_ATOMIC) now[src] = now[0] = undefined;
    arrive(i + 1, now);
  }
  return reached;
}

/**
 * How many bytes of its context the program's loads and stores reach (`max_ctx_offset`), as far as a walk over the
 * main function in order of its text tells: registers that hold r1 unchanged are followed.
 */
export function contextReach(insns: Uint8Array): number {
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  const SIZES: Readonly<Record<number, number>> = { 0: 4, 8: 2, 16: 1, 24: 8 };
  const holds = new Array<boolean>(16).fill(false);
  holds[1] = true;
  let reach = 0;
  for (let i = 0; i < insns.length / 8; i++) {
    const op = insns[i * 8]!;
    const dst = insns[i * 8 + 1]! & 15;
    const src = insns[i * 8 + 1]! >> 4;
    const cls = op & 7;
    const end = view.getInt16(i * 8 + 2, true) + SIZES[op & 0x18]!;
    if (op === EXIT && !holds.some((held, r) => held && r > 5)) break;
    if (op === LD_IMM64) {
      holds[dst] = false;
      i++;
    } else if (cls === uapi.BPF_LDX) {
      if (holds[src]) reach = Math.max(reach, end);
      holds[dst] = false;
    } else if (cls === uapi.BPF_ST || cls === uapi.BPF_STX) {
      if (holds[dst]) reach = Math.max(reach, end);
    } else if (op === CALL) holds.fill(false, 0, 6);
    else if (op === (uapi.BPF_ALU64 | uapi.BPF_MOV | uapi.BPF_X)) holds[dst] = holds[src]!;
    else if (cls === uapi.BPF_ALU || cls === uapi.BPF_ALU64) holds[dst] = false;
  }
  return reach;
}
