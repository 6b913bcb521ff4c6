// Objects with ids, references and file descriptors, and the file system that pins them (kernel/bpf/syscall.c, inode.c).
import { EBADF, EEXIST, EINVAL, EMFILE, ENOENT, EPERM } from "../uapi/index.ts";

export type ObjectKind = "map" | "prog" | "btf" | "link" | "stats";

/** A kernel object: lives while an fd, a pin or another object holds it. */
export interface KernelObject {
  readonly kind: ObjectKind;
  /** Given by its IdTable; 0 before that. */
  id: number;
  get(): unknown;
  /** Drops one reference; the last one releases what the object holds. */
  put(): void;
  /** A reference that user space has through an fd or a pin: counted apart where that matters. */
  open(): void;
  close(): void;
}

/** References counted, ids given; a subclass says what to release. */
export abstract class RefCounted implements KernelObject {
  abstract readonly kind: ObjectKind;
  id = 0;
  #refs = 1;

  get refs(): number {
    return this.#refs;
  }

  get(): this {
    this.#refs++;
    return this;
  }

  put(): void {
    if (--this.#refs === 0) this.release();
  }

  open(): void {
    this.get();
  }

  close(): void {
    this.put();
  }

  protected abstract release(): void;
}

/** What BPF_ENABLE_STATS gives: nothing but its file descriptor. */
export class StatsHold extends RefCounted {
  override readonly kind = "stats";
  protected override release(): void {}
}

/** Ids grow and are never reused, as idr_alloc_cyclic gives them until it wraps at 2^31. */
export class IdTable<T extends KernelObject> {
  readonly #objects = new Map<number, T>();
  #next = 1;

  add(object: T): void {
    object.id = this.#next++;
    this.#objects.set(object.id, object);
  }

  remove(object: T): void {
    this.#objects.delete(object.id);
  }

  find(id: number): T | undefined {
    return this.#objects.get(id);
  }

  values(): Iterable<T> {
    return this.#objects.values();
  }

  /** BPF_*_GET_NEXT_ID: the smallest id above `start`, or a negative errno. */
  nextId(start: number): number {
    if (start < 0 || start >= 0x7fffffff) return -EINVAL;
    for (const id of this.#objects.keys()) if (id > start) return id;
    return -ENOENT;
  }
}

const FIRST_FD = 3;
const MAX_FDS = 1 << 20;

/** The one process of the embedded kernel: the lowest free number is given, as POSIX does. */
export class FdTable {
  readonly #slots: (KernelObject | undefined)[] = [];
  #lowestFree = 0;

  /** A new fd, which holds a reference of its own; or -EMFILE. */
  install(object: KernelObject): number {
    let slot = this.#lowestFree;
    while (this.#slots[slot] !== undefined) slot++;
    if (slot >= MAX_FDS) return -EMFILE;
    object.open();
    this.#slots[slot] = object;
    this.#lowestFree = slot + 1;
    return slot + FIRST_FD;
  }

  lookup(fd: number): KernelObject | undefined {
    return this.#slots[fd - FIRST_FD];
  }

  /** What an fd means to a command that wants `kind`: -EBADF when not open, -EINVAL when something else. */
  of<T extends KernelObject>(fd: number, kind: T["kind"]): T | number {
    const object = this.lookup(fd);
    if (object === undefined) return -EBADF;
    return object.kind === kind ? (object as T) : -EINVAL;
  }

  close(fd: number): number {
    const object = this.lookup(fd);
    if (object === undefined) return -EBADF;
    const slot = fd - FIRST_FD;
    this.#slots[slot] = undefined;
    if (slot < this.#lowestFree) this.#lowestFree = slot;
    object.close();
    return 0;
  }

  closeAll(): void {
    for (let slot = 0; slot < this.#slots.length; slot++)
      if (this.#slots[slot] !== undefined) this.close(slot + FIRST_FD);
  }
}

const BPFFS = "/sys/fs/bpf/";

/** A bpffs in memory, mounted at /sys/fs/bpf; folders exist as soon as something is pinned in them. */
export class PinTable {
  readonly #paths = new Map<string, KernelObject>();

  /** Takes a reference of its own. */
  pin(path: string, object: KernelObject): number {
    const name = path.startsWith(BPFFS) ? path.slice(BPFFS.length) : "";
    // bpf_lookup(): a dot is reserved for bpffs itself.
    if (name === "" || name.endsWith("/") || name.includes(".")) return -EPERM;
    if (object.kind === "btf" || object.kind === "stats") return -EINVAL;
    if (this.#paths.has(path)) return -EEXIST;
    object.open();
    this.#paths.set(path, object);
    return 0;
  }

  find(path: string): KernelObject | undefined {
    return this.#paths.get(path);
  }

  unlink(path: string): number {
    const object = this.#paths.get(path);
    if (object === undefined) return -ENOENT;
    this.#paths.delete(path);
    object.close();
    return 0;
  }

  paths(): string[] {
    return [...this.#paths.keys()].sort();
  }

  unlinkAll(): void {
    for (const path of this.paths()) this.unlink(path);
  }
}
