/**
 * struct_ops maps: initialisers moved to where the kernel's own struct has the members, and each program told which
 * member of which struct it implements (bpf_map__init_kern_struct_ops of tools/lib/bpf/libbpf.c).
 *
 *   struct bpf_struct_ops_NAME { ...; struct NAME data; }   the map's value; `data` holds the members
 */
import {
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_NAMES,
  BTF_KIND_PTR,
  BTF_KIND_STRUCT,
  type Btf,
  essentialName,
} from "../btf/index.ts";
import { LoadError } from "../diag/index.ts";
import { EINVAL, EOPNOTSUPP, ESRCH } from "../uapi/index.ts";
import type { KernelTypes } from "./kernel-types.ts";
import type { MapSpec, ProgramSpec } from "./spec.ts";

/** The program that implements a member. */
export interface StructOpsSlot {
  /** Where in the map's value its fd goes, 8 bytes. */
  readonly offset: number;
  readonly member: string;
  readonly program: string;
}

/** A struct_ops map against one target. */
export interface StructOpsMap {
  readonly map: MapSpec;
  readonly btf: Btf;
  /** The module that has the struct; "" for vmlinux. */
  readonly module: string;
  /** `struct NAME`, and `struct bpf_struct_ops_NAME`. */
  readonly typeId: number;
  readonly valueTypeId: number;
  readonly valueSize: number;
  /** Where `data` begins in the value. */
  readonly dataOffset: number;
  /** Members that are no functions, in place. */
  readonly value: Uint8Array;
  readonly slots: readonly StructOpsSlot[];
}

/** What a struct_ops program implements. */
export interface StructOpsMember {
  readonly map: StructOpsMap;
  /** Index in the kernel's struct: the expected attach type. */
  readonly index: number;
}

export interface StructOpsPlan {
  readonly maps: readonly StructOpsMap[];
  /** By program name. */
  readonly programs: ReadonlyMap<string, StructOpsMember>;
}

type Struct = Extract<ReturnType<Btf["type"]>, { members: unknown }>;

/** Every struct_ops map that shall be created. */
export function planStructOps(maps: readonly MapSpec[], local: Btf, kernel: KernelTypes): StructOpsPlan {
  const programs = new Map<string, StructOpsMember>();
  const planned = maps
    .filter((map) => map.structOps !== undefined && map.autocreate)
    .map((map) => planMap(map, local, kernel, programs));
  return { maps: planned, programs };
}

/**
 * Programs that struct_ops maps name load exactly if one of those maps is created; the others as they say
 * (bpf_object_adjust_struct_ops_autoload).
 */
export function structOpsAutoload(program: ProgramSpec, maps: readonly MapSpec[]): boolean {
  const users = maps.filter((map) => [...(map.structOps?.values() ?? [])].includes(program.name));
  return users.length === 0 ? program.autoload : users.some((map) => map.autocreate);
}

function planMap(
  map: MapSpec,
  local: Btf,
  kernel: KernelTypes,
  programs: Map<string, StructOpsMember>,
): StructOpsMap {
  const fail = (what: string, errno: number = EOPNOTSUPP): LoadError =>
    new LoadError(`struct_ops map '${map.name}': ${what}`, errno);
  const type = struct(local, map.valueTypeId);
  const name = essentialName(type.name);
  const found = kernel.find(`bpf_struct_ops_${name}`, BTF_KIND_STRUCT);
  if (found === undefined) throw fail(`struct bpf_struct_ops_${name} is not found in kernel BTF`, ESRCH);
  const { btf, module } = found;
  const typeId = btf.findByName(name, BTF_KIND_STRUCT);
  if (typeId === undefined) throw fail(`struct ${name} is not found in kernel BTF`, ESRCH);
  const valueType = struct(btf, found.id);
  const data = valueType.members.find((m) => m.type === typeId);
  if (data === undefined) throw fail(`struct ${name} is no member of struct ${valueType.name}`, EINVAL);
  const target = struct(btf, typeId);
  const value = new Uint8Array(valueType.size);
  const dataOffset = data.bitOffset >>> 3;
  const slots: StructOpsSlot[] = [];
  const plan: StructOpsMap = {
    map,
    btf,
    module,
    typeId,
    valueTypeId: found.id,
    valueSize: valueType.size,
    dataOffset,
    value,
    slots,
  };
  const initial = map.initialValue ?? new Uint8Array(map.valueSize);
  for (const member of type.members) {
    const from = member.bitOffset >>> 3;
    const size = local.resolveSize(member.type);
    const bytes = initial.subarray(from, from + size);
    const program = map.structOps!.get(member.name);
    const index = target.members.findIndex((m) => m.name === member.name);
    if (index < 0) {
      // An older kernel: no harm where the member is left empty, or where only a program was meant for it.
      if (bytes.some((b) => b !== 0)) throw fail(`kernel BTF has no member '${member.name}'`);
      if (program !== undefined)
        throw fail(`kernel BTF has no member '${member.name}' for program '${program}'`);
      continue;
    }
    const wanted = target.members[index]!;
    if (member.bitSize > 0 || wanted.bitSize > 0) throw fail(`bit field '${member.name}' is not supported`);
    const localKind = local.kind(local.skipModifiers(member.type));
    const kernelMember = btf.skipModifiers(wanted.type);
    if (localKind !== btf.kind(kernelMember))
      throw fail(
        `member '${member.name}' is a ${BTF_KIND_NAMES[localKind]}, in the kernel a ${BTF_KIND_NAMES[btf.kind(kernelMember)]}`,
      );
    const to = dataOffset + (wanted.bitOffset >>> 3);
    if (localKind === BTF_KIND_PTR) {
      if (program === undefined) continue;
      const pointed = btf.skipModifiers(btf.sizeOrType(kernelMember));
      if (btf.kind(pointed) !== BTF_KIND_FUNC_PROTO)
        throw fail(`member '${member.name}' is no function in the kernel`);
      const known = programs.get(program);
      if (known === undefined) programs.set(program, { map: plan, index });
      else if (known.map.btf !== btf || known.map.typeId !== typeId || known.index !== index)
        throw fail(
          `program '${program}' implements member ${known.index} of struct ${known.map.btf.typeName(known.map.typeId)} already`,
          EINVAL,
        );
      slots.push({ offset: to, member: member.name, program });
      continue;
    }
    const kernelSize = btf.resolveSize(kernelMember);
    if (size !== kernelSize)
      throw fail(`member '${member.name}' has ${size} bytes, in the kernel ${kernelSize}`);
    value.set(bytes, to);
  }
  return plan;
}

function struct(btf: Btf, id: number): Struct {
  const type = btf.type(id);
  if (type.kind !== BTF_KIND_STRUCT) throw new LoadError(`type ${id} is no struct`);
  return type;
}
