/**
 * The verifier: what Linux says of a program, outside Linux. `verify()` is a function of the program, a kernel's profile
 * and its BTF.
 */
export type {
  AttachedProgram,
  AttachTarget,
  LineInfo,
  VerifierInput,
  VerifierOptions,
  VerifierResult,
  VerifierStats,
} from "./input.ts";
export { BPF_LOG_LEVEL1, BPF_LOG_LEVEL2, BPF_LOG_STATS } from "./input.ts";
export type { MapDescription } from "./map-description.ts";
export type { Profile } from "./profile.ts";
export { DEFAULT_PROFILE, findProfile, PROFILE_NAMES } from "./profiles.ts";
export { verify } from "./verify.ts";
