/** Encodes small BTF blobs for tests: types as rows of words, names as text. */
import { BTF_KIND_NAMES } from "../../src/btf/index.ts";

export interface TypeRow {
  readonly kind: string;
  readonly name?: string;
  readonly vlen?: number;
  readonly flag?: boolean;
  /** The third word: size or type. */
  readonly word?: number;
  /** What follows; strings become offsets of names. */
  readonly rest?: readonly (number | string)[];
}

export function btfBlob(
  types: readonly TypeRow[],
  options: { littleEndian?: boolean; stringsStart?: number } = {},
): Uint8Array {
  const little = options.littleEndian ?? true;
  const start = options.stringsStart ?? 0;
  const text: number[] = start === 0 ? [0] : [];
  const name = (s: string): number => {
    if (s === "") return 0;
    const at = start + text.length;
    text.push(...new TextEncoder().encode(s), 0);
    return at;
  };
  const words: number[] = [];
  for (const { kind, name: label = "", vlen = 0, flag = false, word = 0, rest = [] } of types) {
    const number = BTF_KIND_NAMES.indexOf(kind);
    words.push(name(label), (((flag ? 1 : 0) << 31) | (number << 24) | vlen) >>> 0, word);
    for (const r of rest) words.push(typeof r === "string" ? name(r) : r >>> 0);
  }
  const out = new Uint8Array(24 + words.length * 4 + text.length);
  const view = new DataView(out.buffer);
  view.setUint16(0, 0xeb9f, little);
  out[2] = 1;
  view.setUint32(4, 24, little);
  view.setUint32(12, words.length * 4, little);
  view.setUint32(16, words.length * 4, little);
  view.setUint32(20, text.length, little);
  words.forEach((w, i) => {
    view.setUint32(24 + i * 4, w, little);
  });
  out.set(text, 24 + words.length * 4);
  return out;
}
