// Random operations on maps, held against models in a few lines of plain TypeScript.
import { describe, expect, it } from "vitest";
import * as uapi from "../../src/uapi/index.ts";
import { EmbeddedMaps } from "./embedded.ts";
import { seeded } from "./random.ts";

const ANY = uapi.BPF_ANY;
const NOEXIST = uapi.BPF_NOEXIST;
const EXIST = uapi.BPF_EXIST;

function fill(size: number, random: (below: number) => number, range = 256): Uint8Array {
  return Uint8Array.from({ length: size }, () => random(range));
}

const text = (bytes: Uint8Array): string => bytes.join(",");

function create(
  maps: EmbeddedMaps,
  type: number,
  key: number,
  value: number,
  max: number,
  flags = 0,
): number {
  const fd = maps.mapCreate({
    map_type: type,
    key_size: key,
    value_size: value,
    max_entries: max,
    map_flags: flags,
  });
  if (fd < 0) throw new Error(`map: ${uapi.errnoName(fd)}`);
  return fd;
}

function allKeys(maps: EmbeddedMaps, fd: number, size: number): string[] {
  const keys: string[] = [];
  const next = new Uint8Array(size);
  let key: Uint8Array | null = null;
  while (maps.mapGetNextKey(fd, key, next) === 0) {
    key = next.slice();
    keys.push(text(key));
  }
  return keys;
}

/** Everything goes back when the maps of a test are closed. */
function expectEmpty(maps: EmbeddedMaps): void {
  maps.env.dispose();
  expect(maps.space.allocated).toEqual({ bytes: 0, blocks: 0 });
}

const HASH_SHAPES = [
  { key: 4, value: 8, max: 16, flags: 0 },
  { key: 4, value: 8, max: 1, flags: 0 },
  { key: 4, value: 1, max: 100, flags: uapi.BPF_F_NO_PREALLOC },
  { key: 8, value: 16, max: 40, flags: 0 },
  { key: 1, value: 3, max: 256, flags: 0 },
  { key: 3, value: 5, max: 20, flags: uapi.BPF_F_NO_PREALLOC },
  { key: 12, value: 4, max: 33, flags: uapi.BPF_F_ZERO_SEED },
  { key: 33, value: 150, max: 64, flags: 0 },
];

describe("hash maps against Map", () => {
  it.each(HASH_SHAPES)("key $key, value $value, max $max, flags $flags", ({ key, value, max, flags }) => {
    const random = seeded(key * 1000 + max);
    const maps = new EmbeddedMaps();
    const fd = create(maps, uapi.BPF_MAP_TYPE_HASH, key, value, max, flags);
    const model = new Map<string, string>();
    const keys = Array.from({ length: max * 2 + 2 }, () => fill(key, random));
    const out = new Uint8Array(value);
    for (let step = 0; step < 3000; step++) {
      const k = keys[random(keys.length)];
      const name = text(k);
      const has = model.has(name);
      switch (random(5)) {
        case 0:
        case 1: {
          const mode = [ANY, NOEXIST, EXIST][random(3)];
          const v = fill(value, random);
          const want =
            has && mode === NOEXIST
              ? -uapi.EEXIST
              : !has && mode === EXIST
                ? -uapi.ENOENT
                : !has && model.size >= max
                  ? -uapi.E2BIG
                  : 0;
          expect(maps.mapUpdateElem(fd, k, v, mode)).toBe(want);
          if (want === 0) model.set(name, text(v));
          break;
        }
        case 2:
          expect(maps.mapDeleteElem(fd, k)).toBe(has ? 0 : -uapi.ENOENT);
          model.delete(name);
          break;
        case 3:
          expect(maps.mapLookupElem(fd, k, out)).toBe(has ? 0 : -uapi.ENOENT);
          if (has) expect(text(out)).toBe(model.get(name));
          break;
        default:
          expect(maps.mapLookupAndDeleteElem(fd, k, out)).toBe(has ? 0 : -uapi.ENOENT);
          if (has) expect(text(out)).toBe(model.get(name));
          model.delete(name);
      }
      if (step % 100 === 0) expect(allKeys(maps, fd, key).sort()).toEqual([...model.keys()].sort());
    }
    maps.close(fd);
    expectEmpty(maps);
  });
});

describe("LPM trie against the longest prefix found by trying all", () => {
  it.each([1, 2, 4, 5, 16])("%i bytes of data", (size) => {
    const random = seeded(size);
    const maps = new EmbeddedMaps();
    const keySize = size + 4;
    const max = 60;
    const fd = create(maps, uapi.BPF_MAP_TYPE_LPM_TRIE, keySize, 4, max, uapi.BPF_F_NO_PREALLOC);
    /** Prefixes by their bits, with the key bytes that get_next_key gives back. */
    const model = new Map<string, { key: string; value: string }>();
    const key = (): Uint8Array => {
      const out = new Uint8Array(keySize);
      // Few distinct bytes, so that prefixes nest.
      out.set(
        fill(size, random, 3).map((b) => b * 85),
        4,
      );
      new DataView(out.buffer).setUint32(0, random(size * 8 + 1), true);
      return out;
    };
    const bits = (k: Uint8Array): string =>
      [...k.subarray(4)]
        .map((b) => b.toString(2).padStart(8, "0"))
        .join("")
        .slice(0, k[0] | (k[1] << 8));
    const out = new Uint8Array(4);
    for (let step = 0; step < 3000; step++) {
      const k = key();
      const prefix = bits(k);
      const has = model.has(prefix);
      switch (random(3)) {
        case 0: {
          const mode = [ANY, ANY, NOEXIST, EXIST][random(4)];
          const v = fill(4, random);
          const want =
            has && mode === NOEXIST
              ? -uapi.EEXIST
              : !has && mode === EXIST
                ? -uapi.ENOENT
                : !has && model.size === max
                  ? -uapi.ENOSPC
                  : 0;
          expect(maps.mapUpdateElem(fd, k, v, mode)).toBe(want);
          if (want === 0) model.set(prefix, { key: text(k), value: text(v) });
          break;
        }
        case 1:
          expect(maps.mapDeleteElem(fd, k)).toBe(has ? 0 : -uapi.ENOENT);
          model.delete(prefix);
          break;
        default: {
          let found: string | undefined;
          for (let n = prefix.length; n >= 0 && found === undefined; n--)
            found = model.get(prefix.slice(0, n))?.value;
          expect(maps.mapLookupElem(fd, k, out)).toBe(found === undefined ? -uapi.ENOENT : 0);
          if (found !== undefined) expect(text(out)).toBe(found);
        }
      }
      if (step % 100 === 0)
        expect(allKeys(maps, fd, keySize).sort()).toEqual([...model.values()].map((e) => e.key).sort());
    }
    maps.close(fd);
    expectEmpty(maps);
  });
});

describe("queue and stack against an array", () => {
  it.each([
    ["queue", uapi.BPF_MAP_TYPE_QUEUE],
    ["stack", uapi.BPF_MAP_TYPE_STACK],
  ])("%s", (_name, type) => {
    const random = seeded(type);
    const maps = new EmbeddedMaps();
    for (const [max, size] of [
      [1, 8],
      [5, 3],
      [16, 20],
    ]) {
      const fd = create(maps, type, 0, size, max);
      const model: string[] = [];
      const at = (): number => (type === uapi.BPF_MAP_TYPE_QUEUE ? 0 : model.length - 1);
      const out = new Uint8Array(size);
      for (let step = 0; step < 2000; step++) {
        if (random(2) === 0) {
          const v = fill(size, random);
          const force = random(4) === 0;
          const full = model.length === max;
          expect(maps.mapUpdateElem(fd, null, v, force ? EXIST : ANY)).toBe(full && !force ? -uapi.E2BIG : 0);
          if (full && force) model.shift();
          if (!full || force) model.push(text(v));
          continue;
        }
        const remove = random(2) === 0;
        const got = remove ? maps.mapLookupAndDeleteElem(fd, null, out) : maps.mapLookupElem(fd, null, out);
        expect(got).toBe(model.length === 0 ? -uapi.ENOENT : 0);
        if (model.length === 0) continue;
        expect(text(out)).toBe(model[at()]);
        if (remove) model.splice(at(), 1);
      }
      maps.close(fd);
    }
    expectEmpty(maps);
  });
});

describe("memoryUsage", () => {
  const T = uapi;
  it.each([
    ["ARRAY", T.BPF_MAP_TYPE_ARRAY, 4, 13, 9, 0],
    ["PERCPU_ARRAY", T.BPF_MAP_TYPE_PERCPU_ARRAY, 4, 13, 9, 0],
    ["HASH", T.BPF_MAP_TYPE_HASH, 4, 8, 100, 0],
    ["HASH, NO_PREALLOC", T.BPF_MAP_TYPE_HASH, 12, 8, 100, T.BPF_F_NO_PREALLOC],
    ["PERCPU_HASH", T.BPF_MAP_TYPE_PERCPU_HASH, 8, 8, 100, 0],
    ["LRU_HASH", T.BPF_MAP_TYPE_LRU_HASH, 4, 8, 100, 0],
    ["LRU_PERCPU_HASH", T.BPF_MAP_TYPE_LRU_PERCPU_HASH, 4, 8, 100, T.BPF_F_NO_COMMON_LRU],
    ["LPM_TRIE", T.BPF_MAP_TYPE_LPM_TRIE, 8, 8, 100, T.BPF_F_NO_PREALLOC],
    ["QUEUE", T.BPF_MAP_TYPE_QUEUE, 0, 12, 100, 0],
    ["BLOOM_FILTER", T.BPF_MAP_TYPE_BLOOM_FILTER, 0, 12, 100, 0],
    ["RINGBUF", T.BPF_MAP_TYPE_RINGBUF, 0, 0, 8192, 0],
  ])("%s: counts every byte", (_name, type, key, value, max, flags) => {
    const maps = new EmbeddedMaps();
    // The registry of live maps, which lasts while there is one.
    const other = create(maps, T.BPF_MAP_TYPE_QUEUE, 0, 1, 1);
    maps.env.scratch(1024);
    const before = maps.space.allocated.bytes;
    const fd = create(maps, type, key, value, max, flags);
    if (key > 0)
      for (let i = 0; i < 50; i++)
        maps.mapUpdateElem(
          fd,
          Uint8Array.from({ length: key }, (_, n) => (n === 0 ? i : 0)),
          new Uint8Array(64),
        );
    expect(maps.map(fd).memoryUsage()).toBe(maps.space.allocated.bytes - before);
    maps.close(fd);
    expect(maps.space.allocated.bytes).toBe(before);
    maps.close(other);
    expectEmpty(maps);
  });

  it("creating what does not fit is ENOMEM and leaves nothing behind", () => {
    const maps = new EmbeddedMaps();
    const attr = { key_size: 4, value_size: 1024, max_entries: 1 << 20, map_flags: 0 };
    for (const type of [T.BPF_MAP_TYPE_ARRAY, T.BPF_MAP_TYPE_HASH, T.BPF_MAP_TYPE_LRU_PERCPU_HASH])
      expect(maps.mapCreate({ map_type: type, ...attr })).toBe(-T.ENOMEM);
    expect(maps.mapCreate({ map_type: T.BPF_MAP_TYPE_QUEUE, ...attr, key_size: 0 })).toBe(-T.ENOMEM);
    expect(maps.mapCreate({ ...attr, map_type: T.BPF_MAP_TYPE_HASH, max_entries: 2 ** 31 })).toBe(-T.ENOMEM);
    expectEmpty(maps);
  });
});
