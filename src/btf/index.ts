export { Btf, type BtfOptions, parseBtf } from "./btf.ts";
export {
  BTF_EXT_FIELDS,
  type BtfExt,
  type BtfExtPart,
  type BtfExtSection,
  type CoreRelocation,
  coreRelocations,
  encodeBtfExt,
  parseBtfExt,
} from "./btf-ext.ts";
export { BtfBuilder, convertBtf, type NewBtfType } from "./builder.ts";
export { type CompareOptions, compareTypes } from "./compare.ts";
export * from "./constants.ts";
export * from "./core.ts";
export { essentialName, typesCompatible } from "./core-types.ts";
export { type DedupOptions, type DedupResult, dedupBtf } from "./dedup/dedup.ts";
export { BtfDumper } from "./dump/dumper.ts";
export { type DumpHeaderOptions, dumpHeader } from "./dump/header.ts";
export { type CoreUser, minCoreBtf } from "./min-core.ts";
export { type BtfRawRow, btfRawJson, btfRawRow, btfRawText } from "./raw.ts";
export type { BtfEnumerator, BtfMember, BtfParam, BtfType, BtfVarSecinfo } from "./types.ts";
export { validateBtf } from "./validate.ts";
export { type BtfValue, type FormatOptions, formatValue, parseValue } from "./values.ts";
