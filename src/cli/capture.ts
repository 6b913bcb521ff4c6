// Captures on the command line: read in chunks, with progress, and written.
import {
  type CapturedPacket,
  type CaptureInterface,
  CaptureReader,
  CaptureWriter,
  LINKTYPE_ETHERNET,
} from "../pcap/index.ts";
import { fileSize, OutputFile, readChunks } from "../platform/node.ts";
import { nameFile, UsageError } from "./output.ts";
import { Progress } from "./progress.ts";

/** Calls `visit` for each packet of a capture file, or of standard input for `-`; returns its interfaces. */
export async function forEachPacket(
  path: string,
  visit: (packet: CapturedPacket, index: number, reader: CaptureReader) => void,
): Promise<readonly CaptureInterface[]> {
  const reader = new CaptureReader();
  const progress = new Progress(fileSize(path));
  let index = 0;
  const drain = (): void => {
    for (let packet = reader.read(); packet !== undefined; packet = reader.read()) {
      visit(packet, index++, reader);
      if ((index & 0xff) === 0) progress.update(reader.offset, () => `${index} packets`);
    }
  };
  try {
    for await (const chunk of readChunks(path)) {
      reader.push(chunk);
      drain();
    }
    reader.end();
    drain();
    return reader.interfaces;
  } catch (error) {
    throw nameFile(path, error);
  } finally {
    progress.end();
  }
}

/** A pcap file with packets of one link type, or standard output for `-`. Made when the first packet comes. */
export class CaptureOutput {
  readonly #file: OutputFile;
  readonly #path: string;
  #writer: CaptureWriter | undefined;
  #linkType = 0;
  written = 0;

  constructor(path: string) {
    this.#path = path;
    this.#file = new OutputFile(path);
  }

  /** `data` in place of the packet's own bytes, where the program changed or cut them. */
  write(packet: CapturedPacket, reader: CaptureReader, data: Uint8Array = packet.data): void {
    this.#writer ??= this.#start(packet.linkType, reader.interfaces);
    if (packet.linkType !== this.#linkType)
      throw new UsageError(
        `${this.#path}: a pcap file holds one link type, the capture has ${this.#linkType} and ${packet.linkType}; leave out --write`,
      );
    // What is left of the packet on the wire moves with what the program made of its captured bytes.
    const originalLength = Math.max(data.length, packet.originalLength + data.length - packet.data.length);
    this.#writer.write({ ...packet, data, originalLength });
    this.written++;
  }

  /** `interfaces` of the capture that was read: for the header, when no packet came. */
  close(interfaces: readonly CaptureInterface[]): void {
    this.#writer ??= this.#start(interfaces[0]?.linkType ?? LINKTYPE_ETHERNET, interfaces);
    this.#file.close();
  }

  #start(linkType: number, interfaces: readonly CaptureInterface[]): CaptureWriter {
    this.#linkType = linkType;
    const nanoseconds = interfaces.some((from) => from.nanoseconds);
    return new CaptureWriter((bytes) => this.#file.write(bytes), { linkType, nanoseconds });
  }
}
