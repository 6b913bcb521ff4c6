/** Keys and values of a map between bytes and JavaScript; knows no backend. */
import { type Btf, type BtfValue, formatValue, parseValue } from "../btf/index.ts";
import { LoadError } from "../diag/index.ts";
import {
  BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_PROG_ARRAY,
} from "../uapi/index.ts";
import { alignUp } from "../util/index.ts";
import type { MapSpec } from "./spec.ts";

const PER_CPU: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
]);
/** Maps whose values are file descriptors going in, and ids coming out. */
const OF_FDS: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE_PROG_ARRAY,
  BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF_MAP_TYPE_HASH_OF_MAPS,
]);

/** A key or value going in: of its BTF type; or bytes; or, without a type, an integer of 1, 2, 4 or 8 bytes. */
export type MapInput = BtfValue | { readonly fd: number };

export class MapTypes {
  readonly perCpu: boolean;
  readonly #spec: MapSpec;
  readonly #btf: Btf | undefined;
  readonly #cpus: number;

  constructor(spec: MapSpec, btf: Btf | undefined, cpus: number) {
    this.#spec = spec;
    this.#btf = btf;
    this.perCpu = PER_CPU.has(spec.type);
    this.#cpus = cpus;
  }

  /** Bytes of one value as bpf(2) exchanges it. */
  get valueSize(): number {
    return this.perCpu ? alignUp(this.#spec.valueSize, 8) * this.#cpus : this.#spec.valueSize;
  }

  key(input: MapInput): Uint8Array {
    return this.#encode(input, this.#spec.keySize, this.#spec.keyTypeId, "key");
  }

  /** Per-CPU maps: one value for every CPU, or a list of one for each. */
  value(input: MapInput): Uint8Array {
    const { valueSize, valueTypeId } = this.#spec;
    if (!this.perCpu) return this.#encode(input, valueSize, valueTypeId, "value");
    if (input instanceof Uint8Array && input.length === this.valueSize) return input;
    const stride = alignUp(valueSize, 8);
    const out = new Uint8Array(stride * this.#cpus);
    const each = Array.isArray(input) && input.length === this.#cpus ? (input as MapInput[]) : undefined;
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      const one = each === undefined ? input : each[cpu]!;
      out.set(this.#encode(one, valueSize, valueTypeId, "value"), cpu * stride);
    }
    return out;
  }

  formatKey(bytes: Uint8Array): BtfValue {
    return this.#decode(bytes, this.#spec.keyTypeId);
  }

  /** Per-CPU maps: one value a CPU. */
  formatValue(bytes: Uint8Array): BtfValue {
    const { type, valueSize, valueTypeId } = this.#spec;
    if (OF_FDS.has(type)) return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    if (!this.perCpu) return this.#decode(bytes, valueTypeId);
    const stride = alignUp(valueSize, 8);
    return Array.from({ length: this.#cpus }, (_, cpu) =>
      this.#decode(bytes.slice(cpu * stride, cpu * stride + valueSize), valueTypeId),
    );
  }

  #encode(input: MapInput, size: number, typeId: number, what: "key" | "value"): Uint8Array {
    if (input instanceof Uint8Array) {
      if (input.length !== size)
        throw new LoadError(`map '${this.#spec.name}': ${what} of ${input.length} bytes, want ${size}`);
      return input;
    }
    if (what === "value" && OF_FDS.has(this.#spec.type) && typeof input === "object" && "fd" in input)
      return integerBytes(input["fd"] as number, 4);
    if (this.#btf !== undefined && typeId !== 0) {
      const bytes = parseValue(this.#btf, typeId, input as BtfValue);
      if (bytes.length === size) return bytes;
    }
    if ((typeof input === "number" || typeof input === "bigint") && [1, 2, 4, 8].includes(size))
      return integerBytes(input, size);
    throw new LoadError(`map '${this.#spec.name}': ${what} has no BTF type: give ${size} bytes`);
  }

  #decode(bytes: Uint8Array, typeId: number): BtfValue {
    return this.#btf === undefined || typeId === 0 ? bytes : formatValue(this.#btf, typeId, bytes);
  }
}

function integerBytes(value: number | bigint, size: number): Uint8Array {
  const out = new DataView(new ArrayBuffer(8));
  out.setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
  return new Uint8Array(out.buffer, 0, size);
}
