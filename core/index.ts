// The core module: what must run inside Wasm beside the jitted code. One export list; each family has its folder.
export { alloc, allocated_blocks, allocated_bytes, block_size, release } from "./alloc";
export { call_back, enter_callback } from "./callback";
export { enter } from "./enter";
export { init } from "./env";
export * from "./helpers/index";
export { probe_read } from "./probe";
export { interp_register } from "./interp/directory";
export { interp_enter, interp_run, interp_start, interp_step } from "./interp/run";
export { check_read, check_write, paint } from "./shadow";
export * from "./maps/index";
