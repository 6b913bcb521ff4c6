/** What attaching a program gives (struct bpf_link of libbpf). */
import type { Backend, LinkInfo } from "../backend/index.ts";
import { BackendError, UnsupportedError } from "../diag/index.ts";
import { errnoName } from "../uapi/index.ts";

const ITER_BUFFER = 1 << 16;

export class BpfLink {
  /** Negative for what the kernel has no link for: a tc filter made by netlink. */
  readonly fd: number;
  readonly #backend: Backend;
  readonly #name: string;
  /** Besides the link: a perf event. */
  readonly #alsoFd: number | undefined;
  readonly #undo: (() => void) | undefined;
  #closed = false;

  constructor(backend: Backend, name: string, fd: number, alsoFd?: number, undo?: () => void) {
    this.fd = fd;
    this.#backend = backend;
    this.#name = name;
    this.#alsoFd = alsoFd;
    this.#undo = undo;
  }

  info(): LinkInfo {
    const info = this.#backend.linkInfo(this.#linkFd("info"));
    if (typeof info === "number") throw this.#failed("info", info);
    return info;
  }

  /** Puts another program in place; with `old`, only if that one is there now. */
  update(program: { readonly fd: number }, old?: { readonly fd: number }): void {
    const fd = this.#linkFd("update");
    const flags = old === undefined ? 0 : BPF_F_REPLACE;
    this.#check("update", this.#backend.linkUpdate(fd, program.fd, flags, old?.fd));
  }

  /** Takes the program off its attach point; the link stays, attached to nothing. */
  detach(): void {
    this.#check("detach", this.#backend.linkDetach(this.#linkFd("detach")));
  }

  /** The program stays attached after close() for as long as the pin is there. */
  pin(path: string): void {
    this.#check(`pin at ${path}`, this.#backend.objPin(this.#linkFd("pin"), path));
  }

  /** Runs an iterator once and hands over what it writes, piece by piece. */
  *readIterator(): Generator<Uint8Array, void, undefined> {
    const fd = this.#backend.iterCreate(this.#linkFd("iterator"));
    this.#check("create iterator", fd);
    try {
      for (;;) {
        const buffer = new Uint8Array(ITER_BUFFER);
        const n = this.#backend.read(fd, buffer);
        this.#check("read iterator", n);
        if (n === 0) return;
        yield buffer.subarray(0, n);
      }
    } finally {
      this.#backend.close(fd);
    }
  }

  /** What an iterator writes, as text. */
  iteratorText(): string {
    const decoder = new TextDecoder();
    let text = "";
    for (const piece of this.readIterator()) text += decoder.decode(piece, { stream: true });
    return text + decoder.decode();
  }

  /** The program is detached unless the link is pinned. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.fd >= 0) this.#backend.close(this.fd);
    if (this.#alsoFd !== undefined) this.#backend.close(this.#alsoFd);
    this.#undo?.();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #linkFd(what: string): number {
    if (this.fd < 0)
      throw new UnsupportedError(`${what} of '${this.#name}'`, "the kernel has no link for this attachment");
    return this.fd;
  }

  #failed(what: string, err: number): BackendError {
    return new BackendError(`link of '${this.#name}', ${what}`, errnoName(-err), -err);
  }

  #check(what: string, err: number): void {
    if (err < 0) throw this.#failed(what, err);
  }
}

const BPF_F_REPLACE = 1 << 2;
