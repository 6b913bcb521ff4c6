/**
 * Just enough C to read facts out of a kernel's source: initialisers of structs, BTF id sets, and small functions whose
 * body is made of switch, if and return (the `*_func_proto` family), which are evaluated for given values.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

export interface SourceFile {
  readonly path: string;
  /** Without comments; of `#if`/`#else` the first branch is kept. */
  readonly text: string;
}

export function readSources(root: string, folders: readonly string[]): SourceFile[] {
  const out: SourceFile[] = [];
  const visit = (path: string): void => {
    let stat: ReturnType<typeof statSync>;
    try {
      stat = statSync(join(root, path));
    } catch {
      return;
    }
    if (stat.isDirectory()) for (const name of readdirSync(join(root, path)).sort()) visit(`${path}/${name}`);
    else if (/\.[ch]$/.test(path)) {
      const raw = readFileSync(join(root, path), "utf8");
      if (
        /bpf_func_proto|BTF_ID|btf_kfunc|bpf_verifier_ops|BPF_PROG_TYPE|bpf_struct_ops|bpf_iter_reg/.test(raw)
      )
        out.push({ path, text: preprocess(raw) });
    }
  };
  for (const folder of folders) visit(folder);
  return out;
}

function preprocess(raw: string): string {
  const text = raw
    .replace(/\/\*[\s\S]*?\*\//g, " ")
    .replace(/\/\/.*$/gm, " ")
    .replace(/\\\n/g, " ");
  const keep: string[] = [];
  const stack: boolean[] = [];
  for (const line of text.split("\n")) {
    const directive = /^\s*#\s*(\w+)\s*(.*)/.exec(line);
    if (!directive) {
      if (stack.every(Boolean)) keep.push(line);
      continue;
    }
    const [, word, rest] = directive;
    if (word === "if" || word === "ifdef" || word === "ifndef")
      stack.push(
        !/IS_MODULE|CONFIG_X86_KERNEL_IBT|^0\b/.test(rest!) &&
          (word !== "ifndef" || /_H(__)?$/.test(rest!.trim())),
      );
    else if (word === "else" || word === "elif")
      stack[stack.length - 1] = word === "else" ? !stack.at(-1) : false;
    else if (word === "endif") stack.pop();
    else if (word === "define" && stack.every(Boolean)) keep.push(line);
  }
  return keep.join("\n");
}

/** The text between the brace at `open` and its partner. */
export function braced(text: string, open: number): string {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth === 0) return text.slice(open + 1, i);
  }
  throw new Error("unbalanced braces");
}

/** Every `struct TYPE NAME = { ... }`, with its designated initialisers (nested ones as raw text). */
export function structInits(
  files: readonly SourceFile[],
  type: string,
): { name: string; file: string; fields: Map<string, string> }[] {
  const out: { name: string; file: string; fields: Map<string, string> }[] = [];
  const re = new RegExp(`struct\\s+${type}\\s+(\\w+)\\s*(?:__\\w+\\s*)?=\\s*\\{`, "g");
  for (const file of files)
    for (const m of file.text.matchAll(re)) {
      const body = braced(file.text, m.index + m[0].length - 1);
      const fields = new Map<string, string>();
      let depth = 0;
      let start = 0;
      for (let i = 0; i <= body.length; i++) {
        const c = body[i];
        if (c === "{" || c === "(") depth++;
        else if (c === "}" || c === ")") depth--;
        else if ((c === "," || c === undefined) && depth === 0) {
          const init = /^\s*\.(\w+)\s*=\s*([\s\S]*?)\s*$/.exec(body.slice(start, i));
          if (init) fields.set(init[1]!, init[2]!.replace(/\s+/g, " "));
          start = i + 1;
        }
      }
      out.push({ name: m[1]!, file: file.path, fields });
    }
  return out;
}

/** `BTF_SET_START(name) BTF_ID(func, a) ... BTF_SET_END` and the kinds with flags: name to members. */
export function btfSets(
  files: readonly SourceFile[],
): Map<string, { file: string; members: { name: string; flags: string[] }[] }> {
  const out = new Map<string, { file: string; members: { name: string; flags: string[] }[] }>();
  for (const file of files)
    for (const m of file.text.matchAll(
      /BTF_(?:SET|SET8|KFUNCS|ID_LIST)_START(?:_GLOBAL)?\s*\(\s*(\w+)\s*\)([\s\S]*?)BTF_(?:SET|SET8|KFUNCS)_END/g,
    )) {
      const members = [
        ...m[2]!.matchAll(/BTF_ID(?:_FLAGS)?\s*\(\s*(?:func|struct)\s*,\s*(\w+)\s*(?:,([^)]*))?\)/g),
      ].map((x) => ({
        name: x[1]!,
        flags: (x[2] ?? "")
          .split("|")
          .map((s) => s.trim())
          .filter((s) => s !== ""),
      }));
      out.set(m[1]!, { file: file.path, members });
    }
  return out;
}

// ---- functions, evaluated ------------------------------------------------------------------------------------------

type Token = string;
const tokenize = (text: string): Token[] =>
  text.match(/"(?:[^"\\]|\\.)*"|\w+|->|==|!=|<=|>=|&&|\|\||<<|>>|[^\s\w]/g) ?? [];

export interface CFunction {
  readonly params: readonly string[];
  readonly body: readonly Token[];
}

/** Bodies of the functions whose name passes; a weak one gives way. */
export function functions(
  files: readonly SourceFile[],
  want: (name: string) => boolean,
): Map<string, CFunction> {
  const out = new Map<string, CFunction>();
  const weak = new Set<string>();
  for (const file of files)
    for (const m of file.text.matchAll(/\b(\w+)\s*\(([^(){};]*)\)\s*\{/g)) {
      const name = m[1]!;
      if (!want(name)) continue;
      if (out.has(name) && !weak.has(name)) continue;
      if (/__weak\s*\w*\s*\**\s*$/.test(file.text.slice(Math.max(0, m.index - 80), m.index))) weak.add(name);
      else weak.delete(name);
      out.set(name, {
        params: m[2]!.split(",").map((p) => /(\w+)\s*$/.exec(p.trim())?.[1] ?? ""),
        body: tokenize(braced(file.text, m.index + m[0].length - 1)),
      });
    }
  return out;
}

/** What a C expression may be here: a number, or the name behind an `&`. */
export type Value = number | string;

export interface Machine {
  /** `prog->expected_attach_type` and the like, written without blanks. */
  member(path: string): Value;
  /** A call of a function that is not evaluated itself; undefined: not known. */
  call(name: string, args: readonly Value[]): Value | undefined;
  constant(name: string): Value | undefined;
}

class Return {
  readonly value: Value;
  constructor(value: Value) {
    this.value = value;
  }
}

/** Evaluates `name(args)`. */
export function evaluate(
  fns: ReadonlyMap<string, CFunction>,
  name: string,
  args: readonly Value[],
  machine: Machine,
): Value {
  const fn = fns.get(name);
  if (!fn) throw new Error(`no function ${name}`);
  const vars = new Map<string, Value>(fn.params.map((p, i) => [p, args[i] ?? 0]));
  const t = fn.body;
  let at = 0;
  const expect = (s: string): void => {
    if (t[at++] !== s) throw new Error(`${name}: expected ${s} before ${t.slice(at - 1, at + 8).join(" ")}`);
  };
  /** Steps over one statement without running it. */
  const skip = (): void => {
    if (t[at] === "{") {
      let depth = 0;
      do {
        if (t[at] === "{") depth++;
        else if (t[at] === "}") depth--;
        at++;
      } while (depth > 0);
    } else if (t[at] === "if" || t[at] === "switch") {
      at++;
      skipParens();
      skip();
      if (t[at] === "else") {
        at++;
        skip();
      }
    } else {
      while (t[at] !== ";") at++;
      at++;
    }
  };
  const skipParens = (): void => {
    let depth = 0;
    do {
      if (t[at] === "(") depth++;
      else if (t[at] === ")") depth--;
      at++;
    } while (depth > 0);
  };
  const truth = (v: Value): boolean => v !== 0;
  const primary = (): Value => {
    const tok = t[at++]!;
    if (tok === "(") {
      const v = ternary();
      expect(")");
      return v;
    }
    if (tok === "!") return truth(primary()) ? 0 : 1;
    if (tok === "&") return primary();
    if (tok === "-") return -(primary() as number);
    if (/^\d/.test(tok)) return Number(tok);
    if (tok.startsWith('"')) return tok;
    let path = tok;
    while (t[at] === "->" || t[at] === ".") {
      path += `${t[at]}${t[at + 1]}`;
      at += 2;
    }
    if (path === "offsetof") {
      skipParens();
      return `offsetof ${t[at - 2]}`;
    }
    if (t[at] === "(") {
      at++;
      const argv: Value[] = [];
      while (t[at] !== ")") {
        argv.push(ternary());
        if (t[at] === ",") at++;
      }
      at++;
      const known = machine.call(path, argv);
      if (known !== undefined) return known;
      return evaluate(fns, path, argv, machine);
    }
    if (path !== tok) return machine.member(path);
    if (tok === "NULL" || tok === "false") return 0;
    if (tok === "true") return 1;
    const v = vars.get(tok) ?? machine.constant(tok);
    return v ?? tok;
  };
  const compare = (): Value => {
    let v = primary();
    while (t[at] === "==" || t[at] === "!=" || t[at] === "<" || t[at] === ">") {
      const op = t[at++];
      const w = primary();
      v = (op === "==" ? v === w : op === "!=" ? v !== w : op === "<" ? v < w : v > w) ? 1 : 0;
    }
    return v;
  };
  const and = (): Value => {
    let v = compare();
    while (t[at] === "&&") {
      at++;
      const w = compare();
      v = truth(v) && truth(w) ? 1 : 0;
    }
    return v;
  };
  const or = (): Value => {
    let v = and();
    while (t[at] === "||") {
      at++;
      const w = and();
      v = truth(v) || truth(w) ? 1 : 0;
    }
    return v;
  };
  const ternary = (): Value => {
    const c = or();
    if (t[at] !== "?") return c;
    at++;
    if (t[at] === ":") {
      at++;
      const b = ternary();
      return truth(c) ? c : b;
    }
    const a = ternary();
    expect(":");
    const b = ternary();
    return truth(c) ? a : b;
  };
  class Break {}
  const statement = (): void => {
    const tok = t[at]!;
    if (tok === "{") {
      at++;
      while (t[at] !== "}") statement();
      at++;
    } else if (tok === ";") at++;
    else if (tok === "fallthrough") at += 2;
    else if (tok === "return") {
      at++;
      throw new Return(t[at] === ";" ? 0 : ternary());
    } else if (tok === "break") {
      throw new Break();
    } else if (tok === "if") {
      at++;
      expect("(");
      const c = truth(ternary());
      expect(")");
      if (c) {
        statement();
        if (t[at] === "else") {
          at++;
          skip();
        }
      } else {
        skip();
        if (t[at] === "else") {
          at++;
          statement();
        }
      }
    } else if (tok === "switch") runSwitch();
    else if (tok === "case" || tok === "default") {
      while (t[at] !== ":") at++;
      at++;
    } else if (/^(const|struct|enum|int|bool|u32|static)$/.test(tok)) {
      let last = "";
      while (t[at] !== ";" && t[at] !== "=") last = t[at++]!;
      if (t[at] === "=") {
        at++;
        vars.set(last, ternary());
      }
      expect(";");
    } else if (t[at + 1] === "=" && /^\w+$/.test(tok)) {
      at += 2;
      vars.set(tok, ternary());
      expect(";");
    } else {
      ternary();
      expect(";");
    }
  };
  const runSwitch = (): void => {
    at++;
    expect("(");
    const value = ternary();
    expect(")");
    const begin = at;
    skip();
    const end = at;
    at = begin + 1;
    let target = -1;
    let fallback = -1;
    let depth = 0;
    for (let i = begin + 1; i < end - 1; i++) {
      if (t[i] === "{") depth++;
      else if (t[i] === "}") depth--;
      else if (t[i] === "switch" && depth === 0) {
        at = i;
        skip();
        i = at - 1;
      } else if (depth === 0 && t[i] === "case") {
        const label = t[i + 1]!;
        const v = /^\d/.test(label) ? Number(label) : (machine.constant(label) ?? label);
        if (v === value && target < 0) target = i;
      } else if (depth === 0 && t[i] === "default" && t[i + 1] === ":") fallback = i;
    }
    at = target >= 0 ? target : fallback;
    if (at < 0) {
      at = end;
      return;
    }
    try {
      while (at < end - 1) statement();
    } catch (e) {
      if (!(e instanceof Break)) throw e;
    }
    at = end;
  };
  try {
    while (at < t.length) statement();
  } catch (e) {
    if (e instanceof Return) return e.value;
    throw e;
  }
  return 0;
}
