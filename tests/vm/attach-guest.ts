// In a guest: selftest programs of every kind, attached through our API. Each fires, and an event of its firing comes out of
// a ring buffer by `for await`: out of the program's own ring where it has one, else out of the ring of a tap, an fexit
// program on it.
//   attach-guest.ts FOLDER [OBJECT]    prints `@@JSON {row}` a program
import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, connect as tcpConnect } from "node:net";
import { join } from "node:path";
import koffi from "koffi";
import * as b from "../../src/asm/index.ts";
import { BTF_KIND_FUNC, parseBtf } from "../../src/btf/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import {
  type AttachOptions,
  BpfObject,
  type LiveProgram,
  type LoadedObject,
  RingBuffer,
} from "../../src/loader/index.ts";
import * as uapi from "../../src/uapi/index.ts";

export interface GuestRow {
  readonly kind: string;
  readonly obj: string;
  readonly prog: string;
  /** Events that came out of the async iterator (at least one is waited for). */
  readonly events: number;
  readonly own: boolean;
  readonly runs: number;
  readonly error?: string;
}

const folder = process.argv[2]!;
const k = await LinuxBackend.open();
const target = parseBtf(new Uint8Array(readFileSync("/sys/kernel/btf/vmlinux")));
k.enableStats(uapi.BPF_STATS_RUN_TIME);

const libc = koffi.load(null);
const getpgid = libc.func("int getpgid(int pid)");
const syscall = libc.func("long syscall(long number, long a, long b, long c, long d, long e)");
const prctl = libc.func(
  "int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)",
);
const socket = libc.func("int socket(int domain, int type, int protocol)");
const getsockopt = libc.func("int getsockopt(int fd, int level, int name, uint8_t *value, uint32_t *len)");
const setsockopt = libc.func("int setsockopt(int fd, int level, int name, uint8_t *value, uint32_t len)");
const mprotect = libc.func("int mprotect(uint64_t at, size_t len, int prot)");
const mmap = libc.func("uint64_t mmap(uint64_t at, size_t len, int prot, int flags, int fd, int64_t off)");
const NANOSLEEP = 35;

const cgroupPath = "/sys/fs/cgroup/own";
mkdirSync(cgroupPath);
writeFileSync(`${cgroupPath}/cgroup.procs`, String(process.pid));
const cgroup = openSync(cgroupPath, "r");

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A datagram to ourselves, connected first. */
async function datagram(): Promise<void> {
  const s = createSocket("udp4");
  await new Promise<void>((resolve) => s.bind(0, "127.0.0.1", resolve));
  await new Promise<void>((resolve, reject) => {
    s.once("error", reject);
    s.connect(s.address().port, "127.0.0.1", () => resolve());
  }).catch(() => {});
  s.on("error", () => {});
  try {
    s.send(Uint8Array.of(1));
  } catch {
    // A program may have refused the connection: it has run.
  }
  await sleep(20);
  s.close();
}

/** A TCP connection with a congestion control of one's own, and some bytes over it. */
async function tcp(congestion: string): Promise<void> {
  writeFileSync("/proc/sys/net/ipv4/tcp_congestion_control", congestion);
  const server = createServer((s) => s.resume());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await new Promise<void>((resolve, reject) => {
    const client = tcpConnect((server.address() as AddressInfo).port, "127.0.0.1", () =>
      client.write(new Uint8Array(1 << 20), () => client.end(() => resolve())),
    );
    client.once("error", reject);
  });
  await sleep(50);
  server.close();
  writeFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "cubic");
}

const oneByte = new Uint8Array(4);

interface Scenario {
  readonly kind: string;
  readonly obj: string;
  readonly progs: readonly string[];
  /** Before loading. */
  readonly prepare?: (object: BpfObject) => void;
  readonly loaded?: (live: LoadedObject) => void;
  readonly attach?: AttachOptions;
  readonly structOps?: string;
  /** The map that the program's own events come from. */
  readonly ring?: string;
  readonly trigger: (live: LoadedObject) => unknown;
}

const pid = (live: LoadedObject): void => live.globals.set("pid", process.pid);
const pages = (object: BpfObject): void => {
  for (const map of object.mapList)
    for (const each of [map, map.innerMap])
      if (each?.type === uapi.BPF_MAP_TYPE_RINGBUF) each.maxEntries = 4096;
};
const group = (): void => void getpgid(0);
const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => `test${from + i}`);
const testRunFirst = (live: LoadedObject): void => void Object.values(live.programs)[0]!.testRun();

const SCENARIOS: readonly Scenario[] = [
  {
    kind: "fentry",
    obj: "test_ringbuf",
    progs: ["test_ringbuf"],
    prepare: pages,
    loaded: pid,
    ring: "ringbuf",
    trigger: group,
  },
  {
    kind: "fentry",
    obj: "test_ringbuf_n",
    progs: ["test_ringbuf_n"],
    prepare: pages,
    loaded: pid,
    ring: "ringbuf",
    trigger: group,
  },
  {
    kind: "fentry",
    obj: "test_ringbuf_map_key",
    progs: ["test_ringbuf_mem_map_key"],
    prepare: pages,
    loaded: pid,
    ring: "ringbuf",
    trigger: group,
  },
  {
    kind: "fentry",
    obj: "ringbuf_bench",
    progs: ["bench_ringbuf"],
    prepare: (object) => {
      pages(object);
      object.globals.set("batch_cnt", 3);
    },
    ring: "ringbuf",
    trigger: group,
  },
  {
    kind: "tracepoint",
    obj: "test_ringbuf_multi",
    progs: ["test_ringbuf"],
    prepare: pages,
    loaded: pid,
    ring: "ringbuf1",
    trigger: group,
  },
  { kind: "fmod_ret", obj: "modify_return", progs: ["fmod_ret_test"], trigger: testRunFirst },
  {
    kind: "kprobe",
    obj: "test_attach_probe",
    progs: ["handle_kprobe_auto"],
    trigger: () => syscall(NANOSLEEP, 0, 0, 0, 0, 0),
  },
  {
    kind: "kretprobe",
    obj: "test_attach_probe",
    progs: ["handle_kretprobe_auto"],
    trigger: () => syscall(NANOSLEEP, 0, 0, 0, 0, 0),
  },
  { kind: "kprobe", obj: "bpf_syscall_macro", progs: ["prctl_enter"], trigger: () => prctl(3, 0, 0, 0, 0) },
  {
    kind: "kprobe.multi",
    obj: "kprobe_multi",
    progs: ["trigger", "test_kprobe"],
    loaded: pid,
    trigger: testRunFirst,
  },
  {
    kind: "kprobe",
    obj: "test_overhead",
    progs: ["prog1"],
    trigger: () => writeFileSync("/proc/self/comm", "guest1"),
  },
  {
    kind: "kretprobe",
    obj: "test_overhead",
    progs: ["prog2"],
    trigger: () => writeFileSync("/proc/self/comm", "guest2"),
  },
  {
    kind: "raw_tracepoint",
    obj: "test_overhead",
    progs: ["prog3"],
    trigger: () => writeFileSync("/proc/self/comm", "guest3"),
  },
  {
    kind: "fentry",
    obj: "test_overhead",
    progs: ["prog4"],
    trigger: () => writeFileSync("/proc/self/comm", "guest4"),
  },
  {
    kind: "fexit",
    obj: "test_overhead",
    progs: ["prog5"],
    trigger: () => writeFileSync("/proc/self/comm", "guest5"),
  },
  { kind: "tracepoint", obj: "test_tracepoint", progs: ["oncpu"], trigger: () => sleep(20) },
  {
    kind: "lsm",
    obj: "lsm",
    progs: ["test_int_hook"],
    trigger: () => mprotect(mmap(0, 4096, 3, 0x22, -1, 0), 4096, 1),
  },
  {
    kind: "lsm.s",
    obj: "lsm",
    progs: ["test_void_hook"],
    trigger: () => execFileSync("/bin/busybox", ["true"]),
  },
  {
    kind: "lsm",
    obj: "lsm",
    progs: ["test_task_free"],
    trigger: async () => {
      execFileSync("/bin/busybox", ["true"]);
      await sleep(200);
    },
  },
  {
    kind: "cgroup_skb",
    obj: "test_cgroup_link",
    progs: ["egress"],
    attach: { target: cgroup },
    trigger: datagram,
  },
  {
    kind: "cgroup_skb",
    obj: "test_cgroup_link",
    progs: ["egress_alt"],
    attach: { target: cgroup },
    trigger: datagram,
  },
  {
    kind: "cgroup/connect4",
    obj: "connect_ping",
    progs: ["connect_v4_prog"],
    attach: { target: cgroup },
    trigger: datagram,
  },
  {
    kind: "cgroup/dev",
    obj: "dev_cgroup",
    progs: ["bpf_prog1"],
    attach: { target: cgroup },
    trigger: () => readFileSync("/dev/urandom", { flag: "r" }).length,
  },
  {
    kind: "cgroup/getsockopt",
    obj: "sockopt_multi",
    progs: ["_getsockopt_child"],
    attach: { target: cgroup },
    trigger: () => getsockopt(socket(2, 2, 0), 0, 1, oneByte, Uint32Array.of(4)),
  },
  {
    kind: "cgroup/setsockopt",
    obj: "sockopt_multi",
    progs: ["_setsockopt"],
    attach: { target: cgroup },
    trigger: () => setsockopt(socket(2, 2, 0), 0, 1, oneByte, 4),
  },
  {
    kind: "struct_ops",
    obj: "bpf_cubic",
    progs: ["bpf_cubic_init", "bpf_cubic_cong_avoid", "bpf_cubic_acked"],
    structOps: "cubic",
    trigger: () => tcp("bpf_cubic"),
  },
  {
    kind: "struct_ops",
    obj: "bpf_dctcp",
    progs: ["bpf_dctcp_init", "bpf_dctcp_update_alpha"],
    structOps: "dctcp_nouse",
    trigger: () => tcp("bpf_dctcp_nouse"),
  },
  { kind: "fentry", obj: "fentry_test", progs: numbered(1, 3), trigger: testRunFirst },
  { kind: "fexit", obj: "fexit_test", progs: numbered(1, 3), trigger: testRunFirst },
];

const tapRing = k.mapCreate({
  map_type: uapi.BPF_MAP_TYPE_RINGBUF,
  key_size: 0,
  value_size: 0,
  max_entries: 65536,
});

/** An fexit program on another program, which reports each of its runs; or a negative errno. */
function tap(live: LoadedObject, program: LiveProgram): number | string {
  const id = live.object.btf?.findByName(program.name, BTF_KIND_FUNC);
  if (id === undefined) return "no function in BTF";
  const { fd, log } = k.progLoad({
    prog_type: uapi.BPF_PROG_TYPE_TRACING,
    expected_attach_type: uapi.BPF_TRACE_FEXIT,
    attach_prog_fd: program.fd,
    attach_btf_id: id,
    license: "GPL",
    log_level: 1,
    insns: b.encode([
      b.stMem(uapi.BPF_DW, 10, -8, program.fd),
      b.ldMapFd(1, tapRing),
      b.mov64Reg(2, 10),
      b.alu64Imm(uapi.BPF_ADD, 2, -8),
      b.mov64Imm(3, 8),
      b.mov64Imm(4, 0),
      b.callHelper(uapi.BPF_FUNC_ringbuf_output),
      b.mov64Imm(0, 0),
      b.exit(),
    ]),
  });
  if (fd < 0) return `tap: ${uapi.errnoName(-fd)} ${log.trim().split("\n").slice(0, 2).join(" / ")}`;
  const link = k.rawTracepointOpen(fd);
  return link < 0 ? `tap link: ${uapi.errnoName(-link)}` : link;
}

/** Events until `wanted` hold, or no more come for two seconds. */
async function events(ring: RingBuffer, isOwn: (event: Uint8Array) => boolean): Promise<number> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 2000);
  let n = 0;
  for await (const event of ring.records(stop.signal)) {
    if (!isOwn(event as Uint8Array)) continue;
    n++;
    break;
  }
  clearTimeout(timer);
  return n;
}

async function run(s: Scenario): Promise<GuestRow[]> {
  const object = BpfObject.open(new Uint8Array(readFileSync(join(folder, `${s.obj}.bpf.o`))), {
    name: s.obj,
  });
  for (const spec of object.programList)
    spec.autoload =
      s.progs.includes(spec.name) ||
      (s.structOps !== undefined && spec.type === uapi.BPF_PROG_TYPE_STRUCT_OPS);
  for (const map of object.mapList)
    if (map.structOps !== undefined) map.autocreate = map.name === s.structOps;
  s.prepare?.(object);
  using live = object.load(k, { targetBtf: target, kernelVersion: (6 << 16) | (12 << 8) });
  s.loaded?.(live);
  const watched = s.progs.filter((name) => !(name === "trigger"));
  const taps = new Map(
    watched.map(
      (name) => [name, s.ring === undefined ? tap(live, live.programs[name]!) : undefined] as const,
    ),
  );
  const links =
    s.structOps === undefined
      ? s.progs.map((name) => live.programs[name]!.attach(s.attach))
      : [live.attachStructOps(s.structOps)];
  const rows: GuestRow[] = [];
  try {
    for (const name of watched) {
      const program = live.programs[name]!;
      const ring = s.ring === undefined ? new RingBuffer(k, tapRing) : live.ringBuffer(s.ring);
      const isOwn = (event: Uint8Array): boolean =>
        s.ring !== undefined || new DataView(event.buffer, event.byteOffset).getInt32(0, true) === program.fd;
      // The iterator waits before anything fires.
      const seen = events(ring, isOwn);
      await sleep(5);
      await s.trigger(live);
      const n = await seen;
      const tapped = taps.get(name);
      rows.push({
        kind: s.kind,
        obj: s.obj,
        prog: name,
        events: n,
        own: s.ring !== undefined,
        runs: Number(program.info().run_cnt),
        ...(typeof tapped === "string" ? { error: tapped } : {}),
      });
    }
  } finally {
    for (const link of links) link.close();
    for (const link of taps.values()) if (typeof link === "number") k.close(link);
  }
  return rows;
}

for (const scenario of SCENARIOS.filter(({ obj }) => (process.argv[3] ?? obj) === obj)) {
  let rows: GuestRow[];
  try {
    rows = await run(scenario);
  } catch (error) {
    const text = (error instanceof Error ? error.message : String(error)).split("\n").slice(0, 3).join(" / ");
    const { kind, obj, progs } = scenario;
    rows = [{ kind, obj, prog: progs.join(","), events: 0, own: false, runs: 0, error: text }];
  }
  for (const row of rows) console.log(`@@JSON ${JSON.stringify(row)}`);
}
process.exit(0);
