/** One statement of assembly text to one instruction: the table's templates, followed as a tree. */
import { type Cursor, isPunct, type Mismatch, type NameLookup, readExpression } from "./expression.ts";
import type { Token } from "./lex.ts";
import { rowsOf } from "./rows.ts";
import { INSN_ROWS, type InsnRow } from "./table.ts";
import {
  allows,
  compileTemplates,
  type Dialect,
  defaultOf,
  type Element,
  type Template,
  type TemplateField,
} from "./template.ts";

/** A name in place of a number, settled when all labels are known. */
export interface LabelUse {
  readonly label: string;
  readonly use: "jmp" | "jmpl" | "call" | "imm64";
}

export interface ReadInsn {
  readonly row: InsnRow;
  readonly dst: number;
  readonly src: number;
  readonly off: number;
  readonly imm: number;
  readonly hi: number;
  readonly label?: LabelUse;
}

type Fields = { -readonly [K in keyof Omit<ReadInsn, "row">]?: ReadInsn[K] };

interface Node {
  readonly literals: Map<string, Node>;
  readonly edges: { readonly key: string; readonly element: Element; readonly to: Node }[];
  /** What ends here; they differ by src where the text tells it. */
  readonly rows: InsnRow[];
}

const newNode = (): Node => ({ literals: new Map(), edges: [], rows: [] });

function insert(root: Node, t: Template): void {
  let node = root;
  for (const element of t.elements) {
    if ("literal" in element) {
      let next = node.literals.get(element.literal);
      if (!next) node.literals.set(element.literal, (next = newNode()));
      node = next;
      continue;
    }
    const key = JSON.stringify(element);
    let edge = node.edges.find((e) => e.key === key);
    if (!edge) node.edges.push((edge = { key, element, to: newNode() }));
    node = edge.to;
  }
  node.rows.push(t.row);
}

const trees = new Map<string, Node>();

/** The tree of a dialect; the kernel's texts tell their opcode first, so that each opcode has a tree of its own. */
function treeOf(dialect: Dialect, op?: number): Node {
  const key = `${dialect}${op ?? ""}`;
  let tree = trees.get(key);
  if (tree) return tree;
  tree = newNode();
  const all = templatesOf(dialect);
  for (const row of op === undefined ? INSN_ROWS : rowsOf(op))
    for (const t of all.get(row) ?? []) if (t.reads) insert(tree, t);
  trees.set(key, tree);
  return tree;
}

const compiled = new Map<Dialect, Map<InsnRow, readonly Template[]>>();

/** Compiled on first use. */
export function templatesOf(dialect: Dialect): Map<InsnRow, readonly Template[]> {
  let all = compiled.get(dialect);
  if (!all) compiled.set(dialect, (all = compileTemplates(INSN_ROWS, dialect)));
  return all;
}

class Reader {
  private readonly cursor: Cursor;
  private readonly lookup: NameLookup;
  /** The mismatch that got furthest: the most telling one. */
  private worst: Mismatch & { readonly sure: boolean } = {
    at: -1,
    message: "no such instruction",
    sure: false,
  };

  constructor(tokens: readonly Token[], lookup: NameLookup) {
    this.cursor = { tokens, at: 0 };
    this.lookup = lookup;
  }

  read(tree: Node, at: number): ReadInsn | Mismatch {
    return this.step(tree, at, {}) ?? this.worst;
  }

  /** `sure`: the message names the fault itself, not just one of the continuations that did not match. */
  private fail(at: number, message: string, sure = false): undefined {
    const { worst } = this;
    if (at > worst.at || (at === worst.at && sure && !worst.sure)) this.worst = { at, message, sure };
    else if (at === worst.at && !worst.sure && message !== worst.message) {
      const token = this.cursor.tokens[at];
      const general = token ? `unexpected ${JSON.stringify(token.text)}` : "the instruction is cut short";
      this.worst = { at, message: general, sure: false };
    }
    return undefined;
  }

  private step(node: Node, at: number, fields: Fields): ReadInsn | undefined {
    const token = this.cursor.tokens[at];
    if (!token) {
      if (node.rows.length === 0) return this.fail(at, "the instruction is cut short");
      for (const row of node.rows) {
        const found = this.finish(row, at, fields);
        if (found) return found;
      }
      return undefined;
    }
    if (token.kind !== "str") {
      const next = node.literals.get(token.text);
      const found = next && this.step(next, at + 1, fields);
      if (found) return found;
    }
    for (const { element, to } of node.edges) {
      const after: Fields = { ...fields };
      const next = this.element(element, at, after);
      const found = next === undefined ? undefined : this.step(to, next, after);
      if (found) return found;
    }
    return this.fail(at, `unexpected ${JSON.stringify(token.text)}`);
  }

  /** The instruction, if the fields suit the row. Registers up to r11 pass: LLVM's assembler takes them. */
  private finish(row: InsnRow, at: number, f: Fields): ReadInsn | undefined {
    const insn: ReadInsn = {
      dst: defaultOf(row.dst),
      src: defaultOf(row.src),
      off: defaultOf(row.off),
      imm: defaultOf(row.imm),
      hi: defaultOf(row.hi),
      ...f,
      row,
    };
    if (typeof row.src === "number" && row.src !== insn.src)
      return this.fail(at, `no such instruction with src ${insn.src}`);
    if (!allows(row.imm, insn.imm) && insn.label === undefined)
      return this.fail(at, `${row.name} does not take ${insn.imm}`, true);
    if (!allows(row.hi ?? 0, insn.hi)) return this.fail(at, `the immediate of ${row.name} has 32 bits`);
    return insn;
  }

  /** Position after the element, or undefined. */
  private element(element: Element, at: number, f: Fields): number | undefined {
    const token = this.cursor.tokens[at];
    if ("literal" in element) return undefined;
    if ("reg" in element)
      return token?.kind === "reg" && token.reg === element.reg && token.w === element.w ? at + 1 : undefined;
    const field = element.field;
    switch (field) {
      case "dst":
      case "src":
      case "wdst":
      case "wsrc":
        return this.register(field, at, f);
      case "off":
        if (isPunct(token, ")") || isPunct(token, ",") || isPunct(token, "]")) {
          f.off = 0;
          return at;
        }
        if (!isPunct(token, "+") && !isPunct(token, "-")) return undefined;
        return this.number(field, at, f);
      case "name":
        return token?.kind === "id" ? at + 1 : undefined;
      case "kfunc": {
        const [a, b, c] = this.cursor.tokens.slice(at, at + 3);
        const named = a?.text === "kernel" && isPunct(b, "-") && c?.text === "function";
        return named ? at + 3 : undefined;
      }
      default:
        return this.number(field, at, f);
    }
  }

  private register(field: "dst" | "src" | "wdst" | "wsrc", at: number, f: Fields): number | undefined {
    const token = this.cursor.tokens[at];
    const w = field[0] === "w";
    const what = w ? "a w register" : "an r register";
    if (token?.kind !== "reg" || token.w !== w)
      return this.fail(at, `expected ${what}, found ${token?.text ?? "the end"}`);
    const key = field.endsWith("dst") ? "dst" : "src";
    if (f[key] !== undefined && f[key] !== token.reg)
      return this.fail(at, `expected ${w ? "w" : "r"}${f[key]} again, found ${token.text}`, true);
    f[key] = token.reg;
    return at + 1;
  }

  private number(field: TemplateField, at: number, f: Fields): number | undefined {
    const c = this.cursor;
    const use = LABEL_USES[field];
    const token = c.tokens[at];
    const next = c.tokens[at + 1];
    if (use && token?.kind === "id" && (next?.kind !== "punct" || isPunct(next, "<"))) {
      f.label = { label: token.text, use };
      return this.afterTarget(use, at + 1);
    }
    c.at = at;
    const value = readExpression(c, this.lookup);
    if (typeof value !== "bigint")
      return this.fail(value.at, value.message, value.message.startsWith("unknown"));
    const problem = store(field, value, f);
    if (problem) return this.fail(at, problem, true);
    return this.afterTarget(use, c.at);
  }

  /** Jump targets may carry objdump's note of the place: `goto +0x5 <main+0x48>`. */
  private afterTarget(use: LabelUse["use"] | undefined, at: number): number {
    if ((use === "jmp" || use === "jmpl") && isPunct(this.cursor.tokens[at], "<")) {
      const end = this.cursor.tokens.findIndex((t, i) => i > at && isPunct(t, ">"));
      if (end > 0) return end + 1;
    }
    return at;
  }
}

const LABEL_USES: { readonly [K in TemplateField]?: LabelUse["use"] } = {
  jmp: "jmp",
  jmpl: "jmpl",
  helper: "call",
  imm64: "imm64",
};

function fitting(value: bigint, low: bigint, high: bigint): boolean {
  return value >= low && value < high;
}

const S16 = 1n << 15n;
const S32 = 1n << 31n;
const U32 = 1n << 32n;
const U64 = 1n << 64n;

/** Puts a value into the fields; a message when it does not fit. */
function store(field: TemplateField, value: bigint, f: Fields): string | undefined {
  switch (field) {
    case "off":
    case "jmp":
    case "fdidx":
      if (!fitting(value, -S16, S16)) return `${value} does not fit 16 bits`;
      f.off = Number(value);
      return undefined;
    case "pseudo":
      if (!fitting(value, 0n, 16n)) return `${value} does not fit 4 bits`;
      f.src = Number(value);
      return undefined;
    case "imm64":
      f.imm = Number(BigInt.asIntN(32, value));
      f.hi = Number(BigInt.asIntN(32, value >> 32n));
      return undefined;
    case "dstas":
    case "srcas":
      if (!fitting(value, 0n, 1n << 16n)) return `address space ${value} does not fit 16 bits`;
      f.imm = (f.imm ?? 0) | (Number(value) << (field === "dstas" ? 16 : 0));
      return undefined;
    case "lo":
      // u32, so that a negative number means all 64 bits where both may stand.
      if (!fitting(value, 0n, U32)) return `${value} is no u32`;
      f.imm = Number(BigInt.asIntN(32, value));
      return undefined;
    case "hi":
      if (!fitting(value, -S32, U32)) return `${value} does not fit 32 bits`;
      f.hi = Number(BigInt.asIntN(32, value));
      return undefined;
    default:
      // A negative number written as u64 is welcome.
      if (!fitting(value, -S32, U32) && !fitting(value, U64 - S32, U64))
        return `${value} does not fit 32 bits`;
      f.imm = Number(BigInt.asIntN(32, value));
      return undefined;
  }
}

/** The instruction that starts at word `at`. `op`: the opcode, where the dialect tells it. */
export function readInsn(
  tokens: readonly Token[],
  at: number,
  dialect: Dialect,
  lookup: NameLookup,
  op?: number,
): ReadInsn | Mismatch {
  return new Reader(tokens, lookup).read(treeOf(dialect, op), at);
}
