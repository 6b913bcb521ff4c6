export {
  AddressSpace,
  type AddressSpaceOptions,
  type Allocated,
  type Permission,
} from "./address-space.ts";
export type { CoreExports } from "./core.ts";
export type * from "./engine.ts";
export { createJit, type JitOptions } from "./jit/index.ts";
export * from "./layout.ts";
