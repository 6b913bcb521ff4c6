// The map helpers of the core called as a program would call them, with arguments that no verifier saw.
import { describe, expect, it } from "vitest";
import type { BpfMap, PerfEventArrayMap, RingbufMap } from "../../src/maps/index.ts";
import * as uapi from "../../src/uapi/index.ts";
import { CPU_CTX, CPU_PROG_TYPE, POINTER_HIGH } from "../../src/vm/index.ts";
import { EmbeddedMaps } from "./embedded.ts";
import { seeded } from "./random.ts";

type Helper = (r1: bigint, r2: bigint, r3: bigint, r4: bigint, r5: bigint) => bigint;

function helper(maps: EmbeddedMaps, name: string): (...args: (number | bigint)[]) => bigint {
  const fn = maps.space.core[name] as unknown as Helper;
  return (...args) => {
    const [a = 0, b = 0, c = 0, d = 0, e = 0] = args;
    return BigInt.asIntN(
      64,
      fn(...([a, b, c, d, e].map(BigInt) as [bigint, bigint, bigint, bigint, bigint])),
    );
  };
}

const pointer = (address: number): bigint => (BigInt(POINTER_HIGH) << 32n) | BigInt(address);

function make(maps: EmbeddedMaps, type: number, key: number, value: number, max: number, flags = 0): BpfMap {
  return maps.map(
    maps.mapCreate({ map_type: type, key_size: key, value_size: value, max_entries: max, map_flags: flags }),
  );
}

const all: readonly [string, number, number, number, number, number][] = [
  ["ARRAY", uapi.BPF_MAP_TYPE_ARRAY, 4, 12, 5, 0],
  ["PERCPU_ARRAY", uapi.BPF_MAP_TYPE_PERCPU_ARRAY, 4, 12, 5, 0],
  ["HASH", uapi.BPF_MAP_TYPE_HASH, 4, 12, 5, 0],
  ["HASH, NO_PREALLOC", uapi.BPF_MAP_TYPE_HASH, 12, 12, 5, uapi.BPF_F_NO_PREALLOC],
  ["PERCPU_HASH", uapi.BPF_MAP_TYPE_PERCPU_HASH, 8, 12, 5, 0],
  ["LRU_HASH", uapi.BPF_MAP_TYPE_LRU_HASH, 4, 12, 5, 0],
  ["LRU_PERCPU_HASH", uapi.BPF_MAP_TYPE_LRU_PERCPU_HASH, 4, 12, 5, uapi.BPF_F_NO_COMMON_LRU],
  ["LPM_TRIE", uapi.BPF_MAP_TYPE_LPM_TRIE, 8, 12, 5, uapi.BPF_F_NO_PREALLOC],
  ["PROG_ARRAY", uapi.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 5, 0],
  ["PERF_EVENT_ARRAY", uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 5, 0],
  ["QUEUE", uapi.BPF_MAP_TYPE_QUEUE, 0, 12, 5, 0],
  ["STACK", uapi.BPF_MAP_TYPE_STACK, 0, 12, 5, 0],
  ["BLOOM_FILTER", uapi.BPF_MAP_TYPE_BLOOM_FILTER, 0, 12, 5, 0],
  ["RINGBUF", uapi.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0],
];

describe("what a program may touch", () => {
  it.each(all.filter(([, , key]) => key > 0).slice(0, 8))(
    "%s: the value, and no byte around it",
    (_n, type, key, value, max, flags) => {
      const maps = new EmbeddedMaps();
      const map = make(maps, type, key, value, max, flags);
      const at = maps.space.alloc(64, "rw");
      map.update(maps.space.u8.slice(at, at + key), new Uint8Array(256));
      const found = helper(maps, "bpf_map_lookup_elem")(pointer(map.address), pointer(at));
      const address = Number(BigInt.asUintN(32, found));
      expect(found >> 32n).toBe(BigInt.asIntN(32, BigInt(POINTER_HIGH)));
      for (const [offset, size, ok] of [
        [0, 12, true],
        [4, 8, true],
        [11, 1, true],
        [0, 13, false],
        [12, 1, false],
        [12, 4, false],
        [-4, 8, false],
      ] as const) {
        expect([offset, size, maps.space.canWrite(address + offset, size)]).toEqual([offset, size, ok]);
        expect([offset, size, maps.space.canRead(address + offset, size)]).toEqual([offset, size, ok]);
      }
      expect(maps.space.canRead(map.address, 4)).toBe(false);
    },
  );

  it("BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG", () => {
    const maps = new EmbeddedMaps();
    const key = maps.space.alloc(8, "rw");
    for (const type of [uapi.BPF_MAP_TYPE_ARRAY, uapi.BPF_MAP_TYPE_HASH]) {
      for (const [flag, read, write] of [
        [uapi.BPF_F_RDONLY_PROG, true, false],
        [uapi.BPF_F_WRONLY_PROG, false, true],
      ] as const) {
        const map = make(maps, type, 4, 8, 1, flag);
        expect(map.update(new Uint8Array(4), new Uint8Array(8))).toBe(0);
        const value = Number(BigInt.asUintN(32, helper(maps, "bpf_map_lookup_elem")(map.address, key)));
        expect(maps.space.canRead(value, 8)).toBe(read);
        expect(maps.space.canWrite(value, 8)).toBe(write);
        const updated = helper(maps, "bpf_map_update_elem")(map.address, key, key, 0);
        expect(updated).toBe(write ? 0n : BigInt(-uapi.EACCES));
      }
    }
  });
});

describe("arguments that are not what they should be", () => {
  const lookups = ["bpf_map_lookup_elem", "bpf_map_lookup_percpu_elem"];
  const numbers = [
    "bpf_map_update_elem",
    "bpf_map_delete_elem",
    "bpf_map_push_elem",
    "bpf_map_pop_elem",
    "bpf_map_peek_elem",
    "bpf_ringbuf_output",
    "bpf_ringbuf_submit",
    "bpf_ringbuf_discard",
  ];

  it("a freed map is no map", () => {
    const maps = new EmbeddedMaps();
    const key = maps.space.alloc(16, "rw");
    const fd = maps.mapCreate({ map_type: 1, key_size: 4, value_size: 8, max_entries: 4, map_flags: 0 });
    const { address } = maps.map(fd);
    expect(helper(maps, "bpf_map_update_elem")(address, key, key + 8, 0)).toBe(0n);
    maps.close(fd);
    expect(helper(maps, "bpf_map_lookup_elem")(address, key)).toBe(0n);
    expect(helper(maps, "bpf_map_update_elem")(address, key, key + 8, 0)).toBe(BigInt(-uapi.EINVAL));
  });

  it("bytes of the program's own never pass for a map", () => {
    const maps = new EmbeddedMaps();
    const map = make(maps, uapi.BPF_MAP_TYPE_ARRAY, 4, 8, 4);
    const key = maps.space.alloc(8, "rw");
    const forged = maps.space.alloc(256, "rw", 64);
    maps.space.u8.copyWithin(forged, map.address, map.address + 256);
    expect(helper(maps, "bpf_map_lookup_elem")(map.address, key)).not.toBe(0n);
    expect(helper(maps, "bpf_map_lookup_elem")(forged, key)).toBe(0n);
  });

  it.each(all)(
    "%s: no helper traps, and nothing but the map's own memory changes",
    (_n, type, key, value, max, flags) => {
      const maps = new EmbeddedMaps();
      const map = make(maps, type, key, value, max, flags);
      const random = seeded(type * 31 + key);
      const mine = maps.space.alloc(4096, "rw");
      const guarded = maps.space.alloc(4096, "none");
      for (let i = 0; i < 4096; i++) maps.space.u8[guarded + i] = i;
      const argument = (): bigint => {
        const addresses = [map.address, mine, guarded, map.values, 0, maps.space.maxBytes, 0xfffffff8];
        switch (random(6)) {
          case 0:
            return BigInt(random(8));
          case 1:
            return BigInt(random(2 ** 32));
          case 2:
            return (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32));
          case 3:
            return pointer(mine + random(4096));
          default:
            return pointer((addresses[random(addresses.length)] + [0, 0, 4, 8, -8, 4090][random(6)]) >>> 0);
        }
      };
      for (let step = 0; step < 4000; step++) {
        const name = [...lookups, ...numbers, "bpf_ringbuf_reserve", "bpf_perf_event_output"][random(12)];
        const first = random(3) === 0 ? argument() : pointer(map.address);
        const args = name === "bpf_perf_event_output" ? [argument(), first] : [first, argument()];
        helper(maps, name)(...args, argument(), argument(), argument());
        if (random(20) === 0)
          helper(maps, "bpf_map_update_elem")(
            pointer(map.address),
            pointer(mine + 8 * random(400)),
            pointer(mine),
            0,
          );
      }
      for (let i = 0; i < 4096; i++) expect(maps.space.u8[guarded + i]).toBe(i & 255);
      maps.space.free(mine);
      maps.space.free(guarded);
      maps.close(3);
      maps.env.dispose();
      expect(maps.space.allocated).toEqual({ bytes: 0, blocks: 0 });
    },
  );
});

describe("ring buffer against a list", () => {
  it.each([4096, 16384])("of %i bytes", (size) => {
    const maps = new EmbeddedMaps();
    const map = make(maps, uapi.BPF_MAP_TYPE_RINGBUF, 0, 0, size) as RingbufMap;
    const random = seeded(size);
    const reserve = helper(maps, "bpf_ringbuf_reserve");
    /** What is in the ring, oldest first; `done` undefined while reserved. */
    const ring: { at: number; bytes: number; data: Uint8Array; done?: "submit" | "discard" }[] = [];
    let seen = 0;
    for (let step = 0; step < 5000; step++) {
      const dice = random(10);
      if (dice < 5) {
        const length = [0, 1, 8, 100, 1000, random(size)][random(6)];
        const bytes = Math.ceil((length + 8) / 8) * 8;
        const used = ring.reduce((sum, r) => sum + r.bytes, 0);
        const at = Number(BigInt.asUintN(32, reserve(map.address, length, 0)));
        expect(at !== 0).toBe(used + bytes <= size - 1);
        if (at === 0) continue;
        expect(maps.space.canWrite(at, length)).toBe(true);
        expect(maps.space.canRead(at - 8, 1)).toBe(false);
        const data = Uint8Array.from({ length }, () => random(256));
        maps.space.u8.set(data, at);
        ring.push({ at, bytes, data });
      } else if (dice < 9) {
        const open = ring.filter((r) => r.done === undefined);
        if (open.length === 0) continue;
        const record = open[random(open.length)];
        record.done = random(3) === 0 ? "discard" : "submit";
        expect(helper(maps, `bpf_ringbuf_${record.done}`)(record.at, 0)).toBe(0n);
        // Twice is once too often.
        expect(helper(maps, `bpf_ringbuf_${record.done}`)(record.at, 0)).toBe(BigInt(-uapi.EFAULT));
        if (record.data.length > 0) expect(maps.space.canRead(record.at, 1)).toBe(false);
      } else {
        const want: Uint8Array[] = [];
        while (ring[0]?.done !== undefined) {
          const record = ring.shift()!;
          if (record.done === "submit") want.push(record.data);
        }
        const got: Uint8Array[] = [];
        expect(map.consume((data) => got.push(data))).toBe(want.length);
        expect(got).toEqual(want);
        seen += got.length;
      }
    }
    expect(seen).toBeGreaterThan(100);
    expect(map.wakeups).toBeGreaterThan(0);
  });
});

describe("bpf_perf_event_output", () => {
  function setup(): {
    maps: EmbeddedMaps;
    map: PerfEventArrayMap;
    data: number;
    output: ReturnType<typeof helper>;
  } {
    const maps = new EmbeddedMaps();
    const map = make(maps, uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 2) as PerfEventArrayMap;
    const data = maps.space.alloc(8192, "rw");
    for (let i = 0; i < 8192; i++) maps.space.u8[data + i] = i;
    return { maps, map, data, output: helper(maps, "bpf_perf_event_output") };
  }
  const CURRENT = 0xffffffffn;

  it("errors", () => {
    const { maps, map, data, output } = setup();
    expect(output(0, map.address, CURRENT, data, 8)).toBe(BigInt(-uapi.ENOENT));
    map.open();
    expect(output(0, map.address, 2, data, 8)).toBe(BigInt(-uapi.E2BIG));
    expect(output(0, map.address, 1, data, 8)).toBe(BigInt(-uapi.EOPNOTSUPP));
    expect(output(0, map.address, 1n << 32n, data, 8)).toBe(BigInt(-uapi.EINVAL));
    expect(output(0, map.address, CURRENT, data + 8190, 8)).toBe(BigInt(-uapi.EFAULT));
    expect(output(0, map.address, 0, data, 8)).toBe(0n);
    maps.space.selectCpu(1);
    expect(output(0, map.address, 0, data, 8)).toBe(BigInt(-uapi.EOPNOTSUPP));
    expect(output(0, map.address, 1, data, 5)).toBe(0n);
    const samples: [number, string][] = [];
    expect(map.consume((cpu, bytes) => samples.push([cpu, bytes.join(" ")]))).toBe(2);
    expect(samples).toEqual([
      [0, "0 1 2 3 4 5 6 7 0 0 0 0"],
      [1, "0 1 2 3 4 0 0 0 0 0 0 0"],
    ]);
  });

  it("packet bytes of an XDP program", () => {
    const { maps, map, data, output } = setup();
    map.open(1);
    const ctx = maps.space.alloc(24, "rw");
    const block = maps.space.cpuBlock(0);
    maps.space.dv.setUint32(ctx, data + 100, true);
    maps.space.dv.setUint32(ctx + 4, data + 164, true);
    maps.space.dv.setUint32(block + CPU_CTX, ctx, true);
    maps.space.dv.setUint32(block + CPU_PROG_TYPE, uapi.BPF_PROG_TYPE_XDP, true);
    expect(output(pointer(ctx), map.address, CURRENT | (6n << 32n), data, 2)).toBe(0n);
    expect(output(pointer(ctx), map.address, CURRENT | (65n << 32n), data, 2)).toBe(BigInt(-uapi.EFAULT));
    expect(output(pointer(ctx), map.address, CURRENT | (1n << 52n), data, 2)).toBe(BigInt(-uapi.EINVAL));
    map.consume((_cpu, bytes) => expect(bytes.join(" ")).toBe("0 1 100 101 102 103 104 105 0 0 0 0"));
  });

  it("a full ring loses samples and says how many", () => {
    const { map, data, output } = setup();
    map.open(1);
    let kept = 0;
    while (output(0, map.address, CURRENT, data, 100) === 0n) kept++;
    // A record of 8 + 104 + 4 bytes, padded; a ring is never quite full.
    expect(kept).toBe(Math.floor(4095 / 112));
    expect(output(0, map.address, CURRENT, data, 100)).toBe(BigInt(-uapi.ENOSPC));
    const lost: number[] = [];
    const consume = (): number =>
      map.consume(
        () => undefined,
        (_cpu, n) => lost.push(n),
      );
    expect(consume()).toBe(kept);
    expect(output(0, map.address, CURRENT, data, 100)).toBe(0n);
    expect(consume()).toBe(1);
    expect(lost).toEqual([2]);
  });

  it("keeps the order over many laps", () => {
    const { maps, map, data, output } = setup();
    map.open(1);
    const random = seeded(5);
    const want: string[] = [];
    const got: string[] = [];
    for (let step = 0; step < 3000; step++) {
      const from = random(200);
      const size = random(300);
      if (output(0, map.address, CURRENT, data + from, size) === 0n)
        want.push(maps.space.u8.slice(data + from, data + from + size).join());
      if (random(5) === 0) map.consume((_cpu, bytes) => got.push(bytes.join()));
    }
    map.consume((_cpu, bytes) => got.push(bytes.join()));
    expect(got.length).toBe(want.length);
    for (const [i, text] of got.entries()) expect(text.startsWith(want[i])).toBe(true);
  });
});
