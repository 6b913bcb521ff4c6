// Numbers of the ELF format that BPF objects use (System V gABI; LLVM's ELFRelocs/BPF.def for R_BPF_*).
export const EM_NONE = 0;
export const EM_BPF = 247;
export const ET_REL = 1;
export const ELFCLASS64 = 2;
export const ELFDATA2LSB = 1;
export const ELFDATA2MSB = 2;

export const SHT_NULL = 0;
export const SHT_PROGBITS = 1;
export const SHT_SYMTAB = 2;
export const SHT_STRTAB = 3;
export const SHT_RELA = 4;
export const SHT_NOBITS = 8;
export const SHT_REL = 9;
export const SHT_LLVM_ADDRSIG = 0x6fff4c03;

export const SHF_WRITE = 1;
export const SHF_ALLOC = 2;
export const SHF_EXECINSTR = 4;

export const SHN_UNDEF = 0;
export const SHN_LORESERVE = 0xff00;
export const SHN_ABS = 0xfff1;
export const SHN_COMMON = 0xfff2;
export const SHN_XINDEX = 0xffff;

export const STB_LOCAL = 0;
export const STB_GLOBAL = 1;
export const STB_WEAK = 2;

export const STT_NOTYPE = 0;
export const STT_OBJECT = 1;
export const STT_FUNC = 2;
export const STT_SECTION = 3;
export const STT_FILE = 4;

export const STV_DEFAULT = 0;
export const STV_INTERNAL = 1;
export const STV_HIDDEN = 2;
export const STV_PROTECTED = 3;

/** LD_IMM64: 64 bits split over two slots. */
export const R_BPF_64_64 = 1;
/** 8 bytes of data. */
export const R_BPF_64_ABS64 = 2;
/** 4 bytes of data. */
export const R_BPF_64_ABS32 = 3;
/** 4 bytes of .BTF and .BTF.ext that no loader touches. */
export const R_BPF_64_NODYLD32 = 4;
/** The imm of a call, in instructions. */
export const R_BPF_64_32 = 10;

export const R_BPF_NAMES: Readonly<Record<number, string>> = {
  0: "R_BPF_NONE",
  1: "R_BPF_64_64",
  2: "R_BPF_64_ABS64",
  3: "R_BPF_64_ABS32",
  4: "R_BPF_64_NODYLD32",
  10: "R_BPF_64_32",
};
