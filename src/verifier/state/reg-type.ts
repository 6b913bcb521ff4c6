/**
 * What a register can hold: enum bpf_reg_type of include/linux/bpf.h, a base type in the low byte and flags above it
 * (enum bpf_type_flag). The numbers are ours; the names are the kernel's.
 */
export const NOT_INIT = 0;
export const SCALAR_VALUE = 1;
export const PTR_TO_CTX = 2;
export const CONST_PTR_TO_MAP = 3;
export const PTR_TO_MAP_VALUE = 4;
export const PTR_TO_MAP_KEY = 5;
export const PTR_TO_STACK = 6;
export const PTR_TO_PACKET_META = 7;
export const PTR_TO_PACKET = 8;
export const PTR_TO_PACKET_END = 9;
export const PTR_TO_FLOW_KEYS = 10;
export const PTR_TO_SOCKET = 11;
export const PTR_TO_SOCK_COMMON = 12;
export const PTR_TO_TCP_SOCK = 13;
export const PTR_TO_TP_BUFFER = 14;
export const PTR_TO_XDP_SOCK = 15;
export const PTR_TO_BTF_ID = 16;
export const PTR_TO_MEM = 17;
export const PTR_TO_ARENA = 18;
export const PTR_TO_BUF = 19;
export const PTR_TO_FUNC = 20;
export const CONST_PTR_TO_DYNPTR = 21;
export const PTR_TO_INSN = 22;

export const BASE_TYPE_MASK = 0xff;

/** enum bpf_type_flag. Shared by register types, argument types and return types. */
export const PTR_MAYBE_NULL: number = 1 << 8;
export const MEM_RDONLY: number = 1 << 9;
export const MEM_RINGBUF: number = 1 << 10;
export const MEM_USER: number = 1 << 11;
export const MEM_PERCPU: number = 1 << 12;
export const OBJ_RELEASE: number = 1 << 13;
export const PTR_UNTRUSTED: number = 1 << 14;
export const MEM_UNINIT: number = 1 << 15;
export const DYNPTR_TYPE_LOCAL: number = 1 << 16;
export const DYNPTR_TYPE_RINGBUF: number = 1 << 17;
export const MEM_FIXED_SIZE: number = 1 << 18;
export const MEM_ALLOC: number = 1 << 19;
export const PTR_TRUSTED: number = 1 << 20;
export const MEM_RCU: number = 1 << 21;
export const NON_OWN_REF: number = 1 << 22;
export const DYNPTR_TYPE_SKB: number = 1 << 23;
export const DYNPTR_TYPE_XDP: number = 1 << 24;
export const MEM_ALIGNED: number = 1 << 25;
export const MEM_WRITE: number = 1 << 26;
export const DYNPTR_TYPE_SKB_META: number = 1 << 27;
export const DYNPTR_TYPE_FILE: number = 1 << 28;

export function baseType(type: number): number {
  return type & BASE_TYPE_MASK;
}

export function typeFlags(type: number): number {
  return type & ~BASE_TYPE_MASK;
}

export function mayBeNull(type: number): boolean {
  return (type & PTR_MAYBE_NULL) !== 0;
}
