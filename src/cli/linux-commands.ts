// tsbpf prog|map|link|btf ... --linux: bpftool's commands on the running kernel, in bpftool's grammar.
import type { BtfInfo, LinkInfo, MapInfo, ProgInfo } from "../backend/index.ts";
import { btfRawRow, btfRawText, parseBtf } from "../btf/index.ts";
import { LinuxBackend } from "../linux/index.ts";
import { LiveMap, type MapSpec } from "../loader/index.ts";
import { readFile } from "../platform/node.ts";
import * as uapi from "../uapi/index.ts";
import { listing } from "./disasm.ts";
import { checked, forEachObject, KINDS, openNamed, Words } from "./linux-objects.ts";
import { formatMap, mapRows } from "./map-rows.ts";
import { openObject, progTypeName } from "./object.ts";
import { hexDump, print, printJson, UsageError } from "./output.ts";
import { verdictOf } from "./verdicts.ts";

interface Call {
  readonly k: LinuxBackend;
  readonly words: Words;
  readonly json: boolean;
}

type Verb = (call: Call) => void;

const short = (names: Readonly<Record<number, string>>, prefix: string, value: number): string =>
  (names[value] ?? `type_${value}`).replace(prefix, "").toLowerCase();

function known<T>(k: LinuxBackend, what: string, info: T | number): T {
  if (typeof info === "number") checked(k, what, info);
  return info as T;
}

/** All objects of a kind, or the one that the words name. */
function eachNamed(call: Call, kind: keyof typeof KINDS, use: (fd: number) => void): void {
  const { k, words } = call;
  if (words.done) {
    forEachObject(k, KINDS[kind], use);
    return;
  }
  const fd = openNamed(k, KINDS[kind], words);
  words.end();
  use(fd);
  k.close(fd);
}

function show<T>(
  call: Call,
  kind: keyof typeof KINDS,
  read: (fd: number) => T | number,
  row: (info: T) => object,
  text: (info: T) => string,
): void {
  const infos: T[] = [];
  const one = !call.words.done;
  eachNamed(call, kind, (fd) => infos.push(known(call.k, `${kind} info`, read(fd))));
  if (call.json) printJson(one ? row(infos[0]!) : infos.map(row));
  else print(infos.map(text).join(""));
}

// ---- programs ----------------------------------------------------------------------------------------------------

function progRow(p: ProgInfo): object {
  return {
    id: p.id,
    type: progTypeName(p.type),
    ...(p.name === "" ? {} : { name: p.name }),
    tag: p.tag,
    gpl_compatible: p.gpl_compatible,
    loaded_at: Math.floor(Number(p.load_time) / 1e9),
    uid: p.created_by_uid,
    bytes_xlated: p.xlated_prog_len,
    jited: p.jited_prog_len > 0,
    bytes_jited: p.jited_prog_len,
    ...(p.map_ids.length > 0 ? { map_ids: p.map_ids } : {}),
    ...(p.btf_id === 0 ? {} : { btf_id: p.btf_id }),
    ...(p.run_cnt === 0n ? {} : { run_time_ns: p.run_time_ns, run_cnt: p.run_cnt }),
  };
}

function progText(p: ProgInfo): string {
  const stats = p.run_cnt === 0n ? "" : `  run_time_ns ${p.run_time_ns}  run_cnt ${p.run_cnt}`;
  const maps = p.map_ids.length === 0 ? "" : `  map_ids ${p.map_ids.join(",")}`;
  const btf = p.btf_id === 0 ? "" : `\n\tbtf_id ${p.btf_id}`;
  return (
    `${p.id}: ${progTypeName(p.type)}${p.name === "" ? "" : `  name ${p.name}`}  tag ${p.tag}${p.gpl_compatible ? "  gpl" : ""}${stats}\n` +
    `\txlated ${p.xlated_prog_len}B  ${p.jited_prog_len > 0 ? `jited ${p.jited_prog_len}B` : "not jited"}${maps}${btf}\n`
  );
}

const progShow: Verb = (call) => show(call, "prog", (fd) => call.k.progInfo(fd), progRow, progText);

const progDump: Verb = (call) => {
  call.words.expect("xlated");
  const fd = openNamed(call.k, KINDS.prog, call.words);
  call.words.end();
  const info = known(call.k, "prog info", call.k.progInfo(fd));
  call.k.close(fd);
  const rows = listing(info.xlated_prog_insns, "kernel");
  if (call.json) printJson(rows.map(({ slot, text, bytes }) => ({ slot, disasm: text, opcodes: bytes })));
  else print(rows.map(({ slot, text }) => `${String(slot).padStart(4)}: ${text}\n`).join(""));
};

/** prog load OBJ PATH [prog NAME]: the object's program, pinned. */
const progLoad: Verb = ({ k, words, json }) => {
  const [path, pin] = [words.next("the object"), words.next("the path to pin the program at")];
  let name: string | undefined;
  if (words.peek() === "prog") {
    words.expect("prog");
    name = words.next("the program's name");
  }
  words.end();
  const object = openObject(path);
  const chosen = name ?? object.programList[0]?.name;
  const spec = object.programList.find((program) => program.name === chosen);
  if (spec === undefined) throw new UsageError(`${path} holds no program ${chosen ?? ""}`);
  for (const other of object.programList) other.autoload = other === spec;
  const target = parseBtf(readFile("/sys/kernel/btf/vmlinux"));
  using loaded = object.load(k, { targetBtf: target });
  checked(k, `pin at ${pin}`, k.objPin(loaded.programs[spec.name]!.fd, pin));
  if (json) printJson({});
};

function pinVerb(kind: keyof typeof KINDS): Verb {
  return ({ k, words, json }) => {
    const fd = openNamed(k, KINDS[kind], words);
    const path = words.next("the path");
    words.end();
    checked(k, `pin at ${path}`, k.objPin(fd, path));
    k.close(fd);
    if (json) printJson({});
  };
}

/** prog run PROG data_in FILE [repeat N]; prog run PROG ctx_in FILE. */
const progRun: Verb = ({ k, words, json }) => {
  const fd = openNamed(k, KINDS.prog, words);
  const { type } = known(k, "prog info", k.progInfo(fd));
  let data: Uint8Array | undefined;
  let ctx: Uint8Array | undefined;
  let repeat = 0;
  while (!words.done) {
    const option = words.next("an option");
    if (option === "data_in") data = readFile(words.next("the file of data_in"));
    else if (option === "ctx_in") ctx = readFile(words.next("the file of ctx_in"));
    else if (option === "repeat") repeat = words.number("repeat");
    else throw new UsageError(`prog run takes data_in, ctx_in and repeat, not ${option}`);
  }
  const isSyscall = type === uapi.BPF_PROG_TYPE_SYSCALL || type === uapi.BPF_PROG_TYPE_RAW_TRACEPOINT;
  const result = k.progTestRun(fd, {
    ...(repeat > 0 ? { repeat } : {}),
    ...(data === undefined ? {} : { data_in: data, data_size_out: data.length + 4096 }),
    ...(ctx === undefined ? {} : { ctx_in: ctx, ...(isSyscall ? {} : { ctx_size_out: ctx.length }) }),
  });
  checked(k, "test run", result.err);
  k.close(fd);
  const { retval, duration, data_out, ctx_out } = result;
  if (json) printJson({ retval, duration, data_out, ctx_out });
  else {
    const { name } = verdictOf(type, retval);
    print(
      `Return value: ${retval}${name === String(retval | 0) ? "" : ` (${name})`}, duration (average): ${duration}ns\n`,
    );
    if (data_out.length > 0) print(hexDump(data_out));
  }
};

// ---- maps --------------------------------------------------------------------------------------------------------

function mapRow(m: MapInfo): object {
  return {
    id: m.id,
    type: short(uapi.bpf_map_type_names, "BPF_MAP_TYPE_", m.type),
    ...(m.name === "" ? {} : { name: m.name }),
    flags: m.map_flags,
    bytes_key: m.key_size,
    bytes_value: m.value_size,
    max_entries: m.max_entries,
    ...(m.btf_id === 0 ? {} : { btf_id: m.btf_id }),
  };
}

function mapText(m: MapInfo): string {
  return (
    `${m.id}: ${short(uapi.bpf_map_type_names, "BPF_MAP_TYPE_", m.type)}${m.name === "" ? "" : `  name ${m.name}`}  flags 0x${m.map_flags.toString(16)}\n` +
    `\tkey ${m.key_size}B  value ${m.value_size}B  max_entries ${m.max_entries}${m.btf_id === 0 ? "" : `\n\tbtf_id ${m.btf_id}`}\n`
  );
}

const mapShow: Verb = (call) => show(call, "map", (fd) => call.k.mapInfo(fd), mapRow, mapText);

/** The map with the types that its BTF gives it. */
function liveMap(k: LinuxBackend, fd: number): LiveMap {
  const m = known(k, "map info", k.mapInfo(fd));
  const spec: MapSpec = {
    name: m.name || `id ${m.id}`,
    origin: "btf",
    sectionName: "",
    sectionIndex: 0,
    sectionOffset: 0,
    variableSize: 0,
    valuesOffset: -1,
    type: m.type,
    keySize: m.key_size,
    valueSize: m.value_size,
    maxEntries: m.max_entries,
    flags: m.map_flags,
    numaNode: 0,
    extra: m.map_extra,
    keyTypeId: m.btf_key_type_id,
    valueTypeId: m.btf_value_type_id,
    innerMap: undefined,
    pinByName: false,
    autocreate: true,
    initialValue: undefined,
    initialSlots: new Map(),
    structOps: undefined,
  };
  let btf: BtfInfo | undefined;
  if (m.btf_id !== 0) {
    const btfFd = checked(k, `btf with id ${m.btf_id}`, k.btfGetFdById(m.btf_id));
    btf = known(k, "btf info", k.btfInfo(btfFd));
    k.close(btfFd);
  }
  return new LiveMap(k, spec, fd, btf === undefined || btf.kernel_btf ? undefined : parseBtf(btf.btf));
}

const mapDump: Verb = ({ k, words, json }) => {
  const fd = openNamed(k, KINDS.map, words);
  words.end();
  const map = liveMap(k, fd);
  const type = map.spec.type;
  // Reading a ring would take its records from whoever it is for.
  const isRing = type === uapi.BPF_MAP_TYPE_RINGBUF || type === uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY;
  if (isRing) throw new UsageError("a ring's records belong to its reader: map dump leaves them there");
  const rows = mapRows({ backend: k }, map);
  k.close(fd);
  if (json) printJson(rows.entries);
  else print(formatMap(rows));
};

function keyed(call: Call): { fd: number; map: LiveMap; key: Uint8Array } {
  const fd = openNamed(call.k, KINDS.map, call.words);
  const map = liveMap(call.k, fd);
  call.words.expect("key");
  return { fd, map, key: call.words.bytes("key", map.spec.keySize) };
}

const mapLookup: Verb = (call) => {
  const { fd, map, key } = keyed(call);
  call.words.end();
  const value = new Uint8Array(map.types.valueSize);
  checked(call.k, "lookup", call.k.mapLookupElem(fd, key, value));
  call.k.close(fd);
  if (call.json)
    printJson({
      key: [...key],
      value: [...value],
      formatted: { key: map.types.formatKey(key), value: map.types.formatValue(value) },
    });
  else print(`key:\n${hexDump(key)}value:\n${hexDump(value)}`);
};

const UPDATE_FLAGS: Readonly<Record<string, number>> = {
  any: uapi.BPF_ANY,
  noexist: uapi.BPF_NOEXIST,
  exist: uapi.BPF_EXIST,
};

const mapUpdate: Verb = (call) => {
  const { words, k } = call;
  const { fd, map, key } = keyed(call);
  words.expect("value");
  const value = words.bytes("value", map.types.valueSize);
  const word = words.done ? "any" : words.next("flags");
  const flags = UPDATE_FLAGS[word];
  if (flags === undefined) throw new UsageError(`an update is any, noexist or exist, not ${word}`);
  words.end();
  checked(k, "update", k.mapUpdateElem(fd, key, value, flags));
  k.close(fd);
  if (call.json) printJson({});
};

const mapDelete: Verb = (call) => {
  const { fd, key } = keyed(call);
  call.words.end();
  checked(call.k, "delete", call.k.mapDeleteElem(fd, key));
  call.k.close(fd);
  if (call.json) printJson({});
};

const mapFreeze: Verb = ({ k, words, json }) => {
  const fd = openNamed(k, KINDS.map, words);
  words.end();
  checked(k, "freeze", k.mapFreeze(fd));
  k.close(fd);
  if (json) printJson({});
};

/** map create PATH type TYPE key N value N entries N [name NAME] [flags N]. */
const mapCreate: Verb = ({ k, words, json }) => {
  const path = words.next("the path to pin the map at");
  const given: Record<string, string> = {};
  while (!words.done) {
    const option = words.next("an option");
    if (!["type", "key", "value", "entries", "name", "flags"].includes(option))
      throw new UsageError(`map create takes type, key, value, entries, name and flags, not ${option}`);
    given[option] = words.next(option);
  }
  const type = Object.entries(uapi.bpf_map_type_names).find(
    ([, name]) => name === `BPF_MAP_TYPE_${given["type"]?.toUpperCase()}`,
  );
  if (type === undefined) throw new UsageError(`no map type ${given["type"] ?? "given"}`);
  const fd = k.mapCreate({
    map_type: Number(type[0]),
    key_size: Number(given["key"] ?? 0),
    value_size: Number(given["value"] ?? 0),
    max_entries: Number(given["entries"] ?? 0),
    map_flags: Number(given["flags"] ?? 0),
    ...(given["name"] === undefined ? {} : { map_name: given["name"] }),
  });
  checked(k, "map create", fd);
  checked(k, `pin at ${path}`, k.objPin(fd, path));
  k.close(fd);
  if (json) printJson({});
};

// ---- links, BTF --------------------------------------------------------------------------------------------------

function linkRow(l: LinkInfo): object {
  return {
    id: l.id,
    type: short(uapi.bpf_link_type_names, "BPF_LINK_TYPE_", l.type),
    prog_id: l.prog_id,
    ...(l.attach_type === 0 ? {} : { attach_type: short(uapi.bpf_attach_type_names, "BPF_", l.attach_type) }),
    target: l.target,
    ...(l.target_name === undefined ? {} : { target_name: l.target_name }),
    ...(l.cookie ? { cookie: l.cookie } : {}),
  };
}

function linkText(l: LinkInfo): string {
  const row = Object.entries(linkRow(l)).filter(([key]) => !["id", "type", "prog_id"].includes(key));
  const type = short(uapi.bpf_link_type_names, "BPF_LINK_TYPE_", l.type);
  return `${l.id}: ${type}  prog ${l.prog_id}\n\t${row.map(([key, value]) => `${key} ${value}`).join("  ")}\n`;
}

const linkShow: Verb = (call) => show(call, "link", (fd) => call.k.linkInfo(fd), linkRow, linkText);

const linkDetach: Verb = ({ k, words, json }) => {
  const fd = openNamed(k, KINDS.link, words);
  words.end();
  checked(k, "detach", k.linkDetach(fd));
  k.close(fd);
  if (json) printJson({});
};

const btfShow: Verb = (call) =>
  show(
    call,
    "btf",
    (fd) => call.k.btfInfo(fd),
    (b: BtfInfo) => ({
      id: b.id,
      size: b.btf.length,
      ...(b.name === "" ? {} : { name: b.name }),
      kernel: b.kernel_btf,
    }),
    (b) =>
      `${b.id}: ${b.name === "" ? "name <anon>" : `name [${b.name}]`}  size ${b.btf.length}B${b.kernel_btf ? "  kernel" : ""}\n`,
  );

const btfDump: Verb = ({ k, words, json }) => {
  const fd = openNamed(k, KINDS.btf, words);
  words.end();
  const info = known(k, "btf info", k.btfInfo(fd));
  k.close(fd);
  const isModule = info.kernel_btf && info.name !== "vmlinux";
  const base = isModule ? parseBtf(readFile("/sys/kernel/btf/vmlinux")) : undefined;
  const btf = parseBtf(info.btf, base === undefined ? {} : { base });
  const ids = Array.from({ length: btf.typeCount - btf.startId }, (_, i) => btf.startId + i);
  if (json) printJson({ types: ids.map((id) => btfRawRow(btf, id)) });
  else
    for (let i = 0; i < ids.length; i += 512)
      print(
        `${ids
          .slice(i, i + 512)
          .map((id) => btfRawText(btf, id))
          .join("\n")}\n`,
      );
};

const NOUNS: Readonly<Record<string, Readonly<Record<string, Verb>>>> = {
  prog: {
    show: progShow,
    list: progShow,
    dump: progDump,
    load: progLoad,
    pin: pinVerb("prog"),
    run: progRun,
  },
  map: {
    show: mapShow,
    list: mapShow,
    dump: mapDump,
    lookup: mapLookup,
    update: mapUpdate,
    delete: mapDelete,
    create: mapCreate,
    freeze: mapFreeze,
    pin: pinVerb("map"),
  },
  link: { show: linkShow, list: linkShow, detach: linkDetach, pin: pinVerb("link") },
  btf: { show: btfShow, list: btfShow, dump: btfDump },
};

/** Whether the command line is one of these. */
export function isLinuxCommand(args: readonly string[]): boolean {
  return args.includes("--linux") && NOUNS[args[0] ?? ""] !== undefined && !args.includes("--help");
}

export async function linuxCommand(args: readonly string[]): Promise<void> {
  const flags = new Set(["--linux", "--json", "-j"]);
  const [noun = "", verb = "show", ...rest] = args.filter((arg) => !flags.has(arg));
  const verbs = NOUNS[noun]!;
  const run = verbs[verb];
  if (run === undefined)
    throw new UsageError(`${noun} --linux has no command ${verb}; it has ${Object.keys(verbs).join(", ")}`);
  const k = await LinuxBackend.open();
  run({ k, words: new Words(rest), json: args.includes("--json") || args.includes("-j") });
}
