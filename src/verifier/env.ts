/**
 * One verification in progress: struct bpf_verifier_env. Everything that checks takes it first; what belongs to one path
 * is in `state`. This file holds data and the few operations that every check wants; rules live with their subject.
 */
import type { Slots } from "../asm/index.ts";
import type { Btf } from "../btf/index.ts";
import { InternalError } from "../diag/index.ts";
import type { LineInfo, VerifierInput, VerifierOptions } from "./input.ts";
import type { MapDescription } from "./map-description.ts";
import { useSingleValues } from "./numbers/bounds.ts";
import type { Profile } from "./profile.ts";
import type { RegState } from "./state/reg.ts";
import { type FuncState, type HistoryEntry, VerifierState } from "./state/state.ts";

/** The program is rejected: thrown by Env.reject, caught in verify(). Speculative paths catch it too. */
export class Rejection extends Error {
  /** Positive. */
  readonly errno: number;
  readonly insn: number;
  constructor(message: string, errno: number, insn: number) {
    super(message);
    this.errno = errno;
    this.insn = insn;
  }
}

/** One function of the program: struct bpf_subprog_info. */
export interface Subprog {
  readonly start: number;
  /** One past its last slot. */
  end: number;
  name: string;
  stackDepth: number;
  isGlobal: boolean;
  isAsyncCb: boolean;
  isExceptionCb: boolean;
  isCb: boolean;
  called: boolean;
  hasTailCall: boolean;
  tailCallReachable: boolean;
  hasLdAbs: boolean;
  mightSleep: boolean;
  mightThrow: boolean;
  changesPktData: boolean;
  /** Filled from BTF when first needed; -1: not looked at. */
  argCount: number;
  args: readonly SubprogArg[];
  /** FUNC type id, 0 without func_info. */
  btfTypeId: number;
  linkage: number;
  /** Calls do not match the prototype in BTF: nothing may rest on it. */
  unreliable: boolean;
  verified: boolean;
  /** Lowest offset of the stack that only fastcall spills use; lower than -512 where there is none. */
  fastcallStackOff: number;
  keepFastcallStack: boolean;
  privStackMode: number;
}

/** struct bpf_subprog_arg_info. */
export interface SubprogArg {
  /** ARG_* with flags (arg-type.ts). */
  readonly argType: number;
  readonly memSize: number;
  readonly btfId: number;
}

/** What is remembered of each slot: struct bpf_insn_aux_data. */
export interface InsnAux {
  seen: boolean;
  prunePoint: boolean;
  forceCheckpoint: boolean;
  jmpPoint: boolean;
  /** Something jumps here (other than by falling through). */
  jumpTarget: boolean;
  callsCallback: boolean;
  isIterNext: boolean;
  /** SCC of the control-flow graph, 0: in none. */
  scc: number;
  /** Registers that may be read before they are written, from here on (bit per register). */
  liveRegs: number;
  /** LD_IMM64: what the verifier found behind it. */
  mapIndex: number;
  mapOffset: number;
  /** Tail calls: the map on the paths so far, and whether they differ. */
  tailCallMap: MapDescription | null;
  tailCallMapsDiffer: boolean;
  btfVarType: number;
  btfVarId: number;
  btfVarBtf: Btf | null;
  btfVarMemSize: number;
  /** Loads and stores: the pointer's type (paths must agree), 0 = none yet. */
  ptrType: number;
  /** Alu: sanitising. */
  aluState: number;
  aluLimit: number;
  sanitizeStackSpill: boolean;
  nospec: boolean;
  nospecResult: boolean;
  zextDst: boolean;
  storageGetFuncAtomic: boolean;
  callWithPercpuAllocPtr: boolean;
  needsZext: boolean;
  fastcallPattern: number;
  fastcallSpillsNum: number;
  argProg: number;
}

/** A pending branch: struct bpf_verifier_stack_elem. */
export interface Pending {
  readonly state: VerifierState;
  readonly insnIdx: number;
  readonly prevInsnIdx: number;
  /** Log length to cut back to (BPF_LOG_LEVEL1 shows the failing path only). */
  readonly logPos: number;
}

/** Which slots each instruction reads and surely writes, gathered as it goes: kernel/bpf/liveness.c of 6.18. */
export interface StackLiveness {
  /** Before and after an instruction is executed. */
  begin(env: Env, insnIdx: number): void;
  commit(env: Env): void;
  markRead(env: Env, frameno: number, insnIdx: number, spi: number): void;
  /** The current function returns. */
  leave(env: Env): void;
  /** All eight bytes are written. */
  markWrite(env: Env, frameno: number, spi: number): void;
  /** Which slots of each frame of a checkpoint may still be read, into `aliveLo` and `aliveHi` (slots 32 up). */
  query(env: Env, state: VerifierState): void;
  readonly aliveLo: Int32Array;
  readonly aliveHi: Int32Array;
}

/** Paths that joined a loop which is still being explored. */
export interface LoopRecord {
  /** Such paths now held. */
  readonly count: number;
  /** A new checkpoint; and one that is explored. */
  enter(env: Env, state: VerifierState): void;
  exit(env: Env, state: VerifierState): void;
  /** `cur` is covered by `old`, whose loop is not done. */
  add(env: Env, old: VerifierState, cur: VerifierState, insnIdx: number): void;
  /** May more paths still add precision marks to this state? */
  isIncomplete(env: Env, state: VerifierState): boolean;
}

/** What the program is attached to, as far as its BTF says. */
export interface AttachFunc {
  readonly name: string;
  readonly btf: Btf;
  /** FUNC_PROTO, or 0: the target's prototype is not to be relied on. */
  readonly protoId: number;
}

export interface VerifierLog {
  readonly level: number;
  /** Appends text as it is. */
  write(text: string): void;
  /** Current length, and cutting back to one. */
  readonly position: number;
  reset(position: number): void;
  text(): string;
}

export class Env {
  readonly input: VerifierInput;
  readonly options: VerifierOptions;
  readonly profile: Profile;
  readonly kernelBtf: Btf | null;
  readonly log: VerifierLog;
  /** The program being verified; the verifier may rewrite it afterwards (xlated). */
  readonly slots: Slots;
  readonly aux: InsnAux[];
  subprogs: Subprog[] = [];
  /** prog->type, and resolve_prog_type(): an extension counts as what it replaces. */
  progType = 0;
  resolvedProgType = 0;
  /** prog->expected_attach_type; an extension takes its target's. */
  expectedAttachType = 0;
  gplCompatible = false;
  /** Has func_info (and so BTF for every function). */
  hasFuncInfo = false;
  /** prog->aux->attach_func_proto, and the function, hook or member that it belongs to. */
  attachFunc: AttachFunc | null = null;
  /** STRUCT_OPS: "tcp_congestion_ops.release". */
  structOpsMember = "";
  /** prog->aux->attach_btf_trace: a raw tracepoint's arguments come from BTF. */
  attachBtfTrace = false;
  /** prog->aux->changes_pkt_data. */
  changesPktData = false;
  exceptionCallbackSubprog = 0;

  /** The state that is being executed. */
  state: VerifierState = new VerifierState();
  insnIdx = 0;
  prevInsnIdx = -1;
  readonly pending: Pending[] = [];
  /** Checkpoints by slot. */
  readonly explored: (VerifierState[] | undefined)[] = [];

  processed = 0;
  totalStates = 0;
  peakStates = 0;
  maxStatesPerInsn = 0;
  jmpsProcessed = 0;
  prevJmpsProcessed = 0;
  prevInsnsProcessed = 0;

  idGen = 0;

  /** Set by prepareAnalysis(); the rest reports to it. */
  stackLiveness: StackLiveness | null = null;
  loops: LoopRecord | null = null;
  /** Checkpoints now held. */
  exploredStates = 0;
  /** Masks of pointer arithmetic were found: pruning compares unknown numbers exactly (unprivileged programs). */
  exploreAluLimits = false;
  /** One of the program's maps is an arena. */
  hasArena = false;

  // Rules that every arithmetic instruction asks for (src/uapi/rules.ts).
  readonly wrapsKeepRange: boolean;
  readonly tracksNeg: boolean;
  readonly mulTracksSigned: boolean;
  readonly tnumMulPrecise: boolean;
  readonly forksMasks: boolean;
  /** speculation-nospec, fill-assigns-scalar-id. */
  readonly barriers: boolean;
  readonly fillAssignsIds: boolean;
  readonly tracksByteSwaps: boolean;
  readonly linkedDeltas: boolean;

  /** Source line that the log printed last: an index of lineInfo, or -1. */
  prevLine = -1;

  /** History entry of the current instruction, if it has one (env->cur_hist_ent). */
  curHistory: HistoryEntry | null = null;
  /** Registers and slots of the current frame that the log has to print next. */
  scratchedRegs = 0;
  scratchedSlotsLo = 0;
  scratchedSlotsHi = 0;
  /** Where the last instruction's line ends in the log, its length, and the source line printed last (log.ts). */
  prevLogPos = 0;
  prevInsnPrintPos = 0;
  prevLineInfo: LineInfo | null = null;

  // Privileges and modes (bpf_check()).
  allowPtrLeaks = true;
  allowUninitStack = true;
  bypassSpecV1 = true;
  bypassSpecV4 = true;
  bpfCapable = true;
  strictAlignment = false;
  testStateFreq = false;
  testRegInvariants = false;
  testRndHi32 = false;
  inSleepableProg = false;
  seenDirectWrite = false;
  seenException = false;

  constructor(
    input: VerifierInput,
    options: VerifierOptions,
    profile: Profile,
    kernelBtf: Btf | null,
    log: VerifierLog,
    slots: Slots,
    aux: InsnAux[],
  ) {
    this.input = input;
    this.options = options;
    this.profile = profile;
    this.kernelBtf = kernelBtf;
    this.log = log;
    this.slots = slots;
    this.aux = aux;
    const { rules } = profile;
    this.wrapsKeepRange = rules.has("wrapped-sums-keep-range");
    this.tracksNeg = rules.has("negation-tracked");
    this.mulTracksSigned = rules.has("signed-products");
    this.tnumMulPrecise = rules.has("tnum-product-unions");
    this.forksMasks = rules.has("masks-fork");
    this.barriers = rules.has("speculation-nospec");
    this.fillAssignsIds = rules.has("fill-assigns-scalar-id");
    this.tracksByteSwaps = rules.has("byte-swaps-tracked");
    this.linkedDeltas = rules.has("linked-deltas");
    useSingleValues(rules.has("single-values-known"));
  }

  get frame(): FuncState {
    return this.state.frame;
  }

  reg(r: number): RegState {
    return this.state.frame.regs[r]!;
  }

  /** verbose(): a message in the log; the caller writes the newline. */
  verbose(text: string): void {
    if (this.log.level !== 0) this.log.write(text);
  }

  /** Ends the path (and, but for speculative ones, the verification). `message` goes to the log, newline added. */
  reject(errno: number, message: string): never {
    if (message !== "") this.log.write(`${message}\n`);
    throw new Rejection(message, errno, this.insnIdx);
  }

  markRegScratched(r: number): void {
    this.scratchedRegs |= 1 << r;
  }

  markSlotScratched(spi: number): void {
    const { frame } = this.state;
    if (spi < 32) {
      this.scratchedSlotsLo |= 1 << spi;
      frame.writtenSlotsLo |= 1 << spi;
    } else {
      this.scratchedSlotsHi |= 1 << (spi - 32);
      frame.writtenSlotsHi |= 1 << (spi - 32);
    }
  }

  /** mark_verifier_state_scratched(): all of it. */
  markAllScratched(): void {
    this.scratchedRegs = -1;
    this.scratchedSlotsLo = -1;
    this.scratchedSlotsHi = -1;
  }

  newId(): number {
    return ++this.idGen;
  }

  /** verifier_bug(): an invariant of ours is broken. */
  bug(what: string): never {
    throw new InternalError(`verifier: ${what} (insn ${this.insnIdx})`);
  }
}
