/**
 * The types of a BTF and of its base in one writable array, with every own name's offset replaced by one that is the
 * same for equal texts: what the passes of deduplication work on.
 */
import type { Btf } from "../btf.ts";
import { forEachStringWord, kindOf, recordLength } from "../records.ts";
import { StringTable } from "../string-table.ts";

export class TypeTable {
  readonly startId: number;
  readonly count: number;
  readonly words: Uint32Array;
  /** Index in `words` by id; id 0 has none. */
  readonly records: Uint32Array;
  /** The own strings: those that types use, each once, in order of use; or all, as they were. */
  readonly strings: Uint8Array;

  constructor(btf: Btf, keepStrings: boolean) {
    this.startId = btf.startId;
    this.count = btf.typeCount;
    const layers: Btf[] = [];
    for (let at: Btf | undefined = btf; at !== undefined; at = at.base) layers.unshift(at);
    // Records begin behind three zero words that stand for void.
    this.words = new Uint32Array(layers.reduce((sum, layer) => sum + layer.words.length, 3));
    this.records = new Uint32Array(btf.typeCount);
    let at = 3;
    for (const layer of layers) {
      this.words.set(layer.words, at);
      for (let id = layer.startId; id < layer.typeCount; id++) this.records[id] = at + layer.recordWord(id);
      at += layer.words.length;
    }
    this.strings = keepStrings
      ? btf.bytes.subarray(btf.stringsOffset, btf.stringsOffset + btf.stringsSize)
      : this.#internStrings(btf);
  }

  kind(id: number): number {
    return kindOf(this.words[this.records[id]! + 1]!);
  }

  length(id: number): number {
    return id === 0 ? 3 : recordLength(this.words[this.records[id]! + 1]!);
  }

  #internStrings(btf: Btf): Uint8Array {
    const strings = new StringTable(btf.stringsStart);
    const { words } = this;
    const bytes = btf.bytes;
    const baseStrings = btf.base === undefined ? undefined : stringIndex(btf.base);
    /** New offset + 1 by old offset. */
    const seen = new Uint32Array(btf.stringsSize);
    const intern = (index: number): void => {
      const old = words[index]!;
      if (old === 0 || old < btf.stringsStart) return;
      const own = old - btf.stringsStart;
      let at = seen[own]! - 1;
      if (at < 0) {
        const from = btf.stringsOffset + own;
        const to = bytes.indexOf(0, from);
        at = baseStrings?.get(btf.string(old)) ?? strings.addBytes(bytes, from, to);
        seen[own] = at + 1;
      }
      words[index] = at;
    };
    for (let id = btf.startId; id < btf.typeCount; id++) forEachStringWord(words, this.records[id]!, intern);
    return strings.bytes;
  }
}

/** The lowest offset of each string of a BTF and of its bases. */
function stringIndex(btf: Btf): Map<string, number> {
  const out = btf.base === undefined ? new Map<string, number>() : stringIndex(btf.base);
  const decoder = new TextDecoder();
  const end = btf.stringsOffset + btf.stringsSize;
  for (let at = btf.stringsOffset; at < end; ) {
    const stop = btf.bytes.indexOf(0, at);
    const text = decoder.decode(btf.bytes.subarray(at, stop));
    if (!out.has(text)) out.set(text, btf.stringsStart + at - btf.stringsOffset);
    at = stop + 1;
  }
  return out;
}
