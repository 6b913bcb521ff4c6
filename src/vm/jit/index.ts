export { createJit, type JitOptions } from "./jit.ts";
