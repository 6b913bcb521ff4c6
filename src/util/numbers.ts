/** `value` rounded up to a multiple of `alignment`, a power of two. */
export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

/** `0x` and lower-case digits, as the kernel prints. */
export function hex(value: number | bigint): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}

/** WebAssembly memory is little-endian whatever the host; typed arrays are not. */
export const isLittleEndianHost: boolean = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
