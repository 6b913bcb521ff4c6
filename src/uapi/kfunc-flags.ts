// KF_* of include/linux/btf.h: what a kernel function's registration says of it.
export const KF_ACQUIRE: number = 1 << 0;
export const KF_RELEASE: number = 1 << 1;
export const KF_RET_NULL: number = 1 << 2;
/** 6.1 only. */
export const KF_KPTR_GET: number = 1 << 3;
export const KF_TRUSTED_ARGS: number = 1 << 4;
export const KF_SLEEPABLE: number = 1 << 5;
export const KF_DESTRUCTIVE: number = 1 << 6;
export const KF_RCU: number = 1 << 7;
export const KF_ITER_NEW: number = 1 << 8;
export const KF_ITER_NEXT: number = 1 << 9;
export const KF_ITER_DESTROY: number = 1 << 10;
export const KF_RCU_PROTECTED: number = 1 << 11;
export const KF_FASTCALL: number = 1 << 12;
export const KF_ARENA_RET: number = 1 << 13;
export const KF_ARENA_ARG1: number = 1 << 14;
export const KF_ARENA_ARG2: number = 1 << 15;

const BITS: Readonly<Record<string, number>> = {
  KF_ACQUIRE,
  KF_RELEASE,
  KF_RET_NULL,
  KF_KPTR_GET,
  KF_TRUSTED_ARGS,
  KF_SLEEPABLE,
  KF_DESTRUCTIVE,
  KF_RCU,
  KF_ITER_NEW,
  KF_ITER_NEXT,
  KF_ITER_DESTROY,
  KF_RCU_PROTECTED,
  KF_FASTCALL,
  KF_ARENA_RET,
  KF_ARENA_ARG1,
  KF_ARENA_ARG2,
};

/** "KF_ACQUIRE|KF_RET_NULL" as bits. Unknown names are left out: they say nothing about a call's legality. */
export function parseKfuncFlags(text: string): number {
  let bits = 0;
  for (const name of text.split("|")) bits |= BITS[name] ?? 0;
  return bits;
}
