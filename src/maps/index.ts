export type { MapAttr } from "./attr.ts";
export { createMap } from "./create.ts";
export * from "./layout.ts";
export { BpfMap } from "./map.ts";
export { type FdResolver, MapEnv, type MapEnvOptions, type MapProgram, type MapRef } from "./map-env.ts";
export { PerfEventArrayMap } from "./perf-event-array.ts";
export { ProgArrayMap } from "./prog-array.ts";
export { RingbufMap } from "./ringbuf.ts";
