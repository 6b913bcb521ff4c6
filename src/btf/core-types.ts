/** Do two types stand for the same thing? (bpf_core_types_are_compat, bpf_core_types_match of libbpf's relo_core.c) */
import { BtfError } from "../diag/index.ts";
import type { Btf } from "./btf.ts";
import {
  BTF_INT_SIGNED,
  BTF_KIND_ARRAY,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_STRUCT,
  BTF_KIND_UNION,
  BTF_KIND_UNKN,
} from "./constants.ts";
import type { BtfType } from "./types.ts";

const MAX_DEPTH = 32;

/** A name without its `___flavor`. */
export function essentialName(name: string): string {
  return /^(.*[^_])___[^_]/s.exec(name)?.[1] ?? name;
}

export function isEnum(kind: number): boolean {
  return kind === BTF_KIND_ENUM || kind === BTF_KIND_ENUM64;
}

export function isComposite(kind: number): boolean {
  return kind === BTF_KIND_STRUCT || kind === BTF_KIND_UNION;
}

/** The same kind, or both enums. */
export function kindsCompatible(a: number, b: number): boolean {
  return a === b || (isEnum(a) && isEnum(b));
}

function tooDeep(btf: Btf, id: number): never {
  throw new BtfError(`types of '${btf.typeName(id)}' nest deeper than ${MAX_DEPTH}`, { typeId: id });
}

/** Compatible for use: kinds agree all the way down; names and sizes below the root do not matter. */
export function typesCompatible(
  local: Btf,
  localId: number,
  target: Btf,
  targetId: number,
  level: number = MAX_DEPTH,
): boolean {
  if (!kindsCompatible(local.kind(localId), target.kind(targetId))) return false;
  let l = localId;
  let t = targetId;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const lt = local.type(local.skipModifiers(l));
    const tt = target.type(target.skipModifiers(t));
    if (!kindsCompatible(lt.kind, tt.kind)) return false;
    if (lt.kind === BTF_KIND_PTR && tt.kind === BTF_KIND_PTR) {
      l = lt.type;
      t = tt.type;
    } else if (lt.kind === BTF_KIND_ARRAY && tt.kind === BTF_KIND_ARRAY) {
      l = lt.type;
      t = tt.type;
    } else if (lt.kind === BTF_KIND_FUNC_PROTO && tt.kind === BTF_KIND_FUNC_PROTO) {
      if (lt.params.length !== tt.params.length) return false;
      for (const [i, p] of lt.params.entries()) {
        if (level <= 0) tooDeep(local, localId);
        const lp = local.skipModifiers(p.type);
        if (!typesCompatible(local, lp, target, target.skipModifiers(tt.params[i]!.type), level - 1))
          return false;
      }
      l = lt.type;
      t = tt.type;
    } else if (lt.kind === BTF_KIND_INT && tt.kind === BTF_KIND_INT)
      return lt.bitOffset === 0 && tt.bitOffset === 0;
    else
      return lt.kind === BTF_KIND_UNKN || isComposite(lt.kind) || isEnum(lt.kind) || lt.kind === BTF_KIND_FWD;
  }
  return tooDeep(local, localId);
}

/** Compatible as a member that is read: looser than types that are used whole. */
export function fieldsCompatible(local: Btf, localId: number, target: Btf, targetId: number): boolean {
  let l = localId;
  let t = targetId;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const lt = local.type(local.skipModifiers(l));
    const tt = target.type(target.skipModifiers(t));
    if (isComposite(lt.kind) && isComposite(tt.kind)) return true;
    if (!kindsCompatible(lt.kind, tt.kind)) return false;
    if (lt.kind === BTF_KIND_PTR || lt.kind === BTF_KIND_FLOAT) return true;
    if (lt.kind === BTF_KIND_FWD || isEnum(lt.kind)) {
      const ln = essentialName(lt.name);
      const tn = essentialName(tt.name);
      return ln === "" || tn === "" || ln === tn;
    }
    if (lt.kind === BTF_KIND_INT && tt.kind === BTF_KIND_INT) return lt.bitOffset === 0 && tt.bitOffset === 0;
    if (lt.kind !== BTF_KIND_ARRAY || tt.kind !== BTF_KIND_ARRAY) return false;
    l = lt.type;
    t = tt.type;
  }
  return tooDeep(local, localId);
}

function namesMatch(local: string, target: string): boolean {
  return target === "" ? local === "" : essentialName(local) === essentialName(target);
}

/** Match (BPF_CORE_TYPE_MATCHES): every part of the local type is there in the target, by name and kind. */
export function typesMatch(
  local: Btf,
  localId: number,
  target: Btf,
  targetId: number,
  behindPointer = false,
  level: number = MAX_DEPTH,
): boolean {
  if (level <= 0) tooDeep(local, localId);
  let l = localId;
  let t = targetId;
  let pointed = behindPointer;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const lt = local.type(local.skipModifiers(l));
    const tt = target.type(target.skipModifiers(t));
    const bothVoid = lt.kind === BTF_KIND_UNKN && tt.kind === BTF_KIND_UNKN;
    if (!bothVoid && !namesMatch(lt.kind === 0 ? "" : lt.name, tt.kind === 0 ? "" : tt.name)) return false;
    switch (lt.kind) {
      case BTF_KIND_UNKN:
        return tt.kind === BTF_KIND_UNKN;
      case BTF_KIND_FWD:
        if (tt.kind === BTF_KIND_FWD) return lt.union === tt.union;
        return pointed && tt.kind === (lt.union ? BTF_KIND_UNION : BTF_KIND_STRUCT);
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64: {
        if (tt.kind !== BTF_KIND_ENUM && tt.kind !== BTF_KIND_ENUM64) return false;
        const names = new Set(tt.values.map((v) => essentialName(v.name)));
        return lt.size === tt.size && lt.values.every((v) => names.has(essentialName(v.name)));
      }
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION:
        if (pointed) {
          if (lt.kind === tt.kind) return true;
          return tt.kind === BTF_KIND_FWD && (lt.kind === BTF_KIND_UNION) === tt.union;
        }
        return lt.kind === tt.kind && membersMatch(local, lt, target, tt, level);
      case BTF_KIND_INT:
        if (tt.kind !== BTF_KIND_INT || lt.size !== tt.size) return false;
        return (lt.encoding & BTF_INT_SIGNED) === (tt.encoding & BTF_INT_SIGNED);
      case BTF_KIND_PTR:
        if (tt.kind !== BTF_KIND_PTR) return false;
        pointed = true;
        l = lt.type;
        t = tt.type;
        break;
      case BTF_KIND_ARRAY:
        if (tt.kind !== BTF_KIND_ARRAY || lt.nelems !== tt.nelems) return false;
        l = lt.type;
        t = tt.type;
        break;
      case BTF_KIND_FUNC_PROTO:
        if (tt.kind !== BTF_KIND_FUNC_PROTO || lt.params.length !== tt.params.length) return false;
        for (const [i, p] of lt.params.entries())
          if (!typesMatch(local, p.type, target, tt.params[i]!.type, pointed, level - 1)) return false;
        l = lt.type;
        t = tt.type;
        break;
      default:
        return false;
    }
  }
  return tooDeep(local, localId);
}

type Composite = Extract<BtfType, { members: unknown }>;

function membersMatch(local: Btf, lt: Composite, target: Btf, tt: Composite, level: number): boolean {
  if (lt.members.length > tt.members.length) return false;
  return lt.members.every((lm) =>
    tt.members.some(
      (tm) => namesMatch(lm.name, tm.name) && typesMatch(local, lm.type, target, tm.type, false, level - 1),
    ),
  );
}
