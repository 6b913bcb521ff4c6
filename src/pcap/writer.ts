import type { CapturedPacket } from "./packet.ts";

export interface CaptureWriterOptions {
  readonly linkType: number;
  /** Nanosecond timestamps (magic a1b23c4d); microseconds otherwise. */
  readonly nanoseconds?: boolean;
  /** For the header; packets are not cut. Default 262144, as tcpdump writes. */
  readonly snapLength?: number;
}

/** What the writer needs of a packet. */
export type PacketToWrite = Pick<CapturedPacket, "seconds" | "nanoseconds" | "data"> & {
  /** Default data.length. */
  readonly originalLength?: number;
};

/** Writes pcap 2.4, little-endian, to a sink; the header goes there at once. */
export class CaptureWriter {
  readonly #sink: (bytes: Uint8Array) => void;
  readonly #unit: number;

  constructor(sink: (bytes: Uint8Array) => void, options: CaptureWriterOptions) {
    this.#sink = sink;
    this.#unit = options.nanoseconds ? 1 : 1000;
    const header = new DataView(new ArrayBuffer(24));
    header.setUint32(0, options.nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4, true);
    header.setUint16(4, 2, true);
    header.setUint16(6, 4, true);
    header.setUint32(16, options.snapLength ?? 262144, true);
    header.setUint32(20, options.linkType, true);
    sink(new Uint8Array(header.buffer));
  }

  write(packet: PacketToWrite): void {
    const { data } = packet;
    const record = new Uint8Array(16 + data.length);
    const view = new DataView(record.buffer);
    view.setUint32(0, packet.seconds, true);
    view.setUint32(4, Math.floor(packet.nanoseconds / this.#unit), true);
    view.setUint32(8, data.length, true);
    view.setUint32(12, packet.originalLength ?? data.length, true);
    record.set(data, 16);
    this.#sink(record);
  }
}

/** A whole capture in memory. */
export function writeCapture(packets: Iterable<PacketToWrite>, options: CaptureWriterOptions): Uint8Array {
  const parts: Uint8Array[] = [];
  const writer = new CaptureWriter((bytes) => parts.push(bytes), options);
  for (const packet of packets) writer.write(packet);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
