export { type ByteOrder, decodeClassic, encodeClassic, formatDdd, parseDdd } from "./codec.ts";
export { disassembleClassic, disassembleClassicInsn } from "./disassemble.ts";
export { type Ancillary, type ClassicInsn, SKF_AD_OFF, SKF_LL_OFF, SKF_NET_OFF } from "./insn.ts";
export { type ClassicPacket, runClassic } from "./machine.ts";
export { type ClassicSemantics, type ClassicToEbpfOptions, classicToEbpf } from "./translate.ts";
export { validateClassic } from "./validate.ts";
