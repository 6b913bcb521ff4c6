import { describe, expect, it } from "vitest";
import { parseBtf } from "../../src/btf/index.ts";
import { BpfObject } from "../../src/loader/index.ts";
import { BPF_MAP_TYPE_STRUCT_OPS } from "../../src/uapi/index.ts";
import { RecordingBackend } from "../support/recording-backend.ts";
import { structOpsKernelBtf, structOpsObject } from "../support/struct-ops-sample.ts";

const targetBtf = parseBtf(structOpsKernelBtf());
const open = (): BpfObject => BpfObject.open(structOpsObject(), { name: "sample" });

describe("struct_ops maps", () => {
  it("go where the kernel's struct has the members", () => {
    const object = open();
    const [plan] = object.structOps({ targetBtf })!.maps;
    expect(plan).toMatchObject({ typeId: 6, valueTypeId: 7, valueSize: 32, dataOffset: 8, module: "" });
    expect(plan!.slots).toEqual([{ offset: 24, member: "init", program: "my_init" }]);
    expect([...plan!.value.subarray(8, 16)]).toEqual([7, 0, 0, 0, 0x6d, 0x65, 0, 0]);
    const { type, attachType, attach } = object.link("my_init", { targetBtf });
    expect([type, attachType, attach?.btfId, attach?.name]).toEqual([27, 3, 6, "ops"]);
  });

  it("are created with the kernel's value type and registered with programs' fds", () => {
    const backend = new RecordingBackend(1);
    using loaded = open().load(backend, { targetBtf });
    expect(backend.created.map((c) => c.attr)).toMatchObject([
      { map_type: BPF_MAP_TYPE_STRUCT_OPS, value_size: 32, btf_vmlinux_value_type_id: 7, map_flags: 1 << 13 },
    ]);
    expect(backend.loaded.map((l) => l.attr)).toMatchObject([{ attach_btf_id: 6, expected_attach_type: 3 }]);
    const links = loaded.attach();
    const [update] = backend.updates;
    expect(new DataView(update!.value.buffer).getBigUint64(24, true)).toBe(BigInt(backend.loaded[0]!.fd));
    expect(links.length).toBe(1);
  });

  it("may be changed before loading; a program that no map names any more does not load", () => {
    const object = open();
    object.maps["first"]!.structOps!.delete("init");
    expect(object.structOps({ targetBtf })!.maps[0]!.slots).toEqual([]);
    object.maps["first"]!.structOps!.set("gone", "my_init");
    expect(() => object.structOps({ targetBtf })).toThrow("no member 'gone' for program 'my_init'");
  });

  it("do without what the kernel lacks, if it is zero", () => {
    const object = open();
    object.maps["first"]!.initialValue![16] = 1;
    expect(() => object.structOps({ targetBtf })).toThrow("kernel BTF has no member 'gone'");
  });

  it("are left out, and their programs with them, where autocreate is off", () => {
    const object = open();
    object.maps["first"]!.autocreate = false;
    const backend = new RecordingBackend(1);
    object.load(backend, { targetBtf });
    expect([backend.created.length, backend.loaded.length]).toEqual([0, 0]);
  });
});
