// bpf_prog_test_run_sk_lookup() of net/bpf/test_run.c: the context is what user space sees of struct bpf_sk_lookup.
//
//   0 cookie (out)   8 family   12 protocol   16 remote_ip4   20 remote_ip6[4]   36 remote_port (be16)
//   40 local_ip4   44 local_ip6[4]   60 local_port   64 ingress_ifindex, and 4 bytes of padding
import { EAFNOSUPPORT, EINVAL, ERANGE, SK_DROP, SK_PASS } from "../../uapi/index.ts";
import type { TestRun } from "../program-type.ts";
import { contextIn, failed, finished, isZero } from "./result.ts";

const SIZE = 72;
const FAMILY = 8;
const LOCAL_PORT = 60;
const IFINDEX = 64;
const AF_INET = 2;
const AF_INET6 = 10;

export const skLookupTestRun: TestRun = (env, program, attr) => {
  if (attr.flags || attr.cpu || attr.batch_size) return failed(-EINVAL);
  if (attr.data_in?.length || attr.data_size_out) return failed(-EINVAL);
  const given = contextIn(attr, SIZE);
  if (typeof given === "number") return failed(given);
  if (given === undefined || !isZero(given, 0, 8) || !isZero(given, IFINDEX, SIZE)) return failed(-EINVAL);
  const view = new DataView(given.buffer);
  if (view.getUint32(LOCAL_PORT, true) > 0xffff) return failed(-ERANGE);
  const family = view.getUint32(FAMILY, true) & 0xffff;
  if (family !== AF_INET && family !== AF_INET6) return failed(-EAFNOSUPPORT);
  const { space } = env;
  const ctx = space.alloc(SIZE, "rw");
  try {
    space.u8.set(given, ctx);
    // The kernel keeps two bytes of it.
    space.dv.setUint32(ctx + FAMILY, family, true);
    // No socket can be chosen here: what is not SK_PASS drops.
    const { retval, duration } = env.runner.repeat(program, ctx, attr.repeat ?? 1);
    return finished(attr, {
      retval: retval === SK_PASS ? SK_PASS : SK_DROP,
      duration,
      data: new Uint8Array(0),
      ctx: given,
    });
  } finally {
    space.free(ctx);
  }
};
