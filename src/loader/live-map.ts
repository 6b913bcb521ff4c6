/** A created map: bytes through the backend, typed values through the object's BTF. */
import type { Backend } from "../backend/index.ts";
import type { Btf, BtfValue } from "../btf/index.ts";
import { BackendError } from "../diag/index.ts";
import { BPF_ANY, ENOENT, errnoName } from "../uapi/index.ts";
import { type MapInput, MapTypes } from "./map-types.ts";
import type { MapSpec } from "./spec.ts";

export class LiveMap {
  readonly name: string;
  readonly spec: MapSpec;
  readonly fd: number;
  readonly types: MapTypes;
  readonly #backend: Backend;

  constructor(backend: Backend, spec: MapSpec, fd: number, btf: Btf | undefined) {
    this.name = spec.name;
    this.spec = spec;
    this.fd = fd;
    this.#backend = backend;
    this.types = new MapTypes(spec, btf, backend.possibleCpus);
  }

  /** undefined: no such key. Other failures throw BackendError. */
  lookup(key: MapInput, flags = 0): BtfValue | undefined {
    const bytes = this.lookupRaw(this.types.key(key), flags);
    return bytes && this.types.formatValue(bytes);
  }

  lookupRaw(key: Uint8Array, flags = 0): Uint8Array | undefined {
    const value = new Uint8Array(this.types.valueSize);
    return this.#found("lookup", this.#backend.mapLookupElem(this.fd, key, value, flags)) ? value : undefined;
  }

  update(key: MapInput, value: MapInput, flags: number = BPF_ANY): void {
    this.updateRaw(this.types.key(key), this.types.value(value), flags);
  }

  updateRaw(key: Uint8Array, value: Uint8Array, flags: number = BPF_ANY): void {
    this.#check("update", this.#backend.mapUpdateElem(this.fd, key, value, flags));
  }

  /** false: there was no such key. */
  delete(key: MapInput): boolean {
    return this.#found("delete", this.#backend.mapDeleteElem(this.fd, this.types.key(key)));
  }

  /** Hash tables. undefined: no such key. */
  lookupAndDelete(key: MapInput): BtfValue | undefined {
    const value = new Uint8Array(this.types.valueSize);
    const err = this.#backend.mapLookupAndDeleteElem(this.fd, this.types.key(key), value);
    return this.#found("lookup and delete", err) ? this.types.formatValue(value) : undefined;
  }

  /** Queues, stacks and bloom filters have no keys. */
  push(value: MapInput, flags: number = BPF_ANY): void {
    this.#check("push", this.#backend.mapUpdateElem(this.fd, null, this.types.value(value), flags));
  }

  pop(): BtfValue | undefined {
    const value = new Uint8Array(this.types.valueSize);
    const err = this.#backend.mapLookupAndDeleteElem(this.fd, null, value);
    return this.#found("pop", err) ? this.types.formatValue(value) : undefined;
  }

  peek(): BtfValue | undefined {
    const value = new Uint8Array(this.types.valueSize);
    const err = this.#backend.mapLookupElem(this.fd, null, value);
    return this.#found("peek", err) ? this.types.formatValue(value) : undefined;
  }

  *keysRaw(): Generator<Uint8Array, void, undefined> {
    let key: Uint8Array | null = null;
    for (;;) {
      const next = new Uint8Array(this.spec.keySize);
      if (!this.#found("get next key", this.#backend.mapGetNextKey(this.fd, key, next))) return;
      yield next;
      key = next;
    }
  }

  *keys(): Generator<BtfValue, void, undefined> {
    for (const key of this.keysRaw()) yield this.types.formatKey(key);
  }

  /** Keys whose value is gone by the time it is asked for are left out. */
  *entriesRaw(): Generator<[key: Uint8Array, value: Uint8Array], void, undefined> {
    for (const key of this.keysRaw()) {
      const value = this.lookupRaw(key);
      if (value !== undefined) yield [key, value];
    }
  }

  *entries(): Generator<[key: BtfValue, value: BtfValue], void, undefined> {
    for (const [key, value] of this.entriesRaw())
      yield [this.types.formatKey(key), this.types.formatValue(value)];
  }

  /** Keeps the map in the backend's filesystem, whoever closes it. */
  pin(path: string): void {
    this.#check(`pin at ${path}`, this.#backend.objPin(this.fd, path));
  }

  #found(what: string, err: number): boolean {
    if (err === -ENOENT) return false;
    this.#check(what, err);
    return true;
  }

  #check(what: string, err: number): void {
    if (err < 0) throw new BackendError(`map '${this.name}', ${what}`, errnoName(-err), -err);
  }
}
