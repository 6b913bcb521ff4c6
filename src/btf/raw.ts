// Types as `bpftool btf dump ... format raw` shows them (tools/bpf/bpftool/btf.c): rows for --json, and the text of a row.
import type { Btf } from "./btf.ts";
import {
  BTF_INT_BOOL,
  BTF_INT_CHAR,
  BTF_INT_SIGNED,
  BTF_KIND_ARRAY,
  BTF_KIND_CONST,
  BTF_KIND_DATASEC,
  BTF_KIND_DECL_TAG,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_NAMES,
  BTF_KIND_PTR,
  BTF_KIND_RESTRICT,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_KIND_VAR,
  BTF_KIND_VOLATILE,
} from "./constants.ts";
import type { BtfType } from "./types.ts";

type Scalar = string | number | bigint;
/** bpftool's member names, in its order; `id`, `kind` and `name` come first. */
export type BtfRawRow = Readonly<Record<string, Scalar | readonly Readonly<Record<string, Scalar>>[]>>;

const INT_ENCODINGS: Readonly<Record<number, string>> = {
  0: "(none)",
  [BTF_INT_SIGNED]: "SIGNED",
  [BTF_INT_CHAR]: "CHAR",
  [BTF_INT_BOOL]: "BOOL",
};
const LINKAGES = ["static", "global", "extern"];

const anon = (name: string): string => (name === "" ? "(anon)" : name);
const linkage = (value: number): string => LINKAGES[value] ?? "(unknown)";

export function btfRawRow(btf: Btf, id: number): BtfRawRow {
  const type = btf.type(id);
  return { id, kind: BTF_KIND_NAMES[type.kind]!, name: anon(type.name), ...members(type) };
}

function members(type: BtfType): BtfRawRow {
  switch (type.kind) {
    case BTF_KIND_INT:
      return {
        size: type.size,
        bits_offset: type.bitOffset,
        nr_bits: type.bits,
        encoding: INT_ENCODINGS[type.encoding] ?? "UNKN",
      };
    case BTF_KIND_PTR:
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_CONST:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_TYPE_TAG:
      return { type_id: type.type };
    case BTF_KIND_ARRAY:
      return { type_id: type.type, index_type_id: type.indexType, nr_elems: type.nelems };
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      return {
        size: type.size,
        vlen: type.members.length,
        members: type.members.map((member) => ({
          name: anon(member.name),
          type_id: member.type,
          bits_offset: member.bitOffset,
          ...(member.bitSize ? { bitfield_size: member.bitSize } : {}),
        })),
      };
    case BTF_KIND_ENUM:
    case BTF_KIND_ENUM64:
      return {
        encoding: type.signed ? "SIGNED" : "UNSIGNED",
        size: type.size,
        vlen: type.values.length,
        values: type.values.map(({ name, value }) => ({ name: anon(name), val: value })),
      };
    case BTF_KIND_FWD:
      return { fwd_kind: type.union ? "union" : "struct" };
    case BTF_KIND_FUNC:
    case BTF_KIND_VAR:
      return { type_id: type.type, linkage: linkage(type.linkage) };
    case BTF_KIND_FUNC_PROTO:
      return {
        ret_type_id: type.type,
        vlen: type.params.length,
        params: type.params.map((param) => ({ name: anon(param.name), type_id: param.type })),
      };
    case BTF_KIND_DATASEC:
      return {
        size: type.size,
        vlen: type.vars.length,
        vars: type.vars.map((entry) => ({ type_id: entry.type, offset: entry.offset, size: entry.size })),
      };
    case BTF_KIND_FLOAT:
      return { size: type.size };
    case BTF_KIND_DECL_TAG:
      return { type_id: type.type, component_idx: type.componentIndex };
    default:
      return {};
  }
}

/** One type as text: a line, and an indented line for each member. */
export function btfRawText(btf: Btf, id: number): string {
  const { id: _, kind, name, ...rest } = btfRawRow(btf, id);
  let text = `[${id}] ${kind as string} '${name as string}'`;
  const separator = kind === "VAR" ? "," : "";
  let first = true;
  for (const [key, value] of Object.entries(rest)) {
    if (typeof value === "object")
      for (const row of value) text += `\n\t${memberText(btf, kind as string, rest, row)}`;
    else text += `${first ? "" : separator} ${key}=${value}`;
    first = false;
  }
  return text;
}

function memberText(btf: Btf, kind: string, type: BtfRawRow, row: Readonly<Record<string, Scalar>>): string {
  const { name, ...rest } = row;
  const suffix = kind === "ENUM64" ? (type["encoding"] === "SIGNED" ? "LL" : "ULL") : "";
  const cells = Object.entries(rest).map(([key, value]) => `${key}=${value}${suffix}`);
  if (name !== undefined) cells.unshift(`'${name}'`);
  const id = row["type_id"] as number;
  if (kind === "DATASEC" && id < btf.typeCount)
    cells.push(`(${BTF_KIND_NAMES[btf.kind(id)]} '${anon(btf.typeName(id))}')`);
  return cells.join(" ");
}

/**
 * Every own type as `bpftool -j btf dump` prints them (or, `pretty`, `bpftool -p`), in pieces. Values of 64 bits are
 * numbers in full, as they are there.
 */
export function* btfRawJson(
  btf: Btf,
  options: { readonly pretty?: boolean } = {},
): Generator<string, void, undefined> {
  const pretty = options.pretty ?? false;
  yield pretty ? `{${line(1)}"types": [` : '{"types":[';
  for (let id = btf.startId; id < btf.typeCount; id++)
    yield (id === btf.startId ? "" : ",") + jsonText(jsonRow(btf, id), pretty, 2);
  const end = btf.startId === btf.typeCount ? "]" : `${line(1)}]`;
  yield pretty ? `${end}${line(0)}}\n` : "]}\n";
}

/** bpftool extends 32-bit constants of unsigned enums with their sign to 64 bits; so does this, to be the same. */
function jsonRow(btf: Btf, id: number): BtfRawRow {
  const row = btfRawRow(btf, id);
  const values = row["values"];
  if (row["kind"] !== "ENUM" || typeof values !== "object" || btf.kindFlag(id)) return row;
  const extend = (value: Scalar): Scalar =>
    typeof value === "number" && value > 0x7fffffff ? BigInt.asUintN(64, BigInt(value | 0)) : value;
  return { ...row, values: values.map((item) => ({ name: item["name"]!, val: extend(item["val"]!) })) };
}

function line(depth: number): string {
  return `\n${"    ".repeat(depth)}`;
}

type Json = BtfRawRow[string] | BtfRawRow;

function jsonText(value: Json, pretty: boolean, depth: number): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value !== "object") return String(value);
  if (isRows(value)) {
    const items = value.map((item) => jsonText(item, pretty, depth + 1));
    return `[${items.join(",")}${pretty && items.length > 0 ? line(depth) : ""}]`;
  }
  const cells = Object.entries(value).map(
    ([key, cell]) =>
      `${pretty ? line(depth + 1) : ""}"${key}":${pretty ? " " : ""}${jsonText(cell, pretty, depth + 1)}`,
  );
  return `{${cells.join(",")}${pretty ? line(depth) : ""}}`;
}

function isRows(value: object): value is readonly BtfRawRow[] {
  return Array.isArray(value);
}
