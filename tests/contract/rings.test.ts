// Ring buffers and perf buffers of both kernels, read as they fill.
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/index.ts";
import { Kernel } from "../../src/kernel/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import { PerfBuffer, RingBuffer } from "../../src/loader/index.ts";
import { want } from "../support/need.ts";
import { countOf, openRingProgram } from "./ring-program.ts";

const live = want("bpf");
const kernels: [name: string, skip: boolean, open: () => Promise<Backend>][] = [
  ["the embedded kernel", false, async () => new Kernel()],
  [live.title("this machine's kernel"), live.skip, () => LinuxBackend.open()],
];

describe.each(kernels)("rings of %s", (_name, skip, open) => {
  it.skipIf(skip)("hand each record over once, in order, as programs send them", async () => {
    const backend = await open();
    const program = openRingProgram(backend, { kind: "ringbuf", events: 10, size: 64, bytes: 65536 });
    const ring = new RingBuffer(backend, program.map);
    // Room for many batches: on a busy machine several are sent before the first is read.
    const sender = setInterval(() => program.run(), 1);
    const seen: number[] = [];
    for await (const record of ring) {
      const bytes = record as Uint8Array;
      expect(bytes.length).toBe(64);
      seen.push(countOf(bytes));
      if (seen.length === 105) break;
    }
    clearInterval(sender);
    // The loop above left half of a batch.
    for await (const record of ring) {
      seen.push(countOf(record as Uint8Array));
      if (seen.length === 110) break;
    }
    expect(seen).toEqual(Array.from({ length: 110 }, (_, i) => i));
    expect(program.failures()).toBe(0);
    program.close();
  });

  it.skipIf(skip)("end a loop that waits when its signal aborts", async () => {
    const backend = await open();
    const program = openRingProgram(backend, { kind: "ringbuf", events: 1, size: 8 });
    const ring = new RingBuffer(backend, program.map);
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 20);
    const start = performance.now();
    for await (const record of ring.records(stop.signal)) expect(record).toBe("nothing");
    expect(performance.now() - start).toBeLessThan(5000);
    program.close();
  });

  it.skipIf(skip)("tell the program when a ring is full, and have room again after reading", async () => {
    const backend = await open();
    const program = openRingProgram(backend, { kind: "ringbuf", events: 100, size: 64, bytes: 4096 });
    program.run();
    // 4096 / (8 + 64) = 56 records of 100.
    expect(program.failures()).toBe(44);
    const counts: number[] = [];
    expect(backend.ringbufConsume(program.map, (data) => counts.push(countOf(data)))).toBe(56);
    expect(counts.at(-1)).toBe(55);
    program.run();
    expect(backend.ringbufConsume(program.map, () => {})).toBe(56);
    program.close();
  });

  it.skipIf(skip)("let the reader of a record read on", async () => {
    const backend = await open();
    const program = openRingProgram(backend, { kind: "ringbuf", events: 30, size: 64 });
    program.run();
    const counts: number[] = [];
    const nested = (data: Uint8Array): void => {
      counts.push(countOf(data));
      if (counts.length === 5) backend.ringbufConsume(program.map, nested);
      if (counts.length === 20) throw new Error("stop");
    };
    expect(() => backend.ringbufConsume(program.map, nested)).toThrow("stop");
    backend.ringbufConsume(program.map, nested);
    expect(counts).toEqual(Array.from({ length: 30 }, (_, i) => i));
    program.close();
  });

  it.skipIf(skip)("hand over perf samples, filled up to 4 bytes behind a multiple of 8", async () => {
    const backend = await open();
    const program = openRingProgram(backend, { kind: "perf", events: 3, size: 64 });
    const perf = new PerfBuffer(backend, program.map);
    expect(perf.consume(() => {})).toBe(0);
    const sender = setInterval(() => program.run(), 1);
    const seen: number[] = [];
    for await (const { sample, cpu } of perf) {
      expect(cpu).toBeLessThan(backend.possibleCpus);
      expect((sample as Uint8Array).length).toBe(68);
      seen.push(countOf(sample as Uint8Array));
      if (seen.length === 30) break;
    }
    clearInterval(sender);
    expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => i));
    program.close();
  });

  it.skipIf(skip)("are no other maps", async () => {
    const backend = await open();
    const fd = backend.mapCreate({ map_type: 2, key_size: 4, value_size: 4, max_entries: 1 });
    expect(() => new RingBuffer(backend, fd).consume(() => {})).toThrow(/EINVAL/);
    expect(() => new PerfBuffer(backend, fd).consume(() => {})).toThrow(/EINVAL/);
    backend.close(fd);
  });
});
