// BPF_PROG_LOAD: bpf_prog_load() of kernel/bpf/syscall.c, and of the verifier what works without one: map references
// (resolve_pseudo_ldimm64) and which helpers the program may call (check_helper_call).
import { validate } from "../asm/index.ts";
import type { ProgLoadAttr } from "../backend/index.ts";
import { InvalidProgramError, LoadError, ProgramFault } from "../diag/index.ts";
import { ProgArrayMap } from "../maps/index.ts";
import * as uapi from "../uapi/index.ts";
import { isGplCompatible } from "../uapi/index.ts";
import { FAULT_INSN, type HelperBinding, POINTER_HIGH, type VmMap, type VmProgram } from "../vm/index.ts";
import type { MapObject } from "./map-object.ts";
import type { KernelObject } from "./objects.ts";
import { Program } from "./program.ts";
import type { ProgramType } from "./program-type.ts";
import { contextReach, reachableSlots } from "./reach.ts";
import { progTag } from "./tag.ts";
import { type VerifyHost, verifyLoad } from "./verify-load.ts";

const PROG_FLAGS =
  uapi.BPF_F_STRICT_ALIGNMENT |
  uapi.BPF_F_ANY_ALIGNMENT |
  uapi.BPF_F_TEST_RND_HI32 |
  uapi.BPF_F_TEST_STATE_FREQ |
  uapi.BPF_F_SLEEPABLE |
  uapi.BPF_F_XDP_HAS_FRAGS |
  uapi.BPF_F_XDP_DEV_BOUND_ONLY |
  uapi.BPF_F_TEST_REG_INVARIANTS;
const BPF_COMPLEXITY_LIMIT_INSNS = 1_000_000;
const MAX_USED_MAPS = 64;
const BPF_MAX_VAR_OFF = 1 << 29;

const LD_IMM64 = uapi.BPF_LD | uapi.BPF_IMM | uapi.BPF_DW;
const FRAME_POINTER = 10;
const CALL = uapi.BPF_JMP | uapi.BPF_CALL;

/** Maps that a sleepable program may use. */
const SLEEPABLE_MAPS: ReadonlySet<number> = new Set([
  uapi.BPF_MAP_TYPE_HASH,
  uapi.BPF_MAP_TYPE_LRU_HASH,
  uapi.BPF_MAP_TYPE_ARRAY,
  uapi.BPF_MAP_TYPE_PERCPU_HASH,
  uapi.BPF_MAP_TYPE_PERCPU_ARRAY,
  uapi.BPF_MAP_TYPE_LRU_PERCPU_HASH,
  uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS,
  uapi.BPF_MAP_TYPE_HASH_OF_MAPS,
  uapi.BPF_MAP_TYPE_RINGBUF,
  uapi.BPF_MAP_TYPE_USER_RINGBUF,
  uapi.BPF_MAP_TYPE_INODE_STORAGE,
  uapi.BPF_MAP_TYPE_SK_STORAGE,
  uapi.BPF_MAP_TYPE_TASK_STORAGE,
  uapi.BPF_MAP_TYPE_CGRP_STORAGE,
  uapi.BPF_MAP_TYPE_QUEUE,
  uapi.BPF_MAP_TYPE_STACK,
  uapi.BPF_MAP_TYPE_ARENA,
]);

const SLEEPABLE_TRACING: ReadonlySet<number> = new Set([
  uapi.BPF_TRACE_FENTRY,
  uapi.BPF_TRACE_FEXIT,
  uapi.BPF_MODIFY_RETURN,
  uapi.BPF_TRACE_ITER,
]);

/** Refusal of a program: the errno that bpf(2) returns, and what goes into the log. */
class Refusal {
  readonly err: number;
  readonly log: string;
  constructor(err: number, log = "") {
    this.err = err;
    this.log = log;
  }
}

/** What loading needs of its kernel. */
export interface LoadHost extends Omit<VerifyHost, "profile"> {
  /** null: programs are not verified, and their accesses are checked as they run. */
  readonly profile: VerifyHost["profile"] | null;
  readonly programTypes: ReadonlyMap<number, ProgramType>;
  readonly mode: VmProgram["mode"];
  readonly hasKernelBtf: boolean;
  bootNs(): number;
  progByFd(fd: number): Program | number;
  helper(id: number, progType: number): HelperBinding | undefined;
  /** Gives the program its id and its code; throws what the engine throws. */
  install(program: Program, vm: Omit<VmProgram, "id">): void;
  onRelease(program: Program): void;
}

export interface Loaded {
  /** With one reference, the caller's; or a negative errno. */
  readonly program: Program | number;
  readonly log: string;
}

/** BPF_PROG_LOAD without the file descriptor. */
export function loadProgram(host: LoadHost, attr: ProgLoadAttr): Loaded {
  const held: KernelObject[] = [];
  try {
    return load(host, attr, held);
  } catch (error) {
    for (const object of held) object.put();
    if (error instanceof Refusal) return { program: error.err, log: error.log };
    if (error instanceof InvalidProgramError) return { program: -uapi.EINVAL, log: `${error.message}\n` };
    if (error instanceof LoadError && error.errno !== undefined)
      return { program: -error.errno, log: `${error.message}\n` };
    throw error;
  }
}

function attachCheck(host: LoadHost, attr: ProgLoadAttr, held: KernelObject[]): ProgramType {
  const btfId = attr.attach_btf_id ?? 0;
  let target: Program | undefined;
  const targetFd = attr.attach_prog_fd || attr.attach_btf_obj_fd;
  if (targetFd) {
    const found = host.progByFd(targetFd);
    if (typeof found !== "number") held.push((target = found.get()));
    else throw new Refusal(typeof host.btfByFd(targetFd) === "number" ? -uapi.EINVAL : -uapi.ENOTSUPP);
  } else if (btfId && !host.hasKernelBtf)
    throw new Refusal(-uapi.EINVAL, "this kernel has no BTF: attach_btf_id names nothing\n");
  const extends_ = attr.prog_type === uapi.BPF_PROG_TYPE_EXT || attr.prog_type === uapi.BPF_PROG_TYPE_TRACING;
  const named =
    extends_ || attr.prog_type === uapi.BPF_PROG_TYPE_LSM || attr.prog_type === uapi.BPF_PROG_TYPE_STRUCT_OPS;
  if ((btfId && !named) || (target && !extends_)) throw new Refusal(-uapi.EINVAL);
  const type = host.programTypes.get(attr.prog_type);
  const expected = attr.expected_attach_type || (type?.defaultAttachType ?? 0);
  if (type === undefined || type.attachTypes?.includes(expected) === false) throw new Refusal(-uapi.EINVAL);
  if (attr.prog_type === uapi.BPF_PROG_TYPE_TRACING && !btfId)
    throw new Refusal(-uapi.EINVAL, "Tracing programs must provide btf_id\n");
  return type;
}

function sleepableCheck(attr: ProgLoadAttr, sleepable: boolean): void {
  const type = attr.prog_type;
  if (type === uapi.BPF_PROG_TYPE_SYSCALL) {
    if (!sleepable) throw new Refusal(-uapi.EINVAL, "Syscall programs can only be sleepable\n");
    return;
  }
  const able =
    (type === uapi.BPF_PROG_TYPE_TRACING && SLEEPABLE_TRACING.has(attr.expected_attach_type ?? 0)) ||
    (type === uapi.BPF_PROG_TYPE_LSM && attr.expected_attach_type !== uapi.BPF_LSM_CGROUP) ||
    type === uapi.BPF_PROG_TYPE_KPROBE ||
    type === uapi.BPF_PROG_TYPE_STRUCT_OPS;
  if (sleepable && !able)
    throw new Refusal(
      -uapi.EINVAL,
      "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable\n",
    );
}

/** Puts addresses where the program names maps; the maps, each once, with a reference for the program. */
function resolveMaps(
  host: LoadHost,
  attr: ProgLoadAttr,
  insns: Uint8Array,
  sleepable: boolean,
  held: KernelObject[],
): MapObject[] {
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  const maps: MapObject[] = [];
  const slots = insns.length / 8;
  for (let i = 0; i < slots; i++) {
    const at = i * 8;
    if (insns[at] !== LD_IMM64) continue;
    const next = at + 8;
    if (i === slots - 1 || view.getUint32(next, true) !== 0)
      throw new Refusal(-uapi.EINVAL, "invalid bpf_ld_imm64 insn\n");
    const src = insns[at + 1]! >> 4;
    i++;
    if (src === 0 || src === uapi.BPF_PSEUDO_FUNC) continue;
    if (src === uapi.BPF_PSEUDO_BTF_ID)
      throw new Refusal(
        -uapi.EINVAL,
        `ldimm64 of a kernel variable (BTF id ${view.getInt32(at + 4, true)}): this kernel has none\n`,
      );
    const value = src === uapi.BPF_PSEUDO_MAP_VALUE || src === uapi.BPF_PSEUDO_MAP_IDX_VALUE;
    const byIndex = src === uapi.BPF_PSEUDO_MAP_IDX || src === uapi.BPF_PSEUDO_MAP_IDX_VALUE;
    const offset = view.getUint32(next + 4, true);
    if (src > uapi.BPF_PSEUDO_MAP_IDX_VALUE || (!value && offset !== 0))
      throw new Refusal(-uapi.EINVAL, "unrecognized bpf_ld_imm64 insn\n");
    let fd = view.getInt32(at + 4, true);
    if (byIndex) {
      if (attr.fd_array === undefined)
        throw new Refusal(-uapi.EPROTO, "fd_idx without fd_array is invalid\n");
      if (attr.fd_array[fd] === undefined) throw new Refusal(-uapi.EFAULT);
      fd = attr.fd_array[fd]!;
    }
    const map = host.mapByFd(fd);
    if (typeof map === "number") throw new Refusal(map, `fd ${fd} is not pointing to valid bpf_map\n`);
    if (!maps.includes(map)) {
      if (maps.length >= MAX_USED_MAPS)
        throw new Refusal(
          -uapi.E2BIG,
          `The total number of maps per program has reached the limit of ${MAX_USED_MAPS}\n`,
        );
      if (sleepable && !SLEEPABLE_MAPS.has(map.map.type))
        throw new Refusal(
          -uapi.EINVAL,
          "Sleepable programs can only use array, hash, ringbuf and local storage maps\n",
        );
      maps.push(map);
      held.push(map.get());
    }
    let address = map.map.address;
    if (value) {
      if (offset >= BPF_MAX_VAR_OFF)
        throw new Refusal(-uapi.EINVAL, `direct value offset of ${offset} is not allowed\n`);
      if (map.map.type !== uapi.BPF_MAP_TYPE_ARRAY)
        throw new Refusal(-uapi.EINVAL, "no direct value access support for this map type\n");
      const err = map.map.maxEntries !== 1 ? -uapi.ENOTSUPP : offset >= map.map.valueSize ? -uapi.EINVAL : 0;
      if (err)
        throw new Refusal(
          err,
          `invalid access to map value pointer, value_size=${map.map.valueSize} off=${offset}\n`,
        );
      address = map.map.values + offset;
    }
    insns[at + 1] = insns[at + 1]! & 15;
    view.setUint32(at + 4, address, true);
    view.setUint32(next + 4, POINTER_HIGH, true);
  }
  return maps;
}

/** Helpers that the program can come to: may this type call them, does this kernel have them? */
function checkHelpers(host: LoadHost, type: ProgramType, insns: Uint8Array, gpl: boolean): void {
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  const reachable = reachableSlots(insns);
  for (let i = 0; i < insns.length / 8; i++) {
    if (!reachable[i] || insns[i * 8] !== CALL || insns[i * 8 + 1]! >> 4 !== 0) continue;
    const id = view.getInt32(i * 8 + 4, true);
    const name = uapi.HELPER_PROTOS[id]?.name ?? "unknown";
    const refuse = (err: number, why: string): never => {
      throw new Refusal(err, `${i}: (85) call ${name}#${id}\n${why}\n`);
    };
    if (id <= 0 || id >= uapi.HELPER_PROTOS.length) refuse(-uapi.EINVAL, `invalid func ${name}#${id}`);
    if (!type.helpers.has(id)) refuse(-uapi.EINVAL, `program of this type cannot use helper ${name}#${id}`);
    if (!gpl && GPL_ONLY.has(id))
      refuse(-uapi.EINVAL, "cannot call GPL-restricted function from non-GPL compatible program");
    if (id !== uapi.BPF_FUNC_tail_call && host.helper(id, type.type) === undefined)
      refuse(-uapi.ENOTSUPP, `helper ${name}#${id} is not implemented by the embedded kernel`);
  }
}

const GPL_ONLY: ReadonlySet<number> = new Set(uapi.GPL_ONLY_HELPERS);

/** The instructions that will run, and the log: verified, or (without a verifier) looked at for what cannot work at all. */
function examine(
  host: LoadHost,
  attr: ProgLoadAttr,
  progType: ProgramType,
): { insns: Uint8Array; log: string; verified: boolean } {
  const { profile } = host;
  if (profile === null) {
    const invalid = validate(attr.insns, { rules: "kernel", limit: 1 })[0];
    if (invalid !== undefined) throw new Refusal(-uapi.EINVAL, `${invalid.message}\n`);
    return { insns: attr.insns.slice(), log: "", verified: false };
  }
  if (attr.insns.length % 8 !== 0)
    throw new Refusal(-uapi.EINVAL, `${attr.insns.length} bytes are no instructions\n`);
  const result = verifyLoad({ ...host, profile }, attr, progType.type);
  if (result.program === null) throw new Refusal(-result.errno, result.log);
  return { insns: result.program.insns, log: result.log, verified: true };
}

function load(host: LoadHost, attr: ProgLoadAttr, held: KernelObject[]): Loaded {
  const flags = attr.prog_flags ?? 0;
  const slots = Math.ceil(attr.insns.length / 8);
  if (flags & ~PROG_FLAGS) throw new Refusal(-uapi.EINVAL);
  if (slots === 0 || slots > BPF_COMPLEXITY_LIMIT_INSNS) throw new Refusal(-uapi.E2BIG);
  const progType = attachCheck(host, attr, held);
  const name = attr.prog_name ?? "";
  if (!/^[A-Za-z0-9_.]{0,15}$/.test(name)) throw new Refusal(-uapi.EINVAL);
  // Offload and device binding want a device that does it.
  if (attr.prog_ifindex || flags & uapi.BPF_F_XDP_DEV_BOUND_ONLY) throw new Refusal(-uapi.EINVAL);
  const sleepable = (flags & uapi.BPF_F_SLEEPABLE) !== 0;
  sleepableCheck(attr, sleepable);

  let btfId = 0;
  if (attr.prog_btf_fd) {
    const btf = host.btfByFd(attr.prog_btf_fd);
    if (typeof btf === "number") throw new Refusal(btf);
    held.push(btf.get());
    btfId = btf.id;
  }
  const { insns, log, verified } = examine(host, attr, progType);
  const gplCompatible = isGplCompatible(attr.license);
  const tag = progTag(attr.insns);
  const maps = resolveMaps(host, attr, insns, sleepable, held);
  checkHelpers(host, progType, insns, gplCompatible);
  if (!verified) disarm(insns);

  const program = new Program(
    {
      progType,
      name,
      expectedAttachType: attr.expected_attach_type || (progType.defaultAttachType ?? 0),
      flags,
      gplCompatible,
      tag,
      insns,
      loadTimeNs: host.bootNs(),
      maxCtxOffset: contextReach(insns),
      attachBtfId: attr.attach_btf_id ?? 0,
      holds: held,
      mapIds: maps.map((map) => map.id),
      btfId,
    },
    (released) => host.onRelease(released),
  );
  // bpf_prog_map_compatible(): all programs around one program array are of a kind.
  for (const { map } of maps)
    if (map instanceof ProgArrayMap && !map.compatible(program)) throw new Refusal(-uapi.EINVAL);
  const vmMaps: readonly VmMap[] = maps.map((map) => map.map);
  host.install(program, {
    name,
    insns,
    maps: vmMaps,
    mode: host.mode,
    helper: (id) => host.helper(id, progType.type) ?? UNREACHABLE,
    kfunc: () => undefined,
  });
  return { program, log };
}

/** No helper has this id. */
const NOWHERE = -1;

/**
 * Instructions that write r10 pass where no path comes to them, which is the verifier's to know. Without it they become
 * calls that fault.
 */
function disarm(insns: Uint8Array): void {
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  for (let at = 0; at < insns.length; at += 8) {
    const op = insns[at]!;
    const cls = op & 7;
    const wide = op === LD_IMM64;
    const writes = wide || cls === uapi.BPF_LDX || cls === uapi.BPF_ALU || cls === uapi.BPF_ALU64;
    if (writes && (insns[at + 1]! & 15) === FRAME_POINTER) {
      insns.fill(0, at, at + (wide ? 16 : 8));
      insns[at] = CALL;
      view.setInt32(at + 4, NOWHERE, true);
      // The second half is an instruction of its own now: goto +0.
      if (wide) insns[at + 8] = uapi.BPF_JMP | uapi.BPF_JA;
    }
    if (wide) at += 8;
  }
}

/** Stands for all that only code which no path comes to may name. */
const UNREACHABLE: HelperBinding = {
  kind: "js",
  name: "unreachable",
  nargs: 0,
  fn: () => {
    throw new ProgramFault("an instruction that no kernel lets a program come to", {
      fault: FAULT_INSN,
      insn: -1,
      address: 0n,
    });
  },
};
