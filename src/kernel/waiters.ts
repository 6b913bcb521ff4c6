/**
 * Who waits for records of a ring: programs run in the same thread, so whoever waits is told once the code that ran
 * them has come to its end.
 */
export class Waiters {
  readonly #waiting = new Set<{ readonly ready: () => boolean; readonly done: () => void }>();
  #scheduled = false;

  /** Resolves when `ready` holds after a run, or at once when it does already, or when `signal` aborts. */
  wait(ready: () => boolean, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true || ready()) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        signal?.removeEventListener("abort", done);
        this.#waiting.delete(waiter);
        resolve();
      };
      const waiter = { ready, done };
      this.#waiting.add(waiter);
      signal?.addEventListener("abort", done);
    });
  }

  /** A program is about to run. */
  notify(): void {
    if (this.#waiting.size === 0 || this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      for (const waiter of this.#waiting) if (waiter.ready()) waiter.done();
    });
  }
}
