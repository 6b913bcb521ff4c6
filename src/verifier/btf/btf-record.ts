/**
 * Special fields of map values and allocated objects (locks, timers, lists, trees, kptrs...): struct btf_record,
 * btf_parse_fields() and btf_parse_struct_metas() of the kernel's btf.c.
 */
import {
  BTF_KIND_ARRAY,
  BTF_KIND_DATASEC,
  BTF_KIND_DECL_TAG,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_UNION,
  BTF_KIND_VOLATILE,
  type Btf,
} from "../../btf/index.ts";
import type { Env } from "../env.ts";
import type { MapDescription } from "../map-description.ts";
import { findId, isKernelBtf, isStruct, membersOf, typeOf } from "./btf-types.ts";
import * as F from "./field-types.ts";
import { FIELDS, fieldOfStruct, KPTR_DTORS, SINGLE_FIELDS } from "./field-types.ts";

/** One special field: struct btf_field. */
export interface BtfField {
  /** BPF_SPIN_LOCK..., one bit. */
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  /** Kptrs: where the pointee's type lives (the kernel's BTF, or the program's for allocated objects). */
  readonly kptrBtf: Btf | null;
  readonly kptrId: number;
  /** List heads and tree roots: what they hold, and where its node is. */
  readonly rootBtf: Btf | null;
  readonly valueId: number;
  readonly nodeOffset: number;
}

/** struct btf_record. Offsets are -22 (-EINVAL) where there is no such field, as messages show them. */
export interface BtfRecord {
  readonly mask: number;
  /** By rising offset. */
  readonly fields: readonly BtfField[];
  readonly spinLockOff: number;
  readonly resSpinLockOff: number;
  readonly timerOff: number;
  readonly wqOff: number;
  readonly taskWorkOff: number;
  readonly refcountOff: number;
}

interface Found {
  type: number;
  off: number;
  id: number;
  nodeName: string;
}

/** The kernel's BTF_FIELDS_MAX. */
const MAX_FIELDS = 11;
const MAX_DEPTH = 32;

/** A record that the kernel would refuse: the map or the BTF could not have been created so. */
class BadRecord extends Error {}

interface Search {
  readonly btf: Btf;
  readonly mask: number;
  seen: number;
}

function fieldType(s: Search, id: number): number {
  const name = s.btf.typeName(id);
  const type = isStructKind(s.btf, id) ? fieldOfStruct(name) : 0;
  if ((type & s.mask) !== 0) {
    if ((type & SINGLE_FIELDS) !== 0) {
      if ((s.seen & type) !== 0) throw new BadRecord();
      s.seen |= type;
    }
    return type;
  }
  return (s.mask & F.BPF_KPTR) !== 0 && !isStruct(s.btf, id) ? F.BPF_KPTR_REF : 0;
}

function isStructKind(btf: Btf, id: number): boolean {
  const kind = btf.kind(id);
  return kind === BTF_KIND_STRUCT || kind === BTF_KIND_UNION;
}

/** A pointer with a kptr tag, and to what: btf_find_kptr(). */
function findKptr(btf: Btf, start: number): { type: number; id: number } | null {
  let at = start;
  if (btf.kind(at) === BTF_KIND_VOLATILE) at = btf.sizeOrType(at);
  if (btf.kind(at) !== 2 /* PTR */) return null;
  at = btf.sizeOrType(at);
  if (btf.kind(at) !== BTF_KIND_TYPE_TAG) return null;
  const type = F.KPTR_TAGS[btf.typeName(at)];
  const next = btf.sizeOrType(at);
  if (btf.kind(next) === BTF_KIND_TYPE_TAG || type === undefined) throw new BadRecord();
  const id = btf.skipModifiers(next);
  if (!isStruct(btf, id)) throw new BadRecord();
  return { type, id };
}

const declTags = new WeakMap<Btf, Map<string, string[]>>();

/** Declaration tags of a type's member, or of a variable (-1). */
function tagsOf(btf: Btf, id: number, component: number): readonly string[] {
  let all = declTags.get(btf);
  if (all === undefined) {
    all = new Map();
    for (let i = btf.startId; i < btf.typeCount; i++) {
      if (btf.kind(i) !== BTF_KIND_DECL_TAG) continue;
      const tag = typeOf(btf, i);
      if (tag.kind !== BTF_KIND_DECL_TAG) continue;
      const key = `${tag.type} ${tag.componentIndex}`;
      const list = all.get(key);
      if (list === undefined) all.set(key, [tag.name]);
      else list.push(tag.name);
    }
    declTags.set(btf, all);
  }
  return all.get(`${id} ${component}`) ?? [];
}

/** `tagValues(btf, func, arg, "arg:")`: what stands behind that prefix in the tags. */
export function tagValues(btf: Btf, id: number, component: number, prefix: string): string[] {
  return tagsOf(btf, id, component)
    .filter((tag) => tag.startsWith(prefix))
    .map((tag) => tag.slice(prefix.length));
}

function findOne(
  s: Search,
  owner: number,
  typeId: number,
  component: number,
  off: number,
  expected: number,
  depth: number,
): Found[] {
  const { btf } = s;
  let nelems = 1;
  let id = typeId;
  for (let i = 0; btf.kind(id) === BTF_KIND_ARRAY; i++) {
    if (i === MAX_DEPTH) throw new BadRecord();
    const array = typeOf(btf, id);
    if (array.kind !== BTF_KIND_ARRAY) break;
    nelems *= array.nelems;
    id = array.type;
  }
  if (nelems === 0) return [];
  const type = fieldType(s, id);
  if (type === 0) {
    if (!isStruct(btf, id)) return [];
    const size = btf.sizeOrType(id);
    if (expected !== 0 && expected !== size * nelems) return [];
    if (depth + 1 >= MAX_DEPTH) throw new BadRecord();
    const inner = findInStruct(s, id, depth + 1);
    for (const f of inner) f.off += off;
    return repeat(inner, nelems, size);
  }
  const { size, align } = FIELDS.get(type)!;
  if (expected !== 0 && expected !== size * nelems) return [];
  if (off % align !== 0) return [];
  const found: Found = { type, off, id: 0, nodeName: "" };
  if ((type & F.BPF_KPTR) !== 0) {
    const kptr = findKptr(btf, id);
    if (kptr === null) return [];
    found.type = kptr.type;
    found.id = kptr.id;
  } else {
    if (!isStruct(btf, id) || btf.sizeOrType(id) !== size) return [];
    if ((type & F.BPF_GRAPH_ROOT) !== 0) {
      const tags = tagValues(btf, owner, component, "contains:");
      if (tags.length !== 1) throw new BadRecord();
      const colon = tags[0]!.indexOf(":");
      if (colon < 0 || colon === tags[0]!.length - 1) throw new BadRecord();
      found.id = findId(btf, tags[0]!.slice(0, colon), BTF_KIND_STRUCT);
      found.nodeName = tags[0]!.slice(colon + 1);
      if (found.id === 0) throw new BadRecord();
    }
  }
  return repeat([found], nelems, size);
}

/** The fields of an array's elements: btf_repeat_fields(). */
function repeat(fields: Found[], nelems: number, size: number): Found[] {
  if (nelems <= 1 || fields.length === 0) return fields;
  if (fields.some((f) => (f.type & F.REPEATABLE_FIELDS) === 0)) throw new BadRecord();
  if (fields.length * nelems > MAX_FIELDS) throw new BadRecord();
  const out: Found[] = [];
  for (let i = 0; i < nelems; i++) for (const f of fields) out.push({ ...f, off: f.off + i * size });
  return out;
}

function findInStruct(s: Search, id: number, depth: number): Found[] {
  const out: Found[] = [];
  const members = membersOf(s.btf, id);
  for (let i = 0; i < members.length; i++) {
    const { bitOffset, type } = members[i]!;
    // Bit fields may lie anywhere, and hold nothing special.
    if (bitOffset % 8 !== 0) {
      if (members[i]!.bitSize !== 0) continue;
      throw new BadRecord();
    }
    out.push(...findOne(s, id, type, i, bitOffset / 8, 0, depth));
  }
  return out;
}

function find(btf: Btf, id: number, mask: number): Found[] {
  const s: Search = { btf, mask, seen: 0 };
  const type = typeOf(btf, id);
  if (type.kind === BTF_KIND_STRUCT) return findInStruct(s, id, 0);
  if (type.kind !== BTF_KIND_DATASEC) throw new BadRecord();
  const out: Found[] = [];
  for (const v of type.vars) out.push(...findOne(s, v.type, btf.sizeOrType(v.type), -1, v.offset, v.size, 0));
  return out;
}

function completeKptr(env: Env, btf: Btf, f: Found): { kptrBtf: Btf; kptrId: number } {
  const name = btf.typeName(f.id);
  if (f.type === F.BPF_UPTR) return { kptrBtf: btf, kptrId: f.id };
  const kernels = [env.kernelBtf, ...(env.input.moduleBtfs ?? [])];
  for (const kernel of kernels) {
    const id = findId(kernel, name, BTF_KIND_STRUCT);
    if (kernel === null || id === 0) continue;
    if (f.type === F.BPF_KPTR_REF && !KPTR_DTORS.has(name)) throw new BadRecord();
    return { kptrBtf: kernel, kptrId: id };
  }
  return { kptrBtf: btf, kptrId: f.id };
}

function completeRoot(btf: Btf, f: Found): number {
  const node = f.type === F.BPF_LIST_HEAD ? "bpf_list_node" : "bpf_rb_node";
  const members = membersOf(btf, f.id).filter((m) => m.name === f.nodeName);
  const member = members[0];
  if (members.length !== 1 || member === undefined || !isStruct(btf, member.type)) throw new BadRecord();
  if (btf.typeName(member.type) !== node || member.bitOffset % 64 !== 0) throw new BadRecord();
  return member.bitOffset / 8;
}

/** btf_parse_fields(); null: there are none, or the kernel would refuse them. */
function parseFields(env: Env, btf: Btf, id: number, mask: number, valueSize: number): BtfRecord | null {
  const found = find(btf, id, mask);
  if (found.length === 0) return null;
  if (found.length > MAX_FIELDS) throw new BadRecord();
  let next = 0;
  let all = 0;
  const fields: BtfField[] = [];
  for (const f of found) {
    const { size } = FIELDS.get(f.type)!;
    if (f.off + size > valueSize || f.off < next) throw new BadRecord();
    next = f.off + size;
    all |= f.type;
    const kptr = (f.type & F.BPF_KPTR) !== 0 ? completeKptr(env, btf, f) : { kptrBtf: null, kptrId: 0 };
    const root = (f.type & F.BPF_GRAPH_ROOT) !== 0;
    fields.push({
      type: f.type,
      offset: f.off,
      size,
      ...kptr,
      rootBtf: root ? btf : null,
      valueId: root ? f.id : 0,
      nodeOffset: root ? completeRoot(btf, f) : 0,
    });
  }
  const offsetOf = (type: number): number => fields.find((f) => f.type === type)?.offset ?? -22;
  const record: BtfRecord = {
    mask: all,
    fields: fields.sort((a, b) => a.offset - b.offset),
    spinLockOff: offsetOf(F.BPF_SPIN_LOCK),
    resSpinLockOff: offsetOf(F.BPF_RES_SPIN_LOCK),
    timerOff: offsetOf(F.BPF_TIMER),
    wqOff: offsetOf(F.BPF_WORKQUEUE),
    taskWorkOff: offsetOf(F.BPF_TASK_WORK),
    refcountOff: offsetOf(F.BPF_REFCOUNT),
  };
  if ((all & (F.BPF_SPIN_LOCK | F.BPF_RES_SPIN_LOCK)) === (F.BPF_SPIN_LOCK | F.BPF_RES_SPIN_LOCK))
    throw new BadRecord();
  if ((all & F.BPF_GRAPH_ROOT) !== 0 && record.spinLockOff < 0 && record.resSpinLockOff < 0)
    throw new BadRecord();
  if (record.refcountOff < 0 && (all & F.BPF_LIST_NODE) !== 0 && (all & F.BPF_RB_NODE) !== 0)
    throw new BadRecord();
  return record;
}

/** btf_parse_struct_metas() for one struct: only those with a special field directly in them count. */
function parseStruct(env: Env, btf: Btf, id: number): BtfRecord | null {
  if (!isStruct(btf, id)) return null;
  const direct = membersOf(btf, id).some((m) => {
    if (isStruct(btf, m.type)) return (fieldOfStruct(btf.typeName(m.type)) & F.OBJECT_FIELDS) !== 0;
    try {
      return findKptr(btf, m.type) !== null;
    } catch (e) {
      if (e instanceof BadRecord) return false;
      throw e;
    }
  });
  return direct ? parseFields(env, btf, id, F.OBJECT_FIELDS, btf.sizeOrType(id)) : null;
}

interface Cache {
  readonly maps: Map<MapDescription, BtfRecord | null>;
  readonly structs: Map<Btf, Map<number, BtfRecord | null>>;
}
const caches = new WeakMap<Env, Cache>();

function cacheOf(env: Env): Cache {
  let cache = caches.get(env);
  if (cache === undefined) {
    cache = { maps: new Map(), structs: new Map() };
    caches.set(env, cache);
  }
  return cache;
}

function orNull(parse: () => BtfRecord | null): BtfRecord | null {
  try {
    return parse();
  } catch (e) {
    if (e instanceof BadRecord) return null;
    throw e;
  }
}

/** What is special in the values of `map`: map->record. */
export function mapRecord(env: Env, map: MapDescription): BtfRecord | null {
  const { maps } = cacheOf(env);
  let record = maps.get(map);
  if (record === undefined) {
    const { btf, btfValueTypeId } = map;
    record =
      btf === null || btfValueTypeId === 0
        ? null
        : orNull(() => {
            const id = btf.skipModifiers(btfValueTypeId);
            const kind = btf.kind(id);
            if (kind !== BTF_KIND_STRUCT && kind !== BTF_KIND_DATASEC) return null;
            return parseFields(env, btf, id, F.MAP_VALUE_FIELDS, map.valueSize);
          });
    maps.set(map, record);
  }
  return record;
}

/** What is special in objects of a program's own struct: btf_find_struct_meta(). */
export function structRecord(env: Env, btf: Btf | null, id: number): BtfRecord | null {
  if (btf === null || isKernelBtf(env, btf)) return null;
  const { structs } = cacheOf(env);
  let known = structs.get(btf);
  if (known === undefined) {
    known = new Map();
    structs.set(btf, known);
  }
  let record = known.get(id);
  if (record === undefined) {
    record = orNull(() => parseStruct(env, btf, id));
    known.set(id, record);
  }
  return record;
}

/** btf_record_has_field(). */
export function hasField(record: BtfRecord | null, types: number): boolean {
  return record !== null && (record.mask & types) !== 0;
}

/** The field that lies exactly at `offset`: btf_record_find(). */
export function findField(record: BtfRecord | null, offset: number, types: number): BtfField | null {
  if (record === null || (record.mask & types) === 0) return null;
  const field = record.fields.find((f) => f.offset === offset);
  return field !== undefined && (field.type & types) !== 0 ? field : null;
}
