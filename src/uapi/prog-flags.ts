// #define flags of include/uapi/linux/bpf.h, which no enum and so no BTF holds.
/** PROG_LOAD: prog_flags. */
export const BPF_F_STRICT_ALIGNMENT: number = 1 << 0;
export const BPF_F_ANY_ALIGNMENT: number = 1 << 1;
export const BPF_F_TEST_RND_HI32: number = 1 << 2;
export const BPF_F_TEST_STATE_FREQ: number = 1 << 3;
export const BPF_F_SLEEPABLE: number = 1 << 4;
export const BPF_F_XDP_HAS_FRAGS: number = 1 << 5;
export const BPF_F_XDP_DEV_BOUND_ONLY: number = 1 << 6;
export const BPF_F_TEST_REG_INVARIANTS: number = 1 << 7;
/** PROG_TEST_RUN: flags. */
export const BPF_F_TEST_RUN_ON_CPU: number = 1 << 0;
export const BPF_F_TEST_XDP_LIVE_FRAMES: number = 1 << 1;
export const BPF_F_TEST_SKB_CHECKSUM_COMPLETE: number = 1 << 2;
