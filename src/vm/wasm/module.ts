import { WasmBytes } from "./bytes.ts";
import { FUNCREF, OP_END, OP_I32_CONST } from "./opcodes.ts";

const SECTION_TYPE = 1;
const SECTION_IMPORT = 2;
const SECTION_FUNCTION = 3;
const SECTION_GLOBAL = 6;
const SECTION_EXPORT = 7;
const SECTION_ELEMENT = 9;
const SECTION_CODE = 10;

/**
 * Builds one module. Everything imported lives under `env`. Declare all imported functions before the first of the
 * module's own: function indices run through both.
 */
export class WasmModule {
  private readonly types: string[] = [];
  private readonly typeBytes = new WasmBytes();
  private readonly imports = new WasmBytes();
  private importCount = 0;
  private importedFunctions = 0;
  private readonly functions: number[] = [];
  private readonly bodies: (WasmBytes | undefined)[] = [];
  private readonly globals = new WasmBytes();
  private globalCount = 0;
  private importedGlobals = 0;
  private readonly exports = new WasmBytes();
  private exportCount = 0;
  private readonly elements = new WasmBytes();
  private elementCount = 0;

  /** Index of a function type; equal types share one. */
  type(params: readonly number[], results: readonly number[]): number {
    const key = `${params.join()}>${results.join()}`;
    const known = this.types.indexOf(key);
    if (known >= 0) return known;
    const out = this.typeBytes;
    out.u8(0x60);
    for (const list of [params, results]) {
      out.u32(list.length);
      for (const type of list) out.u8(type);
    }
    return this.types.push(key) - 1;
  }

  private import(name: string, kind: number): WasmBytes {
    this.importCount++;
    this.imports.name("env");
    this.imports.name(name);
    this.imports.u8(kind);
    return this.imports;
  }

  importFunction(name: string, type: number): number {
    this.import(name, 0).u32(type);
    return this.importedFunctions++;
  }

  importTable(name: string): void {
    const out = this.import(name, 1);
    out.u8(FUNCREF);
    out.u8(0);
    out.u32(0);
  }

  importMemory(name: string, minPages: number, maxPages: number): void {
    const out = this.import(name, 2);
    out.u8(1);
    out.u32(minPages);
    out.u32(maxPages);
  }

  /** A mutable global. */
  importGlobal(name: string, type: number): number {
    const out = this.import(name, 3);
    out.u8(type);
    out.u8(1);
    return this.importedGlobals++;
  }

  /** A mutable global of the module's own, zero at first; declare after all imported ones. */
  global(type: number): number {
    this.globals.u8(type);
    this.globals.u8(1);
    this.globals.u8(type === 0x7e ? 0x42 : OP_I32_CONST);
    this.globals.u8(0);
    this.globals.u8(OP_END);
    return this.importedGlobals + this.globalCount++;
  }

  /** Reserves a function's index, so that others may call it before its body is known. */
  declare(type: number): number {
    this.bodies.push(undefined);
    return this.importedFunctions + this.functions.push(type) - 1;
  }

  /** `localTypes` in order of their indices, after the parameters; `code` ends with OP_END. */
  define(index: number, localTypes: readonly number[], code: WasmBytes): void {
    const locals = new WasmBytes(32);
    let groups = 0;
    for (let i = 0; i < localTypes.length; ) {
      let end = i + 1;
      while (end < localTypes.length && localTypes[end] === localTypes[i]) end++;
      locals.u32(end - i);
      locals.u8(localTypes[i]);
      groups++;
      i = end;
    }
    const head = new WasmBytes(16);
    head.u32(groups);
    const body = new WasmBytes(code.length + locals.length + 16);
    body.u32(head.length + locals.length + code.length);
    body.append(head);
    body.append(locals);
    body.append(code);
    this.bodies[index - this.importedFunctions] = body;
  }

  exportFunction(name: string, index: number): void {
    this.exportCount++;
    this.exports.name(name);
    this.exports.u8(0);
    this.exports.u32(index);
  }

  /** Puts functions into the imported table from `offset` on, when the module is instantiated. */
  element(offset: number, functions: readonly number[]): void {
    this.elementCount++;
    const out = this.elements;
    out.u8(0);
    out.u8(OP_I32_CONST);
    out.s32(offset);
    out.u8(OP_END);
    out.u32(functions.length);
    for (const index of functions) out.u32(index);
  }

  finish(): Uint8Array<ArrayBuffer> {
    const out = new WasmBytes(4096);
    out.raw(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));
    const section = (id: number, count: number, content: WasmBytes): void => {
      if (count === 0) return;
      const prefix = new WasmBytes(8);
      prefix.u32(count);
      out.u8(id);
      out.u32(prefix.length + content.length);
      out.append(prefix);
      out.append(content);
    };
    section(SECTION_TYPE, this.types.length, this.typeBytes);
    section(SECTION_IMPORT, this.importCount, this.imports);
    const functions = new WasmBytes();
    for (const type of this.functions) functions.u32(type);
    section(SECTION_FUNCTION, this.functions.length, functions);
    section(SECTION_GLOBAL, this.globalCount, this.globals);
    section(SECTION_EXPORT, this.exportCount, this.exports);
    section(SECTION_ELEMENT, this.elementCount, this.elements);
    const code = new WasmBytes(4096);
    for (const body of this.bodies) if (body !== undefined) code.append(body);
    section(SECTION_CODE, this.bodies.length, code);
    return out.view().slice() as Uint8Array<ArrayBuffer>;
  }
}
