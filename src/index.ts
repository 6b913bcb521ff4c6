// The public names, and nothing else.

export type * from "./backend/index.ts";
export * from "./diag/index.ts";
