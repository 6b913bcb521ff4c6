// Maps as text and JSON: typed rows where the object has BTF, bytes elsewhere.
import type { Backend } from "../backend/index.ts";
import type { BtfValue } from "../btf/index.ts";
import { BackendError } from "../diag/index.ts";
import type { LiveMap, LoadedObject } from "../loader/index.ts";
import {
  BPF_MAP_TYPE_BLOOM_FILTER,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_MAP_TYPE_QUEUE,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_TYPE_STACK,
  BPF_MAP_TYPE_USER_RINGBUF,
  bpf_map_type_names,
} from "../uapi/index.ts";
import { hexBytes, UsageError } from "./output.ts";

export interface MapRows {
  readonly name: string;
  readonly type: string;
  readonly max_entries: number;
  /** Keys and values; a per-CPU map has a list of values, one a CPU. */
  readonly entries: readonly { readonly key: BtfValue; readonly value: BtfValue }[];
  /** Records of a ring buffer, in hex, oldest first. */
  readonly records?: readonly string[];
  /** Why there are no entries: the map cannot be walked. */
  readonly note?: string;
}

/** The map called `name`, or all. */
export function chooseMaps(loaded: LoadedObject, path: string, name: string | undefined): LiveMap[] {
  const all = Object.values(loaded.maps);
  if (name === undefined) return all;
  const found = all.filter((map) => map.name === name);
  if (found.length === 0) {
    const names = all.map((map) => map.name).join(", ");
    throw new UsageError(`${path} holds no map "${name}"; it holds: ${names || "none"}`);
  }
  return found;
}

export function mapRows(loaded: { readonly backend: Backend }, map: LiveMap): MapRows {
  const { type, maxEntries } = map.spec;
  const head = { name: map.name, type: mapTypeName(type), max_entries: maxEntries };
  switch (type) {
    case BPF_MAP_TYPE_RINGBUF: {
      const records: string[] = [];
      loaded.backend.ringbufConsume(map.fd, (record) => records.push(hexBytes(record)));
      return { ...head, entries: [], records };
    }
    case BPF_MAP_TYPE_PERF_EVENT_ARRAY: {
      const records: string[] = [];
      loaded.backend.perfConsume(map.fd, (_, sample) => records.push(hexBytes(sample)));
      return { ...head, entries: [], records };
    }
    case BPF_MAP_TYPE_QUEUE:
    case BPF_MAP_TYPE_STACK:
    case BPF_MAP_TYPE_BLOOM_FILTER:
    case BPF_MAP_TYPE_USER_RINGBUF:
      return { ...head, entries: [], note: "has no keys to walk" };
  }
  try {
    return { ...head, entries: Array.from(map.entries(), ([key, value]) => ({ key, value })) };
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    return { ...head, entries: [], note: `cannot be read: ${error.message}` };
  }
}

/** `percpu_array` for BPF_MAP_TYPE_PERCPU_ARRAY. */
function mapTypeName(type: number): string {
  return (bpf_map_type_names[type] ?? `type_${type}`).replace("BPF_MAP_TYPE_", "").toLowerCase();
}

export function formatMap(rows: MapRows): string {
  const count = rows.records?.length ?? rows.entries.length;
  const what = rows.records === undefined ? "entries" : "records";
  let text = `${rows.name}: ${rows.type}, ${rows.note ?? `${count} ${what}`}\n`;
  for (const { key, value } of rows.entries) text += `  ${formatValue(key)}: ${formatValue(value)}\n`;
  for (const record of rows.records ?? []) text += `  ${record}\n`;
  return text;
}

/** One line: `{packets: 3, bytes: 180}`; bytes as hex. */
function formatValue(value: BtfValue): string {
  if (value instanceof Uint8Array) return hexBytes(value);
  if (Array.isArray(value)) return `[${value.map(formatValue).join(", ")}]`;
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value !== "object") return String(value);
  return `{${Object.entries(value)
    .map(([name, member]) => `${name}: ${formatValue(member)}`)
    .join(", ")}}`;
}
