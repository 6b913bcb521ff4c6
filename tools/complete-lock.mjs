/**
 * Adds to package-lock.json the optional packages of other platforms that the registry at hand does not serve (a mirror
 * may hold one platform only): `npm ci` refuses a lock file without them. Run after `npm install` on such a machine.
 *
 *   node tools/complete-lock.mjs
 */
import { readFileSync, writeFileSync } from "node:fs";

const OS = { android: "android", darwin: "darwin", freebsd: "freebsd", linux: "linux", netbsd: "netbsd" };
Object.assign(OS, {
  openbsd: "openbsd",
  openharmony: "openharmony",
  sunos: "sunos",
  win32: "win32",
  aix: "aix",
});
const CPU = {
  arm: "arm",
  arm64: "arm64",
  armv7: "arm",
  ia32: "ia32",
  x64: "x64",
  ppc64: "ppc64",
  s390x: "s390x",
};
Object.assign(CPU, { loong64: "loong64", mips64el: "mips64el", riscv64: "riscv64", wasm32: "wasm32" });

/** The fields of package.json that `NAME-linux-x64-musl` tells. */
function platform(name) {
  const words = name.split("/").at(-1).split("-");
  const os = words.map((word) => OS[word]).find(Boolean);
  const cpu = words.map((word) => CPU[word]).find(Boolean);
  const libc = words.some((word) => word.startsWith("musl"))
    ? "musl"
    : words.some((word) => word.startsWith("gnu"))
      ? "glibc"
      : undefined;
  return {
    ...(cpu ? { cpu: [cpu] } : {}),
    ...(os ? { os: [os] } : {}),
    ...(libc && os === "linux" ? { libc: [libc] } : {}),
  };
}

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8"));
const added = [];
for (const [at, entry] of Object.entries(lock.packages))
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (at === "" || lock.packages[`node_modules/${name}`] || lock.packages[`${at}/node_modules/${name}`])
      continue;
    lock.packages[`node_modules/${name}`] = {
      version: version.replace(/^[\^~]/, ""),
      ...(entry.dev ? { dev: true } : {}),
      optional: true,
      ...platform(name),
    };
    added.push(name);
  }
const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
lock.packages = Object.fromEntries(sorted);
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added.length} added${added.length ? `: ${added.join(", ")}` : ""}`);
