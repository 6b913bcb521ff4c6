// A socket filter over packets as a packet socket, or a capture, has them: from the link-layer header on, of any link
// type and length, perhaps cut.
import {
  ETH_HLEN,
  NET_CTX_SIZE,
  SK_BUFF_IFINDEX,
  SK_BUFF_LEN,
  SK_BUFF_SIZE,
  SKB_END,
  SKB_HEAD,
} from "../helpers/index.ts";
import { type AddressSpace, SKB_DATA, SKB_MAC_HEADER, SKB_NETWORK_HEADER, SKB_TAIL } from "../vm/index.ts";
import type { Program } from "./program.ts";
import type { Runner } from "./runner.ts";

const LOOPBACK = 1;
const FIRST_CAPACITY = 0x10000;

export class FilterRunner {
  readonly #space: AddressSpace;
  readonly #runner: Runner;
  readonly #program: Program;
  readonly #ctx: number;
  #buffer = 0;
  #capacity = 0;

  /** Takes over a reference to `program`. */
  constructor(space: AddressSpace, runner: Runner, program: Program) {
    this.#space = space;
    this.#runner = runner;
    this.#program = program;
    this.#ctx = space.alloc(NET_CTX_SIZE, "none");
    space.paint(this.#ctx, SK_BUFF_SIZE, "rw");
    space.u32[(this.#ctx + SK_BUFF_IFINDEX) >>> 2] = LOOPBACK;
    this.#reserve(FIRST_CAPACITY);
  }

  /**
   * The filter's verdict (u32): how many bytes to keep, 0 = drop. `length` is what the filter reads as the packet's
   * length: on the wire, where the capture cut the packet. Throws LoadError where no memory is left for the packet.
   */
  run(data: Uint8Array, length: number = data.length): number {
    if (data.length > this.#capacity) this.#reserve(data.length);
    const { u8, u32 } = this.#space;
    const ctx = this.#ctx;
    u8.set(data, this.#buffer);
    u32[(ctx + SK_BUFF_LEN) >>> 2] = length;
    u32[(ctx + SKB_TAIL) >>> 2] = this.#buffer + data.length;
    return this.#runner.run(this.#program, ctx, this.#runner.prepare(this.#program, ctx)) >>> 0;
  }

  close(): void {
    this.#space.free(this.#ctx);
    this.#space.free(this.#buffer);
    this.#program.put();
  }

  #reserve(size: number): void {
    const capacity = 2 ** Math.ceil(Math.log2(size));
    const buffer = this.#space.alloc(capacity, "none");
    if (this.#buffer !== 0) this.#space.free(this.#buffer);
    this.#buffer = buffer;
    this.#capacity = capacity;
    const { u32 } = this.#space;
    const ctx = this.#ctx;
    u32[(ctx + SKB_HEAD) >>> 2] = u32[(ctx + SKB_DATA) >>> 2] = u32[(ctx + SKB_MAC_HEADER) >>> 2] = buffer;
    u32[(ctx + SKB_NETWORK_HEADER) >>> 2] = buffer + ETH_HLEN;
    u32[(ctx + SKB_END) >>> 2] = buffer + capacity;
  }
}
