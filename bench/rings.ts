/**
 * One million events of 64 bytes from a test-run program to their reader: through the running kernel and through the
 * embedded one, read by us, and through the running kernel read by libbpf.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Backend } from "../src/backend/index.ts";
import { Kernel } from "../src/kernel/index.ts";
import { LinuxBackend } from "../src/linux/index.ts";
import { RingBuffer } from "../src/loader/index.ts";
import { countOf, openRingProgram, type RingProgram } from "../tests/contract/ring-program.ts";
import { median, threadTime } from "./measure.ts";

const TOTAL = 1_000_000;
const SIZE = 64;
/** Records of a run, runs of a command: 50,000 records of 72 bytes fill most of the ring. */
const EVENTS = 50;
const REPEAT = 1000;
const RING = 4 << 20;
const COMMANDS: number = TOTAL / (EVENTS * REPEAT);
const ROUNDS = 5;

interface Figure {
  readonly reader: string;
  readonly received: number;
  readonly outOfOrder: number;
  /** Of the reader's time alone: CPU time, as libbpf's is. */
  readonly nsPerEvent: number;
}

const open = (backend: Backend): RingProgram =>
  openRingProgram(backend, { kind: "ringbuf", events: EVENTS, size: SIZE, bytes: RING });

function consume(backend: Backend, reader: string): Figure {
  const program = open(backend);
  let [next, outOfOrder, ns] = [0, 0, 0];
  const onRecord = (data: Uint8Array): void => {
    if (countOf(data) !== next++) outOfOrder++;
  };
  for (let i = 0; i < COMMANDS; i++) {
    program.run(REPEAT);
    const from = threadTime();
    backend.ringbufConsume(program.map, onRecord);
    ns += threadTime() - from;
  }
  outOfOrder += program.failures();
  program.close();
  return { reader, received: next, outOfOrder, nsPerEvent: ns / TOTAL };
}

/** `for await`, filled between its turns: the wait goes through epoll. */
async function iterate(backend: Backend, reader: string): Promise<Figure> {
  const program = open(backend);
  let [next, outOfOrder] = [0, 0];
  program.run(REPEAT);
  const from = threadTime();
  let spent = 0;
  for await (const record of new RingBuffer(backend, program.map)) {
    if (countOf(record as Uint8Array) !== next++) outOfOrder++;
    if (next === TOTAL) break;
    if (next % (EVENTS * REPEAT) === 0) {
      const at = threadTime();
      program.run(REPEAT);
      spent += threadTime() - at;
    }
  }
  const ns = threadTime() - from - spent;
  outOfOrder += program.failures();
  program.close();
  return { reader, received: next, outOfOrder, nsPerEvent: ns / TOTAL };
}

function libbpf(backend: Backend, binary: string): Figure {
  const program = open(backend);
  const id = (info: { readonly id: number } | number): string =>
    typeof info === "number" ? "0" : String(info.id);
  const ids = [id(backend.progInfo(program.prog)), id(backend.mapInfo(program.map))];
  const text = execFileSync(binary, [...ids, String(COMMANDS), String(REPEAT)], { encoding: "utf8" });
  const [received, wrong, ns] = text.trim().split(" ").map(Number);
  const outOfOrder = wrong! + program.failures();
  program.close();
  return { reader: "libbpf", received: received!, outOfOrder, nsPerEvent: ns! / TOTAL };
}

function compile(dir: string): string | undefined {
  const source = fileURLToPath(new URL("libbpf-ring.c", import.meta.url));
  const binary = join(dir, "libbpf-ring");
  try {
    execFileSync("gcc", ["-O2", "-o", binary, source, "-lbpf"], { stdio: ["ignore", "ignore", "pipe"] });
    return binary;
  } catch {
    return undefined;
  }
}

/** Prints a row for each reader, then one line; exit status 1 where an event is missing or out of order. */
export async function run(args: readonly string[]): Promise<void> {
  const linux = await LinuxBackend.open().catch(() => undefined);
  const dir = mkdtempSync(join(tmpdir(), "tsbpf-rings-"));
  const binary = linux && compile(dir);
  const rounds: Figure[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const kernel = new Kernel();
    rounds.push(consume(kernel, "embedded"), await iterate(kernel, "embedded, for await"));
    if (linux) rounds.push(consume(linux, "linux"), await iterate(linux, "linux, for await"));
    if (linux && binary) rounds.push(libbpf(linux, binary));
  }
  rmSync(dir, { recursive: true });
  const readers = [...new Set(rounds.map((figure) => figure.reader))];
  const rows = readers.map((reader) => {
    const own = rounds.filter((figure) => figure.reader === reader);
    const nsPerEvent = median(own.map((figure) => figure.nsPerEvent));
    const ok = own.every((figure) => figure.received === TOTAL && figure.outOfOrder === 0);
    return { reader, ok, nsPerEvent, millionPerSecond: 1000 / nsPerEvent };
  });
  if (args.includes("--json")) console.log(JSON.stringify(rows));
  else
    for (const { reader, nsPerEvent, ok } of rows)
      console.log(`${reader}: ${nsPerEvent.toFixed(1)} ns an event${ok ? "" : ", EVENTS ARE MISSING"}`);
  const rate = (reader: string): string =>
    rows.find((row) => row.reader === reader)?.millionPerSecond.toFixed(2) ?? "-";
  const lost = rows.some((row) => !row.ok);
  if (lost) process.exitCode = 1;
  console.log(
    `bench rings: linux ${rate("linux")} M/s, embedded ${rate("embedded")} M/s, libbpf ${rate("libbpf")} M/s; ${TOTAL} events each, ${lost ? "some" : "none"} lost`,
  );
}
