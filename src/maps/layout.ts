// What a map is in linear memory, read by TypeScript (src/) and AssemblyScript (core/) alike: plain constants only.
// A map is a header of MAP_HEADER_SIZE bytes, `struct bpf_map` of our own, and whatever it points to. No part of it is
// painted (a program holds its address as an opaque pointer); values are painted as MAP_PERM says, keys of hash
// elements read-only. All members are u32 unless noted; all links are plain offsets in linear memory, 0 = none.
//
// The registry (core/maps/registry.ts) tells live maps from garbage: `registry[load(map + MAP_SLOT)] == map`.

export const MAP_HEADER_SIZE = 256;

/** Index of this map in the core's registry. */
export const MAP_SLOT = 0;
/** BPF_MAP_TYPE_*. */
export const MAP_TYPE = 4;
export const MAP_KEY_SIZE = 8;
export const MAP_VALUE_SIZE = 12;
export const MAP_MAX_ENTRIES = 16;
/** map_flags without BPF_F_RDONLY and BPF_F_WRONLY, which belong to the file descriptor. */
export const MAP_FLAGS = 20;
/** The kernel's id of the map; set by whoever numbers maps. */
export const MAP_ID = 24;
/** 1 after BPF_MAP_FREEZE: user space writes no more. */
export const MAP_FROZEN = 28;
/** Arrays and queues: offset of element 0. */
export const MAP_VALUES = 32;
/** Distance between two elements (arrays, queues: round_up(value_size, 8); PROG_ARRAY, *_OF_MAPS: 8). */
export const MAP_STRIDE = 36;
/** Per-CPU maps: distance between one CPU's copy of a value and the next one's. 0 for others. */
export const MAP_CPU_STRIDE = 40;
/** Possible CPUs. */
export const MAP_CPUS = 44;
/** Elements held now (hash, LRU, LPM). */
export const MAP_COUNT = 48;
/** What a program may do with values: bit 0 read, bit 1 write (BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG). */
export const MAP_PERM = 52;
/** Low half of map_extra. */
export const MAP_EXTRA = 56;
/** Distance from a hash element, or an LPM node, to its value. */
export const MAP_VALUE_OFFSET = 60;

// ---- BPF_MAP_TYPE_PROG_ARRAY: elements --------------------------------------------------------------------------
/** Index in the shared function table of the program to jump to; 0 = empty slot. */
export const PROG_SLOT_TABLE_INDEX = 0;
/** Id of that program. */
export const PROG_SLOT_ID = 4;

// ---- BPF_MAP_TYPE_ARRAY_OF_MAPS, HASH_OF_MAPS: a value is u32 offset of the inner map's header (0 = empty), u32 0 ----

// ---- hash family ------------------------------------------------------------------------------------------------
//   element: u32 next in its bucket | u32 hash | key, padded to 8 | value (per-CPU: one per CPU, MAP_CPU_STRIDE apart)
//   key of 4 bytes: u32 next in its bucket | u32 key | value: 16 bytes for a value of 8, one cache line
//   an LRU element has 16 bytes before that: u32 previous, u32 next of its list | u8 type | u8 ref | u16 cpu | u32 0
export const HTAB_NEXT = 0;
/** Bit 0 of HTAB_NEXT: a program has been given the address of this element's value. */
export const HTAB_SEEN = 1;
export const HTAB_HASH = 4;
export const HTAB_KEY4 = 4;
export const HTAB_KEY = 8;
/** Where an element's key begins: HTAB_KEY4 or HTAB_KEY. */
export const HTAB_KEY_OFFSET = 76;
/** Offset of the buckets: one u32 each, the first element. */
export const HTAB_BUCKETS = 64;
/** Buckets - 1; and 32 less the bits of a bucket's number, which are the hash's upper ones. */
export const HTAB_MASK = 68;
export const HTAB_SHIFT = 88;
export const HTAB_SEED = 72;
/** LRU lists, or 0. */
export const HTAB_LRU = 80;
/** Bytes of a value that one copy moves. */
export const HTAB_COPY_SIZE = 84;
/** u32 per CPU: the element that the next update of an existing key takes (preallocated, one value for all CPUs). */
export const HTAB_SPARE = 192;

// ---- pool of equal elements (hash, LPM) --------------------------------------------------------------------------
/** Stack of the free elements: offset of an array of u32, and how many stand in it. */
export const POOL_FREE = 96;
export const POOL_FREE_COUNT = 92;
/** Newest chunk: u32 previous chunk, u32 elements, then the elements at + 16. */
export const POOL_CHUNKS = 100;
/** Bytes of an element. */
export const POOL_ELEM_SIZE = 104;
/** Distance from an element's start to where other members point (the LRU prefix), or 0. */
export const POOL_PREFIX = 108;
/** Elements in all chunks. */
export const POOL_TOTAL = 112;

// ---- LPM trie ----------------------------------------------------------------------------------------------------
//   node: u32 child 0 | u32 child 1 | u32 prefixlen | u32 flags | data, padded to 8 | value
export const LPM_ROOT = 64;
/** key_size - 4. */
export const LPM_DATA_SIZE = 68;

// ---- QUEUE, STACK ------------------------------------------------------------------------------------------------
export const QUEUE_HEAD = 64;
export const QUEUE_TAIL = 68;
/** max_entries + 1. */
export const QUEUE_SIZE = 72;

// ---- BLOOM_FILTER ------------------------------------------------------------------------------------------------
/** Bits - 1. */
export const BLOOM_MASK = 64;
export const BLOOM_HASHES = 68;
export const BLOOM_SEED = 72;
/** Offset of the bits. */
export const BLOOM_BITS = 76;

// ---- RINGBUF -----------------------------------------------------------------------------------------------------
//   data area: 2 * max_entries bytes, so that a record that wraps stays contiguous (the kernel maps its pages twice).
//   record: u32 length | BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT, u32 MAP_SLOT of the ring, payload; 8-aligned
/** Offset of the data area. */
export const RING_DATA = 64;
/** max_entries - 1. */
export const RING_MASK = 68;
/** u64 each, as the kernel counts: they never wrap. */
export const RING_CONSUMER = 72;
export const RING_PRODUCER = 80;
export const RING_PENDING = 88;
/** Wake-ups asked for so far (a commit that finds the consumer caught up, or BPF_RB_FORCE_WAKEUP). */
export const RING_WAKEUPS = 96;

// ---- PERF_EVENT_ARRAY: elements -----------------------------------------------------------------------------------
/** Offset of the sample ring; 0 = empty slot. */
export const PERF_SLOT_RING = 0;
/** CPU whose events it takes. */
export const PERF_SLOT_CPU = 4;
//   sample ring: header, then twice PERF_RING_SIZE bytes, so that a record that wraps stays contiguous. A record takes
//   as much room as in the kernel's ring: u32 length (a multiple of 8), u32 PERF_RECORD_*, then
//     PERF_RECORD_SAMPLE: u32 raw size, the sample, zeros up to the raw size; raw size + 4 is a multiple of 8
//     PERF_RECORD_LOST: u64 id, u64 samples lost since the record before
/** Bytes of data, a power of two. */
export const PERF_RING_SIZE = 0;
/** Samples that found no room and were not reported yet. */
export const PERF_RING_LOST = 4;
/** Free-running u32 positions. */
export const PERF_RING_HEAD = 8;
export const PERF_RING_TAIL = 12;
export const PERF_RING_DATA = 16;
export const PERF_RECORD_LOST = 2;
export const PERF_RECORD_SAMPLE = 9;
