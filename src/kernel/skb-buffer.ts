// A socket buffer in linear memory: `struct __sk_buff` with our own state behind it (src/helpers/net-layout.ts), a
// dummy socket, and room for one packet of any size that a capture holds. Used again and again.

import {
  ETH_HLEN,
  NET_CTX_SIZE,
  SK_BUFF_SIZE,
  SKB_END,
  SKB_F_DIRECT_WRITE,
  SKB_HEAD,
  SOCK_RX_QUEUE_MAPPING,
  SOCK_SIZE,
  SOCK_STATE,
} from "../helpers/index.ts";
import { type AddressSpace, SKB_DATA, SKB_TAIL } from "../vm/index.ts";

/** What helpers may put before a packet: as much as a packet may grow to. */
const HEADROOM = 16384;
const LARGEST_PACKET = 65535;
const TAILROOM = 16384;

const TCP_CLOSE = 7;

/** How a program type sees packets. */
export interface SkbView {
  /** Data begins with the Ethernet header, not behind it. */
  readonly l2: boolean;
  /** The program may write packet bytes through data. */
  readonly write: boolean;
}

export class SkbBuffer {
  readonly ctx: number;
  readonly #space: AddressSpace;
  readonly #head: number;
  readonly #sock: number;
  readonly #place: (...args: number[]) => number;

  constructor(space: AddressSpace) {
    this.#space = space;
    this.#place = space.core["skb_place"]!;
    this.ctx = space.alloc(NET_CTX_SIZE, "none");
    space.paint(this.ctx, SK_BUFF_SIZE, "rw");
    this.#head = space.alloc(HEADROOM + LARGEST_PACKET + 1 + TAILROOM, "none");
    this.#sock = space.alloc(SOCK_SIZE, "r");
    const { u32 } = space;
    u32[(this.ctx + SKB_HEAD) >>> 2] = this.#head;
    u32[(this.ctx + SKB_END) >>> 2] = this.#head + HEADROOM + LARGEST_PACKET + 1 + TAILROOM;
    u32[(this.#sock + SOCK_STATE) >>> 2] = TCP_CLOSE;
    u32[(this.#sock + SOCK_RX_QUEUE_MAPPING) >>> 2] = 0xffffffff;
  }

  free(): void {
    for (const addr of [this.ctx, this.#head, this.#sock]) this.#space.free(addr);
  }

  static readonly largestPacket: number = LARGEST_PACKET;

  /**
   * A frame of at least ETH_HLEN bytes becomes the packet, as eth_type_trans() on the device `ifindex` (whose address
   * is zero) takes it. -EINVAL: its IP header is
   * cut short.
   */
  place(frame: Uint8Array, view: SkbView, ifindex: number): number {
    const mac = this.#head + HEADROOM;
    this.#space.u8.set(frame, mac);
    const flags = view.write ? SKB_F_DIRECT_WRITE : 0;
    return this.#place(this.ctx, mac, frame.length, view.l2 ? 1 : 0, flags, ifindex, this.#sock);
  }

  /** Address and length of the packet as it is now. */
  get data(): number {
    return this.#space.u32[(this.ctx + SKB_DATA) >>> 2]!;
  }

  get length(): number {
    return this.#space.u32[(this.ctx + SKB_TAIL) >>> 2]! - this.data;
  }

  /** A copy of the packet; without its Ethernet header where the view began behind it: then zeros stand there. */
  frame(view: SkbView): Uint8Array {
    const skip = view.l2 ? 0 : ETH_HLEN;
    const out = new Uint8Array(skip + this.length);
    out.set(this.#space.u8.subarray(this.data, this.data + this.length), skip);
    return out;
  }
}
