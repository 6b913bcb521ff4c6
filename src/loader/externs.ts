/**
 * Collects extern symbols and rewrites .ksyms and .kconfig in the object's BTF so that the kernel takes them
 * (bpf_object__collect_externs of tools/lib/bpf/libbpf.c).
 */
import {
  BTF_FUNC_EXTERN,
  BTF_FUNC_GLOBAL,
  BTF_INT_BOOL,
  BTF_INT_SIGNED,
  BTF_KIND_ARRAY,
  BTF_KIND_DATASEC,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_INT,
  BTF_KIND_VAR,
  BTF_VAR_GLOBAL_ALLOCATED,
  BTF_VAR_GLOBAL_EXTERN,
  type Btf,
} from "../btf/index.ts";
import { LoadError } from "../diag/index.ts";
import { type ElfFile, SHN_UNDEF, STB_GLOBAL, STB_WEAK, STT_NOTYPE } from "../elf/index.ts";
import { alignUp } from "../util/index.ts";
import { appendDummyKsym, BtfEditor, findInt32 } from "./btf-editor.ts";
import type { ExternSpec, KconfigKind } from "./spec.ts";

/** Bytes of a `.kconfig` map: no allocation follows a size that only a type claims. */
const MAX_KCONFIG = 1 << 20;

interface Found extends ExternSpec {
  readonly align: number;
}

/** What the object's BTF, still being edited, and its externs are after collection. */
export interface Collected {
  readonly editor: BtfEditor | undefined;
  readonly externs: readonly ExternSpec[];
}

export function collectExterns(elf: ElfFile, btfBytes: Uint8Array | undefined): Collected {
  const names: { name: string; weak: boolean; symbolIndex: number }[] = [];
  for (let i = 1; i < elf.symbolCount; i++) {
    if (elf.symbolShndx(i) !== SHN_UNDEF || elf.symbolType(i) !== STT_NOTYPE) continue;
    const symbol = elf.symbol(i);
    if ((symbol.bind === STB_GLOBAL || symbol.bind === STB_WEAK) && symbol.name !== "")
      names.push({ name: symbol.name, weak: symbol.bind === STB_WEAK, symbolIndex: i });
  }
  if (btfBytes === undefined) {
    if (names.length > 0)
      throw new LoadError(`extern '${names[0]!.name}': the object has no BTF that describes it`);
    return { editor: undefined, externs: [] };
  }
  if (names.length === 0) return { editor: new BtfEditor(btfBytes), externs: [] };

  let editor = new BtfEditor(btfBytes);
  const sectionOf = externSections(editor.btf);
  let dummy: { id: number; nameOffset: number } | undefined;
  if ([...sectionOf].some(([id, sec]) => editor.btf.kind(id) === BTF_KIND_FUNC && sec.name === ".ksyms")) {
    const appended = appendDummyKsym(btfBytes);
    editor = new BtfEditor(appended.bytes);
    dummy = appended;
  }
  const { btf } = editor;
  const found = names.map((n) => describe(btf, sectionOf, n));
  found.sort(compare);
  let offset = 0;
  let kconfigId = 0;
  const externs: ExternSpec[] = found.map((extern) => {
    if (extern.kind !== "kconfig") return extern;
    kconfigId = sectionOf.get(extern.btfId)!.id;
    const at = alignUp(offset, extern.align);
    offset = at + extern.size;
    if (offset > MAX_KCONFIG)
      throw new LoadError(`extern (kcfg) '${extern.name}': ${extern.size} bytes are too many`);
    return { ...extern, offset: at };
  });
  const byName = new Map(externs.map((e) => [e.name, e]));
  const ksym = externs.find((e) => e.kind !== "kconfig");
  if (ksym !== undefined) rewriteKsyms(editor, sectionOf.get(ksym.btfId)!.id, byName, dummy);
  if (kconfigId !== 0) rewriteKconfig(editor, kconfigId, byName, offset);
  return { editor, externs };
}

/** DATASEC of every VAR and FUNC that one lists. */
function externSections(btf: Btf): Map<number, { id: number; name: string }> {
  const out = new Map<number, { id: number; name: string }>();
  for (let id = 1; id < btf.typeCount; id++) {
    if (btf.kind(id) !== BTF_KIND_DATASEC) continue;
    const type = btf.type(id);
    if (type.kind !== BTF_KIND_DATASEC) continue;
    for (const v of type.vars) if (!out.has(v.type)) out.set(v.type, { id, name: type.name });
  }
  return out;
}

function describe(
  btf: Btf,
  sectionOf: ReadonlyMap<number, { id: number; name: string }>,
  { name, weak, symbolIndex }: { name: string; weak: boolean; symbolIndex: number },
): Found {
  const btfId = findExtern(btf, name);
  const section = sectionOf.get(btfId);
  if (section === undefined) throw new LoadError(`extern '${name}': its BTF type ${btfId} is in no section`);
  const type = btf.type(btfId);
  const base = { name, btfId, weak, symbolIndex, offset: 0, size: 0, align: 1, signed: false };
  if (section.name === ".kconfig") {
    if (type.kind !== BTF_KIND_VAR)
      throw new LoadError(`extern function ${name} is unsupported under .kconfig`);
    const value = kconfigKind(btf, type.type);
    if (value.kind === "none")
      throw new LoadError(
        `extern (kcfg) '${name}': type ${btf.type(btf.skipModifiers(type.type)).name} is unsupported`,
      );
    return {
      ...base,
      kind: "kconfig",
      typeId: btf.skipModifiers(type.type),
      size: btf.resolveSize(type.type),
      align: btf.alignOf(type.type),
      valueKind: value.kind,
      signed: value.signed,
    };
  }
  if (section.name !== ".ksyms")
    throw new LoadError(`extern '${name}': unrecognized extern section '${section.name}'`);
  if (type.kind === BTF_KIND_FUNC) return { ...base, kind: "kfunc", typeId: type.type, valueKind: "none" };
  return { ...base, kind: "ksym", typeId: btf.skipModifiers(btf.sizeOrType(btfId)), valueKind: "none" };
}

function findExtern(btf: Btf, name: string): number {
  const variable = btf.findByName(name, BTF_KIND_VAR) ?? Number.POSITIVE_INFINITY;
  const func = btf.findByName(name, BTF_KIND_FUNC) ?? Number.POSITIVE_INFINITY;
  const id = Math.min(variable, func);
  if (id === Number.POSITIVE_INFINITY) throw new LoadError(`failed to find BTF for extern '${name}'`);
  const type = btf.type(id);
  const isExtern =
    (type.kind === BTF_KIND_VAR && type.linkage === BTF_VAR_GLOBAL_EXTERN) ||
    (type.kind === BTF_KIND_FUNC && type.linkage === BTF_FUNC_EXTERN);
  if (!isExtern) throw new LoadError(`extern '${name}': its BTF type ${id} is not extern`);
  return id;
}

function kconfigKind(btf: Btf, id: number): { kind: KconfigKind; signed: boolean } {
  const none = { kind: "none" as const, signed: false };
  const type = btf.type(btf.skipModifiers(id));
  switch (type.kind) {
    case BTF_KIND_INT: {
      if (type.encoding & BTF_INT_BOOL) return type.size === 1 ? { kind: "bool", signed: false } : none;
      const signed = (type.encoding & BTF_INT_SIGNED) !== 0;
      if (type.size === 1) return { kind: "char", signed };
      return [2, 4, 8].includes(type.size) ? { kind: "int", signed } : none;
    }
    case BTF_KIND_ENUM:
    case BTF_KIND_ENUM64:
      if (type.kind === BTF_KIND_ENUM && type.size !== 4) return none;
      return type.name === "libbpf_tristate" ? { kind: "tristate", signed: false } : none;
    case BTF_KIND_ARRAY: {
      // One level: an array of characters.
      const element = btf.type(btf.skipModifiers(type.type));
      const isChar =
        element.kind === BTF_KIND_INT && element.size === 1 && !(element.encoding & BTF_INT_BOOL);
      return type.nelems > 0 && isChar ? { kind: "string", signed: false } : none;
    }
    default:
      return none;
  }
}

/** kconfig first; by falling alignment, growing size, then name. */
function compare(a: Found, b: Found): number {
  const rank = (e: Found): number => (e.kind === "kconfig" ? 0 : 1);
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  if (a.kind === "kconfig") {
    if (a.align !== b.align) return b.align - a.align;
    if (a.size !== b.size) return a.size - b.size;
  }
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** Every ksym becomes a 4-byte variable of the section, every kernel function the dummy variable. */
function rewriteKsyms(
  editor: BtfEditor,
  sectionId: number,
  externs: ReadonlyMap<string, ExternSpec>,
  dummy: { id: number; nameOffset: number } | undefined,
): void {
  const { btf } = editor;
  const section = btf.type(sectionId);
  if (section.kind !== BTF_KIND_DATASEC) return;
  const int = findInt32(btf);
  section.vars.forEach((v, i) => {
    const type = btf.type(v.type);
    if (!externs.has(type.name))
      throw new LoadError(`.ksyms: BTF names '${type.name}', which no symbol declares`);
    if (type.kind === BTF_KIND_FUNC && dummy !== undefined) {
      const proto = btf.type(type.type);
      if (proto.kind === BTF_KIND_FUNC_PROTO)
        proto.params.forEach((p, j) => {
          if (p.type !== 0 && p.name === "") editor.setParamName(proto.id, j, dummy.nameOffset);
        });
      editor.setFuncLinkage(v.type, BTF_FUNC_GLOBAL);
      editor.setVarSecinfo(sectionId, i, { type: dummy.id, offset: i * 4, size: 4 });
    } else {
      editor.setVarLinkage(v.type, BTF_VAR_GLOBAL_ALLOCATED);
      editor.setVarType(v.type, int);
      editor.setVarSecinfo(sectionId, i, { offset: i * 4, size: 4 });
    }
  });
  editor.setDatasecSize(sectionId, section.vars.length * 4);
}

function rewriteKconfig(
  editor: BtfEditor,
  sectionId: number,
  externs: ReadonlyMap<string, ExternSpec>,
  size: number,
): void {
  const section = editor.btf.type(sectionId);
  if (section.kind !== BTF_KIND_DATASEC) return;
  section.vars.forEach((v, i) => {
    const name = editor.btf.typeName(v.type);
    const extern = externs.get(name);
    if (extern === undefined) throw new LoadError(`.kconfig: BTF names '${name}', which no symbol declares`);
    editor.setVarLinkage(v.type, BTF_VAR_GLOBAL_ALLOCATED);
    editor.setVarSecinfo(sectionId, i, { offset: extern.offset });
  });
  editor.setDatasecSize(sectionId, size);
}
