// A loaded program over the packets of captures.
import { ProgramFault, TsbpfError, UnsupportedError } from "../diag/index.ts";
import type { PacketRunner } from "../kernel/index.ts";
import { type CapturedPacket, LINKTYPE_ETHERNET } from "../pcap/index.ts";
import { type Verdict, verdictOf } from "./verdicts.ts";

export interface CaptureRunOptions {
  readonly runner: PacketRunner;
  /** BPF_PROG_TYPE_*. */
  readonly progType: number;
  /** Runs a packet, each on a fresh copy; the last one's verdict counts. Default 1. */
  readonly repeat?: number;
  /** Called after each packet's run; `runner.packet()` gives the packet as the program left it. */
  readonly onPacket?: (packet: CapturedPacket, verdict: Verdict) => void;
}

/** Feed it packets; its counters are the result. */
export class CaptureRun {
  readonly #options: CaptureRunOptions;
  packets = 0;
  bytes = 0;
  /** Packets too short or too long for the program type: not run, in no verdict. */
  skipped = 0;
  readonly verdicts: Map<string, { packets: number; bytes: number }> = new Map();
  #milliseconds = 0;
  #runs = 0;

  constructor(options: CaptureRunOptions) {
    this.#options = options;
  }

  /** Of one run on the average, placing the packet in the kernel's memory included. */
  get nanosecondsPerPacket(): number {
    return this.#runs === 0 ? 0 : (this.#milliseconds * 1e6) / this.#runs;
  }

  /**
   * Throws UnsupportedError for a link type other than Ethernet, and names the packet where the bounds-checked mode
   * stopped the program.
   */
  packet(packet: CapturedPacket): void {
    const { runner, progType, repeat = 1, onPacket } = this.#options;
    const { data, linkType } = packet;
    if (linkType !== LINKTYPE_ETHERNET)
      throw new UnsupportedError(
        `a capture of link type ${linkType}`,
        "programs run on Ethernet frames, link type 1; only tsbpf filter takes others",
      );
    const index = this.packets++;
    this.bytes += data.length;
    if (data.length < runner.minPacket || data.length > runner.maxPacket) {
      this.skipped++;
      return;
    }
    let retval = 0;
    const start = performance.now();
    try {
      for (let i = 0; i < repeat; i++) retval = runner.run(data);
    } catch (error) {
      if (!(error instanceof ProgramFault)) throw error;
      throw new TsbpfError(error.code, `packet ${index}: ${error.message}`, { cause: error });
    }
    this.#milliseconds += performance.now() - start;
    this.#runs += repeat;
    const verdict = verdictOf(progType, retval);
    const row = this.verdicts.get(verdict.name) ?? { packets: 0, bytes: 0 };
    row.packets++;
    row.bytes += data.length;
    this.verdicts.set(verdict.name, row);
    onPacket?.(packet, verdict);
  }
}
