/**
 * A kernel as the verifier sees it: which instructions, helpers, kfuncs, program and map types it has, its limits and
 * its named rules. The tables are data of src/uapi (generated from real kernels); this is their shape.
 */

/** bpf_func_proto: what the verifier knows of a helper. Types are numbers of arg-type.ts with flags of reg-type.ts. */
export interface HelperSpec {
  readonly id: number;
  readonly name: string;
  readonly gplOnly: boolean;
  readonly pktAccess: boolean;
  readonly mightSleep: boolean;
  readonly allowFastcall: boolean;
  /** RET_*. */
  readonly ret: number;
  /** RET_PTR_TO_BTF_ID: the type's name in the kernel's BTF. */
  readonly retBtf: string | null;
  /** ARG_*, up to five. */
  readonly args: readonly number[];
  /** ARG_PTR_TO_BTF_ID: the type's name; ARG_PTR_TO_FIXED_SIZE_MEM: the size. */
  readonly argBtf: readonly (string | null)[];
  readonly argSize: readonly number[];
}

/** A kernel function that programs may call. */
export interface KfuncSpec {
  readonly name: string;
  /** KF_* bits. */
  readonly flags: number;
  /** BPF_PROG_TYPE_* that may call it; BPF_PROG_TYPE_UNSPEC: all. */
  readonly progTypes: readonly number[];
}

/** Result of asking whether a context access is legal (is_valid_access of the program type). */
export interface CtxAccess {
  /** SCALAR_VALUE or a pointer type of reg-type.ts. */
  readonly regType: number;
  /** PTR_TO_BTF_ID: the type's name or id. */
  readonly btfId: number;
  /** Size of the context field: narrower loads are allowed where it is given. */
  readonly fieldSize: number;
}

export interface Profile {
  /** "6.1", "6.12", "6.18", "next". */
  readonly name: string;
  /** The named rules that this kernel has. See rules.ts of src/uapi for what each means. */
  readonly rules: ReadonlySet<string>;
  /** The prototype a program type gets for a helper id, or null ("program of this type cannot use helper"). */
  helper(id: number, progType: number, expectedAttachType: number): HelperSpec | null;
  /** Highest helper id + 1, and a name for every id. */
  readonly helperCount: number;
  helperName(id: number): string;
  kfunc(name: string): KfuncSpec | null;
  readonly programTypes: ReadonlySet<number>;
  readonly mapTypes: ReadonlySet<number>;
}
