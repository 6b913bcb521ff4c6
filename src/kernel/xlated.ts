// Instructions as BPF_OBJ_GET_INFO_BY_FD shows them (bpf_insn_prepare_dump in kernel/bpf/syscall.c): maps by id.
import type { BpfMap } from "../maps/index.ts";
import { BPF_DW, BPF_IMM, BPF_LD, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE } from "../uapi/index.ts";
import { POINTER_HIGH } from "../vm/index.ts";
import { MapObject } from "./map-object.ts";
import type { ProgramParts } from "./program.ts";

function valueOwner(maps: readonly BpfMap[], address: number): BpfMap | undefined {
  return maps.find(
    (map) => map.values !== 0 && address >= map.values && address < map.values + map.valueSize,
  );
}

/** A copy of the instructions in which addresses of maps and of their values are ids and offsets again. */
export function xlated(parts: ProgramParts): Uint8Array {
  const insns = parts.insns.slice();
  const maps = parts.holds.flatMap((object) => (object instanceof MapObject ? [object.map] : []));
  const view = new DataView(insns.buffer);
  for (let at = 0; at + 16 <= insns.length; at += 8) {
    if (insns[at] !== (BPF_LD | BPF_IMM | BPF_DW)) continue;
    const address = view.getUint32(at + 4, true);
    if (insns[at + 1]! >> 4 === 0 && view.getUint32(at + 12, true) === POINTER_HIGH) {
      const map = maps.find((candidate) => candidate.address === address);
      const owner = map ?? valueOwner(maps, address);
      if (owner !== undefined) {
        insns[at + 1] = insns[at + 1]! | ((map ? BPF_PSEUDO_MAP_FD : BPF_PSEUDO_MAP_VALUE) << 4);
        view.setUint32(at + 4, owner.id, true);
        view.setUint32(at + 12, map ? 0 : address - owner.values, true);
      }
    }
    at += 8;
  }
  return insns;
}
