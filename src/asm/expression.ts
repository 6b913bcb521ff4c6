/** Constant expressions of assembly text, with C's precedence, over 64-bit values. */
import type { Token } from "./lex.ts";

/** A position in a statement's words. Readers advance `at`, and set it back when they do not match. */
export interface Cursor {
  readonly tokens: readonly Token[];
  at: number;
}

/** Why the words at the cursor do not read; data, since another template may still match. */
export interface Mismatch {
  readonly at: number;
  readonly message: string;
}

/** What a name stands for; undefined when nobody knows. */
export type NameLookup = (name: string) => bigint | undefined;

const BINARY: Record<string, readonly [precedence: number, apply: (a: bigint, b: bigint) => bigint]> = {
  "|": [1, (a, b) => a | b],
  "^": [2, (a, b) => a ^ b],
  "&": [3, (a, b) => a & b],
  "<<": [4, (a, b) => a << (b & 63n)],
  ">>": [4, (a, b) => a >> (b & 63n)],
  "+": [5, (a, b) => a + b],
  "-": [5, (a, b) => a - b],
  "*": [6, (a, b) => a * b],
  "/": [6, (a, b) => (b === 0n ? 0n : a / b)],
  "%": [6, (a, b) => (b === 0n ? 0n : a % b)],
};

const MAX_NESTING = 64;

/** Low 64 bits, as s64 unless the value is a u64 above it: what a 64-bit assembler holds, without losing -1. */
const clip = (value: bigint): bigint =>
  value >= -(1n << 63n) && value < 1n << 64n ? value : BigInt.asIntN(64, value);

export function isPunct(token: Token | undefined, text: string): boolean {
  return token?.kind === "punct" && token.text === text;
}

/** Reads an expression at the cursor. */
export function readExpression(c: Cursor, lookup: NameLookup): bigint | Mismatch {
  return binary(c, lookup, 0, 0);
}

function binary(c: Cursor, lookup: NameLookup, min: number, depth: number): bigint | Mismatch {
  let left = unary(c, lookup, depth);
  while (typeof left === "bigint") {
    const t = c.tokens[c.at];
    const op = t?.kind === "punct" ? BINARY[t.text] : undefined;
    if (!op || op[0] <= min) return left;
    c.at++;
    const right = binary(c, lookup, op[0], depth + 1);
    if (typeof right !== "bigint") return right;
    left = clip(op[1](left, right));
  }
  return left;
}

function unary(c: Cursor, lookup: NameLookup, depth: number): bigint | Mismatch {
  const at = c.at;
  const t = c.tokens[at];
  if (depth > MAX_NESTING) return { at, message: "expression nested too deeply" };
  if (!t) return { at, message: "expected a value" };
  c.at++;
  if (t.kind === "num") return clip(t.value);
  if (t.kind === "id") return lookup(t.text) ?? { at, message: `unknown name ${t.text}` };
  if (t.kind === "punct" && "-+~!".includes(t.text)) {
    const value = unary(c, lookup, depth + 1);
    if (typeof value !== "bigint") return value;
    if (t.text === "-") return clip(-value);
    if (t.text === "~") return ~value;
    return t.text === "!" ? (value === 0n ? 1n : 0n) : value;
  }
  if (isPunct(t, "(")) {
    const value = binary(c, lookup, 0, depth + 1);
    if (typeof value !== "bigint") return value;
    if (!isPunct(c.tokens[c.at], ")")) return { at: c.at, message: 'expected ")"' };
    c.at++;
    return value;
  }
  c.at = at;
  return { at, message: `expected a value, found ${t.text}` };
}
