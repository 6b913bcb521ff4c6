export * from "./constants.ts";
export { ElfFile, type ElfRelocation, type ElfSection, type ElfSymbol, parseElf } from "./read.ts";
export { type ElfInput, type ElfSectionInput, type ElfSymbolInput, writeElf } from "./write.ts";
