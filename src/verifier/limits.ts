/** Limits of include/linux/bpf.h and kernel/bpf/verifier.c. They have not changed since 5.2. */
export const BPF_COMPLEXITY_LIMIT_INSNS = 1_000_000;
export const BPF_COMPLEXITY_LIMIT_JMP_SEQ = 8192;
export const BPF_COMPLEXITY_LIMIT_STATES = 64;
/** Largest offset that a pointer may carry, and the bound a variable one must stay below. */
export const BPF_MAX_VAR_OFF: number = 1 << 29;
export const BPF_MAX_VAR_SIZ: number = 1 << 29;
export const BPF_MAX_SUBPROGS = 256;
export const MAX_USED_MAPS = 64;
export const MAX_USED_BTFS = 64;
export const MAX_KFUNC_DESCS = 256;
export const BPF_MAIN_FUNC = -1;
/** RegState.subregDef of a register whose upper half is known to be right. */
export const DEF_NOT_SUBREG = 0;
/** R0 to R5 do not survive a call. */
export const CALLER_SAVED_REGS = 6;
/** From this depth on a function gets a private stack, where the JIT has them. */
export const BPF_PRIV_STACK_MIN_SIZE = 64;
