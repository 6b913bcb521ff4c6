import { RefCounted } from "./objects.ts";

/** BTF that BPF_BTF_LOAD brought in. */
export class BtfObject extends RefCounted {
  override readonly kind = "btf";
  readonly bytes: Uint8Array;
  readonly #onRelease: (object: BtfObject) => void;

  constructor(bytes: Uint8Array, onRelease: (object: BtfObject) => void) {
    super();
    this.bytes = bytes;
    this.#onRelease = onRelease;
  }

  protected override release(): void {
    this.#onRelease(this);
  }
}
