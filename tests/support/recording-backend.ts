/** A backend that says yes to everything and keeps what it was given: what loading passes to bpf(2), and no more. */
import type { MapCreateAttr, ProgLoadAttr } from "../../src/backend/index.ts";
import { FakeBackend } from "./fake-backend.ts";

export interface Update {
  readonly fd: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export class RecordingBackend extends FakeBackend {
  override readonly possibleCpus: number;
  readonly created: { readonly fd: number; readonly attr: MapCreateAttr }[] = [];
  readonly loaded: { readonly fd: number; readonly attr: ProgLoadAttr }[] = [];
  readonly updates: Update[] = [];
  readonly frozen: number[] = [];
  btf: Uint8Array | undefined;
  #fd = 100;

  constructor(possibleCpus: number) {
    super();
    this.possibleCpus = possibleCpus;
  }
  override mapCreate(attr: MapCreateAttr): number {
    this.created.push({ fd: this.#fd, attr });
    return this.#fd++;
  }
  override mapUpdateElem(fd: number, key: Uint8Array | null, value: Uint8Array): number {
    this.updates.push({ fd, key: key?.slice() ?? new Uint8Array(0), value: value.slice() });
    return 0;
  }
  readonly memory = new Map<number, Uint8Array>();

  mapMemory(fd: number, size: number): Uint8Array {
    let memory = this.memory.get(fd);
    if (memory === undefined) this.memory.set(fd, (memory = new Uint8Array(size)));
    return memory;
  }
  override mapFreeze(fd: number): number {
    this.frozen.push(fd);
    return 0;
  }
  override progLoad(attr: ProgLoadAttr): { fd: number; log: string } {
    this.loaded.push({ fd: this.#fd, attr });
    return { fd: this.#fd++, log: "" };
  }
  override btfLoad(btf: Uint8Array): number {
    this.btf = btf.slice();
    return this.#fd++;
  }
  override linkCreate(): number {
    return this.#fd++;
  }
  override objPin(): number {
    return 0;
  }
  override close(): number {
    return 0;
  }
}
