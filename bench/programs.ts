/** Builds bench/programs/*.c for BPF and for the host, and readies them on every contender. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { LinuxBackend } from "../src/linux/index.ts";
import { BpfObject, type LinkedProgram, type MapSpec } from "../src/loader/index.ts";
import { BPF_MAP_TYPE_ARRAY, BPF_PROG_TYPE_XDP } from "../src/uapi/index.ts";
import {
  type AccessMode,
  type AddressSpace,
  type Engine,
  type LoadedProgram,
  POINTER_HIGH,
  type VmMap,
} from "../src/vm/index.ts";

const SOURCES: string = fileURLToPath(new URL("programs", import.meta.url));

export const PACKET_SIZE = 2048;

export interface BenchProgram {
  readonly name: string;
  readonly object: BpfObject;
  readonly linked: LinkedProgram;
  /** Host code: runs once and gives the result; `measure` gives ns a run. */
  readonly native: {
    run(packet: Uint8Array): number;
    measure(packet: Uint8Array, repeat: number): number;
  };
}

interface Koffi {
  load(path: string): { func(definition: string): (...args: unknown[]) => unknown };
}

/** `hostCompiler` -O2 makes the native version. */
export function buildPrograms(hostCompiler = "gcc"): BenchProgram[] {
  const koffi = createRequire(import.meta.url)("koffi") as Koffi;
  const dir = mkdtempSync(join(tmpdir(), "tsbpf-bench-"));
  try {
    const sources = readdirSync(SOURCES).filter((name) => name.endsWith(".c"));
    return sources.sort().map((source) => {
      const name = basename(source, ".c");
      const input = join(SOURCES, source);
      const object = join(dir, `${name}.o`);
      const library = join(dir, `${name}.so`);
      execFileSync("clang-19", ["-g", "-O2", "--target=bpf", "-mcpu=v3", "-c", input, "-o", object]);
      execFileSync(hostCompiler, ["-O2", "-w", "-shared", "-fPIC", input, "-o", library]);
      const opened = BpfObject.open(new Uint8Array(readFileSync(object)), { name });
      const native = koffi.load(library);
      const run = native.func("uint32_t program(uint8_t *data)");
      const measure = native.func("double measure(uint8_t *data, uint32_t repeat)");
      return {
        name,
        object: opened,
        linked: opened.link("program"),
        native: {
          run: (packet) => run(packet) as number,
          measure: (packet, repeat) => measure(packet, repeat) as number,
        },
      };
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** The packet of all programs: reproducible noise that begins with 24 frames for the parser. */
export function makePacket(): Uint8Array {
  const packet = new Uint8Array(PACKET_SIZE);
  let state = 12345;
  const next = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state >>> 16;
  };
  for (let i = 0; i < packet.length; i++) packet[i] = next();
  for (let k = 0; k < 24; k++) {
    const frame = new DataView(packet.buffer, k * 64, 64);
    const vlan = k % 3 === 1 ? 4 : 0;
    if (vlan) frame.setUint16(12, 0x8100);
    frame.setUint16(12 + vlan, k % 7 === 6 ? 0x86dd : 0x800);
    frame.setUint8(14 + vlan, 0x45);
    frame.setUint8(23 + vlan, k % 11 === 10 ? 17 : 6);
    frame.setUint32(26 + vlan, 0x0a000000 + (((k * 5) % 40) << 8) + k);
    frame.setUint32(30 + vlan, 0xc0a80000 + k);
    frame.setUint16(36 + vlan, 82 + k);
  }
  return packet;
}

/** Copies of `linked` with every map reference replaced: what an LD_IMM64 pair holds is up to `value`. */
function relocate(
  linked: LinkedProgram,
  mapList: readonly MapSpec[],
  value: (map: MapSpec, isValue: boolean, offset: number) => { src: number; low: number; high: number },
): Uint8Array {
  const insns = linked.insns.slice();
  const view = new DataView(insns.buffer);
  for (const { insn, map } of linked.mapReferences) {
    const at = insn * 8;
    const isValue = view.getUint8(at + 1) >> 4 === 2;
    if (!mapList.includes(map)) throw new Error(`map ${map.name} is not in its object`);
    const { src, low, high } = value(map, isValue, view.getUint32(at + 12, true));
    view.setUint8(at + 1, (view.getUint8(at + 1) & 15) | (src << 4));
    view.setUint32(at + 4, low, true);
    view.setUint32(at + 12, high, true);
  }
  return insns;
}

/** Loads the program into the running kernel; returns its fd. */
export function loadIntoKernel(backend: LinuxBackend, { object, linked, name }: BenchProgram): number {
  const fds = new Map<MapSpec, number>();
  for (const map of object.mapList) {
    const fd = backend.mapCreate({
      map_type: BPF_MAP_TYPE_ARRAY,
      key_size: 4,
      value_size: map.valueSize,
      max_entries: map.maxEntries,
      map_flags: map.flags,
    });
    if (fd < 0) throw new Error(`${name}: map ${map.name}: ${fd}`);
    fds.set(map, fd);
    if (map.initialValue !== undefined) backend.mapUpdateElem(fd, new Uint8Array(4), map.initialValue);
    if (map.origin === "rodata") backend.mapFreeze(fd);
  }
  const insns = relocate(linked, object.mapList, (map, isValue, offset) => ({
    src: isValue ? 2 : 1,
    low: fds.get(map)!,
    high: isValue ? offset : 0,
  }));
  const { fd, log } = backend.progLoad({
    prog_type: BPF_PROG_TYPE_XDP,
    insns,
    license: "GPL",
    log_level: 1,
    log_size: 1 << 24,
  });
  if (fd < 0) throw new Error(`${name}: the kernel refuses it (${fd})\n${log.slice(-2000)}`);
  return fd;
}

/** Maps of one program in an address space, laid out as the ARRAY that the kernel would make. */
export function makeMaps(space: AddressSpace, { object }: BenchProgram): Map<MapSpec, VmMap> {
  const maps = new Map<MapSpec, VmMap>();
  for (const map of object.mapList) {
    const stride = Math.ceil(map.valueSize / 8) * 8;
    const perm = map.origin === "rodata" ? "r" : "rw";
    const values = space.alloc(stride * map.maxEntries, "none");
    for (let k = 0; k < map.maxEntries; k++) space.paint(values + k * stride, map.valueSize, perm);
    if (map.initialValue !== undefined) space.u8.set(map.initialValue, values);
    maps.set(map, {
      address: space.alloc(256, "none"),
      type: BPF_MAP_TYPE_ARRAY,
      keySize: 4,
      valueSize: map.valueSize,
      maxEntries: map.maxEntries,
      flags: map.flags,
      values,
      stride,
      cpuStride: 0,
    });
  }
  return maps;
}

export function loadIntoEngine(
  engine: Engine,
  program: BenchProgram,
  maps: ReadonlyMap<MapSpec, VmMap>,
  mode: AccessMode,
): LoadedProgram {
  const insns = relocate(program.linked, program.object.mapList, (map, isValue, offset) => ({
    src: 0,
    low: isValue ? maps.get(map)!.values + offset : maps.get(map)!.address,
    high: POINTER_HIGH,
  }));
  return engine.load({
    id: 1,
    name: program.name,
    insns,
    maps: [...maps.values()],
    mode,
    helper: (id) => (id === 1 ? { kind: "core", name: "bpf_map_lookup_elem", nargs: 2 } : undefined),
    kfunc: () => undefined,
  });
}

/** struct xdp_md and the packet that it points to. */
export function makeContext(space: AddressSpace, packet: Uint8Array): number {
  const data = space.alloc(packet.length, "rw");
  const ctx = space.alloc(24, "rw");
  space.u8.set(packet, data);
  space.dv.setUint32(ctx, data, true);
  space.dv.setUint32(ctx + 4, data + packet.length, true);
  space.dv.setUint32(ctx + 8, data, true);
  return ctx;
}
