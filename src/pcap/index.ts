export {
  type CapturedPacket,
  type CaptureInterface,
  LINKTYPE_ETHERNET,
  LINKTYPE_LINUX_SLL,
  LINKTYPE_LINUX_SLL2,
  LINKTYPE_NULL,
  LINKTYPE_RAW,
  timestampNs,
} from "./packet.ts";
export { CaptureReader, readCapture } from "./reader.ts";
export { CaptureWriter, type CaptureWriterOptions, type PacketToWrite, writeCapture } from "./writer.ts";
