/** `npm pack`, installed into an empty folder: the command runs and the types check under --strict. Wants a build. */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
let folder: string;

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

beforeAll(() => {
  if (!existsSync(join(ROOT, "dist/cli.mjs")))
    throw new Error("no dist/: run npm run build first (npm test does)");
  folder = mkdtempSync(join(tmpdir(), "tsbpf-pack-"));
  execFileSync("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], {
    cwd: ROOT,
    stdio: "ignore",
  });
  const [archive] = readdirSync(folder);
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ name: "user", private: true, type: "module" }),
  );
  run("npm", "install", "--offline", "--no-audit", "--no-fund", `./${archive}`);
  for (const name of ["firewall.bpf.o", "capture.pcap"])
    copyFileSync(join(ROOT, "examples/firewall", name), join(folder, name));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("brings no other package along", () => {
  expect(readdirSync(join(folder, "node_modules")).filter((name) => !name.startsWith("."))).toEqual([
    "tsbpf",
  ]);
});

it("npx tsbpf run filters the capture", () => {
  const result = JSON.parse(
    run("npx", "tsbpf", "run", "firewall.bpf.o", "--pcap", "capture.pcap", "--json"),
  ) as {
    packets: number;
  };
  expect(result.packets).toBe(2000);
});

it("a program that imports tsbpf type-checks under --strict and runs", () => {
  writeFileSync(
    join(folder, "user.ts"),
    `import { BpfObject, Kernel, type BtfValue, type TestRunResult, VerifierRejection } from "tsbpf";
import { disassemble } from "tsbpf/asm";
import { readFileSync } from "node:fs";
declare const process: { exitCode: number };
using kernelObject = BpfObject.open(readFileSync("firewall.bpf.o")).load(new Kernel());
const result: TestRunResult = kernelObject.programs["firewall"]!.testRun({ data_in: new Uint8Array(64) });
const rows: [BtfValue, BtfValue][] = [...kernelObject.maps["counters"]!.entries()];
const text: string = disassemble(kernelObject.programs["firewall"]!.linked.insns);
if (result.err !== 0 || rows.length !== 9 || text.length === 0) throw new Error(String(VerifierRejection));
console.log("retval", result.retval);
`,
  );
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        target: "ES2022",
        module: "NodeNext",
        moduleResolution: "NodeNext",
        lib: ["ES2023", "ESNext.Disposable", "DOM"],
        types: ["node"],
        typeRoots: [join(ROOT, "node_modules/@types")],
        outDir: "out",
      },
      files: ["user.ts"],
    }),
  );
  run(process.execPath, join(ROOT, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.json");
  expect(run(process.execPath, "out/user.js")).toBe("retval 2\n");
});
