/** Words of assembly text; one lexer for the three dialects and for the templates of the table. */
import { AsmError } from "../diag/index.ts";

export type Token =
  | { readonly kind: "id" | "punct" | "str"; readonly text: string }
  | { readonly kind: "num"; readonly text: string; readonly value: bigint }
  | { readonly kind: "reg"; readonly text: string; readonly reg: number; readonly w: boolean }
  /** A template's `{field}`. */
  | { readonly kind: "field"; readonly text: string };

/** A statement: what stands between two separators. */
export interface Statement {
  readonly line: number;
  /** As written, without the comment. */
  readonly text: string;
}

// `%=` is inline assembly's "unique number", part of a label's name; `1b`, `2f` are references to numeric labels.
const WORD =
  /[ \t\r\f\v]+|(\{\w+\})|%?([rwRW]\d{1,2}(?![\w.$]))|([A-Za-z_.$](?:[\w.$@]|%=)*)|%\[(\w+)\]|(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)(?:[uU]?[lL]{0,2}(?!\w)|([bf])(?!\w))|"((?:[^"\\\n]|\\.)*)"|(<<=|>>=|<<|>>|<=|>=|==|!=|\+=|-=|\*=|\/=|%=|&=|\|=|\^=|[-+*/%&|^~!()[\]<>=,:#@])/y;

const ESCAPES: Record<string, string> = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f" };

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{1,3}|[xX][0-9a-fA-F]+|.)/gs, (_, e: string) => {
    if (/^[0-7]/.test(e)) return String.fromCharCode(Number.parseInt(e, 8) & 0xff);
    if (/^[xX]./.test(e)) return String.fromCharCode(Number.parseInt(e.slice(1), 16) & 0xff);
    return ESCAPES[e] ?? e;
  });
}

/** The words of `text`, which holds no line break. `line` is for the error. */
export function lex(text: string, line?: number): Token[] {
  const tokens: Token[] = [];
  for (WORD.lastIndex = 0; WORD.lastIndex < text.length; ) {
    const at = WORD.lastIndex;
    const m = WORD.exec(text);
    if (!m)
      throw new AsmError(
        `unexpected ${JSON.stringify(text.slice(at, at + 20))} in "${shorten(text)}"`,
        line === undefined ? {} : { line },
      );
    const [whole, field, reg, id, bracketed, num, direction, str, punct] = m;
    if (field) tokens.push({ kind: "field", text: field.slice(1, -1) });
    else if (reg) {
      const n = Number(reg.slice(1));
      if (n > 11)
        throw new AsmError(`no register ${whole} in "${shorten(text)}"`, line === undefined ? {} : { line });
      tokens.push({ kind: "reg", text: whole, reg: n, w: reg[0] === "w" || reg[0] === "W" });
    } else if (id) tokens.push({ kind: "id", text: id });
    else if (bracketed) tokens.push({ kind: "id", text: bracketed });
    else if (num && direction) tokens.push({ kind: "id", text: num + direction });
    else if (num) {
      // No 64-bit number is longer, in whatever base, and longer ones take their time.
      if (num.length > 66)
        throw new AsmError(`${num.slice(0, 20)}... is too long a number`, line === undefined ? {} : { line });
      tokens.push({ kind: "num", text: whole, value: BigInt(num) });
    } else if (str !== undefined) tokens.push({ kind: "str", text: unescaped(str) });
    else if (punct) tokens.push({ kind: "punct", text: punct });
  }
  return tokens;
}

/** What an error quotes of the source. */
export function shorten(text: string): string {
  const line = text.trim();
  return line.length > 80 ? `${line.slice(0, 77)}...` : line;
}

/** Block comments become blanks, so that lines keep their numbers. */
function dropBlockComments(text: string): string {
  let out = "";
  for (let at = 0; ; ) {
    const start = text.indexOf("/*", at);
    if (start < 0) return out + text.slice(at);
    let end = text.indexOf("*/", start + 2);
    if (end < 0) end = text.length;
    out += `${text.slice(at, start)} ${text.slice(start, end).replace(/[^\n]/g, "")}`;
    at = end + 2;
  }
}

/** `line` cut at `mark` and at `separator`, outside strings. */
function cut(line: string, separator: string | undefined, ...marks: string[]): string[] {
  if (!line.includes('"')) {
    const end = Math.min(...marks.map((m) => line.indexOf(m)).map((at) => (at < 0 ? line.length : at)));
    const code = line.slice(0, end);
    return separator === undefined ? [code] : code.split(separator);
  }
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const c = line[i]!;
    if (quoted) {
      if (c === "\\") i++;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (marks.some((m) => line.startsWith(m, i))) return [...parts, line.slice(start, i)];
    else if (c === separator) {
      parts.push(line.slice(start, i));
      start = i + 1;
    }
  }
  return [...parts, line.slice(start)];
}

export interface Syntax {
  readonly separator?: string;
  readonly comments: readonly string[];
}

/** Statements of a text, empty ones left out. */
export function* statements(text: string, syntax: Syntax): Generator<Statement> {
  let number = 0;
  for (const whole of dropBlockComments(text).split("\n")) {
    number++;
    for (const part of cut(whole, syntax.separator, ...syntax.comments)) {
      if (part.trim() === "") continue;
      yield { line: number, text: part };
    }
  }
}
