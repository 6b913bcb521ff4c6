export * from "./errno.ts";
export * from "./generated/enums.ts";
export { GPL_ONLY_HELPERS, HELPERS_BY_PROG_TYPE } from "./generated/helper-availability.ts";
export { HELPER_PROTOS, type HelperProto } from "./generated/helpers.ts";
export * from "./insn.ts";
export * from "./prog-flags.ts";
