/**
 * What lies at an offset of a struct: a number, a pointer to another struct, a struct inside. btf_struct_walk(),
 * btf_struct_access() and btf_struct_ids_match() of the kernel's btf.c.
 */
import { BTF_KIND_TYPE_TAG, BTF_KIND_UNION, type Btf } from "../../btf/index.ts";
import { EACCES, EFAULT, EINVAL } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import type { RegState } from "../state/reg.ts";
import { typeIsAlloc } from "../state/reg-kind.ts";
import {
  MEM_PERCPU,
  MEM_RCU,
  MEM_RDONLY,
  MEM_USER,
  PTR_TO_BTF_ID,
  PTR_TO_MEM,
  PTR_UNTRUSTED,
  SCALAR_VALUE,
} from "../state/reg-type.ts";
import { structRecord } from "./btf-record.ts";
import {
  findId,
  isArray,
  isInt,
  isPtr,
  isStructOrUnion,
  membersOf,
  sameType,
  sizeOf,
  typeOf,
} from "./btf-types.ts";
import { fieldTypeName } from "./field-types.ts";

export const WALK_SCALAR = 0;
export const WALK_PTR = 1;
export const WALK_STRUCT = 2;
/** A pointer to something that is no struct: an untrusted read-only memory since 6.17. */
export const WALK_PTR_UNTRUSTED = 3;

/** Outcome of one step: WALK_*, or a negative errno (with its message logged). */
export interface Walk {
  kind: number;
  id: number;
  flags: number;
  fieldName: string;
}

const TAGS: Readonly<Record<string, number>> = { user: MEM_USER, percpu: MEM_PERCPU, rcu: MEM_RCU };

function fail(env: Env | null, out: Walk, errno: number, message: string): Walk {
  env?.verbose(`${message}\n`);
  out.kind = -errno;
  return out;
}

/** btf_struct_walk(): one struct. `out.flags` gathers PTR_UNTRUSTED and tags over the steps. */
export function btfStructWalk(
  env: Env,
  btf: Btf,
  start: number,
  at: number,
  size: number,
  out: Walk,
  flexArrays: boolean,
): Walk {
  let id = start;
  let off = at;
  for (;;) {
    id = btf.skipModifiers(id);
    const name = btf.typeName(id);
    if (!isStructOrUnion(btf, id)) return fail(env, out, EINVAL, `Type '${name}' is not a struct`);
    const members = membersOf(btf, id);
    const total = btf.sizeOrType(id);
    if (btf.kind(id) === BTF_KIND_UNION && members.length !== 1) out.flags |= PTR_UNTRUSTED;

    if (off + size > total) {
      // A flexible array at the end goes on and on.
      const last = flexArrays ? members[members.length - 1] : undefined;
      const array = last === undefined ? null : typeOf(btf, btf.skipModifiers(last.type));
      const moff = last === undefined ? 0 : last.bitOffset >>> 3;
      if (
        array !== null &&
        isArray(btf, array.id) &&
        "nelems" in array &&
        array.nelems === 0 &&
        off >= moff
      ) {
        const elem = btf.skipModifiers(array.type);
        if (isInt(btf, elem)) {
          out.kind = WALK_SCALAR;
          return out;
        }
        if (isStructOrUnion(btf, elem) && btf.sizeOrType(elem) !== 0) {
          off = (off - moff) % btf.sizeOrType(elem);
          id = elem;
          continue;
        }
      }
      return fail(env, out, EACCES, `access beyond struct ${name} at off ${off >>> 0} size ${size}`);
    }

    const next = walkMembers(env, btf, id, off, size, out);
    if (next === null) return out;
    id = next.id;
    off = next.off;
  }
}

function walkMembers(
  env: Env,
  btf: Btf,
  id: number,
  off: number,
  size: number,
  out: Walk,
): { id: number; off: number } | null {
  const structName = btf.typeName(id);
  for (const member of membersOf(btf, id)) {
    let moff = member.bitOffset >>> 3;
    if (off + size <= moff) break;
    if (member.bitSize !== 0) {
      const end = (member.bitOffset + member.bitSize + 7) >>> 3;
      if (off <= moff && end <= off + size) {
        out.kind = WALK_SCALAR;
        return null;
      }
      continue;
    }
    if (off < moff) break;
    let mid = btf.skipModifiers(member.type);
    const fullSize = sizeOf(btf, mid);
    if (fullSize < 0) {
      fail(env, out, EFAULT, `field ${member.name} doesn't have size`);
      return null;
    }
    const end = moff + fullSize;
    if (off >= end) continue;
    let elemSize = fullSize;
    if (isArray(btf, mid)) {
      // Arrays of arrays count as one array of the innermost elements.
      while (isArray(btf, mid)) mid = btf.skipModifiers((typeOf(btf, mid) as { type: number }).type);
      elemSize = sizeOf(btf, mid);
      moff += Math.floor((off - moff) / elemSize) * elemSize;
    }
    if (isStructOrUnion(btf, mid)) {
      if (off === moff) {
        out.id = mid;
        out.kind = WALK_STRUCT;
        return null;
      }
      return { id: mid, off: off - moff };
    }
    if (isPtr(btf, mid)) {
      if (elemSize !== size || off !== moff) {
        fail(
          env,
          out,
          EACCES,
          `cannot access ptr member ${member.name} with moff ${moff} in struct ${structName} with off ${off} size ${size}`,
        );
        return null;
      }
      const target = btf.sizeOrType(mid);
      const type = typeOf(btf, target);
      const tag = type.kind === BTF_KIND_TYPE_TAG ? (TAGS[type.name] ?? 0) : 0;
      const pointee = btf.skipModifiers(target);
      if (isStructOrUnion(btf, pointee)) {
        out.id = pointee;
        out.flags |= tag;
        out.fieldName = member.name;
        out.kind = WALK_PTR;
        return null;
      }
      if (env.profile.rules.has("untrusted-mem-pointers")) {
        out.kind = WALK_PTR_UNTRUSTED;
        return null;
      }
    }
    if (off + size > end && (out.flags & PTR_UNTRUSTED) === 0) {
      fail(
        env,
        out,
        EACCES,
        `access beyond the end of member ${member.name} (mend:${end}) in struct ${structName} with off ${off} size ${size}`,
      );
      return null;
    }
    out.kind = WALK_SCALAR;
    return null;
  }
  fail(env, out, EINVAL, `struct ${structName} doesn't have field at offset ${off}`);
  return null;
}

/** What a load gives: SCALAR_VALUE, PTR_TO_BTF_ID (to `id`), PTR_TO_MEM with flags, or a negative errno. */
export interface StructAccess {
  type: number;
  id: number;
  flags: number;
  fieldName: string;
}

/** btf_struct_access(). */
export function btfStructAccess(
  env: Env,
  btf: Btf,
  id: number,
  regType: number,
  off: number,
  size: number,
): StructAccess {
  const alloc = typeIsAlloc(regType);
  if (alloc) {
    for (const field of structRecord(env, btf, id)?.fields ?? [])
      if (off < field.offset + field.size && field.offset < off + size) {
        env.verbose(`direct access to ${fieldTypeName(field.type)} is disallowed\n`);
        return { type: -EACCES, id: 0, flags: 0, fieldName: "" };
      }
  }
  const walk: Walk = { kind: 0, id, flags: 0, fieldName: "" };
  let at = off;
  for (;;) {
    btfStructWalk(env, btf, walk.id, at, size, walk, !alloc);
    switch (walk.kind) {
      case WALK_PTR:
        // A program's own object holds no pointers that could be followed.
        return alloc
          ? { type: SCALAR_VALUE, id: 0, flags: 0, fieldName: "" }
          : { type: PTR_TO_BTF_ID, id: walk.id, flags: walk.flags, fieldName: walk.fieldName };
      case WALK_PTR_UNTRUSTED:
        return { type: PTR_TO_MEM, id: 0, flags: MEM_RDONLY | PTR_UNTRUSTED, fieldName: "" };
      case WALK_SCALAR:
        return { type: SCALAR_VALUE, id: 0, flags: 0, fieldName: "" };
      case WALK_STRUCT:
        at = 0;
        break;
      default:
        return { type: walk.kind, id: 0, flags: 0, fieldName: "" };
    }
  }
}

/** Whether a pointer into a struct is (also) a pointer to the type needed. btf_struct_ids_match(). */
export function btfStructIdsMatch(
  env: Env,
  btf: Btf | null,
  id: number,
  off: number,
  needBtf: Btf | null,
  needId: number,
  strict: boolean,
  flexArrays: boolean,
): boolean {
  if (btf === null || needBtf === null) return false;
  if (off === 0 && sameType(btf, id, needBtf, needId)) return true;
  if (strict) return false;
  const walk: Walk = { kind: 0, id, flags: 0, fieldName: "" };
  let at = off;
  do {
    btfStructWalk(env, btf, walk.id, at, 1, walk, flexArrays);
    if (walk.kind !== WALK_STRUCT) return false;
    at = 0;
  } while (!sameType(btf, walk.id, needBtf, needId));
  return true;
}

/** Is the field listed in the kernel's own table of safe ones, a type named `<struct><suffix>`? btf_nested_type_is_trusted(). */
export function isListedField(reg: RegState, fieldName: string, id: number, suffix: string): boolean {
  const btf = reg.btf;
  if (btf === null) return false;
  const safe = findId(btf, btf.typeName(reg.btfId) + suffix, btf.kind(reg.btfId));
  return (
    safe !== 0 &&
    membersOf(btf, safe).some(
      (m) => m.name === fieldName && isPtr(btf, m.type) && btf.skipModifiers(btf.sizeOrType(m.type)) === id,
    )
  );
}
