// The interpreter's data in linear memory, read by TypeScript (src/) and AssemblyScript (core/) alike: plain
// constants only. All members are u32 unless noted.

// ---- a decoded instruction: 16 bytes per slot ---------------------------------------------------------------------
//   u16 op: what runs | u16 real: what stands there (differs under a breakpoint)
//   u16 dst, u16 src: byte offsets of the registers in the state; LD_ABS, LD_IND: dst is the size in bytes
//   i32 off: displacement; jumps and local calls: bytes from this record to the one *before* the target
//   i32 imm; LD_IMM64 keeps its 64 bits in off and imm
export const INSN_SIZE = 16;
export const INSN_OP = 0;
export const INSN_REAL = 2;
export const INSN_DST = 4;
export const INSN_SRC = 6;
export const INSN_OFF = 8;
export const INSN_IMM = 12;

// Operations, numbered from 1 without wide gaps: only so does the compiler make one jump table of the loop's cases.
// Arithmetic and jumps: the class's base + (opcode >>> 3), that is operation * 2 + (1: second operand in a register).
export const OP_ALU64 = 1;
export const OP_ALU32 = 33;
export const OP_JMP64 = 65;
export const OP_JMP32 = 97;
// Loads and stores: the base + (BPF_W, BPF_H, BPF_B, BPF_DW) >>> 3, + OP_CHECKED in the bounds-checked mode.
export const OP_LDX = 129;
export const OP_LDXSX = 133;
export const OP_ST = 137;
export const OP_STX = 141;
export const OP_CHECKED = 16;
/** Second half of an LD_IMM64, and what follows the last instruction. */
export const OP_NONE = 161;
export const OP_BREAK = 162;
export const OP_SDIV64_K = 163;
export const OP_SDIV64_X = 164;
export const OP_SDIV32_K = 165;
export const OP_SDIV32_X = 166;
export const OP_SMOD64_K = 167;
export const OP_SMOD64_X = 168;
export const OP_SMOD32_K = 169;
export const OP_SMOD32_X = 170;
export const OP_MOVSX64_8 = 171;
export const OP_MOVSX64_16 = 172;
export const OP_MOVSX64_32 = 173;
export const OP_MOVSX32_8 = 174;
export const OP_MOVSX32_16 = 175;
export const OP_ZEXT16 = 176;
export const OP_ZEXT32 = 177;
export const OP_NOP = 178;
export const OP_SWAP16 = 179;
export const OP_SWAP32 = 180;
export const OP_SWAP64 = 181;
export const OP_ATOMIC32 = 182;
export const OP_ATOMIC64 = 183;
export const OP_ATOMIC32_CHECKED = 184;
export const OP_ATOMIC64_CHECKED = 185;
export const OP_LD_IMM64 = 186;
export const OP_LD_ABS = 187;
export const OP_LD_IND = 188;
/** off: bytes to the record before the target. */
export const OP_CALL_LOCAL = 189;
/** imm: index in the shared table. */
export const OP_CALL_CORE = 190;
/** imm: what env.js_helper takes. */
export const OP_CALL_JS = 191;
export const OP_CALL_LOOP = 192;
export const OP_TAIL_CALL = 193;
export const OP_CALLX = 194;
/** imm: PROBE_*. */
export const OP_PROBE = 195;

/** At CPU_FAULT_PROG while a helper runs: no engine has reported a fault. */
export const NO_PROG = -1;

// ---- a program ----------------------------------------------------------------------------------------------------
/** Offset of the first record; one OP_NONE follows the last. */
export const PROG_CODE = 0;
export const PROG_SLOTS = 4;
export const PROG_ID = 8;
/** i64: steps that a run may take. */
export const PROG_BUDGET = 16;
/** u64: instructions that all its runs took (not those of runs that a debugger steps). */
export const PROG_STEPS = 24;
export const PROG_SIZE = 32;

// ---- directory: what stands behind an index of the shared table ---------------------------------------------------
/** Offset of the program (0: not ours), offset of the record to begin with. */
export const DIR_PROG = 0;
export const DIR_PC = 4;
export const DIR_SIZE = 8;

// ---- state of one run ---------------------------------------------------------------------------------------------
/** u64[11]: r0..r10. */
export const STATE_REGS = 0;
/** Address of the next record to run. */
export const STATE_PC = 88;
export const STATE_PROG = 92;
/** Frames below the current one. */
export const STATE_DEPTH = 96;
/** What may_goto may still do in this frame. */
export const STATE_MAY_GOTO = 100;
/** Upper end of the current frame. */
export const STATE_FP = 104;
/** Lowest address of this run's stack. */
export const STATE_STACK_END = 108;
/** Upper end of the first frame. */
export const STATE_TOP = 112;
/** Steps not taken of those asked for. */
export const STATE_LEFT = 116;
/** FAULT_*, and u64 address. */
export const STATE_FAULT = 120;
export const STATE_FAULT_ADDR = 128;
/** What r1 was at the start: the context. */
export const STATE_CTX = 136;
/** CPU_TAIL_CALLS at the start. */
export const STATE_TAIL_CALLS = 140;
/** Depth at which the program that runs was entered: no program may be deeper than 8 frames in itself. */
export const STATE_BASE = 144;
/** What a start clears. */
export const STATE_FRESH = 148;
/** Offset of the callers' frames once they are more than fit below (0: never were), kept from run to run. */
export const STATE_MORE = 148;
export const STATE_FRAMES = 152;

// ---- a caller's frame ---------------------------------------------------------------------------------------------
/** u64[4]: r6..r9 */
export const CALLER_REGS = 0;
/** Record of the call. */
export const CALLER_PC = 32;
export const CALLER_PROG = 36;
export const CALLER_FP = 40;
export const CALLER_MAY_GOTO = 44;
/** CALL_* */
export const CALLER_KIND = 48;
/** bpf_loop: iterations done, iterations wanted, record before the callback, u64 context. */
export const CALLER_DONE = 52;
export const CALLER_WANTED = 56;
export const CALLER_CALLBACK = 60;
export const CALLER_CTX = 64;
export const CALLER_BASE = 72;
export const CALLER_SIZE = 80;

/** Callers that a state holds itself: all of a program that makes no tail call. */
export const NEAR_CALLERS = 7;
/** Callers on a whole stack (CPU_STACK_SIZE / FRAME_SIZE). */
export const MAX_CALLERS = 128;
/** STATE_FRAMES + NEAR_CALLERS * CALLER_SIZE */
export const STATE_SIZE = 712;

export const CALL_LOCAL = 0;
export const CALL_LOOP = 1;

// ---- CPU block, from CPU_INTERP on ----------------------------------------------------------------------------------
/** Runs under way on this CPU (nested ones included), and where the states of all but the first stand (0: not yet). */
export const NEST_DEPTH = 0;
export const NEST_STATES = 4;
export const NEST_FIRST = 16;
/** All tail calls of a run may alternate between engines, and each of their programs may call back. */
export const MAX_NEST = 64;

// ---- why a run stopped ------------------------------------------------------------------------------------------------
export const STOP_STEPS = 0;
export const STOP_EXIT = 1;
export const STOP_BREAK = 2;
export const STOP_FAULT = 3;
