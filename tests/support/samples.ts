/** A small object with one of everything, made without a compiler: seeds for fuzzing. */
import { R_BPF_64_32, R_BPF_64_64, R_BPF_64_ABS64, writeElf } from "../../src/elf/index.ts";
import { btfBlob, type TypeRow } from "./btf-blob.ts";

const SHT_PROGBITS = 1;
const SHT_NOBITS = 8;
const WRITE_ALLOC = 3;
const ALLOC_EXEC = 6;

const slot = (code: number, regs: number, off: number, imm: number): number[] => {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint8(0, code);
  view.setUint8(1, regs);
  view.setInt16(2, off, true);
  view.setInt32(4, imm, true);
  return [...new Uint8Array(view.buffer)];
};

export function sampleInsns(): Uint8Array {
  return Uint8Array.from(
    [
      slot(0x18, 0x01, 0, 0), // r1 = map
      slot(0, 0, 0, 0),
      slot(0x61, 0x12, 8, 0), // r2 = *(u32 *)(r1 + 8)
      slot(0x85, 0x10, 0, -1), // call sub
      slot(0x18, 0x43, 0, 0), // r3 = global
      slot(0, 0, 0, 0),
      slot(0xdb, 0x23, 0, 1), // lock fetch add
      slot(0x15, 0x02, 1, 0),
      slot(0x85, 0x10, 0, -1), // call kernel function
      slot(0x18, 0x01, 0, 0), // r1 = kconfig
      slot(0, 0, 0, 0),
      slot(0xd4, 0x01, 0, 16),
      slot(0x95, 0, 0, 0),
    ].flat(),
  );
}

const TYPES: readonly TypeRow[] = [
  { kind: "INT", name: "int", word: 4, rest: [0x01000020] },
  { kind: "ARRAY", rest: [1, 1, 2] },
  { kind: "PTR", word: 2 },
  { kind: "PTR", word: 1 },
  {
    kind: "STRUCT",
    vlen: 4,
    word: 32,
    rest: ["type", 3, 0, "max_entries", 3, 64, "key", 4, 128, "value", 4, 192],
  },
  { kind: "VAR", name: "table", word: 5, rest: [1] },
  { kind: "DATASEC", name: ".maps", vlen: 1, rest: [6, 0, 32] },
  {
    kind: "STRUCT",
    name: "task",
    vlen: 3,
    flag: true,
    word: 16,
    rest: ["a", 1, 0, "b", 1, 0x03000020, "", 9, 64],
  },
  { kind: "UNION", vlen: 2, word: 8, rest: ["c", 1, 0, "d", 4, 0] },
  { kind: "VAR", name: "counter", word: 8, rest: [1] },
  { kind: "DATASEC", name: ".data", vlen: 1, rest: [10, 0, 16] },
  { kind: "FUNC_PROTO", vlen: 1, word: 1, rest: ["ctx", 4] },
  { kind: "FUNC", name: "main", vlen: 1, word: 12 },
  { kind: "FUNC", name: "sub", vlen: 1, word: 12 },
  { kind: "FUNC", name: "kfunc", vlen: 2, word: 12 },
  { kind: "DATASEC", name: ".ksyms", vlen: 1, rest: [15, 0, 0] },
  { kind: "VAR", name: "CONFIG_HZ", word: 1, rest: [2] },
  { kind: "DATASEC", name: ".kconfig", vlen: 1, rest: [17, 0, 4] },
  { kind: "ENUM", name: "mode", vlen: 2, word: 4, rest: ["OFF", 0, "ON", 1] },
  { kind: "ENUM64", name: "wide", vlen: 1, word: 8, rest: ["W", 1, 2] },
  { kind: "TYPEDEF", name: "task_t", word: 8 },
  { kind: "CONST", word: 21 },
  { kind: "FLOAT", name: "double", word: 8 },
  { kind: "DECL_TAG", name: "exception_callback:sub", word: 13, rest: [-1] },
  { kind: "TYPE_TAG", name: "user", word: 1 },
  { kind: "FWD", name: "later" },
];

export function sampleBtf(): Uint8Array {
  return btfBlob(TYPES);
}

/** func_info, line_info and one CO-RE record for section xdp; offsets of strings are those of `sampleBtf`. */
function sampleBtfExt(btf: Uint8Array): Uint8Array {
  const text = new TextDecoder("latin1").decode(btf);
  const strings = new DataView(btf.buffer, btf.byteOffset).getUint32(16, true) + 24;
  const name = (s: string): number => text.indexOf(`\0${s}\0`, strings - 1) + 1 - strings;
  const words = [
    ...[0xeb9f | (1 << 16), 32, 0, 20, 20, 28, 48, 28],
    ...[8, name("main"), 1, 0, 13],
    ...[16, name("main"), 1, 0, 0, 0, 0],
    ...[16, name("main"), 1, 16, 8, name("a"), 0],
  ];
  return new Uint8Array(Uint32Array.from(words).buffer);
}

export function sampleObject(): Uint8Array {
  const btf = sampleBtf();
  const main = sampleInsns();
  const sub = Uint8Array.from([slot(0xb7, 0, 0, 1), slot(0x95, 0, 0, 0)].flat());
  const code = { type: SHT_PROGBITS, flags: ALLOC_EXEC };
  const data = { type: SHT_PROGBITS, flags: WRITE_ALLOC };
  return writeElf({
    sections: [
      { name: ".text", ...code, data: sub },
      {
        name: "xdp",
        ...code,
        data: main,
        relocations: [
          { offset: 0, type: R_BPF_64_64, symbol: 4 },
          { offset: 24, type: R_BPF_64_32, symbol: 0 },
          { offset: 32, type: R_BPF_64_64, symbol: 5 },
          { offset: 64, type: R_BPF_64_32, symbol: 6 },
          { offset: 72, type: R_BPF_64_64, symbol: 7 },
        ],
      },
      { name: "license", ...data, data: new TextEncoder().encode("GPL\0") },
      { name: "version", ...data, data: Uint8Array.of(0, 12, 6, 0) },
      {
        name: ".maps",
        ...data,
        data: new Uint8Array(32),
        relocations: [{ offset: 24, type: R_BPF_64_ABS64, symbol: 4 }].slice(1),
      },
      { name: ".data", ...data, data: new Uint8Array(16).fill(1) },
      { name: ".bss", type: SHT_NOBITS, flags: WRITE_ALLOC, size: 64 },
      { name: "maps", ...data, data: Uint8Array.of(...[1, 4, 8, 16, 0].flatMap((v) => [v, 0, 0, 0])) },
      { name: ".BTF", type: SHT_PROGBITS, data: btf },
      { name: ".BTF.ext", type: SHT_PROGBITS, data: sampleBtfExt(btf) },
    ],
    symbols: [
      { name: "", bind: 0, type: 3, section: ".text" },
      { name: "sub", bind: 1, type: 2, section: ".text", size: 16 },
      { name: "main", bind: 1, type: 2, section: "xdp", size: main.length },
      { name: "old", bind: 1, type: 1, section: "maps", size: 20 },
      { name: "table", bind: 1, type: 1, section: ".maps", size: 32 },
      { name: "counter", bind: 1, type: 1, section: ".data", size: 16 },
      { name: "kfunc", bind: 1, type: 0, section: 0 },
      { name: "CONFIG_HZ", bind: 2, type: 0, section: 0 },
    ],
  });
}
