// What the verifier is told of a program that is being loaded: maps, BTF, line information; and its answer.

import type { ProgLoadAttr } from "../backend/index.ts";
import { type Btf, parseBtf } from "../btf/index.ts";
import { TsbpfError } from "../diag/index.ts";
import * as uapi from "../uapi/index.ts";
import {
  type LineInfo,
  type MapDescription,
  type Profile,
  type VerifierInput,
  type VerifierResult,
  verify,
} from "../verifier/index.ts";
import type { BtfObject } from "./btf-object.ts";
import type { MapObject } from "./map-object.ts";

const MIN_FUNC_INFO = 8;
const MIN_LINE_INFO = 16;
const MAX_REC_SIZE = 252;

/** What is asked of the kernel. */
export interface VerifyHost {
  readonly profile: Profile;
  readonly cpus: number;
  mapByFd(fd: number): MapObject | number;
  btfByFd(fd: number): BtfObject | number;
  /** Bytes of the address space, from `address` on. */
  bytes(address: number, length: number): Uint8Array;
}

const parsed = new WeakMap<BtfObject, Btf | null>();

/** The object's types; null where they cannot be read. */
function btfOf(object: BtfObject): Btf | null {
  let btf = parsed.get(object);
  if (btf === undefined) {
    try {
      btf = parseBtf(object.bytes);
    } catch (error) {
      if (!(error instanceof TsbpfError)) throw error;
      btf = null;
    }
    parsed.set(object, btf);
  }
  return btf;
}

function describe(host: VerifyHost, object: MapObject, index: number): MapDescription {
  const { map } = object;
  const btf = object.btf === undefined ? null : btfOf(object.btf);
  const shape = {
    index,
    name: map.name,
    type: map.type,
    keySize: map.keySize,
    valueSize: map.valueSize,
    maxEntries: map.maxEntries,
    flags: map.flags,
    btf,
    btfKeyTypeId: object.btfKeyTypeId,
    btfValueTypeId: object.btfValueTypeId,
    btfVmlinuxValueTypeId: 0,
    mapExtra: map.mapExtra,
  };
  const bare = { btf: null, btfKeyTypeId: 0, btfValueTypeId: 0, inner: null, frozen: false, contents: null };
  const constant = map.frozen && map.type === uapi.BPF_MAP_TYPE_ARRAY && map.maxEntries === 1;
  return {
    ...shape,
    inner: map.inner === undefined ? null : { ...shape, ...map.inner, ...bare, index: -1, name: "" },
    frozen: map.frozen,
    contents: constant ? host.bytes(map.values, map.valueSize).slice() : null,
  };
}

/** Maps by fd: those that the instructions and `fd_array` name. */
function mapsOf(host: VerifyHost, attr: ProgLoadAttr): (MapDescription | undefined)[] {
  const maps: (MapDescription | undefined)[] = [];
  const known = new Map<MapObject, MapDescription>();
  const add = (fd: number): void => {
    if (fd < 0 || maps[fd] !== undefined) return;
    const object = host.mapByFd(fd);
    if (typeof object === "number") return;
    let description = known.get(object);
    if (description === undefined) known.set(object, (description = describe(host, object, fd)));
    maps[fd] = description;
  };
  const { insns } = attr;
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  for (let at = 0; at + 16 <= insns.length; at += 8) {
    if (insns[at] !== (uapi.BPF_LD | uapi.BPF_IMM | uapi.BPF_DW)) continue;
    const source = insns[at + 1]! >> 4;
    if (source === uapi.BPF_PSEUDO_MAP_FD || source === uapi.BPF_PSEUDO_MAP_VALUE)
      add(view.getInt32(at + 4, true));
    at += 8;
  }
  for (const fd of attr.fd_array ?? []) add(fd);
  return maps;
}

/** Records of `size` bytes as words; a record that is shorter ends with zeros. Throws the errno that bpf(2) gives. */
function records(bytes: Uint8Array | undefined, size: number, least: number): Uint32Array[] {
  if (bytes === undefined || bytes.length === 0) return [];
  if (size < least || size > MAX_REC_SIZE || size % 4 !== 0) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: Uint32Array[] = [];
  for (let at = 0; at + size <= bytes.length; at += size)
    out.push(Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(at + i * 4, true)));
  return out;
}

function text(btf: Btf, offset: number): string {
  try {
    return btf.string(offset);
  } catch (error) {
    if (!(error instanceof TsbpfError)) throw error;
    return "";
  }
}

function lineOf(btf: Btf, [insn = 0, file = 0, line = 0, column = 0]: Uint32Array): LineInfo {
  return {
    insn,
    file: text(btf, file),
    text: text(btf, line).trim(),
    line: column >>> 10,
    column: column & 1023,
  };
}

/** What the reference kernel says of the program. */
export function verifyLoad(host: VerifyHost, attr: ProgLoadAttr, progType: number): VerifierResult {
  const object = attr.prog_btf_fd ? host.btfByFd(attr.prog_btf_fd) : 0;
  const btf = typeof object === "number" ? null : btfOf(object);
  const input: VerifierInput = {
    insns: attr.insns,
    maps: mapsOf(host, attr),
    progType,
    expectedAttachType: attr.expected_attach_type ?? 0,
    progFlags: attr.prog_flags ?? 0,
    license: attr.license,
    name: attr.prog_name ?? "",
    btf,
    funcInfo:
      btf === null
        ? []
        : records(attr.func_info, attr.func_info_rec_size ?? MIN_FUNC_INFO, MIN_FUNC_INFO).map(
            ([insn = 0, typeId = 0]) => ({ insn, typeId }),
          ),
    lineInfo:
      btf === null
        ? []
        : records(attr.line_info, attr.line_info_rec_size ?? MIN_LINE_INFO, MIN_LINE_INFO).map((r) =>
            lineOf(btf, r),
          ),
    attach: null,
    ...(attr.fd_array === undefined ? {} : { fdArray: attr.fd_array }),
  };
  return verify(input, host.profile, null, { logLevel: attr.log_level ?? 0, cpus: host.cpus });
}
