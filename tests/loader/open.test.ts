import { describe, expect, it } from "vitest";
import { BpfObject, type LinkedProgram } from "../../src/loader/index.ts";
import * as uapi from "../../src/uapi/index.ts";
import { compileC } from "../support/compile.ts";
import { want } from "../support/need.ts";

function insn(linked: LinkedProgram, index: number): { code: number; src: number; imm: number } {
  const view = new DataView(linked.insns.buffer, linked.insns.byteOffset + index * 8, 8);
  return { code: view.getUint8(0), src: view.getUint8(1) >>> 4, imm: view.getInt32(4, true) };
}

/** Calls and callbacks of a linked program as "caller slot -> callee slot". */
function edges(linked: LinkedProgram): string[] {
  const out: string[] = [];
  for (let i = 0; i < linked.insns.length / 8; i++) {
    const { code, src, imm } = insn(linked, i);
    if ((code === 0x85 && src === 1) || (code === 0x18 && src === 4)) {
      const fn = (slot: number): string => linked.functions.filter((f) => f.insn <= slot).at(-1)!.fn.name;
      out.push(
        `${fn(i)} -> ${fn(i + 1 + imm)}@${i + 1 + imm - linked.functions.find((f) => f.fn.name === fn(i + 1 + imm))!.insn}`,
      );
    }
  }
  return out;
}

const SOURCE = `
int counter = 3; static int hidden_static; const volatile int knob = 5; int zeroed;
static __noinline int leaf(int x) { return x * counter + hidden_static; }
__noinline int global_fn(int x) { hidden_static = x; return leaf(x) + knob + zeroed; }
__hidden __noinline int hidden_fn(int x) { return global_fn(x) ^ counter; }
static int callback(__u32 i, void *ctx) { counter += i; return 0; }
SEC("xdp") int first(void *ctx) { return hidden_fn(3) + leaf(9); }
SEC("?tc") int second(void *ctx) { bpf_loop(4, &callback, 0, 0); return leaf(1); }
`;

describe("BpfObject.open", () => {
  const w = want("clang-19");
  describe.skipIf(w.skip)(w.title("objects of clang"), () => {
    it("links each program with the subprograms that it reaches, in libbpf's order", () => {
      const object = BpfObject.open(compileC(SOURCE), { name: "my_object_name" });
      expect(object.license).toBe("GPL");
      expect(object.programList.map((p) => [p.name, p.sectionName, p.type, p.autoload])).toEqual([
        ["first", "xdp", uapi.BPF_PROG_TYPE_XDP, true],
        ["second", "tc", uapi.BPF_PROG_TYPE_SCHED_CLS, false],
      ]);
      const first = object.link("first");
      expect(first.functions.map((f) => f.fn.name)).toEqual(["first", "hidden_fn", "global_fn", "leaf"]);
      expect(edges(first)).toEqual([
        "first -> hidden_fn@0",
        "first -> leaf@0",
        "hidden_fn -> global_fn@0",
        "global_fn -> leaf@0",
      ]);
      const second = object.link("second");
      expect(second.functions.map((f) => f.fn.name)).toEqual(["second", "callback", "leaf"]);
      expect(edges(second)).toEqual(["second -> callback@0", "second -> leaf@0"]);
    });

    it("makes maps of global data, and names them as libbpf does", () => {
      const object = BpfObject.open(compileC(SOURCE), { name: "my_object_name" });
      const { BPF_F_MMAPABLE, BPF_F_RDONLY_PROG } = uapi;
      expect(object.mapList.map((m) => [m.name, m.origin, m.valueSize, m.flags])).toEqual([
        ["my_objec.data", "data", 4, BPF_F_MMAPABLE],
        ["my_objec.rodata", "rodata", 4, BPF_F_RDONLY_PROG | BPF_F_MMAPABLE],
        ["my_objec.bss", "bss", 8, BPF_F_MMAPABLE],
      ]);
      expect(object.maps["my_objec.data"]!.initialValue).toEqual(Uint8Array.of(3, 0, 0, 0));
      expect(object.maps["my_objec.bss"]!.initialValue).toBeUndefined();
      const { mapReferences } = object.link("first");
      expect(new Set(mapReferences.map((r) => r.map.origin))).toEqual(new Set(["data", "rodata", "bss"]));
    });

    it("reads BTF-defined maps with their inner maps and initial values", () => {
      const object = BpfObject.open(
        compileC(`
struct inner { __uint(type, 1); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); };
struct inner in1 SEC(".maps"), in2 SEC(".maps");
struct { __uint(type, 12); __uint(max_entries, 4); __type(key, __u32); __array(values, struct inner); } outer SEC(".maps") =
  { .values = { &in1, 0, &in2 } };
int a(void *), b(void *);
struct { __uint(type, 3); __uint(max_entries, 4); __uint(key_size, 4); __array(values, int (void *)); } jumps SEC(".maps") =
  { .values = { [1] = (void *)&a, [3] = (void *)&b } };
struct { __uint(type, 27); __uint(max_entries, 5000); __uint(pinning, 1); } ring SEC(".maps");
struct key { __u8 a[3]; }; struct value { __u64 x; __u32 y; };
struct { __uint(type, 9); __uint(max_entries, 1000); __uint(map_flags, 2); __uint(map_extra, 7); __uint(numa_node, 1);
  __type(key, struct key); __type(value, struct value); } lru SEC(".maps");
SEC("tc") int a(void *ctx) { bpf_tail_call(ctx, &jumps, 3); return 0; }
SEC("tc") int b(void *ctx) { __u32 k = 0; return bpf_map_lookup_elem(&outer, &k) != 0; }`),
      );
      const pick = object.mapList.map((m) => ({
        name: m.name,
        type: m.type,
        sizes: [m.keySize, m.valueSize, m.maxEntries],
        slots: Object.fromEntries(m.initialSlots),
      }));
      expect(pick).toEqual([
        { name: "in1", type: 1, sizes: [4, 8, 8], slots: {} },
        { name: "in2", type: 1, sizes: [4, 8, 8], slots: {} },
        { name: "outer", type: 12, sizes: [4, 4, 4], slots: { 0: "in1", 2: "in2" } },
        { name: "jumps", type: 3, sizes: [4, 4, 4], slots: { 1: "a", 3: "b" } },
        // A ring buffer's size grows to a power of two of pages.
        { name: "ring", type: 27, sizes: [0, 0, 8192], slots: {} },
        { name: "lru", type: 9, sizes: [3, 16, 1000], slots: {} },
      ]);
      expect(object.maps["outer"]!.innerMap).toMatchObject({ name: "outer.inner", type: 1, valueSize: 8 });
      expect(object.maps["ring"]!.pinByName).toBe(true);
      expect(object.maps["lru"]).toMatchObject({ flags: 2, extra: 7n, numaNode: 1 });
      expect(object.btf!.typeName(object.maps["lru"]!.valueTypeId)).toBe("value");
    });

    it("reads the legacy maps section", () => {
      const object = BpfObject.open(
        compileC(`
struct bpf_map_def { __u32 type, key_size, value_size, max_entries, map_flags; };
struct bpf_map_def SEC("maps") one = { 2, 4, 8, 16, 0 };
struct bpf_map_def SEC("maps") two = { 1, 4, 16, 32, 1 };
SEC("socket") int prog(void *ctx) { __u32 k = 0; return bpf_map_lookup_elem(&two, &k) != 0; }`),
      );
      expect(
        object.mapList.map((m) => [m.name, m.type, m.keySize, m.valueSize, m.maxEntries, m.flags]),
      ).toEqual([
        ["one", 2, 4, 8, 16, 0],
        ["two", 1, 4, 16, 32, 1],
      ]);
      expect(object.link("prog").mapReferences.map((r) => r.map.name)).toEqual(["two"]);
    });

    it("places kconfig values, and says which strong extern lacks one", () => {
      const object = BpfObject.open(
        compileC(`
extern int LINUX_KERNEL_VERSION __kconfig; extern bool CONFIG_BPF __kconfig __weak; extern char CONFIG_NAME[8] __kconfig __weak;
extern __u64 CONFIG_HZ __kconfig;
SEC("socket") int prog(void *ctx) { return LINUX_KERNEL_VERSION + CONFIG_BPF + CONFIG_NAME[0] + CONFIG_HZ; }`),
        { name: "k" },
      );
      const map = object.mapList.find((m) => m.origin === "kconfig")!;
      expect(map).toMatchObject({ name: "k.kconfig", valueSize: 21, keySize: 4 });
      expect(() => object.kconfig()).toThrow(/extern 'CONFIG_HZ' \(strong\): not resolved/);
      const value = object.kconfig({
        kernelVersion: 0x060c00,
        kconfig: 'CONFIG_BPF=y\nCONFIG_NAME="abc"\nCONFIG_HZ=1000\n',
      })!;
      const view = new DataView(value.buffer);
      const at = (name: string): number => object.externs.find((e) => e.name === name)!.offset;
      expect(view.getBigUint64(at("CONFIG_HZ"), true)).toBe(1000n);
      expect(view.getUint32(at("LINUX_KERNEL_VERSION"), true)).toBe(0x060c00);
      expect(value[at("CONFIG_BPF")]).toBe(1);
      expect(value.slice(at("CONFIG_NAME"), at("CONFIG_NAME") + 4)).toEqual(Uint8Array.of(97, 98, 99, 0));
    });

    it("refuses a strong kernel function that nothing resolves, and poisons a weak one", () => {
      const object = BpfObject.open(
        compileC(`
extern int strong_kfunc(int) __ksym; extern int weak_kfunc(int) __ksym __weak;
SEC("socket") int one(void *ctx) { return strong_kfunc(1); }
SEC("socket") int two(void *ctx) { return weak_kfunc(1); }`),
      );
      expect(() => object.link("one")).toThrow(
        "program 'one', insn 1: extern 'strong_kfunc' (strong): not resolved",
      );
      expect(insn(object.link("two"), 1)).toEqual({ code: 0x85, src: 0, imm: 2_002_000_001 });
      const resolved = object.link("one", { kfunc: () => 1234 });
      expect(insn(resolved, 1)).toEqual({ code: 0x85, src: 2, imm: 1234 });
      expect(resolved.kfuncs).toEqual([{ insn: 1, name: "strong_kfunc", btfId: 1234, module: "" }]);
    });
  });

  const g = want("gcc-bpf");
  describe.skipIf(g.skip)(g.title("objects of gcc"), () => {
    it("finds functions and variables behind gcc's way of storing symbol values", () => {
      const object = BpfObject.open(
        compileC(
          `int pad = 1; int counter = 3; static int local[4] = {1, 2, 3, 4};
static __noinline int one(int x) { return x * counter; }
static __noinline int two(int x) { local[1] = x; return x + local[2]; }
__noinline int three(int x) { return x - counter; }
SEC("xdp") int prog(void *ctx) { return one(3) + two(9) + three(5) + pad; }`,
          "gcc",
        ),
        { name: "g" },
      );
      const linked = object.link("prog");
      expect(new Set(edges(linked).map((e) => e.replace(/\.constprop\.0/, "")))).toEqual(
        new Set(["prog -> one@0", "prog -> two@0", "prog -> three@0"]),
      );
      const { initialValue } = object.maps["g.data"]!;
      const values = new DataView(initialValue!.buffer);
      const offsets = linked.mapReferences.map((r) => insn(linked, r.insn + 1).imm);
      const seen = new Set(offsets.map((o) => values.getInt32(o, true)));
      // counter, local and pad: what the instructions point at holds their initial values.
      expect(seen).toEqual(new Set([3, 1]));
    });
  });
});
