/** What an opened object consists of: plain data, changed by the user before loading and by nothing else. */
import type { Btf } from "../btf/index.ts";
import type { SectionMatch } from "./section-table.ts";

/** Where a map came from. */
export type MapOrigin = "btf" | "legacy" | "data" | "rodata" | "bss" | "kconfig" | "struct_ops";

/** Members without `readonly` may be set between opening and loading. */
export interface MapSpec {
  /** As libbpf names it: the variable's name, or for data sections `object.section` cut to 15 characters. */
  readonly name: string;
  readonly origin: MapOrigin;
  /** Data sections: the section's whole name. */
  readonly sectionName: string;
  readonly sectionIndex: number;
  readonly sectionOffset: number;
  /** BTF-defined: bytes of the variable, and where its `values` start in it (-1: none). */
  readonly variableSize: number;
  valuesOffset: number;
  /** BPF_MAP_TYPE_*. */
  type: number;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  /** BPF_F_*. */
  flags: number;
  numaNode: number;
  extra: bigint;
  /** Types in the object's BTF; 0: unknown. */
  keyTypeId: number;
  valueTypeId: number;
  /** Map-in-map: what the inner maps look like. */
  innerMap: MapSpec | undefined;
  /** LIBBPF_PIN_BY_NAME: taken from and kept in the backend's filesystem under its name. */
  pinByName: boolean;
  /** Where it is taken from and kept, whatever its name; overrides `pinByName`. */
  pinPath?: string | undefined;
  /** false: programs that use the map do not load, as in libbpf (a poisoned instruction). */
  autocreate: boolean;
  /** Data sections: what the map's only value starts as; undefined: zeros. */
  initialValue: Uint8Array | undefined;
  /** Map-in-map and program arrays: index -> name of a map or program. */
  readonly initialSlots: Map<number, string>;
  /** struct_ops: member name -> program name. */
  readonly structOps: Map<string, string> | undefined;
}

/** An extern symbol: `__kconfig`, `__ksym` variable or kernel function. */
export interface ExternSpec {
  readonly name: string;
  readonly kind: "kconfig" | "ksym" | "kfunc";
  /** Its VAR or FUNC in the object's BTF. */
  readonly btfId: number;
  readonly weak: boolean;
  readonly symbolIndex: number;
  /** The variable's type without modifiers, or the function's prototype; 0: untyped ksym (void). */
  readonly typeId: number;
  /** kconfig: place in the `.kconfig` map. */
  readonly offset: number;
  readonly size: number;
  readonly valueKind: KconfigKind;
  readonly signed: boolean;
}

export type KconfigKind = "none" | "bool" | "tristate" | "char" | "int" | "string";

/** What an instruction refers to. `insn` counts slots from the start of the function. */
export type Relocation = { readonly insn: number } & (
  | { readonly kind: "map"; readonly map: MapSpec }
  | { readonly kind: "data"; readonly map: MapSpec; readonly offset: number }
  | { readonly kind: "extern"; readonly extern: ExternSpec }
  /** A call, or an address taken, of the function that holds that slot of that section. */
  | { readonly kind: "call" | "address"; readonly section: number; readonly target: number }
);

/** One function of an executable section. */
export interface FunctionSpec {
  readonly name: string;
  /** Without a leading `?`. */
  readonly sectionName: string;
  readonly sectionIndex: number;
  /** Slots from the start of the section. */
  readonly sectionInsn: number;
  /** As compiled: 8 bytes a slot, not relocated. */
  readonly insns: Uint8Array;
  /** In order of `insn`. */
  readonly relocations: readonly Relocation[];
  readonly global: boolean;
  /** Global, yet verified like a static one: hidden visibility. */
  readonly hidden: boolean;
}

/** Another program as a target: freplace, and fentry or fexit of BPF programs. */
export interface ProgramTarget {
  /** The BTF that the target was loaded with. */
  readonly btf: Btf;
  /** Its fd on the backend; needed for loading only. */
  readonly fd?: number;
}

/** An entry program. Members without `readonly` may be set between opening and loading. */
export interface ProgramSpec extends FunctionSpec {
  /** BPF_PROG_TYPE_*; 0 (UNSPEC) where the section's name tells nothing. */
  type: number;
  /** BPF_*: the expected attach type. */
  attachType: number;
  /** BPF_F_*. */
  flags: number;
  /** The section table's entry that matched. */
  readonly section: SectionMatch | undefined;
  /** The text after the section's slash: function, tracepoint, path..., ready to set. */
  attachTarget: string;
  /** The program that `attachTarget` is a function of: freplace, and tracing of BPF programs. */
  attachProgram: ProgramTarget | undefined;
  /** false: `?` sections; not loaded unless set. */
  autoload: boolean;
}
