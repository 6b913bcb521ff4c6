/**
 * The path on which a program was rejected, read back from the verifier's own log at level 1 (which keeps the failing
 * path only): one step an instruction, with the source line it belongs to and what the log said behind it.
 */
import { decodeSlots, type Slots } from "../asm/index.ts";
import type { LineInfo, VerifierInput, VerifierResult } from "../verifier/index.ts";

export interface Step {
  /** Slot. */
  readonly insn: number;
  /** As the log prints it. */
  readonly text: string;
  /** What changed: "R1=scalar(umax=255) R2=fp-8", or "". */
  readonly state: string;
}

export interface FailingPath {
  readonly steps: readonly Step[];
  readonly slots: Slots;
  /** Messages after the last instruction. */
  readonly messages: readonly string[];
  lineOf(insn: number): LineInfo | null;
}

const STEP = /^(\d+): (\([0-9a-f]{2}\) .*?)(?:\s+;(?: (.*))?)?$/;

export function failingPath(input: VerifierInput, result: VerifierResult): FailingPath {
  const steps: Step[] = [];
  let messages: string[] = [];
  for (const line of result.log.split("\n")) {
    const m = STEP.exec(line);
    if (m) {
      steps.push({ insn: Number(m[1]), text: m[2]!, state: m[3] ?? "" });
      messages = [];
    } else if (
      /^(\d+: R|from \d+ to|; |processed \d|verification time|stack depth|caller:|callee:|returning from)/.test(
        line,
      )
    ) {
      const state = /^\d+: (R.*)$/.exec(line)?.[1];
      const last = steps.at(-1);
      if (state !== undefined && last !== undefined) steps[steps.length - 1] = { ...last, state };
    } else if (line !== "") messages.push(line);
  }
  const lines = [...input.lineInfo].sort((a, b) => a.insn - b.insn);
  const lineOf = (insn: number): LineInfo | null => {
    let found: LineInfo | null = null;
    for (const line of lines) {
      if (line.insn > insn) break;
      found = line;
    }
    return found;
  };
  return { steps, slots: decodeSlots(input.insns), messages, lineOf };
}

const ALU = 4;
const LDX = 1;
const STX = 3;
const ALU64 = 7;
const MEM = 0x60;
const CALL = 0x85;

/** Whether the instruction at slot `i` writes register `r`. */
function writes(s: Slots, i: number, r: number): boolean {
  const op = s.op[i]!;
  const cls = op & 7;
  if (op === CALL) return r <= 5;
  return (cls === ALU || cls === ALU64 || cls === LDX || cls === 0) && s.dst[i] === r;
}

/**
 * Where register `r` got its value, seen from the end of the path: the steps that made it, latest first; copies and spills
 * are followed to where the value came from.
 */
export function originOf(path: FailingPath, r: number, most = 8): Step[] {
  const { steps, slots: s } = path;
  const out: Step[] = [];
  let reg = r;
  for (let at = steps.length - 2; at >= 0 && out.length < most; at--) {
    const step = steps[at]!;
    const i = step.insn;
    if (!writes(s, i, reg)) continue;
    const op = s.op[i]!;
    const cls = op & 7;
    out.push(step);
    const kind = op & 0xf0;
    const fromReg = (op & 8) !== 0;
    if ((cls === ALU64 || cls === ALU) && kind === 0xb0 && fromReg) reg = s.src[i]!;
    else if (cls === ALU64 || cls === ALU) {
      if (kind === 0xb0) break;
    } else if (cls === LDX && (op & 0xe0) === MEM && s.src[i] === 10) {
      // A fill: go on with what was spilled there.
      const slot = s.off[i];
      let spill = -1;
      for (let b = at - 1; b >= 0; b--) {
        const j = steps[b]!.insn;
        if ((s.op[j]! & 7) === STX && s.dst[j] === 10 && s.off[j] === slot) {
          spill = b;
          break;
        }
      }
      if (spill < 0) break;
      out.push(steps[spill]!);
      reg = s.src[steps[spill]!.insn]!;
      at = spill;
    } else break;
  }
  return out;
}

/** What the log said of a register, latest first. */
export function statesOf(path: FailingPath, r: number): string[] {
  const out: string[] = [];
  const pattern = new RegExp(`\\bR${r}(?:_w)?=([\\w\\[\\]+-]*\\((?:[^()]|\\([^()]*\\))*\\)|\\S+)`);
  for (let at = path.steps.length - 1; at >= 0; at--) {
    const m = pattern.exec(path.steps[at]!.state);
    if (m) out.push(m[1]!);
  }
  return out;
}

/** What the log said last of a register, or undefined. */
export function lastState(path: FailingPath, r: number): string | undefined {
  return statesOf(path, r)[0];
}
