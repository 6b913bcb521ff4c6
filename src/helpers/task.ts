// Who is `current`: an embedded kernel has one task, which its owner describes (kernel/bpf/helpers.c).
import { EINVAL } from "../uapi/index.ts";
import type { CallFrame, HelperHost } from "./host.ts";

export function getCurrentPidTgid(host: HelperHost, _frame: CallFrame): number | bigint {
  return (BigInt(host.task.tgid) << 32n) | BigInt(host.task.pid);
}

export function getCurrentUidGid(host: HelperHost, _frame: CallFrame): number | bigint {
  return (BigInt(host.task.gid) << 32n) | BigInt(host.task.uid);
}

/** strscpy_pad(): cut to fit, the rest zero. */
export function getCurrentComm(host: HelperHost, frame: CallFrame): number | bigint {
  const size = frame.u32(2);
  const to = frame.writable(1, size);
  if (size === 0) return -EINVAL;
  const comm = new TextEncoder().encode(host.task.comm).subarray(0, Math.min(15, size - 1));
  frame.space.u8.fill(0, to, to + size);
  frame.space.u8.set(comm, to);
  return 0;
}

export function getCurrentCgroupId(host: HelperHost, _frame: CallFrame): number | bigint {
  return host.task.cgroupId;
}

/** The root is the ancestor at level 0; there is none below the task's own level. */
export function getCurrentAncestorCgroupId(host: HelperHost, frame: CallFrame): number | bigint {
  const level = frame.i32(1);
  const own = host.task.cgroupId === 1 ? 0 : 1;
  return level === own ? host.task.cgroupId : level === 0 ? 1 : 0;
}

/** struct bpf_pidns_info; one pid namespace, whose device and inode nobody can name. */
export function getNsCurrentPidTgid(_host: HelperHost, frame: CallFrame): number | bigint {
  const size = frame.u32(4);
  const to = frame.writable(3, size);
  frame.space.u8.fill(0, to, to + size);
  return -EINVAL;
}
