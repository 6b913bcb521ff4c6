// The core module: what must run inside Wasm beside the jitted code. One export list; each family has its folder.
export { nop } from "./nop";
