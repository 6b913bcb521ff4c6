/** The log's text: struct bpf_verifier_log in rolling mode, which keeps the tail when the buffer is full. */
import type { VerifierLog } from "../env.ts";

/** Characters kept at most, about what a 16 MiB user buffer holds. */
const MAX_CHARS: number = 16 << 20;

export class LogBuffer implements VerifierLog {
  readonly level: number;
  readonly #max: number;
  /** Text from `#start` on, in pieces; positions count from the very first character written. */
  #pieces: string[] = [];
  #start = 0;
  #end = 0;

  constructor(level: number, max: number = MAX_CHARS) {
    this.level = level;
    this.#max = max;
  }

  get position(): number {
    return this.#end;
  }

  /** Level 0 keeps nothing: the caller asked for no log. */
  write(text: string): void {
    if (this.level === 0 || text === "") return;
    this.#pieces.push(text);
    this.#end += text.length;
    if (this.#end - this.#start > 2 * this.#max) this.#cutHead();
  }

  reset(position: number): void {
    while (this.#end > position) {
      const last = this.#pieces.pop();
      // The head was cut in the meantime: nothing of that time is left.
      if (last === undefined) {
        this.#start = position;
        this.#end = position;
        return;
      }
      this.#end -= last.length;
      if (this.#end < position) {
        this.#pieces.push(last.slice(0, position - this.#end));
        this.#end = position;
      }
    }
  }

  text(): string {
    if (this.#end - this.#start > this.#max) this.#cutHead();
    return this.#pieces.join("");
  }

  #cutHead(): void {
    const tail = this.#pieces.join("").slice(-this.#max);
    this.#pieces = [tail];
    this.#start = this.#end - tail.length;
  }
}
