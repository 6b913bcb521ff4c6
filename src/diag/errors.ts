/** Every error that an operation of this package throws on purpose. `code` is stable; `cause` is kept. */
export class TsbpfError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A broken or unsupported object file. */
export class ElfError extends TsbpfError {
  readonly offset: number | undefined;
  readonly section: string | undefined;
  constructor(message: string, where: { offset?: number; section?: string } = {}, options?: ErrorOptions) {
    const place = [
      where.section === undefined ? "" : `section ${where.section}`,
      where.offset === undefined ? "" : `offset 0x${where.offset.toString(16)}`,
    ].filter(Boolean);
    super("ELF", place.length ? `${message} (${place.join(", ")})` : message, options);
    this.offset = where.offset;
    this.section = where.section;
  }
}

/** Broken type information. */
export class BtfError extends TsbpfError {
  readonly typeId: number | undefined;
  readonly offset: number | undefined;
  constructor(message: string, where: { typeId?: number; offset?: number } = {}, options?: ErrorOptions) {
    const place = [
      where.typeId === undefined ? "" : `type id ${where.typeId}`,
      where.offset === undefined ? "" : `offset 0x${where.offset.toString(16)}`,
    ].filter(Boolean);
    super("BTF", place.length ? `${message} (${place.join(", ")})` : message, options);
    this.typeId = where.typeId;
    this.offset = where.offset;
  }
}

/** A capture file that is broken, cut or of no format that we read. `offset` is the place in the file. */
export class CaptureError extends TsbpfError {
  readonly offset: number;
  constructor(message: string, offset: number, options?: ErrorOptions) {
    super("CAPTURE", `${message} (offset 0x${offset.toString(16)})`, options);
    this.offset = offset;
  }
}

/** A file or stream that cannot be read or written; `cause` is the platform's error. */
export class IoError extends TsbpfError {
  readonly path: string;
  constructor(message: string, path: string, options?: ErrorOptions) {
    super("IO", message, options);
    this.path = path;
  }
}

/** Bytes that are not a valid instruction, or text that does not assemble. */
export class AsmError extends TsbpfError {
  /** Slot index of the instruction, or line number (from 1) of the text. */
  readonly insn: number | undefined;
  readonly line: number | undefined;
  constructor(message: string, where: { insn?: number; line?: number } = {}, options?: ErrorOptions) {
    super(
      "ASM",
      where.line !== undefined
        ? `line ${where.line}: ${message}`
        : where.insn !== undefined
          ? `insn ${where.insn}: ${message}`
          : message,
      options,
    );
    this.insn = where.insn;
    this.line = where.line;
  }
}

/** Opening, relocating or loading an object failed. `errno` is positive where a backend gave one. */
export class LoadError extends TsbpfError {
  readonly errno: number | undefined;
  constructor(message: string, errno?: number, options?: ErrorOptions) {
    super("LOAD", message, options);
    this.errno = errno;
  }
}

/** Objects that cannot be linked into one; `object` is the one that did not fit. */
export class LinkError extends TsbpfError {
  readonly object: string;
  constructor(object: string, message: string, options?: ErrorOptions) {
    super("LINK", `${object}: ${message}`, options);
    this.object = object;
  }
}

/** A backend refused a program: the verifier's word, or an errno of BPF_PROG_LOAD itself. */
export class VerifierRejection extends TsbpfError {
  readonly program: string;
  /** Positive. */
  readonly errno: number;
  /** The verifier's whole log; empty where it did not come to that. */
  readonly log: string;
  constructor(program: string, reason: string, errno: number, log: string, options?: ErrorOptions) {
    super("VERIFIER", `program '${program}': ${reason}`, options);
    this.program = program;
    this.errno = errno;
    this.log = log;
  }
}

/** A bpf(2) command on a loaded object failed. */
export class BackendError extends TsbpfError {
  readonly command: string;
  /** Positive. */
  readonly errno: number;
  constructor(command: string, reason: string, errno: number, options?: ErrorOptions) {
    super("BACKEND", `${command}: ${reason}`, options);
    this.command = command;
    this.errno = errno;
  }
}

/** A program that an engine refuses before it runs. */
export class InvalidProgramError extends TsbpfError {
  readonly insn: number;
  constructor(message: string, insn: number, options?: ErrorOptions) {
    super("INVALID_PROGRAM", `insn ${insn}: ${message}`, options);
    this.insn = insn;
  }
}

/** The bounds-checked mode stopped a running program. */
export class ProgramFault extends TsbpfError {
  readonly fault: number;
  readonly insn: number;
  readonly address: bigint;
  constructor(
    message: string,
    where: { fault: number; insn: number; address: bigint },
    options?: ErrorOptions,
  ) {
    super("FAULT", `insn ${where.insn}: ${message}`, options);
    this.fault = where.fault;
    this.insn = where.insn;
    this.address = where.address;
  }
}

/** Something that this version, kernel or platform does not offer; `since` says what brings it. */
export class UnsupportedError extends TsbpfError {
  readonly feature: string;
  readonly since: string | undefined;
  constructor(feature: string, since?: string, options?: ErrorOptions) {
    super(
      "UNSUPPORTED",
      since === undefined ? `${feature} is not supported` : `${feature} is not supported (${since})`,
      options,
    );
    this.feature = feature;
    this.since = since;
  }
}

/** Our own bug: never caught; says which invariant broke. */
export class InternalError extends Error {
  constructor(invariant: string, options?: ErrorOptions) {
    super(`internal error: ${invariant}`, options);
    this.name = "InternalError";
  }
}
