import type { AddressSpace } from "../address-space.ts";

// One function type carries all of it: (i32, i64, i64, i64, i64, i64) -> i64 is a BPF function in the shared table;
// interp_enter takes the table index before that.
const I32 = 0x7f;
const I64 = 0x7e;
const BPF_TYPE = [0x60, 6, I32, I64, I64, I64, I64, I64, 1, I64];
const ENTER_TYPE = [0x60, 7, I32, I32, I64, I64, I64, I64, I64, 1, I64];

/** Signed LEB128 of a table index. */
function sleb(value: number): number[] {
  const bytes: number[] = [];
  for (;;) {
    const byte = value & 0x7f;
    value >>= 7;
    if (value === 0 && !(byte & 0x40)) return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
}

/** The function to put at `index` of the shared table, which enters what interp_register says of that index. */
export function makeTrampoline(space: AddressSpace, index: number): CallableFunction {
  const code = [
    0,
    0x41,
    ...sleb(index),
    ...[0, 1, 2, 3, 4, 5].flatMap((local) => [0x20, local]),
    0x10,
    0,
    0x0b,
  ];
  const module = new WebAssembly.Module(
    new Uint8Array([
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...[1, 1 + BPF_TYPE.length + ENTER_TYPE.length, 2, ...BPF_TYPE, ...ENTER_TYPE],
      // import "e" "e" as function of type 1
      ...[2, 7, 1, 1, 0x65, 1, 0x65, 0, 1],
      ...[3, 2, 1, 0],
      // export "f": function 1
      ...[7, 5, 1, 1, 0x66, 0, 1],
      ...[10, code.length + 2, 1, code.length, ...code],
    ]),
  );
  const instance = new WebAssembly.Instance(module, { e: { e: space.core["interp_enter"]! } });
  return instance.exports["f"] as CallableFunction;
}
