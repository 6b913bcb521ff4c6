/**
 * An object file as libbpf sees it (bpf_object of tools/lib/bpf/libbpf.c): opening and linking are functions of bytes
 * and, where given, a target kernel's BTF; only `load` touches a backend.
 */
import type { Backend } from "../backend/index.ts";
import {
  BTF_KIND_FUNC,
  BTF_KIND_VAR,
  type Btf,
  type BtfExt,
  CoreResolver,
  coreRelocations,
  essentialName,
  parseBtfExt,
  typesCompatible,
} from "../btf/index.ts";
import { LoadError } from "../diag/index.ts";
import { type ElfFile, parseElf } from "../elf/index.ts";
import { BPF_PROG_TYPE_STRUCT_OPS, EINVAL } from "../uapi/index.ts";
import { type AttachTarget, resolveAttachTarget } from "./attach-target.ts";
import { fixupBtf } from "./btf-fixup.ts";
import { type FunctionCoreRelocation, type RelocatedCode, relocateCore } from "./core-relocate.ts";
import { collectExterns } from "./externs.ts";
import { Globals } from "./globals.ts";
import { fillKconfig, type KconfigOptions } from "./kconfig.ts";
import { KernelTypes } from "./kernel-types.ts";
import { type ExternValue, type LinkContext, type LinkedProgram, linkProgram } from "./link.ts";
import { type LoadOptions, loadObject } from "./load.ts";
import { byName, type LoadedObject } from "./loaded-object.ts";
import { btfMaps, dataMap, holdsVariables, isData, kconfigMap, legacyMaps, structOpsMaps } from "./maps.ts";
import type { LinkOptions, OpenedObject } from "./opened.ts";
import { collectRelocations, FunctionIndex } from "./relocs.ts";
import { resizeSection } from "./resize.ts";
import { collectSections, INSN_SIZE, type Sections } from "./sections.ts";
import type { ExternSpec, FunctionSpec, MapSpec, ProgramSpec } from "./spec.ts";
import { planStructOps, type StructOpsPlan } from "./struct-ops.ts";

export interface OpenOptions {
  /** The object's name, part of its data maps' names; libbpf takes the file's name up to its first dot. */
  readonly name?: string;
}

/** A target kernel, and what was learned about it. */
interface Target {
  readonly modules: readonly Btf[];
  readonly kernel: KernelTypes;
  readonly resolver: CoreResolver | undefined;
  readonly code: Map<FunctionSpec, RelocatedCode>;
}

/** What the kernel takes at most: KMALLOC_MAX_SIZE and more fit. */
const MAX_VALUE_SIZE = 1 << 30;

const NO_MODULES: readonly Btf[] = [];

export class BpfObject implements OpenedObject {
  readonly name: string;
  readonly license: string;
  /** Section `version`, 0 without one. */
  readonly version: number;
  readonly btfExt: BtfExt | undefined;
  /** Entry programs by name; the first one where a name repeats. */
  readonly programs: Readonly<Record<string, ProgramSpec>>;
  readonly programList: readonly ProgramSpec[];
  /** Functions that programs call. */
  readonly subprograms: readonly FunctionSpec[];
  /** Maps by name, in libbpf's order in `mapList`. */
  readonly maps: Readonly<Record<string, MapSpec>>;
  readonly mapList: readonly MapSpec[];
  readonly externs: readonly ExternSpec[];
  /** Initial contents of global `__arena` variables. */
  readonly arenaData: Uint8Array | undefined;
  /** Global variables' initial values, ready to set. */
  readonly globals: Globals;
  readonly #elf: ElfFile;
  readonly #index: FunctionIndex<FunctionSpec>;
  #targets = new WeakMap<Btf, Target>();
  #btf: Btf | undefined;
  #core: Map<FunctionSpec, FunctionCoreRelocation[]> | undefined;

  private constructor(elf: ElfFile, sections: Sections, name: string) {
    this.#elf = elf;
    this.name = name;
    this.license = sections.license;
    this.version = sections.version;
    this.arenaData = sections.arena && Uint8Array.from(sections.arena.data);
    const { editor, externs } = collectExterns(elf, sections.btf);
    if (editor !== undefined) fixupBtf(editor, elf, sections.subprograms);
    const btf = editor?.finish();
    this.#btf = btf;
    this.btfExt =
      btf !== undefined && sections.btfExt !== undefined ? parseBtfExt(sections.btfExt, btf) : undefined;
    this.externs = externs;
    this.mapList = collectMaps(elf, sections, name, btf, externs);
    this.programList = sections.programs;
    this.subprograms = sections.subprograms;
    collectRelocations({ elf, sections, maps: this.mapList, externs, btf });
    this.programs = byName(this.programList);
    this.maps = byName(this.mapList);
    const variables = this.mapList.filter((map) => holdsVariables(map, this.arenaData));
    this.globals = new Globals(() => this.#btf, variables, {
      read: (map) => this.#contents(map),
      write: (map, value) => this.setContents(map, value),
    });
    this.#index = new FunctionIndex<FunctionSpec>([...sections.programs, ...sections.subprograms]);
  }

  /** Reads an object file; throws ElfError, BtfError or LoadError that name the place. */
  static open(bytes: Uint8Array, options: OpenOptions = {}): BpfObject {
    const elf = parseElf(bytes);
    if (elf.symtab === undefined) throw new LoadError("no symbol table: is the object stripped?");
    return new BpfObject(elf, collectSections(elf), options.name ?? "object");
  }

  /** As the kernel gets it: sections sized, variables placed, externs made plain. */
  get btf(): Btf | undefined {
    return this.#btf;
  }

  /**
   * Another value size for a map, before loading. A section of variables keeps what it holds, and its last variable,
   * an array, takes the difference; where that is no array of a fitting element, the map goes without BTF, and its
   * variables without names.
   */
  setValueSize(map: string | MapSpec, size: number): void {
    const spec = typeof map === "string" ? this.maps[map] : map;
    if (spec === undefined) throw new LoadError(`no map '${map}' in ${this.name}`);
    if (!Number.isInteger(size) || size <= 0 || size > MAX_VALUE_SIZE)
      throw new LoadError(`map '${spec.name}': value size ${size}`, EINVAL);
    if (isData(spec)) {
      const value = new Uint8Array(size);
      value.set((spec.initialValue ?? new Uint8Array(0)).subarray(0, size));
      if (spec.initialValue !== undefined) spec.initialValue = value;
      const btf = this.#btf && resizeSection(this.#btf, spec, size);
      if (btf === undefined) spec.keyTypeId = spec.valueTypeId = 0;
      else {
        this.#btf = btf;
        this.#targets = new WeakMap();
      }
    }
    spec.valueSize = size;
  }

  #contents(map: MapSpec): Uint8Array {
    if (!isData(map)) return this.arenaData!;
    return map.initialValue ?? new Uint8Array(map.valueSize);
  }

  /** What the variables of a section, or of the arena, start as. */
  contents(map: MapSpec): Uint8Array {
    return Uint8Array.from(this.#contents(map));
  }

  setContents(map: MapSpec, value: Uint8Array): void {
    if (isData(map)) map.initialValue = value;
    else this.arenaData?.set(value);
  }

  /** The final instructions of one program; nothing is remembered. */
  link(program: string | ProgramSpec, options: LinkOptions = {}): LinkedProgram {
    const spec = typeof program === "string" ? this.programs[program] : program;
    if (spec === undefined) throw new LoadError(`no program '${program}' in ${this.name}`);
    return linkProgram(spec, this.#linkContext(options));
  }

  /** Contents of the `.kconfig` map for a kernel. */
  kconfig(options: KconfigOptions = {}): Uint8Array | undefined {
    const map = this.mapList.find((m) => m.origin === "kconfig");
    if (map === undefined) return undefined;
    const value = new Uint8Array(map.valueSize);
    fillKconfig(value, this.externs, options);
    return value;
  }

  /** Creates the maps and loads the programs on a backend. */
  load(backend: Backend, options: LoadOptions = {}): LoadedObject {
    return loadObject(this, backend, options);
  }

  structOps(options: LinkOptions): StructOpsPlan | undefined {
    const target = this.#target(options);
    if (this.btf === undefined || target === undefined) return undefined;
    if (!this.mapList.some((map) => map.structOps !== undefined && map.autocreate)) return undefined;
    return planStructOps(this.mapList, this.btf, target.kernel);
  }

  #linkContext(options: LinkOptions): LinkContext {
    const target = this.#target(options);
    return {
      maps: this.mapList,
      externs: this.externs,
      subprograms: this.subprograms,
      index: this.#index,
      btf: this.btf,
      btfExt: this.btfExt,
      sectionName: (index) => this.#elf.sections[index]?.name ?? `#${index}`,
      resolve: (extern) => resolveExtern(this.btf, extern, options, target?.kernel),
      code: (fn) => this.#coreCode(fn, target),
      attach: (program) => this.#attach(program, options, target),
    };
  }

  #target({ targetBtf, moduleBtfs = NO_MODULES }: LinkOptions): Target | undefined {
    if (targetBtf === undefined) return undefined;
    let target = this.#targets.get(targetBtf);
    if (target === undefined || target.modules !== moduleBtfs) {
      target = {
        modules: moduleBtfs,
        kernel: new KernelTypes(targetBtf, moduleBtfs),
        resolver: this.btf && new CoreResolver(this.btf, targetBtf, moduleBtfs),
        code: new Map(),
      };
      this.#targets.set(targetBtf, target);
    }
    return target;
  }

  /** Code after CO-RE relocation; without a target, as compiled. */
  #coreCode(fn: FunctionSpec, target: Target | undefined): RelocatedCode {
    if (target?.resolver === undefined) return { code: fn.insns, failed: [] };
    let relocated = target.code.get(fn);
    if (relocated === undefined) {
      const relocations = this.coreRelocations.get(fn);
      relocated =
        relocations === undefined
          ? { code: fn.insns, failed: [] }
          : relocateCore(fn, relocations, target.resolver);
      target.code.set(fn, relocated);
    }
    return relocated;
  }

  #attach(
    program: ProgramSpec,
    options: LinkOptions,
    target: Target | undefined,
  ): { attachType: number; attach: AttachTarget | undefined } {
    const { attachType } = program;
    if (program.type !== BPF_PROG_TYPE_STRUCT_OPS)
      return { attachType, attach: resolveAttachTarget(program, target?.kernel) };
    const member = this.structOps(options)?.programs.get(program.name);
    if (member === undefined) return { attachType, attach: undefined };
    const { btf, typeId, module } = member.map;
    const kind = module === "" ? "kernel" : "module";
    return {
      attachType: member.index,
      attach: { btf, btfId: typeId, kind, module, name: btf.typeName(typeId) },
    };
  }

  /** CO-RE records by function. */
  get coreRelocations(): ReadonlyMap<FunctionSpec, readonly FunctionCoreRelocation[]> {
    if (this.#core !== undefined) return this.#core;
    const out = new Map<FunctionSpec, FunctionCoreRelocation[]>();
    this.#core = out;
    const { btf, btfExt } = this;
    if (btf === undefined || btfExt === undefined) return out;
    for (const part of btfExt.coreRelocations.sections) {
      const section = this.#elf.section(part.section);
      if (section === undefined) continue;
      for (const relocation of coreRelocations(btfExt, part, btf)) {
        const slot = relocation.insnOffset / INSN_SIZE;
        if (!Number.isInteger(slot))
          throw new LoadError(`section ${part.section}: CO-RE relocation at offset ${relocation.insnOffset}`);
        // None: a weak function that another definition replaced.
        const fn = this.#index.find(section.index, slot);
        if (fn === undefined) continue;
        const list = out.get(fn);
        const entry = { insn: slot - fn.sectionInsn, relocation };
        if (list === undefined) out.set(fn, [entry]);
        else list.push(entry);
      }
    }
    return out;
  }
}

function collectMaps(
  elf: ElfFile,
  sections: Sections,
  name: string,
  btf: Btf | undefined,
  externs: readonly ExternSpec[],
): MapSpec[] {
  const maps: MapSpec[] = [];
  if (sections.legacyMaps !== undefined) maps.push(...legacyMaps(elf, sections.legacyMaps));
  if (sections.btfMaps !== undefined) {
    if (btf === undefined) throw new LoadError("section .maps: the object has no BTF that describes it");
    maps.push(...btfMaps(btf, sections.btfMaps));
  }
  for (const section of sections.data) maps.push(dataMap(name, section, btf));
  const kconfig = externs.filter((e) => e.kind === "kconfig").at(-1);
  if (kconfig !== undefined)
    maps.push(kconfigMap(name, elf.symtab!.index, kconfig.offset + kconfig.size, btf));
  for (const section of sections.structOps) {
    if (btf === undefined)
      throw new LoadError(`section ${section.name}: the object has no BTF that describes it`);
    maps.push(...structOpsMaps(btf, section));
  }
  return maps;
}

function resolveExtern(
  btf: Btf | undefined,
  extern: ExternSpec,
  options: LinkOptions,
  kernel: KernelTypes | undefined,
): ExternValue | undefined {
  if (extern.kind !== "kfunc" && extern.typeId === 0) {
    const value = options.ksym?.(extern.name);
    return value === undefined ? undefined : { kind: "address", value };
  }
  const isFunction = extern.kind === "kfunc";
  const name = isFunction ? essentialName(extern.name) : extern.name;
  const given = isFunction ? options.kfunc?.(name) : undefined;
  if (given !== undefined) return { kind: "btf", id: given, module: "" };
  const found = kernel?.find(name, isFunction ? BTF_KIND_FUNC : BTF_KIND_VAR);
  if (found === undefined || btf === undefined) return undefined;
  const type = found.btf.skipModifiers(found.btf.sizeOrType(found.id));
  if (typesCompatible(btf, extern.typeId, found.btf, type))
    return { kind: "btf", id: found.id, module: found.module };
  // A weak function of another prototype counts as missing.
  if (isFunction && extern.weak) return undefined;
  const where = found.module === "" ? "vmlinux" : found.module;
  throw new LoadError(`extern '${extern.name}': its type is incompatible with [${type}] of ${where}`);
}
