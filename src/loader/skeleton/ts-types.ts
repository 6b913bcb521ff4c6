/** BTF types as TypeScript: the types of what formatValue gives. */
import {
  BTF_INT_BOOL,
  BTF_INT_CHAR,
  BTF_KIND_ARRAY,
  BTF_KIND_DECL_TAG,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_KIND_VAR,
  type Btf,
  type BtfMember,
  type BtfType,
} from "../../btf/index.ts";

/** Anonymous types below this depth are damage. */
const MAX_DEPTH = 64;

/** Words that TypeScript keeps, or that generated files use. */
const TAKEN: readonly string[] = (
  "any as async await bigint boolean break case catch class const continue debugger declare default delete do else " +
  "enum export extends false finally for from function get if implements import in infer instanceof interface keyof " +
  "let module namespace never new null number object of package private protected public readonly return set static " +
  "string super switch symbol this throw true try type typeof undefined unique unknown var void while with yield " +
  "Array Object Uint8Array Record Partial Readonly Symbol CharArray Input Skeleton OpenOptions fromBase64 OBJECT"
).split(" ");

export class TsTypes {
  readonly #btf: Btf;
  readonly #names = new Map<number, string>();
  readonly #used: Set<string>;
  readonly #declarations: string[] = [];
  #usesCharArray = false;

  /** `taken`: names of the file's own. */
  constructor(btf: Btf, taken: readonly string[]) {
    this.#btf = btf;
    this.#used = new Set([...TAKEN, ...taken]);
  }

  /** Interfaces and enums that the types asked for so far need, in the order in which they were met. */
  get declarations(): readonly string[] {
    return this.#declarations;
  }

  get usesCharArray(): boolean {
    return this.#usesCharArray;
  }

  /** The type of a value of BTF type `id`; `indent`: of the line that it stands on. */
  of(id: number, indent = ""): string {
    return this.#type(id, 0, indent);
  }

  /** The members of a struct, one line each, without braces; `map` may replace a member's type. */
  members(id: number, replace?: (member: BtfMember, type: BtfType) => string | undefined): string[] {
    const lines: string[] = [];
    this.#collect(this.#concrete(id), lines, "  ", 0, replace);
    return lines;
  }

  #concrete(id: number): BtfType {
    let at = this.#btf.skipModifiers(id);
    for (let i = 0; i < MAX_DEPTH; i++) {
      const kind = this.#btf.kind(at);
      if (kind !== BTF_KIND_VAR && kind !== BTF_KIND_DECL_TAG) break;
      at = this.#btf.skipModifiers(this.#btf.sizeOrType(at));
    }
    return this.#btf.type(at);
  }

  #type(id: number, depth: number, indent: string): string {
    if (depth > MAX_DEPTH) return "never";
    const type = this.#concrete(id);
    switch (type.kind) {
      case BTF_KIND_INT: {
        if (type.encoding & BTF_INT_BOOL) return "boolean";
        return (type.bits > 0 ? type.bits : type.size * 8) <= 32 ? "number" : "bigint";
      }
      case BTF_KIND_PTR:
        return "bigint";
      case BTF_KIND_FLOAT:
        return type.size === 4 || type.size === 8 ? "number" : "Uint8Array";
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64:
        return this.#enum(type, id);
      case BTF_KIND_ARRAY: {
        const element = this.#concrete(type.type);
        if (element.kind === BTF_KIND_INT && element.size === 1 && isChar(element)) {
          this.#usesCharArray = true;
          return "CharArray";
        }
        const inner = this.#type(type.type, depth + 1, indent);
        return /^[\w.]+$/.test(inner) ? `readonly ${inner}[]` : `readonly (${inner})[]`;
      }
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION:
        return this.#struct(type, id, depth, indent);
      default:
        return "never";
    }
  }

  /** A name for a struct, union or enum: its own, a typedef's, or none. */
  #name(type: BtfType, id: number): string | undefined {
    const known = this.#names.get(type.id);
    if (known !== undefined) return known;
    let name = type.name;
    // `typedef struct { ... } name`
    for (let at = id, i = 0; name === "" && at !== type.id && i < MAX_DEPTH; i++) {
      if (this.#btf.kind(at) === BTF_KIND_TYPEDEF) name = this.#btf.typeName(at);
      at = this.#btf.sizeOrType(at);
    }
    if (name === "") return undefined;
    name = name.replace(/[^A-Za-z0-9_$]/g, "_").replace(/^(?=\d)/, "_");
    while (this.#used.has(name)) name += "_";
    this.#used.add(name);
    this.#names.set(type.id, name);
    return name;
  }

  #struct(type: BtfType, id: number, depth: number, indent: string): string {
    const known = this.#names.get(type.id);
    if (known !== undefined) return known;
    const name = this.#name(type, id);
    const lines: string[] = [];
    if (name === undefined) {
      this.#collect(type, lines, `${indent}  `, depth + 1);
      return lines.length === 0 ? "Readonly<Record<string, never>>" : `{\n${lines.join("\n")}\n${indent}}`;
    }
    this.#collect(type, lines, "  ", depth + 1);
    this.#declarations.push(
      lines.length === 0
        ? `export type ${name} = Readonly<Record<string, never>>;`
        : `export interface ${name} {\n${lines.join("\n")}\n}`,
    );
    return name;
  }

  #collect(
    type: BtfType,
    lines: string[],
    indent: string,
    depth: number,
    replace?: (member: BtfMember, type: BtfType) => string | undefined,
  ): void {
    if (!("members" in type) || depth > MAX_DEPTH) return;
    for (const member of type.members) {
      const inner = this.#concrete(member.type);
      if (member.name === "") {
        // Stands among the others, as in C; padding has no name and no type.
        if ("members" in inner) this.#collect(inner, lines, indent, depth + 1, replace);
        continue;
      }
      const text = replace?.(member, inner) ?? this.#member(member, inner, depth, indent);
      lines.push(`${indent}readonly ${property(member.name)}: ${text};`);
    }
  }

  #member(member: BtfMember, inner: BtfType, depth: number, indent: string): string {
    if (member.bitSize > 0 && inner.kind === BTF_KIND_INT && !(inner.encoding & BTF_INT_BOOL))
      return member.bitSize <= 32 ? "number" : "bigint";
    return this.#type(member.type, depth + 1, indent);
  }

  #enum(type: Extract<BtfType, { values: unknown }>, id: number): string {
    const known = this.#names.get(type.id);
    if (known !== undefined) return known;
    const other = type.size <= 4 ? "number" : "bigint";
    const seen = new Set<string>();
    const names: string[] = [];
    for (const { name, value } of type.values) {
      // Two names of one value: reading gives the first.
      if (seen.has(`${value}`)) continue;
      seen.add(`${value}`);
      names.push(JSON.stringify(name));
    }
    const text = [...names, other].join(" | ");
    const name = this.#name(type, id);
    if (name === undefined) return text;
    const long = [...names, other].map((n) => `\n  | ${n}`).join("");
    this.#declarations.push(`export type ${name} = ${text.length < 80 ? text : long};`);
    return name;
  }
}

function isChar(type: Extract<BtfType, { encoding: number }>): boolean {
  return (type.encoding & BTF_INT_CHAR) !== 0 || type.name === "char";
}

/** A property's name as TypeScript writes it. */
export function property(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}
