// A loaded program over the packets of a capture, one BPF_PROG_TEST_RUN each.
import type { Backend, TestRunResult } from "../backend/index.ts";
import { UnsupportedError } from "../diag/index.ts";
import { type CapturedPacket, LINKTYPE_ETHERNET } from "../pcap/index.ts";
import { type Verdict, verdictOf } from "./verdicts.ts";

/** Room for what a program may put before or behind a packet. */
const GROWTH = 512;

export interface CaptureRunOptions {
  readonly backend: Backend;
  /** The program's fd, and its BPF_PROG_TYPE_*. */
  readonly fd: number;
  readonly progType: number;
  /** Runs a packet; the figures are averages. Default 1. */
  readonly repeat?: number;
  /** Hand onPacket what became of the packet's bytes. */
  readonly wantData?: boolean;
  readonly onPacket?: (outcome: PacketOutcome) => void;
}

export interface PacketOutcome {
  readonly index: number;
  readonly packet: CapturedPacket;
  /** undefined where the kernel refused the packet (`error`). */
  readonly verdict: Verdict | undefined;
  readonly retval: number;
  /** A positive errno, or 0. */
  readonly error: number;
  /** The packet after the run, with wantData. */
  readonly data: Uint8Array;
}

/** Feed it packets; its counters are the result. */
export class CaptureRun {
  readonly #options: CaptureRunOptions;
  packets = 0;
  bytes = 0;
  /** Packets that the kernel refused to run on, by errno. */
  readonly errors: Map<number, number> = new Map();
  readonly verdicts: Map<string, { packets: number; bytes: number }> = new Map();
  #nanoseconds = 0;
  #timed = 0;

  constructor(options: CaptureRunOptions) {
    this.#options = options;
  }

  /** Of one run, on the average. */
  get nanosecondsPerPacket(): number {
    return this.#timed === 0 ? 0 : this.#nanoseconds / this.#timed;
  }

  /** Throws UnsupportedError for a link type other than Ethernet: test runs take Ethernet frames. */
  packet(packet: CapturedPacket, index: number = this.packets): void {
    const { backend, fd, progType, repeat = 1, wantData = false, onPacket } = this.#options;
    if (packet.linkType !== LINKTYPE_ETHERNET)
      throw new UnsupportedError(
        `a capture of link type ${packet.linkType}`,
        "programs run on Ethernet frames, link type 1",
      );
    this.packets++;
    this.bytes += packet.data.length;
    const result = backend.progTestRun(fd, {
      data_in: packet.data,
      repeat,
      ...(wantData ? { data_size_out: packet.data.length + GROWTH } : {}),
    });
    const outcome = this.#count(result, progType, packet, index);
    onPacket?.(outcome);
  }

  #count(result: TestRunResult, progType: number, packet: CapturedPacket, index: number): PacketOutcome {
    const { retval, err } = result;
    if (err < 0) {
      this.errors.set(-err, (this.errors.get(-err) ?? 0) + 1);
      return { index, packet, verdict: undefined, retval, error: -err, data: packet.data };
    }
    const verdict = verdictOf(progType, retval);
    const row = this.verdicts.get(verdict.name) ?? { packets: 0, bytes: 0 };
    row.packets++;
    row.bytes += packet.data.length;
    this.verdicts.set(verdict.name, row);
    this.#nanoseconds += result.duration;
    this.#timed++;
    return { index, packet, verdict, retval, error: 0, data: result.data_out };
  }
}

/** runs over all of `packets` and returns the counters. */
export function runCapture(packets: Iterable<CapturedPacket>, options: CaptureRunOptions): CaptureRun {
  const run = new CaptureRun(options);
  for (const packet of packets) run.packet(packet);
  return run;
}
