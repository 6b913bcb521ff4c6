/** A packet of a capture file. */
export interface CapturedPacket {
  /** Since the epoch; 0 where the file has no timestamp. Two numbers, because one double cannot hold nanoseconds. */
  readonly seconds: number;
  readonly nanoseconds: number;
  /** The captured bytes: a view, not a copy. */
  readonly data: Uint8Array;
  /** On the wire; above data.length where the capture cut the packet. */
  readonly originalLength: number;
  /** LINKTYPE_* of its interface. */
  readonly linkType: number;
  /** Index among the interfaces of its section; 0 in a pcap file. */
  readonly interfaceId: number;
}

export interface CaptureInterface {
  readonly linkType: number;
  /** Packets are cut to this many bytes; 0 = no limit. */
  readonly snapLength: number;
  /** Its timestamps are finer than microseconds. */
  readonly nanoseconds: boolean;
}

/** Nanoseconds since the epoch. */
export function timestampNs(packet: Pick<CapturedPacket, "seconds" | "nanoseconds">): bigint {
  return BigInt(packet.seconds) * 1_000_000_000n + BigInt(packet.nanoseconds);
}

// Link types that this package's tools know (www.tcpdump.org/linktypes.html).
export const LINKTYPE_NULL = 0;
export const LINKTYPE_ETHERNET = 1;
export const LINKTYPE_RAW = 101;
export const LINKTYPE_LINUX_SLL = 113;
export const LINKTYPE_LINUX_SLL2 = 276;
