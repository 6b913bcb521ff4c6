import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { btfBlob, type TypeRow } from "../../tests/support/btf-blob.ts";
import { want } from "../../tests/support/need.ts";
import { BtfError } from "../diag/index.ts";
import { BTF_KIND_FUNC, BTF_KIND_INT, BTF_KIND_STRUCT, BTF_KIND_TYPEDEF, parseBtf } from "./index.ts";

const ROWS: TypeRow[] = [
  { kind: "INT", name: "int", word: 4, rest: [0x01000020] },
  { kind: "PTR", word: 4 },
  { kind: "ARRAY", rest: [1, 1, 5] },
  { kind: "STRUCT", name: "node", vlen: 3, word: 32, rest: ["next", 2, 0, "data", 3, 64, "", 5, 224] },
  { kind: "UNION", vlen: 1, word: 4, rest: ["u", 1, 0] },
  { kind: "TYPEDEF", name: "node", word: 7 },
  { kind: "CONST", word: 4 },
  { kind: "ENUM", name: "e", vlen: 2, flag: true, word: 4, rest: ["A", 0, "B", -1] },
  { kind: "ENUM64", name: "big", vlen: 1, word: 8, rest: ["C", 1, 0x80000000] },
  { kind: "FWD", name: "f", flag: true },
  { kind: "FUNC_PROTO", vlen: 1, word: 1, rest: ["x", 2] },
  { kind: "FUNC", name: "node", vlen: 1, word: 11 },
  { kind: "VAR", name: "v", word: 1, rest: [1] },
  { kind: "DATASEC", name: ".data", vlen: 1, word: 4, rest: [13, 0, 4] },
  { kind: "FLOAT", name: "double", word: 8 },
  { kind: "DECL_TAG", name: "tag", word: 4, rest: [-1] },
  { kind: "TYPE_TAG", name: "user", word: 1 },
  {
    kind: "STRUCT",
    name: "bits",
    vlen: 2,
    flag: true,
    word: 4,
    rest: ["a", 1, 0x03000000, "b", 1, 0x05000003],
  },
];

describe("parseBtf", () => {
  test.each([true, false])("decodes every kind, little endian %s", (littleEndian) => {
    const btf = parseBtf(btfBlob(ROWS, { littleEndian }));
    expect(btf.typeCount).toBe(19);
    expect(btf.type(0)).toMatchObject({ kind: 0, name: "void" });
    expect(btf.type(1)).toMatchObject({ name: "int", size: 4, encoding: 1, bits: 32, bitOffset: 0 });
    expect(btf.type(3)).toMatchObject({ type: 1, indexType: 1, nelems: 5 });
    expect(btf.type(4)).toMatchObject({
      name: "node",
      size: 32,
      members: [
        { name: "next", type: 2, bitOffset: 0, bitSize: 0 },
        { name: "data", type: 3, bitOffset: 64, bitSize: 0 },
        { name: "", type: 5, bitOffset: 224, bitSize: 0 },
      ],
    });
    expect(btf.type(8)).toMatchObject({
      signed: true,
      values: [
        { name: "A", value: 0 },
        { name: "B", value: -1 },
      ],
    });
    expect(btf.type(9)).toMatchObject({
      signed: false,
      values: [{ name: "C", value: 0x80000000_00000001n }],
    });
    expect(btf.type(10)).toMatchObject({ union: true });
    expect(btf.type(11)).toMatchObject({ type: 1, params: [{ name: "x", type: 2 }] });
    expect(btf.type(12)).toMatchObject({ linkage: 1, type: 11 });
    expect(btf.type(14)).toMatchObject({ size: 4, vars: [{ type: 13, offset: 0, size: 4 }] });
    expect(btf.type(16)).toMatchObject({ name: "tag", componentIndex: -1 });
    expect(btf.type(18)).toMatchObject({
      members: [
        { name: "a", bitOffset: 0, bitSize: 3 },
        { name: "b", bitOffset: 3, bitSize: 5 },
      ],
    });
    expect([4, 3, 2, 6, 14, 15].map((id) => btf.resolveSize(id))).toEqual([32, 20, 8, 32, 4, 8]);
    expect([1, 4, 5, 9].map((id) => btf.alignOf(id))).toEqual([4, 8, 4, 8]);
    expect(btf.skipModifiers(6)).toBe(4);
    expect(btf.skipQualifiers(6)).toBe(6);
    expect(() => btf.resolveSize(11)).toThrow(/FUNC_PROTO has no size \(type id 11\)/);
    expect(() => btf.type(19)).toThrow(/no such type .*type id 19/);
  });

  test("finds names by kind", () => {
    const btf = parseBtf(btfBlob(ROWS));
    expect(btf.findByName("node")).toBe(4);
    expect(btf.findByName("node", BTF_KIND_TYPEDEF)).toBe(6);
    expect(btf.findByName("node", BTF_KIND_FUNC)).toBe(12);
    expect(btf.findByName("nod")).toBeUndefined();
    expect(btf.findByName("")).toBeUndefined();
  });

  test("split BTF goes on where its base ends", () => {
    const base = parseBtf(btfBlob(ROWS));
    const blob = btfBlob(
      [
        { kind: "PTR", word: 4 },
        { kind: "STRUCT", name: "module", vlen: 1, word: 8, rest: ["first", 19, 0] },
      ],
      { stringsStart: base.stringsSize },
    );
    const btf = parseBtf(blob, { base });
    expect([btf.startId, btf.typeCount]).toEqual([19, 21]);
    expect(btf.type(4)).toMatchObject({ name: "node" });
    expect(btf.type(20)).toMatchObject({ name: "module", members: [{ name: "first", type: 19 }] });
    expect(btf.findByName("module", BTF_KIND_STRUCT)).toBe(20);
    expect(btf.findByName("int", BTF_KIND_INT)).toBe(1);
    expect(btf.findOwnByName("int")).toBeUndefined();
  });

  test("cycles end in errors", () => {
    const btf = parseBtf(
      btfBlob([
        { kind: "CONST", word: 2 },
        { kind: "VOLATILE", word: 1 },
        { kind: "ARRAY", rest: [3, 3, 1] },
        { kind: "STRUCT", name: "s", vlen: 1, word: 8, rest: ["m", 4, 0] },
      ]),
    );
    expect(() => btf.skipModifiers(1)).toThrow(/cycle/);
    expect(() => btf.resolveSize(1)).toThrow(/cycle/);
    expect(() => btf.resolveSize(3)).toThrow(BtfError);
    expect(() => btf.alignOf(4)).toThrow(/cycle/);
  });

  const u32 = (at: number, value: number) => (b: Uint8Array) =>
    new DataView(b.buffer).setUint32(at, value, true);
  const cases: [string, (b: Uint8Array) => void, RegExp][] = [
    ["magic", (b) => b.fill(0, 0, 2), /not BTF: magic 0x0/],
    ["version", (b) => b.fill(9, 2, 3), /version 9/],
    ["header", u32(4, 9999), /header of 9999/],
    ["types beyond", u32(12, 0x7fffffff), /types \(2147483647 bytes\) end beyond/],
    ["types misaligned", u32(8, 2), /not aligned/],
    ["strings beyond", u32(20, 0x7fffffff), /strings .* end beyond/],
    ["kind", u32(28, 0x1f000000), /unknown kind 31 \(type id 1, offset 0x18\)/],
    ["vlen", u32(28, 0x0400ffff), /STRUCT ends beyond the types \(type id 1/],
    ["last string", (b) => b.fill(1, b.length - 1), /last string has no end/],
  ];
  test.each(cases)("refuses: %s", (_name, damage, message) => {
    const blob = btfBlob(ROWS);
    damage(blob);
    expect(() => parseBtf(blob)).toThrow(BtfError);
    expect(() => parseBtf(blob)).toThrow(message);
  });

  const w = want("bpf");
  test.skipIf(w.skip)(w.title("a kernel's types open in under 60 ms"), () => {
    const bytes = new Uint8Array(readFileSync("/sys/kernel/btf/vmlinux"));
    parseBtf(bytes);
    const times = Array.from({ length: 5 }, () => {
      // Time on the processor: others may share it.
      const start = process.cpuUsage();
      parseBtf(bytes);
      return process.cpuUsage(start).user / 1000;
    });
    const btf = parseBtf(bytes);
    const task = btf.findByName("task_struct", BTF_KIND_STRUCT)!;
    expect(btf.resolveSize(task)).toBeGreaterThan(1000);
    for (let id = 1; id < btf.typeCount; id++) expect(btf.type(id).id).toBe(id);
    expect(Math.min(...times)).toBeLessThan(60);
  });
});
