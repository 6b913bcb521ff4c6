import { readFileSync } from "node:fs";

interface Manifest {
  readonly version: string;
}

/** Of package.json, which stands above both src/cli/ and dist/. */
export const VERSION: string = (() => {
  for (const up of ["../package.json", "../../package.json"])
    try {
      return (JSON.parse(readFileSync(new URL(up, import.meta.url), "utf8")) as Manifest).version;
    } catch {
      // The other layout.
    }
  return "unknown";
})();
