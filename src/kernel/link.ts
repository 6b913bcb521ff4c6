// Links and the attach points that they stand at (bpf_link_* in kernel/bpf/syscall.c). An embedded kernel has no
// traffic of its own: whoever drives it asks an attach point for its programs and runs them.
import { RefCounted } from "./objects.ts";
import type { Program } from "./program.ts";

/** Where programs can be attached: a device, a cgroup, a tracepoint, a function... */
export interface AttachPoint {
  readonly attachType: number;
  /** ifindex, cgroup id, or 0 where the program itself names its target. */
  readonly target: number;
}

export class Link extends RefCounted {
  override readonly kind = "link";
  /** BPF_LINK_TYPE_* */
  readonly type: number;
  readonly point: AttachPoint;
  readonly name: string;
  /** undefined once detached: the link itself lives on. */
  #program: Program | undefined;
  readonly #onRelease: (link: Link) => void;

  /** Takes over the caller's reference to `program`. */
  constructor(
    type: number,
    point: AttachPoint,
    program: Program,
    name: string,
    onRelease: (link: Link) => void,
  ) {
    super();
    this.type = type;
    this.point = point;
    this.name = name;
    this.#program = program;
    this.#onRelease = onRelease;
  }

  get program(): Program | undefined {
    return this.#program;
  }

  /** Takes over a reference to `program`. */
  replace(program: Program): void {
    this.#program?.put();
    this.#program = program;
  }

  detach(): void {
    this.#program?.put();
    this.#program = undefined;
  }

  protected override release(): void {
    this.detach();
    this.#onRelease(this);
  }
}
