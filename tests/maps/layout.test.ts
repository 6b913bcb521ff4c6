import { describe, expect, it } from "vitest";
import * as maps from "../../src/maps/layout.ts";
import * as vm from "../../src/vm/layout.ts";

// src/vm cannot import src/maps, which stands above it, and core/ reads both files: generated code has its own names
// for what it knows of a map.
describe("what generated code knows of maps", () => {
  it.each([
    [vm.VM_MAP_MAX_ENTRIES, maps.MAP_MAX_ENTRIES],
    [vm.VM_MAP_VALUES, maps.MAP_VALUES],
    [vm.VM_MAP_STRIDE, maps.MAP_STRIDE],
    [vm.VM_HASH_NEXT, maps.HTAB_NEXT],
    [vm.VM_HASH_SEEN, maps.HTAB_SEEN],
    [vm.VM_HASH_KEY, maps.HTAB_KEY4],
  ])("%i is the maps' own %i", (known, own) => {
    expect(known).toBe(own);
  });
});
