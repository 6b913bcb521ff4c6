/** One random program on every target: do registers and memory agree? And the smallest program that still disagrees. */
import { type Insn, ja } from "../../src/asm/index.ts";
import {
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CALL,
  BPF_EXIT,
  BPF_FETCH,
  BPF_JA,
  BPF_JMP,
  BPF_JMP32,
  BPF_PSEUDO_CALL,
  BPF_STX,
  BPF_XOR,
} from "../../src/uapi/index.ts";
import type { Outcome, Target } from "../engines.ts";

/** Names the bytes of the compared value (fuzz-isa-generate.ts draws it). */
function placeName(at: number): string {
  if (at < 256) return `memory[${at}]`;
  if (at < 336) return `r${(at - 256) >> 3}`;
  return `stack[${at - 336}]`;
}

export type Verdict =
  | { readonly kind: "same" }
  /** The kernel does not take the program. */
  | { readonly kind: "rejected"; readonly text: string }
  /** The kernel's verifier removed code that runs (see withOpaqueFetches); without that the kernel agrees with all. */
  | { readonly kind: "pruned"; readonly text: string }
  | { readonly kind: "different"; readonly text: string; readonly expected: Outcome | undefined };

function firstDifference(want: Outcome, got: Outcome): string | undefined {
  const at = want.memory.findIndex((byte, i) => byte !== got.memory[i]);
  if (at >= 0) {
    const place = placeName(at);
    const from = at < 256 ? at : at - (at % 8);
    const bytes = (o: Outcome): string => Buffer.from(o.memory.subarray(from, from + 8)).toString("hex");
    return `${place} is ${bytes(got)}, not ${bytes(want)} (bytes)`;
  }
  return want.retval !== got.retval ? `returns ${got.retval}, not ${want.retval}` : undefined;
}

/**
 * Does the program mean the same wherever its memory lies and whatever the stack held? (The verifier lets a privileged
 * program read its stack before it wrote there, and store pointers.)
 */
export function wellDefined(targets: readonly Target[], insns: readonly Insn[], memory: Uint8Array): boolean {
  return targets.every((target) => {
    const a = target.run(insns, memory, 0);
    const b = target.run(insns, memory, 1);
    if (typeof a === "string" || typeof b === "string") return typeof a === typeof b;
    return firstDifference(a, b) === undefined;
  });
}

/** The first target is the reference; the kernel, where it takes part, must be that one. */
export function compare(targets: readonly Target[], insns: readonly Insn[], memory: Uint8Array): Verdict {
  const [first, ...others] = targets;
  const want = first!.run(insns, memory);
  if (typeof want === "string") {
    if (first!.name === "kernel") return { kind: "rejected", text: want };
    return { kind: "different", text: `${first!.name}: ${want}`, expected: undefined };
  }
  for (const target of others) {
    const got = target.run(insns, memory);
    const text = typeof got === "string" ? got : firstDifference(want, got);
    if (text === undefined) continue;
    if (first!.name === "kernel" && typeof got !== "string") {
      const opaque = first!.run(withOpaqueFetches(insns), memory);
      const agrees = (o: Outcome | string): boolean =>
        typeof o !== "string" && firstDifference(got, o) === undefined;
      if (agrees(opaque) && others.every((other) => agrees(other.run(insns, memory))))
        return { kind: "pruned", text };
    }
    // What went wrong without checks may have written anywhere.
    if (target.name === "jit") target.reset();
    return { kind: "different", text: `${target.name}: ${text}`, expected: want };
  }
  return { kind: "same" };
}

const slotsOf = (insn: Insn): number => (insn.imm64 !== undefined ? 2 : 1);
const isNop = (insn: Insn): boolean => insn.op === (BPF_JMP | BPF_JA) && insn.off === 0;

/** Where an instruction jumps or calls, in slots from the next one; undefined: it does not. */
function distance(insn: Insn): number | undefined {
  const cls = insn.op & 7;
  if (cls !== BPF_JMP && cls !== BPF_JMP32) return undefined;
  const code = insn.op & 0xf0;
  if (code === BPF_EXIT) return undefined;
  if (code === BPF_CALL) return insn.src === BPF_PSEUDO_CALL ? insn.imm : undefined;
  return cls === BPF_JMP32 && code === BPF_JA ? insn.imm : insn.off;
}

/** Puts `expand(insn)` in the place of every instruction and moves the jumps. A jump or call must come out last, or not at all. */
function rewrite(insns: readonly Insn[], expand: (insn: Insn) => readonly Insn[]): Insn[] {
  const expanded = insns.map(expand);
  // New slot of every old slot.
  const moved: number[] = [];
  let count = 0;
  for (const [i, insn] of insns.entries()) {
    moved.push(count);
    if (slotsOf(insn) === 2) moved.push(count + 1);
    for (const one of expanded[i]!) count += slotsOf(one);
  }
  moved.push(count);
  const out: Insn[] = [];
  let slot = 0;
  for (const [i, insn] of insns.entries()) {
    const next = slot + slotsOf(insn);
    const to = distance(insn);
    if (to === undefined) out.push(...expanded[i]!);
    else if (expanded[i]!.length > 0) {
      out.push(...expanded[i]!.slice(0, -1));
      const delta = moved[next + to]! - moved[next]!;
      const inImm = (insn.op & 0xf0) === BPF_CALL || insn.op === (BPF_JMP32 | BPF_JA);
      out.push(inImm ? { ...insn, imm: delta } : { ...insn, off: delta });
    }
    slot = next;
  }
  return out;
}

/** Takes the `goto +0` out. */
export function withoutNops(insns: readonly Insn[]): Insn[] {
  return rewrite(insns, (insn) => (isNop(insn) ? [] : [insn]));
}

/**
 * The same program for a verifier that forgets precision at atomic fetches, as Linux 6.18.44 does: what `r = fetch(slot)`
 * read is known from the slot, but when a branch is decided by r, the slot is not marked precise. A later path with
 * another value in the slot then counts as seen, and the branch that only that path takes is removed as dead code.
 * A pair of xors that cancel out make the slot unknown to the verifier and change nothing else.
 */
export function withOpaqueFetches(insns: readonly Insn[]): Insn[] {
  return rewrite(insns, (insn) => {
    const atomic = (insn.op & 0xe7) === (BPF_STX | BPF_ATOMIC);
    if (!atomic || (insn.imm & BPF_FETCH) === 0) return [insn];
    const flip = { ...insn, imm: BPF_XOR };
    return [flip, flip, insn];
  });
}

/** Registers that a jump backwards compares: loop counters. */
function counters(insns: readonly Insn[]): Set<number> {
  const found = new Set<number>();
  for (const insn of insns) {
    const cls = insn.op & 7;
    const conditional = (insn.op & 0xf0) !== BPF_JA && (insn.op & 0xf0) !== BPF_CALL;
    if ((cls === BPF_JMP || cls === BPF_JMP32) && conditional && (distance(insn) ?? 0) < 0)
      found.add(insn.dst);
  }
  return found;
}

/** Does `tried` still set and count every loop counter? Without it the verifier walks a loop to its limit, for minutes. */
function keepsCounters(before: readonly Insn[], tried: readonly Insn[]): boolean {
  const writes = (insns: readonly Insn[], reg: number): number =>
    insns.filter((insn) => insn.dst === reg && ((insn.op & 7) === BPF_ALU64 || insn.imm64 !== undefined))
      .length;
  return [...counters(tried)].every((reg) => writes(before, reg) === writes(tried, reg));
}

/** Replaces runs of instructions by nothing as long as `stillWrong` holds. */
export function reduce(insns: readonly Insn[], stillWrong: (insns: readonly Insn[]) => boolean): Insn[] {
  let best = [...insns];
  for (let again = true; again; ) {
    again = false;
    for (let size = best.length >> 1; size >= 1; size >>= 1)
      for (let at = 0; at < best.length; at += size) {
        const chunk = best.slice(at, at + size);
        if (chunk.every(isNop)) continue;
        const nops = chunk.flatMap((insn) => (slotsOf(insn) === 2 ? [ja(0), ja(0)] : [ja(0)]));
        const tried = [...best.slice(0, at), ...nops, ...best.slice(at + size)];
        if (!keepsCounters(best, tried) || !stillWrong(tried)) continue;
        best = tried;
        again = true;
      }
    const tight = withoutNops(best);
    if (tight.length < best.length && stillWrong(tight)) best = tight;
    else break;
  }
  return best;
}
