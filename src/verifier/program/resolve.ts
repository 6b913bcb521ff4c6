/** What LD_IMM64 instructions name, and which opcodes there are: resolve_pseudo_ldimm64(). */
import {
  BTF_KIND_DATASEC,
  BTF_KIND_FUNC,
  BTF_KIND_STRUCT,
  BTF_KIND_UNION,
  BTF_KIND_VAR,
  type Btf,
} from "../../btf/index.ts";
import {
  BPF_DW,
  BPF_IMM,
  BPF_LD,
  BPF_LDX,
  BPF_MAP_TYPE_ARENA,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_CGROUP_STORAGE,
  BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
  BPF_MEM,
  BPF_MEMSX,
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_PSEUDO_MAP_VALUE,
  E2BIG,
  EBADF,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOTSUPP,
  EPERM,
  EPROTO,
  ERANGE,
} from "../../uapi/index.ts";
import type { Env, InsnAux } from "../env.ts";
import { opcodeExists } from "../insns/opcodes.ts";
import { BPF_MAX_VAR_OFF, MAX_USED_MAPS } from "../limits.ts";
import type { MapDescription } from "../map-description.ts";
import { MEM_PERCPU, MEM_RDONLY, PTR_TO_BTF_ID, PTR_TO_FUNC, PTR_TO_MEM } from "../state/reg-type.ts";
import { checkMapProgCompatibility } from "./map-prog.ts";

const PAGE_SIZE = 4096;

/** Whether the variable `id` of kernel BTF lies in the per-CPU section. find_btf_percpu_datasec(). */
function isPercpuVar(btf: Btf, id: number): boolean {
  const section = btf.findByName(".data..percpu", BTF_KIND_DATASEC);
  if (section === undefined) return false;
  const type = btf.type(section);
  return type.kind === BTF_KIND_DATASEC && type.vars.some((v) => v.type === id);
}

/** A kernel symbol by its BTF id. check_pseudo_btf_id(). */
function resolveKernelSymbol(env: Env, i: number, aux: InsnAux): void {
  const id = env.slots.imm[i]!;
  const module = env.slots.imm[i + 1]!;
  const btf = module === 0 ? env.kernelBtf : (env.input.moduleBtfs?.[module] ?? null);
  if (btf === null)
    env.reject(
      EINVAL,
      module !== 0
        ? "invalid module BTF object FD specified."
        : "kernel is missing BTF, make sure CONFIG_DEBUG_INFO_BTF=y is specified in Kconfig.",
    );
  if (id < 0 || id >= btf.typeCount) env.reject(ENOENT, `ldimm64 insn specifies invalid btf_id ${id}.`);
  const kind = btf.kind(id);
  if (kind !== BTF_KIND_VAR && kind !== BTF_KIND_FUNC)
    env.reject(EINVAL, `pseudo btf_id ${id} in ldimm64 isn't KIND_VAR or KIND_FUNC`);
  if (kind === BTF_KIND_FUNC) {
    aux.btfVarType = PTR_TO_MEM | MEM_RDONLY;
    aux.btfVarMemSize = 0;
    return;
  }
  const type = btf.sizeOrType(id);
  const target = btf.skipModifiers(type);
  const targetKind = btf.kind(target);
  if (isPercpuVar(btf, id)) {
    aux.btfVarType = PTR_TO_BTF_ID | MEM_PERCPU;
    aux.btfVarBtf = btf;
    aux.btfVarId = type;
  } else if (targetKind === BTF_KIND_STRUCT || targetKind === BTF_KIND_UNION) {
    aux.btfVarType = PTR_TO_BTF_ID;
    aux.btfVarBtf = btf;
    aux.btfVarId = type;
  } else {
    let size: number;
    try {
      size = btf.resolveSize(target);
    } catch {
      env.reject(EINVAL, `ldimm64 unable to resolve the size of type '${btf.typeName(target)}': -${EINVAL}`);
    }
    aux.btfVarType = PTR_TO_MEM | MEM_RDONLY;
    aux.btfVarMemSize = size;
  }
}

/** map_direct_value_addr of the map types that have it. */
function checkDirectValue(env: Env, map: MapDescription, off: number): void {
  const array = map.type === BPF_MAP_TYPE_ARRAY;
  if (!array && map.type !== BPF_MAP_TYPE_ARENA)
    env.reject(EINVAL, "no direct value access support for this map type");
  let errno = 0;
  if (array && map.maxEntries !== 1) errno = ENOTSUPP;
  else if (array && off >= map.valueSize) errno = EINVAL;
  else if (!array && off >= map.maxEntries * PAGE_SIZE) errno = ERANGE;
  if (errno !== 0)
    env.reject(errno, `invalid access to map value pointer, value_size=${map.valueSize} off=${off}`);
}

/** Once per map: limits and what only some programs may use. */
function useMap(env: Env, map: MapDescription, used: MapDescription[]): void {
  if (used.includes(map)) return;
  used.push(map);
  if (map.type === BPF_MAP_TYPE_CGROUP_STORAGE || map.type === BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE) {
    if (used.some((other) => other !== map && other.type === map.type))
      env.reject(EBUSY, "only one cgroup storage of each type is allowed");
  }
  if (map.type === BPF_MAP_TYPE_ARENA) {
    env.hasArena = true;
    if (used.some((other) => other !== map && other.type === map.type))
      env.reject(EBUSY, "Only one arena per program");
    if (!env.allowPtrLeaks || !env.bpfCapable)
      env.reject(EPERM, "CAP_BPF and CAP_PERFMON are required to use arena");
    env.hasArena = true;
  }
}

function resolveMap(env: Env, i: number, aux: InsnAux, used: MapDescription[]): void {
  const { src, imm } = env.slots;
  const kind = src[i]!;
  const value = kind === BPF_PSEUDO_MAP_VALUE || kind === BPF_PSEUDO_MAP_IDX_VALUE;
  const handle = kind === BPF_PSEUDO_MAP_FD || kind === BPF_PSEUDO_MAP_IDX;
  if (!value && !(handle && imm[i + 1] === 0)) env.reject(EINVAL, "unrecognized bpf_ld_imm64 insn");
  let fd = imm[i]!;
  if (kind === BPF_PSEUDO_MAP_IDX || kind === BPF_PSEUDO_MAP_IDX_VALUE) {
    const { fdArray } = env.input;
    if (fdArray === undefined) env.reject(EPROTO, "fd_idx without fd_array is invalid");
    if (fdArray[fd] === undefined) env.reject(EFAULT, "");
    fd = fdArray[fd]!;
  }
  const index = fd - (env.input.mapFdBase ?? 0);
  const map = env.input.maps[index];
  if (map === undefined) env.reject(EBADF, `fd ${fd} is not pointing to valid bpf_map`);
  if (!used.includes(map) && used.length >= MAX_USED_MAPS)
    env.reject(E2BIG, `The total number of maps per program has reached the limit of ${MAX_USED_MAPS}`);
  aux.mapIndex = index;
  checkMapProgCompatibility(env, map);
  if (value) {
    const off = imm[i + 1]! >>> 0;
    if (off >= BPF_MAX_VAR_OFF) env.reject(EINVAL, `direct value offset of ${off} is not allowed`);
    checkDirectValue(env, map, off);
    aux.mapOffset = off;
  }
  useMap(env, map, used);
}

export function resolvePseudoLdImm64(env: Env): void {
  const { slots } = env;
  const { op, dst, src, off, imm, count } = slots;
  const used: MapDescription[] = [];
  for (let i = 0; i < count; i++) {
    const code = op[i]!;
    const mode = code & 0xe0;
    if ((code & 7) === BPF_LDX && ((mode !== BPF_MEM && mode !== BPF_MEMSX) || imm[i] !== 0))
      env.reject(EINVAL, "BPF_LDX uses reserved fields");
    if (code !== (BPF_LD | BPF_IMM | BPF_DW)) {
      if (!opcodeExists(env.profile, code))
        env.reject(EINVAL, `unknown opcode ${code.toString(16).padStart(2, "0")}`);
      continue;
    }
    const next = i + 1;
    if (next >= count || op[next] !== 0 || dst[next] !== 0 || src[next] !== 0 || off[next] !== 0)
      env.reject(EINVAL, "invalid bpf_ld_imm64 insn");
    const aux = env.aux[i]!;
    if (src[i] === BPF_PSEUDO_BTF_ID) resolveKernelSymbol(env, i, aux);
    else if (src[i] === BPF_PSEUDO_FUNC) aux.ptrType = PTR_TO_FUNC;
    else if (src[i] !== 0) resolveMap(env, i, aux, used);
    i++;
  }
}
