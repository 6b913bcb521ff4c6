// The contract of kernel objects: programs, maps, links, BTF, pins, ids and what is said of them. Each case gives what
// it saw; the expectation is what Linux 6.18 says.
import * as b from "../../src/asm/index.ts";
import type { LinkCreateAttr, ProgLoadAttr, TestRunAttr } from "../../src/backend/index.ts";
import * as uapi from "../../src/uapi/index.ts";
import { btfBlob } from "../support/btf-blob.ts";
import { errno, type Side } from "./side.ts";

export interface ObjectCase {
  readonly name: string;
  readonly run: (s: Scene) => unknown[];
  readonly want: unknown[];
}

const RETURN = (value: number): Uint8Array => b.encode([b.mov64Imm(0, value), b.exit()]);
const PACKET = new Uint8Array(64);
const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const words = (bytes: Uint8Array): number[] => [...new Uint32Array(bytes.slice().buffer)];

/** A side with what a case opens on it, which goes when the case ends. */
export class Scene {
  readonly side: Side;
  readonly #fds: number[] = [];
  readonly #pins: string[] = [];

  constructor(side: Side) {
    this.side = side;
  }

  get k(): Side["backend"] {
    return this.side.backend;
  }

  /** Remembers an fd. */
  keep(fd: number): number {
    if (fd >= 0) this.#fds.push(fd);
    return fd;
  }

  close(fd: number): string {
    const at = this.#fds.indexOf(fd);
    if (at >= 0) this.#fds.splice(at, 1);
    return errno(this.k.close(fd));
  }

  map(type: number, keySize: number, valueSize: number, entries: number, flags = 0): number {
    return this.keep(
      this.k.mapCreate({
        map_type: type,
        key_size: keySize,
        value_size: valueSize,
        max_entries: entries,
        map_flags: flags,
      }),
    );
  }

  array(entries = 4): number {
    return this.map(uapi.BPF_MAP_TYPE_ARRAY, 4, 4, entries);
  }

  hash(entries = 8): number {
    return this.map(uapi.BPF_MAP_TYPE_HASH, 4, 4, entries);
  }

  load(more: Partial<ProgLoadAttr> = {}): number {
    const { fd } = this.k.progLoad({
      prog_type: uapi.BPF_PROG_TYPE_SCHED_CLS,
      insns: RETURN(7),
      license: "GPL",
      ...more,
    });
    return this.keep(fd);
  }

  link(prog_fd: number, target_fd: number, attach_type: number, more: Partial<LinkCreateAttr> = {}): number {
    return this.keep(this.k.linkCreate({ prog_fd, target_fd, attach_type, ...more }));
  }

  pinPath(name: string): string {
    const path = `${this.side.pinRoot}/${name}`;
    this.#pins.push(path);
    return path;
  }

  run(fd: number): number | string {
    const result = this.k.progTestRun(fd, { data_in: PACKET });
    return result.err === 0 ? result.retval : errno(result.err);
  }

  end(): void {
    for (const path of this.#pins.splice(0)) this.side.unlink(path);
    for (const fd of this.#fds.splice(0)) this.k.close(fd);
  }
}

const info = <T>(value: T | number): T => {
  if (typeof value === "number") throw new Error(`info: ${errno(value)}`);
  return value;
};

const XDP = { prog_type: uapi.BPF_PROG_TYPE_XDP };
const CGROUP_SKB = {
  prog_type: uapi.BPF_PROG_TYPE_CGROUP_SKB,
  expected_attach_type: uapi.BPF_CGROUP_INET_EGRESS,
  insns: RETURN(1),
};
const SK_LOOKUP = {
  prog_type: uapi.BPF_PROG_TYPE_SK_LOOKUP,
  expected_attach_type: uapi.BPF_SK_LOOKUP,
  insns: RETURN(1),
};

const MAPS: ObjectCase[] = [
  {
    name: "map info: what it was made with",
    run: (s) => {
      const fd = s.keep(
        s.k.mapCreate({
          map_type: uapi.BPF_MAP_TYPE_HASH,
          key_size: 12,
          value_size: 20,
          max_entries: 33,
          map_flags: uapi.BPF_F_NO_PREALLOC,
          map_name: "a_map.1",
        }),
      );
      const { type, key_size, value_size, max_entries, map_flags, name, btf_id, map_extra } = info(
        s.k.mapInfo(fd),
      );
      return [type, key_size, value_size, max_entries, map_flags, name, btf_id, map_extra];
    },
    want: [1, 12, 20, 33, 1, "a_map.1", 0, 0n],
  },
  {
    name: "map names",
    run: (s) =>
      ["fifteen_chars_1", "a-b", "a b", "ä", "..", ""].map((map_name) =>
        errno(s.keep(s.k.mapCreate({ map_type: 2, key_size: 4, value_size: 4, max_entries: 1, map_name }))),
      ),
    want: ["ok", "EINVAL", "EINVAL", "EINVAL", "ok", "ok"],
  },
  {
    name: "map ids: found by id, gone with the last fd",
    run: (s) => {
      const fd = s.array();
      const { id } = info(s.k.mapInfo(fd));
      const again = s.keep(s.k.mapGetFdById(id));
      const same = info(s.k.mapInfo(again)).id === id;
      const next = s.k.mapGetNextId(id - 1) === id;
      s.close(fd);
      const alive = errno(s.keep(s.k.mapGetFdById(id)));
      s.end();
      return [same, next, alive, errno(s.k.mapGetFdById(id)), errno(s.k.mapGetNextId(id))];
    },
    want: [true, true, "ok", "ENOENT", "ENOENT"],
  },
  {
    name: "ids that do not exist",
    run: (s) => [
      errno(s.k.mapGetFdById(0x7ffffff0)),
      errno(s.k.progGetFdById(0x7ffffff0)),
      errno(s.k.btfGetFdById(0x7ffffff0)),
      errno(s.k.linkGetFdById(0x7ffffff0)),
      errno(s.k.mapGetNextId(0x7ffffff0)),
      errno(s.k.mapGetNextId(0x7fffffff)),
      errno(s.k.progGetNextId(0x80000000)),
    ],
    want: ["ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "EINVAL", "EINVAL"],
  },
  {
    name: "file descriptors that are not open, and of another kind",
    run: (s) => {
      const [map, prog] = [s.array(), s.load()];
      const value = new Uint8Array(4);
      return [
        s.k.mapLookupElem(9999, value, value),
        s.k.mapLookupElem(prog, value, value),
        s.k.mapUpdateElem(prog, value, value),
        s.k.mapDeleteElem(prog, value),
        s.k.mapGetNextKey(prog, null, value),
        s.k.mapFreeze(prog),
        s.k.progTestRun(map, {}).err,
        s.k.progTestRun(9999, {}).err,
        s.k.linkDetach(map),
        s.k.linkDetach(9999),
        s.k.linkUpdate(prog, prog),
        s.k.close(9999),
      ].map(errno);
    },
    want: [
      "EBADF",
      "EINVAL",
      "EINVAL",
      "EINVAL",
      "EINVAL",
      "EINVAL",
      "EINVAL",
      "EBADF",
      "EINVAL",
      "EBADF",
      "EINVAL",
      "EBADF",
    ],
  },
  {
    name: "freezing: user space may not write, programs may, reading goes on",
    run: (s) => {
      const fd = s.array(1);
      const [key, value] = [u32(0), u32(5)];
      const before = s.k.mapUpdateElem(fd, key, value);
      const freeze = s.k.mapFreeze(fd);
      const twice = s.k.mapFreeze(fd);
      const after = s.k.mapUpdateElem(fd, key, u32(6));
      const prog = s.load({
        insns: b.encode([
          b.ldMapValue(1, fd, 0),
          b.mov64Imm(2, 9),
          b.stxMem(uapi.BPF_W, 1, 2, 0),
          b.mov64Imm(0, 0),
          b.exit(),
        ]),
      });
      const ran = s.run(prog);
      const out = new Uint8Array(4);
      s.k.mapLookupElem(fd, key, out);
      return [...[before, freeze, twice, after].map(errno), ran, words(out)[0]];
    },
    want: ["ok", "ok", "EPERM", "EPERM", 0, 9],
  },
  {
    name: "fds that only read, only write",
    run: (s) => {
      const [key, value] = [u32(0), u32(1)];
      return [uapi.BPF_F_RDONLY, uapi.BPF_F_WRONLY].flatMap((flag) => {
        const fd = s.map(uapi.BPF_MAP_TYPE_HASH, 4, 4, 2, flag);
        return [
          s.k.mapUpdateElem(fd, key, value),
          s.k.mapLookupElem(fd, key, value),
          s.k.mapDeleteElem(fd, key),
          s.k.mapGetNextKey(fd, null, key),
          s.k.mapLookupAndDeleteElem(fd, key, value),
          s.k.mapFreeze(fd),
        ].map(errno);
      });
    },
    want: [
      "EPERM",
      "ENOENT",
      "EPERM",
      "ENOENT",
      "EPERM",
      "EPERM",
      "ok",
      "EPERM",
      "ok",
      "EPERM",
      "EPERM",
      "ok",
    ],
  },
];

/** Keys 0..n-1 with value key * 10, by one batch. */
function fill(s: Scene, fd: number, n: number): string {
  const keys = u32(...Array(n).keys());
  const values = u32(...Array.from({ length: n }, (_, i) => i * 10));
  const { err, count } = s.k.mapUpdateBatch(fd, keys, values, n);
  return `${errno(err)} ${count}`;
}

function readAll(s: Scene, fd: number, step: number, andDelete = false): unknown[] {
  const found: [number, number][] = [];
  const ends: string[] = [];
  let inBatch: Uint8Array | null = null;
  for (let i = 0; i < 20; i++) {
    const out_batch = new Uint8Array(8);
    const [keys, values] = [new Uint8Array(4 * step), new Uint8Array(4 * step)];
    const batch = { in_batch: inBatch, out_batch, keys, values, count: step };
    const { err, count } = andDelete ? s.k.mapLookupAndDeleteBatch(fd, batch) : s.k.mapLookupBatch(fd, batch);
    for (let e = 0; e < count && (err === 0 || err === -uapi.ENOENT); e++)
      found.push([words(keys)[e]!, words(values)[e]!]);
    if (err !== 0) {
      ends.push(errno(err));
      break;
    }
    inBatch = out_batch;
  }
  return [
    found
      .sort(([x], [y]) => x - y)
      .map(([key, value]) => `${key}:${value}`)
      .join(" "),
    ...ends,
  ];
}

const BATCH_TYPES: readonly [name: string, type: number, flags: number][] = [
  ["array", uapi.BPF_MAP_TYPE_ARRAY, 0],
  ["hash", uapi.BPF_MAP_TYPE_HASH, 0],
  ["hash without preallocation", uapi.BPF_MAP_TYPE_HASH, uapi.BPF_F_NO_PREALLOC],
];

const TEN = Array.from({ length: 10 }, (_, i) => `${i}:${i * 10}`).join(" ");
const BATCHES: ObjectCase[] = [
  ...BATCH_TYPES.flatMap(([name, type, flags]): ObjectCase[] => [
    {
      name: `batch: ${name}, written and read in one piece`,
      run: (s) => {
        const fd = s.map(type, 4, 4, 10, flags);
        return [fill(s, fd, 10), ...readAll(s, fd, 100)];
      },
      want: ["ok 10", TEN, "ENOENT"],
    },
    {
      name: `batch: ${name}, more than fit`,
      run: (s) => {
        const fd = s.map(type, 4, 4, 10, flags);
        return [fill(s, fd, 12)];
      },
      want: ["E2BIG 10"],
    },
  ]),
  {
    name: "batch: array, read three at a time",
    run: (s) => {
      const fd = s.map(uapi.BPF_MAP_TYPE_ARRAY, 4, 4, 10);
      return [fill(s, fd, 10), ...readAll(s, fd, 3)];
    },
    want: ["ok 10", TEN, "ENOENT"],
  },
  {
    name: "batch: hash, read and deleted, then empty",
    run: (s) => {
      const fd = s.hash(16);
      fill(s, fd, 10);
      return [...readAll(s, fd, 100, true), ...readAll(s, fd, 100)];
    },
    want: [TEN, "ENOENT", "", "ENOENT"],
  },
  {
    name: "batch: hash, deleted up to the first key that is not there",
    run: (s) => {
      const fd = s.hash(16);
      fill(s, fd, 6);
      const { err, count } = s.k.mapDeleteBatch(fd, u32(0, 1, 77, 2), 4);
      return [errno(err), count, ...readAll(s, fd, 100)];
    },
    want: ["ENOENT", 2, "2:20 3:30 4:40 5:50", "ENOENT"],
  },
  {
    name: "batch: commands that a map type lacks",
    run: (s) => {
      const array = s.array();
      const queue = s.map(uapi.BPF_MAP_TYPE_QUEUE, 0, 4, 4);
      const batch = {
        in_batch: null,
        out_batch: new Uint8Array(4),
        keys: new Uint8Array(4),
        values: new Uint8Array(4),
        count: 1,
      };
      return [
        s.k.mapDeleteBatch(array, u32(0), 1).err,
        s.k.mapLookupAndDeleteBatch(array, batch).err,
        s.k.mapLookupBatch(queue, batch).err,
        s.k.mapUpdateBatch(queue, u32(0), u32(0), 1).err,
      ].map(errno);
    },
    want: ["ENOTSUPP", "ENOTSUPP", "ENOTSUPP", "ENOTSUPP"],
  },
  {
    name: "batch: nothing asked for, unknown flags, a frozen map",
    run: (s) => {
      const fd = s.hash();
      const none = s.k.mapUpdateBatch(fd, u32(0), u32(0), 0);
      const flags = s.k.mapUpdateBatch(fd, u32(0), u32(0), 1, 1);
      const empty = readAll(s, fd, 4);
      s.k.mapFreeze(fd);
      const frozen = s.k.mapUpdateBatch(fd, u32(0), u32(0), 1);
      return [errno(none.err), none.count, errno(flags.err), ...empty, errno(frozen.err)];
    },
    want: ["ok", 0, "EINVAL", "", "ENOENT", "EPERM"],
  },
];

const PROGRAMS: ObjectCase[] = [
  {
    name: "program info: name, tag, license, lengths, maps",
    run: (s) => {
      const map = s.array();
      const fd = s.load({
        prog_name: "named",
        insns: b.encode([b.ldMapFd(1, map), b.mov64Imm(0, 3), b.exit()]),
      });
      const p = info(s.k.progInfo(fd));
      const ids = p.map_ids.length === 1 && p.map_ids[0] === info(s.k.mapInfo(map)).id;
      return [
        p.type,
        p.name,
        p.tag.length,
        p.gpl_compatible,
        p.created_by_uid,
        ids,
        p.btf_id,
        p.run_cnt > 0n,
      ];
    },
    want: [uapi.BPF_PROG_TYPE_SCHED_CLS, "named", 16, true, 0, true, 0, false],
  },
  {
    name: "program tags: of the instructions alone, map fds left out",
    run: (s) => {
      const [one, two] = [s.array(), s.array()];
      const tag = (more: Partial<ProgLoadAttr>): string => info(s.k.progInfo(s.load(more))).tag;
      const withMap = (fd: number): Uint8Array => b.encode([b.ldMapFd(1, fd), b.mov64Imm(0, 0), b.exit()]);
      return [
        tag({}),
        tag({ prog_name: "x", license: "MIT" }) === tag({}),
        tag({ insns: withMap(one) }) === tag({ insns: withMap(two) }),
        tag({ insns: RETURN(8) }),
      ];
    },
    want: ["9efe8873120741b3", true, true, "d426f38590f9064f"],
  },
  {
    name: "licenses",
    run: (s) =>
      [
        "GPL",
        "GPL v2",
        "GPL and additional rights",
        "Dual BSD/GPL",
        "Dual MIT/GPL",
        "Dual MPL/GPL",
        "MIT",
        "",
        "gpl",
        "GPL2",
      ].map((license) => info(s.k.progInfo(s.load({ license }))).gpl_compatible),
    want: [true, true, true, true, true, true, false, false, false, false],
  },
  {
    name: "program names",
    run: (s) => ["fifteen_chars_1", "a-b", "a b", "a.b", ""].map((prog_name) => errno(s.load({ prog_name }))),
    want: ["ok", "EINVAL", "EINVAL", "ok", "ok"],
  },
  {
    name: "programs that cannot be: no instructions, unknown flags, types and attach types",
    run: (s) => {
      const load = (more: Partial<ProgLoadAttr>): string => errno(s.load(more));
      return [
        load({ insns: new Uint8Array(0) }),
        load({ prog_flags: 1 << 20 }),
        load({ prog_type: 99 }),
        load({ prog_type: uapi.BPF_PROG_TYPE_SK_LOOKUP, insns: RETURN(1) }),
        load({ prog_type: uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, insns: RETURN(1) }),
        load({ prog_type: uapi.BPF_PROG_TYPE_TRACING }),
        load({ prog_type: uapi.BPF_PROG_TYPE_SYSCALL }),
        load({ prog_flags: uapi.BPF_F_SLEEPABLE }),
        load({ attach_btf_id: 5 }),
      ];
    },
    want: ["E2BIG", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL"],
  },
  {
    name: "instructions that cannot be",
    run: (s) => {
      const load = (...insns: b.Insn[]): string => errno(s.load({ insns: b.encode(insns) }));
      return [
        load(b.ja(7), b.exit()),
        load(b.ldMapFd(1, 9999), b.mov64Imm(0, 0), b.exit()),
        load(b.ldMapIdx(1, 0), b.mov64Imm(0, 0), b.exit()),
        load(b.mov64Imm(0, 0), b.callHelper(4711), b.exit()),
        load(b.callHelper(44), b.exit()),
      ];
    },
    want: ["EINVAL", "EBADF", "EPROTO", "EINVAL", "EINVAL"],
  },
  {
    name: "a helper for GPL programs only",
    run: (s) => {
      const insns = b.encode([
        b.stMem(uapi.BPF_DW, 10, -8, 0),
        b.mov64Reg(1, 10),
        b.alu64Imm(uapi.BPF_ADD, 1, -8),
        b.mov64Imm(2, 8),
        b.callHelper(uapi.BPF_FUNC_trace_printk),
        b.mov64Imm(0, 0),
        b.exit(),
      ]);
      return ["MIT", "GPL"].map((license) => errno(s.load({ insns, license })));
    },
    want: ["EINVAL", "ok"],
  },
  {
    name: "program ids: found by id, gone with the last fd",
    run: (s) => {
      const fd = s.load();
      const { id } = info(s.k.progInfo(fd));
      const again = s.keep(s.k.progGetFdById(id));
      const runs = s.run(again);
      s.end();
      return [runs, errno(s.k.progGetFdById(id))];
    },
    want: [7, "ENOENT"],
  },
  {
    name: "a program holds its maps",
    run: (s) => {
      const map = s.array();
      const { id } = info(s.k.mapInfo(map));
      const prog = s.load({ insns: b.encode([b.ldMapFd(1, map), b.mov64Imm(0, 0), b.exit()]) });
      s.close(map);
      const held = errno(s.keep(s.k.mapGetFdById(id)));
      const ids = info(s.k.progInfo(prog)).map_ids;
      return [held, ids.length, ids[0] === id];
    },
    want: ["ok", 1, true],
  },
  {
    name: "a program holds the maps that are bound to it",
    run: (s) => {
      const [map, prog] = [s.array(), s.load()];
      const bound = [s.k.progBindMap(prog, map), s.k.progBindMap(prog, map)].map(errno);
      const wrong = [s.k.progBindMap(map, map), s.k.progBindMap(prog, prog), s.k.progBindMap(prog, 9999)];
      const { id } = info(s.k.mapInfo(map));
      s.close(map);
      return [...bound, ...wrong.map(errno), info(s.k.progInfo(prog)).map_ids[0] === id];
    },
    want: ["ok", "ok", "EINVAL", "EINVAL", "EBADF", true],
  },
  {
    name: "maps through fd_array",
    run: (s) => {
      const [one, two] = [s.array(1), s.array(1)];
      s.k.mapUpdateElem(one, u32(0), u32(11));
      s.k.mapUpdateElem(two, u32(0), u32(22));
      const insns = b.encode([b.ldMapIdxValue(1, 1, 0), b.ldxMem(uapi.BPF_W, 0, 1, 0), b.exit()]);
      return [s.run(s.load({ insns, fd_array: [one, two] })), s.run(s.load({ insns, fd_array: [two, one] }))];
    },
    want: [22, 11],
  },
  {
    name: "direct values: past the map, of a map with two elements, of a hash table",
    run: (s) => {
      const load = (map: number, offset: number): string =>
        errno(s.load({ insns: b.encode([b.ldMapValue(1, map, offset), b.mov64Imm(0, 0), b.exit()]) }));
      const one = s.array(1);
      return [load(one, 0), load(one, 3), load(one, 4), load(s.array(2), 0), load(s.hash(), 0)];
    },
    want: ["ok", "ok", "EINVAL", "ENOTSUPP", "EINVAL"],
  },
  {
    name: "test runs of sk_lookup",
    run: (s) => {
      const ctx = (members: Readonly<Record<number, number>>, size = 72): Uint8Array => {
        const bytes = new Uint8Array(size);
        for (const [at, value] of Object.entries({ 8: 2, 12: 17, 60: 53, ...members }))
          new DataView(bytes.buffer).setUint32(Number(at), value, true);
        return bytes;
      };
      // What the program returns: its local port, 1 or 0.
      const port = b.encode([b.ldxMem(uapi.BPF_W, 0, 1, 60), b.alu64Imm(uapi.BPF_AND, 0, 1), b.exit()]);
      const fd = s.load({ ...SK_LOOKUP, insns: port });
      const run = (attr: TestRunAttr): string => {
        const { err, retval, ctx_size_out } = s.k.progTestRun(fd, attr);
        return err < 0 ? errno(err) : `${retval} ${ctx_size_out}`;
      };
      return [
        run({ ctx_in: ctx({}), ctx_size_out: 72 }),
        run({ ctx_in: ctx({ 60: 54 }) }),
        run({ ctx_in: ctx({ 8: 10 }), repeat: 3 }),
        run({ ctx_in: ctx({}).subarray(0, 64) }),
        run({}),
        run({ ctx_in: ctx({}), data_in: PACKET }),
        run({ ctx_in: ctx({}), flags: 1 }),
        run({ ctx_in: ctx({}), cpu: 1 }),
        run({ ctx_in: ctx({ 0: 1 }) }),
        run({ ctx_in: ctx({ 64: 1 }) }),
        run({ ctx_in: ctx({ 60: 70_000 }) }),
        run({ ctx_in: ctx({ 8: 1 }) }),
        run({ ctx_in: ctx({ 76: 1 }, 80) }),
        run({ ctx_in: ctx({}, 80), ctx_size_out: 40 }),
      ];
    },
    want: [
      ...["1 72", "0 0", "1 0", "1 0", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL"],
      ...["ERANGE", "EAFNOSUPPORT", "E2BIG", "ENOSPC"],
    ],
  },
  {
    name: "runs are counted while statistics are on",
    run: (s) => {
      const stats = s.keep(s.k.enableStats(uapi.BPF_STATS_RUN_TIME));
      const fd = s.load();
      s.k.progTestRun(fd, { data_in: PACKET, repeat: 5 });
      const { run_cnt } = info(s.k.progInfo(fd));
      return [errno(stats), run_cnt, errno(s.k.enableStats(77))];
    },
    want: ["ok", 5n, "EINVAL"],
  },
];

const BTF: Uint8Array = btfBlob([
  { kind: "INT", name: "int", word: 4, rest: [0x01000020] },
  { kind: "STRUCT", name: "pair", vlen: 2, word: 8, rest: ["a", 1, 0, "b", 1, 32] },
]);

const BTFS: ObjectCase[] = [
  {
    name: "BTF: loaded, found by id, read back",
    run: (s) => {
      const fd = s.keep(s.k.btfLoad(BTF));
      const { id, name, kernel_btf, btf } = info(s.k.btfInfo(fd));
      const again = info(s.k.btfInfo(s.keep(s.k.btfGetFdById(id))));
      const next = s.k.btfGetNextId(id - 1) === id;
      s.end();
      const gone = errno(s.k.btfGetFdById(id));
      return [name, kernel_btf, Buffer.compare(btf, BTF), again.id === id, next, gone];
    },
    want: ["", false, 0, true, true, "ENOENT"],
  },
  {
    name: "BTF that is none",
    run: (s) => {
      const bad = BTF.slice();
      bad[0] = 0;
      const version = BTF.slice();
      version[2] = 2;
      return [bad, version, BTF.subarray(0, 10)].map((bytes) => errno(s.keep(s.k.btfLoad(bytes))));
    },
    want: ["EINVAL", "ENOTSUPP", "EINVAL"],
  },
  {
    name: "maps with key and value types",
    run: (s) => {
      const btf_fd = s.keep(s.k.btfLoad(BTF));
      const attr = { map_type: uapi.BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 1, btf_fd };
      const create = (key: number, value: number): number =>
        s.keep(s.k.mapCreate({ ...attr, btf_key_type_id: key, btf_value_type_id: value }));
      const fd = create(1, 2);
      const { btf_id, btf_key_type_id, btf_value_type_id } = info(s.k.mapInfo(fd));
      const held = btf_id === info(s.k.btfInfo(btf_fd)).id;
      return [errno(fd), held, btf_key_type_id, btf_value_type_id];
    },
    want: ["ok", true, 1, 2],
  },
];

const PINS: ObjectCase[] = [
  {
    name: "pins: a map lives on under its path",
    run: (s) => {
      const fd = s.hash();
      s.k.mapUpdateElem(fd, u32(3), u32(30));
      const path = s.pinPath("map");
      const pinned = s.k.objPin(fd, path);
      s.close(fd);
      const again = s.keep(s.k.objGet(path));
      const value = new Uint8Array(4);
      s.k.mapLookupElem(again, u32(3), value);
      const { id } = info(s.k.mapInfo(again));
      s.close(again);
      const alive = errno(s.keep(s.k.mapGetFdById(id)));
      s.end();
      return [errno(pinned), words(value)[0], alive, errno(s.k.mapGetFdById(id)), errno(s.k.objGet(path))];
    },
    want: ["ok", 30, "ok", "ENOENT", "ENOENT"],
  },
  {
    name: "pins: programs and links too, and BTF not",
    run: (s) => {
      const prog = s.load(XDP);
      const link = s.link(prog, s.side.ifindex, uapi.BPF_XDP);
      const btf = s.keep(s.k.btfLoad(BTF));
      const pins = [
        s.k.objPin(prog, s.pinPath("prog")),
        s.k.objPin(link, s.pinPath("link")),
        s.k.objPin(btf, s.pinPath("btf")),
      ].map(errno);
      s.close(link);
      const still = s.keep(s.k.objGet(s.pinPath("link")));
      return [...pins, info(s.k.linkInfo(still)).prog_id === info(s.k.progInfo(prog)).id];
    },
    want: ["ok", "ok", "EINVAL", true],
  },
  {
    name: "pins: where nothing may be pinned",
    run: (s) => {
      const fd = s.array();
      const first = s.k.objPin(fd, s.pinPath("taken"));
      return [
        first,
        s.k.objPin(fd, s.pinPath("taken")),
        s.k.objPin(fd, s.pinPath("a.dot")),
        s.k.objPin(9999, s.pinPath("nobody")),
        s.k.objGet(s.pinPath("nothing")),
      ].map(errno);
    },
    want: ["ok", "EEXIST", "EPERM", "EINVAL", "ENOENT"],
  },
  {
    name: "pins: gone when unlinked, once",
    run: (s) => {
      const path = s.pinPath("once");
      s.k.objPin(s.array(), path);
      return [s.side.unlink(path), s.side.unlink(path), errno(s.k.objGet(path))];
    },
    want: ["ok", "ENOENT", "ENOENT"],
  },
  {
    name: "pins: two paths of one object",
    run: (s) => {
      const fd = s.array();
      const paths = [s.pinPath("one"), s.pinPath("two")];
      const pinned = paths.map((path) => errno(s.k.objPin(fd, path)));
      const ids = paths.map((path) => info(s.k.mapInfo(s.keep(s.k.objGet(path)))).id);
      s.side.unlink(paths[0]!);
      return [...pinned, ids[0] === ids[1], errno(s.keep(s.k.objGet(paths[1]!)))];
    },
    want: ["ok", "ok", true, "ok"],
  },
];

/** A life of a link: made, looked at, updated, detached. */
function linkLife(
  name: string,
  attr: Partial<ProgLoadAttr>,
  attachType: number,
  target: (s: Scene) => number,
  type: number,
): ObjectCase[] {
  return [
    {
      name: `link of ${name}: holds the program, is found by id`,
      run: (s) => {
        const prog = s.load(attr);
        const progId = info(s.k.progInfo(prog)).id;
        const link = s.link(prog, target(s), attachType);
        s.close(prog);
        const l = info(s.k.linkInfo(link));
        const byId = info(s.k.linkInfo(s.keep(s.k.linkGetFdById(l.id)))).id === l.id;
        const next = s.k.linkGetNextId(l.id - 1) === l.id;
        s.end();
        return [
          l.type === type,
          l.prog_id === progId,
          byId,
          next,
          errno(s.k.linkGetFdById(l.id)),
          errno(s.k.progGetFdById(progId)),
        ];
      },
      want: [true, true, true, true, "ENOENT", "ENOENT"],
    },
    {
      name: `link of ${name}: another program in its place`,
      run: (s) => {
        const [one, two, three] = [s.load(attr), s.load(attr), s.load(attr)];
        const link = s.link(one, target(s), attachType);
        const now = (fd: number): boolean => info(s.k.linkInfo(link)).prog_id === info(s.k.progInfo(fd)).id;
        const replaced = s.k.linkUpdate(link, two);
        const isTwo = now(two);
        const wrongOld = s.k.linkUpdate(link, three, 1 << 2, one);
        const rightOld = s.k.linkUpdate(link, three, 1 << 2, two);
        return [errno(replaced), isTwo, errno(wrongOld), errno(rightOld), now(three)];
      },
      want: ["ok", true, "EPERM", "ok", true],
    },
    {
      name: `link of ${name}: wrong updates`,
      run: (s) => {
        const prog = s.load(attr);
        const other = s.load({ prog_type: uapi.BPF_PROG_TYPE_SOCKET_FILTER });
        const link = s.link(prog, target(s), attachType);
        return [
          s.k.linkUpdate(link, other),
          s.k.linkUpdate(link, 9999),
          s.k.linkUpdate(9999, prog),
          s.k.linkUpdate(link, prog, 1 << 7),
          s.k.linkUpdate(link, prog, 0, prog),
        ].map(errno);
      },
      want: ["EINVAL", "EBADF", "EBADF", "EINVAL", "EINVAL"],
    },
    {
      name: `link of ${name}: detached, it stays without a program's place`,
      run: (s) => {
        const prog = s.load(attr);
        const link = s.link(prog, target(s), attachType);
        const detached = errno(s.k.linkDetach(link));
        const again = errno(s.link(s.load(attr), target(s), attachType));
        return [detached, info(s.k.linkInfo(link)).target, again];
      },
      want: ["ok", 0, "ok"],
    },
  ];
}

const TCX = { insns: RETURN(0) };
const LINKS: ObjectCase[] = [
  ...linkLife("XDP", XDP, uapi.BPF_XDP, (s) => s.side.ifindex, uapi.BPF_LINK_TYPE_XDP),
  ...linkLife("tcx", TCX, uapi.BPF_TCX_INGRESS, (s) => s.side.ifindex, uapi.BPF_LINK_TYPE_TCX),
  ...linkLife(
    "a cgroup",
    CGROUP_SKB,
    uapi.BPF_CGROUP_INET_EGRESS,
    (s) => s.side.cgroup,
    uapi.BPF_LINK_TYPE_CGROUP,
  ),
  ...linkLife("sk_lookup", SK_LOOKUP, uapi.BPF_SK_LOOKUP, (s) => s.side.netns, uapi.BPF_LINK_TYPE_NETNS),
  {
    name: "links to what is not there",
    run: (s) => {
      const [xdp, tc, cgroup] = [s.load(XDP), s.load(TCX), s.load(CGROUP_SKB)];
      return [
        s.link(xdp, 7777, uapi.BPF_XDP),
        s.link(tc, 7777, uapi.BPF_TCX_INGRESS),
        s.link(cgroup, -1, uapi.BPF_CGROUP_INET_EGRESS),
        s.link(9999, s.side.ifindex, uapi.BPF_XDP),
      ].map(errno);
    },
    want: ["EINVAL", "ENODEV", "EBADF", "EBADF"],
  },
  {
    name: "links with an attach type that the program does not have",
    run: (s) => {
      const [xdp, tc, cgroup] = [s.load(XDP), s.load(TCX), s.load(CGROUP_SKB)];
      return [
        s.link(xdp, s.side.ifindex, uapi.BPF_TCX_INGRESS),
        s.link(tc, s.side.ifindex, uapi.BPF_XDP),
        // Only where its return values are those of egress alone is the attach type of a cgroup_skb program its own.
        s.link(cgroup, s.side.cgroup, uapi.BPF_CGROUP_INET_INGRESS),
        s.link(xdp, s.side.ifindex, 999),
      ].map(errno);
    },
    want: ["EINVAL", "EINVAL", "ok", "EINVAL"],
  },
  {
    name: "one XDP program a device",
    run: (s) => [
      errno(s.link(s.load(XDP), s.side.ifindex, uapi.BPF_XDP)),
      errno(s.link(s.load(XDP), s.side.ifindex, uapi.BPF_XDP)),
    ],
    want: ["ok", "EBUSY"],
  },
  {
    name: "several tcx programs a device, in order, asked for by BPF_PROG_QUERY",
    run: (s) => {
      const progs = [s.load(TCX), s.load(TCX), s.load(TCX)];
      const links = progs.map((prog) => s.link(prog, s.side.ifindex, uapi.BPF_TCX_EGRESS));
      const ids = progs.map((fd) => info(s.k.progInfo(fd)).id);
      const query = (): number[] => {
        const { err, prog_ids } = s.k.progQuery({
          target_fd: s.side.ifindex,
          attach_type: uapi.BPF_TCX_EGRESS,
        });
        return err < 0 ? [err] : prog_ids.map((id) => ids.indexOf(id));
      };
      const all = query();
      s.k.linkDetach(links[1]!);
      return [...links.map(errno), all, query()];
    },
    want: ["ok", "ok", "ok", [0, 1, 2], [0, 2]],
  },
  {
    name: "one sk_lookup program after another, asked for by BPF_PROG_QUERY",
    run: (s) => {
      const prog = s.load(SK_LOOKUP);
      const links = [
        s.link(prog, s.side.netns, uapi.BPF_SK_LOOKUP),
        s.link(s.load(SK_LOOKUP), s.side.netns, uapi.BPF_SK_LOOKUP),
      ];
      const { err, prog_ids } = s.k.progQuery({
        target_fd: s.side.netns,
        attach_type: uapi.BPF_SK_LOOKUP,
      });
      return [...links.map(errno), errno(err), prog_ids.length, prog_ids[0] === info(s.k.progInfo(prog)).id];
    },
    want: ["ok", "ok", "ok", 2, true],
  },
  {
    name: "link flags that mean nothing",
    run: (s) => [
      errno(s.link(s.load(XDP), s.side.ifindex, uapi.BPF_XDP, { flags: 1 << 20 })),
      errno(s.link(s.load(CGROUP_SKB), s.side.cgroup, uapi.BPF_CGROUP_INET_EGRESS, { flags: 1 << 20 })),
      errno(s.link(s.load(SK_LOOKUP), s.side.netns, uapi.BPF_SK_LOOKUP, { flags: 1 })),
    ],
    want: ["EINVAL", "EINVAL", "EINVAL"],
  },
];

const RINGS: ObjectCase[] = [
  {
    name: "ring buffers: sizes",
    run: (s) =>
      [0, 1, 4095, 4096, 5000, 8192, 12288].map((entries) =>
        errno(s.map(uapi.BPF_MAP_TYPE_RINGBUF, 0, 0, entries)),
      ),
    want: ["EINVAL", "EINVAL", "EINVAL", "ok", "EINVAL", "ok", "EINVAL"],
  },
  {
    name: "ring buffers: no commands for elements",
    run: (s) => {
      const fd = s.map(uapi.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
      const any = new Uint8Array(8);
      return [
        s.k.mapLookupElem(fd, any, any),
        s.k.mapUpdateElem(fd, any, any),
        s.k.mapDeleteElem(fd, any),
        s.k.mapGetNextKey(fd, null, any),
      ].map(errno);
    },
    want: ["EINVAL", "EINVAL", "EINVAL", "ENOTSUPP"],
  },
  {
    name: "ring buffers: consuming an empty one, and what is none",
    run: (s) => {
      const fd = s.map(uapi.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
      const none = s.k.ringbufConsume(fd, () => {});
      return [
        none,
        errno(s.k.ringbufConsume(s.array(), () => {})),
        errno(s.k.ringbufConsume(9999, () => {})),
        errno(s.k.perfConsume(fd, () => {})),
      ];
    },
    want: [0, "EINVAL", "EBADF", "EINVAL"],
  },
  ...([1, 7, 8, 9, 64, 500] as const).map(
    (size): ObjectCase => ({
      name: `ring buffers: records of ${size} bytes`,
      run: (s) => {
        const ring = s.map(uapi.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
        const prog = s.load({
          insns: b.encode([
            ...Array.from({ length: 64 }, (_, i) => b.stMem(uapi.BPF_DW, 10, -8 * (i + 1), i + 1)),
            b.ldMapFd(1, ring),
            b.mov64Reg(2, 10),
            b.alu64Imm(uapi.BPF_ADD, 2, -512),
            b.mov64Imm(3, size),
            b.mov64Imm(4, 0),
            b.callHelper(uapi.BPF_FUNC_ringbuf_output),
            b.exit(),
          ]),
        });
        const ran = s.k.progTestRun(prog, { data_in: PACKET, repeat: 20 });
        const sizes = new Set<number>();
        let sum = 0;
        const n = s.k.ringbufConsume(ring, (data) => {
          sizes.add(data.length);
          for (const byte of data) sum += byte;
        });
        return [ran.retval | 0, n, [...sizes], sum];
      },
      want: [
        size === 500 ? -uapi.EAGAIN : 0,
        Math.min(20, Math.floor(4095 / (Math.ceil((size + 8) / 8) * 8))),
        [size],
        recordSum(size) * Math.min(20, Math.floor(4095 / (Math.ceil((size + 8) / 8) * 8))),
      ],
    }),
  ),
];

/** Of the first `size` bytes of the stack above, which holds 64, 63, 62 ... in its 8-byte words. */
function recordSum(size: number): number {
  let sum = 0;
  for (let at = 0; at < size; at += 8) sum += 64 - at / 8;
  return sum;
}

export const OBJECT_CASES: readonly ObjectCase[] = [
  ...MAPS,
  ...BATCHES,
  ...PROGRAMS,
  ...BTFS,
  ...PINS,
  ...LINKS,
  ...RINGS,
];

/** What the case saw, or why it broke. */
export function runObjectCase(side: Side, c: ObjectCase): unknown {
  const scene = new Scene(side);
  try {
    return c.run(scene);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    scene.end();
  }
}
