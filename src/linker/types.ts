/** Types and .BTF.ext records of one object, added to those of the linked one (linker_append_btf, _btf_ext). */
import {
  BTF_EXT_FIELDS,
  BTF_KIND_DATASEC,
  type Btf,
  type BtfBuilder,
  type BtfExtPart,
} from "../btf/index.ts";
import type { ExtPart } from "./output.ts";
import { isNonStatic, type SourceObject } from "./source.ts";
import type { GlobalSymbol } from "./symbols.ts";

/** Returns the new id of each of the object's types (0: it has none). `types` opens what is built so far. */
export function appendTypes(
  object: SourceObject,
  builder: BtfBuilder,
  globals: ReadonlyMap<string, GlobalSymbol>,
  types: () => Btf,
): Uint32Array {
  const { btf } = object;
  if (btf === undefined) return new Uint32Array(1);
  const map = new Uint32Array(btf.typeCount);
  const copied: number[] = [];
  /** Globals whose VAR or FUNC gets its type from this object: by id of the object's type. */
  const underlying = new Map<GlobalSymbol, number>();
  for (let id = 1; id < btf.typeCount; id++) {
    // Sections are written anew at the end.
    if (btf.kind(id) === BTF_KIND_DATASEC) continue;
    if (isNonStatic(btf, id)) {
      const global = globals.get(btf.typeName(id));
      // Without a symbol it belongs to a section that was left out, such as a second licence.
      if (global === undefined) continue;
      if (global.underlying === 0 && !underlying.has(global)) underlying.set(global, btf.sizeOrType(id));
      if (global.btfId !== 0) {
        map[id] = global.btfId;
        continue;
      }
      global.btfId = builder.nextId + copied.length;
      underlying.set(global, btf.sizeOrType(id));
    }
    map[id] = builder.nextId + copied.length;
    copied.push(id);
  }
  const mapId = (id: number): number => {
    const to = map[id]!;
    if (to === 0 && id !== 0)
      throw object.error(`BTF type ${id} is used and belongs to nothing that is linked`);
    return to;
  };
  for (const id of copied) builder.copy(btf, id, mapId);
  for (const [global, id] of underlying) {
    global.underlying = mapId(id);
    builder.setWord(global.btfId, 2, global.underlying);
  }
  appendVariables(object, btf, map, globals, types);
  return map;
}

function appendVariables(
  object: SourceObject,
  btf: Btf,
  map: Uint32Array,
  globals: ReadonlyMap<string, GlobalSymbol>,
  types: () => Btf,
): void {
  for (const section of object.sections) {
    const { out } = section;
    if (!section.hasBtf || section.skipped || out === undefined) continue;
    out.hasBtf = true;
    for (const entry of section.vars) {
      const type = map[entry.type]!;
      const name = btf.typeName(entry.type);
      if (type === 0) throw object.error(`section ${section.name} lists '${name}', which is not linked`);
      const global = isNonStatic(btf, entry.type) ? globals.get(name) : undefined;
      if (global !== undefined && global.section !== out)
        throw object.error(
          `'${name}' is in section ${out.name} here, in ${global.section?.name ?? "none"} before`,
        );
      if (global !== undefined && global.varIndex >= 0) {
        // What it is of may have changed, and so its size.
        out.vars[global.varIndex]!.size = types().resolveSize(global.underlying);
        continue;
      }
      const index = out.addVar({ type, offset: section.outOffset + entry.offset, size: entry.size });
      if (global !== undefined) global.varIndex = index;
    }
  }
}

export function appendExt(object: SourceObject, builder: BtfBuilder, map: Uint32Array): void {
  const { ext } = object;
  if (ext === undefined) return;
  for (const part of Object.keys(BTF_EXT_FIELDS) as ExtPart[])
    appendPart(object, ext[part], part, builder, map);
}

function appendPart(
  object: SourceObject,
  { recordSize, sections }: BtfExtPart,
  part: ExtPart,
  builder: BtfBuilder,
  map: Uint32Array,
): void {
  const btf = object.btf!;
  const little = object.elf.littleEndian;
  const fields = BTF_EXT_FIELDS[part];
  for (const { section: name, data } of sections) {
    const source = object.section(name);
    if (source?.out === undefined) throw object.error(`.BTF.ext: section ${name} is not there`);
    const target = source.out.ext[part];
    if (target.recordSize === 0) target.recordSize = recordSize;
    if (target.recordSize !== recordSize)
      throw object.error(
        `.BTF.ext: ${part} records of ${recordSize} bytes for ${name}, others have ${target.recordSize}`,
      );
    for (let at = 0; at < data.length; at += recordSize) {
      const record = Uint8Array.from(data.subarray(at, at + recordSize));
      const view = new DataView(record.buffer, record.byteOffset, record.length);
      view.setUint32(0, view.getUint32(0, little) + source.outOffset, little);
      for (const field of fields.types) {
        const id = view.getUint32(field, little);
        const to = id < map.length ? map[id]! : 0;
        if (to === 0 && id !== 0) throw object.error(`.BTF.ext: ${part} of ${name} refers to type ${id}`);
        view.setUint32(field, to, little);
      }
      for (const field of fields.strings)
        view.setUint32(field, builder.copyString(btf, view.getUint32(field, little)), little);
      target.records.push(record);
    }
  }
}
