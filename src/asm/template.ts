/**
 * Instruction texts as templates: `{dst} += {imm}`. A template prints an instruction and reads one.
 *
 *   {dst} {src} {wdst} {wsrc}   r or w register
 *   {off}                       signed displacement after a register
 *   {imm} {ximm}                imm; the second prints as hexadecimal u32
 *   {lo} {hi} {imm64} {rel}     halves of LD_IMM64, the whole, the low half as a slot distance
 *   {pseudo}                    src of LD_IMM64, a number
 *   {jmp} {jmpl}                jump distance in off, in imm
 *   {helper} {name} {kfunc}     callee: number or name; the name alone, which reading skips
 *   {fdidx} {dstas} {srcas}     off of a kfunc call; high and low half of addr_space_cast's imm
 */
import { lex } from "./lex.ts";
import type { FieldRule, InsnRow } from "./table.ts";

export type TemplateField =
  | "dst"
  | "src"
  | "wdst"
  | "wsrc"
  | "off"
  | "imm"
  | "ximm"
  | "lo"
  | "hi"
  | "imm64"
  | "rel"
  | "pseudo"
  | "jmp"
  | "jmpl"
  | "helper"
  | "name"
  | "kfunc"
  | "fdidx"
  | "dstas"
  | "srcas";

/** Fields of the instruction that a template can carry. */
type Carried = "dst" | "src" | "off" | "imm" | "hi";

const CARRIES: Record<TemplateField, readonly Carried[]> = {
  dst: ["dst"],
  src: ["src"],
  wdst: ["dst"],
  wsrc: ["src"],
  off: ["off"],
  imm: ["imm"],
  ximm: ["imm"],
  lo: ["imm"],
  hi: ["hi"],
  imm64: ["imm", "hi"],
  rel: ["imm"],
  pseudo: ["src"],
  jmp: ["off"],
  jmpl: ["imm"],
  helper: ["imm"],
  name: [],
  kfunc: [],
  fdidx: ["off"],
  dstas: ["imm"],
  srcas: ["imm"],
};

export type Element =
  | { readonly literal: string }
  | { readonly field: TemplateField }
  | { readonly reg: number; readonly w: boolean };

export interface Template {
  readonly row: InsnRow;
  /** Alternately literal text and field, for printing. */
  readonly parts: readonly { readonly text: string; readonly field?: TemplateField }[];
  /** For reading. */
  readonly elements: readonly Element[];
  /** Fields that may vary in this row and that this text does not show. */
  readonly drops: readonly Carried[];
  /** False when an earlier row of the table owns this very text. */
  readonly reads: boolean;
}

export type Dialect = "llvm" | "kernel" | "mnemonic";

/** The one value of a field that has only one, 0 for a field that may vary: what assembling starts from. */
export function defaultOf(rule: FieldRule | undefined): number {
  return typeof rule === "number" ? rule : 0;
}

export function allows(rule: FieldRule, value: number): boolean {
  switch (rule) {
    case "any":
    case "ignored":
      return true;
    case "reg":
      return value <= 10;
    case "out":
      return value <= 9;
    default:
      return typeof rule === "number" ? rule === value : rule.includes(value);
  }
}

function compile(row: InsnRow, text: string, claimed: Set<string>, scope: string): Template {
  const parts: { text: string; field?: TemplateField }[] = [];
  let at = 0;
  for (const m of text.matchAll(/\{(\w+)\}/g)) {
    parts.push({ text: text.slice(at, m.index), field: m[1] as TemplateField });
    at = m.index + m[0].length;
  }
  if (at < text.length) parts.push({ text: text.slice(at) });
  const elements = lex(text).map((t): Element => {
    if (t.kind === "field") return { field: t.text as TemplateField };
    return t.kind === "reg" ? { reg: t.reg, w: t.w } : { literal: t.text };
  });
  const shown = new Set(parts.flatMap((p) => (p.field ? CARRIES[p.field] : [])));
  const fields: readonly [Carried, FieldRule | undefined][] = [
    ["dst", row.dst],
    ["src", row.src],
    ["off", row.off],
    ["imm", row.imm],
    ["hi", row.hi],
  ];
  const drops = fields.filter(([f, rule]) => rule !== undefined && typeof rule !== "number" && !shown.has(f));
  const key = `${scope} ${text.replace(/\{(imm|ximm|helper)\}/g, "{imm}").replace("{pseudo}", String(row.src))}`;
  const reads = !claimed.has(key);
  claimed.add(key);
  return { row, parts, elements, drops: drops.map(([f]) => f), reads };
}

/** All templates of `rows` in one dialect, in table order. `scope` keeps the texts of the kernel's opcodes apart. */
export function compileTemplates(
  rows: readonly InsnRow[],
  dialect: Dialect,
): Map<InsnRow, readonly Template[]> {
  const claimed = new Set<string>();
  const scope = (row: InsnRow): string => (dialect === "kernel" ? String(row.op) : "");
  return new Map(rows.map((r) => [r, r[dialect].map((text) => compile(r, text, claimed, scope(r)))]));
}

/** LLVM's texts below -mcpu=v3 where they differ; undefined: unknown to it. */
export function compileV1(row: InsnRow): Template | undefined {
  const text = row.llvmV1 === undefined ? row.llvm[0] : row.llvmV1;
  return text === null || text === undefined ? undefined : compile(row, text, new Set(), "");
}
