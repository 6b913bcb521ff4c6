export { type AttachOptions, attachProgram, attachStructOps } from "./attach.ts";
export { type AttachSpec, attachSpec } from "./attach-spec.ts";
export type { AttachTarget } from "./attach-target.ts";
export { BpfLink } from "./bpf-link.ts";
export { describeFailure, type FailedRelocation } from "./core-relocate.ts";
export { Globals, type GlobalVariable } from "./globals.ts";
export { DEFAULT_KERNEL_VERSION, type KconfigOptions } from "./kconfig.ts";
export { type KernelType, KernelTypes } from "./kernel-types.ts";
export type { KfuncCall, LinkedProgram } from "./link.ts";
export { LiveMap } from "./live-map.ts";
export type { LoadOptions } from "./load.ts";
export { LiveProgram, LoadedObject } from "./loaded-object.ts";
export { type MapInput, MapTypes } from "./map-types.ts";
export { mapDefinition } from "./maps.ts";
export { BpfObject, type OpenOptions } from "./object.ts";
export type { LinkOptions, OpenedObject } from "./opened.ts";
export { PerfBuffer, type PerfSample, RingBuffer } from "./rings.ts";
export { matchSection, SECTION_TABLE, type SectionDef, type SectionMatch } from "./section-table.ts";
export * from "./skeleton/index.ts";
export type {
  ExternSpec,
  FunctionSpec,
  KconfigKind,
  MapOrigin,
  MapSpec,
  ProgramSpec,
  ProgramTarget,
  Relocation,
} from "./spec.ts";
export type { StructOpsMap, StructOpsMember, StructOpsPlan, StructOpsSlot } from "./struct-ops.ts";
