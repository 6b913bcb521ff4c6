import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LoadError } from "../diag/index.ts";
import { AddressSpace, type Permission } from "./index.ts";

const SMALL = { maxBytes: 8 << 20 };

describe("AddressSpace", () => {
  it("hands out zeroed, aligned, painted memory and takes it back", () => {
    const space = new AddressSpace(SMALL);
    const a = space.alloc(100, "rw");
    expect(a % 8).toBe(0);
    expect(space.canWrite(a, 100)).toBe(true);
    expect(space.canWrite(a, 101)).toBe(false);
    const b = space.alloc(10, "r", 4096);
    expect(b % 4096).toBe(0);
    expect(space.canRead(b + 9, 1)).toBe(true);
    expect(space.canWrite(b, 1)).toBe(false);
    expect(space.allocated).toEqual({ bytes: 110, blocks: 2 });
    space.u8.fill(7, a, a + 100);
    space.free(a);
    expect(space.canRead(a, 1)).toBe(false);
    const c = space.alloc(100, "none");
    expect(c).toBe(a);
    expect(space.u8.subarray(c, c + 100).every((x) => x === 0)).toBe(true);
    space.free(b);
    space.free(c);
    expect(space.allocated).toEqual({ bytes: 0, blocks: 0 });
  });

  it("refuses what is not an allocation", () => {
    const space = new AddressSpace(SMALL);
    const a = space.alloc(64, "rw");
    expect(() => space.free(a + 16)).toThrow(/not an allocation/);
    expect(() => space.free(0)).toThrow(/not an allocation/);
    space.free(a);
    expect(() => space.free(a)).toThrow(/not an allocation/);
  });

  it("says ENOMEM, and goes on", () => {
    const space = new AddressSpace(SMALL);
    for (const size of [8 << 20, 2 ** 32, 2 ** 40, -1, Number.NaN])
      expect(() => space.alloc(size, "rw")).toThrow(LoadError);
    const big = space.alloc(4 << 20, "rw");
    expect(() => space.alloc(1 << 20, "rw")).toThrow(LoadError);
    space.free(big);
    space.free(space.alloc(4 << 20, "rw"));
    expect(() => new AddressSpace({ maxBytes: 1 })).toThrow(LoadError);
    expect(() => new AddressSpace({ cpus: 17 })).toThrow(LoadError);
  });

  it("keeps frames of a stack apart", () => {
    const space = new AddressSpace(SMALL);
    const top = space.dv.getUint32(space.cpuBlock(1) + 60, true);
    expect(space.canWrite(top - 512, 512)).toBe(true);
    expect(space.canWrite(top - 8, 9)).toBe(false);
    expect(space.canWrite(top - 516, 8)).toBe(false);
    space.selectCpu(1);
    expect(space.currentCpu).toBe(1);
  });
});

describe("allocator", () => {
  it("never overlaps, keeps contents, balances its books", () => {
    const step = fc.record({
      size: fc.oneof(fc.nat(64), fc.nat(5000), fc.nat(300_000)),
      align: fc.constantFrom(8, 16, 64, 4096),
      free: fc.nat(1000),
      keep: fc.boolean(),
    });
    const space = new AddressSpace(SMALL);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const live: { at: number; size: number; tag: number }[] = [];
        let bytes = 0;
        const check = ({ at, size, tag }: (typeof live)[0]): void => {
          const view = space.u8.subarray(at, at + size);
          if (!view.every((x) => x === tag)) throw new Error(`block at ${at} was overwritten`);
        };
        for (const [i, s] of steps.entries()) {
          if (s.keep || live.length === 0) {
            if (bytes + s.size > 3 << 20) continue;
            const at = space.alloc(s.size, "rw", s.align);
            expect(at % s.align).toBe(0);
            check({ at, size: s.size, tag: 0 });
            const tag = (i % 255) + 1;
            space.u8.fill(tag, at, at + s.size);
            live.push({ at, size: s.size, tag });
            bytes += s.size;
          } else {
            const [gone] = live.splice(s.free % live.length, 1);
            check(gone!);
            space.free(gone!.at);
            bytes -= gone!.size;
          }
          expect(space.allocated).toEqual({ bytes, blocks: live.length });
        }
        for (const block of live) {
          check(block);
          space.free(block.at);
        }
        expect(space.allocated).toEqual({ bytes: 0, blocks: 0 });
      }),
      { numRuns: 60 },
    );
    // Everything merged again: one block takes nearly all of the heap.
    space.free(space.alloc(4 << 20, "rw"));
  });
});

describe("shadow", () => {
  const SIZE = 2048;

  /** Per byte: the object that it belongs to (0: none) for reads and for writes; objects own their granules. */
  class Model {
    readonly r = new Int32Array(SIZE);
    readonly w = new Int32Array(SIZE);
    #next = 1;
    #one(map: Int32Array, at: number, size: number, on: boolean): void {
      if (!on) {
        map.fill(0, at, Math.min(SIZE, (at + size + 7) & ~7));
        return;
      }
      const start = at & ~7;
      map.fill(0, start, (at + size + 7) & ~7);
      map.fill(this.#next++, start, at + size);
    }
    paint(at: number, size: number, perm: Permission): void {
      if (size === 0) return;
      this.#one(this.r, at, size, perm !== "none");
      this.#one(this.w, at, size, perm === "rw");
    }
    static legal(map: Int32Array, at: number, n: number): boolean {
      if (map[at] === 0) return false;
      for (let i = at; i < at + n; i++) if (map[i] !== map[at]) return false;
      return true;
    }
  }

  it("agrees with a map of bytes", () => {
    const step = fc.record({
      at: fc.oneof(
        fc.nat(SIZE / 8 - 1).map((g) => g * 8),
        fc.nat(SIZE - 1),
      ),
      size: fc.oneof(fc.nat(40), fc.nat(SIZE)),
      perm: fc.constantFrom<Permission>("none", "r", "rw"),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), fc.nat(), (steps, seed) => {
        const space = shared;
        const base = space.alloc(SIZE, "none");
        const model = new Model();
        for (const s of steps) {
          const size = Math.min(s.size, SIZE - s.at);
          space.paint(base + s.at, size, s.perm);
          model.paint(s.at, size, s.perm);
        }
        let x = seed | 1;
        for (let i = 0; i < 600; i++) {
          x = Math.imul(x, 0x9e3779b1) + 0x7f4a7c15;
          const at = (x >>> 8) % SIZE;
          const n = Math.min([1, 2, 4, 8, 16, 100, 248, 249, 700, 1500][(x >>> 24) % 10]!, SIZE - at);
          const where = `${n} bytes at ${at}`;
          expect([where, space.canRead(base + at, n)]).toEqual([where, Model.legal(model.r, at, n)]);
          expect([where, space.canWrite(base + at, n)]).toEqual([where, Model.legal(model.w, at, n)]);
        }
        space.free(base);
        expect(space.canRead(base, 1)).toBe(false);
      }),
      { numRuns: 150 },
    );
  });
  const shared = new AddressSpace(SMALL);

  it("stays inside the address space", () => {
    const space = new AddressSpace(SMALL);
    space.paint(0xfffffff0, 64, "rw");
    space.paint(space.maxBytes - 8, 16, "rw");
    expect(space.canRead(space.maxBytes - 8, 1)).toBe(false);
    expect(space.canRead(0xfffffff8, 8)).toBe(false);
    expect(space.canRead(0, 1)).toBe(false);
  });
});
