import { describe, expect, it } from "vitest";
import { MAP_CREATE, PROG_INFO, PROG_LOAD, TEST_RUN } from "./attr.ts";
import { layoutOf, packStruct, StructReader } from "./struct.ts";

describe("layoutOf", () => {
  // Offsets that pahole prints of Linux 6.18.
  it.each([
    [MAP_CREATE, "map_name", 28],
    [MAP_CREATE, "btf_fd", 48],
    [MAP_CREATE, "map_extra", 64],
    [PROG_LOAD, "insns", 8],
    [PROG_LOAD, "prog_name", 48],
    [PROG_LOAD, "line_info_cnt", 104],
    [PROG_LOAD, "attach_prog_fd", 112],
    [PROG_LOAD, "attach_btf_obj_fd", 112],
    [PROG_LOAD, "fd_array", 120],
    [PROG_LOAD, "log_true_size", 140],
    [TEST_RUN, "data_out", 24],
    [TEST_RUN, "batch_size", 72],
    [PROG_INFO, "map_ids", 56],
    [PROG_INFO, "name", 64],
    [PROG_INFO, "verified_insns", 216],
  ])("%#: %2$s", (layout, member, offset) => {
    expect(layout.offsets[member]).toBe(offset);
  });

  it("packs and reads back, and zero leaves a union alone", () => {
    const layout = layoutOf("a:4 b:8 (c:8) name:5s");
    const bytes = new Uint8Array(layout.size);
    packStruct(layout, { a: -1, b: 0x1_0000_0002n, c: 0, name: new TextEncoder().encode("bpf") }, bytes);
    const r = new StructReader(layout, bytes);
    expect([r.u32("a"), r.u64("b"), r.text("name")]).toEqual([0xffffffff, 0x1_0000_0002n, "bpf"]);
  });

  it("refuses a member that the struct lacks", () => {
    expect(() => packStruct(layoutOf("a:4"), { b: 1 }, new Uint8Array(8))).toThrow(/no member b/);
  });
});
