/** An opened object as loading needs it; BpfObject is one. */
import type { Btf } from "../btf/index.ts";
import type { KconfigOptions } from "./kconfig.ts";
import type { LinkedProgram } from "./link.ts";
import type { ExternSpec, MapSpec, ProgramSpec } from "./spec.ts";
import type { StructOpsPlan } from "./struct-ops.ts";

export interface LinkOptions extends KconfigOptions {
  /** The BTF of the kernel that shall run the programs: resolves kernel functions and typed ksyms. */
  readonly targetBtf?: Btf;
  /** BTF of that kernel's modules: split BTF over `targetBtf`, each opened with its module's name. */
  readonly moduleBtfs?: readonly Btf[];
  /** Address of an untyped `__ksym`, as /proc/kallsyms has it. */
  readonly ksym?: (name: string) => bigint | undefined;
  /** BTF id of a kernel function, asked before `targetBtf`. */
  readonly kfunc?: (name: string) => number | undefined;
}

export interface OpenedObject {
  readonly name: string;
  readonly license: string;
  /** Section `version`, 0 without one. */
  readonly version: number;
  /** As the kernel gets it: sections sized, variables placed, externs made plain. */
  readonly btf: Btf | undefined;
  readonly programList: readonly ProgramSpec[];
  readonly mapList: readonly MapSpec[];
  readonly externs: readonly ExternSpec[];
  /** Initial contents of global `__arena` variables. */
  readonly arenaData: Uint8Array | undefined;
  link(program: ProgramSpec, options?: LinkOptions): LinkedProgram;
  /** struct_ops maps against a target; undefined: the object has none that shall be created. */
  structOps(options: LinkOptions): StructOpsPlan | undefined;
  /** Contents of the `.kconfig` map for a kernel; undefined: the object has none. */
  kconfig(options?: KconfigOptions): Uint8Array | undefined;
}
