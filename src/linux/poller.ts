// One epoll instance for every map that someone waits on. epoll_wait(2) runs on libuv's threads, one call at a time.
import { EEXIST } from "../uapi/index.ts";
import type { Syscalls } from "./syscall.ts";

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EPOLLIN = 1;
const EPOLLONESHOT = 1 << 30;
/** struct epoll_event is packed on x86 only. */
const EVENT_SIZE: number = process.arch === "x64" ? 12 : 16;
const DATA: number = EVENT_SIZE - 8;
const MAX_EVENTS = 32;
/** A process that ends waits this long at most for the thread in epoll_wait(2). */
const TIMEOUT_MS = 500;

interface Waiter {
  readonly fds: readonly number[];
  readonly done: () => void;
}

export class Poller {
  readonly #sys: Syscalls;
  readonly #epoll: number;
  readonly #wake: number;
  readonly #known = new Set<number>();
  readonly #waiters = new Set<Waiter>();
  #running = false;

  constructor(sys: Syscalls) {
    this.#sys = sys;
    this.#epoll = sys.epollCreate();
    this.#wake = sys.eventfd();
    sys.epollCtl(this.#epoll, EPOLL_CTL_ADD, this.#wake, this.#event(EPOLLIN, this.#wake));
  }

  #event(events: number, fd: number): Uint8Array {
    const bytes = new Uint8Array(EVENT_SIZE);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, events, true);
    view.setUint32(DATA, fd, true);
    return bytes;
  }

  /** Resolves when one of `fds` is readable, or when `signal` aborts. */
  wait(fds: readonly number[], signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const stop = (): void => {
        signal?.removeEventListener("abort", abort);
        this.#waiters.delete(waiter);
        resolve();
      };
      const abort = (): void => {
        stop();
        // Nobody waits any more: the thread may go.
        if (this.#waiters.size === 0) this.#kick();
      };
      const waiter: Waiter = { fds, done: stop };
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", abort);
      for (const fd of fds) this.#arm(fd);
      if (!this.#running) void this.#run();
    });
  }

  /** Before an fd is closed: another file may get its number. */
  forget(fd: number): void {
    if (!this.#known.delete(fd)) return;
    this.#sys.epollCtl(this.#epoll, EPOLL_CTL_DEL, fd, this.#event(0, fd));
    for (const waiter of this.#waiters) if (waiter.fds.includes(fd)) waiter.done();
  }

  #arm(fd: number): void {
    const event = this.#event(EPOLLIN | EPOLLONESHOT, fd);
    const op = this.#known.has(fd) ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    const err = this.#sys.epollCtl(this.#epoll, op, fd, event);
    if (err === -EEXIST) this.#sys.epollCtl(this.#epoll, EPOLL_CTL_MOD, fd, event);
    this.#known.add(fd);
  }

  #kick(): void {
    this.#sys.write(this.#wake, new Uint8Array(BigUint64Array.of(1n).buffer));
  }

  async #run(): Promise<void> {
    this.#running = true;
    const kick = (): void => this.#kick();
    process.once("exit", kick);
    const events = new Uint8Array(EVENT_SIZE * MAX_EVENTS);
    const view = new DataView(events.buffer);
    while (this.#waiters.size > 0) {
      const n = await this.#sys.epollWait(this.#epoll, events, MAX_EVENTS, TIMEOUT_MS);
      for (let i = 0; i < n; i++) {
        const fd = view.getUint32(i * EVENT_SIZE + DATA, true);
        if (fd === this.#wake) this.#sys.read(this.#wake, new Uint8Array(8));
        else for (const waiter of this.#waiters) if (waiter.fds.includes(fd)) waiter.done();
      }
    }
    process.removeListener("exit", kick);
    this.#running = false;
  }

  close(): void {
    this.#sys.close(this.#wake);
    this.#sys.close(this.#epoll);
  }
}
