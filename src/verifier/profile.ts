/**
 * A kernel as the verifier sees it: which instructions, helpers, kfuncs, program and map types it has, its limits and
 * its named rules. The tables are data of src/uapi (generated from real kernels); this is their shape.
 */
import type { RuleName } from "../uapi/index.ts";

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
  /** ARG_PTR_TO_BTF_ID: the type's name ("*": the helper's own check decides, BPF_PTR_POISON). */
  readonly argBtf: readonly (string | null)[];
  /** ARG_PTR_TO_FIXED_SIZE_MEM: its size, else 0. */
  readonly argSize: readonly number[];
  /** Name of the `allowed` callback that limits which programs may call it (bpf_d_path_allowed...), or "". */
  readonly allowed: string;
}

/** A kernel function that programs may call. */
export interface KfuncSpec {
  readonly name: string;
  /** KF_* bits. */
  readonly flags: number;
  /** BPF_PROG_TYPE_* that it was registered for; ask Profile.kfuncAllowed() rather. BPF_PROG_TYPE_UNSPEC: all. */
  readonly progTypes: readonly number[];
  /** It may also be the target of BPF_MODIFY_RETURN programs. */
  readonly fmodret: boolean;
  /** Name of the registration's filter ("tracing_iter_filter"...), or "". */
  readonly filter: string;
}

/** Who asks for a helper: what `get_func_proto` of the program's type looks at. */
export interface HelperUser {
  readonly progType: number;
  readonly expectedAttachType: number;
  readonly sleepable: boolean;
  readonly bpfCapable: boolean;
  readonly perfmonCapable: boolean;
  /** STRUCT_OPS: "tcp_congestion_ops.release" (struct and member). */
  readonly structOps?: string;
  /** BPF_TRACE_ITER: the target's name ("tcp"). */
  readonly iter?: string;
  /** LSM: the hook ("bpf_lsm_socket_bind"). */
  readonly hook?: string;
}

/** What a legal context access gives (is_valid_access of the program type). */
export interface CtxAccess {
  /** SCALAR_VALUE or a pointer type of reg-type.ts, with its flags. */
  readonly regType: number;
  /** PTR_TO_BTF_ID: the struct's name in the kernel's BTF. */
  readonly btf: string | null;
}

export interface Profile {
  /** "6.1", "6.12", "6.18". */
  readonly name: string;
  /** The named rules that this kernel has. See rules.ts of src/uapi for what each means. */
  readonly rules: ReadonlySet<RuleName>;
  /** The prototype that a program gets for a helper id; null: "program of this type cannot use helper". */
  helper(id: number, user: HelperUser): HelperSpec | null;
  /** Highest helper id + 1 (__BPF_FUNC_MAX_ID), and a name for every id ("bpf_map_lookup_elem"). */
  readonly helperCount: number;
  helperName(id: number): string;
  /** Also null for functions of the kernel that are not kfuncs. Whether the kernel's BTF has it is the caller's question. */
  kfunc(name: string): KfuncSpec | null;
  /** btf_kfunc_id_set_contains(): by the hook that the program's type belongs to, and the registration's filter. */
  kfuncAllowed(kfunc: KfuncSpec, progType: number, expectedAttachType: number): boolean;
  /**
   * The context access of one program type: null = "invalid bpf_context access"; undefined = this type's context is
   * described by BTF (tracing, LSM, struct_ops...), not by this table.
   */
  ctxAccess(
    progType: number,
    expectedAttachType: number,
    off: number,
    size: number,
    write: boolean,
  ): CtxAccess | null | undefined;
  /** A set of kernel functions that the verifier consults by name ("sleepable_lsm_hooks"); empty if the kernel has none. */
  btfIdSet(name: string): ReadonlySet<string>;
  readonly programTypes: ReadonlySet<number>;
  readonly mapTypes: ReadonlySet<number>;
}
