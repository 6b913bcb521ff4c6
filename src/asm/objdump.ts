/**
 * Whole objects as `llvm-objdump -d --no-show-raw-insn` (19, no -mcpu) prints them: llvm/tools/llvm-objdump's
 * disassembleObject, and LLVM's BPF decoder in what it checks and what it ignores.
 */
import {
  BPF_ADD,
  BPF_AND,
  BPF_ATOMIC,
  BPF_FETCH,
  BPF_JA,
  BPF_JMP32,
  BPF_OR,
  BPF_STX,
  BPF_W,
  BPF_XOR,
} from "../uapi/index.ts";
import { decodeSlots, isLdImm64, SLOT_SIZE, type Slots } from "./codec.ts";
import { printLlvm } from "./disassemble.ts";
import { rowsOf } from "./rows.ts";
import { INSN_ROWS, type InsnRow } from "./table.ts";
import { compileV1, type Template } from "./template.ts";

/** A symbol of the section, but for STT_SECTION ones, which objdump passes over. */
export interface ObjdumpSymbol {
  readonly name: string;
  /** Offset in the section. */
  readonly value: number;
  /** STT_*: 0 NOTYPE, 1 OBJECT, 2 FUNC... */
  readonly type: number;
}

/** An executable section (SHF_EXECINSTR, not NOBITS), in the file's order. */
export interface ObjdumpSection {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly symbols: readonly ObjdumpSymbol[];
}

const STT_OBJECT = 1;
const STT_FUNC = 2;
const STT_COMMON = 5;

const v1 = new Map<InsnRow, Template | undefined>(INSN_ROWS.map((row) => [row, compileV1(row)]));

/** Whether LLVM's decoder (below v3) takes slot `i` for `row`. */
function decodes(row: InsnRow, s: Slots, i: number): boolean {
  const off = s.off[i]!;
  const imm = s.imm[i]!;
  switch (row.kind) {
    case "alu":
    case "movsx":
    case "cast":
      return row.name.startsWith("neg") || row.off === off;
    case "end":
      return row.imm === imm;
    case "ldimm64":
      return off === 0 && i + 1 < s.count && (row.src === 0) === (s.src[i] === 0);
    case "atomic":
      // What does not fetch is known by the operation's high bits, unless the whole low byte says fetch; without ALU32
      // addition is the only 32-bit atomic, fetch or not. Bits above the low byte are not looked at.
      if (s.op[i] === W_ATOMIC) return row.imm === BPF_ADD && (imm & 0xf0) === 0;
      if (WITHOUT_FETCH.includes(row.imm as number))
        return (imm & 0xf0) === row.imm && (imm & 0xff) !== ((row.imm as number) | BPF_FETCH);
      return row.imm === (imm & 0xff);
    case "exit":
      return imm === 0;
    default:
      return true;
  }
}
const W_ATOMIC: number = BPF_STX | BPF_ATOMIC | BPF_W;
const WITHOUT_FETCH: readonly number[] = [BPF_ADD, BPF_OR, BPF_AND, BPF_XOR];

/** The template for slot `i`; undefined prints `<unknown>`. */
function templateAt(s: Slots, i: number): Template | undefined {
  for (const row of rowsOf(s.op[i]!)) if (decodes(row, s, i) && v1.get(row)) return v1.get(row);
  return undefined;
}

const MAX_REGISTER = 11;

function insnText(s: Slots, i: number): string | undefined {
  const t = templateAt(s, i);
  if (!t) return undefined;
  for (const { field } of t.parts) {
    if ((field === "dst" || field === "wdst") && s.dst[i]! > MAX_REGISTER) return undefined;
    if ((field === "src" || field === "wsrc") && s.src[i]! > MAX_REGISTER) return undefined;
  }
  return printLlvm(t, s, i);
}

/** Where the jump at slot `i` goes, in slots from it; undefined for other instructions. */
function jumpDistance(s: Slots, i: number, row: InsnRow): number | undefined {
  if (row.op === (BPF_JMP32 | BPF_JA)) return s.imm[i]!;
  return row.kind === "jump" || row.kind === "branch" || row.kind === "maygoto" ? s.off[i]! : undefined;
}

/** Zeros that are left out: runs of eight and more, in fours. */
function skippableZeros(bytes: Uint8Array, from: number, to: number): number {
  let n = 0;
  while (from + n < to && bytes[from + n] === 0) n++;
  return n < 8 ? 0 : n & ~3;
}

function dumpData(bytes: Uint8Array, from: number, to: number, lines: string[]): void {
  for (let at = from; at < to; at += 8) {
    const row = [...bytes.subarray(at, Math.min(at + 8, to))];
    const text = row.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : ".")).join("");
    const hex = row.map((b) => ` ${b.toString(16).padStart(2, "0")}`).join("");
    lines.push(`${at.toString(16).padStart(8)}:${hex.padEnd(24)}         ${text}`);
  }
}

/** By address, then name, then type; names compare by bytes. */
function compareSymbols(a: ObjdumpSymbol, b: ObjdumpSymbol): number {
  if (a.value !== b.value) return a.value - b.value;
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.type - b.type;
}

class SectionPrinter {
  private readonly bytes: Uint8Array;
  private readonly symbols: readonly ObjdumpSymbol[];
  private readonly lines: string[];
  /** The section's slots from an offset that is a multiple of 8 on, and from others once such are met. */
  private readonly slots = new Map<number, Slots>();

  constructor(section: ObjdumpSection, lines: string[]) {
    this.bytes = section.bytes;
    this.lines = lines;
    const symbols = section.symbols.filter((s) => s.name !== "").sort(compareSymbols);
    if (symbols[0]?.value !== 0) symbols.unshift({ name: section.name, value: 0, type: STT_FUNC });
    this.symbols = symbols;
  }

  print(): void {
    const { symbols } = this;
    for (let i = 0; i < symbols.length; ) {
      const start = symbols[i]!.value;
      while (i < symbols.length && symbols[i]!.value === start) i++;
      const shown = symbols[i - 1]!;
      const end = Math.min(this.bytes.length, symbols[i]?.value ?? this.bytes.length);
      if (start >= end) continue;
      this.lines.push("", `${start.toString(16).padStart(16, "0")} <${shown.name}>:`);
      if (shown.type === STT_OBJECT || shown.type === STT_COMMON)
        dumpData(this.bytes, start, end, this.lines);
      else this.code(start, end);
    }
  }

  private code(start: number, end: number): void {
    for (let at = start; at < end; ) {
      const zeros = skippableZeros(this.bytes, at, end);
      if (zeros > 0) {
        this.lines.push("\t\t...");
        at += zeros;
        continue;
      }
      const s = this.slotsAt(at % SLOT_SIZE);
      const i = Math.floor(at / SLOT_SIZE);
      const text = i < s.count ? insnText(s, i) : undefined;
      const number = String(i).padStart(8);
      this.lines.push(`${number}:\t${text === undefined ? "<unknown>" : text + this.target(s, i, at)}`);
      // What is too short for its instruction is passed byte by byte.
      const wide = i < s.count && isLdImm64(s.op[i]!);
      if (i >= s.count || (wide && i + 1 >= s.count)) at++;
      else at += wide && text !== undefined ? 2 * SLOT_SIZE : SLOT_SIZE;
    }
  }

  private slotsAt(phase: number): Slots {
    let s = this.slots.get(phase);
    if (!s) {
      const whole = this.bytes.length - ((this.bytes.length - phase) % SLOT_SIZE);
      s = decodeSlots(this.bytes.subarray(phase, Math.max(phase, whole)));
      this.slots.set(phase, s);
    }
    return s;
  }

  /** ` <symbol+0x10>` after a jump. A target before the section wraps around, and finds the last symbol. */
  private target(s: Slots, i: number, at: number): string {
    const distance = jumpDistance(s, i, templateAt(s, i)!.row);
    if (distance === undefined) return "";
    const target = at + SLOT_SIZE * (distance + 1);
    const symbol = target < 0 ? this.symbols.at(-1)! : this.symbolBefore(target);
    if (target === symbol.value) return ` <${symbol.name}>`;
    return ` <${symbol.name}+0x${BigInt.asUintN(64, BigInt(target - symbol.value)).toString(16)}>`;
  }

  /** The last symbol at or before an address. */
  private symbolBefore(address: number): ObjdumpSymbol {
    let low = 0;
    let high = this.symbols.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.symbols[middle]!.value <= address) low = middle;
      else high = middle;
    }
    return this.symbols[low]!;
  }
}

/** The lines that `llvm-objdump-19 -d --no-show-raw-insn FILE` prints, each with its line break. */
export function objdump(object: {
  readonly fileName: string;
  readonly sections: readonly ObjdumpSection[];
}): string {
  const lines = ["", `${object.fileName}:\tfile format elf64-bpf`];
  for (const section of object.sections) {
    if (section.bytes.length === 0) continue;
    lines.push("", `Disassembly of section ${section.name}:`);
    new SectionPrinter(section, lines).print();
  }
  return `${lines.join("\n")}\n`;
}
