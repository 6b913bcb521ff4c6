export {
  AsmError,
  BtfError,
  CaptureError,
  ElfError,
  InternalError,
  InvalidProgramError,
  IoError,
  LoadError,
  ProgramFault,
  TsbpfError,
  UnsupportedError,
} from "./errors.ts";
