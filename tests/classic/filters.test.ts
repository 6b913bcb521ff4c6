/**
 * Filter expressions over captures: what tcpdump compiles (`tcpdump -ddd`), run here, must select exactly the packets that
 * tcpdump selects. TSBPF_FILTERS sets the number of expressions a capture (default 1,000).
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import {
  type ClassicInsn,
  classicToEbpf,
  disassembleClassic,
  parseDdd,
  runClassic,
  validateClassic,
} from "../../src/asm/index.ts";
import { type FilterRunner, Kernel } from "../../src/kernel/index.ts";
import { type CapturedPacket, readCapture } from "../../src/pcap/index.ts";
import { BPF_PROG_TYPE_SOCKET_FILTER } from "../../src/uapi/index.ts";
import { want } from "../support/need.ts";
import { makeCaptures, type NamedCapture } from "./captures.ts";
import { expression } from "./expressions.ts";
import { Random } from "./random.ts";

const COUNT = Number(process.env["TSBPF_FILTERS"] ?? 1000);
const PACKETS = 300;
const tcpdump = want("tcpdump");

const run = promisify(execFile);

const ENGINES = [
  ["jit", "unchecked"],
  ["jit", "checked"],
  ["interp", "checked"],
] as const;

function openFilter(kernel: Kernel, insns: Uint8Array): FilterRunner {
  const { fd } = kernel.progLoad({ prog_type: BPF_PROG_TYPE_SOCKET_FILTER, insns, license: "" });
  expect(fd).toBeGreaterThanOrEqual(0);
  const runner = kernel.openFilterRunner(fd);
  kernel.close(fd);
  if (typeof runner === "number") throw new Error(`no runner: errno ${-runner}`);
  return runner;
}

interface Job {
  readonly capture: NamedCapture;
  readonly file: string;
  readonly packets: readonly CapturedPacket[];
}

interface Answer {
  readonly expression: string;
  readonly program: readonly ClassicInsn[];
  /** What `tcpdump -d` prints; asked for some only. */
  readonly listing: string | undefined;
  readonly selected: readonly number[];
}

/** What tcpdump makes of an expression, or undefined where it refuses it for this link type. */
async function ask(job: Job, text: string, index: number): Promise<Answer | undefined> {
  const common = { encoding: "buffer", maxBuffer: 1 << 26 } as const;
  const flags = index % 4 === 0 ? ["-O"] : [];
  let program: Buffer;
  try {
    program = (await run("tcpdump", [...flags, "-r", job.file, "-ddd", text], common)).stdout;
  } catch {
    return undefined;
  }
  const chosen = await run("tcpdump", [...flags, "-r", job.file, "-w", "-", text], common);
  const listing =
    index % 5 === 0 ? await run("tcpdump", [...flags, "-r", job.file, "-d", text], common) : undefined;
  return {
    expression: text,
    program: parseDdd(program.toString()),
    listing: listing?.stdout.toString(),
    selected: [...readCapture(new Uint8Array(chosen.stdout))].map((packet) => packet.seconds),
  };
}

/** The first COUNT expressions of the capture's own stream that tcpdump takes. */
async function askAll(job: Job, seed: number): Promise<Answer[]> {
  const random = new Random(seed);
  const answers: Answer[] = [];
  for (let asked = 0; answers.length < COUNT; ) {
    expect(asked, "tcpdump refuses too many expressions").toBeLessThan(3 * COUNT + 100);
    const batch = Array.from({ length: 4 }, () => expression(random));
    const got = await Promise.all(batch.map((text, i) => ask(job, text, asked + i)));
    asked += batch.length;
    for (const answer of got) if (answer !== undefined && answers.length < COUNT) answers.push(answer);
  }
  return answers;
}

describe.skipIf(tcpdump.skip)(tcpdump.title("filter expressions"), () => {
  const dir = mkdtempSync(join(tmpdir(), "tsbpf-filters-"));
  const jobs = makeCaptures(PACKETS).map((capture): Job => {
    const file = join(dir, `${capture.name}.pcap`);
    writeFileSync(file, capture.bytes);
    return { capture, file, packets: [...readCapture(capture.bytes)] };
  });
  let differences = 0;
  let captures = 0;
  afterAll(() => {
    rmSync(dir, { recursive: true });
    if (captures === jobs.length)
      console.log(`filter: ${COUNT} expressions x ${captures} captures, ${differences} differences`);
  });

  it.each(jobs.map((job, i) => [job.capture.name, job, i] as const))(
    "%s: selects what tcpdump selects",
    async (_, job, i) => {
      const answers = await askAll(job, 42 + i);
      const kernels = ENGINES.map(
        ([engine, mode]) => new Kernel({ engine, unchecked: mode === "unchecked", maxBytes: 16 << 20 }),
      );
      let matched = 0;
      for (const answer of answers) {
        if (answer.listing !== undefined)
          expect(disassembleClassic(answer.program), answer.expression).toBe(answer.listing);
        expect(validateClassic(answer.program), answer.expression).toEqual([]);
        const code = classicToEbpf(answer.program, { semantics: "libpcap" });
        const runners = kernels.map((kernel) => openFilter(kernel, code));
        const ways: Record<string, (packet: CapturedPacket) => number> = {
          machine: ({ data, originalLength }) =>
            runClassic(answer.program, { data, length: originalLength }, "libpcap"),
        };
        runners.forEach((runner, k) => {
          ways[ENGINES[k]!.join(" ")] = ({ data, originalLength }) => runner.run(data, originalLength);
        });
        for (const [way, verdict] of Object.entries(ways)) {
          const selected = job.packets.filter((packet) => verdict(packet) !== 0).map((p) => p.seconds);
          if (selected.join() !== answer.selected.join()) {
            differences++;
            expect.soft(selected, `${way}: ${answer.expression}`).toEqual(answer.selected);
          }
        }
        for (const runner of runners) runner.close();
        matched += answer.selected.length;
      }
      captures++;
      // Neither everything nor nothing: the generator makes filters that tell packets apart.
      const share = matched / (answers.length * job.packets.length);
      expect(share).toBeGreaterThan(0.1);
      expect(share).toBeLessThan(0.9);
    },
    600_000,
  );
});
