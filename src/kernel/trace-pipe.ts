/** Messages of bpf_trace_printk that nobody has read yet, oldest first; the oldest go when too many wait. */
export class TracePipe {
  readonly #lines: string[] = [];
  readonly #limit: number;
  /** Called with each message as it comes, for hosts that print at once. */
  onMessage: ((message: string) => void) | undefined;

  constructor(limit = 65536) {
    this.#limit = limit;
  }

  write(message: string): void {
    if (this.#lines.length >= this.#limit) this.#lines.shift();
    this.#lines.push(message);
    this.onMessage?.(message);
  }

  /** Takes what waits: the messages as programs wrote them, closing newlines included. */
  read(): string[] {
    return this.#lines.splice(0);
  }
}
