import { describe, expect, it } from "vitest";
import * as b from "../asm/index.ts";
import { ProgramFault } from "../diag/index.ts";
import * as uapi from "../uapi/index.ts";
import { FrozenClock } from "./clock.ts";
import { Kernel, type KernelOptions } from "./kernel.ts";

const helper = (name: string): b.Insn =>
  b.callHelper(uapi.HELPER_PROTOS.find((proto) => proto.name === name)!.id);
const PASS = b.encode([b.mov64Imm(0, 1), b.exit()]);
const packet = new Uint8Array(64);

function load(
  kernel: Kernel,
  insns: Uint8Array,
  more: Partial<Parameters<Kernel["progLoad"]>[0]> = {},
): number {
  const { fd, log } = kernel.progLoad({
    prog_type: uapi.BPF_PROG_TYPE_SCHED_CLS,
    insns,
    license: "GPL",
    ...more,
  });
  expect(log).toBe("");
  return fd;
}

function array(kernel: Kernel, valueSize = 8, entries = 1): number {
  return kernel.mapCreate({
    map_type: uapi.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: valueSize,
    max_entries: entries,
  });
}

const both = (["interp", "jit"] as const).map((engine): [string, KernelOptions] => [engine, { engine }]);

describe("objects", () => {
  it("gives the lowest free fd and ids that never come back", () => {
    const kernel = new Kernel();
    const [first, second, third] = [array(kernel), array(kernel), array(kernel)];
    expect([first, second, third]).toEqual([3, 4, 5]);
    expect(kernel.close(4)).toBe(0);
    expect(kernel.close(4)).toBe(-uapi.EBADF);
    expect(array(kernel)).toBe(4);
    expect(kernel.mapInfo(4)).toMatchObject({ id: 4 });
    expect([0, 1, 2, 3, 4].map((id) => kernel.mapGetNextId(id))).toEqual([1, 3, 3, 4, -uapi.ENOENT]);
    expect(kernel.mapGetNextId(2 ** 31)).toBe(-uapi.EINVAL);
  });

  it("frees a map with its last holder: fd, program or pin", () => {
    const kernel = new Kernel();
    // What the kernel keeps for itself is there after the first program.
    kernel.close(load(kernel, PASS));
    const map = array(kernel);
    const id = kernel.mapGetNextId(0);
    const prog = load(kernel, b.encode([b.ldMapFd(1, map), b.mov64Imm(0, 0), b.exit()]));
    expect(kernel.progInfo(prog)).toMatchObject({ map_ids: [id] });
    kernel.close(map);
    const again = kernel.mapGetFdById(id);
    expect(kernel.mapInfo(again)).toMatchObject({ id });
    expect(kernel.objPin(again, "/sys/fs/bpf/a/b")).toBe(0);
    kernel.close(again);
    kernel.close(prog);
    expect(kernel.mapGetNextId(0)).toBe(id);
    const pinned = kernel.objGet("/sys/fs/bpf/a/b");
    expect(kernel.mapInfo(pinned)).toMatchObject({ id });
    kernel.close(pinned);
    expect(kernel.objUnpin("/sys/fs/bpf/a/b")).toBe(0);
    expect(kernel.mapGetNextId(0)).toBe(-uapi.ENOENT);
    expect(kernel.mapGetFdById(id)).toBe(-uapi.ENOENT);
  });

  it("gives all memory back", () => {
    const kernel = new Kernel();
    const use = (): void => {
      const map = array(kernel, 64, 1000);
      const prog = load(kernel, b.encode([b.ldMapFd(1, map), b.mov64Imm(0, 0), b.exit()]));
      kernel.progTestRun(prog, { data_in: packet });
      const runner = kernel.openPacketRunner(prog);
      if (typeof runner === "number") throw new Error(`runner: ${runner}`);
      runner.run(packet);
      runner.close();
      kernel.close(map);
      kernel.close(prog);
    };
    use();
    const before = kernel.space.allocated;
    for (let i = 0; i < 20; i++) use();
    expect(kernel.space.allocated).toEqual(before);
  });

  it.each([
    ["/sys/fs/bpf/x", 0],
    ["/sys/fs/bpf/x", -uapi.EEXIST],
    ["/sys/fs/bpf/x.y", -uapi.EPERM],
    ["/tmp/x", -uapi.EPERM],
    ["/sys/fs/bpf/", -uapi.EPERM],
  ])("pins at %s: %i", (path, result) => {
    const kernel = new Kernel();
    if (result === -uapi.EEXIST) kernel.objPin(array(kernel), path);
    expect(kernel.objPin(array(kernel), path)).toBe(result);
    expect(kernel.objPin(99, path)).toBe(-uapi.EINVAL);
  });

  it("tells kinds of fds apart", () => {
    const kernel = new Kernel();
    const map = array(kernel);
    const prog = load(kernel, PASS);
    expect(kernel.progInfo(map)).toBe(-uapi.EINVAL);
    expect(kernel.mapInfo(prog)).toBe(-uapi.EINVAL);
    expect(kernel.mapLookupElem(prog, new Uint8Array(4), new Uint8Array(8))).toBe(-uapi.EINVAL);
    expect(kernel.progTestRun(map, {}).err).toBe(-uapi.EINVAL);
    expect(kernel.progTestRun(77, {}).err).toBe(-uapi.EBADF);
  });
});

describe("links", () => {
  it("attach, update, detach, and hold the program", () => {
    const kernel = new Kernel();
    const xdp = { prog_type: uapi.BPF_PROG_TYPE_XDP };
    const [one, two] = [load(kernel, PASS, xdp), load(kernel, PASS, xdp)];
    const create = (prog_fd: number, target_fd = 1): number =>
      kernel.linkCreate({ prog_fd, target_fd, attach_type: uapi.BPF_XDP });
    expect(create(one, 7)).toBe(-uapi.EINVAL);
    const link = create(one);
    expect(create(two)).toBe(-uapi.EBUSY);
    expect(kernel.linkInfo(link)).toMatchObject({ type: uapi.BPF_LINK_TYPE_XDP, prog_id: 1, target: 1 });
    kernel.close(one);
    expect(kernel.attached(uapi.BPF_XDP, 1).map((prog) => prog.id)).toEqual([1]);
    expect(kernel.linkUpdate(link, two)).toBe(0);
    expect(kernel.progGetFdById(1)).toBe(-uapi.ENOENT);
    expect(kernel.attached(uapi.BPF_XDP, 1).map((prog) => prog.id)).toEqual([2]);
    expect(kernel.linkDetach(link)).toBe(0);
    expect(kernel.attached(uapi.BPF_XDP, 1)).toEqual([]);
    expect(kernel.linkInfo(link)).toMatchObject({ prog_id: 0 });
    expect(kernel.close(link)).toBe(0);
    expect(kernel.linkGetNextId(0)).toBe(-uapi.ENOENT);
  });

  it("wants the attach type of the program type", () => {
    const kernel = new Kernel();
    const prog = load(kernel, PASS);
    expect(kernel.linkCreate({ prog_fd: prog, target_fd: 1, attach_type: uapi.BPF_XDP })).toBe(-uapi.EINVAL);
    expect(kernel.linkCreate({ prog_fd: prog, target_fd: 9, attach_type: uapi.BPF_TCX_INGRESS })).toBe(
      -uapi.ENODEV,
    );
    expect(
      kernel.linkCreate({ prog_fd: prog, target_fd: 1, attach_type: uapi.BPF_TCX_INGRESS }),
    ).toBeGreaterThan(0);
  });
});

describe("PROG_LOAD refuses", () => {
  const kernel = new Kernel();
  const map = array(kernel, 8, 2);
  const call = (name: string): Uint8Array => b.encode([helper(name), b.exit()]);
  const type = (prog_type: number, more: object = {}): object => ({ prog_type, ...more });
  it.each<[string, object, number, RegExp]>([
    ["no instructions", { insns: new Uint8Array(0) }, uapi.E2BIG, /^$/],
    ["half an instruction", { insns: new Uint8Array(12) }, uapi.EINVAL, /12 bytes/],
    ["unknown flags", { prog_flags: 1 << 20 }, uapi.EINVAL, /^$/],
    ["an unknown type", type(99), uapi.EINVAL, /^$/],
    ["a bad name", { prog_name: "a-b" }, uapi.EINVAL, /^$/],
    ["a long name", { prog_name: "0123456789abcdef" }, uapi.EINVAL, /^$/],
    ["the attach type", type(uapi.BPF_PROG_TYPE_SK_LOOKUP), uapi.EINVAL, /^$/],
    ["attach_btf_id of a type that has none", { attach_btf_id: 5 }, uapi.EINVAL, /no BTF/],
    ["tracing without a target", type(uapi.BPF_PROG_TYPE_TRACING), uapi.EINVAL, /must provide btf_id/],
    ["syscall that does not sleep", type(uapi.BPF_PROG_TYPE_SYSCALL), uapi.EINVAL, /can only be sleepable/],
    ["tc that sleeps", { prog_flags: uapi.BPF_F_SLEEPABLE }, uapi.EINVAL, /^Only fentry/],
    [
      "a fd that is no map",
      { insns: b.encode([b.ldMapFd(1, 55), b.exit()]) },
      uapi.EBADF,
      /fd 55 is not pointing to valid bpf_map/,
    ],
    [
      "an offset into a map pointer",
      { insns: b.encode([b.ldImm64(1, (1n << 32n) | BigInt(map), 1), b.exit()]) },
      uapi.EINVAL,
      /ld_imm64|reserved/,
    ],
    [
      "fd_idx without fd_array",
      { insns: b.encode([b.ldMapIdx(1, 0), b.exit()]) },
      uapi.EPROTO,
      /fd_idx without fd_array/,
    ],
    [
      "direct value of a map with two",
      { insns: b.encode([b.ldMapValue(1, map, 0), b.exit()]) },
      uapi.ENOTSUPP,
      /invalid access to map value pointer, value_size=8 off=0/,
    ],
    ["a jump out of the program", { insns: b.encode([b.ja(7), b.exit()]) }, uapi.EINVAL, /jump out of range/],
    [
      "an unknown helper",
      { insns: b.encode([b.callHelper(4711), b.exit()]) },
      uapi.EINVAL,
      /invalid func unknown#4711/,
    ],
    [
      "a helper of other types",
      { insns: call("bpf_xdp_adjust_head") },
      uapi.EINVAL,
      /program of this type cannot use helper bpf_xdp_adjust_head#44/,
    ],
    [
      "a GPL helper",
      { insns: call("bpf_trace_printk"), license: "MIT" },
      uapi.EINVAL,
      /cannot call GPL-restricted function from non-GPL compatible program/,
    ],
    [
      "a helper that is not there",
      { insns: call("bpf_timer_init") },
      uapi.ENOTSUPP,
      /bpf_timer_init#169 is not implemented/,
    ],
  ])("%s", (_, attr, errno, log) => {
    const result = kernel.progLoad({
      prog_type: uapi.BPF_PROG_TYPE_SCHED_CLS,
      insns: PASS,
      license: "GPL",
      ...attr,
    });
    expect(uapi.errnoName(result.fd)).toBe(uapi.errnoName(errno));
    expect(result.log).toMatch(log);
  });

  it("nothing because of calls that no path comes to", () => {
    const insns = b.encode([
      b.mov64Imm(1, 0),
      b.jmpImm(uapi.BPF_JEQ, 1, 0, 1),
      b.callHelper(4711),
      b.mov64Imm(0, 3),
      b.exit(),
    ]);
    const fd = load(new Kernel(), insns);
    expect(fd).toBeGreaterThan(0);
  });
});

describe.each(both)("runs on %s", (_, options) => {
  it("stops a program that does not end", () => {
    const kernel = new Kernel({ ...options, maxSteps: 100_000 });
    const fd = load(kernel, b.encode([b.mov64Imm(0, 1), b.jmpImm(uapi.BPF_JNE, 0, 0, -1), b.exit()]));
    expect(() => kernel.progTestRun(fd, { data_in: packet })).toThrow(ProgramFault);
    // Nothing is left behind.
    const next = load(kernel, PASS);
    expect(kernel.progTestRun(next, { data_in: packet }).retval).toBe(1);
  });

  it.each<[string, b.Insn[]]>([
    ["reads null", [b.mov64Imm(1, 0), b.ldxMem(uapi.BPF_DW, 0, 1, 0)]],
    ["reads behind the packet", [b.ldxMem(uapi.BPF_W, 2, 1, 80), b.ldxMem(uapi.BPF_B, 0, 2, 0)]],
    ["writes over the end of its stack", [b.mov64Imm(0, 0), b.stxMem(uapi.BPF_DW, 10, 0, -4)]],
    [
      "hands a helper more than its stack",
      [
        b.mov64Imm(2, 0),
        b.mov64Reg(3, 10),
        b.alu64Imm(uapi.BPF_ADD, 3, -8),
        b.mov64Imm(4, 16),
        helper("bpf_skb_load_bytes"),
      ],
    ],
    ["hands a helper another context", [b.mov64Imm(1, 0), b.mov64Imm(2, 0), helper("bpf_skb_pull_data")]],
  ])("stops a program that %s", (_name, insns) => {
    const kernel = new Kernel(options);
    const fd = load(kernel, b.encode([...insns, b.mov64Imm(0, 0), b.exit()]));
    expect(() => kernel.progTestRun(fd, { data_in: packet })).toThrow(ProgramFault);
  });

  it("takes time from its clock and random numbers from its seed", () => {
    const clock = new FrozenClock(12_345_678_901);
    const kernel = new Kernel({ ...options, clock, seed: 7 });
    const other = new Kernel({ ...options, seed: 7 });
    const time = load(kernel, b.encode([helper("bpf_ktime_get_ns"), b.exit()]));
    expect(kernel.progTestRun(time, { data_in: packet }).retval).toBe(12_345_678_901 % 2 ** 32);
    clock.advance(5);
    expect(kernel.progTestRun(time, { data_in: packet }).retval).toBe(12_345_678_906 % 2 ** 32);
    const random = b.encode([helper("bpf_get_prandom_u32"), b.exit()]);
    const draws = [kernel, other].map((k) => {
      const fd = load(k, random);
      return [1, 2, 3].map(() => k.progTestRun(fd, { data_in: packet }).retval);
    });
    expect(draws[0]).toEqual(draws[1]);
    expect(new Set(draws[0]).size).toBe(3);
  });

  it("loops through a callback", () => {
    const kernel = new Kernel(options);
    const map = array(kernel);
    // Counts its calls in the map, and stops after the fifth.
    const program = (times: number): Uint8Array =>
      b.encode([
        b.mov64Imm(1, times),
        b.ldFunc(2, 6),
        b.ldMapValue(3, map, 0),
        b.mov64Imm(4, 0),
        helper("bpf_loop"),
        b.exit(),
        b.ldxMem(uapi.BPF_DW, 1, 2, 0),
        b.alu64Imm(uapi.BPF_ADD, 1, 1),
        b.stxMem(uapi.BPF_DW, 2, 1, 0),
        b.mov64Imm(0, 0),
        b.jmpImm(uapi.BPF_JLT, 1, 5, 1),
        b.mov64Imm(0, 1),
        b.exit(),
      ]);
    const value = new Uint8Array(8);
    for (const [times, result, calls] of [
      [0, 0, 0],
      [3, 3, 3],
      [100, 5, 5],
      [(8 << 20) + 1, -uapi.E2BIG, 0],
    ] as const) {
      kernel.mapUpdateElem(map, new Uint8Array(4), new Uint8Array(8));
      const fd = load(kernel, program(times));
      expect(kernel.progTestRun(fd, { data_in: packet }).retval | 0).toBe(result);
      kernel.mapLookupElem(map, new Uint8Array(4), value);
      expect(value[0]).toBe(calls);
    }
  });

  it("prints to the trace pipe", () => {
    const kernel = new Kernel(options);
    const text = "x=%d\n\0\0\0";
    const fd = load(
      kernel,
      b.encode([
        b.ldImm64(1, new DataView(new TextEncoder().encode(text).buffer).getBigUint64(0, true)),
        b.stxMem(uapi.BPF_DW, 10, 1, -8),
        b.mov64Reg(1, 10),
        b.alu64Imm(uapi.BPF_ADD, 1, -8),
        b.mov64Imm(2, 7),
        b.mov64Imm(3, -42),
        helper("bpf_trace_printk"),
        b.exit(),
      ]),
    );
    const heard: string[] = [];
    kernel.tracePipe.onMessage = (message) => heard.push(message);
    expect(kernel.progTestRun(fd, { data_in: packet, repeat: 2 }).retval).toBe(6);
    expect(heard).toEqual(["x=-42\n", "x=-42\n"]);
    expect(kernel.tracePipe.read()).toEqual(heard);
    expect(kernel.tracePipe.read()).toEqual([]);
  });

  it("sends packet after packet through a program", () => {
    const kernel = new Kernel(options);
    const fd = load(
      kernel,
      // A byte off the front, then the length.
      b.encode([
        b.mov64Reg(6, 1),
        b.mov64Imm(2, 1),
        helper("bpf_xdp_adjust_head"),
        b.ldxMem(uapi.BPF_W, 0, 6, 4),
        b.ldxMem(uapi.BPF_W, 1, 6, 0),
        b.alu64Reg(uapi.BPF_SUB, 0, 1),
        b.exit(),
      ]),
      { prog_type: uapi.BPF_PROG_TYPE_XDP },
    );
    const runner = kernel.openPacketRunner(fd);
    if (typeof runner === "number") throw new Error(`runner: ${runner}`);
    for (const length of [15, 64, 3521, 65535, 60]) {
      const frame = Uint8Array.from({ length }, (_v, i) => i);
      expect(runner.run(frame)).toBe(length - 1);
      expect(runner.packet()).toEqual(frame.subarray(1));
    }
    expect(runner.redirect()).toBeUndefined();
    expect(() => runner.run(new Uint8Array(13))).toThrow(RangeError);
    expect(() => runner.run(new Uint8Array(65536))).toThrow(RangeError);
    runner.close();
  });

  it("tells where a packet is redirected to", () => {
    const kernel = new Kernel(options);
    const insns = b.encode([b.mov64Imm(1, 5), b.mov64Imm(2, 0), helper("bpf_redirect"), b.exit()]);
    const runner = kernel.openPacketRunner(load(kernel, insns, { prog_type: uapi.BPF_PROG_TYPE_XDP }));
    if (typeof runner === "number") throw new Error(`runner: ${runner}`);
    expect(runner.run(packet)).toBe(uapi.XDP_REDIRECT);
    expect(runner.redirect()).toEqual({ index: 5, flags: 0, map: 0 });
  });
});
