// Progress on standard error, for people only: nothing when it is no terminal or the work is short.
const SHOW_AFTER_MS = 500;
const EVERY_MS = 100;
/** To the line's start, and clear it. */
const CLEAR_LINE = "\r\x1b[K";

interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** One line that is written over: the work holds the event loop, where a spinner would stand still. */
export class Progress {
  readonly #total: number | undefined;
  readonly #stream: ProgressStream;
  #next = performance.now() + SHOW_AFTER_MS;
  #shown = false;

  /** `total` in the unit of update's `done`, where it is known. */
  constructor(total: number | undefined, stream: ProgressStream = process.stderr) {
    this.#total = total;
    this.#stream = stream;
  }

  /** Cheap enough for every few packets. */
  update(done: number, text: () => string): void {
    if (this.#stream.isTTY !== true) return;
    const now = performance.now();
    if (now < this.#next) return;
    this.#next = now + EVERY_MS;
    const share = this.#total ? `${Math.min(100, Math.floor((done / this.#total) * 100))}% ` : "";
    this.#stream.write(`${CLEAR_LINE}${share}${text()}`);
    this.#shown = true;
  }

  end(): void {
    if (this.#shown) this.#stream.write(CLEAR_LINE);
    this.#shown = false;
  }
}
