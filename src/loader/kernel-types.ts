/** The types of a target kernel: vmlinux and, after it, its modules (find_ksym_btf_id of tools/lib/bpf/libbpf.c). */
import type { Btf } from "../btf/index.ts";

/** A type of the target. */
export interface KernelType {
  readonly btf: Btf;
  readonly id: number;
  /** The module's name; "" for vmlinux. */
  readonly module: string;
}

export class KernelTypes {
  readonly vmlinux: Btf;
  /** Split BTF over `vmlinux`, each with its module's name. */
  readonly modules: readonly Btf[];

  constructor(vmlinux: Btf, modules: readonly Btf[] = []) {
    this.vmlinux = vmlinux;
    this.modules = modules;
  }

  /** vmlinux first, then the modules in their order. */
  find(name: string, kind: number): KernelType | undefined {
    const id = this.vmlinux.findByName(name, kind);
    if (id !== undefined) return { btf: this.vmlinux, id, module: "" };
    for (const btf of this.modules) {
      const own = btf.findOwnByName(name, kind);
      if (own !== undefined) return { btf, id: own, module: btf.name };
    }
    return undefined;
  }

  /** `name`, or `module:name`; `prefix` stands before the name in BTF. */
  findQualified(text: string, prefix: string, kind: number): KernelType | undefined {
    const colon = text.indexOf(":");
    if (colon < 0) return this.find(prefix + text, kind);
    const module = text.slice(0, colon);
    const name = prefix + text.slice(colon + 1);
    if (module === "vmlinux") {
      const id = this.vmlinux.findByName(name, kind);
      return id === undefined ? undefined : { btf: this.vmlinux, id, module: "" };
    }
    for (const btf of this.modules) {
      if (btf.name !== module) continue;
      const id = btf.findOwnByName(name, kind);
      if (id !== undefined) return { btf, id, module };
    }
    return undefined;
  }
}
