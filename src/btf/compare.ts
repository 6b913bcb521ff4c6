/**
 * Do two types mean the same? Sizes, members, offsets, values and names down to the last type, across two BTFs whose ids
 * have nothing to do with each other. Recursive types are followed once: a pair that is being compared counts as equal.
 */
import { BtfError } from "../diag/index.ts";
import type { Btf } from "./btf.ts";
import {
  BTF_INT_CHAR,
  BTF_KIND_FUNC,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_NAMES,
  BTF_KIND_PTR,
  BTF_KIND_STRUCT,
  BTF_KIND_UNION,
} from "./constants.ts";
import type { BtfType } from "./types.ts";

export interface CompareOptions {
  /** Applied to the names of types on both sides before they are compared. */
  readonly names?: (name: string) => string;
  /** Compilers call integers differently (`long unsigned int`, `unsigned long`): only size and sign count. */
  readonly anyIntName?: boolean;
  /** Named structs, unions and enums below the first type count by kind and name: each is compared by itself. */
  readonly shallow?: boolean;
  /** A struct or union that is only declared on one side is equal to one of its name. */
  readonly forwards?: boolean;
}

/** The first difference, as a path of members and what is wrong there; undefined where there is none. */
export function compareTypes(
  a: Btf,
  aId: number,
  b: Btf,
  bId: number,
  options: CompareOptions = {},
): string | undefined {
  return new Comparison(a, b, options).run(aId, bId);
}

interface Pair {
  readonly a: number;
  readonly b: number;
  readonly path: string;
}

class Comparison {
  readonly #a: Btf;
  readonly #b: Btf;
  readonly #options: CompareOptions;
  readonly #seen = new Set<number>();
  #work: Pair[] = [];

  constructor(a: Btf, b: Btf, options: CompareOptions) {
    this.#a = a;
    this.#b = b;
    this.#options = options;
  }

  run(aId: number, bId: number): string | undefined {
    this.#work = [{ a: aId, b: bId, path: "" }];
    for (let pair = this.#work.pop(); pair !== undefined; pair = this.#work.pop()) {
      const key = pair.a * this.#b.typeCount + pair.b;
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      const reason = this.#pair(pair, this.#a.type(pair.a), this.#b.type(pair.b));
      if (reason !== undefined) return pair.path === "" ? reason : `${pair.path}: ${reason}`;
    }
    return undefined;
  }

  #pair(pair: Pair, a: BtfType, b: BtfType): string | undefined {
    if (a.kind === BTF_KIND_INT && b.kind === BTF_KIND_INT && this.#options.anyIntName === true) {
      const shape = ({ size, bits, encoding }: typeof a): string =>
        `${bits} of ${size * 8} bits, encoding ${encoding & ~BTF_INT_CHAR}`;
      return shape(a) === shape(b)
        ? undefined
        : `'${a.name}' (${shape(a)}) here, '${b.name}' (${shape(b)}) there`;
    }
    if (this.#options.forwards === true && (a.kind === BTF_KIND_FWD) !== (b.kind === BTF_KIND_FWD))
      if ([a, b].every(({ kind }) => [BTF_KIND_FWD, BTF_KIND_STRUCT, BTF_KIND_UNION].includes(kind as 7)))
        return a.name === b.name ? undefined : `'${a.name}' here, '${b.name}' there`;
    if (a.kind !== b.kind) return `${BTF_KIND_NAMES[a.kind]} here, ${BTF_KIND_NAMES[b.kind]} there`;
    const name = this.#options.names ?? ((text: string): string => text);
    if (name(a.name) !== name(b.name)) return `'${a.name}' here, '${b.name}' there`;
    const next = (x: number, y: number, step: string): void => {
      this.#work.push({ a: x, b: y, path: pair.path + step });
    };
    const isTag = "members" in a || "values" in a;
    if (this.#options.shallow === true && pair.path !== "" && isTag && a.name !== "") return undefined;
    if ("members" in a && "members" in b) {
      if (a.size !== b.size) return `${a.size} bytes here, ${b.size} there`;
      if (a.members.length !== b.members.length)
        return `${a.members.length} members here, ${b.members.length} there`;
      for (const [i, m] of a.members.entries()) {
        const n = b.members[i]!;
        if (m.name !== n.name) return `member ${i} '${m.name}' here, '${n.name}' there`;
        if (m.bitOffset !== n.bitOffset || m.bitSize !== n.bitSize)
          return `member '${m.name}' at bit ${m.bitOffset} (${m.bitSize}) here, ${n.bitOffset} (${n.bitSize}) there`;
        next(m.type, n.type, `.${m.name === "" ? `#${i}` : m.name}`);
      }
      return undefined;
    }
    if ("values" in a && "values" in b) return enumDifference(a, b, name);
    if ("params" in a && "params" in b) {
      if (a.params.length !== b.params.length)
        return `${a.params.length} parameters here, ${b.params.length} there`;
      next(a.type, b.type, "()");
      for (const [i, p] of a.params.entries()) next(p.type, b.params[i]!.type, `(${i})`);
      return undefined;
    }
    if ("vars" in a || "vars" in b) throw new BtfError("sections are not compared", { typeId: a.id });
    if ("nelems" in a && "nelems" in b) {
      if (a.nelems !== b.nelems) return `${a.nelems} elements here, ${b.nelems} there`;
      next(a.type, b.type, "[]");
      return undefined;
    }
    for (const field of ["size", "encoding", "bits", "bitOffset", "union", "componentIndex"] as const) {
      const [x, y] = [read(a, field), read(b, field)];
      if (x !== y) return `${field} ${x} here, ${y} there`;
    }
    if (a.kind === BTF_KIND_FUNC && a.linkage !== (b as typeof a).linkage) return "another linkage";
    if ("type" in a && "type" in b) next(a.type, b.type, a.kind === BTF_KIND_PTR ? "*" : "");
    return undefined;
  }
}

function read(type: BtfType, field: string): unknown {
  return (type as unknown as Readonly<Record<string, unknown>>)[field];
}

type Enum = Extract<BtfType, { values: unknown }>;

function enumDifference(a: Enum, b: Enum, name: (text: string) => string): string | undefined {
  if (a.size !== b.size || a.signed !== b.signed)
    return `${a.signed ? "signed" : "unsigned"} ${a.size} bytes here, ${b.signed ? "signed" : "unsigned"} ${b.size} there`;
  if (a.values.length !== b.values.length) return `${a.values.length} values here, ${b.values.length} there`;
  const at = a.values.findIndex(
    (value, i) => name(value.name) !== name(b.values[i]!.name) || value.value !== b.values[i]!.value,
  );
  return at < 0 ? undefined : `value ${at} '${a.values[at]!.name}' here, '${b.values[at]!.name}' there`;
}
