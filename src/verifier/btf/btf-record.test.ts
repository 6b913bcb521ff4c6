import { expect, test } from "vitest";
import {
  BTF_KIND_ARRAY,
  BTF_KIND_DECL_TAG,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  type Btf,
  BtfBuilder,
} from "../../btf/index.ts";
import type { Env } from "../env.ts";
import type { MapDescription } from "../map-description.ts";
import { findField, mapRecord, structRecord } from "./btf-record.ts";
import { BPF_KPTR, BPF_LIST_HEAD, FIELDS, fieldTypeName } from "./field-types.ts";

/** Types by name: special structs with their sizes, pointers "kptr:T", arrays "T[n]", structs of the test. */
class Types {
  readonly builder = new BtfBuilder();
  readonly #ids = new Map<string, number>();
  #int(): number {
    return this.#once("int", () =>
      this.builder.add({ kind: BTF_KIND_INT, name: "int", size: 4, encoding: 0, bitOffset: 0, bits: 32 }),
    );
  }
  #once(name: string, add: () => number): number {
    let id = this.#ids.get(name);
    if (id === undefined) {
      id = add();
      this.#ids.set(name, id);
    }
    return id;
  }
  id(name: string): number {
    if (name === "int") return this.#int();
    const array = /^(.*)\[(\d+)\]$/.exec(name);
    if (array !== null) {
      const type = this.id(array[1]!);
      return this.#once(name, () =>
        this.builder.add({
          kind: BTF_KIND_ARRAY,
          name: "",
          type,
          indexType: this.#int(),
          nelems: Number(array[2]),
        }),
      );
    }
    const tagged = /^(\w*kptr\w*):(\w+)$/.exec(name);
    if (tagged !== null) {
      const target = this.id(tagged[2]!);
      return this.#once(name, () => {
        const tag = this.builder.add({ kind: BTF_KIND_TYPE_TAG, name: tagged[1]!, type: target });
        return this.builder.add({ kind: BTF_KIND_PTR, name: "", type: tag });
      });
    }
    const size = [...FIELDS.values()].find((f) => f.name === name)?.size ?? 8;
    return this.#once(name, () => this.builder.add({ kind: BTF_KIND_STRUCT, name, size, members: [] }));
  }
  /** "16 bpf_spin_lock lock" = that member at byte 16. */
  struct(name: string, size: number, members: readonly string[]): number {
    const decoded = members.map((m) => {
      const [at, type, member] = m.split(" ") as [string, string, string];
      return { name: member, type: this.id(type), bitOffset: Number(at) * 8, bitSize: 0 };
    });
    const id = this.builder.add({ kind: BTF_KIND_STRUCT, name, size, members: decoded });
    this.#ids.set(name, id);
    return id;
  }
  tag(struct: number, component: number, name: string): void {
    this.builder.add({ kind: BTF_KIND_DECL_TAG, name, type: struct, componentIndex: component });
  }
}

/** A kernel with two types: one that can be a referenced kptr, one that cannot. */
function kernel(): Btf {
  const types = new Types();
  types.id("task_struct");
  types.id("sock");
  return types.builder.toBtf();
}

function setup(fill: (types: Types) => number, size: number): { env: Env; map: MapDescription; btf: Btf } {
  const types = new Types();
  const value = fill(types);
  const btf = types.builder.toBtf();
  const env = { kernelBtf: kernel(), input: { moduleBtfs: [] } } as unknown as Env;
  const map = { btf, btfValueTypeId: value, valueSize: size } as MapDescription;
  return { env, map, btf };
}

/** Fields as "offset:name", null: nothing special, or not a map that could be made. */
const VALUES: readonly (readonly [members: readonly string[], fields: readonly string[] | null])[] = [
  [["0 int a"], null],
  [["0 int a", "4 bpf_spin_lock lock"], ["4:bpf_spin_lock"]],
  [["0 bpf_spin_lock a", "4 bpf_spin_lock b"], null],
  [
    ["0 bpf_timer t", "16 bpf_wq w"],
    ["0:bpf_timer", "16:bpf_wq"],
  ],
  [["4 bpf_timer t"], null],
  [["0 bpf_spin_lock[2] locks"], null],
  [
    ["0 kptr:task_struct p", "8 kptr_untrusted:sock q"],
    ["0:kptr", "8:kptr"],
  ],
  [["0 kptr:sock p"], null],
  [["0 kptr:mine[3] p"], ["0:kptr", "8:kptr", "16:kptr"]],
  [["0 bpf_list_head h"], null],
];

test.each(VALUES)("map value { %j }: %j", (members, fields) => {
  const { env, map } = setup((types) => types.struct("value", 64, members), 64);
  const record = mapRecord(env, map);
  expect(record === null ? null : record.fields.map((f) => `${f.offset}:${fieldTypeName(f.type)}`)).toEqual(
    fields,
  );
});

test("kptrs point into the kernel's BTF where it has the type, else into the program's", () => {
  const { env, map, btf } = setup(
    (t) => t.struct("value", 16, ["0 kptr:task_struct a", "8 kptr:mine b"]),
    16,
  );
  const record = mapRecord(env, map);
  expect(findField(record, 0, BPF_KPTR)?.kptrBtf).toBe(env.kernelBtf);
  expect(findField(record, 8, BPF_KPTR)?.kptrBtf).toBe(btf);
  expect(findField(record, 4, BPF_KPTR)).toBeNull();
});

test("a list head knows what it holds", () => {
  let node = 0;
  const { env, map } = setup((types) => {
    node = types.struct("elem", 32, ["8 bpf_list_node node"]);
    const value = types.struct("value", 24, ["0 bpf_spin_lock lock", "8 bpf_list_head head"]);
    types.tag(value, 1, "contains:elem:node");
    return value;
  }, 24);
  const record = mapRecord(env, map);
  expect(findField(record, 8, BPF_LIST_HEAD)).toMatchObject({ valueId: node, nodeOffset: 8 });
  expect(structRecord(env, map.btf, node)?.fields.map((f) => f.offset)).toEqual([8]);
  expect(structRecord(env, env.kernelBtf, 1)).toBeNull();
});
