export { bprintf, type FormatMemory } from "./format.ts";
export type { HelperHost, NetDevice, Task } from "./host.ts";
export * from "./net-layout.ts";
export { HelperTable } from "./table.ts";
