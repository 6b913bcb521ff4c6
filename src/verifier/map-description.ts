/** What the verifier needs to know of a map: struct bpf_map without its contents. Pure data; the embedded kernel, Linux
 * maps and an object's map specs can all be described so. */
import type { Btf } from "../btf/index.ts";

export interface MapDescription {
  /** Stable identity within one verification; the index in VerifierInput.maps. */
  readonly index: number;
  readonly name: string;
  /** BPF_MAP_TYPE_*. */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** BPF_F_*. */
  readonly flags: number;
  /** Where the key's and the value's type live: the program's BTF as a rule. */
  readonly btf: Btf | null;
  readonly btfKeyTypeId: number;
  readonly btfValueTypeId: number;
  readonly btfVmlinuxValueTypeId: number;
  readonly mapExtra: bigint;
  /** ARRAY_OF_MAPS, HASH_OF_MAPS: the inner map's description. */
  readonly inner: MapDescription | null;
  /** BPF_MAP_FREEZE was called (libbpf does for .rodata), with BPF_F_RDONLY_PROG: loads give constants. */
  readonly frozen: boolean;
  /** Contents of a frozen read-only array with one element, where known. */
  readonly contents: Uint8Array | null;
}
