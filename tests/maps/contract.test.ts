import { beforeAll, describe, expect, it } from "vitest";
import { LinuxBackend } from "../../src/linux/index.ts";
import { want } from "../support/need.ts";
import { MAP_CASES } from "./cases.ts";
import { EmbeddedMaps } from "./embedded.ts";
import { casesOf, expectedOf, runCase } from "./notation.ts";

const cases = casesOf(MAP_CASES).map((c) => [c.name, c] as const);

describe("embedded maps", () => {
  it.each(cases)("%s", (_name, noted) => {
    const maps = new EmbeddedMaps();
    expect(runCase(noted, maps)).toEqual(expectedOf(noted));
    maps.env.dispose();
    expect(maps.space.allocated).toEqual({ bytes: 0, blocks: 0 });
  });
});

const linux = want("bpf");
describe.skipIf(linux.skip)(linux.title("maps of this machine's kernel"), () => {
  let backend: LinuxBackend;
  beforeAll(async () => {
    backend = await LinuxBackend.open();
  });
  it.each(cases)("%s", (_name, noted) => {
    expect(runCase(noted, backend)).toEqual(expectedOf(noted));
  });
});
