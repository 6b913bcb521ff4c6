/**
 * What our loader hands to a backend beside what libbpf 1.5 hands to bpf(2), for the same objects and target: every
 * attribute of every map and program, initial contents, BTF, func_info and line_info.
 */
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { MapCreateAttr, ProgLoadAttr } from "../../src/backend/index.ts";
import type { Btf } from "../../src/btf/index.ts";
import { InternalError, TsbpfError } from "../../src/diag/index.ts";
import { BpfObject, type LoadedObject, type LoadOptions } from "../../src/loader/index.ts";
import { RecordingBackend } from "../../tests/support/recording-backend.ts";
import {
  bytesOf,
  type RecordedLoad,
  type RecordedMapCreate,
  type RecordedProgLoad,
  recordObjects,
} from "./libbpf.ts";

export interface LibbpfComparison {
  /** Values compared one by one, and how many are equal. */
  attributes: number;
  attributesEqual: number;
  /** Programs, each loaded alone: what both load, and where both refuse. */
  programs: number;
  programsEqual: number;
  bothRefuse: number;
  maps: number;
  /** Where libbpf refuses and we do not: by reason. */
  readonly accepted: string[];
  readonly differences: string[];
}

/** This machine as libbpf sees it: configuration, release, addresses. */
function machine(): LoadOptions & { readonly cpus: number } {
  const config = ["/proc/config.gz", `/boot/config-${release()}`].find((p) => existsSync(p));
  const text =
    config === undefined
      ? ""
      : config.endsWith(".gz")
        ? gunzipSync(readFileSync(config)).toString()
        : readFileSync(config, "utf8");
  const [major, minor, patch] = /^(\d+)\.(\d+)\.?(\d*)/.exec(release())!.slice(1).map(Number);
  const symbols = new Map<string, bigint>();
  for (const line of readFileSync("/proc/kallsyms", "utf8").split("\n")) {
    const [address, , name] = line.split(/\s+/);
    if (name !== undefined && !symbols.has(name)) symbols.set(name, BigInt(`0x${address}`));
  }
  const range = readFileSync("/sys/devices/system/cpu/possible", "utf8").trim();
  return {
    kconfig: text,
    kernelVersion: (major! << 16) | (minor! << 8) | Math.min(patch ?? 0, 255),
    ksym: (name) => symbols.get(name),
    cpus: Number(range.split("-").at(-1)) + 1,
  };
}

export function compareWithLibbpf(
  btfPath: string,
  target: Btf,
  dir: string,
  objects: readonly string[],
): LibbpfComparison {
  const result: LibbpfComparison = {
    attributes: 0,
    attributesEqual: 0,
    programs: 0,
    programsEqual: 0,
    bothRefuse: 0,
    maps: 0,
    accepted: [],
    differences: [],
  };
  const host = machine();
  for (const recorded of recordObjects(
    btfPath,
    objects.map((o) => join(dir, o)),
    true,
  )) {
    const open = (): BpfObject =>
      BpfObject.open(bytesOf(join(dir, recorded.name)), { name: recorded.name.replace(/\..*/, "") });
    if (recorded.err !== 0) {
      const reason = attempt(() => open());
      if (typeof reason === "string") result.bothRefuse++;
      else result.accepted.push(`${recorded.name}: libbpf does not open it (${recorded.err})`);
      continue;
    }
    for (const load of recorded.loads) {
      const what = `${recorded.name}${load.program === undefined ? "" : ` ${load.program}`}`;
      const backend = new RecordingBackend(host.cpus);
      const loaded = attempt(() => {
        const object = open();
        if (load.program !== undefined)
          for (const p of object.programList) p.autoload = p.name === load.program;
        return object.load(backend, { ...host, targetBtf: target });
      });
      if (load.program !== undefined) result.programs++;
      if (load.err !== 0 || typeof loaded === "string") {
        if (load.err !== 0 && typeof loaded === "string") {
          if (load.program !== undefined) result.bothRefuse++;
        } else if (typeof loaded === "string")
          result.differences.push(`${what}: libbpf loads it, we do not: ${loaded}`);
        else result.accepted.push(`${what}: libbpf refuses (${load.err})`);
        continue;
      }
      compareLoad(what, load, loaded, backend, target, result);
    }
  }
  return result;
}

function attempt<T>(f: () => T): T | string {
  try {
    return f();
  } catch (error) {
    if (error instanceof TsbpfError && !(error instanceof InternalError)) return error.message;
    throw error;
  }
}

const u32 = (bytes: Uint8Array, at: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("hex");

function compareLoad(
  what: string,
  want: RecordedLoad,
  loaded: LoadedObject,
  backend: RecordingBackend,
  target: Btf,
  result: LibbpfComparison,
): void {
  let equal = true;
  const check = (name: string, have: unknown, wanted: unknown): void => {
    result.attributes++;
    if (have === wanted) result.attributesEqual++;
    else {
      equal = false;
      result.differences.push(`${what}: ${name} ${short(have)}, want ${short(wanted)}`);
    }
  };
  check("BTF", hex(backend.btf), hex(want.btf));
  // A program alone has the object's maps: they count once.
  if (want.program === undefined) {
    result.maps += want.maps.length;
    check("maps", backend.created.length, want.maps.length);
    want.maps.forEach((map, i) => {
      const have = backend.created[i]?.attr;
      if (have !== undefined) compareMap(map, have, check);
    });
    compareContents(want, loaded, backend, target, check);
  }
  check("programs", backend.loaded.length, want.programs.length);
  want.programs.forEach((program, i) => {
    const have = backend.loaded[i]?.attr;
    if (have !== undefined) compareProgram(program, have, want, loaded, check);
  });
  if (want.program !== undefined && equal) result.programsEqual++;
}

type Check = (name: string, have: unknown, wanted: unknown) => void;

function compareMap(want: RecordedMapCreate, have: MapCreateAttr, check: Check): void {
  const rows: [string, unknown, unknown][] = [
    ["name", have.map_name, want.name],
    ["type", have.map_type, want.type],
    ["key_size", have.key_size, want.key],
    ["value_size", have.value_size, want.value],
    ["max_entries", have.max_entries, want.entries],
    ["map_flags", have.map_flags ?? 0, want.flags],
    ["numa_node", have.numa_node ?? 0, want.numa],
    ["map_extra", `${have.map_extra ?? 0n}`, want.extra],
    ["btf_fd", have.btf_fd === undefined ? 0 : 1, want.btf],
    ["btf_key_type_id", have.btf_key_type_id ?? 0, want.keyType],
    ["btf_value_type_id", have.btf_value_type_id ?? 0, want.valueType],
    ["btf_vmlinux_value_type_id", have.btf_vmlinux_value_type_id ?? 0, want.vmlinuxValueType],
    ["inner_map_fd", have.inner_map_fd === undefined ? 0 : 1, want.inner],
  ];
  for (const [name, a, b] of rows) check(`map ${want.name} ${name}`, a, b);
}

/** Initial values of data maps, slots, struct_ops, in any order. */
function compareContents(
  want: RecordedLoad,
  loaded: LoadedObject,
  backend: RecordingBackend,
  target: Btf,
  check: Check,
): void {
  const maps = Object.values(loaded.maps);
  const programs = Object.values(loaded.programs);
  const mine = new Map<number, string>([...maps, ...programs].map((o) => [o.fd, o.name]));
  const theirs = new Map<number, string>([...want.mapNames, ...want.programNames]);
  const line = (
    names: Map<number, string>,
    u: { fd: number; key: Uint8Array; value: Uint8Array },
  ): string => {
    const map = loaded.maps[names.get(u.fd) ?? ""];
    const isSlot = map !== undefined && map.spec.initialSlots.size > 0;
    const value = isSlot ? (names.get(u32(u.value, 0)) ?? "") : hex(u.value);
    return `${names.get(u.fd) ?? ""}[${hex(u.key)}] = ${value}`;
  };
  const struct = want.updates.filter(
    (u) => loaded.maps[theirs.get(u.fd) ?? ""]?.spec.structOps !== undefined,
  );
  const plain = want.updates.filter((u) => !struct.includes(u));
  const sorted = (rows: string[]): string => rows.sort().join("\n");
  check(
    "contents",
    sorted(backend.updates.map((u) => line(mine, u))),
    sorted(plain.map((u) => line(theirs, u))),
  );
  const fdNames = (names: Map<number, string>, fds: readonly number[]): string =>
    sorted(fds.map((fd) => names.get(fd) ?? ""));
  check("frozen", fdNames(mine, backend.frozen), fdNames(theirs, want.frozen));
  for (const u of struct) {
    const name = theirs.get(u.fd)!;
    const value = loaded.structOpsValue(name);
    const plan = loaded.object.structOps({ targetBtf: target })?.maps.find((m) => m.map.name === name);
    const text = (names: Map<number, string>, bytes: Uint8Array): string => {
      const copy = bytes.slice();
      const slots: string[] = [];
      for (const { offset: at } of plan?.slots ?? []) {
        slots.push(`${at} ${names.get(u32(bytes, at))}`);
        copy.fill(0, at, at + 8);
      }
      return `${slots.join(", ")} ${hex(copy)}`;
    };
    const ours = new Map<number, string>(programs.map((p) => [p.fd, p.name]));
    check(`struct_ops ${name}`, text(ours, value), text(want.programNames, u.value));
  }
}

const LD_IMM64 = 0x18;

function compareProgram(
  want: RecordedProgLoad,
  have: ProgLoadAttr,
  load: RecordedLoad,
  loaded: LoadedObject,
  check: Check,
): void {
  const name = want.name;
  check(`${name} prog_name`, have.prog_name, want.name);
  check(`${name} license`, have.license, want.license);
  check(`${name} prog_type`, have.prog_type, want.type);
  check(`${name} expected_attach_type`, have.expected_attach_type ?? 0, want.attachType);
  check(`${name} prog_flags`, have.prog_flags ?? 0, want.flags);
  check(`${name} attach_btf_id`, have.attach_btf_id ?? 0, want.attachBtfId);
  check(`${name} func_info`, hex(have.func_info), hex(want.funcInfo));
  check(`${name} line_info`, hex(have.line_info), hex(want.lineInfo));
  const names = new Map(Object.values(loaded.maps).map((m) => [m.fd, m.name]));
  check(`${name} insns`, code(have.insns, names), code(want.insns, load.mapNames));
}

/** Instructions with the maps' names where their fds were. */
function code(insns: Uint8Array, names: ReadonlyMap<number, string>): string {
  const copy = insns.slice();
  const maps: string[] = [];
  for (let at = 0; at + 8 <= copy.length; at += 8) {
    if (copy[at] !== LD_IMM64) continue;
    const source = copy[at + 1]! >>> 4;
    if (source === 1 || source === 2) {
      maps.push(names.get(u32(copy, at + 4)) ?? "?");
      copy.fill(0, at + 4, at + 8);
    }
    at += 8;
  }
  return `${maps.join(" ")} ${hex(copy)}`;
}

function short(value: unknown): string {
  const text = `${value as string}`;
  return text.length > 1200 ? `${text.slice(0, 1200)}...` : text;
}
