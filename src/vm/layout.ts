// The map of the one address space, read by TypeScript (src/) and AssemblyScript (core/) alike: plain constants only.
//
//   0x0000_0000  null guard: never an object, never painted accessible
//   0x0001_0000  static data of the core module (AssemblyScript's --memoryBase)
//   0x0002_0000  CPU blocks, CPU_BLOCK_SIZE each, MAX_CPUS of them
//   0x0004_0000  BPF stacks, CPU_STACK_SIZE a CPU
//   SHADOW_BASE  shadow for reads, then shadow for writes (SHADOW_SIZE = maxBytes / 8 each)
//   heapBase     everything else: maps, programs' contexts, packets, kernel objects

/** High 32 bits of every 64-bit pointer that a program sees; the low 32 bits are the offset in linear memory. */
export const POINTER_HIGH = 0xffff8880;

/** No object lies below this offset, so that null plus any 16-bit displacement is never valid. */
export const NULL_GUARD_END = 0x10000;

export const CORE_DATA_BASE = 0x10000;

export const MAX_CPUS = 16;
export const CPU_BLOCK_BASE = 0x20000;
export const CPU_BLOCK_SIZE = 0x1000;

export const CPU_STACK_BASE = 0x40000;
/** 128 frames: a tail call out of a subprogram keeps the frames above it, up to 33 times; callbacks and nested runs. */
export const CPU_STACK_SIZE = 0x10000;
/** MAX_BPF_STACK of the kernel: one frame. r10 is the frame's upper end. */
export const FRAME_SIZE = 512;

export const SHADOW_BASE = 0x140000;
/** One shadow byte describes the 8-byte granule at (address >>> 3): how many bytes may be accessed from the granule's
 *  start on, counted through the granules that follow and cut at 255; 0 = none. An access of n bytes at a is legal iff
 *  shadow[a >>> 3] >= (a & 7) + n, for n up to 248: one load, one add, one compare. Reads and writes have a table each. */
export const SHADOW_SHIFT = 3;

// ---- CPU block: byte offsets -------------------------------------------------------------------------------------
/** u64[5]: r1..r5 for a helper that runs in JavaScript. No i64 ever crosses the JavaScript boundary. */
export const CPU_ARGS = 0;
/** u64: r0 that such a helper leaves; also the full r0 of a program that returned. */
export const CPU_RESULT = 40;
/** u32: index of this CPU. */
export const CPU_ID = 48;
/** u32: tail calls made so far in this run (at most 33). */
export const CPU_TAIL_CALLS = 52;
/** u32: upper end of the frame that the running function owns (its r10); set before helpers that call back. */
export const CPU_FP = 56;
/** u32: upper end of the first frame of the next run; the kernel lowers it around nested runs. */
export const CPU_STACK_TOP = 60;
/** u32 FAULT_* code, u32 instruction index, u32 program id, u32 unused, u64 address: set before a trap. */
export const CPU_FAULT = 64;
export const CPU_FAULT_INSN = 68;
export const CPU_FAULT_PROG = 72;
export const CPU_FAULT_ADDR = 80;
/** i64: back edges (and, in the interpreter, steps) that an unverified program may still take in this run. */
export const CPU_BUDGET = 88;
/** u64: what bpf_ktime_get_ns and friends return when the clock is frozen (0 = ask the host). */
export const CPU_CLOCK = 96;
/** u64: state of this CPU's bpf_get_prandom_u32. */
export const CPU_RANDOM = 104;
/** u32: offset of the running program's context, u32: id of the running program, u32: its BPF_PROG_TYPE. */
export const CPU_CTX = 112;
export const CPU_PROG = 116;
export const CPU_PROG_TYPE = 120;
/** Free for the interpreter's state (registers, pc, frames). */
export const CPU_INTERP = 256;
/** Free for helpers' scratch (redirect targets, perf samples...). */
export const CPU_SCRATCH = 2048;

// ---- faults of the bounds-checked mode ---------------------------------------------------------------------------
export const FAULT_NONE = 0;
export const FAULT_READ = 1;
export const FAULT_WRITE = 2;
/** Ran over the budget of steps or back edges. */
export const FAULT_BUDGET = 3;
/** More frames than the kernel allows. */
export const FAULT_STACK = 4;
/** Call of an unknown helper, callback or callx target. */
export const FAULT_CALL = 5;
/** An instruction that this engine must refuse at run time. */
export const FAULT_INSN = 6;
/** bpf_throw without a handler. */
export const FAULT_THROW = 7;

// ---- loads that read zero where they would fault (core/probe.ts) -------------------------------------------------------
/** Bits of a probe's kind: log2 of its bytes; sign-extend. */
export const PROBE_SIZE = 3;
export const PROBE_SIGNED = 4;

// ---- what generated code knows of a map's header (src/maps/layout.ts has all of it) ------------------------------------
export const VM_MAP_MAX_ENTRIES = 16;
export const VM_MAP_VALUES = 32;
export const VM_MAP_STRIDE = 36;
/** Hash elements: u32 next of the bucket's chain, u32 key. A bucket is a u32, the first element. */
export const VM_HASH_NEXT = 0;
export const VM_HASH_KEY = 4;
/** Bit of `next`: a program was given the address of the element's value. */
export const VM_HASH_SEEN = 1;
/** The hash of a key of 4 bytes: (key ^ seed) times this; its upper bits number the bucket. */
export const VM_HASH_MULTIPLIER = 0x9e3779b1;

/** Kernel limits. */
export const MAX_TAIL_CALL_CNT = 33;
export const MAX_CALL_FRAMES = 8;
/** First index of the shared function table that jitted functions may use; below lie the core's own. */
export const TABLE_BASE = 1024;

// ---- what LD_ABS and LD_IND read of a socket buffer ------------------------------------------------------------------
// Behind struct __sk_buff, where no program can write: u32 offsets of the first packet byte, of the end of the packet,
// of the link-layer header (SKF_LL_OFF; 0 = none) and of the network header (SKF_NET_OFF). r6 must be the run's context.
export const SKB_DATA = 200;
export const SKB_TAIL = 204;
export const SKB_MAC_HEADER = 208;
export const SKB_NETWORK_HEADER = 212;
export const SKF_NET_OFF = -0x100000;
export const SKF_LL_OFF = -0x200000;
