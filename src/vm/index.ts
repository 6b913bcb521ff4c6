export type * from "./engine.ts";
export * from "./layout.ts";
