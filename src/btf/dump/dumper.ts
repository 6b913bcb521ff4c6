/**
 * Types as C: each definition once, after what it needs, with forward declarations where a name is enough. Answers
 * btf_dump__dump_type of libbpf's btf_dump.c (6.12).
 */
import { BtfError } from "../../diag/index.ts";
import type { Btf } from "../btf.ts";
import {
  BTF_KIND_ARRAY,
  BTF_KIND_CONST,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_RESTRICT,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_KIND_VOLATILE,
} from "../constants.ts";
import { validateBtf } from "../validate.ts";
import { Declarations } from "./declare.ts";
import type { Composite } from "./layout.ts";
import { MAX_NESTING, Order } from "./order.ts";
import { DumpWriter } from "./writer.ts";

const EMITTING = 1;
const EMITTED = 2;

/** GCC's names for Arm's vector elements, which headers do not define. */
const MISSING_TYPES: Readonly<Record<string, string>> = {
  __Poly8_t: "unsigned char",
  __Poly16_t: "unsigned short",
  __Poly64_t: "unsigned long long",
  __Poly128_t: "unsigned __int128",
};

export class BtfDumper {
  readonly #btf: Btf;
  readonly #out: DumpWriter;
  readonly #order: Order;
  readonly #declarations: Declarations;
  readonly #state: Uint8Array;
  /** A forward declaration stands already; of a typedef: the typedef itself. */
  readonly #forwarded: Uint8Array;
  #steps: number;

  /** Throws BtfError for a BTF whose types refer to what is not there. */
  constructor(btf: Btf) {
    validateBtf(btf);
    this.#btf = btf;
    this.#out = new DumpWriter(btf.bytes.length + (btf.base?.bytes.length ?? 0));
    this.#order = new Order(btf);
    this.#declarations = new Declarations(btf, this.#out);
    this.#state = new Uint8Array(btf.typeCount);
    this.#state[0] = EMITTED;
    this.#forwarded = new Uint8Array(btf.typeCount);
    this.#steps = 1_000_000 + 1000 * btf.typeCount;
  }

  /** The definitions that the type needs and that were not dumped yet. Throws BtfError for types that C cannot have. */
  type(id: number): string {
    for (const definition of this.#order.definitions(id)) this.#emit(definition, 0, 0);
    return this.#out.take();
  }

  /** `TYPE name`. */
  declaration(id: number, name: string): string {
    this.#declarations.declare(id, name, 0);
    return this.#out.take();
  }

  /** What a struct, union or enum is called in C: its name, numbered where others have it, too. */
  tag(id: number): string {
    return this.#declarations.names.tag(id);
  }

  /** `container`: the struct, union or typedef being defined that needs this one; 0: it is itself to be defined. */
  #emit(id: number, container: number, depth: number): void {
    const btf = this.#btf;
    if (this.#state[id] === EMITTED) return;
    if (depth > MAX_NESTING || --this.#steps < 0) throw new BtfError("types nest too deep", { typeId: id });
    const kind = btf.kind(id);
    if (this.#state[id] === EMITTING) {
      this.#again(id, kind, container);
      return;
    }
    switch (kind) {
      case BTF_KIND_INT: {
        const alias = MISSING_TYPES[btf.typeName(id)];
        if (alias !== undefined) this.#out.write(`typedef ${alias} ${this.#declarations.names.tag(id)};\n\n`);
        this.#state[id] = EMITTED;
        return;
      }
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64:
        if (container === 0) {
          this.#declarations.defineEnum(id, 0);
          this.#out.write(";\n\n");
        }
        this.#state[id] = EMITTED;
        return;
      case BTF_KIND_PTR:
      case BTF_KIND_VOLATILE:
      case BTF_KIND_CONST:
      case BTF_KIND_RESTRICT:
      case BTF_KIND_TYPE_TAG:
        this.#emit(btf.sizeOrType(id), container, depth + 1);
        return;
      case BTF_KIND_ARRAY:
        this.#emit(btf.arrayElement(id), container, depth + 1);
        return;
      case BTF_KIND_FWD:
        this.#out.write(`${this.#declarations.forward(id)};\n\n`);
        this.#state[id] = EMITTED;
        return;
      case BTF_KIND_TYPEDEF:
        this.#state[id] = EMITTING;
        this.#emit(btf.sizeOrType(id), id, depth + 1);
        if (this.#forwarded[id] === 0) this.#typedef(id);
        this.#state[id] = EMITTED;
        return;
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION:
        this.#composite(id, container, depth);
        return;
      case BTF_KIND_FUNC_PROTO: {
        this.#emit(btf.sizeOrType(id), container, depth + 1);
        const type = btf.type(id);
        if ("params" in type) for (const param of type.params) this.#emit(param.type, container, depth + 1);
        return;
      }
      default:
    }
  }

  /** Met while it is being written itself. */
  #again(id: number, kind: number, container: number): void {
    if (this.#forwarded[id] === 1) return;
    if (kind === BTF_KIND_TYPEDEF) {
      this.#typedef(id);
      this.#forwarded[id] = 1;
    } else if (kind === BTF_KIND_STRUCT || kind === BTF_KIND_UNION) {
      if (id !== container && this.#btf.nameOffset(id) !== 0) this.#forward(id);
    }
  }

  #composite(id: number, container: number, depth: number): void {
    const anonymous = this.#btf.nameOffset(id) === 0;
    this.#state[id] = EMITTING;
    if (container === 0 || anonymous) {
      const { members } = this.#btf.type(id) as Composite;
      for (const member of members) this.#emit(member.type, anonymous ? container : id, depth + 1);
    } else if (this.#forwarded[id] === 0 && id !== container) this.#forward(id);
    if (container !== 0) {
      this.#state[id] = 0;
      return;
    }
    this.#declarations.defineComposite(id, 0);
    this.#out.write(";\n\n");
    this.#state[id] = EMITTED;
  }

  #forward(id: number): void {
    this.#out.write(`${this.#declarations.forward(id)};\n\n`);
    this.#forwarded[id] = 1;
  }

  #typedef(id: number): void {
    // Every compiler has its own.
    if (this.#btf.typeName(id) === "__builtin_va_list") return;
    this.#declarations.defineTypedef(id);
    this.#out.write(";\n\n");
  }
}
