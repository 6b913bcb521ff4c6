import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/index.ts";
import { Kernel } from "../../src/kernel/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import { BpfObject, fromBase64, Skeleton } from "../../src/loader/index.ts";
import { toBase64 } from "../../src/loader/skeleton/runtime.ts";
import { compileC } from "../support/compile.ts";
import { want } from "../support/need.ts";
import { RecordingBackend } from "../support/recording-backend.ts";

const SOURCE = `
const volatile __u32 length = 1;
int array[1] SEC(".data.numbers");
int first[1] SEC(".data.ends_otherwise");
int last SEC(".data.ends_otherwise");
long long sum;
struct { __uint(type, 1); __uint(max_entries, 4); __type(key, __u32); __type(value, __u64); __uint(pinning, 1); } kept SEC(".maps");
SEC("socket") int add(void *ctx) {
  __u32 key = 1;
  sum = 0;
  for (__u32 i = 0; i < length && i < 100; i++) { int *p = array + i; asm volatile("" : "+r"(p)); sum += *p; }
  return bpf_map_lookup_elem(&kept, &key) != 0;
}
`;

const w = want("clang-19");
const linux = want("bpf");

describe.skipIf(w.skip)(w.title("sections of another size"), () => {
  const open = (): BpfObject => BpfObject.open(compileC(SOURCE), { name: "resize" });

  const onBackend = (backend: Backend, count: number): unknown => {
    const object = open();
    object.setValueSize(".data.numbers", count * 4);
    object.globals.set("length", count);
    object.globals.set(
      "array",
      Array.from({ length: count }, (_, i) => i),
    );
    object.maps["kept"]!.pinByName = false;
    using loaded = object.load(backend);
    loaded.programs["add"]!.testRun({ data_in: new Uint8Array(64) });
    return loaded.globals.get("sum");
  };

  it("hold longer arrays, under their names, on the embedded kernel", () => {
    expect(onBackend(new Kernel(), 20)).toBe(190n);
  });

  it.skipIf(linux.skip)(linux.title("and on Linux, which checks the BTF"), async () => {
    expect(onBackend(await LinuxBackend.open(), 20)).toBe(190n);
  });

  it("keep what they held", () => {
    const object = open();
    object.globals.set("array", [7]);
    object.setValueSize(".data.numbers", 12);
    expect(object.globals.get("array")).toEqual([7, 0, 0]);
    object.setValueSize(".data.numbers", 4);
    expect(object.globals.get("array")).toEqual([7]);
  });

  it.each([
    [".data.ends_otherwise", 16, "first"],
    [".data.numbers", 13, "array"],
  ])("%s of %d bytes goes without names", (name, size, variable) => {
    const object = open();
    expect(object.globals.get(variable)).toEqual([0]);
    object.setValueSize(name, size);
    expect([object.maps[name]!.valueSize, object.maps[name]!.valueTypeId]).toEqual([size, 0]);
    expect(() => object.globals.get(variable)).toThrow(`no global variable '${variable}'`);
  });

  it.each([0, -1, 1.5, 2 ** 31])("refuses %d bytes", (size) => {
    expect(() => open().setValueSize(".data.numbers", size)).toThrow(`value size ${size}`);
  });
});

describe.skipIf(w.skip)(w.title("maps by path"), () => {
  it("are taken from a pin where there is one, and pinned where there is none", () => {
    const backend = new Kernel();
    const object = BpfObject.open(compileC(SOURCE), { name: "pins" });
    const paths = ["/sys/fs/bpf/kept", "/sys/fs/bpf/elsewhere"];
    {
      using loaded = object.load(backend);
      loaded.maps["kept"]!.update(1, 5n);
    }
    for (const [i, path] of paths.entries()) {
      const again = BpfObject.open(compileC(SOURCE), { name: "pins" });
      if (i === 1) again.maps["kept"]!.pinPath = path;
      using loaded = again.load(backend);
      expect(loaded.maps["kept"]!.lookup(1)).toBe(i === 0 ? 5n : undefined);
      expect(backend.objGet(path)).toBeGreaterThan(0);
      loaded.programs["add"]!.pin(`/sys/fs/bpf/program${i}`);
      expect(backend.objGet(`/sys/fs/bpf/program${i}`)).toBeGreaterThan(0);
    }
  });
});

describe("objects in text", () => {
  it.each([0, 1, 2, 3, 4, 5, 300])("%d bytes come back", (length) => {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 37) & 0xff);
    expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString("base64"));
    expect(fromBase64(toBase64(bytes))).toEqual(bytes);
  });

  it.skipIf(w.skip)(w.title("resize through a skeleton"), () => {
    const skeleton = new Skeleton(compileC(SOURCE), { name: "skel" });
    const map = (skeleton.maps as Record<string, { valueSize: number }>)["_data_numbers"]!;
    map.valueSize = 8;
    const globals = skeleton.globals as Record<string, { array: unknown }>;
    expect(globals["data_numbers"]!.array).toEqual([0, 0]);
  });
});

const ARENA = `
#define __arena __attribute__((address_space(1)))
struct { __uint(type, 33); __uint(map_flags, 1024); __uint(max_entries, 2); } arena SEC(".maps");
int __arena count SEC(".addr_space.1") = 5;
__u64 __arena wide SEC(".addr_space.1");
SEC("socket") int main_program(void *ctx) { asm volatile("r1 = %[arena] ll" :: [arena] "i"(&arena) : "r1"); return ++count + wide; }
`;

describe.skipIf(w.skip)(w.title("variables of an arena"), () => {
  it("are set before loading, and read where the arena's memory is", () => {
    const object = BpfObject.open(compileC(ARENA), { name: "arena" });
    object.globals.set("wide", 7n);
    expect([object.globals.get("count"), object.globals.get("wide")]).toEqual([5, 7n]);
    using loaded = object.load(new RecordingBackend(1));
    expect([loaded.globals.get("count"), loaded.globals.get("wide")]).toEqual([5, 7n]);
    loaded.globals.set("count", 6);
    expect(loaded.globals.get("count")).toBe(6);
    const { arena } = new Skeleton(compileC(ARENA), { name: "arena" }).globals as Record<
      string,
      { count: number }
    >;
    expect(arena!.count).toBe(5);
  });

  it("want a backend that gives that memory", () => {
    expect(() => BpfObject.open(compileC(ARENA)).load(new Kernel())).toThrow(
      "arena map 'arena' with initial data",
    );
  });
});
