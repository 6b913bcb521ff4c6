/** What generated programs live in: maps of many types, and BTF for values with special fields and for functions. */
import type { Backend } from "../../src/backend/index.ts";
import {
  BTF_INT_SIGNED,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_INT,
  BTF_KIND_STRUCT,
  type Btf,
  BtfBuilder,
  parseBtf,
} from "../../src/btf/index.ts";
import * as U from "../../src/uapi/index.ts";
import type { MapDescription } from "../../src/verifier/index.ts";

export interface MapRow {
  readonly name: string;
  readonly type: number;
  readonly key: number;
  readonly value: number;
  readonly entries: number;
  readonly flags?: number;
  /** Index of the inner map. */
  readonly inner?: number;
  /** The value is the BTF type of this name. */
  readonly valueType?: string;
}

/** The order is the maps' index in generated programs. */
export const MAPS: readonly MapRow[] = [
  { name: "array", type: U.BPF_MAP_TYPE_ARRAY, key: 4, value: 48, entries: 4 },
  { name: "hash", type: U.BPF_MAP_TYPE_HASH, key: 8, value: 16, entries: 8 },
  { name: "percpu", type: U.BPF_MAP_TYPE_PERCPU_ARRAY, key: 4, value: 24, entries: 2 },
  { name: "lru", type: U.BPF_MAP_TYPE_LRU_HASH, key: 4, value: 8, entries: 8 },
  { name: "ring", type: U.BPF_MAP_TYPE_RINGBUF, key: 0, value: 0, entries: 4096 },
  { name: "progs", type: U.BPF_MAP_TYPE_PROG_ARRAY, key: 4, value: 4, entries: 2 },
  { name: "outer", type: U.BPF_MAP_TYPE_ARRAY_OF_MAPS, key: 4, value: 4, entries: 2, inner: 0 },
  { name: "queue", type: U.BPF_MAP_TYPE_QUEUE, key: 0, value: 16, entries: 4 },
  { name: "stacks", type: U.BPF_MAP_TYPE_STACK_TRACE, key: 4, value: 80, entries: 8 },
  { name: "perf", type: U.BPF_MAP_TYPE_PERF_EVENT_ARRAY, key: 4, value: 4, entries: 2 },
  { name: "devs", type: U.BPF_MAP_TYPE_DEVMAP, key: 4, value: 4, entries: 2 },
  { name: "cpus", type: U.BPF_MAP_TYPE_CPUMAP, key: 4, value: 4, entries: 2 },
  { name: "socks", type: U.BPF_MAP_TYPE_SOCKHASH, key: 4, value: 8, entries: 2 },
  { name: "readonly", type: U.BPF_MAP_TYPE_ARRAY, key: 4, value: 32, entries: 1, flags: U.BPF_F_RDONLY_PROG },
  {
    name: "writeonly",
    type: U.BPF_MAP_TYPE_ARRAY,
    key: 4,
    value: 32,
    entries: 1,
    flags: U.BPF_F_WRONLY_PROG,
  },
  { name: "lpm", type: U.BPF_MAP_TYPE_LPM_TRIE, key: 8, value: 8, entries: 4, flags: U.BPF_F_NO_PREALLOC },
  { name: "bloom", type: U.BPF_MAP_TYPE_BLOOM_FILTER, key: 0, value: 8, entries: 8 },
  { name: "locked", type: U.BPF_MAP_TYPE_ARRAY, key: 4, value: 16, entries: 2, valueType: "locked_value" },
  { name: "timed", type: U.BPF_MAP_TYPE_ARRAY, key: 4, value: 32, entries: 2, valueType: "timed_value" },
  { name: "global", type: U.BPF_MAP_TYPE_ARRAY, key: 4, value: 64, entries: 1 },
];

export interface World {
  readonly btf: Btf;
  /** FUNC type ids: "main", "sub" and "callback" (static), "global" (int global(int a)). */
  readonly funcs: Readonly<Record<string, number>>;
  readonly maps: readonly MapDescription[];
  /** By map, of a real kernel; empty without one. */
  readonly fds: readonly number[];
  readonly btfFd: number;
}

/** The program's BTF; ids of what the rest needs by name. */
function buildTypes(): { readonly bytes: Uint8Array; readonly ids: Readonly<Record<string, number>> } {
  const b = new BtfBuilder();
  const ids: Record<string, number> = {};
  const int = (name: string, size: number, encoding: number): number =>
    (ids[name] = b.add({ kind: BTF_KIND_INT, name, size, encoding, bitOffset: 0, bits: size * 8 }));
  const s32 = int("int", 4, BTF_INT_SIGNED);
  const u32 = int("unsigned int", 4, 0);
  const u64 = int("unsigned long", 8, 0);
  const struct = (name: string, size: number, members: readonly [string, number, number][]): number =>
    (ids[name] = b.add({
      kind: BTF_KIND_STRUCT,
      name,
      size,
      members: members.map(([member, type, offset]) => ({
        name: member,
        type,
        bitOffset: offset * 8,
        bitSize: 0,
      })),
    }));
  const lock = struct("bpf_spin_lock", 4, [["val", u32, 0]]);
  const timer = struct("bpf_timer", 16, [
    ["a", u64, 0],
    ["b", u64, 8],
  ]);
  struct("locked_value", 16, [
    ["lock", lock, 0],
    ["n", u32, 4],
    ["sum", u64, 8],
  ]);
  struct("timed_value", 32, [
    ["n", u64, 0],
    ["timer", timer, 8],
    ["sum", u64, 24],
  ]);
  const proto = b.add({ kind: BTF_KIND_FUNC_PROTO, name: "", type: s32, params: [] });
  const proto1 = b.add({
    kind: BTF_KIND_FUNC_PROTO,
    name: "",
    type: s32,
    params: [{ name: "a", type: s32 }],
  });
  const func = (name: string, type: number, linkage: number): void => {
    ids[name] = b.add({ kind: BTF_KIND_FUNC, name, type, linkage });
  };
  func("main", proto, 0);
  func("sub", proto, 0);
  func("callback", proto, 0);
  func("global", proto1, 1);
  return { bytes: b.toBytes(), ids };
}

/** Creates the maps in `backend`; without one the world serves our verifier alone. */
export function makeWorld(backend: Backend | null): World {
  const { bytes, ids } = buildTypes();
  const btf = parseBtf(bytes);
  const must = (what: string, fd: number): number => {
    if (fd < 0) throw new Error(`${what}: errno ${-fd}`);
    return fd;
  };
  const btfFd = backend === null ? -1 : must("BTF", backend.btfLoad(bytes));
  const fds: number[] = [];
  const maps: MapDescription[] = [];
  for (const [index, row] of MAPS.entries()) {
    const valueTypeId = row.valueType === undefined ? 0 : ids[row.valueType]!;
    const keyTypeId = valueTypeId === 0 ? 0 : ids["int"]!;
    maps.push({
      index,
      name: row.name,
      type: row.type,
      keySize: row.key,
      valueSize: row.value,
      maxEntries: row.entries,
      // The kernel sets this flag of its own accord.
      flags: (row.flags ?? 0) | (row.type === U.BPF_MAP_TYPE_DEVMAP ? U.BPF_F_RDONLY_PROG : 0),
      btf: valueTypeId === 0 ? null : btf,
      btfKeyTypeId: keyTypeId,
      btfValueTypeId: valueTypeId,
      btfVmlinuxValueTypeId: 0,
      mapExtra: 0n,
      inner: row.inner === undefined ? null : maps[row.inner]!,
      frozen: false,
      contents: null,
    });
    if (backend === null) continue;
    fds.push(
      must(
        row.name,
        backend.mapCreate({
          map_type: row.type,
          key_size: row.key,
          value_size: row.value,
          max_entries: row.entries,
          map_flags: row.flags ?? 0,
          map_name: row.name,
          ...(row.inner === undefined ? {} : { inner_map_fd: fds[row.inner]! }),
          ...(valueTypeId === 0
            ? {}
            : { btf_fd: btfFd, btf_key_type_id: keyTypeId, btf_value_type_id: valueTypeId }),
        }),
      ),
    );
  }
  return { btf, funcs: ids, maps, fds, btfFd };
}
