/**
 * C declarations from chains of types, and the definitions that stand inside them. BTF goes from the declared thing
 * inwards (array of pointers to const int); C starts with the innermost type and wraps the name, so that a chain is
 * collected first and written from its end. Answers btf_dump_emit_type_chain and its kin in libbpf's btf_dump.c.
 */
import { BtfError } from "../../diag/index.ts";
import type { Btf } from "../btf.ts";
import {
  BTF_KIND_ARRAY,
  BTF_KIND_CONST,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_RESTRICT,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_KIND_UNKN,
  BTF_KIND_VOLATILE,
} from "../constants.ts";
import type { BtfType } from "../types.ts";
import { type Composite, Layout } from "./layout.ts";
import { Names } from "./names.ts";
import { MAX_NESTING } from "./order.ts";
import type { DumpWriter } from "./writer.ts";

type Enum = Extract<BtfType, { values: unknown }>;
type FuncProto = Extract<BtfType, { params: unknown }>;

const QUALIFIERS: Readonly<Record<number, string>> = {
  [BTF_KIND_VOLATILE]: "volatile",
  [BTF_KIND_CONST]: "const",
  [BTF_KIND_RESTRICT]: "restrict",
};
const CHAINED: ReadonlySet<number> = new Set([
  BTF_KIND_PTR,
  BTF_KIND_VOLATILE,
  BTF_KIND_CONST,
  BTF_KIND_RESTRICT,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_TYPE_TAG,
]);

export class Declarations {
  readonly names: Names;
  readonly #btf: Btf;
  readonly #out: DumpWriter;
  readonly #layout: Layout;
  #depth = 0;

  constructor(btf: Btf, out: DumpWriter) {
    this.#btf = btf;
    this.#out = out;
    this.names = new Names(btf);
    this.#layout = new Layout(btf);
  }

  /** `TYPE name` for a member, parameter or typedef; "" declares a type without a name. */
  declare(id: number, name: string, level: number): void {
    if (++this.#depth > MAX_NESTING) throw new BtfError("types nest too deep", { typeId: id });
    const chain: number[] = [];
    for (let at = id; ; ) {
      if (chain.push(at) > this.#btf.typeCount) throw new BtfError("types form a cycle", { typeId: id });
      const kind = this.#btf.kind(at);
      if (CHAINED.has(kind)) at = this.#btf.sizeOrType(at);
      else if (kind === BTF_KIND_ARRAY) at = this.#btf.arrayElement(at);
      else break;
    }
    this.#chain(chain, name, level);
    this.#depth--;
  }

  /** Takes types from the end of the chain until it is empty. */
  #chain(chain: number[], name: string, level: number): void {
    // True at the start: a chain that begins with a pointer is what stands in parentheses.
    let afterPointer = true;
    for (let id = chain.pop(); id !== undefined; id = chain.pop()) {
      const kind = this.#btf.kind(id);
      const qualifier = QUALIFIERS[kind];
      if (kind === BTF_KIND_ARRAY || kind === BTF_KIND_FUNC_PROTO) {
        this.#dropQualifiers(chain);
        if (kind === BTF_KIND_ARRAY) this.#array(id, chain, name, level, afterPointer);
        else this.#function(id, chain, name, level, afterPointer);
        return;
      }
      if (kind === BTF_KIND_PTR) this.#out.write(afterPointer ? "*" : " *");
      else if (qualifier !== undefined) this.#out.write(` ${qualifier}`);
      else {
        this.#qualifiers(chain);
        if (!this.#base(id, kind, level)) return;
      }
      afterPointer = kind === BTF_KIND_PTR;
    }
    this.#name(name, afterPointer);
  }

  /** Qualifiers of a type that is no pointer stand before it. */
  #qualifiers(chain: number[]): void {
    for (;;) {
      const qualifier = chain.length === 0 ? undefined : QUALIFIERS[this.#btf.kind(chain[chain.length - 1]!)];
      if (qualifier === undefined) return;
      this.#out.write(`${qualifier} `);
      chain.pop();
    }
  }

  /** Compilers give arrays and functions qualifiers of their elements and of `noreturn`; C has no place for them. */
  #dropQualifiers(chain: number[]): void {
    const isModifier = (kind: number): boolean =>
      QUALIFIERS[kind] !== undefined || kind === BTF_KIND_TYPE_TAG;
    while (chain.length > 0 && isModifier(this.#btf.kind(chain[chain.length - 1]!))) chain.pop();
  }

  #name(name: string, afterPointer: boolean): void {
    this.#out.write(name !== "" && !afterPointer ? ` ${name}` : name);
  }

  /** False for a kind that no declaration can have. */
  #base(id: number, kind: number, level: number): boolean {
    const btf = this.#btf;
    switch (kind) {
      case BTF_KIND_UNKN:
        this.#out.write("void");
        return true;
      case BTF_KIND_INT:
      case BTF_KIND_FLOAT:
        this.#out.write(btf.typeName(id));
        return true;
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION:
        if (btf.nameOffset(id) === 0) this.defineComposite(id, level);
        else this.#out.write(this.forward(id));
        return true;
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64:
        if (btf.nameOffset(id) === 0) this.defineEnum(id, level);
        else this.#out.write(`enum ${this.names.tag(id)}`);
        return true;
      case BTF_KIND_FWD:
        this.#out.write(this.forward(id));
        return true;
      case BTF_KIND_TYPEDEF:
        this.#out.write(this.names.typedef(id));
        return true;
      case BTF_KIND_TYPE_TAG:
        this.#out.write(` __attribute__((btf_type_tag("${btf.typeName(id)}")))`);
        return true;
      default:
        return false;
    }
  }

  #array(id: number, chain: number[], name: string, level: number, afterPointer: boolean): void {
    const type = this.#btf.type(id) as Extract<BtfType, { nelems: number }>;
    const next = chain[chain.length - 1];
    if (next === undefined) this.#name(name, afterPointer);
    else {
      const nested = this.#btf.kind(next) === BTF_KIND_ARRAY;
      if (name !== "" && !afterPointer) this.#out.write(" ");
      if (!nested) this.#out.write("(");
      this.#enter(id, () => this.#chain(chain, name, level));
      if (!nested) this.#out.write(")");
    }
    this.#out.write(`[${type.nelems}]`);
  }

  #function(id: number, chain: number[], name: string, level: number, afterPointer: boolean): void {
    if (chain.length > 0) {
      this.#out.write(" (");
      this.#enter(id, () => this.#chain(chain, name, level));
      this.#out.write(")");
    } else this.#name(name, afterPointer);
    const { params } = this.#btf.type(id) as FuncProto;
    if (params.length === 0 || (params.length === 1 && params[0]!.type === 0)) {
      this.#out.write("(void)");
      return;
    }
    this.#out.write("(");
    for (const [i, param] of params.entries()) {
      if (i > 0) this.#out.write(", ");
      if (i === params.length - 1 && param.type === 0) this.#out.write("...");
      else this.declare(param.type, param.name, level);
    }
    this.#out.write(")");
  }

  #enter(id: number, run: () => void): void {
    if (++this.#depth > MAX_NESTING) throw new BtfError("types nest too deep", { typeId: id });
    run();
    this.#depth--;
  }

  /** `struct name`, without more. */
  forward(id: number): string {
    const kind = this.#btf.kind(id);
    const union = kind === BTF_KIND_UNION || (kind === BTF_KIND_FWD && this.#btf.kindFlag(id));
    const name = this.names.tag(id);
    const word = union ? "union" : "struct";
    return kind === BTF_KIND_FWD || name !== "" ? `${word} ${name}` : word;
  }

  defineTypedef(id: number): void {
    const name = this.names.typedef(id);
    const type = this.#btf.sizeOrType(id);
    // Old compilers have it refer to void.
    if (type === 0 && name === "__gnuc_va_list") this.#out.write("typedef __builtin_va_list __gnuc_va_list");
    else {
      this.#out.write("typedef ");
      this.declare(type, name, 0);
    }
  }

  defineComposite(id: number, level: number): void {
    const type = this.#btf.type(id) as Composite;
    const isStruct = type.kind === BTF_KIND_STRUCT;
    const align = this.#layout.align(id);
    const packed = isStruct && this.#layout.isPacked(type);
    const indent = "\t".repeat(level + 1);
    const line = (text: string): void => this.#out.write(`\n${indent}${text}`);
    this.#out.write(`${this.forward(id)} {`);
    let at = 0;
    let afterBitfield = false;
    for (const member of type.members) {
      const isBitfield = member.bitSize > 0;
      const memberAlign = packed ? 1 : this.#layout.align(member.type);
      this.#layout.padding(at, member.bitOffset, memberAlign, afterBitfield && isBitfield, line);
      line("");
      this.declare(member.type, member.name, level + 1);
      this.#out.write(isBitfield ? `: ${member.bitSize};` : ";");
      at = member.bitOffset + (isBitfield ? member.bitSize : this.#layout.size(member.type) * 8);
      afterBitfield = isBitfield;
    }
    if (isStruct) this.#layout.padding(at, type.size * 8, align, false, line);
    this.#out.write(type.members.length > 0 || type.size > 0 ? `\n${"\t".repeat(level)}}` : "}");
    if (packed) this.#out.write(" __attribute__((packed))");
  }

  defineEnum(id: number, level: number): void {
    const type = this.#btf.type(id) as Enum;
    const tag = this.names.tag(id);
    this.#out.write(tag === "" ? "enum" : `enum ${tag}`);
    if (type.values.length === 0) return;
    const suffix = type.kind === BTF_KIND_ENUM ? "" : type.signed ? "LL" : "ULL";
    this.#out.write(" {");
    for (const { name, value } of type.values)
      this.#out.write(`\n${"\t".repeat(level + 1)}${this.names.enumerator(name)} = ${value}${suffix},`);
    this.#out.write(`\n${"\t".repeat(level)}}`);
    if (type.size === 1) this.#out.write(" __attribute__((mode(byte)))");
    // Values that need 64 bits make a compiler take them; others leave it to the attribute.
    const wide =
      type.kind === BTF_KIND_ENUM64 &&
      type.values.some(({ value }) => BigInt.asUintN(64, BigInt(value)) >> 32n !== 0n);
    if (type.size === 8 && this.#btf.pointerSize === 8 && !wide)
      this.#out.write(" __attribute__((mode(word)))");
  }
}
