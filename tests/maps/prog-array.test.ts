// Which programs a BPF_MAP_TYPE_PROG_ARRAY takes, here and on this machine's kernel.
import { beforeAll, describe, expect, it } from "vitest";
import { assemble } from "../../src/asm/index.ts";
import { Kernel } from "../../src/kernel/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import * as uapi from "../../src/uapi/index.ts";
import { want } from "../support/need.ts";
import type { MapCommands } from "./notation.ts";
import type { ProgramCommands } from "./programs.ts";

type Commands = MapCommands & ProgramCommands;

function u32(n: number): Uint8Array {
  return Uint8Array.from([n, n >>> 8, n >>> 16, n >>> 24]);
}

function load(backend: Commands, type: number, attach = 0, flags = 0): number {
  const { fd, log } = backend.progLoad({
    prog_type: type,
    insns: assemble("r0 = 0\nexit").bytes,
    license: "GPL",
    expected_attach_type: attach,
    prog_flags: flags,
  });
  if (fd < 0) throw new Error(`PROG_LOAD ${uapi.errnoName(fd)} ${log}`);
  return fd;
}

/** Stores programs in turn in a fresh map; what each update says. */
function stored(backend: Commands, programs: readonly (readonly [number, number?, number?])[]): string[] {
  const map = backend.mapCreate({
    map_type: uapi.BPF_MAP_TYPE_PROG_ARRAY,
    key_size: 4,
    value_size: 4,
    max_entries: 8,
    map_flags: 0,
  });
  const fds = programs.map(([type, attach, flags]) => load(backend, type, attach, flags));
  const said = fds.map((fd, i) => backend.mapUpdateElem(map, u32(i), u32(fd)));
  for (const fd of [map, ...fds]) backend.close(fd);
  return said.map((err) => (err === 0 ? "0" : uapi.errnoName(err)));
}

function contract(backend: () => Commands): void {
  const XDP = uapi.BPF_PROG_TYPE_XDP;
  const CLS = uapi.BPF_PROG_TYPE_SCHED_CLS;
  it("the first program fixes the type", () => {
    expect(stored(backend(), [[XDP], [CLS], [XDP]])).toEqual(["0", "EINVAL", "0"]);
    expect(stored(backend(), [[CLS], [uapi.BPF_PROG_TYPE_SCHED_ACT], [CLS]])).toEqual(["0", "EINVAL", "0"]);
  });
  it("and the expected attach type, and BPF_F_XDP_HAS_FRAGS", () => {
    expect(
      stored(backend(), [
        [XDP, uapi.BPF_XDP],
        [XDP, uapi.BPF_XDP_DEVMAP],
        [XDP, uapi.BPF_XDP],
      ]),
    ).toEqual(["0", "EINVAL", "0"]);
    expect(stored(backend(), [[XDP], [XDP, 0, uapi.BPF_F_XDP_HAS_FRAGS]])).toEqual(["0", "EINVAL"]);
  });
  it("holds programs, replaces and drops them", () => {
    const kernel = backend();
    const map = kernel.mapCreate({
      map_type: uapi.BPF_MAP_TYPE_PROG_ARRAY,
      key_size: 4,
      value_size: 4,
      max_entries: 2,
      map_flags: 0,
    });
    const program = load(kernel, XDP);
    const other = load(kernel, XDP);
    const id = new Uint8Array(4);
    expect(kernel.mapUpdateElem(map, u32(0), u32(map))).toBe(-uapi.EINVAL);
    expect(kernel.mapUpdateElem(map, u32(0), u32(program))).toBe(0);
    expect(kernel.mapLookupElem(map, u32(0), id)).toBe(0);
    const first = new DataView(id.buffer).getUint32(0, true);
    kernel.close(program);
    expect(kernel.mapLookupElem(map, u32(0), id)).toBe(0);
    expect(new DataView(id.buffer).getUint32(0, true)).toBe(first);
    expect(kernel.mapUpdateElem(map, u32(0), u32(other))).toBe(0);
    expect(kernel.mapLookupElem(map, u32(0), id)).toBe(0);
    expect(new DataView(id.buffer).getUint32(0, true)).not.toBe(first);
    expect(kernel.mapDeleteElem(map, u32(0))).toBe(0);
    expect(kernel.mapDeleteElem(map, u32(0))).toBe(-uapi.ENOENT);
    kernel.close(other);
    kernel.close(map);
  });
}

describe("program arrays of the embedded kernel", () => {
  contract(() => new Kernel());
});

const linux = want("bpf");
describe.skipIf(linux.skip)(linux.title("program arrays of this machine's kernel"), () => {
  let backend: LinuxBackend;
  beforeAll(async () => {
    backend = await LinuxBackend.open();
  });
  contract(() => backend);
});
