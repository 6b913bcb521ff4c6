// Globals, typed maps and pins of whole objects, through the loader on either kernel.
import type { Backend } from "../../src/backend/index.ts";
import { BpfObject, type LoadedObject } from "../../src/loader/index.ts";
import { compileC } from "../support/compile.ts";

export interface GlobalCase {
  readonly name: string;
  readonly run: (backend: Backend) => unknown[];
  readonly want: unknown[];
}

const SOURCE = `
struct pair { __u32 a; __u16 b; __u8 c[3]; };
struct { __uint(type, 1); __uint(max_entries, 8); __type(key, struct pair); __type(value, __u64); } pairs SEC(".maps");
struct { __uint(type, 27); __uint(max_entries, 4096); } ring SEC(".maps");
static long (*bpf_map_update_elem)(void *, const void *, const void *, __u64) = (void *)2;
static long (*bpf_ringbuf_output)(void *, void *, __u64, __u64) = (void *)130;

const volatile __u32 limit = 5;
const volatile __s8 tiny = -3;
__u64 counter = 40;
__u32 zeroed;
struct pair last = { 1, 2, { 3, 4, 5 } };
__u32 table[4] = { 10, 20, 30, 40 };
bool flag = 1;
static __u32 hidden_count;

SEC("tc") int count(void *ctx)
{
	counter += limit;
	zeroed++;
	last.a += table[2];
	last.c[1]++;
	flag = !flag;
	return tiny + ++hidden_count;
}

SEC("tc") int store(void *ctx)
{
	struct pair key = { 7, 8, { 1, 2, 3 } };
	__u64 value = counter;

	bpf_map_update_elem(&pairs, &key, &value, 0);
	bpf_ringbuf_output(&ring, &last, sizeof(last), 0);
	return 0;
}

static __noinline int helper(int x) { return x * 3; }
SEC("tc") int calls(void *ctx) { return helper(limit) + helper(tiny); }
`;

let compiled: Uint8Array | undefined;
const PACKET = new Uint8Array(64);

function withObject(
  backend: Backend,
  use: (o: LoadedObject) => unknown[],
  before?: (o: BpfObject) => void,
): unknown[] {
  compiled ??= compileC(SOURCE);
  const object = BpfObject.open(compiled);
  before?.(object);
  using loaded = object.load(backend);
  return use(loaded);
}

const run = (o: LoadedObject, name: string): number =>
  o.programs[name]!.testRun({ data_in: PACKET }).retval | 0;
const plain = (value: unknown): unknown => (value instanceof Uint8Array ? [...value] : value);

export const GLOBAL_CASES: readonly GlobalCase[] = [
  {
    name: "what they start as",
    run: (k) =>
      withObject(k, ({ globals: g }) =>
        ["limit", "tiny", "counter", "zeroed", "last", "table", "flag"].map((name) => plain(g.get(name))),
      ),
    want: [5, -3, 40n, 0, { a: 1, b: 2, c: [3, 4, 5] }, [10, 20, 30, 40], true],
  },
  {
    name: "what a program makes of them",
    run: (k) =>
      withObject(k, (o) => {
        const retvals = [run(o, "count"), run(o, "count")];
        const { globals: g } = o;
        return [...retvals, g.get("counter"), g.get("zeroed"), plain(g.get("last")), g.get("flag")];
      }),
    want: [-2, -1, 50n, 2, { a: 61, b: 2, c: [3, 6, 5] }, true],
  },
  {
    name: "what user space writes, a program reads",
    run: (k) =>
      withObject(k, (o) => {
        o.globals.set("counter", 1000n);
        o.globals.set("table", [0, 0, 500, 0]);
        run(o, "count");
        return [o.globals.get("counter"), (o.globals.get("last") as { a: number }).a];
      }),
    want: [1005n, 501],
  },
  {
    name: "constants are set before loading, and frozen after",
    run: (k) =>
      withObject(
        k,
        (o) => {
          let frozen = "";
          try {
            o.globals.set("limit", 9);
          } catch (error) {
            frozen = (error as { message: string }).message.includes("EPERM") ? "EPERM" : String(error);
          }
          return [o.globals.get("limit"), frozen, run(o, "calls")];
        },
        (object) => object.globals.set("limit", 100),
      ),
    want: [100, "EPERM", 291],
  },
  {
    name: "subprograms",
    run: (k) => withObject(k, (o) => [run(o, "calls")]),
    want: [6],
  },
  {
    name: "typed keys and values of a map, a typed record of a ring",
    run: (k) =>
      withObject(k, (o) => {
        run(o, "store");
        const records: unknown[] = [];
        o.ringBuffer("ring", "pair").consume((record) => records.push(record));
        return [[...o.maps["pairs"]!.entries()], records];
      }),
    want: [[[{ a: 7, b: 8, c: [1, 2, 3] }, 40n]], [{ a: 1, b: 2, c: [3, 4, 5] }]],
  },
  {
    name: "a map from outside in the place of the object's own",
    run: (k) => {
      let entries: unknown[] = [];
      withObject(k, (first) => {
        compiled ??= compileC(SOURCE);
        using second = BpfObject.open(compiled).load(k, { reuseMaps: { pairs: first.maps["pairs"]!.fd } });
        run(second, "store");
        entries = [...first.maps["pairs"]!.keys()];
        return [];
      });
      return entries;
    },
    want: [{ a: 7, b: 8, c: [1, 2, 3] }],
  },
];
