export { DEFAULT_KERNEL_VERSION, type KconfigOptions } from "./kconfig.ts";
export type { LinkedProgram } from "./link.ts";
export { BpfObject, type LinkOptions, type OpenOptions } from "./object.ts";
export { matchSection, SECTION_TABLE, type SectionDef, type SectionMatch } from "./section-table.ts";
export type {
  ExternSpec,
  FunctionSpec,
  KconfigKind,
  MapOrigin,
  MapSpec,
  ProgramSpec,
  Relocation,
} from "./spec.ts";
