/** A backend in a few lines: hash maps of bytes, programs that are kept and not run. Records every command. */
import type {
  Backend,
  BatchResult,
  MapCreateAttr,
  MapInfo,
  ProgLoadAttr,
  ProgQueryResult,
  TestRunResult,
} from "../../src/backend/index.ts";
import { EBADF, EINVAL, ENOENT, EPERM } from "../../src/uapi/index.ts";

const hex = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
const unhex = (text: string): Uint8Array =>
  Uint8Array.from(text.match(/../g) ?? [], (b) => Number.parseInt(b, 16));

const NO_BATCH: BatchResult = { err: -EINVAL, count: 0 };

export interface FakeMap {
  readonly attr: MapCreateAttr;
  readonly values: Map<string, Uint8Array>;
  frozen: boolean;
  records: Uint8Array[];
}

export class FakeBackend implements Backend {
  readonly name = "fake";
  readonly possibleCpus: number = 2;
  readonly maps = new Map<number, FakeMap>();
  readonly programs = new Map<number, ProgLoadAttr>();
  readonly btfs = new Map<number, Uint8Array>();
  readonly pins = new Map<string, number>();
  /** Program name -> errno to refuse it with. */
  readonly refuse = new Map<string, number>();
  #next = 10;

  get open(): number {
    return this.maps.size + this.programs.size + this.btfs.size;
  }
  mapCreate(attr: MapCreateAttr): number {
    if (attr.max_entries === 0) return -EINVAL;
    this.maps.set(this.#next, { attr, values: new Map(), frozen: false, records: [] });
    return this.#next++;
  }
  mapLookupElem(fd: number, key: Uint8Array | null, value: Uint8Array): number {
    const found = this.maps.get(fd)?.values.get(hex(key ?? new Uint8Array(0)));
    if (found === undefined) return -ENOENT;
    value.set(found);
    return 0;
  }
  mapUpdateElem(fd: number, key: Uint8Array | null, value: Uint8Array): number {
    const map = this.maps.get(fd);
    if (map === undefined) return -EBADF;
    if (map.frozen) return -EPERM;
    map.values.set(hex(key ?? new Uint8Array(0)), value.slice());
    return 0;
  }
  mapDeleteElem(fd: number, key: Uint8Array): number {
    return this.maps.get(fd)!.values.delete(hex(key)) ? 0 : -ENOENT;
  }
  mapGetNextKey(fd: number, key: Uint8Array | null, nextKey: Uint8Array): number {
    const keys = [...this.maps.get(fd)!.values.keys()];
    const next = keys[key === null ? 0 : keys.indexOf(hex(key)) + 1];
    if (next === undefined) return -ENOENT;
    nextKey.set(unhex(next));
    return 0;
  }
  mapLookupAndDeleteElem(fd: number, key: Uint8Array | null, value: Uint8Array): number {
    const err = this.mapLookupElem(fd, key, value);
    return err < 0 ? err : this.mapDeleteElem(fd, key ?? new Uint8Array(0));
  }
  mapFreeze(fd: number): number {
    this.maps.get(fd)!.frozen = true;
    return 0;
  }
  progLoad(attr: ProgLoadAttr): { fd: number; log: string } {
    const errno = this.refuse.get(attr.prog_name ?? "");
    if (errno !== undefined) return { fd: -errno, log: attr.log_level ? "0: bad\nprocessed 1 insns\n" : "" };
    this.programs.set(this.#next, attr);
    return { fd: this.#next++, log: "" };
  }
  progTestRun(): TestRunResult {
    const none = new Uint8Array(0);
    return {
      err: 0,
      retval: 7,
      duration: 1,
      data_out: none,
      data_size_out: 0,
      ctx_out: none,
      ctx_size_out: 0,
    };
  }
  btfLoad(btf: Uint8Array): number {
    this.btfs.set(this.#next, btf.slice());
    return this.#next++;
  }
  linkCreate(): number {
    return -EINVAL;
  }
  linkUpdate(): number {
    return -EINVAL;
  }
  linkDetach(): number {
    return -EINVAL;
  }
  objPin(fd: number, path: string): number {
    this.pins.set(path, fd);
    return 0;
  }
  objGet(path: string): number {
    return this.pins.get(path) ?? -ENOENT;
  }
  progGetFdById(): number {
    return -ENOENT;
  }
  mapGetFdById(): number {
    return -ENOENT;
  }
  btfGetFdById(): number {
    return -ENOENT;
  }
  linkGetFdById(): number {
    return -ENOENT;
  }
  progGetNextId(): number {
    return -ENOENT;
  }
  mapGetNextId(): number {
    return -ENOENT;
  }
  btfGetNextId(): number {
    return -ENOENT;
  }
  linkGetNextId(): number {
    return -ENOENT;
  }
  mapInfo(fd: number): MapInfo | number {
    const attr = this.maps.get(fd)?.attr;
    if (attr === undefined) return -EBADF;
    return {
      type: attr.map_type,
      id: fd,
      key_size: attr.key_size,
      value_size: attr.value_size,
      max_entries: attr.max_entries,
      map_flags: attr.map_flags ?? 0,
      name: attr.map_name ?? "",
      btf_id: 0,
      btf_key_type_id: attr.btf_key_type_id ?? 0,
      btf_value_type_id: attr.btf_value_type_id ?? 0,
      map_extra: attr.map_extra ?? 0n,
    };
  }
  progInfo(): number {
    return -EINVAL;
  }
  btfInfo(): number {
    return -EINVAL;
  }
  linkInfo(): number {
    return -EINVAL;
  }
  close(fd: number): number {
    return this.maps.delete(fd) || this.programs.delete(fd) || this.btfs.delete(fd) ? 0 : -EBADF;
  }
  ringbufConsume(fd: number, onRecord: (data: Uint8Array) => void): number {
    const records = this.maps.get(fd)!.records.splice(0);
    for (const record of records) onRecord(record);
    return records.length;
  }
  perfConsume(fd: number, onSample: (cpu: number, data: Uint8Array) => void): number {
    const records = this.maps.get(fd)!.records.splice(0);
    for (const record of records) onSample(1, record);
    return records.length;
  }
  mapLookupBatch(): BatchResult {
    return NO_BATCH;
  }
  mapLookupAndDeleteBatch(): BatchResult {
    return NO_BATCH;
  }
  mapUpdateBatch(): BatchResult {
    return NO_BATCH;
  }
  mapDeleteBatch(): BatchResult {
    return NO_BATCH;
  }
  progBindMap(): number {
    return -EINVAL;
  }
  rawTracepointOpen(): number {
    return -EINVAL;
  }
  progAttach(): number {
    return -EINVAL;
  }
  progDetach(): number {
    return -EINVAL;
  }
  progQuery(): ProgQueryResult {
    return { err: -EINVAL, prog_ids: [], link_ids: [], attach_flags: 0, revision: 0n };
  }
  perfEventOpen(): number {
    return -EINVAL;
  }
  iterCreate(): number {
    return -EINVAL;
  }
  read(): number {
    return -EINVAL;
  }
  enableStats(): number {
    return -EINVAL;
  }
  tokenCreate(): number {
    return -EINVAL;
  }
  pollMap(): Promise<void> {
    return Promise.resolve();
  }
}
