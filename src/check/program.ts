/** One program, one kernel: linked and verified. What stops it before the verifier is a result too. */
import type { Btf } from "../btf/index.ts";
import { TsbpfError, UnsupportedError } from "../diag/index.ts";
import type { BpfObject, ProgramSpec } from "../loader/index.ts";
import {
  findProfile,
  PROFILE_NAMES,
  type VerifierInput,
  type VerifierOptions,
  type VerifierResult,
  verify,
} from "../verifier/index.ts";
import { type CheckInputOptions, verifierInput } from "./input.ts";

export interface CheckOptions extends VerifierOptions, Omit<CheckInputOptions, "targetBtf"> {
  /** A kernel with a profile: "6.1", "6.12", "6.18". */
  readonly kernel: string;
  readonly kernelBtf: Btf;
}

export interface CheckResult {
  readonly program: string;
  readonly kernel: string;
  /** Why it did not get as far as the verifier (an unresolved relocation, a missing attach target); then no `verdict`. */
  readonly error: TsbpfError | undefined;
  readonly verdict: VerifierResult | undefined;
  readonly input: VerifierInput | undefined;
}

/** Throws UnsupportedError for a kernel without a profile. */
export function checkProgram(object: BpfObject, program: ProgramSpec, options: CheckOptions): CheckResult {
  const { kernel, kernelBtf } = options;
  const profile = findProfile(kernel);
  if (profile === null)
    throw new UnsupportedError(`kernel ${kernel}`, `there are profiles of ${PROFILE_NAMES.join(", ")}`);
  const head = { program: program.name, kernel: profile.name };
  let input: VerifierInput;
  try {
    input = verifierInput(object, program, { ...options, targetBtf: kernelBtf });
  } catch (error) {
    if (!(error instanceof TsbpfError)) throw error;
    return { ...head, error, verdict: undefined, input: undefined };
  }
  return { ...head, error: undefined, verdict: verify(input, profile, kernelBtf, options), input };
}
