/** The assembler directives that inline assembly and compiler output use (GNU as, LLVM's MC). */
import type { AsmError } from "../diag/index.ts";
import { type Cursor, isPunct, type NameLookup, readExpression } from "./expression.ts";
import type { Statement, Token } from "./lex.ts";
import type { SectionBytes } from "./output.ts";

/** What directives act on. */
export interface Sink {
  readonly out: SectionBytes;
  readonly lookup: NameLookup;
  enter(section: string): void;
  push(section: string): void;
  pop(): boolean;
  set(name: string, value: bigint): void;
  error(statement: Statement, message: string): AsmError;
}

const INTEGER_SIZE: Record<string, number> = {
  ".byte": 1,
  ".2byte": 2,
  ".short": 2,
  ".hword": 2,
  ".half": 2,
  ".4byte": 4,
  ".long": 4,
  ".int": 4,
  ".word": 4,
  ".8byte": 8,
  ".quad": 8,
  ".dword": 8,
};

/** Symbols' properties and debug information: nothing that changes the section's bytes. */
const IGNORED =
  /^\s*\.(globl|global|local|weak|hidden|protected|internal|type|size|file|loc|ident|addrsig|addrsig_sym|cfi_\w+|comm|lcomm|end|title|att_syntax)\b/;

export function isIgnored(text: string): boolean {
  return IGNORED.test(text);
}

const MAX_ALIGN = 1n << 16n;

/** The expressions between commas. */
function list(tokens: readonly Token[], sink: Sink, s: Statement): bigint[] {
  const values: bigint[] = [];
  const c: Cursor = { tokens, at: 0 };
  while (c.at < tokens.length) {
    if (values.length > 0) {
      if (!isPunct(tokens[c.at], ",")) throw sink.error(s, `unexpected ${tokens[c.at]!.text}`);
      c.at++;
    }
    const v = readExpression(c, sink.lookup);
    if (typeof v !== "bigint") throw sink.error(s, v.message);
    values.push(v);
  }
  return values;
}

/** The one expression that `tokens` are. */
export function expressionOf(tokens: readonly Token[], sink: Sink, s: Statement): bigint {
  const values = list(tokens, sink, s);
  if (values.length !== 1) throw sink.error(s, "expected one value");
  return values[0]!;
}

function count(v: bigint | undefined, sink: Sink, s: Statement): number {
  if (v === undefined || v < 0n || v > 1n << 30n) throw sink.error(s, `${v} is no count`);
  return Number(v);
}

function align(to: bigint, fill: bigint, sink: Sink, s: Statement): void {
  if (to < 1n || to > MAX_ALIGN || (to & (to - 1n)) !== 0n)
    throw sink.error(s, `cannot align to ${to} bytes`);
  const rest = sink.out.length % Number(to);
  if (rest !== 0) sink.out.fill(Number(to) - rest, Number(fill & 0xffn), s.line);
}

/** `.section name`, `.section "name", ...`: names hold characters that words lack. */
function sectionName(sink: Sink, s: Statement): string {
  const m = /^\s*\.(?:push)?section\s+(?:"([^"]+)"|([^\s,"]+))/.exec(s.text);
  const name = m?.[1] ?? m?.[2];
  if (name === undefined) throw sink.error(s, "expected a section's name");
  return name;
}

/** Carries out one directive: its words, the name first. */
export function runDirective(tokens: readonly Token[], sink: Sink, s: Statement): void {
  const name = tokens[0]!.text;
  const rest = tokens.slice(1);
  const size = INTEGER_SIZE[name];
  if (size !== undefined) {
    for (const v of list(rest, sink, s)) {
      const bits = size * 8;
      if (BigInt.asIntN(bits, v) !== v && BigInt.asUintN(bits, v) !== v)
        throw sink.error(s, `${v} does not fit ${bits} bits`);
      sink.out.integer(v, size, s.line);
    }
    return;
  }
  switch (name) {
    case ".text":
      sink.enter(".text");
      return;
    case ".data":
    case ".bss":
      sink.enter(name);
      return;
    case ".section":
      sink.enter(sectionName(sink, s));
      return;
    case ".pushsection":
      sink.push(sectionName(sink, s));
      return;
    case ".popsection":
      if (!sink.pop()) throw sink.error(s, ".popsection without its .pushsection");
      return;
    case ".p2align": {
      const [power = 0n, fill = 0n] = list(rest, sink, s);
      align(power >= 0n && power < 32n ? 1n << power : -1n, fill, sink, s);
      return;
    }
    case ".align":
    case ".balign": {
      const [to = 1n, fill = 0n] = list(rest, sink, s);
      align(to, fill, sink, s);
      return;
    }
    case ".zero":
    case ".skip":
    case ".space": {
      const [n, fill = 0n] = list(rest, sink, s);
      sink.out.fill(count(n, sink, s), Number(fill & 0xffn), s.line);
      return;
    }
    case ".fill": {
      const [n, width = 1n, v = 0n] = list(rest, sink, s);
      if (width < 1n || width > 8n) throw sink.error(s, `cannot fill units of ${width} bytes`);
      if (v === 0n) sink.out.fill(count(n, sink, s) * Number(width), 0, s.line);
      else for (let i = count(n, sink, s); i > 0; i--) sink.out.integer(v, Number(width), s.line);
      return;
    }
    case ".set":
    case ".equ":
      if (tokens[1]?.kind !== "id" || !isPunct(tokens[2], ","))
        throw sink.error(s, "expected a name, a value");
      sink.set(tokens[1].text, expressionOf(tokens.slice(3), sink, s));
      return;
    case ".ascii":
    case ".asciz":
    case ".string":
      for (const t of rest) {
        if (isPunct(t, ",")) continue;
        if (t.kind !== "str") throw sink.error(s, `expected a string, found ${t.text}`);
        for (const byte of new TextEncoder().encode(t.text)) sink.out.integer(BigInt(byte), 1, s.line);
        if (name !== ".ascii") sink.out.integer(0n, 1, s.line);
      }
      return;
    default:
      throw sink.error(s, `unknown directive ${name}`);
  }
}
