// `npm run bench -- NAME`: runs bench/NAME.ts.
const benches: Readonly<Record<string, () => Promise<{ run(args: readonly string[]): Promise<void> }>>> = {
  interp: () => import("./interp.ts"),
  jit: () => import("./jit.ts"),
  loader: () => import("./loader.ts"),
  maps: () => import("./maps.ts"),
  rings: () => import("./rings.ts"),
  verifier: () => import("./verifier.ts"),
};

const [name = "", ...args] = process.argv.slice(2);
const load = benches[name];
if (load === undefined) {
  console.error(`usage: npm run bench -- ${Object.keys(benches).join("|")}`);
  process.exitCode = 2;
} else {
  const bench = await load();
  await bench.run(args);
}
