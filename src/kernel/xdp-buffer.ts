// An XDP buffer in linear memory: `struct xdp_md` with our own state behind it (src/helpers/net-layout.ts), one frame
// of a page, and fragments of a page each for what exceeds it. Used again and again.
import {
  MAX_SKB_FRAGS,
  NET_CTX_SIZE,
  PAGE_SIZE,
  SHARED_INFO_SIZE,
  XDP_DATA,
  XDP_DATA_END,
  XDP_DATA_META,
  XDP_FRAGS,
  XDP_FRAGS_SIZE,
  XDP_MD_SIZE,
  XDP_NR_FRAGS,
  XDP_PACKET_HEADROOM,
} from "../helpers/index.ts";
import { ENOMEM } from "../uapi/index.ts";
import type { AddressSpace } from "../vm/index.ts";

/** Of a capture: more than a frame of any network card. */
const LARGEST_PACKET = 65535;

/** What one frame of a page holds at most behind `headroom`. */
export function maxLinear(headroom: number): number {
  return PAGE_SIZE - headroom - SHARED_INFO_SIZE;
}

export class XdpBuffer {
  readonly ctx: number;
  readonly #space: AddressSpace;
  readonly #frame: number;
  readonly #place: (...args: number[]) => number;
  #pages = 0;

  constructor(space: AddressSpace) {
    this.#space = space;
    this.#place = space.core["xdp_place"]!;
    this.ctx = space.alloc(NET_CTX_SIZE, "none");
    space.paint(this.ctx, XDP_MD_SIZE, "rw");
    this.#frame = space.alloc(XDP_PACKET_HEADROOM + LARGEST_PACKET + 1 + PAGE_SIZE, "none");
  }

  static readonly largestPacket: number = LARGEST_PACKET;

  free(): void {
    this.#space.free(this.ctx);
    this.#space.free(this.#frame);
    if (this.#pages) this.#space.free(this.#pages);
  }

  /**
   * `data` becomes the packet; its first `meta` bytes are metadata, its first `linear` bytes (metadata included) lie in
   * the frame and the rest in fragments. -ENOMEM: more fragments than a packet may have.
   */
  place(data: Uint8Array, meta: number, linear: number, ifindex: number, queue: number): number {
    if (data.length - linear > MAX_SKB_FRAGS * PAGE_SIZE) return -ENOMEM;
    const whole = data.length === linear;
    this.#space.u8.set(whole ? data : data.subarray(0, linear), this.#frame + XDP_PACKET_HEADROOM - meta);
    this.#place(this.ctx, this.#frame, meta, linear, ifindex, queue);
    if (!whole) this.#fragments(data, linear);
    return 0;
  }

  /** What lies behind the first `linear` bytes goes into fragments. */
  #fragments(data: Uint8Array, linear: number): void {
    if (this.#pages === 0) this.#pages = this.#space.alloc(MAX_SKB_FRAGS * PAGE_SIZE, "none");
    const { u8, u32 } = this.#space;
    let frags = 0;
    for (let at = linear; at < data.length; at += PAGE_SIZE, frags++) {
      const page = this.#pages + frags * PAGE_SIZE;
      const size = Math.min(PAGE_SIZE, data.length - at);
      u8.set(data.subarray(at, at + size), page);
      const pair = (this.ctx + XDP_FRAGS + frags * 8) >>> 2;
      u32[pair] = page;
      u32[pair + 1] = size;
    }
    u32[(this.ctx + XDP_FRAGS_SIZE) >>> 2] = data.length - linear;
    u32[(this.ctx + XDP_NR_FRAGS) >>> 2] = frags;
  }

  #member(at: number): number {
    return this.#space.u32[(this.ctx + at) >>> 2]!;
  }

  get meta(): number {
    return this.#member(XDP_DATA) - this.#member(XDP_DATA_META);
  }

  /** Bytes in the frame, without metadata. */
  get linear(): number {
    return this.#member(XDP_DATA_END) - this.#member(XDP_DATA);
  }

  get fragsSize(): number {
    return this.#member(XDP_FRAGS_SIZE);
  }

  /** A copy of the packet, fragments included, `withMeta` led by its metadata. */
  packet(withMeta: boolean): Uint8Array {
    const { u8 } = this.#space;
    const from = this.#member(withMeta ? XDP_DATA_META : XDP_DATA);
    const end = this.#member(XDP_DATA_END);
    const out = new Uint8Array(end - from + this.fragsSize);
    out.set(u8.subarray(from, end));
    let at = end - from;
    for (let i = 0; i < this.#member(XDP_NR_FRAGS); i++) {
      const page = this.#member(XDP_FRAGS + i * 8);
      const size = this.#member(XDP_FRAGS + i * 8 + 4);
      out.set(u8.subarray(page, page + size), at);
      at += size;
    }
    return out;
  }
}
