import { describe, expect, it } from "vitest";
import { parity } from "../../tools/parity-attach.ts";
import { CORPUS_NEEDS } from "../support/corpus.ts";
import { want } from "../support/need.ts";

const live = want("qemu", ...CORPUS_NEEDS);
describe.skipIf(live.skip)(live.title("a guest with Debian's Linux 6.12"), () => {
  // `npm run parity -- attach` runs them all.
  it("boots, attaches a selftest by fentry, and hears of it by `for await`", async () => {
    const { summary, notes } = await parity(["--only", "test_ringbuf"]);
    expect(summary, notes.join("\n")).toBe("attach: 1/1 on 6.12");
  }, 900_000);
});
