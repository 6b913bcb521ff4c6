import { describe, expect, it } from "vitest";
import { assemble } from "../../src/asm/index.ts";
import { type BpfMap, createMap, MapEnv } from "../../src/maps/index.ts";
import { BPF_MAP_TYPE_HASH, EBADF, HELPER_PROTOS } from "../../src/uapi/index.ts";
import {
  type AccessMode,
  AddressSpace,
  CPU_RESULT,
  createInterpreter,
  createJit,
  type Engine,
  POINTER_HIGH,
} from "../../src/vm/index.ts";

// The JIT walks the chains of hashes with keys of 4 bytes by itself; the interpreter calls the core for it.
const space = new AddressSpace({ maxBytes: 64 << 20 });
const env = new MapEnv(space, { fds: { mapByFd: () => -EBADF, progByFd: () => -EBADF } });
const ENTRIES = 512;
const map = ((): BpfMap => {
  const attr = { map_type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 12, max_entries: ENTRIES };
  const made = createMap(env, attr);
  if (typeof made === "number") throw new Error(`hash: ${made}`);
  return made;
})();
const ctx = space.alloc(64, "rw");

const u32 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
};
const keyOf = (i: number): number => Math.imul(i, 0x9e3779b1) >>> 7;

/** r0 = the first word of the value, -1 without; the key from the stack, or straight from the context. */
const text = (from: "stack" | "context"): string => `
  r6 = r1
  ${
    from === "stack"
      ? "w2 = *(u32 *)(r1 + 0)\n*(u32 *)(r10 - 4) = w2\nr2 = r10\nr2 += -4"
      : "r2 = *(u64 *)(r1 + 8)"
  }
  r1 = MAP ll
  call bpf_map_lookup_elem
  if r0 == 0 goto none
  r7 = r0
  r0 = *(u32 *)(r7 + 0)
  exit
none:
  r0 = -1
  exit`;

const pointer = (at: number): bigint => (BigInt(POINTER_HIGH) << 32n) | BigInt(at);

function load(engine: Engine, from: "stack" | "context", mode: AccessMode): (key: number) => bigint {
  const { bytes } = assemble(text(from), { resolve: () => pointer(map.address) });
  const program = engine.load({
    id: 1,
    name: "lookup",
    insns: bytes,
    maps: [map],
    mode,
    helper: (id) => ({
      kind: "core",
      name: HELPER_PROTOS[id]!.name,
      nargs: HELPER_PROTOS[id]!.args.length,
    }),
    kfunc: () => undefined,
  });
  return (key) => {
    space.dv.setUint32(ctx, key, true);
    program.run(ctx);
    return BigInt.asIntN(64, space.dv.getBigUint64(space.cpu.value + CPU_RESULT, true));
  };
}

describe.each([
  ["JIT, checked", createJit(space), "checked"],
  ["JIT, unchecked", createJit(space), "unchecked"],
  ["interpreter", createInterpreter(space), "checked"],
] as const)("lookup in a hash: %s", (_, engine, mode) => {
  it.each(["stack", "context"] as const)("finds what is there, key on the %s", (from) => {
    space.dv.setBigUint64(ctx + 8, pointer(ctx), true);
    const lookup = load(engine, from, mode);
    const held = new Map<number, bigint>();
    const put = (i: number, value: number): void => {
      const bytes = new Uint8Array(12);
      bytes.set(u32(value));
      expect(map.update(u32(keyOf(i)), bytes)).toBe(0);
      held.set(i, BigInt(value));
    };
    // Full, half empty, full again with other elements: chains of several elements in any order.
    for (let i = 0; i < ENTRIES; i++) put(i, i + 1);
    for (let i = 0; i < ENTRIES; i++) expect(lookup(keyOf(i))).toBe(held.get(i));
    for (let i = 0; i < ENTRIES; i += 2) {
      expect(map.delete(u32(keyOf(i)))).toBe(0);
      held.delete(i);
    }
    for (let i = 0; i < 2 * ENTRIES; i++) expect(lookup(keyOf(i))).toBe(held.get(i) ?? -1n);
    for (let i = ENTRIES; held.size < ENTRIES; i++) put(i, i + 1);
    for (let i = 1; i < ENTRIES; i += 4) put(i, i + 7);
    for (let i = 0; i < 2 * ENTRIES; i++) expect(lookup(keyOf(i))).toBe(held.get(i) ?? -1n);
    for (const i of held.keys()) expect(map.delete(u32(keyOf(i)))).toBe(0);
    expect(lookup(keyOf(1))).toBe(-1n);
  });

  // Without checks such a key is whatever lies there, so there is nothing to say of it.
  if (mode === "checked")
    it("gives null for a key that may not be read", () => {
      const lookup = load(engine, "context", mode);
      space.dv.setBigUint64(ctx + 8, pointer(16), true);
      expect(lookup(0)).toBe(-1n);
    });
});
