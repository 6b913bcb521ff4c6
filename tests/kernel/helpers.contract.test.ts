// Helpers that do not need a packet, on the embedded kernel and on the running Linux.
import { beforeAll, describe, expect, it } from "vitest";
import * as b from "../../src/asm/index.ts";
import type { Backend } from "../../src/backend/index.ts";
import { Kernel } from "../../src/kernel/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import {
  BPF_ADD,
  BPF_DW,
  BPF_F_RDONLY_PROG,
  BPF_MAP_TYPE_ARRAY,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  errnoName,
  HELPER_PROTOS,
} from "../../src/uapi/index.ts";
import { want } from "../support/need.ts";

const SIZE = 256;
const encoder = new TextEncoder();
const helper = (name: string): b.Insn => b.callHelper(HELPER_PROTOS.find((p) => p.name === name)!.id);

/** A zero-terminated string in a map that programs may only read. */
function constant(backend: Backend, text: string): number {
  const value = new Uint8Array(Math.max(encoder.encode(text).length + 1, 8));
  value.set(encoder.encode(text));
  const fd = backend.mapCreate({
    map_type: BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: value.length,
    max_entries: 1,
    map_flags: BPF_F_RDONLY_PROG,
  });
  backend.mapUpdateElem(fd, new Uint8Array(4), value);
  backend.mapFreeze(fd);
  return fd;
}

interface Ran {
  readonly retval: number | string;
  readonly buffer: string;
}

/** Runs `body` with a buffer of SIZE bytes, which begins as `initial`; what it returns and what it leaves. */
function run(
  backend: Backend,
  initial: Uint8Array,
  body: (buffer: number) => b.Insn[],
  license = "GPL",
): Ran {
  const fd = backend.mapCreate({
    map_type: BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: SIZE,
    max_entries: 1,
  });
  const value = new Uint8Array(SIZE);
  value.set(initial);
  backend.mapUpdateElem(fd, new Uint8Array(4), value);
  const loaded = backend.progLoad({
    prog_type: BPF_PROG_TYPE_RAW_TRACEPOINT,
    insns: b.encode([...body(fd), b.exit()]),
    license,
    log_level: 1,
    log_size: 1 << 16,
  });
  if (loaded.fd < 0) throw new Error(`${backend.name}: ${errnoName(loaded.fd)} ${loaded.log}`);
  const result = backend.progTestRun(loaded.fd, {});
  backend.mapLookupElem(fd, new Uint8Array(4), value);
  backend.close(loaded.fd);
  backend.close(fd);
  return {
    retval: result.err === 0 ? result.retval | 0 : errnoName(result.err),
    buffer: Buffer.from(value).toString("hex"),
  };
}

/** Format and arguments. */
const FORMATS = (
  [
    ["plain text"],
    ["%d %i %u", -5n, 7n, -1n],
    ["%x %X %lx", 0xdeadbeefn, 0xdeadbeefn, 0x123456789abcdefn],
    ["%ld %lld %lu", -1n, -(2n ** 63n), 2n ** 64n - 1n],
    ["%llx %llu %lli", 255n, 255n, 255n],
    ["%5d|%-5d|%05d", 42n, 42n, -42n],
    ["%+d|% d|%+d", 42n, 42n, -42n],
    ["%8x|%-8x|%08x", 0xabcn, 0xabcn, 0xabcn],
    ["%3c|%-3c|%c", 65n, 66n, 67n],
    ["100%% sure %d", 1n],
    ["%px", 0xffff888012345678n],
    ["%px|%020px", 0x1234n, 0x1234n],
    ["%u", 0x1_0000_0001n],
    ["%d", 0x8000_0000n],
    ["%12lld|%-12lld|%012lld", -123456789n, -123456789n, -123456789n],
    ["tab\tand newline\n"],
    ["%d%d%d%d%d%d%d%d%d%d%d%d", 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n, 10n, 11n, 12n],
    ["%s", 0n],
    ["%10s|", 0n],
    ["%pI4", 0n],
    ["%pI6", 8n],
    ["%u extra arguments", 1n, 2n, 3n],
  ] as [string, ...bigint[]][]
).map(([format, ...args]): [string, bigint[]] => [format, args]);

/** For bpf_trace_printk, which looks at the format when it runs: good ones and bad ones. */
const PRINTK: readonly string[] = [
  "ok",
  "",
  "%d",
  "%d %d %d",
  "%d %d %d %d",
  "%",
  "%%",
  "%5",
  "%z",
  "%f",
  "%.3d",
  "%#x",
  "%*d",
  "%hd",
  "%hhd",
  "%lld",
  "%llld",
  "%l",
  "%o",
  "%n",
  "%p",
  "%pK",
  "%px",
  "%pS",
  "%ps",
  "%pB",
  "%pI4",
  "%pi4",
  "%pI6",
  "%pi6",
  "%pI5",
  "%pM",
  "%pa",
  "%pks",
  "%pus",
  "%pkx",
  "%s",
  "%sx",
  "%s!",
  "%s %s",
  "%c",
  "%5c",
  "%-5d|",
  "% d",
  "%+05d",
  "\x01",
  "\x7f",
  "é",
  "%é",
  "line\n",
  "%d\n",
  "%x%x%x",
  "%i %u",
  "%ld %lu %lx",
];

const NUMBERS: readonly string[] = [
  "0",
  "1",
  "-1",
  "42abc",
  "  12",
  "\t-7",
  "+5",
  "0x1f",
  "0X1F",
  "0x",
  "0xg",
  "017",
  "08",
  "9",
  "",
  "-",
  " ",
  "abc",
  "ABC",
  "9223372036854775807",
  "9223372036854775808",
  "-9223372036854775808",
  "-9223372036854775809",
  "18446744073709551615",
  "18446744073709551616",
  "99999999999999999999999",
  "-0",
  "--1",
  "1 2",
];

const live = want("bpf");

describe.skipIf(live.skip)(live.title("helpers as Linux has them"), () => {
  let linux: LinuxBackend;
  const kernels = [new Kernel({ engine: "interp" }), new Kernel({ engine: "jit" })];
  beforeAll(async () => {
    linux = await LinuxBackend.open();
  });
  const same = (f: (backend: Backend) => unknown): void => {
    const expected = f(linux);
    for (const kernel of kernels) expect(f(kernel)).toEqual(expected);
  };

  for (const size of [64, 8, 1, 0])
    it.each(FORMATS)(`snprintf into ${size}: %s`, (format, args) => {
      same((backend) => {
        const fmt = constant(backend, format);
        const initial = new Uint8Array(SIZE).fill(0x2e);
        initial.set(encoder.encode("a string\0"), 128);
        const ran = run(backend, initial, (buffer) => [
          // Small arguments of %s and %pI are offsets into the buffer.
          b.ldMapValue(7, buffer, 128),
          ...args.flatMap((arg, i) => [
            b.ldImm64(6, arg),
            ...(/%\d*s|%pI/.test(format) ? [b.mov64Reg(6, 7), b.alu64Imm(BPF_ADD, 6, Number(arg))] : []),
            b.stxMem(BPF_DW, 10, 6, -8 * (args.length - i)),
          ]),
          b.ldMapValue(1, buffer, 0),
          b.mov64Imm(2, size),
          b.ldMapValue(3, fmt, 0),
          b.mov64Reg(4, 10),
          b.alu64Imm(BPF_ADD, 4, args.length === 0 ? 0 : -8 * args.length),
          ...(args.length === 0 ? [b.mov64Imm(4, 0)] : []),
          b.mov64Imm(5, 8 * args.length),
          helper("bpf_snprintf"),
        ]);
        backend.close(fmt);
        return ran;
      });
    });

  it.each(PRINTK.map((format) => [format]))("trace_printk of %j", (format) => {
    const text = encoder.encode(format);
    const initial = new Uint8Array(SIZE);
    initial.set(text);
    initial.set(encoder.encode("a string\0"), 128);
    // Hashed pointers and symbols have their own length on every kernel.
    const comparable = !/%p(?![IixK])|%pB|%ps|%pS/.test(format) || /%pks|%pus/.test(format);
    same((backend) => {
      const { retval } = run(backend, initial, (buffer) => [
        b.ldMapValue(1, buffer, 0),
        b.mov64Imm(2, text.length + 1),
        b.ldMapValue(3, buffer, 128),
        ...(format.includes("s") || format.includes("p") ? [] : [b.mov64Imm(3, 77)]),
        b.mov64Reg(4, 3),
        b.mov64Reg(5, 3),
        helper("bpf_trace_printk"),
      ]);
      return comparable || typeof retval === "string" || retval < 0 ? retval : "printed";
    });
  });

  it("trace_printk wants the closing zero within its size", () => {
    same((backend) =>
      run(backend, encoder.encode("abcdef"), (buffer) => [
        b.ldMapValue(1, buffer, 0),
        b.mov64Imm(2, 4),
        helper("bpf_trace_printk"),
      ]),
    );
  });

  for (const name of ["bpf_strtol", "bpf_strtoul"])
    for (const base of [0, 8, 10, 16, 2, 32])
      it.each(NUMBERS.map((text) => [text]))(`${name} base ${base} of %j`, (text) => {
        const bytes = encoder.encode(text);
        const initial = new Uint8Array(SIZE);
        initial.set(bytes);
        same((backend) =>
          run(backend, initial, (buffer) => [
            b.ldMapValue(1, buffer, 0),
            b.mov64Imm(2, Math.max(bytes.length, 1)),
            b.mov64Imm(3, base),
            b.ldMapValue(4, buffer, 240),
            helper(name),
          ]),
        );
      });

  it.each([
    ["same", "same"],
    ["same", "sane"],
    ["sane", "same"],
    ["sam", "same"],
    ["same", "sam"],
    ["", "x"],
    ["\u00ff", "a"],
  ])("strncmp %j with %j", (left, right) => {
    same((backend) => {
      const fmt = constant(backend, right);
      const initial = new Uint8Array(SIZE);
      initial.set(encoder.encode(left));
      const ran = run(backend, initial, (buffer) => [
        b.ldMapValue(1, buffer, 0),
        b.mov64Imm(2, 4),
        b.ldMapValue(3, fmt, 0),
        helper("bpf_strncmp"),
      ]);
      backend.close(fmt);
      return ran;
    });
  });

  for (const name of ["kernel", "kernel_str", "user", "user_str"].map((way) => `bpf_probe_read_${way}`))
    it.each([
      [0, 64, "text"],
      [8, 64, "text"],
      [4, 64, "text"],
      [5, 64, "text"],
      [16, 0, ""],
    ])(`${name} of %i bytes`, (size, from, text) => {
      const initial = new Uint8Array(SIZE).fill(0x2e, 0, 32);
      initial.set(encoder.encode(text), 64);
      same((backend) =>
        run(backend, initial, (buffer) => [
          b.ldMapValue(1, buffer, 0),
          b.mov64Imm(2, size),
          // Address 0 is nobody's.
          ...(from === 0 ? [b.mov64Imm(3, 0)] : [b.ldMapValue(3, buffer, from)]),
          helper(name),
        ]),
      );
    });
});
