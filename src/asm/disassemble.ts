/**
 * Instructions to text, in LLVM's dialect (llvm-objdump) or the kernel verifier's (kernel/bpf/disasm.c), from the
 * templates of the table.
 */
import { HELPER_PROTOS } from "../uapi/index.ts";
import { decodeSlots, imm64At, isLdImm64, type Slots } from "./codec.ts";
import { templatesOf } from "./read-insn.ts";
import { rowAt, rowsOf } from "./rows.ts";
import type { InsnRow } from "./table.ts";
import { defaultOf, type Template, type TemplateField } from "./template.ts";

/** Names that the kernel's dialect may show; each gets the slots and the instruction's index. */
export interface KernelNames {
  /** Callee of a kfunc call, or of a helper without a name; default `kernel-function`, `unknown`. */
  readonly call?: (slots: Slots, i: number) => string | undefined;
  /** What LD_IMM64 loads; default the 64-bit number. */
  readonly imm64?: (slots: Slots, i: number) => string | undefined;
}

const signedHex = (v: number): string => (v < 0 ? `-0x${(-v).toString(16)}` : `0x${v.toString(16)}`);
const signed = (v: number): string => (v < 0 ? String(v) : `+${v}`);

function llvmField(f: TemplateField, s: Slots, i: number): string {
  const imm = s.imm[i]!;
  const off = s.off[i]!;
  switch (f) {
    case "dst":
      return `r${s.dst[i]}`;
    case "src":
      return `r${s.src[i]}`;
    case "wdst":
      return `w${s.dst[i]}`;
    case "wsrc":
      return `w${s.src[i]}`;
    case "off":
      return off < 0 ? ` - 0x${(-off).toString(16)}` : ` + 0x${off.toString(16)}`;
    case "jmp":
      return off < 0 ? signedHex(off) : `+${signedHex(off)}`;
    case "jmpl":
    case "rel":
      return imm < 0 ? signedHex(imm) : `+${signedHex(imm)}`;
    case "imm64": {
      const v = BigInt.asIntN(64, imm64At(s, i));
      return v < 0n ? `-0x${(-v).toString(16)}` : `0x${v.toString(16)}`;
    }
    case "lo":
      return signedHex(imm >>> 0);
    case "hi":
      return signedHex(s.imm[i + 1]!);
    case "pseudo":
      return signedHex(s.src[i]!);
    case "fdidx":
      return signedHex(off);
    case "dstas":
      return signedHex(imm >>> 16);
    case "srcas":
      return signedHex(imm & 0xffff);
    default:
      return signedHex(imm);
  }
}

function kernelField(f: TemplateField, s: Slots, i: number, names: KernelNames): string {
  const imm = s.imm[i]!;
  const off = s.off[i]!;
  switch (f) {
    case "off":
    case "jmp":
      return signed(off);
    case "jmpl":
    case "rel":
      return signed(imm);
    case "ximm":
      return `0x${(imm >>> 0).toString(16)}`;
    case "imm64":
      return names.imm64?.(s, i) ?? `0x${imm64At(s, i).toString(16)}`;
    case "lo":
      return String(imm >>> 0);
    case "hi":
      return String(s.imm[i + 1]!);
    case "name":
      return (
        (imm >= 0 && s.src[i] === 0 ? HELPER_PROTOS[imm]?.name : undefined) ?? names.call?.(s, i) ?? "unknown"
      );
    case "kfunc":
      return names.call?.(s, i) ?? "kernel-function";
    case "fdidx":
      return String(off);
    case "dstas":
      return String(imm >>> 16);
    case "srcas":
      return String(imm & 0xffff);
    case "dst":
    case "src":
    case "wdst":
    case "wsrc":
      return llvmField(f, s, i);
    default:
      return String(imm);
  }
}

/** The text of `t` for the instruction at slot `i`, as LLVM formats its fields. */
export function printLlvm(t: Template, s: Slots, i: number): string {
  let text = "";
  for (const part of t.parts) text += part.field ? part.text + llvmField(part.field, s, i) : part.text;
  return text;
}

function printKernel(t: Template, s: Slots, i: number, names: KernelNames): string {
  let text = `(${s.op[i]!.toString(16).padStart(2, "0")}) `;
  for (const part of t.parts)
    text += part.field ? part.text + kernelField(part.field, s, i, names) : part.text;
  return text;
}

/** Whether `t` shows all that the instruction at `i` holds, so that the text assembles to the same bytes. */
function showsAll(t: Template, s: Slots, i: number): boolean {
  const { row } = t;
  return t.drops.every((f) => {
    const value = f === "hi" ? s.imm[i + 1]! : s[f][i]!;
    return value === defaultOf(row[f]);
  });
}

function rawSlot(s: Slots, i: number): string {
  const regs = s.dst[i]! | (s.src[i]! << 4);
  const words = [s.imm[i]! >>> 0, s.off[i]! & 0xffff, regs, s.op[i]!];
  return `.8byte 0x${words.map((w, n) => w.toString(16).padStart([8, 4, 2, 2][n]!, "0")).join("")}`;
}

export interface DisassembleOptions {
  /** Default `llvm`. */
  readonly dialect?: "llvm" | "kernel";
  /** Start lines with the slot's number and a colon. */
  readonly numbers?: boolean;
}

/**
 * One line an instruction, in a form that `assemble` (same dialect) turns into the same bytes. What the dialect's own
 * tool would drop (src of LD_IMM64, the kind of a call) is written in an extended form; a slot that is no proper
 * instruction comes out as `.8byte`. Throws AsmError when the length is not a multiple of 8.
 */
export function disassemble(bytes: Uint8Array, options: DisassembleOptions = {}): string {
  const s = decodeSlots(bytes);
  const dialect = options.dialect ?? "llvm";
  const templates = templatesOf(dialect);
  const lines: string[] = [];
  for (let i = 0; i < s.count; i++) {
    const row = rowAt(s, i);
    const t = row && templates.get(row)!.find((t) => t.reads && showsAll(t, s, i));
    const text = t ? (dialect === "llvm" ? printLlvm(t, s, i) : printKernel(t, s, i, {})) : rawSlot(s, i);
    // A number before a raw slot reads as a label, which does no harm.
    lines.push(options.numbers ? `${i}: ${text}` : text);
    if (t && isLdImm64(s.op[i]!)) i++;
  }
  return lines.length > 0 ? `${lines.join("\n")}\n` : "";
}

const CLASS_NAMES = ["ld", "ldx", "st", "stx", "alu", "jmp", "jmp32", "alu64"];

/** The row whose fixed fields the slot matches best: reserved fields in use do not change what the kernel prints. */
function nearestRow(s: Slots, i: number): InsnRow | undefined {
  let best: InsnRow | undefined;
  let bestScore = -1;
  for (const row of rowsOf(s.op[i]!)) {
    const score = [row.off === s.off[i], row.imm === s.imm[i], row.src === s.src[i]].filter(Boolean).length;
    if (score > bestScore) {
      best = row;
      bestScore = score;
    }
  }
  return best;
}

/**
 * The instruction at slot `i` exactly as print_bpf_insn of the kernel writes it to the verifier's log (no index, no line
 * break), reserved fields in use or not. Unknown opcodes, which the kernel refuses before it prints anything, get a
 * text of the same style.
 */
export function kernelInsnText(s: Slots, i: number, names: KernelNames = {}): string {
  const op = s.op[i]!;
  const code = op.toString(16).padStart(2, "0");
  const cls = op & 7;
  const row = rowAt(s, i) ?? nearestRow(s, i);
  if (!row) {
    if (cls <= 3) return `BUG_${["ld_", "ldx_", "st_", ""][cls]}${code}`;
    return `(${code}) ${CLASS_NAMES[cls]}`;
  }
  const { kind } = row;
  const dst = s.dst[i]!;
  // What the kernel prints of fields that it is about to refuse.
  if (kind === "end") return `(${code}) r${dst} = ${row.name.replace(/\d+$/, "")}${s.imm[i]} r${dst}`;
  if (row.name === "mov32_reg" && s.off[i] === 32) return `(${code}) w${dst} = (s32)w${s.src[i]}`;
  if ((kind === "atomic" || kind === "acquire") && row.imm !== s.imm[i]) return `BUG_${code}`;
  return printKernel(templatesOf("kernel").get(row)![0]!, s, i, names);
}
