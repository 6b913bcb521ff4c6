/**
 * Makes one program's final instruction stream: the subprograms that it reaches are appended, each once, in the
 * order in which libbpf appends them (bpf_object__relocate_calls, bpf_object__relocate_data of libbpf.c).
 */
import { BTF_FUNC_GLOBAL, BTF_KIND_DECL_TAG, BTF_KIND_FUNC, type Btf, type BtfExt } from "../btf/index.ts";
import { LoadError } from "../diag/index.ts";
import {
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_VALUE,
} from "../uapi/index.ts";
import type { AttachTarget } from "./attach-target.ts";
import type { FailedRelocation, RelocatedCode } from "./core-relocate.ts";
import { ExtInfo } from "./ext-info.ts";
import type { FunctionIndex } from "./relocs.ts";
import { INSN_SIZE } from "./sections.ts";
import type { ExternSpec, FunctionSpec, MapSpec, ProgramSpec, Relocation } from "./spec.ts";

const LD_IMM64 = 0x18;
const CALL = 0x85;
/** BPF_COMPLEXITY_LIMIT_INSNS: the longest program that the kernel looks at. */
const MAX_INSNS = 1_000_000;
const E2BIG = 7;
/** Helper numbers that mean "this map or kernel function is missing"; the verifier refuses them where reachable. */
export const POISON_MAP = 2_001_000_000;
export const POISON_KFUNC = 2_002_000_000;

/** One program, ready for PROG_LOAD or a verifier: all that is known without a backend. */
export interface LinkedProgram {
  readonly name: string;
  /** BPF_PROG_TYPE_*. */
  readonly type: number;
  /** The expected attach type; struct_ops: the index of the member that it implements. */
  readonly attachType: number;
  /** BPF_F_*. */
  readonly flags: number;
  /** What it attaches to by BTF; undefined: nothing, or no target was given. */
  readonly attach: AttachTarget | undefined;
  /** 8 bytes a slot. LD_IMM64 of maps hold the map's index in the object's `mapList` where an fd belongs. */
  readonly insns: Uint8Array;
  /** The instructions that hold such an index. */
  readonly mapReferences: readonly { readonly insn: number; readonly map: MapSpec }[];
  /** Calls of kernel functions that were resolved; `module` is "" for vmlinux. */
  readonly kfuncs: readonly KfuncCall[];
  /** Modules whose functions are called: a call's `off` is 1 + the index here (0: vmlinux), as in fd_array. */
  readonly modules: readonly string[];
  /** Second slots of LD_IMM64 that want the fd of a module's BTF. */
  readonly moduleReferences: readonly { readonly insn: number; readonly module: string }[];
  /** CO-RE relocations that the target could not satisfy; their instructions must not be reached. */
  readonly failedRelocations: readonly FailedRelocation[];
  /** The functions that it consists of, by first slot; the program itself is the first. */
  readonly functions: readonly { readonly insn: number; readonly fn: FunctionSpec }[];
  readonly funcInfo: Uint8Array | undefined;
  readonly funcInfoRecordSize: number;
  readonly lineInfo: Uint8Array | undefined;
  readonly lineInfoRecordSize: number;
}

export interface KfuncCall {
  readonly insn: number;
  readonly name: string;
  readonly btfId: number;
  readonly module: string;
}

/** What an extern resolved to; undefined: nothing. */
export type ExternValue =
  | { readonly kind: "btf"; readonly id: number; readonly module: string }
  | { readonly kind: "address"; readonly value: bigint };

export interface LinkContext {
  readonly maps: readonly MapSpec[];
  readonly externs: readonly ExternSpec[];
  readonly subprograms: readonly FunctionSpec[];
  readonly index: FunctionIndex<FunctionSpec>;
  readonly btf: Btf | undefined;
  readonly btfExt: BtfExt | undefined;
  /** ELF section name of a section index, as .BTF.ext spells it. */
  sectionName(index: number): string;
  resolve(extern: ExternSpec): ExternValue | undefined;
  /** A function's code after CO-RE relocation. */
  code(fn: FunctionSpec): RelocatedCode;
  attach(program: ProgramSpec): { attachType: number; attach: AttachTarget | undefined };
}

class Code {
  bytes = new Uint8Array(1024);
  view = new DataView(this.bytes.buffer);
  insns = 0;

  append(code: Uint8Array): void {
    const size = this.insns * INSN_SIZE + code.length;
    if (size > this.bytes.length) {
      const bytes = new Uint8Array(Math.max(size, this.bytes.length * 2));
      bytes.set(this.bytes);
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer);
    }
    this.bytes.set(code, this.insns * INSN_SIZE);
    this.insns = size / INSN_SIZE;
  }
  setSource(insn: number, src: number): void {
    this.bytes[insn * INSN_SIZE + 1] = (this.bytes[insn * INSN_SIZE + 1]! & 0x0f) | (src << 4);
  }
  setOff(insn: number, off: number): void {
    this.view.setInt16(insn * INSN_SIZE + 2, off, true);
  }
  setImm(insn: number, imm: number): void {
    this.view.setInt32(insn * INSN_SIZE + 4, imm, true);
  }
  imm(insn: number): number {
    return this.view.getInt32(insn * INSN_SIZE + 4, true);
  }
  /** An impossible helper call. */
  poison(insn: number, helper: number): void {
    this.bytes.fill(0, insn * INSN_SIZE, (insn + 1) * INSN_SIZE);
    this.bytes[insn * INSN_SIZE] = CALL;
    this.setImm(insn, helper);
  }
}

export function linkProgram(program: ProgramSpec, context: LinkContext): LinkedProgram {
  const code = new Code();
  const placed = new Map<FunctionSpec, number>();
  const functions: { insn: number; fn: FunctionSpec }[] = [];
  const failedRelocations: FailedRelocation[] = [];
  const { btfExt } = context;
  const funcInfo = btfExt && new ExtInfo(btfExt.funcInfo, btfExt.littleEndian);
  const lineInfo = btfExt && new ExtInfo(btfExt.lineInfo, btfExt.littleEndian);

  const place = (fn: FunctionSpec): number => {
    const at = code.insns;
    if (at + fn.insns.length / INSN_SIZE > MAX_INSNS)
      throw new LoadError(
        `program '${program.name}': more than ${MAX_INSNS} instructions with '${fn.name}'`,
        E2BIG,
      );
    const relocated = context.code(fn);
    code.append(relocated.code);
    for (const failed of relocated.failed) failedRelocations.push({ ...failed, insn: at + failed.insn });
    placed.set(fn, at);
    functions.push({ insn: at, fn });
    const section = context.sectionName(fn.sectionIndex);
    funcInfo?.add(fn, section, at);
    lineInfo?.add(fn, section, at);
    return at;
  };
  linkCalls(program, context, code, placed, place);
  const exception = exceptionCallback(program, context);
  if (exception !== undefined && !placed.has(exception)) linkCalls(exception, context, code, placed, place);

  const data = linkData(program, context, code, functions);
  return {
    name: program.name,
    type: program.type,
    flags: program.flags,
    ...context.attach(program),
    failedRelocations,
    insns: code.bytes.slice(0, code.insns * INSN_SIZE),
    ...data,
    functions,
    funcInfo: funcInfo?.bytes(),
    funcInfoRecordSize: funcInfo?.recordSize ?? 0,
    lineInfo: lineInfo?.bytes(),
    lineInfoRecordSize: lineInfo?.recordSize ?? 0,
  };
}

/** Depth first: a subprogram is appended where its first call stands, and finished before the scan goes on. */
function linkCalls(
  entry: FunctionSpec,
  context: LinkContext,
  code: Code,
  placed: Map<FunctionSpec, number>,
  place: (fn: FunctionSpec) => number,
): void {
  const stack = [{ fn: entry, base: place(entry), insn: 0, relocation: 0 }];
  while (stack.length > 0) {
    const frame = stack.at(-1)!;
    const { fn, base } = frame;
    if (frame.insn >= fn.insns.length / INSN_SIZE) {
      stack.pop();
      continue;
    }
    const { relocations } = fn;
    while (frame.relocation < relocations.length && relocations[frame.relocation]!.insn < frame.insn)
      frame.relocation++;
    const next = relocations[frame.relocation];
    const target = callTarget(fn, frame.insn, code, base, next?.insn === frame.insn ? next : undefined);
    if (target === undefined) {
      frame.insn++;
      continue;
    }
    const callee = context.index.find(target.section, target.insn);
    if (callee === undefined)
      throw new LoadError(
        `section ${fn.sectionName}, function '${fn.name}', insn ${frame.insn}: no function at insn ${target.insn} of section ${context.sectionName(target.section)}`,
      );
    const at = placed.get(callee);
    if (at === undefined) {
      // The same instruction is looked at again once the callee is finished.
      stack.push({ fn: callee, base: place(callee), insn: 0, relocation: 0 });
      continue;
    }
    const insn = base + frame.insn;
    if (target.address) code.setSource(insn, BPF_PSEUDO_FUNC);
    code.setImm(insn, at - insn - 1);
    frame.insn++;
  }
}

function callTarget(
  fn: FunctionSpec,
  insn: number,
  code: Code,
  base: number,
  relocation: Relocation | undefined,
): { section: number; insn: number; address: boolean } | undefined {
  const at = (base + insn) * INSN_SIZE;
  const opcode = code.bytes[at];
  if (relocation !== undefined) {
    if (relocation.kind !== "call" && relocation.kind !== "address") return undefined;
    return { section: relocation.section, insn: relocation.target, address: relocation.kind === "address" };
  }
  const regs = code.bytes[at + 1]!;
  if (opcode === LD_IMM64 && regs >>> 4 === BPF_PSEUDO_FUNC)
    throw new LoadError(
      `section ${fn.sectionName}, function '${fn.name}', insn ${insn}: address of a function without relocation`,
    );
  // dst 0, src BPF_PSEUDO_CALL, off 0: a static function of the same section.
  if (opcode !== CALL || regs !== 0x10 || code.bytes[at + 2] !== 0 || code.bytes[at + 3] !== 0)
    return undefined;
  return {
    section: fn.sectionIndex,
    insn: fn.sectionInsn + insn + code.imm(base + insn) + 1,
    address: false,
  };
}

function linkData(
  program: ProgramSpec,
  context: LinkContext,
  code: Code,
  functions: readonly { insn: number; fn: FunctionSpec }[],
): Pick<LinkedProgram, "mapReferences" | "kfuncs" | "modules" | "moduleReferences"> {
  const mapReferences: { insn: number; map: MapSpec }[] = [];
  const kfuncs: KfuncCall[] = [];
  const modules: string[] = [];
  const moduleReferences: { insn: number; module: string }[] = [];
  const moduleIndex = (module: string): number => {
    if (module === "") return 0;
    const at = modules.indexOf(module);
    return at < 0 ? modules.push(module) : at + 1;
  };
  const mapIndex = new Map(context.maps.map((map, i) => [map, i]));
  const kconfig = context.maps.find((map) => map.origin === "kconfig");
  const reference = (insn: number, map: MapSpec, source: number, offset: number | undefined): void => {
    const index = mapIndex.get(map)!;
    if (!map.autocreate) {
      code.poison(insn, POISON_MAP + index);
      code.poison(insn + 1, POISON_MAP + index);
      return;
    }
    if (offset !== undefined) code.setImm(insn + 1, offset);
    code.setSource(insn, source);
    code.setImm(insn, index);
    mapReferences.push({ insn, map });
  };
  for (const { insn: base, fn } of functions) {
    for (const relocation of fn.relocations) {
      const insn = base + relocation.insn;
      if (relocation.kind === "map") reference(insn, relocation.map, BPF_PSEUDO_MAP_FD, undefined);
      else if (relocation.kind === "data")
        reference(insn, relocation.map, BPF_PSEUDO_MAP_VALUE, relocation.offset);
      else if (relocation.kind === "extern") {
        const { extern } = relocation;
        if (extern.kind === "kconfig") {
          reference(insn, kconfig!, BPF_PSEUDO_MAP_VALUE, extern.offset);
          continue;
        }
        const value = context.resolve(extern);
        if (value === undefined && !extern.weak)
          throw new LoadError(
            `program '${program.name}', insn ${insn}: extern '${extern.name}' (strong): not resolved`,
          );
        if (code.bytes[insn * INSN_SIZE] === CALL) {
          if (value?.kind !== "btf") code.poison(insn, POISON_KFUNC + context.externs.indexOf(extern));
          else {
            code.setSource(insn, BPF_PSEUDO_KFUNC_CALL);
            code.setImm(insn, value.id);
            code.setOff(insn, moduleIndex(value.module));
            kfuncs.push({ insn, name: extern.name, btfId: value.id, module: value.module });
          }
        } else if (value?.kind === "btf") {
          code.setSource(insn, BPF_PSEUDO_BTF_ID);
          code.setImm(insn, value.id);
          code.setImm(insn + 1, 0);
          if (value.module !== "") moduleReferences.push({ insn: insn + 1, module: value.module });
        } else {
          const address = value?.value ?? 0n;
          code.setImm(insn, Number(BigInt.asIntN(32, address)));
          code.setImm(insn + 1, Number(BigInt.asIntN(32, address >> 32n)));
        }
      }
    }
  }
  return { mapReferences, kfuncs, modules, moduleReferences };
}

const PREFIX = "exception_callback:";
const TAGS = new WeakMap<Btf, readonly { type: number; callback: string }[]>();

/** Types and callbacks of such tags; looked for once, as there are many types and hardly ever a tag. */
function exceptionTags(btf: Btf): readonly { type: number; callback: string }[] {
  const known = TAGS.get(btf);
  if (known !== undefined) return known;
  const tags: { type: number; callback: string }[] = [];
  for (let id = 1; id < btf.typeCount; id++) {
    if (btf.kind(id) !== BTF_KIND_DECL_TAG) continue;
    const tag = btf.type(id);
    if (tag.kind === BTF_KIND_DECL_TAG && tag.componentIndex === -1 && tag.name.startsWith(PREFIX))
      tags.push({ type: tag.type, callback: tag.name.slice(PREFIX.length) });
  }
  TAGS.set(btf, tags);
  return tags;
}

/** The function that a declaration tag `exception_callback:NAME` gives the program (bpf_prog_assign_exc_cb). */
function exceptionCallback(
  program: ProgramSpec,
  { btf, subprograms }: LinkContext,
): FunctionSpec | undefined {
  if (btf === undefined) return undefined;
  let found: FunctionSpec | undefined;
  for (const tag of exceptionTags(btf)) {
    if (btf.kind(tag.type) !== BTF_KIND_FUNC || btf.vlen(tag.type) !== BTF_FUNC_GLOBAL)
      throw new LoadError(
        `program '${program.name}': ${PREFIX}${tag.callback} is not applied to a main program`,
      );
    if (btf.typeName(tag.type) !== program.name) continue;
    // Several: the verifier refuses the program.
    if (found !== undefined) return undefined;
    const callbacks = subprograms.filter((s) => s.name === tag.callback);
    if (callbacks.length !== 1 || !callbacks[0]!.global || callbacks[0]!.hidden)
      throw new LoadError(
        `program '${program.name}': exception callback '${tag.callback}' must be one global function`,
      );
    found = callbacks[0]!;
  }
  return found;
}
