export * from "./backend.ts";
export * from "./links.ts";
