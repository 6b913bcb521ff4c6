import { describe, expect, test } from "vitest";
import { dataMapName } from "./maps.ts";

describe("names of global data maps", () => {
  // The examples of libbpf's own comment on internal_map_name, and the edges.
  test.each([
    ["my_object_name", ".rodata", "my_objec.rodata"],
    ["my_object_name", ".bss", "my_objec.bss"],
    ["my_object_name", ".data", "my_objec.data"],
    ["my_object_name", ".kconfig", "my_obje.kconfig"],
    ["my_object_name", ".rodata.abracadabra", ".rodata.abracadabra"],
    ["my_object_name", ".rodata.str1.1", ".rodata.str1.1"],
    ["a", ".data", "a.data"],
    ["with-dash", ".bss", "with_das.bss"],
    ["", ".bss", ".bss"],
  ])("%s and %s: %s", (object, section, name) => {
    expect(dataMapName(object, section)).toBe(name);
  });
});
