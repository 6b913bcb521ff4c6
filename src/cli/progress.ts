// Progress on standard error, for people only: nothing when it is no terminal or the work is short.
import ora, { type Ora } from "ora";

const SHOW_AFTER_MS = 500;
const EVERY_MS = 100;

export class Progress {
  readonly #total: number | undefined;
  readonly #enabled: boolean;
  #next = performance.now() + SHOW_AFTER_MS;
  #spinner: Ora | undefined;

  /** `total` in the unit of update's `done`, where it is known. */
  constructor(total: number | undefined, enabled: boolean = process.stderr.isTTY === true) {
    this.#total = total;
    this.#enabled = enabled;
  }

  /** Cheap enough for every few packets. */
  update(done: number, text: () => string): void {
    if (!this.#enabled) return;
    const now = performance.now();
    if (now < this.#next) return;
    this.#next = now + EVERY_MS;
    const share = this.#total ? `${Math.min(100, Math.floor((done / this.#total) * 100))}% ` : "";
    this.#spinner ??= ora({ stream: process.stderr, discardStdin: false });
    this.#spinner.text = share + text();
    // The work holds the event loop, so the spinner's own timer seldom runs.
    this.#spinner.render();
  }

  end(): void {
    this.#spinner?.stop();
  }
}
