/**
 * Map operations from inside a program: the same bytes on the JIT and, where bpf(2) is allowed, on this machine's
 * kernel, run after run in turn, median of 7. Figures are nanoseconds an operation above the same loop without it.
 */
import { assemble } from "../src/asm/index.ts";
import { LinuxBackend } from "../src/linux/index.ts";
import { createMap, MapEnv } from "../src/maps/index.ts";
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PSEUDO_MAP_FD,
  EBADF,
  HELPER_PROTOS,
} from "../src/uapi/index.ts";
import { AddressSpace, createJit, POINTER_HIGH, type VmMap } from "../src/vm/index.ts";

type Operation = "empty" | "lookup" | "update";
type Order = "rising" | "random";

interface Row {
  readonly operation: Exclude<Operation, "empty">;
  readonly type: number;
  readonly entries: number;
  readonly order: Order;
}

/** Iterations of a program's loop; the kernel's verifier walks them all. */
const LOOP = 4096;
const ROUNDS = 7;
/** Runs of the program in a burst; a measurement is the fastest of some bursts, which other processes leave alone. */
const REPEAT = 8;
const BURSTS = 9;

/** The key of element `i`: 32 bits without pattern (murmur3's finalizer), or the index for arrays. */
function keyOf(i: number, type: number): number {
  if (type === BPF_MAP_TYPE_ARRAY) return i;
  let h = Math.imul(i ^ (i >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

const BODY: Readonly<Record<Operation, string>> = {
  empty: "",
  lookup: `r1 = MAP ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto next
    r1 = *(u64 *)(r0 + 0)
    r8 += r1`,
  update: `r1 = MAP ll
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 0
    call bpf_map_update_elem
    r8 += r0`,
};

/** A program that does `operation` LOOP times with keys of elements 0..entries - 1. Each run begins where `at` says. */
function text(operation: Operation, row: Omit<Row, "operation">): string {
  const step = row.order === "rising" ? "w7 += 1" : "w7 *= 1664525\nw7 += 1013904223";
  const shift = row.order === "rising" ? 0 : 8;
  const mix =
    row.type === BPF_MAP_TYPE_ARRAY
      ? ""
      : `w2 = w1
         w2 >>= 16
         w1 ^= w2
         w1 *= 0x85ebca6b
         w2 = w1
         w2 >>= 13
         w1 ^= w2
         w1 *= 0xc2b2ae35
         w2 = w1
         w2 >>= 16
         w1 ^= w2`;
  // Socket filters may keep what they like in the first element of an array: where the next run goes on.
  return `
    r8 = 0
    *(u64 *)(r10 - 16) = r8
    *(u32 *)(r10 - 4) = r8
    r1 = STATE ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r6 = r0
    r7 = *(u64 *)(r6 + 0)
    r9 = 0
  loop:
    ${step}
    w1 = w7
    w1 >>= ${shift}
    w1 &= ${row.entries - 1}
    ${mix}
    *(u32 *)(r10 - 4) = r1
    ${BODY[operation]}
  next:
    r9 += 1
    if r9 < ${LOOP} goto loop
    *(u64 *)(r6 + 0) = r7
  out:
    r0 = r8
    exit`;
}

interface Side {
  /** Nanoseconds of one iteration, over one burst. */
  measure(): number;
}

function fastest(side: Side): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < BURSTS; i++) least = Math.min(least, side.measure());
  return least;
}

class Embedded {
  private readonly space = new AddressSpace();
  private readonly env = new MapEnv(this.space, {
    fds: { mapByFd: () => -EBADF, progByFd: () => -EBADF },
  });
  private readonly jit = createJit(this.space);
  private readonly ctx = this.space.alloc(192, "rw");
  private nextId = 1;

  map(type: number, entries: number): VmMap & { update(key: Uint8Array, value: Uint8Array): number } {
    const map = createMap(this.env, { map_type: type, key_size: 4, value_size: 8, max_entries: entries });
    if (typeof map === "number") throw new Error(`map of ${entries}: ${map}`);
    return map;
  }

  load(source: string, maps: { readonly MAP: VmMap; readonly STATE: VmMap }, checked: boolean): Side {
    const address = (map: VmMap): bigint => (BigInt(POINTER_HIGH) << 32n) | BigInt(map.address);
    const { bytes } = assemble(source, { resolve: (name) => address(maps[name as keyof typeof maps]) });
    const program = this.jit.load({
      id: this.nextId++,
      name: "bench",
      insns: bytes,
      maps: Object.values(maps),
      mode: checked ? "checked" : "unchecked",
      helper: (id) => ({
        kind: "core",
        name: HELPER_PROTOS[id].name,
        nargs: HELPER_PROTOS[id].args.length,
      }),
      kfunc: () => undefined,
    });
    return {
      measure: () => {
        const start = process.hrtime.bigint();
        for (let i = 0; i < REPEAT; i++) program.run(this.ctx);
        return Number(process.hrtime.bigint() - start) / REPEAT / LOOP;
      },
    };
  }
}

class Kernel {
  private readonly backend: LinuxBackend;
  constructor(backend: LinuxBackend) {
    this.backend = backend;
  }

  map(type: number, entries: number): { readonly fd: number; update(k: Uint8Array, v: Uint8Array): number } {
    const fd = this.backend.mapCreate({ map_type: type, key_size: 4, value_size: 8, max_entries: entries });
    if (fd < 0) throw new Error(`kernel map of ${entries}: ${fd}`);
    return { fd, update: (key, value) => this.backend.mapUpdateElem(fd, key, value) };
  }

  load(source: string, maps: Readonly<Record<"MAP" | "STATE", { readonly fd: number }>>): Side {
    const { bytes } = assemble(source, {
      resolve: (name) => ({ src: BPF_PSEUDO_MAP_FD, value: maps[name as keyof typeof maps].fd }),
    });
    const { fd, log } = this.backend.progLoad({
      prog_type: BPF_PROG_TYPE_SOCKET_FILTER,
      insns: bytes,
      license: "GPL",
    });
    if (fd < 0) throw new Error(`kernel refuses the program: ${fd} ${log.slice(-500)}`);
    return {
      measure: () => {
        const { duration, err } = this.backend.progTestRun(fd, {
          data_in: new Uint8Array(64),
          repeat: REPEAT,
        });
        if (err !== 0) throw new Error(`test run: ${err}`);
        return duration / LOOP;
      },
    };
  }
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
}

const ROWS: readonly Row[] = (["lookup", "update"] as const).flatMap((operation) =>
  [1024, 65536].flatMap((entries) =>
    (["rising", "random"] as const).map((order) => ({ operation, type: BPF_MAP_TYPE_HASH, entries, order })),
  ),
);
const ARRAY_ROW: Row = { operation: "lookup", type: BPF_MAP_TYPE_ARRAY, entries: 1024, order: "rising" };

interface Figures {
  readonly unchecked: number;
  readonly checked: number;
  readonly kernel: number;
}

/** One row: the operation's loop and the empty one in turn, on every side. */
function measure(row: Row, embedded: Embedded, kernel: Kernel | undefined): Figures {
  const maps = { MAP: embedded.map(row.type, row.entries), STATE: embedded.map(BPF_MAP_TYPE_ARRAY, 1) };
  const kernelMaps = kernel && {
    MAP: kernel.map(row.type, row.entries),
    STATE: kernel.map(BPF_MAP_TYPE_ARRAY, 1),
  };
  const key = new Uint8Array(4);
  const value = new Uint8Array(8).fill(1);
  for (let i = 0; i < row.entries; i++) {
    new DataView(key.buffer).setUint32(0, keyOf(i, row.type), true);
    maps.MAP.update(key, value);
    kernelMaps?.MAP.update(key, value);
  }
  const programs = [row.operation, "empty" as const].map((operation) => {
    const source = text(operation, row);
    return [
      embedded.load(source, maps, false),
      embedded.load(source, maps, true),
      ...(kernel && kernelMaps ? [kernel.load(source, kernelMaps)] : []),
    ];
  });
  // Warm: the engines' optimisers, the caches.
  for (const sides of programs) for (const side of sides) fastest(side);
  const net = programs[0].map((side, s) => {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) times.push(fastest(side) - fastest(programs[1][s]));
    return median(times);
  });
  return { unchecked: net[0], checked: net[1], kernel: net[2] ?? Number.NaN };
}

function mean(numbers: readonly number[]): number {
  return Math.exp(numbers.reduce((sum, n) => sum + Math.log(Math.max(n, 0.01)), 0) / numbers.length);
}

/** Prints a row for each operation, size and order, then one line: the geometric means over the hash rows. */
export async function run(args: readonly string[]): Promise<void> {
  const kernel = await LinuxBackend.open().then(
    (backend) => new Kernel(backend),
    () => undefined,
  );
  const results = [...ROWS, ARRAY_ROW].map((row) => ({
    ...row,
    ...measure(row, new Embedded(), kernel),
  }));
  const ns = (n: number): string => (Number.isNaN(n) ? "-" : n.toFixed(2));
  if (args.includes("--json")) console.log(JSON.stringify(results));
  else
    for (const r of results)
      console.log(
        `${r.type === BPF_MAP_TYPE_ARRAY ? "array" : "hash "} ${r.operation} ${String(r.entries).padStart(5)} ${r.order}: ` +
          `unchecked ${ns(r.unchecked)}, checked ${ns(r.checked)}, kernel ${ns(r.kernel)} ns`,
      );
  const of = (operation: string, type: number, side: keyof Figures): string =>
    ns(mean(results.filter((r) => r.operation === operation && r.type === type).map((r) => r[side])));
  const line = (side: keyof Figures): string[] => [
    of("lookup", BPF_MAP_TYPE_HASH, side),
    of("update", BPF_MAP_TYPE_HASH, side),
    of("lookup", BPF_MAP_TYPE_ARRAY, side),
  ];
  const [lookup, update, array] = line("unchecked");
  console.log(
    `bench maps: hash lookup ${lookup} ns, hash update ${update} ns, array lookup ${array} ns; kernel ${line("kernel").join(", ")}`,
  );
}
