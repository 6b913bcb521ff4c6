/**
 * What a helper, kfunc or global function wants in an argument and gives back: enum bpf_arg_type and enum
 * bpf_return_type. A base type in the low byte, the flags of reg-type.ts above it. The numbers are ours; the order and
 * the names are 6.12's. ARG_PTR_TO_LONG and ARG_PTR_TO_INT of older kernels are ARG_PTR_TO_FIXED_SIZE_MEM with flags.
 */
import {
  MEM_FIXED_SIZE,
  MEM_RINGBUF,
  MEM_UNINIT,
  MEM_WRITE,
  PTR_MAYBE_NULL,
  PTR_TRUSTED,
} from "../state/reg-type.ts";

export const ARG_DONTCARE = 0;
export const ARG_CONST_MAP_PTR = 1;
export const ARG_PTR_TO_MAP_KEY = 2;
export const ARG_PTR_TO_MAP_VALUE = 3;
export const ARG_PTR_TO_MEM = 4;
export const ARG_PTR_TO_ARENA = 5;
export const ARG_CONST_SIZE = 6;
export const ARG_CONST_SIZE_OR_ZERO = 7;
export const ARG_PTR_TO_CTX = 8;
export const ARG_ANYTHING = 9;
export const ARG_SCALAR = 10;
export const ARG_PTR_TO_SPIN_LOCK = 11;
export const ARG_PTR_TO_SOCK_COMMON = 12;
export const ARG_PTR_TO_SOCKET = 13;
export const ARG_PTR_TO_BTF_ID = 14;
export const ARG_PTR_TO_RINGBUF_MEM = 15;
export const ARG_CONST_ALLOC_SIZE_OR_ZERO = 16;
export const ARG_PTR_TO_BTF_ID_SOCK_COMMON = 17;
export const ARG_PTR_TO_PERCPU_BTF_ID = 18;
export const ARG_PTR_TO_FUNC = 19;
export const ARG_PTR_TO_STACK = 20;
export const ARG_PTR_TO_CONST_STR = 21;
export const ARG_PTR_TO_TIMER = 22;
export const ARG_KPTR_XCHG_DEST = 23;
export const ARG_PTR_TO_DYNPTR = 24;

export const ARG_PTR_TO_MAP_VALUE_OR_NULL: number = PTR_MAYBE_NULL | ARG_PTR_TO_MAP_VALUE;
export const ARG_PTR_TO_MEM_OR_NULL: number = PTR_MAYBE_NULL | ARG_PTR_TO_MEM;
export const ARG_PTR_TO_CTX_OR_NULL: number = PTR_MAYBE_NULL | ARG_PTR_TO_CTX;
export const ARG_PTR_TO_SOCKET_OR_NULL: number = PTR_MAYBE_NULL | ARG_PTR_TO_SOCKET;
export const ARG_PTR_TO_STACK_OR_NULL: number = PTR_MAYBE_NULL | ARG_PTR_TO_STACK;
export const ARG_PTR_TO_BTF_ID_OR_NULL: number = PTR_MAYBE_NULL | ARG_PTR_TO_BTF_ID;
/** The helper fills all of it, or clears it in case of error. 6.1 to 6.11 have no MEM_WRITE. */
export const ARG_PTR_TO_UNINIT_MEM: number = MEM_UNINIT | MEM_WRITE | ARG_PTR_TO_MEM;
/** Its size is in HelperSpec.argSize. */
export const ARG_PTR_TO_FIXED_SIZE_MEM: number = MEM_FIXED_SIZE | ARG_PTR_TO_MEM;

export const RET_INTEGER = 0;
export const RET_VOID = 1;
export const RET_PTR_TO_MAP_VALUE = 2;
export const RET_PTR_TO_SOCKET = 3;
export const RET_PTR_TO_TCP_SOCK = 4;
export const RET_PTR_TO_SOCK_COMMON = 5;
export const RET_PTR_TO_MEM = 6;
export const RET_PTR_TO_MEM_OR_BTF_ID = 7;
export const RET_PTR_TO_BTF_ID = 8;

export const RET_PTR_TO_MAP_VALUE_OR_NULL: number = PTR_MAYBE_NULL | RET_PTR_TO_MAP_VALUE;
export const RET_PTR_TO_SOCKET_OR_NULL: number = PTR_MAYBE_NULL | RET_PTR_TO_SOCKET;
export const RET_PTR_TO_TCP_SOCK_OR_NULL: number = PTR_MAYBE_NULL | RET_PTR_TO_TCP_SOCK;
export const RET_PTR_TO_SOCK_COMMON_OR_NULL: number = PTR_MAYBE_NULL | RET_PTR_TO_SOCK_COMMON;
export const RET_PTR_TO_RINGBUF_MEM_OR_NULL: number = PTR_MAYBE_NULL | MEM_RINGBUF | RET_PTR_TO_MEM;
export const RET_PTR_TO_DYNPTR_MEM_OR_NULL: number = PTR_MAYBE_NULL | RET_PTR_TO_MEM;
export const RET_PTR_TO_BTF_ID_OR_NULL: number = PTR_MAYBE_NULL | RET_PTR_TO_BTF_ID;
export const RET_PTR_TO_BTF_ID_TRUSTED: number = PTR_TRUSTED | RET_PTR_TO_BTF_ID;
