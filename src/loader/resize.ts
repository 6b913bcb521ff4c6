/** Another size for a section of global variables (bpf_map__set_value_size of tools/lib/bpf/libbpf.c). */
import { BTF_KIND_ARRAY, BTF_KIND_DATASEC, type Btf } from "../btf/index.ts";
import { appendArray, BtfEditor } from "./btf-editor.ts";
import type { MapSpec } from "./spec.ts";

/**
 * The object's BTF in which the section's last variable, an array, is longer or shorter, so that the section has `size`
 * bytes; undefined where that variable is no array of a fitting element.
 */
export function resizeSection(btf: Btf, map: MapSpec, size: number): Btf | undefined {
  const section = map.valueTypeId === 0 ? undefined : btf.type(map.valueTypeId);
  if (section?.kind !== BTF_KIND_DATASEC) return undefined;
  const last = section.vars.at(-1);
  if (last === undefined || size < last.offset) return undefined;
  const array = btf.type(btf.skipModifiers(btf.sizeOrType(last.type)));
  if (array.kind !== BTF_KIND_ARRAY) return undefined;
  const element = btf.resolveSize(array.type);
  const bytes = size - last.offset;
  if (element === 0 || bytes % element !== 0) return undefined;
  const longer = appendArray(btf, array.type, array.indexType, bytes / element);
  const editor = new BtfEditor(longer.bytes);
  editor.setDatasecSize(section.id, size);
  editor.setVarSecinfo(section.id, section.vars.length - 1, { size: bytes });
  editor.setVarType(last.type, longer.id);
  return editor.finish();
}
