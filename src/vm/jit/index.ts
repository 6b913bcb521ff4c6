export { asFault, createJit, type JitOptions } from "./jit.ts";
