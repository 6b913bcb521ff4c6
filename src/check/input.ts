/**
 * Objects meet the verifier: one program of an opened object, linked for a target kernel, as verify() takes it. Says what
 * libbpf would pass to BPF_MAP_CREATE and BPF_PROG_LOAD (bpf_object__create_map, bpf_object_load_prog), without a kernel.
 */
import { BTF_KIND_FUNC, BTF_KIND_STRUCT, BTF_KIND_TYPEDEF, type Btf } from "../btf/index.ts";
import { LoadError } from "../diag/index.ts";
import type { BpfObject, KconfigOptions, LinkedProgram, MapSpec, ProgramSpec } from "../loader/index.ts";
import * as uapi from "../uapi/index.ts";
import type { AttachTarget, LineInfo, MapDescription, VerifierInput } from "../verifier/index.ts";

export interface CheckInputOptions extends KconfigOptions {
  /** The kernel's BTF: CO-RE, kernel functions and attach targets refer to it. */
  readonly targetBtf: Btf;
  /** What CO-RE relocates against, if not `targetBtf` (BTFGen's files, tests). */
  readonly coreBtf?: Btf;
  /** Overrides of what the section's name says. */
  readonly progType?: number;
  readonly expectedAttachType?: number;
  readonly progFlags?: number;
  readonly attach?: AttachTarget | null;
  readonly caps?: VerifierInput["caps"];
}

/** Map types that libbpf creates without key and value types. */
const WITHOUT_BTF: ReadonlySet<number> = new Set([
  uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  uapi.BPF_MAP_TYPE_CGROUP_ARRAY,
  uapi.BPF_MAP_TYPE_STACK_TRACE,
  uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS,
  uapi.BPF_MAP_TYPE_HASH_OF_MAPS,
  uapi.BPF_MAP_TYPE_DEVMAP,
  uapi.BPF_MAP_TYPE_DEVMAP_HASH,
  uapi.BPF_MAP_TYPE_CPUMAP,
  uapi.BPF_MAP_TYPE_XSKMAP,
  uapi.BPF_MAP_TYPE_SOCKMAP,
  uapi.BPF_MAP_TYPE_SOCKHASH,
  uapi.BPF_MAP_TYPE_QUEUE,
  uapi.BPF_MAP_TYPE_STACK,
  uapi.BPF_MAP_TYPE_ARENA,
]);
/** No file has such a number by chance. */
const MAP_FD_BASE = 1 << 20;
/** The kernel's limit on a name, without the NUL. */
const MAX_NAME = 15;
/** What a __ksym address stands for where the kernel's symbols are not known. */
const SOME_ADDRESS = 0xffff_ffff_8100_0000n;

/** Throws LoadError (and what linking throws) where libbpf would not get as far as PROG_LOAD. */
export function verifierInput(
  object: BpfObject,
  program: ProgramSpec,
  options: CheckInputOptions,
): VerifierInput {
  const linked = object.link(program, {
    targetBtf: options.targetBtf,
    ksym: () => SOME_ADDRESS,
    ...(options.coreBtf ? { targetBtf: options.coreBtf } : {}),
    ...(options.kconfig !== undefined ? { kconfig: options.kconfig } : {}),
  });
  // Only what a relocation put there is a map; other numbers are what the program says they are.
  const view = new DataView(linked.insns.buffer, linked.insns.byteOffset, linked.insns.byteLength);
  for (const { insn } of linked.mapReferences)
    view.setInt32(insn * 8 + 4, view.getInt32(insn * 8 + 4, true) + MAP_FD_BASE, true);
  const btf = object.btf ?? null;
  const kconfig = object.kconfig(options);
  const maps = object.mapList.map((spec, index) => describeMap(spec, index, btf, kconfig));
  const progType = options.progType ?? program.type;
  const structOps =
    progType === uapi.BPF_PROG_TYPE_STRUCT_OPS ? structOpsMember(object, program, options.targetBtf) : null;
  const expectedAttachType = options.expectedAttachType ?? structOps?.member ?? program.attachType;
  return {
    insns: linked.insns,
    maps,
    mapFdBase: MAP_FD_BASE,
    progType,
    expectedAttachType: structOps?.member ?? expectedAttachType,
    progFlags: options.progFlags ?? program.flags,
    license: object.license,
    name: program.name.slice(0, MAX_NAME),
    btf,
    funcInfo: btf === null ? [] : funcInfo(linked),
    lineInfo: btf === null ? [] : lineInfo(linked, btf),
    attach:
      options.attach !== undefined
        ? options.attach
        : (structOps?.target ?? attachTarget(program, progType, expectedAttachType, options.targetBtf)),
    ...(options.caps ? { caps: options.caps } : {}),
  };
}

/** `spec` as bpf(2) would describe the map that libbpf makes of it. */
export function describeMap(
  spec: MapSpec,
  index: number,
  btf: Btf | null,
  kconfig: Uint8Array | undefined,
): MapDescription {
  const typed = btf !== null && !WITHOUT_BTF.has(spec.type);
  const readOnly = spec.origin === "rodata" || spec.origin === "kconfig";
  return {
    index,
    name: spec.name.slice(0, MAX_NAME).replace(/[^A-Za-z0-9_.]/g, "_"),
    type: spec.type,
    keySize: spec.keySize,
    valueSize: spec.valueSize,
    maxEntries:
      spec.type === uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY && spec.maxEntries === 0 ? 1 : spec.maxEntries,
    flags: spec.flags,
    btf: typed ? btf : null,
    btfKeyTypeId: typed ? spec.keyTypeId : 0,
    btfValueTypeId: typed ? spec.valueTypeId : 0,
    btfVmlinuxValueTypeId: 0,
    mapExtra: spec.extra,
    inner: spec.innerMap === undefined ? null : describeMap(spec.innerMap, -1, btf, undefined),
    frozen: readOnly,
    contents: !readOnly
      ? null
      : spec.origin === "kconfig"
        ? (kconfig ?? null)
        : (spec.initialValue ?? new Uint8Array(spec.valueSize)),
  };
}

function funcInfo(linked: LinkedProgram): { insn: number; typeId: number }[] {
  const { funcInfo: bytes, funcInfoRecordSize: size } = linked;
  if (bytes === undefined || size < 8) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: { insn: number; typeId: number }[] = [];
  for (let at = 0; at + size <= bytes.length; at += size)
    out.push({ insn: view.getUint32(at, true), typeId: view.getUint32(at + 4, true) });
  return out;
}

function lineInfo(linked: LinkedProgram, btf: Btf): LineInfo[] {
  const { lineInfo: bytes, lineInfoRecordSize: size } = linked;
  if (bytes === undefined || size < 16) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: LineInfo[] = [];
  for (let at = 0; at + size <= bytes.length; at += size) {
    const lineColumn = view.getUint32(at + 12, true);
    out.push({
      insn: view.getUint32(at, true),
      file: btf.string(view.getUint32(at + 4, true)),
      line: lineColumn >>> 10,
      column: lineColumn & 0x3ff,
      text: btf.string(view.getUint32(at + 8, true)),
    });
  }
  return out;
}

/** `___flavour` of a type's name is ours alone. */
function essential(name: string): string {
  const at = name.indexOf("___");
  return at > 0 ? name.slice(0, at) : name;
}

/** Which struct and member a struct_ops program implements. */
function structOpsMember(
  object: BpfObject,
  program: ProgramSpec,
  target: Btf,
): { target: AttachTarget; member: number } | null {
  const { btf } = object;
  if (btf === undefined) return null;
  for (const map of object.mapList)
    for (const [member, name] of map.structOps ?? []) {
      if (name !== program.name) continue;
      const struct = essential(btf.typeName(map.valueTypeId));
      const id = target.findByName(struct, BTF_KIND_STRUCT);
      if (id === undefined)
        throw new LoadError(
          `program '${program.name}': no struct '${struct}' in the kernel's BTF`,
          uapi.ENOENT,
        );
      const type = target.type(id);
      const index = "members" in type ? type.members.findIndex((m) => m.name === essential(member)) : -1;
      if (index < 0)
        throw new LoadError(`program '${program.name}': '${struct}' has no member '${member}'`, uapi.ENOENT);
      return { target: { btf: target, btfId: id, program: null }, member: index };
    }
  return null;
}

/** The function, hook or tracepoint of a program whose section names one (find_attach_btf_id). */
function attachTarget(
  program: ProgramSpec,
  progType: number,
  attachType: number,
  target: Btf,
): AttachTarget | null {
  if (program.section?.def.attachBtf !== true) return null;
  // freplace: what it replaces is part of another program.
  if (progType === uapi.BPF_PROG_TYPE_EXT || program.type === uapi.BPF_PROG_TYPE_EXT) return null;
  if (program.attachTarget === "") return null;
  const [prefix, kind] = attachName(attachType);
  const id = target.findByName(prefix + program.attachTarget, kind);
  if (id === undefined)
    throw new LoadError(
      `program '${program.name}': '${program.attachTarget}' is not found in kernel BTF`,
      uapi.ESRCH,
    );
  return { btf: target, btfId: id, program: null };
}

function attachName(attachType: number): [prefix: string, kind: number] {
  switch (attachType) {
    case uapi.BPF_TRACE_RAW_TP:
      return ["btf_trace_", BTF_KIND_TYPEDEF];
    case uapi.BPF_LSM_MAC:
    case uapi.BPF_LSM_CGROUP:
      return ["bpf_lsm_", BTF_KIND_FUNC];
    case uapi.BPF_TRACE_ITER:
      return ["bpf_iter_", BTF_KIND_FUNC];
    default:
      return ["", BTF_KIND_FUNC];
  }
}
