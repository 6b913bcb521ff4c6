import { CORE_WASM_BASE64 } from "./core-wasm.generated.ts";

/** What the core module (core/index.ts) exports. Functions with u64 parameters are for WebAssembly callers only. */
export type CoreExports = Readonly<Record<string, (...args: number[]) => number>>;

let compiled: WebAssembly.Module | undefined;

/** The core module, compiled once per process. */
export function coreModule(): WebAssembly.Module {
  if (compiled === undefined) {
    const text = atob(CORE_WASM_BASE64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    compiled = new WebAssembly.Module(bytes);
  }
  return compiled;
}

/** An instance of the core module over an address space's memory, table and CPU pointer. */
export function loadCore(imports: WebAssembly.Imports): CoreExports {
  return new WebAssembly.Instance(coreModule(), imports).exports as unknown as CoreExports;
}
