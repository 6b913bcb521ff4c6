/**
 * Every program of one selftest object, loaded alone on the running kernel: the row that the recorded data holds of it.
 * Runs here and in a guest.
 */
import koffi from "koffi";
import type { Backend, ProgLoadAttr, ProgLoadResult } from "../src/backend/index.ts";
import type { Btf } from "../src/btf/index.ts";
import { LoadError, TsbpfError, VerifierRejection } from "../src/diag/index.ts";
import type { LinuxBackend } from "../src/linux/index.ts";
import { BpfObject, type LoadedObject, type LoadOptions, type ProgramSpec } from "../src/loader/index.ts";
import * as uapi from "../src/uapi/index.ts";
import { type Expectation, progFlags, readAnnotations } from "./record-annotations.ts";

export interface RecordRow {
  readonly obj: string;
  readonly prog: string | null;
  readonly sec: string | null;
  readonly type: string | null;
  readonly verdict: "success" | "failure" | "denied" | "not-loaded" | "open-error";
  readonly errno: number;
  /** Why it was not loaded: our loader's words. */
  readonly reason?: string;
  readonly attach?: string;
  readonly insns?: number;
  readonly ld_insns?: number;
  readonly flags?: number;
  readonly caps?: string;
  readonly expect?: Expectation | null;
  readonly stage?: string;
  readonly processed?: number;
  readonly total_states?: number;
  readonly peak_states?: number;
  readonly max_states_per_insn?: number;
  readonly verif_us?: number;
  readonly load_ms?: number;
  readonly stack?: string | null;
  readonly log_tail?: readonly string[];
  readonly msgs_ok?: boolean;
  readonly first_unmatched?: string;
  readonly agree?: boolean;
  readonly run?: {
    readonly errno: number;
    readonly retval: number;
    readonly ok: boolean;
    readonly ns: number;
  };
}

export interface RecordedLoad {
  readonly row: RecordRow;
  /** The whole verifier log. */
  readonly log: string;
  readonly attr: ProgLoadAttr | undefined;
}

export interface RecordTarget {
  readonly backend: LinuxBackend;
  readonly btf: Btf;
  readonly kconfig: string;
  readonly kernelVersion: number;
  readonly ksym: (name: string) => bigint | undefined;
}

const CAP_SYS_ADMIN = 21;
const TEST_DATA_LEN = 64;
const POINTER_VALUE = 0xbadcafe;
const LOG_STATS = 4;

/** Runs without a capability in the effective set of this thread; it comes back afterwards. */
const withoutCapability = (() => {
  const libc = koffi.load(null);
  const capget = libc.func("int capget(uint8_t *header, _Out_ uint8_t *data)");
  const capset = libc.func("int capset(uint8_t *header, uint8_t *data)");
  const header = new Uint8Array(Uint32Array.of(0x20080522, 0).buffer);
  return <T>(capability: number, use: () => T): T => {
    const before = new Uint8Array(24);
    if (capget(header, before) < 0) throw new Error("capget");
    const without = before.slice();
    const view = new DataView(without.buffer);
    const at = capability < 32 ? 0 : 12;
    view.setUint32(at, view.getUint32(at, true) & ~(1 << (capability & 31)), true);
    if (capset(header, without) < 0) throw new Error("capset");
    try {
      return use();
    } finally {
      capset(header, before);
    }
  };
})();

/** The backend with the log that a recording wants, and with an eye on what is loaded. */
function watching(
  backend: LinuxBackend,
  logLevel: number,
): { backend: Backend; last: () => { attr: ProgLoadAttr; result: ProgLoadResult; ms: number } | undefined } {
  let last: { attr: ProgLoadAttr; result: ProgLoadResult; ms: number } | undefined;
  const proxy = new Proxy(backend, {
    get(target, key) {
      if (key === "progLoad")
        return (attr: ProgLoadAttr): ProgLoadResult => {
          const start = performance.now();
          const result = target.progLoad({ ...attr, log_level: logLevel });
          last = { attr, result, ms: performance.now() - start };
          return result;
        };
      const value = Reflect.get(target, key, target) as unknown;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { backend: proxy, last: () => last };
}

/** The program alone, with what its tail calls and its maps' slots name. */
function only(object: BpfObject, spec: ProgramSpec): void {
  for (const other of object.programList) other.autoload = other === spec;
  for (const map of object.mapList) {
    if (map.structOps !== undefined) map.autocreate = false;
    // The tests' user space gives these their size.
    if (map.type === uapi.BPF_MAP_TYPE_RINGBUF || map.type === uapi.BPF_MAP_TYPE_USER_RINGBUF)
      map.maxEntries ||= 4096;
    else if (WANTS_ENTRIES.has(map.type)) map.maxEntries ||= 1;
  }
}

const WANTS_ENTRIES: ReadonlySet<number> = new Set([
  uapi.BPF_MAP_TYPE_ARRAY,
  uapi.BPF_MAP_TYPE_HASH,
  uapi.BPF_MAP_TYPE_LRU_HASH,
  uapi.BPF_MAP_TYPE_PERCPU_ARRAY,
  uapi.BPF_MAP_TYPE_PERCPU_HASH,
  uapi.BPF_MAP_TYPE_PROG_ARRAY,
  uapi.BPF_MAP_TYPE_QUEUE,
  uapi.BPF_MAP_TYPE_STACK,
  uapi.BPF_MAP_TYPE_BLOOM_FILTER,
  uapi.BPF_MAP_TYPE_STACK_TRACE,
  uapi.BPF_MAP_TYPE_CPUMAP,
  uapi.BPF_MAP_TYPE_DEVMAP,
  uapi.BPF_MAP_TYPE_SOCKMAP,
  uapi.BPF_MAP_TYPE_SOCKHASH,
  uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS,
  uapi.BPF_MAP_TYPE_HASH_OF_MAPS,
]);

/** Types that the tests' user space gives to programs whose section says none. */
const GUESSES: readonly [section: RegExp, type: number][] = [
  [/sk_msg/, uapi.BPF_PROG_TYPE_SK_MSG],
  [/sk_skb/, uapi.BPF_PROG_TYPE_SK_SKB],
  [/tracepoint/, uapi.BPF_PROG_TYPE_TRACEPOINT],
  [/xdp|redirect_to/, uapi.BPF_PROG_TYPE_XDP],
];

function number(log: string, pattern: RegExp): number {
  const found = pattern.exec(log)?.[1];
  return found === undefined ? -1 : Number(found);
}

/** Each message must stand in the log behind the one before. */
function firstUnmatched(log: string, messages: readonly string[]): string | undefined {
  let at = 0;
  for (const message of messages) {
    let end = -1;
    if (message.includes("{{")) {
      const parts = message.split(/\{\{(.*?)\}\}/s);
      const quote = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      const source = parts.map((part, i) => (i % 2 ? part : quote(part))).join("");
      const match = new RegExp(source).exec(log.slice(at));
      if (match) end = at + match.index + match[0].length;
    } else {
      const found = log.indexOf(message, at);
      if (found >= 0) end = found + message.length;
    }
    if (end < 0) return message;
    at = end;
  }
  return undefined;
}

const shortName = (names: Readonly<Record<number, string>>, prefix: string, value: number): string =>
  (names[value] ?? String(value)).replace(prefix, "").toLowerCase();

function testRun(loaded: LoadedObject, spec: ProgramSpec, expected: number): RecordRow["run"] {
  const bare = spec.type === uapi.BPF_PROG_TYPE_SYSCALL;
  const { err, retval, duration } = loaded.programs[spec.name]!.testRun(
    bare ? {} : { data_in: new Uint8Array(TEST_DATA_LEN), data_size_out: TEST_DATA_LEN << 2, repeat: 1 },
  );
  const ok = err === 0 && (expected === POINTER_VALUE || (retval | 0) === (expected | 0));
  return { errno: -err, retval: retval | 0, ok, ns: duration };
}

/** `open` gives the object anew: its maps and flags change as it is loaded. */
function recordProgram(
  target: RecordTarget,
  obj: string,
  bytes: Uint8Array,
  name: string,
  expect: Expectation | undefined,
): RecordedLoad {
  const object = BpfObject.open(bytes, { name: obj.split(".")[0]! });
  const spec = object.programList.find((program) => program.name === name)!;
  const insns = spec.insns.length / 8;
  only(object, spec);
  if (spec.type === uapi.BPF_PROG_TYPE_UNSPEC)
    spec.type = GUESSES.find(([section]) => section.test(spec.sectionName))?.[1] ?? spec.type;
  spec.flags = progFlags(expect, spec.flags);
  const caps = obj.startsWith("verifier_") ? "-SYS_ADMIN" : "full";
  const level = (expect?.log_level ?? 1) | LOG_STATS;
  const { backend, last } = watching(target.backend, level);
  const options: LoadOptions = {
    targetBtf: target.btf,
    kconfig: target.kconfig,
    kernelVersion: target.kernelVersion,
    ksym: target.ksym,
    logLevel: level,
  };
  const head = {
    obj,
    prog: name,
    sec: spec.sectionName,
    type: shortName(uapi.bpf_prog_type_names, "BPF_PROG_TYPE_", spec.type),
    attach: shortName(uapi.bpf_attach_type_names, "BPF_", spec.attachType),
    insns,
    flags: spec.flags,
    caps,
    expect: expect ?? null,
  };
  let errno = 0;
  let stage = "ok";
  let reason: string | undefined;
  let run: RecordRow["run"];
  const attempt = (): void => {
    try {
      using loaded = object.load(backend, options);
      if (expect?.retval !== undefined) run = testRun(loaded, spec, expect.retval);
    } catch (error) {
      if (!(error instanceof TsbpfError)) throw error;
      reason = error.message.split("\n")[0]!;
      errno = error instanceof VerifierRejection || error instanceof LoadError ? (error.errno ?? 0) : 0;
      stage = error instanceof VerifierRejection ? "verifier" : "loader";
    }
  };
  if (caps === "full") attempt();
  else withoutCapability(CAP_SYS_ADMIN, attempt);
  const load = last();
  const log = load?.result.log ?? "";
  const loaded = load !== undefined;
  const verdict: RecordRow["verdict"] =
    stage === "ok"
      ? "success"
      : !loaded || stage === "loader"
        ? "not-loaded"
        : errno === uapi.EPERM && log.trim() === ""
          ? "denied"
          : "failure";
  const unmatched = expect?.msgs && loaded ? firstUnmatched(log, expect.msgs) : undefined;
  const row: RecordRow = {
    ...head,
    ld_insns: load === undefined ? 0 : load.attr.insns.length / 8,
    verdict,
    stage,
    errno,
    ...(verdict === "not-loaded" && reason !== undefined ? { reason } : {}),
    processed: number(log, /^processed (\d+) insns/m),
    total_states: number(log, /total_states (\d+)/),
    peak_states: number(log, /peak_states (\d+)/),
    max_states_per_insn: number(log, /max_states_per_insn (\d+)/),
    verif_us: number(log, /^verification time (\d+) usec/m),
    load_ms: Math.round((load?.ms ?? 0) * 100) / 100,
    stack: /^stack depth ([\d+]+)/m.exec(log)?.[1] ?? null,
    log_tail: log
      .trimEnd()
      .split("\n")
      .slice(-6)
      .filter((line) => line !== ""),
    ...(expect?.msgs && loaded ? { msgs_ok: unmatched === undefined } : {}),
    ...(unmatched === undefined ? {} : { first_unmatched: unmatched }),
    ...(run === undefined ? {} : { run }),
    ...(expect?.priv && loaded && verdict !== "denied" ? { agree: expect.priv === verdict } : {}),
  };
  return { row, log, attr: load?.attr };
}

export function recordObject(target: RecordTarget, obj: string, bytes: Uint8Array): RecordedLoad[] {
  let object: BpfObject;
  try {
    object = BpfObject.open(bytes, { name: obj.split(".")[0]! });
  } catch (error) {
    if (!(error instanceof TsbpfError)) throw error;
    const row = {
      obj,
      prog: null,
      sec: null,
      type: null,
      verdict: "open-error",
      errno: 0,
      reason: error.message,
    } as const;
    return [{ row, log: "", attr: undefined }];
  }
  const annotations = readAnnotations(object.btf);
  return object.programList.map((spec) =>
    recordProgram(target, obj, bytes, spec.name, annotations.get(spec.name)),
  );
}
