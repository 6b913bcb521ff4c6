import { InternalError, InvalidProgramError } from "../../diag/index.ts";
import {
  BPF_ALU,
  BPF_ALU64,
  BPF_JMP,
  BPF_JMP32,
  BPF_LDX,
  BPF_MOV,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_X,
} from "../../uapi/index.ts";
import type { AddressSpace } from "../address-space.ts";
import { FACT_PROBE_READ, type HelperBinding, type VmProgram } from "../engine.ts";
import {
  CPU_FAULT,
  CPU_FAULT_ADDR,
  CPU_FAULT_INSN,
  CPU_FAULT_PROG,
  MAX_CALL_FRAMES,
  SHADOW_SHIFT,
  TABLE_BASE,
} from "../layout.ts";
import { WasmBytes } from "../wasm/bytes.ts";
import { WasmModule } from "../wasm/module.ts";
import {
  I32,
  I64,
  OP_BR,
  OP_END,
  OP_GLOBAL_GET,
  OP_I32_ADD,
  OP_I32_AND,
  OP_I32_CONST,
  OP_I32_EQ,
  OP_I32_GE_U,
  OP_I32_LOAD8_U,
  OP_I32_LT_U,
  OP_I32_SHR_U,
  OP_I32_STORE,
  OP_I32_SUB,
  OP_I64_EXTEND_I32_U,
  OP_I64_STORE,
  OP_IF,
  OP_LOCAL_GET,
  OP_LOCAL_SET,
  OP_LOCAL_TEE,
  OP_LOOP,
  OP_RETURN,
  OP_UNREACHABLE,
  VOID,
} from "../wasm/opcodes.ts";
import {
  type CallSite,
  CallSites,
  directCall,
  HELPER_MAP_LOOKUP_ELEM,
  HELPER_MAP_UPDATE_ELEM,
  isInlinable,
} from "./calls.ts";
import { type BpfFunction, CALL, CALLX, callxRegister, type DecodedProgram, LD_IMM64 } from "./program.ts";
import type { ValueContext } from "./values.ts";

/** What one BPF function calls. */
interface Callees {
  readonly functions: readonly number[];
  /** Runs BPF functions through the table: callx, or a helper that calls back. */
  readonly indirect: boolean;
  readonly hasLoop: boolean;
  /** Calls something that may free or repaint what a pointer leads to. */
  readonly disturbs: boolean;
}

/** Helpers that free nothing and move nothing that a program holds a pointer to. */
const CALM_HELPERS: ReadonlySet<number> = new Set([
  1, // map_lookup_elem
  5, // ktime_get_ns
  6, // trace_printk
  7, // get_prandom_u32
  8, // get_smp_processor_id
  12, // tail_call: this program is over
  14, // get_current_pid_tgid
  15, // get_current_uid_gid
  16, // get_current_comm
  25, // perf_event_output
  26, // skb_load_bytes
  28, // csum_diff
  125, // ktime_get_boot_ns
  130, // ringbuf_output
  189, // xdp_load_bytes
]);

/** Core export that does probing loads. */
export const PROBE = "probe_read";

/** A window reaches at most this many times 248 bytes. */
const MAX_WINDOW_HOPS = 1024;

/**
 * Everything about the module that its functions share: imports, indices, the call graph. Made before any function is
 * compiled, since imports come first.
 */
export class ModulePlan implements ValueContext {
  readonly program: DecodedProgram;
  readonly calls: CallSites;
  readonly checked: boolean;
  readonly module: WasmModule = new WasmModule();
  readonly shadowRead: number;
  readonly shadowWrite: number;
  private readonly maxBytes: number;
  readonly functionType: number;
  readonly partType: number;
  readonly cpuGlobal: number;
  readonly mayGotoGlobal: number;
  readonly faultFunction: number;
  readonly windowFunction: number;
  /** Imported JavaScript helpers by name, for the instance. */
  readonly imports: Record<string, (cpuBlock: number) => void> = {};
  readonly coreImports: string[] = [];

  private readonly importIndex = new Map<string, number>();
  private readonly functionBase: number;
  private readonly transferBase: number;
  private readonly argumentMasks: number[];
  private readonly callees: Callees[];
  private readonly loops: boolean[];
  private readonly disturbing: boolean[];
  private readonly deep: boolean[];
  private readonly callbackTable = new Map<number, number>();

  /** `tableBase`: the program's first index in the shared table; its callbacks follow in order. */
  constructor(space: AddressSpace, source: VmProgram, program: DecodedProgram, tableBase: number) {
    this.program = program;
    this.calls = new CallSites(program);
    this.checked = source.mode === "checked";
    this.shadowRead = space.shadowRead;
    this.shadowWrite = space.shadowWrite;
    this.maxBytes = space.maxBytes;
    let next = tableBase + 1;
    for (const k of program.callbacks) this.callbackTable.set(k, next++);

    const { module } = this;
    this.functionType = module.type([I32, I64, I64, I64, I64, I64], [I64]);
    this.partType = module.type([I32, I32], [I32]);
    const pages = (bytes: number): number => Math.ceil(bytes / 0x10000);
    module.importMemory("memory", pages(space.heapBase), pages(space.maxBytes));
    module.importTable("table");
    this.cpuGlobal = module.importGlobal("cpu", I32);
    this.transferBase = module.global(I64);
    for (let r = 1; r < 10; r++) module.global(I64);
    this.mayGotoGlobal = module.global(I32);
    this.callees = program.functions.map((_, k) => this.survey(k));
    this.functionBase = module.declare(this.functionType);
    for (let k = 1; k < program.functions.length; k++) module.declare(this.functionType);
    this.faultFunction = module.declare(module.type([I32, I32, I32], []));
    this.defineFault();
    this.windowFunction = module.declare(module.type([I32, I32, I32], [I32, I32]));
    this.defineWindow();
    this.loops = this.closure((c) => c.hasLoop || c.indirect);
    this.disturbing = this.closure((c) => c.disturbs || c.indirect);
    this.deep = this.deepFunctions();
    this.argumentMasks = program.functions.map(() => 0b111110);
  }

  /** Finds imports and callees, and refuses what no instruction may say. */
  private survey(k: number): Callees {
    const { slots, functions, functionAt } = this.program;
    const fn = functions[k];
    const called = new Set<number>();
    let indirect = false;
    let disturbs = false;
    const rank = new Int32Array(fn.first.length);
    fn.order.forEach((b, at) => {
      rank[b] = at;
    });
    let hasLoop = false;
    for (const b of fn.order) {
      for (const to of fn.succ[b]) if (rank[to] <= rank[b]) hasLoop = true;
      for (let i = fn.first[b]; i < fn.last[b]; i++) {
        const op = slots.op[i];
        if (slots.dst[i] > 10) throw new InvalidProgramError(`register r${slots.dst[i]}`, i);
        if (op === LD_IMM64) {
          if (slots.src[i] === BPF_PSEUDO_FUNC) called.add(functionAt.get(i + 1 + slots.imm[i])!);
          i++;
          continue;
        }
        if (op === CALL) {
          if (slots.src[i] === BPF_PSEUDO_CALL) called.add(functionAt.get(i + 1 + slots.imm[i])!);
          else {
            const site = this.calls.at(i);
            if (this.link(site)) indirect = true;
            if (!CALM_HELPERS.has(site.helper)) disturbs = true;
          }
          continue;
        }
        if (op === CALLX) {
          indirect = true;
          this.linkCallx(i, fn);
          continue;
        }
        const cls = op & 7;
        if (cls === BPF_LDX && this.probes(i)) this.importProbe();
        const jump = cls === BPF_JMP || cls === BPF_JMP32;
        if (slots.src[i] > 10 && (!jump || op & BPF_X))
          throw new InvalidProgramError(`register r${slots.src[i]}`, i);
      }
    }
    return { functions: [...called], indirect, hasLoop, disturbs };
  }

  /** Is the load at slot `insn` one that reads zero where it would fault? */
  probes(insn: number): boolean {
    const { facts } = this.program.source;
    return facts !== undefined && (facts[insn]! & FACT_PROBE_READ) !== 0;
  }

  private importProbe(): void {
    if (this.importIndex.has(PROBE)) return;
    this.coreImports.push(PROBE);
    this.importIndex.set(
      PROBE,
      this.module.importFunction(`core.${PROBE}`, this.module.type([I64, I32], [I64])),
    );
  }

  /** Imports what a call needs; does it call back? */
  private link(site: CallSite): boolean {
    const { binding } = site;
    if (binding === undefined) return false;
    if (!this.importIndex.has(binding.name)) this.importBinding(binding);
    if (binding.kind === "core") this.importDirect(site.helper);
    return binding.callsBack === true;
  }

  /** A helper that CALLX at `insn` may name must be loaded into its register as a constant. */
  private linkCallx(insn: number, fn: BpfFunction): void {
    const { slots, source } = this.program;
    const reg = callxRegister(slots, insn);
    for (let i = fn.start; i < fn.end; i++) {
      const move = slots.op[i] === (BPF_ALU64 | BPF_MOV) || slots.op[i] === (BPF_ALU | BPF_MOV);
      const id = slots.imm[i];
      if (!move || slots.dst[i] !== reg || id <= 0 || id >= TABLE_BASE) continue;
      if (source.helper(id) !== undefined) this.link(this.calls.helper(insn, id));
    }
  }

  /** A map helper: also what does the same for each of the program's maps. */
  private importDirect(helper: number): void {
    for (const map of this.program.source.maps) {
      const name = directCall(map, helper);
      if (name === undefined || this.importIndex.has(name)) continue;
      const type = helper === HELPER_MAP_UPDATE_ELEM ? [I32, I32, I32, I64] : [I32, I32];
      this.coreImports.push(name);
      this.importIndex.set(name, this.module.importFunction(`core.${name}`, this.module.type(type, [I32])));
    }
  }

  private importBinding(binding: HelperBinding): void {
    const { module } = this;
    if (binding.kind === "core") {
      this.coreImports.push(binding.name);
      const type = module.type([I64, I64, I64, I64, I64], [I64]);
      this.importIndex.set(binding.name, module.importFunction(`core.${binding.name}`, type));
      return;
    }
    const name = `js.${binding.name}`;
    this.imports[name] = binding.fn;
    this.importIndex.set(binding.name, module.importFunction(name, module.type([I32], [])));
  }

  /** Functions that satisfy `is`, or call one that does. */
  private closure(is: (callees: Callees) => boolean): boolean[] {
    const result = this.callees.map(is);
    for (let changed = true; changed; ) {
      changed = false;
      this.callees.forEach((c, k) => {
        if (result[k] || !c.functions.some((f) => result[f])) return;
        result[k] = changed = true;
      });
    }
    return result;
  }

  /** Functions that may run below the eighth frame: recursive ones, and those at the end of a long chain of calls. */
  private deepFunctions(): boolean[] {
    const depth = this.callees.map(() => 0);
    depth[0] = 1;
    // Longest chain; a chain of more calls than there are functions is recursion, and so deep anyway.
    for (let round = 0; round <= MAX_CALL_FRAMES + 1; round++)
      this.callees.forEach((c, k) => {
        if (depth[k] === 0) return;
        for (const f of c.functions)
          depth[f] = Math.max(depth[f], Math.min(depth[k] + 1, MAX_CALL_FRAMES + 2));
      });
    return depth.map((d) => d > MAX_CALL_FRAMES);
  }

  /** The faulting program leaves what happened in the CPU block, then traps. Parameters: fault, insn, address. */
  private defineFault(): void {
    const out = new WasmBytes(64);
    const store = (offset: number, value: () => void, opcode = OP_I32_STORE): void => {
      out.u8(OP_GLOBAL_GET);
      out.u32(this.cpuGlobal);
      value();
      out.u8(opcode);
      out.u8(0);
      out.u32(offset);
    };
    const param = (index: number) => (): void => {
      out.u8(OP_LOCAL_GET);
      out.u32(index);
    };
    store(CPU_FAULT, param(0));
    store(CPU_FAULT_INSN, param(1));
    store(CPU_FAULT_PROG, () => {
      out.u8(OP_I32_CONST);
      out.s32(this.program.source.id);
    });
    store(
      CPU_FAULT_ADDR,
      () => {
        param(2)();
        out.u8(OP_I64_EXTEND_I32_U);
      },
      OP_I64_STORE,
    );
    out.u8(OP_UNREACHABLE);
    out.u8(OP_END);
    this.module.define(this.faultFunction, [], out);
  }

  /**
   * Bounds of the object at an address, from that address's granule on, for accesses of `size` bytes. Parameters:
   * address, size, shadow table. Results: lower end, and the largest distance from it that an access may have; a window
   * that nothing fits lies where no memory is.
   */
  private defineWindow(): void {
    const out = new WasmBytes(128);
    const op = (...bytes: number[]): void => {
      for (const byte of bytes) out.u8(byte);
    };
    const [address, size, table, reach, end, hops] = [0, 1, 2, 3, 4, 5];
    const reachAt = (at: number): void => {
      op(OP_LOCAL_GET, at, OP_I32_CONST, SHADOW_SHIFT, OP_I32_SHR_U, OP_LOCAL_GET, table, OP_I32_ADD);
      op(OP_I32_LOAD8_U, 0, 0, OP_LOCAL_TEE, reach);
    };
    const nothing = [OP_IF, VOID, OP_I32_CONST, 0x70, OP_I32_CONST, 0, OP_RETURN, OP_END];
    op(OP_LOCAL_GET, address, OP_I32_CONST);
    out.s32(this.maxBytes | 0);
    op(OP_I32_GE_U, ...nothing);
    // Whole granules: what a shadow byte says counts from its granule's start.
    op(OP_LOCAL_GET, address, OP_I32_CONST);
    out.s32(-8);
    op(OP_I32_AND, OP_LOCAL_TEE, address, OP_LOCAL_SET, end, OP_LOOP, VOID);
    // A full byte says 255 or more: 31 granules further the object still goes on.
    reachAt(end);
    op(OP_I32_CONST);
    out.s32(255);
    op(OP_I32_EQ, OP_LOCAL_GET, hops, OP_I32_CONST);
    out.s32(MAX_WINDOW_HOPS);
    op(OP_I32_LT_U, OP_I32_AND, OP_IF, VOID);
    op(OP_LOCAL_GET, hops, OP_I32_CONST, 1, OP_I32_ADD, OP_LOCAL_SET, hops);
    op(OP_LOCAL_GET, end, OP_I32_CONST);
    out.s32(31 * 8);
    op(OP_I32_ADD, OP_LOCAL_SET, end, OP_BR, 1, OP_END, OP_END);
    op(
      OP_LOCAL_GET,
      end,
      OP_LOCAL_GET,
      reach,
      OP_I32_ADD,
      OP_LOCAL_GET,
      address,
      OP_I32_SUB,
      OP_LOCAL_TEE,
      reach,
    );
    op(OP_LOCAL_GET, size, OP_I32_LT_U, ...nothing);
    op(OP_LOCAL_GET, address, OP_LOCAL_GET, reach, OP_LOCAL_GET, size, OP_I32_SUB, OP_END);
    this.module.define(this.windowFunction, [I32, I32, I32], out);
  }

  functionIndex(k: number): number {
    return this.functionBase + k;
  }

  importOf(name: string): number {
    const index = this.importIndex.get(name);
    if (index === undefined) throw new InternalError(`helper ${name} was not imported`);
    return index;
  }

  /** Global that carries register `r` between the parts of a split function. */
  transfer(r: number): number {
    return this.transferBase + r;
  }

  /** Which of r1..r5 function `k` reads. */
  argumentMask(k: number): number {
    return this.argumentMasks[k];
  }
  get allArgumentMasks(): readonly number[] {
    return this.argumentMasks;
  }
  setArgumentMask(k: number, mask: number): void {
    this.argumentMasks[k] = mask & 0b111110;
  }

  /** Does function `k`, or one that it calls, take from the budget of back edges? */
  countsLoops(k: number): boolean {
    return this.checked && this.loops[k];
  }

  /** May something that function `k` calls free or repaint memory? */
  disturbs(k: number): boolean {
    return this.disturbing[k];
  }

  checksDepth(k: number): boolean {
    return this.checked && this.deep[k];
  }

  hasLoop(k: number): boolean {
    return this.callees[k].hasLoop;
  }

  /** Index in the shared table of callback `k`. */
  callbackIndex(k: number): number {
    return this.callbackTable.get(k)!;
  }

  tableIndexAt(insn: number): number {
    return this.callbackIndex(this.program.functionAt.get(insn + 1 + this.program.slots.imm[insn])!);
  }

  get slotCount(): number {
    return this.program.slots.count;
  }

  regionAt(address: number): number {
    const at = address >>> 0;
    return this.program.source.maps.findIndex(
      (map) => map.maxEntries === 1 && at >= map.values && at < map.values + map.valueSize,
    );
  }

  arrayLookedUp(insn: number, map: number): number {
    const { slots, source } = this.program;
    if (slots.op[insn] !== CALL || slots.src[insn] !== 0 || slots.imm[insn] !== HELPER_MAP_LOOKUP_ELEM)
      return -1;
    return source.maps.findIndex((known) => known.address === map >>> 0 && isInlinable(known));
  }

  functionOfTableIndex(index: number): number | undefined {
    for (const [k, at] of this.callbackTable) if (at === index) return k;
    return undefined;
  }
}
