/** A small object with a struct_ops map, and a kernel that orders the struct's members in another way. */
import { R_BPF_64_ABS64, writeElf } from "../../src/elf/index.ts";
import { btfBlob, type TypeRow } from "./btf-blob.ts";

const SHT_PROGBITS = 1;
const WRITE_ALLOC = 3;
const ALLOC_EXEC = 6;

/**
 *   struct ops___mine { int (*init)(int); int flags; char name[4]; int (*gone)(int); };   24 bytes + gone
 *   struct ops___mine first SEC(".struct_ops.link") = { .init = my_init, .flags = 7, .name = "me" };
 */
const TYPES: readonly TypeRow[] = [
  { kind: "INT", name: "int", word: 4, rest: [0x01000020] },
  { kind: "FUNC_PROTO", vlen: 1, word: 1, rest: ["x", 1] },
  { kind: "PTR", word: 2 },
  { kind: "INT", name: "char", word: 1, rest: [0x01000008] },
  { kind: "ARRAY", rest: [4, 1, 4] },
  {
    kind: "STRUCT",
    name: "ops___mine",
    vlen: 4,
    word: 24,
    rest: ["init", 3, 0, "flags", 1, 64, "name", 5, 96, "gone", 3, 128],
  },
  { kind: "VAR", name: "first", word: 6, rest: [1] },
  { kind: "DATASEC", name: ".struct_ops.link", vlen: 1, rest: [7, 0, 24] },
  { kind: "FUNC", name: "my_init", vlen: 1, word: 2 },
];

/** struct ops { int flags; char name[4]; int (*exit)(int); int (*init)(int); }, in a value that has 8 bytes before it. */
const KERNEL: readonly TypeRow[] = [
  { kind: "INT", name: "int", word: 4, rest: [0x01000020] },
  { kind: "FUNC_PROTO", vlen: 1, word: 1, rest: ["x", 1] },
  { kind: "PTR", word: 2 },
  { kind: "INT", name: "char", word: 1, rest: [0x01000008] },
  { kind: "ARRAY", rest: [4, 1, 4] },
  {
    kind: "STRUCT",
    name: "ops",
    vlen: 4,
    word: 24,
    rest: ["flags", 1, 0, "name", 5, 32, "exit", 3, 64, "init", 3, 128],
  },
  { kind: "STRUCT", name: "bpf_struct_ops_ops", vlen: 2, word: 32, rest: ["common", 1, 0, "data", 6, 64] },
];

export function structOpsKernelBtf(): Uint8Array {
  return btfBlob(KERNEL);
}

export function structOpsObject(): Uint8Array {
  const btf = btfBlob(TYPES);
  const code = Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);
  const value = new Uint8Array(24);
  value[8] = 7;
  value.set([0x6d, 0x65], 12);
  return writeElf({
    sections: [
      { name: "struct_ops/init", type: SHT_PROGBITS, flags: ALLOC_EXEC, data: code },
      { name: "license", type: SHT_PROGBITS, flags: WRITE_ALLOC, data: new TextEncoder().encode("GPL\0") },
      {
        name: ".struct_ops.link",
        type: SHT_PROGBITS,
        flags: WRITE_ALLOC,
        data: value,
        relocations: [{ offset: 0, type: R_BPF_64_ABS64, symbol: 0 }],
      },
      { name: ".BTF", type: SHT_PROGBITS, data: btf },
    ],
    symbols: [
      { name: "my_init", bind: 1, type: 2, section: "struct_ops/init", size: code.length },
      { name: "first", bind: 1, type: 1, section: ".struct_ops.link", size: 24 },
    ],
  });
}
