/**
 * Whether bytes are a program at all: what can be told without following values. The rules are RFC 9669's and those of
 * kernel/bpf/verifier.c that look at one instruction (opcodes, reserved fields, registers) or at the flow between them
 * (check_subprogs, check_cfg); messages begin with the kernel's words.
 *
 * Invariants of a program without errors: every slot is an instruction of the table or the second half of an LD_IMM64;
 * every jump ends on an instruction of its own subprogram; every call of a subprogram and every BPF_PSEUDO_FUNC names an
 * instruction; no subprogram runs into the next one or off the end.
 */
import { AsmError } from "../diag/index.ts";
import { BPF_JA, BPF_JMP32, BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC } from "../uapi/index.ts";
import { decodeSlots, SLOT_SIZE, type Slots } from "./codec.ts";
import { FROM, RANGES, ROWS, rowsOf, WIDTH } from "./rows.ts";
import type { InsnKind, InsnRow } from "./table.ts";

export interface ValidateOptions {
  /**
   * `isa` (default): what an engine can run. `kernel`: also what Linux 6.18 refuses before it looks at values: opcodes
   * beyond its set, and unreachable code. What it refuses on a path that it walks (a write to r10, division by an
   * immediate zero, too wide a shift) stays to its verifier: in dead code all of it passes.
   */
  readonly rules?: "isa" | "kernel";
  /** Slots where subprograms start that nothing calls: exception callbacks. */
  readonly entries?: readonly number[];
  /** Stop after this many errors; default 50. */
  readonly limit?: number;
}

// ---- what each opcode does to the flow -------------------------------------------------------------------------
const FLOW_NEXT = 0;
const FLOW_JUMP = 1;
const FLOW_BRANCH = 2;
const FLOW_STOP = 3;
const FLOW_CALL = 4;
const FLOW_WIDE = 5;

const FLOW_OF: { readonly [K in InsnKind]?: number } = {
  jump: FLOW_JUMP,
  branch: FLOW_BRANCH,
  maygoto: FLOW_BRANCH,
  exit: FLOW_STOP,
  gotox: FLOW_STOP,
  call: FLOW_CALL,
  ldimm64: FLOW_WIDE,
};
const FLOW = Uint8Array.from({ length: 256 }, (_, op) => FLOW_OF[rowsOf(op)[0]?.kind ?? "alu"] ?? FLOW_NEXT);
const JA32 = BPF_JMP32 | BPF_JA;

// ---- messages --------------------------------------------------------------------------------------------------
/** The kernel's name for the reserved-fields rule of a kind. */
function reservedName(row: InsnRow): string {
  switch (row.kind) {
    case "alu":
      return row.name.startsWith("neg") ? "BPF_NEG" : row.name.startsWith("mov") ? "BPF_MOV" : "BPF_ALU";
    case "movsx":
    case "cast":
      return "BPF_MOV";
    case "end":
      return "BPF_END";
    case "skb":
      return "BPF_LD_[ABS|IND]";
    case "load":
      return "BPF_LDX";
    case "store":
      return row.name.startsWith("stx") ? "BPF_STX" : "BPF_ST";
    case "jump":
    case "gotox":
      return "BPF_JA";
    case "branch":
      return "BPF_JMP/JMP32";
    case "call":
    case "callx":
      return "BPF_CALL";
    case "exit":
      return "BPF_EXIT";
    default:
      return "BPF_LD_IMM64";
  }
}

const unknownOpcode = (op: number): string => `unknown opcode ${op.toString(16).padStart(2, "0")}`;

const FIELDS = ["dst", "src", "off", "imm", "hi"] as const;

/** Why slot `i` is an instance of none of its opcode's rows: told of the row that it misses least. */
function whyNot(s: Slots, i: number): string {
  const values = [s.dst[i]!, s.src[i]!, s.off[i]!, s.imm[i]!, s.imm[i + 1] ?? 0];
  const first = FROM[s.op[i]!]!;
  const { kind } = ROWS[first]!;
  if (kind === "maygoto")
    return `invalid may_goto off ${values[2]} imm ${values[3]} (dst ${values[0]}, src ${values[1]})`;
  // src tells rows of one opcode apart, so that a miss there weighs more.
  const cost = (missed: readonly number[]): number => missed.length + (missed.includes(1) ? 1 : 0);
  let best: number[] | undefined;
  let bestRow = ROWS[first]!;
  for (let n = first; n < FROM[s.op[i]! + 1]!; n++) {
    const range = RANGES.subarray(n * WIDTH, n * WIDTH + WIDTH);
    const missed = [0, 1, 2, 3, 4].filter(
      (f) => values[f]! < range[2 * f]! || values[f]! > range[2 * f + 1]!,
    );
    if (best && cost(best) <= cost(missed)) continue;
    best = missed;
    bestRow = ROWS[n]!;
  }
  const [field = 0] = best ?? [];
  const name = FIELDS[field]!;
  const value = values[field]!;
  const rule = bestRow[name];
  if (rule === "reg" || rule === "out") return `R${value} is invalid`;
  if ((kind === "atomic" || kind === "acquire") && name === "imm")
    return `BPF_ATOMIC uses invalid atomic opcode ${(value >>> 0).toString(16).padStart(2, "0")}`;
  if (kind === "ldimm64" && name !== "off") return `unrecognized bpf_ld_imm64 insn: ${name} is ${value}`;
  return `${reservedName(bestRow)} uses reserved fields: ${name} is ${value}`;
}

class Validator {
  readonly errors: AsmError[] = [];
  private readonly s: Slots;
  private readonly kernel: boolean;
  private readonly limit: number;
  private readonly entries: readonly number[];
  /** Per slot: 1 = second half of LD_IMM64. */
  private readonly second: Uint8Array;
  /** Per slot: 1 = first instruction of a subprogram. */
  private readonly starts: Uint8Array;

  constructor(s: Slots, options: ValidateOptions) {
    this.s = s;
    this.kernel = options.rules === "kernel";
    this.limit = Math.max(1, options.limit ?? 50);
    this.entries = options.entries ?? [];
    this.second = new Uint8Array(s.count);
    this.starts = new Uint8Array(s.count);
  }

  private report(insn: number, message: string): void {
    if (this.errors.length < this.limit) this.errors.push(new AsmError(message, { insn }));
  }

  run(): void {
    if (this.s.count === 0) {
      this.report(0, "no instructions");
      return;
    }
    this.instructions();
    if (this.errors.length >= this.limit) return;
    this.subprograms();
    if (this.kernel && this.errors.length === 0) this.reachable();
  }

  /** Each slot for itself. */
  private instructions(): void {
    const { op, dst, src, off, imm, count } = this.s;
    // Imported bindings are read through a getter wherever modules are transformed (tsx, vitest).
    const ranges = RANGES;
    const from = FROM;
    this.starts[0] = 1;
    for (let i = 0; i < count && this.errors.length < this.limit; i++) {
      const code = op[i]!;
      const wide = FLOW[code] === FLOW_WIDE;
      if (from[code] === from[code + 1]) this.report(i, unknownOpcode(code));
      else if (!wide || this.wide(i)) {
        const d = dst[i]!;
        const c = src[i]!;
        const o = off[i]!;
        const m = imm[i]!;
        const end = from[code + 1]!;
        let n = from[code]!;
        for (let p = n * WIDTH; n < end; n++, p += WIDTH) {
          if (m < ranges[p + 6]! || m > ranges[p + 7]! || o < ranges[p + 4]! || o > ranges[p + 5]!) continue;
          if (d < ranges[p]! || d > ranges[p + 1]! || c < ranges[p + 2]! || c > ranges[p + 3]!) continue;
          if (wide && (imm[i + 1]! < ranges[p + 8]! || imm[i + 1]! > ranges[p + 9]!)) continue;
          break;
        }
        if (n === end) this.report(i, whyNot(this.s, i));
        else if (this.kernel && ROWS[n]!.beyondKernel) this.report(i, unknownOpcode(code));
        if (wide) i++;
      }
    }
  }

  private wide(i: number): boolean {
    const { s } = this;
    const j = i + 1;
    if (j === s.count || s.op[j]! | s.dst[j]! | s.src[j]! | s.off[j]!) {
      this.report(i, "invalid bpf_ld_imm64 insn: its second slot is missing or holds more than an immediate");
      return false;
    }
    this.second[j] = 1;
    return true;
  }

  /** Calls and jumps, when all second halves are known. */
  private subprograms(): void {
    const { op, src, imm, count } = this.s;
    const { starts, second } = this;
    for (let i = 0; i < count; i++) {
      const flow = FLOW[op[i]!]!;
      if (flow < FLOW_CALL || second[i]) continue;
      if (src[i] !== (flow === FLOW_CALL ? BPF_PSEUDO_CALL : BPF_PSEUDO_FUNC)) continue;
      const target = i + 1 + imm[i]!;
      if (target < 0 || target >= count) this.report(i, `call to invalid destination ${target}`);
      else if (second[target]) this.report(i, `call into the middle of ldimm64 insn ${target - 1}`);
      else starts[target] = 1;
    }
    for (const entry of this.entries)
      if (!(entry >= 0 && entry < count) || second[entry])
        this.report(0, `subprogram at ${entry}, which is no instruction`);
      else starts[entry] = 1;
    for (let start = 0; start < count && this.errors.length < this.limit; ) {
      let end = start + 1;
      while (end < count && !starts[end]) end++;
      this.jumps(start, end);
      start = end;
    }
  }

  /** Jumps of the subprogram in [start, end), and its last instruction. */
  private jumps(start: number, end: number): void {
    const { op, off, imm } = this.s;
    const { second } = this;
    for (let i = start; i < end; i++) {
      const flow = FLOW[op[i]!]!;
      if ((flow !== FLOW_JUMP && flow !== FLOW_BRANCH) || second[i]) continue;
      const target = i + 1 + (op[i] === JA32 ? imm[i]! : off[i]!);
      if (target < start || target >= end) this.report(i, `jump out of range from insn ${i} to ${target}`);
      else if (second[target]) this.report(i, `jump into the middle of ldimm64 insn ${target - 1}`);
    }
    const last = FLOW[op[end - 1]!]!;
    if (second[end - 1] || (last !== FLOW_JUMP && last !== FLOW_STOP))
      this.report(end - 1, "last insn is not an exit or jmp");
  }

  /** check_cfg: every instruction can be reached from the first one, through calls and callbacks too. */
  private reachable(): void {
    const { op, src, off, imm, count } = this.s;
    const seen = new Uint8Array(count);
    const stack = new Int32Array(count);
    let depth = 0;
    const visit = (i: number): void => {
      if (seen[i]) return;
      seen[i] = 1;
      stack[depth++] = i;
    };
    visit(0);
    for (const entry of this.entries) visit(entry);
    while (depth > 0) {
      const i = stack[--depth]!;
      const flow = FLOW[op[i]!]!;
      if (flow === FLOW_STOP) continue;
      if (flow === FLOW_JUMP) visit(i + 1 + (op[i] === JA32 ? imm[i]! : off[i]!));
      else visit(i + (flow === FLOW_WIDE ? 2 : 1));
      if (flow === FLOW_BRANCH) visit(i + 1 + off[i]!);
      if (flow === FLOW_CALL && src[i] === BPF_PSEUDO_CALL) visit(i + 1 + imm[i]!);
      if (flow === FLOW_WIDE && src[i] === BPF_PSEUDO_FUNC) visit(i + 1 + imm[i]!);
    }
    for (let i = 0; i < count; i++)
      if (!seen[i] && !this.second[i]) {
        this.report(i, `unreachable insn ${i}`);
        return;
      }
  }
}

/**
 * The errors of a program, in order of discovery: each names its slot. Empty: the invariants above hold. Linear in
 * the number of slots, and throws nothing for any input.
 */
export function validate(bytes: Uint8Array, options: ValidateOptions = {}): AsmError[] {
  if (bytes.length % SLOT_SIZE !== 0)
    return [
      new AsmError(`${bytes.length} bytes are not a whole number of 8-byte slots`, {
        insn: Math.floor(bytes.length / SLOT_SIZE),
      }),
    ];
  const v = new Validator(decodeSlots(bytes), options);
  v.run();
  return v.errors;
}
