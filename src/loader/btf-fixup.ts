/** Fills in what the compiler leaves open in DATASECs (bpf_object_fixup_btf of tools/lib/bpf/libbpf.c). */
import {
  BTF_FUNC_GLOBAL,
  BTF_FUNC_STATIC,
  BTF_KIND_DATASEC,
  BTF_KIND_FUNC,
  BTF_KIND_VAR,
  BTF_VAR_GLOBAL_EXTERN,
  BTF_VAR_STATIC,
} from "../btf/index.ts";
import {
  type ElfFile,
  type ElfSymbol,
  STB_LOCAL,
  STT_OBJECT,
  STV_HIDDEN,
  STV_INTERNAL,
} from "../elf/index.ts";
import type { BtfEditor } from "./btf-editor.ts";
import type { FunctionSpec } from "./spec.ts";

/**
 * Sets sizes of sections and offsets of variables from the ELF file where BTF has none, marks hidden globals and
 * hidden functions static, and orders variables by offset.
 */
export function fixupBtf(editor: BtfEditor, elf: ElfFile, subprograms: readonly FunctionSpec[]): void {
  const { btf } = editor;
  const hidden = new Set(subprograms.filter((f) => f.hidden).map((f) => f.name));
  let objects: { global: Map<string, ElfSymbol>; local: Map<string, ElfSymbol> } | undefined;
  for (let id = 1; id < btf.typeCount; id++) {
    const kind = btf.kind(id);
    if (kind === BTF_KIND_FUNC && hidden.size > 0) {
      if (btf.vlen(id) === BTF_FUNC_GLOBAL && hidden.has(btf.typeName(id)))
        editor.setFuncLinkage(id, BTF_FUNC_STATIC);
      continue;
    }
    if (kind !== BTF_KIND_DATASEC) continue;
    const section = btf.type(id);
    if (section.kind !== BTF_KIND_DATASEC) continue;
    // Their sizes and offsets were set with the externs.
    if (section.name !== ".ksyms" && section.name !== ".kconfig") {
      objects ??= objectSymbols(elf);
      const elfSection = elf.section(section.name);
      const fixOffsets = section.size === 0 && elfSection !== undefined && elfSection.size > 0;
      if (fixOffsets) editor.setDatasecSize(id, elfSection.size);
      section.vars.forEach((v, i) => {
        const type = btf.kind(v.type) === BTF_KIND_VAR ? btf.type(v.type) : undefined;
        if (type?.kind !== BTF_KIND_VAR || type.linkage === BTF_VAR_GLOBAL_EXTERN) return;
        const isStatic = type.linkage === BTF_VAR_STATIC;
        const symbol = (isStatic ? objects!.local : objects!.global).get(type.name);
        if (symbol === undefined) return;
        // Statics: clang has set the offset, gcc has not.
        if (fixOffsets && symbol.shndx === elfSection.index)
          editor.setVarSecinfo(id, i, { offset: symbol.value });
        if (!isStatic && (symbol.visibility === STV_HIDDEN || symbol.visibility === STV_INTERNAL))
          editor.setVarLinkage(v.type, BTF_VAR_STATIC);
      });
    }
    editor.sortDatasec(id);
  }
}

function objectSymbols(elf: ElfFile): { global: Map<string, ElfSymbol>; local: Map<string, ElfSymbol> } {
  const global = new Map<string, ElfSymbol>();
  const local = new Map<string, ElfSymbol>();
  for (let i = 1; i < elf.symbolCount; i++) {
    if (elf.symbolType(i) !== STT_OBJECT) continue;
    const symbol = elf.symbol(i);
    const into = symbol.bind === STB_LOCAL ? local : global;
    if (!into.has(symbol.name)) into.set(symbol.name, symbol);
  }
  return { global, local };
}
