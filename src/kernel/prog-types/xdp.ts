import { XDP_MD_SIZE } from "../../helpers/index.ts";
import { BPF_PROG_TYPE_XDP } from "../../uapi/index.ts";
import { helpersOf, type ProgramType } from "../program-type.ts";
import { xdpTestRun } from "../test-run/xdp.ts";

export const XDP_TYPE: ProgramType = {
  type: BPF_PROG_TYPE_XDP,
  name: "xdp",
  helpers: helpersOf(BPF_PROG_TYPE_XDP),
  contextSize: XDP_MD_SIZE,
  testRun: xdpTestRun,
};
