import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Kernel, type KernelOptions } from "../../src/kernel/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import { want } from "../support/need.ts";
import { pin } from "../support/pin.ts";
import { MAP_CASES } from "./cases.ts";
import { casesOf, expectedOf, runCase } from "./notation.ts";
import { EMBEDDED_CASES, PROGRAM_CASES } from "./program-cases.ts";

const cases = casesOf(PROGRAM_CASES).map((c) => [c.name, c] as const);
const embeddedCases = casesOf(EMBEDDED_CASES).map((c) => [c.name, c] as const);
const commandCases = casesOf(MAP_CASES).map((c) => [c.name, c] as const);

const kernels: Readonly<Record<string, KernelOptions>> = {
  "jit, checked": { engine: "jit" },
  "jit, unchecked": { engine: "jit", unchecked: true },
  interpreter: { engine: "interp" },
};

describe.each(Object.entries(kernels))("map helpers on the embedded kernel: %s", (_name, options) => {
  it.each([...cases, ...embeddedCases])("%s", (_name, noted) => {
    expect(runCase(noted, new Kernel({ ...options, cpus: 2 }))).toEqual(expectedOf(noted));
  });
});

describe("map commands on the embedded kernel", () => {
  it.each(commandCases)("%s", (_name, noted) => {
    expect(runCase(noted, new Kernel({ cpus: 2 }))).toEqual(expectedOf(noted));
  });
});

const linux = want("bpf", "taskset");
describe.skipIf(linux.skip)(linux.title("map helpers on this machine's kernel"), () => {
  let backend: LinuxBackend;
  beforeAll(async () => {
    // Per-CPU values are those of the CPU that a test run happens to be on.
    pin("0");
    backend = await LinuxBackend.open();
  });
  afterAll(() => pin(`0-${backend.possibleCpus - 1}`));
  it.each(cases)("%s", (_name, noted) => {
    expect(runCase(noted, backend)).toEqual(expectedOf(noted));
  });
});
