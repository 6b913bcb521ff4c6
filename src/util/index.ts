export { alignUp, hex, isLittleEndianHost } from "./numbers.ts";
