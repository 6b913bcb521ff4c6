import { describe, expect, it } from "vitest";
import { want } from "../../tests/support/need.ts";
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_SYSCALL,
  BPF_PROG_TYPE_XDP,
  EBADFD,
  EEXIST,
  EINVAL,
  ENOENT,
} from "../uapi/index.ts";
import { LinuxBackend } from "./linux-backend.ts";

const bpf = want("bpf");

function insns(...rows: [code: number, regs: number, off: number, imm: number][]): Uint8Array {
  const bytes = new Uint8Array(rows.length * 8);
  const dv = new DataView(bytes.buffer);
  rows.forEach(([code, regs, off, imm], i) => {
    dv.setUint8(i * 8, code);
    dv.setUint8(i * 8 + 1, regs);
    dv.setInt16(i * 8 + 2, off, true);
    dv.setInt32(i * 8 + 4, imm, true);
  });
  return bytes;
}

const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
const return7 = insns([0xb7, 0, 0, 7], [0x95, 0, 0, 0]);

describe.skipIf(bpf.skip)(bpf.title("the running kernel"), () => {
  it("does the map commands", async () => {
    const k = await LinuxBackend.open();
    const fd = k.mapCreate({
      map_type: BPF_MAP_TYPE_HASH,
      key_size: 4,
      value_size: 8,
      max_entries: 4,
      map_name: "tsbpf_test",
    });
    expect(fd).toBeGreaterThan(0);
    const value = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    expect(k.mapUpdateElem(fd, u32(5), value)).toBe(0);
    expect(k.mapUpdateElem(fd, u32(5), value, 1)).toBe(-EEXIST);
    const out = new Uint8Array(8);
    expect(k.mapLookupElem(fd, u32(5), out)).toBe(0);
    expect(out).toEqual(value);
    expect(k.mapLookupElem(fd, u32(6), out)).toBe(-ENOENT);
    const next = new Uint8Array(4);
    expect(k.mapGetNextKey(fd, null, next)).toBe(0);
    expect(next).toEqual(u32(5));
    expect(k.mapGetNextKey(fd, next, next)).toBe(-ENOENT);
    out.fill(0);
    expect(k.mapLookupAndDeleteElem(fd, u32(5), out)).toBe(0);
    expect(out).toEqual(value);
    expect(k.mapDeleteElem(fd, u32(5))).toBe(-ENOENT);
    const info = k.mapInfo(fd);
    expect(info).toMatchObject({ type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, name: "tsbpf_test" });
    if (typeof info === "number") throw new Error("no info");
    const again = k.mapGetFdById(info.id);
    expect(k.mapInfo(again)).toEqual(info);
    expect(k.close(again)).toBe(0);
    expect(k.mapFreeze(fd)).toBe(0);
    expect(k.close(fd)).toBe(0);
    expect(k.mapInfo(fd)).toBe(-EBADFD);
    expect(k.mapCreate({ map_type: BPF_MAP_TYPE_ARRAY, key_size: 8, value_size: 8, max_entries: 1 })).toBe(
      -EINVAL,
    );
  });

  it("loads and runs programs", async () => {
    const k = await LinuxBackend.open();
    const { fd, log } = k.progLoad({
      prog_type: BPF_PROG_TYPE_SOCKET_FILTER,
      insns: return7,
      license: "MIT",
      prog_name: "a_name_that_is_too_long",
      log_level: 2,
    });
    expect(fd).toBeGreaterThan(0);
    expect(log).toContain("0: (b7) r0 = 7");
    const run = k.progTestRun(fd, { data_in: new Uint8Array(64), data_size_out: 64, repeat: 10 });
    expect(run).toMatchObject({ err: 0, retval: 7, data_size_out: 64 });
    expect(run.data_out.length).toBe(64);
    const info = k.progInfo(fd);
    expect(info).toMatchObject({ name: "a_name_that_is_", xlated_prog_len: 16, gpl_compatible: false });
    expect(k.close(fd)).toBe(0);
  });

  it("writes the context of a syscall program back into ctx_in", async () => {
    const k = await LinuxBackend.open();
    // *(u32 *)(r1 + 4) = 9; r0 = *(u32 *)(r1 + 0); exit
    const { fd } = k.progLoad({
      prog_type: BPF_PROG_TYPE_SYSCALL,
      insns: insns([0x62, 1, 4, 9], [0x61, 0x10, 0, 0], [0x95, 0, 0, 0]),
      license: "GPL",
      prog_flags: 1 << 4,
    });
    expect(fd).toBeGreaterThan(0);
    const ctx_in = new Uint8Array(Uint32Array.of(3, 4).buffer);
    expect(k.progTestRun(fd, { ctx_in, ctx_size_out: 8 }).err).toBe(-EINVAL);
    expect(k.progTestRun(fd, { ctx_in }).retval).toBe(3);
    expect(new Uint32Array(ctx_in.buffer)).toEqual(Uint32Array.of(3, 9));
    k.close(fd);
  });

  it("says why a program is refused, however long the log", async () => {
    const k = await LinuxBackend.open();
    const bad = k.progLoad({
      prog_type: BPF_PROG_TYPE_XDP,
      insns: insns([0x95, 0, 0, 0]),
      license: "MIT",
      log_level: 1,
    });
    expect(bad.fd).toBe(-13);
    expect(bad.log).toContain("R0 !read_ok");
    // 2,000 iterations print more than the first buffer holds.
    const loop = insns(
      [0xb7, 0, 0, 0],
      [0xb7, 6, 0, 0],
      [0x07, 6, 0, 1],
      [0xa5, 6, -2, 4000],
      [0x95, 0, 0, 0],
    );
    const long = k.progLoad({ prog_type: BPF_PROG_TYPE_XDP, insns: loop, license: "MIT", log_level: 2 });
    expect(long.fd).toBeGreaterThan(0);
    expect(long.log.startsWith("func#0 @0")).toBe(true);
    expect(long.log.length).toBeGreaterThan(1 << 18);
    k.close(long.fd);
  });

  it("reads vmlinux's BTF by id", async () => {
    const k = await LinuxBackend.open();
    const id = k.btfGetNextId(0);
    expect(id).toBeGreaterThan(0);
    const fd = k.btfGetFdById(id);
    const info = k.btfInfo(fd);
    if (typeof info === "number") throw new Error("no info");
    expect(info).toMatchObject({ id, name: "vmlinux", kernel_btf: true });
    expect([...info.btf.subarray(0, 2)]).toEqual([0x9f, 0xeb]);
    k.close(fd);
    expect(k.linkInfo(fd)).toBe(-EBADFD);
    expect(k.objGet("/sys/fs/bpf/there-is-no-such-thing")).toBeLessThan(0);
  });
});
