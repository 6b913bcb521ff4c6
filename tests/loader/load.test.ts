import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/index.ts";
import { BackendError, LoadError, UnsupportedError, VerifierRejection } from "../../src/diag/index.ts";
import { Kernel } from "../../src/kernel/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import { BpfObject } from "../../src/loader/index.ts";
import * as uapi from "../../src/uapi/index.ts";
import { compileC } from "../support/compile.ts";
import { FakeBackend } from "../support/fake-backend.ts";
import { want } from "../support/need.ts";

const SOURCE = `
enum verdict { DENY, ALLOW };
struct flow { __u32 src; __u16 port; __u8 proto; __u8 pad; };
struct stats { __u64 packets; enum verdict last; char tag[8]; };
struct event { __u32 pid; char comm[12]; };
struct { __uint(type, 1); __uint(max_entries, 16); __type(key, struct flow); __type(value, struct stats); } flows SEC(".maps");
struct { __uint(type, 6); __uint(max_entries, 2); __type(key, __u32); __type(value, __u64); } percpu SEC(".maps");
struct { __uint(type, 22); __uint(max_entries, 4); __type(value, __u32); } queue SEC(".maps");
struct { __uint(type, 27); __uint(max_entries, 4096); } ring SEC(".maps");
struct inner { __uint(type, 2); __uint(max_entries, 1); __type(key, __u32); __type(value, __u32); } in SEC(".maps");
struct { __uint(type, 12); __uint(max_entries, 2); __type(key, __u32); __array(values, struct inner); } outer SEC(".maps") =
  { .values = { 0, &in } };
int tail(void *);
struct { __uint(type, 3); __uint(max_entries, 2); __uint(key_size, 4); __array(values, int (void *)); } jumps SEC(".maps") =
  { .values = { [1] = (void *)&tail } };
const volatile int limit = 3; int hits; const struct event *unused_event;
SEC("socket") int tail(void *ctx) { hits += limit; return hits; }
SEC("socket") int entry(void *ctx) { bpf_tail_call(ctx, &jumps, 1); return 1; }
SEC("?socket") int optional(void *ctx) { return bpf_map_lookup_elem(&flows, &hits) != 0; }
`;

describe("BpfObject.load", () => {
  const w = want("clang-19");
  describe.skipIf(w.skip)(w.title("on a backend in memory"), () => {
    const open = (): BpfObject => BpfObject.open(compileC(SOURCE), { name: "load" });

    it("creates maps in order, freezes constants, fills slots, and closes all of it", () => {
      const backend = new FakeBackend();
      const object = open();
      object.globals.set("limit", 5);
      const loaded = object.load(backend);
      const created = [...backend.maps.values()].map(({ attr }) => attr.map_name);
      // clang places initialized variables first.
      const user = ["in", "outer", "jumps", "flows", "percpu", "queue", "ring"];
      expect(created).toEqual([...user, "load.rodata", "load.bss"]);
      expect([...backend.maps.values()].filter((m) => m.frozen).map((m) => m.attr.map_name)).toEqual([
        "load.rodata",
      ]);
      const { flows, outer, jumps, in: inner } = loaded.maps;
      expect(backend.maps.get(flows!.fd)!.attr).toMatchObject({ btf_fd: loaded.btfFd });
      expect(backend.maps.get(outer!.fd)!.attr).not.toHaveProperty("btf_fd");
      expect(outer!.lookup(1)).toBe(inner!.fd);
      expect(jumps!.lookup(1)).toBe(loaded.programs["tail"]!.fd);
      expect(Object.keys(loaded.programs)).toEqual(["tail", "entry"]);
      expect(loaded.globals.get("limit")).toBe(5);
      loaded.globals.set("hits", 9);
      expect(loaded.globals.toObject()).toMatchObject({ limit: 5, hits: 9 });
      expect(() => loaded.globals.set("limit", 6)).toThrow(BackendError);
      expect(loaded.programs["tail"]!.testRun().retval).toBe(7);
      loaded.close();
      expect(backend.open).toBe(0);
    });

    it("patches map fds into the instructions", () => {
      const backend = new FakeBackend();
      using loaded = open().load(backend);
      const { fd, linked } = loaded.programs["tail"]!;
      const insns = backend.programs.get(fd)!.insns;
      const view = new DataView(insns.buffer, insns.byteOffset);
      const fds = linked.mapReferences.map(({ insn }) => view.getInt32(insn * 8 + 4, true));
      expect(new Set(fds)).toEqual(new Set([loaded.maps["load.bss"]!.fd, loaded.maps["load.rodata"]!.fd]));
    });

    it("gives typed maps", () => {
      using loaded = open().load(new FakeBackend());
      const { flows, percpu, queue } = loaded.maps;
      const key = { src: 0x0a000001, port: 80, proto: 6 };
      flows!.update(key, { packets: 12n, last: "ALLOW", tag: "web" });
      expect(flows!.lookup(key)).toEqual({ packets: 12n, last: "ALLOW", tag: "web" });
      expect([...flows!.entries()]).toEqual([
        [
          { ...key, pad: 0 },
          { packets: 12n, last: "ALLOW", tag: "web" },
        ],
      ]);
      expect(flows!.lookup({ src: 1 })).toBeUndefined();
      expect([flows!.delete(key), flows!.delete(key)]).toEqual([true, false]);
      percpu!.update(0, 4);
      expect(percpu!.lookup(0)).toEqual([4n, 4n]);
      percpu!.update(1, [1n, 2n]);
      expect(percpu!.lookup(1)).toEqual([1n, 2n]);
      queue!.push(77);
      expect([queue!.peek(), queue!.pop(), queue!.pop()]).toEqual([77, 77, undefined]);
      expect(() => flows!.update(new Uint8Array(3), new Uint8Array(24))).toThrow(
        "map 'flows': key of 3 bytes, want 8",
      );
    });

    it("hands out records, typed on request", () => {
      const backend = new FakeBackend();
      using loaded = open().load(backend);
      const record = Uint8Array.of(42, 0, 0, 0, 98, 97, 115, 104, 0, 0, 0, 0, 0, 0, 0, 0);
      const map = backend.maps.get(loaded.maps["ring"]!.fd)!;
      map.records.push(record, record);
      const seen: unknown[] = [];
      expect(loaded.ringBuffer("ring", "event").consume((r) => seen.push(r))).toBe(2);
      expect(seen[0]).toEqual({ pid: 42, comm: "bash" });
      expect(loaded.ringBuffer("ring").consume(() => {})).toBe(0);
      expect(() => loaded.ringBuffer("nothing")).toThrow("no map 'nothing'");
    });

    it("closes everything where a program is refused, and keeps the log", () => {
      const backend = new FakeBackend();
      backend.refuse.set("entry", uapi.EACCES);
      const error = (() => {
        try {
          open().load(backend);
        } catch (e) {
          return e;
        }
        return undefined;
      })();
      expect(error).toBeInstanceOf(VerifierRejection);
      expect(error).toMatchObject({
        program: "entry",
        errno: uapi.EACCES,
        log: "0: bad\nprocessed 1 insns\n",
      });
      expect(backend.open).toBe(0);
    });

    it("takes maps from outside, and refuses others than it wants", () => {
      const backend = new FakeBackend();
      const first = open().load(backend);
      const second = open().load(backend, { reuseMaps: { flows: first.maps["flows"]!.fd } });
      expect(second.maps["flows"]!.fd).toBe(first.maps["flows"]!.fd);
      second.close();
      expect(backend.maps.has(first.maps["flows"]!.fd)).toBe(true);
      expect(() => open().load(backend, { reuseMaps: { flows: first.maps["in"]!.fd } })).toThrow(
        /map 'flows': type, key, value, entries, flags are 2, 4, 4, 1, 0, want 1, 8, 24, 16, 0/,
      );
      expect(() => open().load(backend, { reuseMaps: { flows: 9999 } })).toThrow(LoadError);
    });

    it("leaves struct_ops to a later version", () => {
      const object = BpfObject.open(
        compileC(`struct ops { int (*init)(void *); int flags; };
SEC("struct_ops/init") int init(void *ctx) { return 0; }
struct ops my_ops SEC(".struct_ops.link") = { .init = (void *)init, .flags = 3 };`),
      );
      const map = object.maps["my_ops"]!;
      expect([map.origin, Object.fromEntries(map.structOps!), map.flags]).toEqual([
        "struct_ops",
        { init: "init" },
        uapi.BPF_F_LINK,
      ]);
      expect(() => object.load(new FakeBackend())).toThrow(UnsupportedError);
    });
  });

  // One object, two kernels.
  const linux = want("clang-19", "bpf");
  const kernels: [string, { skip: boolean; title(text: string): string }, () => Promise<Backend>][] = [
    ["the embedded kernel", w, async () => new Kernel()],
    ["the running kernel", linux, () => LinuxBackend.open()],
  ];
  for (const [name, need, make] of kernels)
    it.skipIf(need.skip)(need.title(`runs on ${name}`), async () => {
      const backend = await make();
      const object = BpfObject.open(compileC(SOURCE), { name: "load" });
      object.globals.set("limit", 5);
      using loaded = object.load(backend);
      expect(loaded.btfFd).toBeGreaterThan(0);
      const run = loaded.programs["entry"]!.testRun({ data_in: new Uint8Array(64), repeat: 1 });
      // The tail call adds `limit` to `hits` and returns it.
      expect([run.err, run.retval, loaded.globals.get("hits")]).toEqual([0, 5, 5]);
      const { flows, percpu, queue } = loaded.maps;
      const key = { src: 1, port: 2, proto: 3 };
      flows!.update(key, { packets: 1n, last: "DENY", tag: "x" });
      expect(flows!.lookup(key)).toEqual({ packets: 1n, last: "DENY", tag: "x" });
      expect([...flows!.keys()]).toEqual([{ ...key, pad: 0 }]);
      percpu!.update(1, 3);
      expect(percpu!.lookup(1)).toEqual(Array(backend.possibleCpus).fill(3n));
      queue!.push(77);
      expect([queue!.pop(), queue!.pop()]).toEqual([77, undefined]);
      expect(() => flows!.update(key, { packets: 2n }, uapi.BPF_NOEXIST)).toThrow(
        "map 'flows', update: EEXIST",
      );
      expect(loaded.programs["entry"]!.info().name).toBe("entry");
    });
});
