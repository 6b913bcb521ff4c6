// Packet after packet through one program: one buffer, no allocation, no system call's bookkeeping.
import { ETH_HLEN, REDIRECT_FLAGS, REDIRECT_INDEX, REDIRECT_MAP, REDIRECT_SET } from "../helpers/index.ts";
import type { AddressSpace } from "../vm/index.ts";
import type { Program } from "./program.ts";
import type { Runner } from "./runner.ts";
import { SkbBuffer, type SkbView } from "./skb-buffer.ts";
import { XdpBuffer } from "./xdp-buffer.ts";

const LOOPBACK = 1;

/** Where a redirecting verdict sends the packet. */
export interface RedirectTarget {
  /** ifindex, or the key in the map. */
  readonly index: number;
  readonly flags: number;
  /** Offset of the map's header; 0: `index` is an ifindex. */
  readonly map: number;
}

/** Runs one program on packets; close() gives its buffer and its reference to the program back. */
export interface PacketRunner {
  /** Largest packet in bytes. */
  readonly maxPacket: number;
  /** Shortest packet that the program type takes. */
  readonly minPacket: number;
  /** The program's verdict (u32) on a frame that begins with its Ethernet header; RangeError beyond the limits. */
  run(frame: Uint8Array): number;
  /** A copy of the packet as the last run left it. */
  packet(): Uint8Array;
  /** Target of the last run's redirect; undefined: it asked for none. */
  redirect(): RedirectTarget | undefined;
  close(): void;
}

function redirectOf(space: AddressSpace): RedirectTarget | undefined {
  const { u32 } = space;
  const cpu = space.cpu.value;
  if (u32[(cpu + REDIRECT_SET) >>> 2] === 0) return undefined;
  return {
    index: u32[(cpu + REDIRECT_INDEX) >>> 2]!,
    flags: u32[(cpu + REDIRECT_FLAGS) >>> 2]!,
    map: u32[(cpu + REDIRECT_MAP) >>> 2]!,
  };
}

function tooLong(frame: Uint8Array, min: number, max: number): never {
  throw new RangeError(`packet of ${frame.length} bytes: the program takes ${min}..${max}`);
}

/** Frames of any length lie in one linear buffer, as no driver would hand them over, but as a capture has them. */
export class XdpRunner implements PacketRunner {
  readonly minPacket: number = ETH_HLEN;
  readonly maxPacket: number = XdpBuffer.largestPacket;
  readonly #space: AddressSpace;
  readonly #runner: Runner;
  readonly #program: Program;
  readonly #buffer: XdpBuffer;

  /** Takes over a reference to `program`. */
  constructor(space: AddressSpace, runner: Runner, program: Program) {
    this.#space = space;
    this.#runner = runner;
    this.#program = program;
    this.#buffer = new XdpBuffer(space);
  }

  run(frame: Uint8Array): number {
    const { length } = frame;
    if (length < ETH_HLEN || length > XdpBuffer.largestPacket) tooLong(frame, ETH_HLEN, this.maxPacket);
    this.#buffer.place(frame, 0, length, LOOPBACK, 0);
    const { ctx } = this.#buffer;
    return this.#runner.run(this.#program, ctx, this.#runner.prepare(this.#program, ctx)) >>> 0;
  }

  packet(): Uint8Array {
    return this.#buffer.packet(false);
  }

  redirect(): RedirectTarget | undefined {
    return redirectOf(this.#space);
  }

  close(): void {
    this.#buffer.free();
    this.#program.put();
  }
}

/** Programs on struct __sk_buff. Unlike BPF_PROG_TEST_RUN it takes frames whose IP header is cut short. */
export class SkbRunner implements PacketRunner {
  readonly minPacket: number = ETH_HLEN;
  readonly maxPacket: number = SkbBuffer.largestPacket;
  readonly #space: AddressSpace;
  readonly #runner: Runner;
  readonly #program: Program;
  readonly #view: SkbView;
  readonly #buffer: SkbBuffer;

  /** Takes over a reference to `program`. */
  constructor(space: AddressSpace, runner: Runner, program: Program, view: SkbView) {
    this.#space = space;
    this.#runner = runner;
    this.#program = program;
    this.#view = view;
    this.#buffer = new SkbBuffer(space);
  }

  run(frame: Uint8Array): number {
    const { length } = frame;
    if (length < ETH_HLEN || length > SkbBuffer.largestPacket) tooLong(frame, ETH_HLEN, this.maxPacket);
    this.#buffer.place(frame, this.#view, LOOPBACK);
    const { ctx } = this.#buffer;
    return this.#runner.run(this.#program, ctx, this.#runner.prepare(this.#program, ctx)) >>> 0;
  }

  packet(): Uint8Array {
    return this.#buffer.frame(this.#view);
  }

  redirect(): RedirectTarget | undefined {
    return redirectOf(this.#space);
  }

  close(): void {
    this.#buffer.free();
    this.#program.put();
  }
}
