/** What grows while objects are added: sections, symbols and the records that .BTF.ext will have. */
import type { BTF_EXT_FIELDS, BtfVarSecinfo } from "../btf/index.ts";
import { LinkError } from "../diag/index.ts";

/** The file that becomes the linked object may not be larger. */
const MAX_SIZE = 0x7fffffff;

export interface OutputSymbol {
  readonly name: string;
  bind: number;
  type: number;
  visibility: number;
  /** Undefined with `shndx` for a symbol in no section. */
  section: OutputSection | undefined;
  shndx: number;
  value: number;
  size: number;
}

export interface OutputRelocation {
  readonly offset: number;
  readonly type: number;
  readonly symbol: OutputSymbol;
}

export type ExtPart = keyof typeof BTF_EXT_FIELDS;

/** Records of one part of .BTF.ext for one section; types and strings are those of the BTF under construction. */
export interface ExtRecords {
  recordSize: number;
  readonly records: Uint8Array[];
}

export class OutputSection {
  readonly name: string;
  /** False while only BTF knows it: it has no contents and no ELF section. */
  inElf = false;
  type = 0;
  flags = 0;
  entsize = 0;
  addralign = 1;
  size = 0;
  /** The STT_SECTION symbol. */
  sectionSymbol: OutputSymbol | undefined;
  readonly relocations: OutputRelocation[] = [];
  hasBtf = false;
  readonly vars: { type: number; offset: number; size: number }[] = [];
  readonly ext: Readonly<Record<ExtPart, ExtRecords>> = {
    funcInfo: { recordSize: 0, records: [] },
    lineInfo: { recordSize: 0, records: [] },
    coreRelocations: { recordSize: 0, records: [] },
  };
  #bytes: Uint8Array = new Uint8Array(0);
  #filled = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** Appends contents (or, with `data` undefined, zeroes that take no room in the file); returns where they start. */
  append(size: number, align: number, data: Uint8Array | undefined): number {
    this.addralign = Math.max(this.addralign, align, 1);
    const at = Math.ceil(this.size / this.addralign) * this.addralign;
    this.size = at + size;
    if (data !== undefined) {
      if (this.size > MAX_SIZE)
        throw new LinkError("linked object", `section ${this.name} of ${this.size} bytes`);
      if (this.size > this.#bytes.length) {
        const grown = new Uint8Array(Math.max(this.size, this.#bytes.length * 2));
        grown.set(this.#bytes);
        this.#bytes = grown;
      }
      this.#bytes.set(data, at);
      this.#filled = this.size;
    }
    return at;
  }

  /** A writable view. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#filled);
  }

  addVar(entry: BtfVarSecinfo): number {
    return this.vars.push({ ...entry }) - 1;
  }
}
