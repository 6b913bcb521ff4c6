/** Changes an object's own BTF in place, as libbpf does before it hands BTF to the kernel. */
import {
  type BTF_FUNC_GLOBAL,
  type BTF_FUNC_STATIC,
  BTF_KIND_ARRAY,
  BTF_KIND_DATASEC,
  BTF_KIND_FUNC,
  BTF_KIND_INT,
  BTF_KIND_VAR,
  BTF_VAR_GLOBAL_ALLOCATED,
  Btf,
} from "../btf/index.ts";
import { InternalError } from "../diag/index.ts";

export class BtfEditor {
  /** Types as they were; what is edited shows in `finish()` only. */
  readonly btf: Btf;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = Uint8Array.from(bytes);
    this.btf = new Btf(this.#bytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  finish(): Btf {
    return new Btf(this.#bytes);
  }

  datasecSize(id: number): number {
    return this.#get(this.#at(id, BTF_KIND_DATASEC) + 8);
  }

  setDatasecSize(id: number, size: number): void {
    this.#set(this.#at(id, BTF_KIND_DATASEC) + 8, size);
  }

  /** Member `index` of a DATASEC. */
  setVarSecinfo(id: number, index: number, change: { type?: number; offset?: number; size?: number }): void {
    const at = this.#at(id, BTF_KIND_DATASEC) + 12 + index * 12;
    if (change.type !== undefined) this.#set(at, change.type);
    if (change.offset !== undefined) this.#set(at + 4, change.offset);
    if (change.size !== undefined) this.#set(at + 8, change.size);
  }

  /** Orders a DATASEC's members by offset; equal ones keep their order. */
  sortDatasec(id: number): void {
    const at = this.#at(id, BTF_KIND_DATASEC) + 12;
    const count = this.btf.vlen(id);
    const rows = Array.from({ length: count }, (_, i) => ({
      offset: this.#get(at + i * 12 + 4),
      row: this.#bytes.slice(at + i * 12, at + i * 12 + 12),
    }));
    rows.sort((a, b) => a.offset - b.offset);
    rows.forEach(({ row }, i) => {
      this.#bytes.set(row, at + i * 12);
    });
  }

  setVarLinkage(id: number, linkage: number): void {
    this.#set(this.#at(id, BTF_KIND_VAR) + 12, linkage);
  }

  setVarType(id: number, type: number): void {
    this.#set(this.#at(id, BTF_KIND_VAR) + 8, type);
  }

  setFuncLinkage(id: number, linkage: typeof BTF_FUNC_STATIC | typeof BTF_FUNC_GLOBAL): void {
    const at = this.#at(id, BTF_KIND_FUNC) + 4;
    this.#set(at, ((this.#get(at) & 0xffff0000) | linkage) >>> 0);
  }

  /** Names a FUNC_PROTO's parameter (offset of a string). */
  setParamName(protoId: number, index: number, nameOffset: number): void {
    this.#set(this.btf.recordOffset(protoId) + 12 + index * 8, nameOffset);
  }

  #at(id: number, kind: number): number {
    if (this.btf.kind(id) !== kind)
      throw new InternalError(`BTF type ${id} is of kind ${this.btf.kind(id)}, not ${kind}`);
    return this.btf.recordOffset(id);
  }

  #get(at: number): number {
    return this.#view.getUint32(at, this.btf.littleEndian);
  }

  #set(at: number, value: number): void {
    this.#view.setUint32(at, value, this.btf.littleEndian);
  }
}

/** The first 32-bit INT, or 0. */
export function findInt32(btf: Btf): number {
  for (let id = 1; id < btf.typeCount; id++) {
    if (btf.kind(id) !== BTF_KIND_INT) continue;
    const type = btf.type(id);
    if (type.kind === BTF_KIND_INT && type.bits === 32) return id;
  }
  return 0;
}

/**
 * BTF with one VAR more, the last type: libbpf's `dummy_ksym`, which stands in for kernel functions in .ksyms, as the
 * kernel takes only variables there.
 */
export function appendDummyKsym(bytes: Uint8Array): { bytes: Uint8Array; id: number; nameOffset: number } {
  const btf = new Btf(bytes);
  const nameOffset = btf.stringsSize;
  const record = [nameOffset, (BTF_KIND_VAR << 24) >>> 0, findInt32(btf), BTF_VAR_GLOBAL_ALLOCATED];
  const name = new TextEncoder().encode("dummy_ksym\0");
  return { bytes: appendRecord(btf, record, name), id: btf.typeCount, nameOffset };
}

/** BTF with one ARRAY more, the last type. */
export function appendArray(
  btf: Btf,
  type: number,
  indexType: number,
  nelems: number,
): { bytes: Uint8Array; id: number } {
  const record = [0, (BTF_KIND_ARRAY << 24) >>> 0, 0, type, indexType, nelems];
  return { bytes: appendRecord(btf, record, new Uint8Array(0)), id: btf.typeCount };
}

/** One type record and the strings that it brings, behind the others. */
function appendRecord(btf: Btf, record: readonly number[], text: Uint8Array): Uint8Array {
  const { bytes } = btf;
  const little = btf.littleEndian;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerSize = view.getUint32(4, little);
  const typesOffset = view.getUint32(8, little);
  const typesSize = view.getUint32(12, little);
  const types = bytes.subarray(headerSize + typesOffset, headerSize + typesOffset + typesSize);
  const strings = bytes.subarray(btf.stringsOffset, btf.stringsOffset + btf.stringsSize);
  const size = typesSize + record.length * 4;
  const out = new Uint8Array(headerSize + size + strings.length + text.length);
  out.set(bytes.subarray(0, headerSize));
  out.set(types, headerSize);
  out.set(strings, headerSize + size);
  out.set(text, headerSize + size + strings.length);
  const edit = new DataView(out.buffer);
  edit.setUint32(8, 0, little);
  edit.setUint32(12, size, little);
  edit.setUint32(16, size, little);
  edit.setUint32(20, strings.length + text.length, little);
  record.forEach((word, i) => {
    edit.setUint32(headerSize + typesSize + i * 4, word, little);
  });
  return out;
}
