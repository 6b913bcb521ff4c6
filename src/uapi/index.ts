export * from "./errno.ts";
export * from "./generated/enums.ts";
export { HELPER_PROTOS, type HelperProto } from "./generated/helpers.ts";
export * from "./insn.ts";
