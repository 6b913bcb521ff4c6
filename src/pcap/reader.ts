// Reads pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng) in both byte orders, whole or in chunks.
import { CaptureError } from "../diag/index.ts";
import type { CapturedPacket, CaptureInterface } from "./packet.ts";
import { microsecondClock, type TickClock, tickClock, toTime } from "./ticks.ts";

/** Larger records are refused, so that a broken length cannot make a reader of chunks hoard memory. */
const MAX_RECORD = 128 * 1024 * 1024;

const PCAP_HEADER = 24;
const PCAP_MAGICS: Readonly<
  Record<number, { readonly nanoseconds: boolean; readonly recordHeader: number }>
> = {
  2712847316: { nanoseconds: false, recordHeader: 16 },
  2712812621: { nanoseconds: true, recordHeader: 16 },
  // Alexey Kuznetzov's patched libpcap: eight more bytes a record.
  2712849716: { nanoseconds: false, recordHeader: 24 },
};
const LINKTYPE_MASK = 0x03ffffff;

const SECTION_HEADER = 0x0a0d0d0a;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const INTERFACE_DESCRIPTION = 1;
const OBSOLETE_PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;
const OPT_ENDOFOPT = 0;
const OPT_IF_TSRESOL = 9;
const OPT_IF_TSOFFSET = 14;

interface PcapState {
  readonly kind: "pcap";
  readonly little: boolean;
  readonly nanoseconds: boolean;
  readonly recordHeader: number;
}

interface PcapngState {
  readonly kind: "pcapng";
  little: boolean;
  interfaces: PcapngInterface[];
}

interface PcapngInterface extends CaptureInterface {
  readonly clock: TickClock;
}

/**
 * Push chunks, read packets until `undefined` (more bytes are needed), call end() after the last chunk and read on:
 * then `undefined` is the end of the capture. Packets are views of what was pushed where that is possible. Whatever is
 * wrong with the file throws a CaptureError, after the packets that stand before the place.
 */
export class CaptureReader {
  #chunks: Uint8Array[] = [];
  /** The chunk being read, the place in it, and the file offset of its first byte. */
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(this.#bytes.buffer);
  #at = 0;
  #base = 0;
  /** Bytes that wait in #chunks. */
  #waiting = 0;
  #ended = false;
  #format: PcapState | PcapngState | undefined;
  #interfaces: CaptureInterface[] = [];

  /** Interfaces described so far, of all sections. A pcap file has one, known once its header was read. */
  get interfaces(): readonly CaptureInterface[] {
    return this.#interfaces;
  }

  /** Bytes consumed so far. */
  get offset(): number {
    return this.#base + this.#at;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#waiting += chunk.length;
  }

  end(): void {
    this.#ended = true;
  }

  read(): CapturedPacket | undefined {
    if (this.#format === undefined && !this.#readFileHeader()) return undefined;
    return this.#format!.kind === "pcap" ? this.#readRecord(this.#format!) : this.#readBlocks(this.#format!);
  }

  /** True when `count` bytes stand at #at. At the end of the input a started `what` is an error. */
  #has(count: number, what: string): boolean {
    const here = this.#bytes.length - this.#at;
    if (here >= count) return true;
    if (here + this.#waiting < count) {
      if (this.#ended && here + this.#waiting > 0)
        throw new CaptureError(
          `the file ends inside ${what}: ${count} bytes needed, ${here + this.#waiting} left`,
          this.offset,
        );
      return false;
    }
    const bytes = here === 0 && this.#chunks.length === 1 ? this.#chunks[0]! : this.#join(here);
    this.#base += this.#at;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#at = 0;
    this.#chunks = [];
    this.#waiting = 0;
    return true;
  }

  #join(here: number): Uint8Array {
    const bytes = new Uint8Array(here + this.#waiting);
    bytes.set(this.#bytes.subarray(this.#at));
    let at = here;
    for (const chunk of this.#chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }

  #readFileHeader(): boolean {
    if (this.#ended && this.#waiting === 0) throw new CaptureError("the file is empty", 0);
    if (!this.#has(4, "the magic number")) return false;
    const magic = this.#view.getUint32(this.#at, false);
    if (magic === SECTION_HEADER) {
      this.#format = { kind: "pcapng", little: true, interfaces: [] };
      return true;
    }
    for (const little of [false, true]) {
      const known = PCAP_MAGICS[this.#view.getUint32(this.#at, little)];
      if (known === undefined) continue;
      if (!this.#has(PCAP_HEADER, "the pcap header")) return false;
      const major = this.#view.getUint16(this.#at + 4, little);
      if (major !== 2) throw new CaptureError(`pcap version ${major} is unknown`, this.offset + 4);
      this.#interfaces.push({
        snapLength: this.#view.getUint32(this.#at + 16, little),
        linkType: this.#view.getUint32(this.#at + 20, little) & LINKTYPE_MASK,
        nanoseconds: known.nanoseconds,
      });
      this.#at += PCAP_HEADER;
      this.#format = { kind: "pcap", little, ...known };
      return true;
    }
    throw new CaptureError(
      `neither pcap nor pcapng: the file starts with ${magic.toString(16).padStart(8, "0")}`,
      0,
    );
  }

  #readRecord({ little, nanoseconds, recordHeader }: PcapState): CapturedPacket | undefined {
    if (!this.#has(recordHeader, "a packet's header")) return undefined;
    const captured = this.#view.getUint32(this.#at + 8, little);
    if (captured > MAX_RECORD)
      throw new CaptureError(`a packet claims ${captured} captured bytes`, this.offset + 8);
    if (!this.#has(recordHeader + captured, "a packet")) return undefined;
    const start = this.#at + recordHeader;
    const time = nanoseconds
      ? this.#view.getUint32(this.#at + 4, little)
      : this.#view.getUint32(this.#at + 4, little) * 1000;
    const packet = {
      seconds: this.#view.getUint32(this.#at, little) + Math.floor(time / 1e9),
      nanoseconds: time % 1e9,
      data: this.#bytes.subarray(start, start + captured),
      originalLength: this.#view.getUint32(this.#at + 12, little),
      linkType: this.#interfaces[0]!.linkType,
      interfaceId: 0,
    };
    this.#at = start + captured;
    return packet;
  }

  #readBlocks(state: PcapngState): CapturedPacket | undefined {
    while (this.#has(12, "a block's header")) {
      const isSection = this.#view.getUint32(this.#at, false) === SECTION_HEADER;
      const little = isSection ? this.#sectionOrder() : state.little;
      const type = this.#view.getUint32(this.#at, little);
      const length = this.#view.getUint32(this.#at + 4, little);
      if (length < (isSection ? 28 : 12) || length % 4 !== 0 || length > MAX_RECORD)
        throw new CaptureError(`a block claims ${length} bytes`, this.offset + 4);
      if (!this.#has(length, "a block")) return undefined;
      const trailer = this.#view.getUint32(this.#at + length - 4, little);
      if (trailer !== length)
        throw new CaptureError(
          `a block of ${length} bytes ends with the length ${trailer}`,
          this.offset + length - 4,
        );
      const start = this.#at;
      const end = start + length - 4;
      let packet: CapturedPacket | undefined;
      if (isSection) {
        const major = this.#view.getUint16(start + 12, little);
        if (major !== 1) throw new CaptureError(`pcapng version ${major} is unknown`, this.offset + 12);
        state.little = little;
        state.interfaces = [];
      } else if (type === INTERFACE_DESCRIPTION) this.#describeInterface(state, start + 8, end);
      else if (type === ENHANCED_PACKET || type === OBSOLETE_PACKET)
        packet = this.#packetBlock(state, start + 8, end, type === OBSOLETE_PACKET);
      else if (type === SIMPLE_PACKET) packet = this.#simplePacket(state, start + 8, end);
      this.#at = start + length;
      if (packet !== undefined) return packet;
    }
    return undefined;
  }

  #sectionOrder(): boolean {
    if (this.#view.getUint32(this.#at + 8, true) === BYTE_ORDER_MAGIC) return true;
    if (this.#view.getUint32(this.#at + 8, false) === BYTE_ORDER_MAGIC) return false;
    throw new CaptureError("a section header lacks the byte-order magic", this.offset + 8);
  }

  #describeInterface(state: PcapngState, at: number, end: number): void {
    const { little } = state;
    if (end - at < 8) throw new CaptureError("an interface description is too short", this.#base + at);
    let resolution = 6;
    let offset = 0n;
    for (let option = at + 8; option + 4 <= end; ) {
      const code = this.#view.getUint16(option, little);
      const length = this.#view.getUint16(option + 2, little);
      if (option + 4 + length > end)
        throw new CaptureError(
          `option ${code} of ${length} bytes runs beyond its block`,
          this.#base + option,
        );
      if (code === OPT_ENDOFOPT) break;
      if (code === OPT_IF_TSRESOL && length >= 1) resolution = this.#view.getUint8(option + 4);
      if (code === OPT_IF_TSOFFSET && length >= 8) offset = this.#view.getBigInt64(option + 4, little);
      option += 4 + Math.ceil(length / 4) * 4;
    }
    const described: CaptureInterface = {
      linkType: this.#view.getUint16(at, little),
      snapLength: this.#view.getUint32(at + 4, little),
      nanoseconds: resolution & 0x80 ? (resolution & 0x7f) > 19 : resolution > 6,
    };
    const clock = resolution === 6 && offset === 0n ? microsecondClock : tickClock(resolution, offset);
    state.interfaces.push({ ...described, clock });
    this.#interfaces.push(described);
  }

  #packetBlock(state: PcapngState, at: number, end: number, obsolete: boolean): CapturedPacket {
    const { little } = state;
    if (end - at < 20) throw new CaptureError("a packet block is too short", this.#base + at);
    const interfaceId = obsolete ? this.#view.getUint16(at, little) : this.#view.getUint32(at, little);
    const from = this.#interfaceOf(state, interfaceId, at);
    const captured = this.#view.getUint32(at + 12, little);
    if (captured > end - at - 20)
      throw new CaptureError(
        `a packet of ${captured} captured bytes runs beyond its block`,
        this.#base + at + 12,
      );
    const time = toTime(
      from.clock,
      this.#view.getUint32(at + 4, little),
      this.#view.getUint32(at + 8, little),
    );
    return {
      seconds: time.seconds,
      nanoseconds: time.nanoseconds,
      data: this.#bytes.subarray(at + 20, at + 20 + captured),
      originalLength: this.#view.getUint32(at + 16, little),
      linkType: from.linkType,
      interfaceId,
    };
  }

  #simplePacket(state: PcapngState, at: number, end: number): CapturedPacket {
    if (end - at < 4) throw new CaptureError("a simple packet block is too short", this.#base + at);
    const from = this.#interfaceOf(state, 0, at);
    const originalLength = this.#view.getUint32(at, state.little);
    const captured = Math.min(originalLength, from.snapLength || originalLength);
    if (captured > end - at - 4)
      throw new CaptureError(`a packet of ${captured} captured bytes runs beyond its block`, this.#base + at);
    return {
      seconds: 0,
      nanoseconds: 0,
      data: this.#bytes.subarray(at + 4, at + 4 + captured),
      originalLength,
      linkType: from.linkType,
      interfaceId: 0,
    };
  }

  #interfaceOf(state: PcapngState, id: number, at: number): PcapngInterface {
    const found = state.interfaces[id];
    if (found === undefined)
      throw new CaptureError(
        `a packet names interface ${id}, the section describes ${state.interfaces.length}`,
        this.#base + at,
      );
    return found;
  }
}

/** All packets of a capture that is in memory; they are views of `bytes`. */
export function* readCapture(bytes: Uint8Array): Generator<CapturedPacket, void, undefined> {
  const reader = new CaptureReader();
  reader.push(bytes);
  reader.end();
  for (let packet = reader.read(); packet !== undefined; packet = reader.read()) yield packet;
}
