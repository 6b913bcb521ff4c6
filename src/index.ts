// The public names, and nothing else. Each folder's own export (tsbpf/asm, tsbpf/btf...) has the rest.

export { assemble, disassemble } from "./asm/index.ts";
export type * from "./backend/index.ts";
export { Btf, type BtfValue, formatValue, parseBtf, parseValue } from "./btf/index.ts";
export * from "./diag/index.ts";
export {
  type Clock,
  FrozenClock,
  hostClock,
  Kernel,
  type KernelOptions,
  type PacketRunner,
  type RedirectTarget,
  TracePipe,
} from "./kernel/index.ts";
export { BpfLinker, linkObjects } from "./linker/index.ts";
export {
  BpfLink,
  BpfObject,
  type CharArray,
  fromBase64,
  Globals,
  generateSkeleton,
  type Input,
  LiveMap,
  LiveProgram,
  LoadedObject,
  type LoadOptions,
  type MapSpec,
  type OpenOptions,
  PerfBuffer,
  type ProgramSpec,
  type Records,
  RingBuffer,
  Skeleton,
  SkeletonMap,
  SkeletonProgram,
  type SkeletonShape,
} from "./loader/index.ts";
export { type CapturedPacket, CaptureReader, CaptureWriter, readCapture } from "./pcap/index.ts";
