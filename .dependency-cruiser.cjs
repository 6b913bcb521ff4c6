// The import rules of the house (docs/ARCHITECTURE says why). Layers import downward only; a folder is
// entered through its index.ts; node:* stays at the edges.
const layers = {
  util: [],
  diag: ["util"],
  uapi: ["util", "diag"],
  pcap: ["util", "diag"],
  asm: ["util", "diag", "uapi"],
  elf: ["util", "diag", "uapi"],
  btf: ["util", "diag", "uapi"],
  backend: ["util", "diag", "uapi", "btf"],
  verifier: ["util", "diag", "uapi", "asm", "btf"],
  vm: ["util", "diag", "uapi", "asm", "elf", "btf"],
  maps: ["util", "diag", "uapi", "asm", "btf", "vm"],
  helpers: ["util", "diag", "uapi", "asm", "btf", "vm", "maps"],
  kernel: ["util", "diag", "uapi", "asm", "btf", "vm", "verifier", "maps", "helpers", "backend"],
  linux: ["util", "diag", "uapi", "asm", "btf", "backend"],
  loader: ["util", "diag", "uapi", "asm", "elf", "btf", "backend"],
  linker: ["util", "diag", "uapi", "elf", "btf", "loader"],
  check: ["util", "diag", "uapi", "asm", "btf", "loader", "verifier"],
  platform: ["util", "diag", "uapi"],
};
const forbidden = [
  { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
  {
    name: "folder-through-index",
    comment: "A folder is imported through its index.ts (platform/ has one file a platform instead).",
    severity: "error",
    from: { path: "^src/([^/]+)/" },
    to: { path: "^src/([^/]+)/.+", pathNot: ["^src/$1/", "^src/[^/]+/index\\.ts$", "^src/platform/(node|browser)\\.ts$"] },
  },
  {
    name: "node-at-the-edges",
    comment: "Everything else runs in a browser.",
    severity: "error",
    from: { path: "^src/", pathNot: ["^src/(platform/node\\.ts|linux/|cli/)", "\\.test\\.ts$"] },
    to: { dependencyTypes: ["core"] },
  },
  {
    name: "no-runtime-dependencies",
    comment: "The library has none; the CLI may (bundled).",
    severity: "error",
    from: { path: "^src/", pathNot: ["^src/(cli|linux)/", "\\.test\\.ts$"] },
    to: { dependencyTypes: ["npm", "npm-dev", "npm-no-pkg", "npm-unknown"] },
  },
];
for (const [name, allowed] of Object.entries(layers)) {
  forbidden.push({
    name: `layer-${name}`,
    severity: "error",
    from: { path: `^src/${name}/`, pathNot: "\\.test\\.ts$" },
    to: { path: "^src/", pathNot: `^src/(${[name, ...allowed].join("|")})/` },
  });
}
module.exports = {
  forbidden,
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^core/|\\.generated\\.ts$)" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"], extensions: [".ts", ".js"] },
  },
};
