/** The text of a dump, in pieces, with a limit: types can be nested so that a small BTF would fill any disk. */
import { BtfError } from "../../diag/index.ts";

const LIMIT = 1 << 20;
const LIMIT_PER_BYTE = 16;

export class DumpWriter {
  #parts: string[] = [];
  #left: number;

  constructor(btfBytes: number) {
    this.#left = LIMIT + LIMIT_PER_BYTE * btfBytes;
  }

  write(text: string): void {
    this.#left -= text.length;
    if (this.#left < 0) throw new BtfError("the types nest into absurdly much C", { offset: 0 });
    this.#parts.push(text);
  }

  /** What was written since the last call. */
  take(): string {
    const text = this.#parts.join("");
    this.#parts = [];
    return text;
  }
}
