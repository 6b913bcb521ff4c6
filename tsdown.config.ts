import { defineConfig } from "tsdown";

// The CLI as one file, so that the published package has no runtime dependency.
export default defineConfig({
  entry: { cli: "src/cli/main.ts" },
  outDir: "dist",
  platform: "node",
  format: "esm",
  target: "node20",
  clean: false,
  dts: false,
  external: ["koffi"],
  noExternal: ["commander", "picocolors"],
});
