/** What a program of a BTF-described hook attaches to (libbpf_find_attach_btf_id of tools/lib/bpf/libbpf.c). */
import { BTF_KIND_FUNC, BTF_KIND_TYPEDEF, type Btf } from "../btf/index.ts";
import { LoadError } from "../diag/index.ts";
import * as uapi from "../uapi/index.ts";
import type { KernelTypes } from "./kernel-types.ts";
import type { ProgramSpec } from "./spec.ts";

/** PROG_LOAD's attach_btf_id and where that id counts. */
export interface AttachTarget {
  /** The types that hold `btfId`: vmlinux, a module's, or the target program's. */
  readonly btf: Btf;
  /** FUNC, the TYPEDEF of a tracepoint's prototype, or the STRUCT of struct_ops. */
  readonly btfId: number;
  readonly kind: "kernel" | "module" | "program";
  /** The module's name; "" otherwise. */
  readonly module: string;
  /** The name that was looked for, prefix included. */
  readonly name: string;
}

/** undefined: the program needs none, or there is nothing to look in. A target that is not there is a LoadError. */
export function resolveAttachTarget(
  program: ProgramSpec,
  kernel: KernelTypes | undefined,
): AttachTarget | undefined {
  if (program.section?.def.attachBtf !== true) return undefined;
  const { attachProgram, attachTarget } = program;
  const missing = (where: string): LoadError =>
    new LoadError(`program '${program.name}': '${attachTarget}' is not found in ${where}`, uapi.ESRCH);
  if (attachProgram !== undefined) {
    const btfId = attachProgram.btf.findByName(attachTarget, BTF_KIND_FUNC);
    if (btfId === undefined) throw missing("the target program's BTF");
    return { btf: attachProgram.btf, btfId, kind: "program", module: "", name: attachTarget };
  }
  if (program.type === uapi.BPF_PROG_TYPE_EXT || kernel === undefined) return undefined;
  if (attachTarget === "")
    throw new LoadError(
      `program '${program.name}': no BTF-based attach target is given: set attachTarget`,
      uapi.EINVAL,
    );
  const [prefix, kind] = attachName(program.attachType);
  const found = kernel.findQualified(attachTarget, prefix, kind);
  if (found === undefined) throw missing("kernel BTF");
  return {
    btf: found.btf,
    btfId: found.id,
    kind: found.module === "" ? "kernel" : "module",
    module: found.module,
    name: prefix + attachTarget.slice(attachTarget.indexOf(":") + 1),
  };
}

/** How the kernel's BTF names the hooks of an attach type (btf_get_kernel_prefix_kind). */
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
