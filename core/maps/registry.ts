// Which maps are alive. A program that was not verified may hand any number to a helper as its map; only an address
// that the registry holds is followed, so that no bytes a program can write ever pass for a map.
import { MAP_HEADER_SIZE, MAP_SLOT } from "../../src/maps/layout";
import { POINTER_HIGH } from "../../src/vm/layout";
import { alloc, release } from "../alloc";

let table: u32 = 0;
let capacity: u32 = 0;
/** No slot below is free. */
let lowest: u32 = 1;

/** Enters the map with its header at `map` and writes MAP_SLOT; false: out of memory. */
export function map_register(map: u32): bool {
  while (lowest < capacity && load<u32>(table + (lowest << 2)) != 0) lowest++;
  if (lowest >= capacity) {
    const wider: u32 = capacity == 0 ? 64 : capacity << 1;
    const moved = alloc(wider << 2, 8);
    if (moved == 0) return false;
    memory.copy(moved, table, capacity << 2);
    if (table != 0) release(table);
    table = moved;
    capacity = wider;
  }
  store<u32>(table + (lowest << 2), map);
  store<u32>(map, lowest, MAP_SLOT);
  lowest++;
  return true;
}

/** The map is no more; the registry's own memory goes with the last one. */
export function map_unregister(map: u32): void {
  const slot = load<u32>(map, MAP_SLOT);
  if (slot == 0 || slot >= capacity || load<u32>(table + (slot << 2)) != map) return;
  store<u32>(table + (slot << 2), 0);
  store<u32>(map, 0, MAP_SLOT);
  lowest = min(lowest, slot);
  for (let i: u32 = 1; i < capacity; i++) if (load<u32>(table + (i << 2)) != 0) return;
  release(table);
  table = 0;
  capacity = 0;
  lowest = 1;
}

/** The map in that slot, or 0. */
// @ts-ignore: decorator
@inline
export function mapInSlot(slot: u32): u32 {
  return slot < capacity ? load<u32>(table + (slot << 2)) : 0;
}

/** The map that a helper's argument names, or 0 if it is none. */
// @ts-ignore: decorator
@inline
export function mapOf(r: u64): u32 {
  const map = <u32>r;
  if ((map & 7) != 0 || <u64>map + MAP_HEADER_SIZE > <u64>memory.size() << 16) return 0;
  const slot = load<u32>(map, MAP_SLOT);
  // Slot 0 is never taken, and a null argument is not above zero.
  return map != 0 && mapInSlot(slot) == map ? map : 0;
}

/** What a program sees of the object at `address`: 0 stays null. */
// @ts-ignore: decorator
@inline
export function pointer(address: u32): u64 {
  return address == 0 ? 0 : (<u64>POINTER_HIGH << 32) | address;
}
