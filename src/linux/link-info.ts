// struct bpf_link_info: where each type of link keeps what it is attached to, and how.
import type { LinkInfo } from "../backend/index.ts";
import * as uapi from "../uapi/index.ts";

/** Offsets into the struct. */
interface Place {
  readonly target?: number;
  readonly attachType?: number;
  /** A pointer to a buffer for the name; the buffer's length stands 8 bytes behind it. */
  readonly name?: number;
  readonly cookie?: number;
}

const NET: Place = { target: 16, attachType: 20 };
const PLACES: Readonly<Record<number, Place>> = {
  [uapi.BPF_LINK_TYPE_RAW_TRACEPOINT]: { name: 16, cookie: 32 },
  [uapi.BPF_LINK_TYPE_TRACING]: { attachType: 16, target: 24, cookie: 32 },
  [uapi.BPF_LINK_TYPE_CGROUP]: { attachType: 24 },
  [uapi.BPF_LINK_TYPE_ITER]: { name: 16, target: 28 },
  [uapi.BPF_LINK_TYPE_NETNS]: NET,
  [uapi.BPF_LINK_TYPE_XDP]: { target: 16 },
  [uapi.BPF_LINK_TYPE_STRUCT_OPS]: { target: 16 },
  [uapi.BPF_LINK_TYPE_NETFILTER]: { target: 20 },
  [uapi.BPF_LINK_TYPE_TCX]: NET,
  [uapi.BPF_LINK_TYPE_NETKIT]: NET,
  [uapi.BPF_LINK_TYPE_SOCKMAP]: NET,
};

/** By BPF_PERF_EVENT_*: the members of the inner union, at 24. */
const PERF_PLACES: Readonly<Record<number, Place>> = {
  [uapi.BPF_PERF_EVENT_UPROBE]: { name: 24, target: 36, cookie: 40 },
  [uapi.BPF_PERF_EVENT_URETPROBE]: { name: 24, target: 36, cookie: 40 },
  [uapi.BPF_PERF_EVENT_KPROBE]: { name: 24, target: 36, cookie: 56 },
  [uapi.BPF_PERF_EVENT_KRETPROBE]: { name: 24, target: 36, cookie: 56 },
  [uapi.BPF_PERF_EVENT_TRACEPOINT]: { name: 24, cookie: 40 },
  [uapi.BPF_PERF_EVENT_EVENT]: { target: 24, cookie: 40 },
};

const NAME_SIZE = 256;

/** `get` asks the kernel (BPF_OBJ_GET_INFO_BY_FD) with the struct as it stands; `address` gives pointers. */
export function readLinkInfo(
  size: number,
  get: (info: Uint8Array) => number,
  address: (bytes: Uint8Array) => bigint,
): LinkInfo | number {
  const info = new Uint8Array(size);
  const view = new DataView(info.buffer);
  let err = get(info);
  if (err < 0) return err;
  const type = view.getUint32(0, true);
  const isPerf = type === uapi.BPF_LINK_TYPE_PERF_EVENT;
  const perfType = isPerf ? view.getUint32(16, true) : 0;
  const place = (isPerf ? PERF_PLACES[perfType] : PLACES[type]) ?? {};
  let name: Uint8Array | undefined;
  if (place.name !== undefined) {
    name = new Uint8Array(NAME_SIZE);
    info.fill(0);
    view.setBigUint64(place.name, address(name), true);
    view.setUint32(place.name + 8, name.length, true);
    err = get(info);
    // The name does not fit, or hides (kptr_restrict): the rest is there.
    if (err < 0) name = undefined;
  }
  const cgroup = type === uapi.BPF_LINK_TYPE_CGROUP;
  return {
    type,
    id: view.getUint32(4, true),
    prog_id: view.getUint32(8, true),
    attach_type: place.attachType === undefined ? 0 : view.getUint32(place.attachType, true),
    target: cgroup
      ? Number(view.getBigUint64(16, true))
      : place.target === undefined
        ? 0
        : view.getUint32(place.target, true),
    ...(name === undefined
      ? {}
      : { target_name: new TextDecoder().decode(name.subarray(0, name.indexOf(0))) }),
    ...(place.cookie === undefined ? {} : { cookie: view.getBigUint64(place.cookie, true) }),
    ...(isPerf ? { perf_event_type: perfType } : {}),
  };
}
