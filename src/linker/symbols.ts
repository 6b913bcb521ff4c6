/** Symbol resolution: one global of each name (linker_append_elf_sym of libbpf's linker.c). */
import {
  BTF_FUNC_GLOBAL,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_NAMES,
  BTF_KIND_VAR,
  BTF_VAR_GLOBAL_ALLOCATED,
  type Btf,
  type BtfBuilder,
} from "../btf/index.ts";
import {
  type ElfSymbol,
  SHN_LORESERVE,
  SHN_UNDEF,
  STB_GLOBAL,
  STB_LOCAL,
  STB_WEAK,
  STT_SECTION,
} from "../elf/index.ts";
import { mapMismatch, typeMismatch } from "./match.ts";
import type { OutputSection, OutputSymbol } from "./output.ts";
import { BTF_EXTERN_SEC, type SourceObject, type SourceSection } from "./source.ts";

export interface GlobalSymbol {
  readonly symbol: OutputSymbol;
  /** Where it is defined, or where BTF lists it as an extern; undefined for an extern without a section. */
  section: OutputSection | undefined;
  isExtern: boolean;
  isWeak: boolean;
  /** The VAR or FUNC in the BTF under construction; 0 until the first object's types are there. */
  btfId: number;
  /** What the VAR or FUNC is of: a type of the BTF under construction, or 0 where the object being added decides. */
  underlying: number;
  /** Its place among the section's variables, or -1. */
  varIndex: number;
}

export class SymbolTable {
  readonly symbols: OutputSymbol[] = [];
  readonly globals: Map<string, GlobalSymbol> = new Map();

  /** `types` is the BTF built so far, opened when it is first asked for. */
  append(object: SourceObject, builder: BtfBuilder, types: () => Btf): void {
    for (const symbol of object.symbols) if (symbol.index !== 0) this.#append(object, symbol, builder, types);
  }

  #append(object: SourceObject, symbol: ElfSymbol, builder: BtfBuilder, types: () => Btf): void {
    const isExtern = symbol.shndx === SHN_UNDEF;
    if (isExtern && object.btf === undefined) throw object.error(`extern '${symbol.name}' without BTF`);
    let source: SourceSection | undefined;
    if (!isExtern && symbol.shndx < SHN_LORESERVE) {
      source = object.sections[symbol.shndx]!;
      if (source.skipped) return;
      if (source.out === undefined)
        throw object.error(`symbol '${symbol.name}' lies in section ${source.name}, which holds no data`);
      const shared = symbol.type === STT_SECTION ? source.out.sectionSymbol : undefined;
      if (shared !== undefined) {
        object.symbolMap.set(symbol.index, shared);
        return;
      }
    }
    if (symbol.bind === STB_LOCAL) {
      this.#add(object, symbol, source);
      return;
    }
    const { type, datasec } = object.globalType(symbol.name);
    if (isExtern && datasec !== 0) {
      const name = object.btf!.typeName(datasec);
      if (name !== BTF_EXTERN_SEC) source = object.section(name);
    }
    const known = this.globals.get(symbol.name);
    if (known !== undefined) {
      this.#resolve(object, symbol, source, type, known, builder, types);
      return;
    }
    this.globals.set(symbol.name, {
      symbol: this.#add(object, symbol, source),
      section: source?.out,
      isExtern,
      isWeak: symbol.bind === STB_WEAK,
      btfId: 0,
      underlying: 0,
      varIndex: -1,
    });
  }

  #add(object: SourceObject, symbol: ElfSymbol, source: SourceSection | undefined): OutputSymbol {
    const isSection = symbol.type === STT_SECTION && source?.out !== undefined;
    const added: OutputSymbol = {
      name: symbol.name,
      bind: symbol.bind,
      type: symbol.type,
      visibility: symbol.visibility,
      // An extern map of an object with maps of its own gets their section, as libbpf has it.
      section: source?.out?.inElf ? source.out : undefined,
      shndx: symbol.shndx,
      value: isSection ? 0 : symbol.value + (source?.outOffset ?? 0),
      size: symbol.size,
    };
    this.symbols.push(added);
    object.symbolMap.set(symbol.index, added);
    if (isSection) source.out!.sectionSymbol = added;
    return added;
  }

  /** A global that an earlier object has, too. */
  #resolve(
    object: SourceObject,
    symbol: ElfSymbol,
    source: SourceSection | undefined,
    type: number,
    known: GlobalSymbol,
    builder: BtfBuilder,
    types: () => Btf,
  ): void {
    const isExtern = symbol.shndx === SHN_UNDEF;
    const { symbol: kept } = known;
    object.symbolMap.set(symbol.index, kept);
    if (!isExtern && !known.isExtern && !known.isWeak && symbol.bind !== STB_WEAK)
      throw object.error(`'${symbol.name}' is defined already, and neither definition is weak`);
    if (known.btfId === 0) throw object.error(`'${symbol.name}' is declared elsewhere without BTF`);
    const reason = this.#mismatch(object, symbol.name, type, known, types());
    if (reason !== undefined)
      throw object.error(`'${symbol.name}' does not match what was linked before: ${reason}`);
    if (symbol.bind === STB_GLOBAL) {
      kept.bind = STB_GLOBAL;
      known.isWeak = false;
    }
    // Hidden wins, be it that of an extern.
    kept.visibility = Math.max(kept.visibility, symbol.visibility);
    if (isExtern || (!known.isExtern && symbol.bind === STB_WEAK)) return;
    kept.type = symbol.type;
    kept.section = source?.out;
    kept.shndx = symbol.shndx;
    kept.value = symbol.value + (source?.outOffset ?? 0);
    kept.size = symbol.size;
    known.section = source?.out;
    known.isExtern = false;
    completeExtern(builder, known.btfId, object.btf!, type);
    known.underlying = 0;
  }

  #mismatch(
    object: SourceObject,
    name: string,
    id: number,
    known: GlobalSymbol,
    types: Btf,
  ): string | undefined {
    const btf = object.btf!;
    const kind = btf.kind(id);
    if (kind !== BTF_KIND_VAR && kind !== BTF_KIND_FUNC) return `BTF has it as ${BTF_KIND_NAMES[kind]}`;
    const before = { btf: types, id: known.btfId };
    if (known.section?.name !== ".maps") return typeMismatch(before, { btf, id });
    if (kind !== BTF_KIND_VAR || types.kind(known.btfId) !== BTF_KIND_VAR)
      return "it is a map and a function";
    return mapMismatch(name, before, { btf, id });
  }
}

/** The type of what was an extern becomes that of a definition; parameters get the names that an extern's lack. */
function completeExtern(builder: BtfBuilder, id: number, source: Btf, sourceId: number): void {
  const kind = source.kind(sourceId);
  if (kind === BTF_KIND_VAR) {
    builder.setWord(id, 3, BTF_VAR_GLOBAL_ALLOCATED);
    return;
  }
  builder.setWord(id, 1, ((builder.word(id, 1) & ~0xffff) | BTF_FUNC_GLOBAL) >>> 0);
  const from = source.type(source.sizeOrType(sourceId));
  if (from.kind !== BTF_KIND_FUNC_PROTO) return;
  const proto = builder.word(id, 2);
  from.params.forEach((param, i) => {
    if (param.name !== "") builder.setWord(proto, 3 + i * 2, builder.addString(param.name));
  });
}
