// Objects of the running kernel as bpftool names them: `id 7`, `name foo`, `tag 0123456789abcdef`, `pinned /sys/fs/bpf/x`.
import type { MapInfo, ProgInfo } from "../backend/index.ts";
import { BackendError } from "../diag/index.ts";
import type { LinuxBackend } from "../linux/index.ts";
import { ENOENT, errnoName } from "../uapi/index.ts";
import { UsageError } from "./output.ts";

export function checked(k: LinuxBackend, what: string, result: number): number {
  if (result >= 0) return result;
  const why = k.explain(-result);
  throw new BackendError(
    what,
    why === undefined ? errnoName(-result) : `${errnoName(-result)}: ${why}`,
    -result,
  );
}

interface Kind {
  readonly what: "prog" | "map" | "link" | "btf";
  next(k: LinuxBackend, id: number): number;
  open(k: LinuxBackend, id: number): number;
}

export const KINDS: Readonly<Record<"prog" | "map" | "link" | "btf", Kind>> = {
  prog: { what: "prog", next: (k, id) => k.progGetNextId(id), open: (k, id) => k.progGetFdById(id) },
  map: { what: "map", next: (k, id) => k.mapGetNextId(id), open: (k, id) => k.mapGetFdById(id) },
  link: { what: "link", next: (k, id) => k.linkGetNextId(id), open: (k, id) => k.linkGetFdById(id) },
  btf: { what: "btf", next: (k, id) => k.btfGetNextId(id), open: (k, id) => k.btfGetFdById(id) },
};

/** Runs `use` on the fd of each object there is; one that goes away meanwhile is left out. */
export function forEachObject(k: LinuxBackend, kind: Kind, use: (fd: number) => void): void {
  for (let id = kind.next(k, 0); ; id = kind.next(k, id)) {
    if (id === -ENOENT) return;
    checked(k, `${kind.what}s by id`, id);
    const fd = kind.open(k, id);
    if (fd === -ENOENT) continue;
    checked(k, `${kind.what} ${id}`, fd);
    try {
      use(fd);
    } finally {
      k.close(fd);
    }
  }
}

/** Takes words from the front of a command line. */
export class Words {
  readonly #words: string[];
  constructor(words: readonly string[]) {
    this.#words = [...words];
  }
  get done(): boolean {
    return this.#words.length === 0;
  }
  peek(): string | undefined {
    return this.#words[0];
  }
  next(what: string): string {
    const word = this.#words.shift();
    if (word === undefined) throw new UsageError(`${what} is missing`);
    return word;
  }
  number(what: string): number {
    const word = this.next(what);
    const value = Number(word);
    if (!Number.isInteger(value)) throw new UsageError(`${what} must be a number, not ${word}`);
    return value;
  }
  expect(keyword: string): void {
    const word = this.next(`the word ${keyword}`);
    if (word !== keyword) throw new UsageError(`expected ${keyword}, found ${word}`);
  }
  end(): void {
    if (!this.done) throw new UsageError(`unexpected ${this.#words.join(" ")}`);
  }
  /** `1 2 3` or `hex 01 02 03`, up to `size` bytes. */
  bytes(what: string, size: number): Uint8Array {
    const hex = this.peek() === "hex";
    if (hex) this.next("hex");
    const out = new Uint8Array(size);
    for (let i = 0; i < size; i++) {
      const word = this.next(`byte ${i + 1} of ${size} of the ${what}`);
      const value = hex ? Number.parseInt(word, 16) : Number(word);
      if (!Number.isInteger(value) || value < 0 || value > 255)
        throw new UsageError(`the ${what} is bytes: ${word} is none`);
      out[i] = value;
    }
    return out;
  }
}

function infoOf(k: LinuxBackend, kind: Kind, fd: number): MapInfo | ProgInfo | undefined {
  const info = kind.what === "map" ? k.mapInfo(fd) : k.progInfo(fd);
  return typeof info === "number" ? undefined : info;
}

/** An fd of the object that the next words name; the caller closes it. */
export function openNamed(k: LinuxBackend, kind: Kind, words: Words): number {
  const by = words.next(`id, name, tag or pinned of a ${kind.what}`);
  switch (by) {
    case "id": {
      const id = words.number("the id");
      return checked(k, `${kind.what} with id ${id}`, kind.open(k, id));
    }
    case "pinned": {
      const path = words.next("the path");
      return checked(k, path, k.objGet(path));
    }
    case "name":
    case "tag": {
      const wanted = words.next(`the ${by}`);
      const ids: number[] = [];
      forEachObject(k, kind, (fd) => {
        const info = infoOf(k, kind, fd);
        if (info === undefined) return;
        const value = by === "name" ? info.name : "tag" in info ? info.tag : "";
        if (value === wanted) ids.push(info.id);
      });
      if (ids.length === 0) throw new BackendError(`${kind.what} ${by} ${wanted}`, "there is none", ENOENT);
      if (ids.length > 1)
        throw new UsageError(
          `several ${kind.what}s have the ${by} ${wanted}: ids ${ids.join(", ")}; give an id`,
        );
      return checked(k, `${kind.what} with id ${ids[0]}`, kind.open(k, ids[0]!));
    }
    default:
      throw new UsageError(`a ${kind.what} is named by id, name, tag or pinned, not by ${by}`);
  }
}
