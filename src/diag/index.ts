export {
  AsmError,
  BtfError,
  CaptureError,
  ElfError,
  InternalError,
  InvalidProgramError,
  LoadError,
  ProgramFault,
  TsbpfError,
  UnsupportedError,
} from "./errors.ts";
