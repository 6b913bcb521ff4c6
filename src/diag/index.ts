export {
  AsmError,
  BtfError,
  ElfError,
  InternalError,
  InvalidProgramError,
  LoadError,
  ProgramFault,
  TsbpfError,
  UnsupportedError,
} from "./errors.ts";
