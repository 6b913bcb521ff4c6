/**
 * libbpf 1.5 itself, of Linux 6.12's tree, answering what it would hand to bpf(2) (record.c). Nothing reaches the
 * kernel.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bpftool, cacheDir, linuxSource, sourceVersion } from "../selftests-build.ts";

const SOURCE = fileURLToPath(new URL("record.c", import.meta.url));

/** Builds the recorder at first use; the library's objects are those of bpftool's build. */
export function recorder(): string {
  const source = linuxSource();
  const library = join(bpftool(source), "../libbpf");
  const dir = join(cacheDir(), `libbpf-record-${sourceVersion(source)}`);
  const path = join(dir, "record");
  if (existsSync(path) && statSync(path).mtimeMs > statSync(SOURCE).mtimeMs) return path;
  mkdirSync(dir, { recursive: true });
  const partial = `${path}.${process.pid}`;
  const objects = readdirSync(join(library, "staticobjs")).filter(
    (name) => name.endsWith(".o") && name !== "libbpf-in.o",
  );
  const include = ["tools/include", "tools/include/uapi", "tools/lib/bpf"].map((d) => `-I${join(source, d)}`);
  const wrap = ["syscall", "probe_kern_syscall_wrapper", "btf__load_vmlinux_btf", "btf__free"].map(
    (name) => `-Wl,--wrap=${name}`,
  );
  execFileSync(
    "gcc",
    [
      ...["-O2", `-I${join(library, "include")}`, ...include, SOURCE],
      ...objects.map((name) => join(library, "staticobjs", name)),
      ...[...wrap, "-lelf", "-lz", "-o", partial],
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  renameSync(partial, path);
  return path;
}

export interface RecordedMapCreate {
  /** 15 characters at most; an inner map's is cut from `outer.inner`. */
  readonly name: string;
  readonly type: number;
  readonly key: number;
  readonly value: number;
  readonly entries: number;
  readonly flags: number;
  readonly numa: number;
  readonly extra: string;
  /** 1: a BTF fd was given. */
  readonly btf: number;
  readonly keyType: number;
  readonly valueType: number;
  readonly vmlinuxValueType: number;
  /** 1: an inner map's fd was given. */
  readonly inner: number;
}

export interface RecordedProgLoad {
  readonly name: string;
  readonly license: string;
  readonly type: number;
  readonly attachType: number;
  readonly flags: number;
  readonly attachBtfId: number;
  readonly insns: Uint8Array;
  readonly funcInfo: Uint8Array;
  readonly lineInfo: Uint8Array;
}

/** One bpf_object__load. */
export interface RecordedLoad {
  /** The only program that was to load; undefined: those that load by themselves. */
  readonly program: string | undefined;
  /** 0, or a negative errno. */
  err: number;
  btf: Uint8Array | undefined;
  readonly maps: RecordedMapCreate[];
  readonly programs: RecordedProgLoad[];
  readonly updates: { readonly fd: number; readonly key: Uint8Array; readonly value: Uint8Array }[];
  readonly frozen: number[];
  /** Known where the load succeeded. */
  readonly mapNames: Map<number, string>;
  readonly programNames: Map<number, string>;
}

export interface RecordedObject {
  readonly name: string;
  /** bpf_object__open's. */
  readonly err: number;
  readonly loads: RecordedLoad[];
}

const BATCH = 40;

/** `each`: every program alone as well. */
export function* recordObjects(
  btf: string,
  paths: readonly string[],
  each: boolean,
): Generator<RecordedObject, void, undefined> {
  for (let at = 0; at < paths.length; at += BATCH) {
    const args = ["--btf", btf, ...(each ? ["--each"] : []), ...paths.slice(at, at + BATCH)];
    const text = execFileSync(recorder(), args, { maxBuffer: 1 << 30, encoding: "latin1" });
    yield* parse(text);
  }
}

const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));
const names = (fds: Record<string, string>): [number, string][] =>
  Object.entries(fds).map(([fd, name]) => [Number(fd), name]);

function* parse(text: string): Generator<RecordedObject, void, undefined> {
  let object: RecordedObject | undefined;
  let load: RecordedLoad | undefined;
  for (const line of text.split("\n")) {
    if (line === "") continue;
    // biome-ignore lint/suspicious/noExplicitAny: the recorder's own lines.
    const e = JSON.parse(line) as any;
    switch (e.event) {
      case "object":
        if (object !== undefined) yield object;
        object = { name: e.name, err: e.err, loads: [] };
        break;
      case "load":
        load = {
          program: e.program ?? undefined,
          err: 0,
          btf: undefined,
          maps: [],
          programs: [],
          updates: [],
          frozen: [],
          mapNames: new Map(),
          programNames: new Map(),
        };
        object!.loads.push(load);
        break;
      case "end":
        load!.err = e.err;
        break;
      case "btf":
        load!.btf ??= unhex(e.bytes);
        break;
      case "map":
        load!.maps.push(e);
        break;
      case "program":
        load!.programs.push({
          ...e,
          insns: unhex(e.insns),
          funcInfo: unhex(e.funcInfo),
          lineInfo: unhex(e.lineInfo),
        });
        break;
      case "update":
        load!.updates.push({ fd: e.fd, key: unhex(e.key), value: unhex(e.value) });
        break;
      case "freeze":
        load!.frozen.push(e.fd);
        break;
      default:
        for (const [fd, name] of names(e.maps)) load!.mapNames.set(fd, name);
        for (const [fd, name] of names(e.programs)) load!.programNames.set(fd, name);
    }
  }
  if (object !== undefined) yield object;
}

/** CPU time in ns of open and load by object, the median of `rounds`; objects that libbpf refuses are left out. */
export function timeObjects(btf: string, paths: readonly string[], rounds: number): Map<string, number> {
  const text = execFileSync(recorder(), ["--btf", btf, "--time", `${rounds}`, ...paths], {
    maxBuffer: 1 << 28,
    encoding: "latin1",
  });
  const all = new Map<string, number[]>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const { object, err, ns } = JSON.parse(line) as { object: string; err: number; ns: number };
    if (err !== 0) continue;
    const list = all.get(object);
    if (list === undefined) all.set(object, [ns]);
    else list.push(ns);
  }
  return new Map([...all].map(([name, list]) => [name, list.sort((a, b) => a - b)[list.length >> 1]!]));
}

/** Reads a file as bytes. */
export function bytesOf(path: string): Uint8Array {
  return new Uint8Array(readFileSync(path));
}
