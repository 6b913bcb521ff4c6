// Which element an LRU map evicts: element for element what this machine's kernel evicts, on one CPU.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Kernel } from "../../src/kernel/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import * as uapi from "../../src/uapi/index.ts";
import { want } from "../support/need.ts";
import { pin } from "../support/pin.ts";
import { EmbeddedMaps } from "./embedded.ts";
import type { KernelCommands, MapCommands } from "./notation.ts";
import { PROGRAMS, runProgram } from "./programs.ts";
import { seeded } from "./random.ts";

const SHAPES = [
  { max: 1, flags: 0 },
  { max: 2, flags: 0 },
  { max: 4, flags: 0 },
  { max: 7, flags: 0 },
  { max: 50, flags: 0 },
  { max: 300, flags: 0 },
  { max: 1000, flags: 0 },
  { max: 2, flags: uapi.BPF_F_NO_COMMON_LRU },
  { max: 9, flags: uapi.BPF_F_NO_COMMON_LRU },
  { max: 200, flags: uapi.BPF_F_NO_COMMON_LRU },
];

function u32(n: number): Uint8Array {
  return Uint8Array.from([n, n >>> 8, n >>> 16, n >>> 24]);
}

function create(backend: MapCommands, type: number, max: number, flags: number): number {
  return backend.mapCreate({
    map_type: type,
    key_size: 4,
    value_size: 8,
    max_entries: max,
    map_flags: flags,
  });
}

function keysOf(backend: MapCommands, fd: number): number[] {
  const keys: number[] = [];
  const next = new Uint8Array(4);
  let key: Uint8Array | null = null;
  while (backend.mapGetNextKey(fd, key, next) === 0) {
    key = next.slice();
    keys.push(new DataView(key.buffer).getUint32(0, true));
  }
  return keys.sort((a, b) => a - b);
}

/** Updates, deletions and lookups of user space, and lookups of a program, which alone count as uses. */
function workload(
  backend: KernelCommands,
  type: number,
  max: number,
  flags: number,
  steps: number,
): string[] {
  const random = seeded(max + flags);
  const fd = create(backend, type, max, flags);
  const seen: string[] = [];
  const value = new Uint8Array(8 * backend.possibleCpus);
  for (let step = 0; step < steps; step++) {
    const key = u32(random(max * 2 + 2));
    const dice = random(20);
    if (dice < 12)
      seen.push(`update ${backend.mapUpdateElem(fd, key, value, dice === 0 ? uapi.BPF_EXIST : 0)}`);
    else if (dice < 13) seen.push(`delete ${backend.mapDeleteElem(fd, key)}`);
    else if (dice < 15) seen.push(`lookup ${backend.mapLookupElem(fd, key, value)}`);
    else {
      const text = PROGRAMS["lookup"]!({ key, value, flags: 0, valueSize: 8 });
      seen.push(`use ${runProgram(backend, text, fd)}`);
    }
    if (step % 10 === 0) seen.push(keysOf(backend, fd).join(" "));
  }
  seen.push(keysOf(backend, fd).join(" "));
  backend.close(fd);
  return seen;
}

const linux = want("bpf", "taskset");
describe.skipIf(linux.skip)(linux.title("LRU maps against this machine's kernel"), () => {
  let backend: LinuxBackend;
  beforeAll(async () => {
    pin("0");
    backend = await LinuxBackend.open();
  });
  afterAll(() => pin(`0-${backend.possibleCpus - 1}`));

  it.each(SHAPES)("LRU_HASH of $max, flags $flags", ({ max, flags }) => {
    const kernel = new Kernel({ cpus: Math.min(backend.possibleCpus, 16) });
    const steps = Math.max(150, max * 2);
    const ours = workload(kernel, uapi.BPF_MAP_TYPE_LRU_HASH, max, flags, steps);
    expect(ours).toEqual(workload(backend, uapi.BPF_MAP_TYPE_LRU_HASH, max, flags, steps));
  });

  it.each(SHAPES)("LRU_PERCPU_HASH of $max, flags $flags", ({ max, flags }) => {
    const kernel = new Kernel({ cpus: Math.min(backend.possibleCpus, 16) });
    const ours = workload(kernel, uapi.BPF_MAP_TYPE_LRU_PERCPU_HASH, max, flags, 120);
    expect(ours).toEqual(workload(backend, uapi.BPF_MAP_TYPE_LRU_PERCPU_HASH, max, flags, 120));
  });
});

describe("LRU maps", () => {
  it.each(SHAPES)(
    "of $max, flags $flags: never fuller than allowed, and the newest key is there",
    ({ max, flags }) => {
      const maps = new EmbeddedMaps();
      const fd = create(maps, uapi.BPF_MAP_TYPE_LRU_HASH, max, flags);
      const most = flags === 0 ? max : Math.ceil(max / 2) * 2;
      const random = seeded(max);
      for (let step = 0; step < 2000; step++) {
        maps.space.selectCpu(random(2));
        const key = u32(random(max * 3));
        expect(maps.mapUpdateElem(fd, key, new Uint8Array(8))).toBe(0);
        expect(maps.mapLookupElem(fd, key, new Uint8Array(8))).toBe(0);
      }
      expect(keysOf(maps, fd).length).toBeLessThanOrEqual(most);
      maps.close(fd);
    },
  );

  it("what a program uses survives a sweep of new keys", () => {
    const kernel = new Kernel({ cpus: 1 });
    const fd = create(kernel, uapi.BPF_MAP_TYPE_LRU_HASH, 100, 0);
    for (let i = 0; i < 100; i++) kernel.mapUpdateElem(fd, u32(i), new Uint8Array(8));
    const use = PROGRAMS["lookup"]!({ key: u32(7), value: u32(0), flags: 0, valueSize: 8 });
    for (let i = 1000; i < 1080; i++) {
      runProgram(kernel, use, fd);
      kernel.mapUpdateElem(fd, u32(i), new Uint8Array(8));
    }
    expect(keysOf(kernel, fd)).toContain(7);
    kernel.close(fd);
  });
});
