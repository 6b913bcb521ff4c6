import { describe, expect, test } from "vitest";
import { btfBlob, type TypeRow } from "../../tests/support/btf-blob.ts";
import { BtfError } from "../diag/index.ts";
import { type BtfValue, formatValue, parseBtf, parseValue } from "./index.ts";

const INT = 1;
const CHAR = 2;
const BOOL = 3;
const U64 = 4;
const ROWS: TypeRow[] = [
  { kind: "INT", name: "int", word: 4, rest: [0x01000020] },
  { kind: "INT", name: "char", word: 1, rest: [0x01000008] },
  { kind: "INT", name: "_Bool", word: 1, rest: [0x04000008] },
  { kind: "INT", name: "__u64", word: 8, rest: [0x00000040] },
  { kind: "PTR", word: 0 },
  { kind: "ARRAY", rest: [CHAR, INT, 8] },
  { kind: "ARRAY", rest: [INT, INT, 3] },
  { kind: "ENUM", name: "color", vlen: 2, word: 4, rest: ["RED", 1, "BLUE", 2] },
  { kind: "ENUM64", name: "wide", vlen: 1, flag: true, word: 8, rest: ["FAR", 0, -1] },
  { kind: "FLOAT", name: "double", word: 8 },
  { kind: "UNION", vlen: 2, word: 8, rest: ["n", U64, 0, "low", INT, 0] },
  // struct bits { int a : 3; int b : 5; unsigned wide : 40 across bytes; enum color c : 2; }
  {
    kind: "STRUCT",
    name: "bits",
    vlen: 4,
    flag: true,
    word: 8,
    rest: ["a", INT, 0x03000000, "b", INT, 0x05000003, "w", U64, 0x28000009, "c", 8, 0x02000031],
  },
  {
    kind: "STRUCT",
    name: "all",
    vlen: 7,
    word: 56,
    rest: ["i", INT, 0, "ok", BOOL, 32, "p", 5, 64, "name", 6, 128, "arr", 7, 192, "d", 10, 320, "", 14, 384],
  },
  { kind: "UNION", vlen: 2, word: 8, rest: ["x", U64, 0, "y", INT, 0] },
  { kind: "TYPEDEF", name: "int_t", word: INT },
  { kind: "INT", name: "u32", word: 4, rest: [0x00000020] },
  { kind: "VAR", name: "counter", word: 16, rest: [1] },
  { kind: "DATASEC", name: ".bss", vlen: 1, word: 8, rest: [17, 4, 4] },
];
const btf = parseBtf(btfBlob(ROWS));

function hex(text: string): Uint8Array {
  return Uint8Array.from(text.replace(/ /g, "").match(/../g) ?? [], (b) => Number.parseInt(b, 16));
}

describe("values", () => {
  const cases: [string, number, string, BtfValue][] = [
    ["int", INT, "feffffff", -2],
    ["typedef", 15, "07000000", 7],
    ["u32", 16, "ffffffff", 0xffffffff],
    ["u64", U64, "0100000000000080", 0x8000000000000001n],
    ["bool", BOOL, "01", true],
    ["pointer", 5, "efbeadde00888800", 0x008888_00deadbeefn],
    ["string", 6, "6869000000000000", "hi"],
    ["full string", 6, "6161616161616161", "aaaaaaaa"],
    ["not a string", 6, "61006200000000ff", [97, 0, 98, 0, 0, 0, 0, -1]],
    ["array", 7, "010000000200000003000000", [1, 2, 3]],
    ["enum", 8, "02000000", "BLUE"],
    ["enum without name", 8, "09000000", 9],
    ["enum64", 9, "00000000ffffffff", "FAR"],
    ["double", 10, "000000000000f83f", 1.5],
    ["datasec", 18, "0000000005000000", { counter: 5 }],
    [
      "struct",
      13,
      `ffffffff 01000000 1000000000000000 7800000000000000 010000000200000003000000 00000000 000000000000f0bf 2a00000000000000`,
      { i: -1, ok: true, p: 16n, name: "x", arr: [1, 2, 3], d: -1, x: 42n, y: 42 },
    ],
  ];
  test.each(cases)("%s", (_name, id, text, value) => {
    const bytes = hex(text);
    expect(formatValue(btf, id, bytes)).toEqual(value);
    expect(parseValue(btf, id, value)).toEqual(bytes);
  });

  test.each([true, false])("bit fields, little endian %s", (littleEndian) => {
    const types = parseBtf(btfBlob(ROWS, { littleEndian }));
    const value = { a: -3, b: 9, w: 0x1234567890n, c: "BLUE" };
    const bytes = parseValue(types, 12, value);
    expect(formatValue(types, 12, bytes)).toEqual(value);
    // a: 3 bits 101, b: 5 bits 01001, from the low end or from the high end of the first byte.
    expect(bytes[0]).toBe(littleEndian ? 0b01001_101 : 0b101_01001);
  });

  test("a union takes any one member; left out ones are zero", () => {
    expect(parseValue(btf, 11, { n: 5n })).toEqual(hex("0500000000000000"));
    expect(parseValue(btf, 12, {})).toEqual(new Uint8Array(8));
  });

  test("options", () => {
    expect(formatValue(btf, 6, hex("6869000000000000"), { strings: false })).toEqual([
      104, 105, 0, 0, 0, 0, 0, 0,
    ]);
    expect(formatValue(btf, 8, hex("02000000"), { enumNames: false })).toBe(2);
  });

  const bad: [string, () => unknown, RegExp][] = [
    [
      "short bytes",
      () => formatValue(btf, U64, hex("0000")),
      /want 8 bytes at 0, have 2 in all \(type id 4\)/,
    ],
    ["void", () => formatValue(btf, 0, hex("")), /void has no values/],
    ["out of range", () => parseValue(btf, INT, 2 ** 32), /value: 4294967296 does not fit into 32 bits/],
    ["not an integer", () => parseValue(btf, INT, 1.5), /value: want an integer, got "1.5"/],
    ["unknown enumerator", () => parseValue(btf, 8, "GREEN"), /value: want an integer, got "GREEN"/],
    ["unknown member", () => parseValue(btf, 13, { zzz: 1 }), /value: all has no member 'zzz'/],
    ["nested place", () => parseValue(btf, 13, { arr: [1, "x"] }), /value\.arr\[1\]: want an integer/],
    ["long array", () => parseValue(btf, 7, [1, 2, 3, 4]), /4 elements for an array of 3/],
    ["long string", () => parseValue(btf, 6, "123456789"), /9 bytes for 8/],
  ];
  test.each(bad)("refuses: %s", (_name, run, message) => {
    expect(run).toThrow(BtfError);
    expect(run).toThrow(message);
  });

  test("types that grow without end are stopped", () => {
    const rows: TypeRow[] = [{ kind: "INT", name: "c", word: 1, rest: [8] }];
    for (let i = 1; i < 40; i++)
      rows.push({ kind: "UNION", name: `u${i}`, vlen: 2, word: 1, rest: ["a", i, 0, "b", i, 0] });
    const start = process.cpuUsage();
    expect(() => formatValue(parseBtf(btfBlob(rows)), 40, new Uint8Array(1))).toThrow(
      /more than 100016 values/,
    );
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(1_000);
    const self = parseBtf(btfBlob([{ kind: "STRUCT", name: "s", vlen: 1, word: 8, rest: ["s", 1, 0] }]));
    expect(() => formatValue(self, 1, new Uint8Array(8))).toThrow(/nest deeper than 64/);
    expect(() => parseValue(self, 1, {})).not.toThrow();
  });
});
