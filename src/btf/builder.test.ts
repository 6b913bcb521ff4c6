import { describe, expect, test } from "vitest";
import {
  BTF_INT_SIGNED,
  BTF_KIND_ARRAY,
  BTF_KIND_DATASEC,
  BTF_KIND_DECL_TAG,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_UNION,
  BTF_KIND_VAR,
  BtfBuilder,
  convertBtf,
  type NewBtfType,
  parseBtf,
  validateBtf,
} from "./index.ts";

const int = (name: string, size: number, encoding = 0): NewBtfType => ({
  kind: BTF_KIND_INT,
  name,
  size,
  encoding,
  bitOffset: 0,
  bits: size * 8,
});

/** One type of every kind that has a shape of its own. */
const TYPES: readonly NewBtfType[] = [
  int("int", 4, BTF_INT_SIGNED),
  { kind: BTF_KIND_PTR, name: "", type: 4 },
  { kind: BTF_KIND_ARRAY, name: "", type: 1, indexType: 1, nelems: 7 },
  {
    kind: BTF_KIND_STRUCT,
    name: "node",
    size: 40,
    members: [
      { name: "next", type: 2, bitOffset: 0, bitSize: 0 },
      { name: "low", type: 1, bitOffset: 64, bitSize: 3 },
      { name: "high", type: 1, bitOffset: 67, bitSize: 29 },
      { name: "list", type: 3, bitOffset: 96, bitSize: 0 },
    ],
  },
  {
    kind: BTF_KIND_UNION,
    name: "",
    size: 8,
    members: [{ name: "whole", type: 2, bitOffset: 0, bitSize: 0 }],
  },
  {
    kind: BTF_KIND_ENUM,
    name: "sign",
    size: 4,
    signed: true,
    values: [
      { name: "MINUS", value: -1 },
      { name: "PLUS", value: 1 },
    ],
  },
  {
    kind: BTF_KIND_ENUM64,
    name: "wide",
    size: 8,
    signed: false,
    values: [{ name: "ALL", value: 0xffff_ffff_ffff_fffen }],
  },
  { kind: BTF_KIND_FWD, name: "later", union: true },
  { kind: BTF_KIND_FUNC_PROTO, name: "", type: 1, params: [{ name: "größe", type: 2 }] },
  { kind: BTF_KIND_FUNC, name: "run", type: 9, linkage: 1 },
  { kind: BTF_KIND_VAR, name: "count", type: 1, linkage: 1 },
  { kind: BTF_KIND_DATASEC, name: ".bss", size: 4, vars: [{ type: 11, offset: 0, size: 4 }] },
  { kind: BTF_KIND_FLOAT, name: "double", size: 8 },
  { kind: BTF_KIND_DECL_TAG, name: "tag", type: 10, componentIndex: -1 },
  { kind: BTF_KIND_TYPE_TAG, name: "user", type: 1 },
];

function build(types: readonly NewBtfType[]): BtfBuilder {
  const builder = new BtfBuilder();
  for (const type of types) builder.add(type);
  return builder;
}

describe("BtfBuilder", () => {
  for (const littleEndian of [true, false])
    test(`what is added comes back, ${littleEndian ? "little" : "big"}-endian`, () => {
      const btf = parseBtf(build(TYPES).toBytes({ littleEndian }));
      expect(btf.littleEndian).toBe(littleEndian);
      expect(TYPES.map((_, i) => btf.type(i + 1))).toEqual(TYPES.map((type, i) => ({ ...type, id: i + 1 })));
    });

  test("byte order converts there and back", () => {
    const little = build(TYPES).toBytes();
    const big = convertBtf(parseBtf(little), false);
    expect(big).not.toEqual(little);
    expect(convertBtf(parseBtf(big), true)).toEqual(little);
  });

  test("appending moves ids, and a string is stored once", () => {
    const one = build(TYPES).toBtf();
    const two = build(TYPES);
    const delta = two.append(one);
    const btf = two.toBtf();
    expect(delta).toBe(TYPES.length);
    expect(btf.stringsSize).toBe(one.stringsSize);
    expect(btf.type(2 + delta)).toMatchObject({ kind: BTF_KIND_PTR, type: 4 + delta });
    expect(btf.type(4 + delta)).toMatchObject({ name: "node", members: [{ type: 2 + delta }, {}, {}, {}] });
  });

  test("split BTF goes on where its base ends", () => {
    const base = build(TYPES).toBtf("base");
    const split = new BtfBuilder(base);
    const id = split.add({ kind: BTF_KIND_PTR, name: "", type: 4 });
    const named = split.add({ kind: BTF_KIND_FWD, name: "own", union: false });
    expect([id, named]).toEqual([base.typeCount, base.typeCount + 1]);
    const btf = split.toBtf();
    expect([btf.type(id), btf.typeName(4), btf.typeName(named)]).toEqual([
      { id, kind: BTF_KIND_PTR, name: "", type: 4 },
      "node",
      "own",
    ]);
  });

  test.each([
    ["a type that is not there", { kind: BTF_KIND_PTR, name: "", type: 9 }, /refers to type 9.*type id 1/],
    ["void", { kind: 0, name: "void" }, /void/],
  ] satisfies [string, NewBtfType, RegExp][])("%s is refused", (_, type, message) => {
    expect(() => validateBtf(build([type]).toBtf())).toThrow(message);
  });
});
