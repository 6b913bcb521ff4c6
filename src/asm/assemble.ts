/**
 * Assembly text to instructions.
 *
 * - `llvm`: what clang's integrated assembler takes (`r0 = *(u32 *)(r1 + 4)`), with its labels, comments and directives,
 *   and what `disassemble` adds to it for fields that LLVM's texts drop.
 * - `kernel`: the verifier log's lines, `3: (b7) r1 = 0`; the opcode in parentheses is required.
 * - `mnemonic`: the conformance vectors' language (`mov32 %r1, -1`, `lock fetch add [%r1+4], %r2`).
 */
import { AsmError } from "../diag/index.ts";
import { BPF_EXIT, BPF_JMP, BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, HELPER_PROTOS } from "../uapi/index.ts";
import { isLdImm64 } from "./codec.ts";
import { expressionOf, isIgnored, runDirective, type Sink } from "./directives.ts";
import { isPunct } from "./expression.ts";
import { lex, type Statement, type Syntax, shorten, statements, type Token } from "./lex.ts";
import { SectionBytes } from "./output.ts";
import { type LabelUse, readInsn } from "./read-insn.ts";
import type { Dialect } from "./template.ts";

/** What a name may stand for: a number, or for a call and a 64-bit immediate also a pseudo source register. */
export type Resolved = number | bigint | { readonly src: number; readonly value: number | bigint };

export interface AssembleOptions {
  /** Default `llvm`. */
  readonly dialect?: Dialect;
  /**
   * Names that the text does not define: `%[name]` operands, maps, functions of other objects. Labels, `.set` symbols
   * and helpers' names (`call bpf_ktime_get_ns`) come first. undefined: unknown, an error.
   */
  readonly resolve?: (name: string, use: "value" | "call" | "imm64") => Resolved | undefined;
}

export interface Assembled {
  /** The instructions: what stands in the section where the text starts (`.text`). */
  readonly bytes: Uint8Array;
  /** Labels of that section: byte offsets. */
  readonly labels: ReadonlyMap<string, number>;
  /** Every section that got bytes, `.text` included. */
  readonly sections: ReadonlyMap<string, Uint8Array>;
}

const SYNTAX: Record<Dialect, Syntax> = {
  llvm: { separator: ";", comments: ["#", "//"] },
  kernel: { comments: [";"] },
  mnemonic: { comments: ["#"] },
};

/** Statements that `.rept` may add: the kernel's largest program. */
const MAX_REPEATED = 1 << 20;
const MAX_NESTING = 32;

const KERNEL_LINE = /^\s*(?:\d+:\s*)?\(([0-9a-fA-F]{2})\)/;

const helperIds = new Map(HELPER_PROTOS.slice(1).map((h) => [h.name, h.id]));

interface Section {
  readonly name: string;
  readonly out: SectionBytes;
  readonly labels: Map<string, number>;
}

interface Fixup extends LabelUse {
  readonly section: Section;
  readonly at: number;
  readonly statement: Statement;
}

const numbered = (n: string, count: number): string => `${n}#${count}`;

class Assembler implements Sink {
  readonly sections = new Map<string, Section>();
  section: Section = this.enter(".text");
  private readonly stack: Section[] = [];
  private readonly symbols = new Map<string, bigint>();
  private readonly labelNames = new Set<string>();
  private readonly numericLabels = new Map<string, number>();
  private readonly fixups: Fixup[] = [];
  private readonly dialect: Dialect;
  private readonly resolve: NonNullable<AssembleOptions["resolve"]>;
  /** The mnemonic dialect's implicit label `exit`: the last such instruction. */
  private lastExit: number | undefined;
  private repeated = 0;

  constructor(options: AssembleOptions) {
    this.dialect = options.dialect ?? "llvm";
    this.resolve = options.resolve ?? (() => undefined);
  }

  // ---- Sink ----
  get out(): SectionBytes {
    return this.section.out;
  }
  enter(name: string): Section {
    let section = this.sections.get(name);
    if (!section) this.sections.set(name, (section = { name, out: new SectionBytes(), labels: new Map() }));
    return (this.section = section);
  }
  push(name: string): void {
    this.stack.push(this.section);
    this.enter(name);
  }
  pop(): boolean {
    const section = this.stack.pop();
    if (section) this.section = section;
    return section !== undefined;
  }
  set(name: string, value: bigint): void {
    this.symbols.set(name, value);
  }
  readonly lookup = (name: string): bigint | undefined => {
    const own = this.symbols.get(name);
    if (own !== undefined) return own;
    const value = this.resolve(name, "value");
    if (value === undefined || typeof value === "object") return undefined;
    return BigInt(value);
  };

  // ---- statements ----
  run(text: string): void {
    this.block([...statements(text, SYNTAX[this.dialect])]);
    for (const fixup of this.fixups) this.settle(fixup);
  }

  private block(list: readonly Statement[], depth = 0): void {
    for (let i = 0; i < list.length; i++) {
      const word = /^\s*(\.rept|\.endr)\b(.*)/s.exec(list[i]!.text);
      if (!word) {
        this.statement(list[i]!);
        continue;
      }
      const end = word[1] === ".rept" ? matchingEndr(list, i) : -1;
      if (end < 0)
        throw this.error(list[i]!, `${word[1]} without its ${word[1] === ".rept" ? ".endr" : ".rept"}`);
      const count = expressionOf(lex(word[2]!, list[i]!.line), this, list[i]!);
      if (depth === MAX_NESTING) throw this.error(list[i]!, `.rept nested deeper than ${MAX_NESTING}`);
      if (count < 0n) throw this.error(list[i]!, `cannot repeat ${count} times`);
      const body = list.slice(i + 1, end);
      for (let n = 0n; n < count; n++) {
        this.repeated += body.length + 1;
        if (this.repeated > MAX_REPEATED)
          throw this.error(list[i]!, `more than ${MAX_REPEATED} repeated statements`);
        this.block(body, depth + 1);
      }
      i = end;
    }
  }

  error(statement: Statement, message: string): AsmError {
    return new AsmError(`${message} in "${shorten(statement.text)}"`, { line: statement.line });
  }

  private statement(s: Statement): void {
    const opcode = this.dialect === "kernel" ? KERNEL_LINE.exec(s.text) : null;
    if (opcode) {
      const rest = lex(s.text.slice(opcode[0].length), s.line);
      this.insn(s, rest, 0, Number.parseInt(opcode[1]!, 16));
      return;
    }
    if (isIgnored(s.text)) return;
    const tokens = lex(s.text, s.line);
    let at = 0;
    while (isPunct(tokens[at + 1], ":")) {
      this.label(tokens[at]!, s);
      at += 2;
    }
    const first = tokens[at];
    if (!first) return;
    if (first.kind === "id" && isPunct(tokens[at + 1], "="))
      this.set(first.text, expressionOf(tokens.slice(at + 2), this, s));
    else if (first.kind === "id" && first.text.startsWith(".")) runDirective(tokens.slice(at), this, s);
    else if (this.dialect === "kernel") throw this.error(s, "expected an opcode in parentheses, as in (b7)");
    else this.insn(s, tokens, at);
  }

  private label(token: Token, s: Statement): void {
    let name = token.text;
    if (token.kind === "num") {
      const count = (this.numericLabels.get(name) ?? 0) + 1;
      this.numericLabels.set(name, count);
      name = numbered(name, count);
    } else if (token.kind !== "id") throw this.error(s, `${token.text} cannot be a label`);
    else if (this.labelNames.has(name)) throw this.error(s, `label ${name} is already defined`);
    this.labelNames.add(name);
    this.section.labels.set(name, this.out.length);
  }

  private insn(s: Statement, tokens: readonly Token[], start: number, op?: number): void {
    const insn = readInsn(tokens, start, this.dialect, this.lookup, op);
    if ("message" in insn) throw this.error(s, insn.message);
    const code = insn.row.op;
    const at = this.out.insn(code, insn.dst, insn.src, insn.off, insn.imm, s.line);
    if (isLdImm64(code)) this.out.insn(0, 0, 0, 0, insn.hi, s.line);
    if (code === (BPF_JMP | BPF_EXIT)) this.lastExit = at;
    if (insn.label) this.use(insn.label, at, s);
  }

  private use(use: LabelUse, at: number, statement: Statement): void {
    const m = /^(\d+)([bf])$/.exec(use.label);
    let label = use.label;
    if (m) {
      const count = this.numericLabels.get(m[1]!) ?? 0;
      label = numbered(m[1]!, m[2] === "b" ? count : count + 1);
    }
    this.fixups.push({ label, use: use.use, section: this.section, at, statement });
  }

  // ---- labels ----
  private settle(f: Fixup): void {
    const { out, labels } = f.section;
    let target = labels.get(f.label);
    if (target === undefined && this.dialect === "mnemonic" && f.label === "exit") target = this.lastExit;
    if (target === undefined) {
      this.settleName(f);
      return;
    }
    const delta = (target - f.at - 8) / 8;
    if (!Number.isInteger(delta)) throw this.error(f.statement, `label ${f.label} is not at an instruction`);
    if (f.use === "jmp") {
      if (delta < -0x8000 || delta > 0x7fff)
        throw this.error(f.statement, `label ${f.label} is ${delta} slots away, too far for 16 bits`);
      out.setOff(f.at, delta);
      return;
    }
    if (f.use === "call") out.setSrc(f.at, BPF_PSEUDO_CALL);
    if (f.use === "imm64") out.setSrc(f.at, BPF_PSEUDO_FUNC);
    out.setImm(f.at, delta);
  }

  /** A name that is no label of this section. */
  private settleName(f: Fixup): void {
    const { out } = f.section;
    const jumps = f.use === "jmp" || f.use === "jmpl";
    const value: Resolved | undefined =
      this.symbols.get(f.label) ??
      (f.use === "call" ? helperIds.get(f.label) : undefined) ??
      this.resolve(f.label, f.use === "call" || f.use === "imm64" ? f.use : "value");
    if (value === undefined) {
      const what = /#/.test(f.label) ? `no label ${f.label.split("#")[0]} there` : `unknown name ${f.label}`;
      throw this.error(f.statement, what);
    }
    const number = BigInt(typeof value === "object" ? value.value : value);
    if (typeof value === "object") {
      if (jumps) throw this.error(f.statement, `${f.label} is not a place to jump to`);
      out.setSrc(f.at, value.src & 15);
    }
    const bits = f.use === "jmp" ? 16 : f.use === "imm64" ? 64 : 32;
    if (BigInt.asIntN(bits, number) !== number && BigInt.asUintN(bits, number) !== number)
      throw this.error(f.statement, `${f.label} is ${number}, which does not fit ${bits} bits`);
    if (f.use === "jmp") out.setOff(f.at, Number(BigInt.asIntN(16, number)));
    else out.setImm(f.at, Number(BigInt.asIntN(32, number)));
    if (f.use === "imm64") out.setImm(f.at + 8, Number(BigInt.asIntN(32, number >> 32n)));
  }
}

function matchingEndr(list: readonly Statement[], from: number): number {
  for (let i = from, depth = 0; i < list.length; i++) {
    const word = /^\s*(\.rept|\.endr)\b/.exec(list[i]!.text)?.[1];
    if (word === ".rept") depth++;
    if (word === ".endr" && --depth === 0) return i;
  }
  return -1;
}

/** Assembles `text`. Throws AsmError with the line and the words that it cannot read. */
export function assemble(text: string, options: AssembleOptions = {}): Assembled {
  const a = new Assembler(options);
  const start = a.section;
  a.run(text);
  const labels = new Map([...start.labels].filter(([name]) => !name.includes("#")));
  const sections = new Map<string, Uint8Array>();
  for (const s of a.sections.values()) if (s.out.length > 0) sections.set(s.name, s.out.bytes());
  return { bytes: start.out.bytes(), labels, sections };
}
