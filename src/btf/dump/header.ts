/** A whole header, as `bpftool btf dump file X format c` of 6.12 writes it: vmlinux.h. */
import type { Btf } from "../btf.ts";
import { BTF_KIND_DECL_TAG, BTF_KIND_FUNC } from "../constants.ts";
import { BtfDumper } from "./dumper.ts";
import { sortedTypes } from "./sort.ts";

export interface DumpHeaderOptions {
  /** Only these types and what they need; default: all, and the prototypes of kernel functions. */
  readonly types?: readonly number[];
  /** In the order of their ids, as bpftool did before 6.10. */
  readonly unsorted?: boolean;
}

const PROLOGUE = `#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif

#ifndef __weak
#define __weak __attribute__((weak))
#endif

`;

const EPILOGUE = `#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
`;

/** In pieces; returns the dumper, which knows the names. Throws BtfError for types that C cannot have. */
export function* dumpHeader(
  btf: Btf,
  options: DumpHeaderOptions = {},
): Generator<string, BtfDumper, undefined> {
  const dumper = new BtfDumper(btf);
  yield PROLOGUE;
  if (options.types !== undefined) for (const id of options.types) yield dumper.type(id);
  else {
    const sorted = options.unsorted ? undefined : sortedTypes(btf);
    // bpftool starts at place 1, which with sorted types is the second: the first is there where something needs it.
    for (let i = 1; i < btf.typeCount; i++) yield dumper.type(sorted?.[i] ?? i);
    yield* kernelFunctions(btf, dumper);
  }
  yield EPILOGUE;
  return dumper;
}

/** Functions that the kernel's build has tagged `bpf_kfunc`. */
function* kernelFunctions(btf: Btf, dumper: BtfDumper): Generator<string, void, undefined> {
  yield "\n/* BPF kfuncs */\n#ifndef BPF_NO_KFUNC_PROTOTYPES\n";
  for (let id = 1; id < btf.typeCount; id++) {
    if (btf.kind(id) !== BTF_KIND_DECL_TAG) continue;
    const tag = btf.type(id);
    if (tag.kind !== BTF_KIND_DECL_TAG || tag.componentIndex !== -1 || tag.name !== "bpf_kfunc") continue;
    if (btf.kind(tag.type) !== BTF_KIND_FUNC) continue;
    const declaration = dumper.declaration(btf.sizeOrType(tag.type), btf.typeName(tag.type));
    yield `extern ${declaration} __weak __ksym;\n`;
  }
  yield "#endif\n\n";
}
