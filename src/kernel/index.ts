export { type Clock, FrozenClock, hostClock } from "./clock.ts";
export { FilterRunner } from "./filter-runner.ts";
export { Kernel, type KernelOptions } from "./kernel.ts";
export type { PacketRunner, RedirectTarget } from "./packet-runner.ts";
export type { Program } from "./program.ts";
export type { ProgramType, TestRun, TestRunEnv } from "./program-type.ts";
export { TracePipe } from "./trace-pipe.ts";
