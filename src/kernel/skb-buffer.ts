// A socket buffer in linear memory: `struct __sk_buff` with our own state behind it (src/helpers/net-layout.ts), a
// dummy socket, and room for one packet of any size that a capture holds. Used again and again.

import {
  CHECKSUM_NONE,
  ETH_HLEN,
  NET_CTX_SIZE,
  SK_BUFF_FAMILY,
  SK_BUFF_IFINDEX,
  SK_BUFF_LOCAL_IP4,
  SK_BUFF_PKT_TYPE,
  SK_BUFF_PROTOCOL,
  SK_BUFF_REMOTE_IP4,
  SK_BUFF_SIZE,
  SK_BUFF_SK,
  SKB_END,
  SKB_F_DIRECT_WRITE,
  SKB_FLAGS,
  SKB_HEAD,
  SKB_IP_SUMMED,
  SKB_META_LEN,
  SKB_PAINTED,
} from "../helpers/index.ts";
import { EINVAL } from "../uapi/index.ts";
import {
  type AddressSpace,
  POINTER_HIGH,
  SKB_DATA,
  SKB_MAC_HEADER,
  SKB_NETWORK_HEADER,
  SKB_TAIL,
} from "../vm/index.ts";

/** What helpers may put before a packet: as much as a packet may grow to. */
const HEADROOM = 16384;
const LARGEST_PACKET = 65535;
const TAILROOM = 16384;

/** struct bpf_sock */
const SOCK_SIZE = 80;
const SOCK_FAMILY = 4;
const SOCK_SRC_IP4 = 24;
const SOCK_SRC_IP6 = 28;
const SOCK_DST_IP4 = 52;
const SOCK_DST_IP6 = 56;
const SOCK_STATE = 72;
const SOCK_RX_QUEUE_MAPPING = 76;
const TCP_CLOSE = 7;

const AF_INET = 2;
const AF_INET6 = 10;
const ETH_P_IP = 0x0008;
const ETH_P_IPV6 = 0xdd86;
const ETH_P_802_3 = 0x0100;
const ETH_P_802_2 = 0x0400;
const IPHDR = 20;
const IPV6HDR = 40;

const PACKET_HOST = 0;
const PACKET_MULTICAST = 2;
const PACKET_OTHERHOST = 3;

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

  constructor(space: AddressSpace) {
    this.#space = space;
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
    const { u8, u32 } = this.#space;
    const ctx = this.ctx >>> 2;
    const mac = this.#head + HEADROOM;
    const l3 = mac + ETH_HLEN;
    const end = mac + frame.length;
    u8.set(frame, mac);
    // The painted range of the packet before stays noted: skb_sync() needs it.
    u32.fill(0, ctx, ctx + (SKB_HEAD >>> 2));
    u32.fill(0, ctx + (SKB_DATA >>> 2), ctx + (SKB_PAINTED >>> 2));
    u32[ctx + (SKB_DATA >>> 2)] = view.l2 ? mac : l3;
    u32[ctx + (SKB_TAIL >>> 2)] = end;
    u32[ctx + (SKB_MAC_HEADER >>> 2)] = mac;
    u32[ctx + (SKB_NETWORK_HEADER >>> 2)] = l3;
    u32[ctx + (SKB_FLAGS >>> 2)] = view.write ? SKB_F_DIRECT_WRITE : 0;
    u32[ctx + (SKB_IP_SUMMED >>> 2)] = CHECKSUM_NONE;
    u32[ctx + (SKB_META_LEN >>> 2)] = 0;
    u32[ctx + (SK_BUFF_IFINDEX >>> 2)] = ifindex;
    u32[ctx + (SK_BUFF_PKT_TYPE >>> 2)] = packetType(frame);
    u32[ctx + (SK_BUFF_SK >>> 2)] = this.#sock;
    u32[ctx + (SK_BUFF_SK >>> 2) + 1] = POINTER_HIGH;
    let protocol = frame[12]! | (frame[13]! << 8);
    // eth_proto_is_802_3(): below 0x600 it is a length.
    if (frame[12]! < 6)
      protocol =
        frame.length >= ETH_HLEN + 2 && frame[14] === 0xff && frame[15] === 0xff ? ETH_P_802_3 : ETH_P_802_2;
    u32[ctx + (SK_BUFF_PROTOCOL >>> 2)] = protocol;
    const err = this.#socket(protocol, l3, end);
    this.#space.core["skb_sync"]!(this.ctx);
    return err;
  }

  /** The dummy socket of a test run has the packet's addresses. */
  #socket(protocol: number, l3: number, end: number): number {
    const { u8, u32 } = this.#space;
    const ctx = this.ctx >>> 2;
    const sock = this.#sock >>> 2;
    u32.fill(0, sock + (SOCK_SRC_IP4 >>> 2), sock + (SOCK_STATE >>> 2));
    u32[sock + (SOCK_FAMILY >>> 2)] = 0;
    if (protocol === ETH_P_IP) {
      if (end - l3 < IPHDR) return -EINVAL;
      u32[sock + (SOCK_FAMILY >>> 2)] = u32[ctx + (SK_BUFF_FAMILY >>> 2)] = AF_INET;
      u8.copyWithin(this.#sock + SOCK_SRC_IP4, l3 + 12, l3 + 16);
      u8.copyWithin(this.#sock + SOCK_DST_IP4, l3 + 16, l3 + 20);
      u32[ctx + (SK_BUFF_LOCAL_IP4 >>> 2)] = u32[sock + (SOCK_SRC_IP4 >>> 2)]!;
      u32[ctx + (SK_BUFF_REMOTE_IP4 >>> 2)] = u32[sock + (SOCK_DST_IP4 >>> 2)]!;
    } else if (protocol === ETH_P_IPV6) {
      if (end - l3 < IPV6HDR) return -EINVAL;
      u32[sock + (SOCK_FAMILY >>> 2)] = u32[ctx + (SK_BUFF_FAMILY >>> 2)] = AF_INET6;
      u8.copyWithin(this.#sock + SOCK_SRC_IP6, l3 + 8, l3 + 24);
      u8.copyWithin(this.#sock + SOCK_DST_IP6, l3 + 24, l3 + 40);
    }
    return 0;
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

/** eth_skb_pkt_type() on a loopback device, which has no broadcast address. */
function packetType(frame: Uint8Array): number {
  let ored = 0;
  for (let i = 0; i < 6; i++) ored |= frame[i]!;
  if (ored === 0) return PACKET_HOST;
  return frame[0]! & 1 ? PACKET_MULTICAST : PACKET_OTHERHOST;
}
