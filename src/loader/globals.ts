/** Global variables of an object: before loading in the specs' initial values, afterwards in the maps. */
import {
  BTF_KIND_DATASEC,
  BTF_KIND_VAR,
  type Btf,
  type BtfValue,
  formatValue,
  parseValue,
} from "../btf/index.ts";
import { LoadError } from "../diag/index.ts";
import { BPF_MAP_TYPE_ARENA } from "../uapi/index.ts";
import type { MapSpec } from "./spec.ts";

/** The ELF section of `__arena` variables, whose map has no value type. */
const ARENA_SECTION = ".addr_space.1";

/** The DATASEC that says which variables a map holds; 0: none. */
export function sectionType(btf: Btf, map: MapSpec): number {
  if (map.type === BPF_MAP_TYPE_ARENA) return btf.findByName(ARENA_SECTION, BTF_KIND_DATASEC) ?? 0;
  return map.valueTypeId;
}

export interface GlobalVariable {
  readonly name: string;
  readonly map: MapSpec;
  readonly typeId: number;
  readonly offset: number;
  readonly size: number;
}

/** Where a data map's bytes are. */
export interface GlobalStore {
  read(map: MapSpec): Uint8Array;
  write(map: MapSpec, value: Uint8Array): void;
}

export class Globals {
  readonly #btfOf: () => Btf | undefined;
  readonly #maps: readonly MapSpec[];
  readonly #store: GlobalStore;
  #variables: Map<string, GlobalVariable> | undefined;
  /** What `#variables` were read from. */
  #seen: Btf | undefined;

  /** `btfOf`: the object's BTF, which changes when a section gets another size. */
  constructor(btfOf: () => Btf | undefined, maps: readonly MapSpec[], store: GlobalStore) {
    this.#btfOf = btfOf;
    this.#maps = maps;
    this.#store = store;
  }

  /** Every variable that BTF describes, by name; of statics with the same name, the first. */
  get variables(): ReadonlyMap<string, GlobalVariable> {
    const btf = this.#btfOf();
    if (this.#variables !== undefined && this.#seen === btf) return this.#variables;
    const out = new Map<string, GlobalVariable>();
    this.#variables = out;
    this.#seen = btf;
    if (btf === undefined) return out;
    for (const map of this.#maps) {
      const id = sectionType(btf, map);
      const section = id === 0 ? undefined : btf.type(id);
      if (section?.kind !== BTF_KIND_DATASEC) continue;
      for (const { type, offset, size } of section.vars) {
        const variable = btf.type(type);
        if (variable.kind === BTF_KIND_VAR && !out.has(variable.name))
          out.set(variable.name, { name: variable.name, map, typeId: variable.type, offset, size });
      }
    }
    return out;
  }

  get(name: string): BtfValue {
    const v = this.#find(name);
    return formatValue(
      this.#btfOf()!,
      v.typeId,
      this.#store.read(v.map).subarray(v.offset, v.offset + v.size),
    );
  }

  /** Constants (`.rodata`) take values before loading only. */
  set(name: string, value: BtfValue): void {
    const v = this.#find(name);
    const bytes = parseValue(this.#btfOf()!, v.typeId, value);
    const whole = Uint8Array.from(this.#store.read(v.map));
    if (v.offset + bytes.length > whole.length)
      throw new LoadError(`variable '${name}' ends beyond section ${v.map.sectionName}`);
    whole.set(bytes, v.offset);
    this.#store.write(v.map, whole);
  }

  /** All of them. */
  toObject(): Record<string, BtfValue> {
    const out: Record<string, BtfValue> = Object.create(null);
    for (const name of this.variables.keys()) out[name] = this.get(name);
    return out;
  }

  #find(name: string): GlobalVariable {
    const found = this.variables.get(name);
    // A section that was resized out of its types has no names any more.
    if (found === undefined || sectionType(this.#btfOf()!, found.map) === 0)
      throw new LoadError(`no global variable '${name}'`);
    return found;
  }
}
