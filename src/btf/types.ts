/** One type, decoded on demand. `kind` is a BTF_KIND_*; ids of other types are as stored, 0 = void. */
import type {
  BTF_KIND_ARRAY,
  BTF_KIND_CONST,
  BTF_KIND_DATASEC,
  BTF_KIND_DECL_TAG,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_RESTRICT,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_KIND_UNKN,
  BTF_KIND_VAR,
  BTF_KIND_VOLATILE,
} from "./constants.ts";

export interface BtfMember {
  readonly name: string;
  readonly type: number;
  readonly bitOffset: number;
  /** 0: not a bit field. */
  readonly bitSize: number;
}

export interface BtfEnumerator {
  readonly name: string;
  /** Sign-extended where the enum is signed; a bigint for ENUM64. */
  readonly value: number | bigint;
}

export interface BtfParam {
  readonly name: string;
  readonly type: number;
}

export interface BtfVarSecinfo {
  readonly type: number;
  readonly offset: number;
  readonly size: number;
}

interface Named {
  readonly id: number;
  readonly name: string;
}

export type BtfType = Named &
  (
    | { readonly kind: typeof BTF_KIND_UNKN }
    | {
        readonly kind: typeof BTF_KIND_INT;
        readonly size: number;
        /** BTF_INT_* bits. */
        readonly encoding: number;
        readonly bitOffset: number;
        readonly bits: number;
      }
    | {
        readonly kind:
          | typeof BTF_KIND_PTR
          | typeof BTF_KIND_TYPEDEF
          | typeof BTF_KIND_VOLATILE
          | typeof BTF_KIND_CONST
          | typeof BTF_KIND_RESTRICT
          | typeof BTF_KIND_TYPE_TAG;
        readonly type: number;
      }
    | {
        readonly kind: typeof BTF_KIND_ARRAY;
        readonly type: number;
        readonly indexType: number;
        readonly nelems: number;
      }
    | {
        readonly kind: typeof BTF_KIND_STRUCT | typeof BTF_KIND_UNION;
        readonly size: number;
        readonly members: readonly BtfMember[];
      }
    | {
        readonly kind: typeof BTF_KIND_ENUM | typeof BTF_KIND_ENUM64;
        readonly size: number;
        readonly signed: boolean;
        readonly values: readonly BtfEnumerator[];
      }
    | { readonly kind: typeof BTF_KIND_FWD; readonly union: boolean }
    | { readonly kind: typeof BTF_KIND_FUNC; readonly type: number; readonly linkage: number }
    | {
        readonly kind: typeof BTF_KIND_FUNC_PROTO;
        readonly type: number;
        readonly params: readonly BtfParam[];
      }
    | { readonly kind: typeof BTF_KIND_VAR; readonly type: number; readonly linkage: number }
    | {
        readonly kind: typeof BTF_KIND_DATASEC;
        readonly size: number;
        readonly vars: readonly BtfVarSecinfo[];
      }
    | { readonly kind: typeof BTF_KIND_FLOAT; readonly size: number }
    | { readonly kind: typeof BTF_KIND_DECL_TAG; readonly type: number; readonly componentIndex: number }
  );
