import { describe, expect, test } from "vitest";
import { btfBlob, type TypeRow } from "../../tests/support/btf-blob.ts";
import * as btf from "./index.ts";

const INT: TypeRow = { kind: "INT", name: "int", word: 4, rest: [0x01000020] };
const U32: TypeRow = { kind: "INT", name: "u32", word: 4, rest: [0x00000020] };
const U64: TypeRow = { kind: "INT", name: "u64", word: 8, rest: [0x00000040] };

/** What the object was compiled against. */
const LOCAL: TypeRow[] = [
  INT,
  U32,
  U64,
  { kind: "STRUCT", name: "task", vlen: 2, word: 8, rest: ["pid", 1, 0, "id", 2, 32] },
  { kind: "STRUCT", name: "task___old", vlen: 1, word: 4, rest: ["tgid", 1, 0] },
  { kind: "ENUM", name: "mode", vlen: 2, word: 4, rest: ["FAST", 1, "GONE", 2] },
  {
    kind: "STRUCT",
    name: "bits",
    vlen: 2,
    flag: true,
    word: 4,
    rest: ["a", 2, 0x03000000, "b", 2, 0x05000003],
  },
  { kind: "STRUCT", name: "nowhere", vlen: 1, word: 4, rest: ["x", 1, 0] },
  { kind: "ARRAY", rest: [1, 1, 4] },
  { kind: "STRUCT", name: "holder", vlen: 1, word: 16, rest: ["list", 9, 0] },
];
/** The kernel: members moved, one inside an anonymous struct, one grown. */
const TARGET: TypeRow[] = [
  INT,
  U32,
  U64,
  { kind: "STRUCT", vlen: 2, word: 16, rest: ["tgid", 1, 0, "id", 3, 64] },
  { kind: "STRUCT", name: "task", vlen: 3, word: 32, rest: ["state", 3, 0, "pid", 1, 64, "", 4, 128] },
  { kind: "ENUM", name: "mode", vlen: 2, word: 4, rest: ["SLOW", 0, "FAST", 7] },
  {
    kind: "STRUCT",
    name: "bits",
    vlen: 2,
    flag: true,
    word: 8,
    rest: ["a", 2, 0x03000020, "b", 2, 0x05000028],
  },
  { kind: "ARRAY", rest: [1, 1, 8] },
  { kind: "STRUCT", name: "holder", vlen: 2, word: 40, rest: ["n", 3, 0, "list", 8, 64] },
];

const resolver = new btf.CoreResolver(btf.parseBtf(btfBlob(LOCAL)), btf.parseBtf(btfBlob(TARGET)));
const resolve = (typeId: number, access: string, kind: number): btf.CoreValue =>
  resolver.resolve({ insnOffset: 0, typeId, access, kind });

describe("CO-RE relocations", () => {
  const cases: [string, number, string, number, Partial<btf.CoreValue>][] = [
    ["a member moved", 4, "0:0", btf.BPF_CORE_FIELD_BYTE_OFFSET, { original: 0n, value: 8n, poison: false }],
    [
      "a member in an anonymous struct, grown",
      4,
      "0:1",
      btf.BPF_CORE_FIELD_BYTE_OFFSET,
      { original: 4n, value: 24n, originalSize: 4, size: 8, badSize: false },
    ],
    ["its size", 4, "0:1", btf.BPF_CORE_FIELD_BYTE_SIZE, { original: 4n, value: 8n }],
    ["a flavor", 5, "0:0", btf.BPF_CORE_FIELD_BYTE_OFFSET, { value: 16n }],
    ["a member exists", 4, "0:0", btf.BPF_CORE_FIELD_EXISTS, { value: 1n }],
    ["signed", 4, "0:0", btf.BPF_CORE_FIELD_SIGNED, { value: 1n }],
    ["unsigned", 4, "0:1", btf.BPF_CORE_FIELD_SIGNED, { value: 0n }],
    ["a struct that is gone", 8, "0:0", btf.BPF_CORE_FIELD_BYTE_OFFSET, { poison: true }],
    ["...does not exist", 8, "0:0", btf.BPF_CORE_FIELD_EXISTS, { poison: false, value: 0n }],
    ["a type exists", 4, "0", btf.BPF_CORE_TYPE_EXISTS, { value: 1n }],
    ["a type does not", 8, "0", btf.BPF_CORE_TYPE_EXISTS, { value: 0n }],
    ["a type's size", 4, "0", btf.BPF_CORE_TYPE_SIZE, { original: 8n, value: 32n }],
    ["a type's id", 4, "0", btf.BPF_CORE_TYPE_ID_TARGET, { value: 5n, validate: false }],
    ["a local id", 4, "0", btf.BPF_CORE_TYPE_ID_LOCAL, { value: 4n }],
    ["a type that lost members does not match", 4, "0", btf.BPF_CORE_TYPE_MATCHES, { value: 0n }],
    ["an enumerator", 6, "0", btf.BPF_CORE_ENUMVAL_VALUE, { original: 1n, value: 7n }],
    ["an enumerator that is gone", 6, "1", btf.BPF_CORE_ENUMVAL_VALUE, { poison: true }],
    ["...does not exist", 6, "1", btf.BPF_CORE_ENUMVAL_EXISTS, { poison: false, value: 0n }],
    [
      "a bit field's word",
      7,
      "0:1",
      btf.BPF_CORE_FIELD_BYTE_OFFSET,
      { original: 0n, value: 4n, validate: false },
    ],
    ["its left shift", 7, "0:1", btf.BPF_CORE_FIELD_LSHIFT_U64, { original: 56n, value: 51n }],
    ["its right shift", 7, "0:1", btf.BPF_CORE_FIELD_RSHIFT_U64, { original: 59n, value: 59n }],
    ["an array element", 10, "0:0:3", btf.BPF_CORE_FIELD_BYTE_OFFSET, { original: 12n, value: 20n }],
    [
      "an element of the pointed-to array",
      10,
      "2:0:1",
      btf.BPF_CORE_FIELD_BYTE_OFFSET,
      { original: 36n, value: 92n },
    ],
  ];
  test.each(cases)("%s", (_name, typeId, access, kind, want) => {
    expect(resolve(typeId, access, kind)).toMatchObject(want);
  });

  test.each([
    ["letters", 4, "x", 0, /access 'x': want numbers/],
    ["no such member", 4, "0:9", 0, /no member 9 in 'task'/],
    ["below an int", 4, "0:0:0", 0, /goes on below 'int'/],
    ["no such enumerator", 6, "9", 11, /no such enumerator/],
    ["unknown kind", 4, "0", 99, /unknown CO-RE relocation kind 99/],
    ["anonymous", 9, "0", 8, /anonymous types/],
  ])("refuses: %s", (_name, typeId, access, kind, message) => {
    expect(() => resolve(typeId, access, kind)).toThrow(message);
  });
});
