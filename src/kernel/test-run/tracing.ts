// bpf_prog_test_run_tracing() of net/bpf/test_run.c: the program does not run itself; the kernel calls its fixed test
// functions, and whatever is attached to them runs.
import { BPF_MODIFY_RETURN, BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, EFAULT, EINVAL } from "../../uapi/index.ts";
import type { TestRun } from "../program-type.ts";
import { failed } from "./result.ts";

/** bpf_modify_return_test(1, &b) + bpf_modify_return_test2(1, &b, 3, 4, 5, 6, 7) with b = 2, which both change. */
const MODIFY_RETURN_RESULT = (2 << 16) | (4 + 29);

export const tracingTestRun: TestRun = (_env, program, attr) => {
  if (attr.flags || attr.cpu || attr.batch_size) return failed(-EINVAL);
  switch (program.expectedAttachType) {
    case BPF_TRACE_FENTRY:
    case BPF_TRACE_FEXIT:
      return failed(0);
    case BPF_MODIFY_RETURN:
      return { ...failed(0), retval: MODIFY_RETURN_RESULT };
    default:
      return failed(-EFAULT);
  }
};
