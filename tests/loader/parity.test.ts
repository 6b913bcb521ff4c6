import { describe, expect, it } from "vitest";
import { measureAgainstLibbpf, measureLoader } from "../../tools/parity-loader.ts";
import { CORPUS_NEEDS } from "../support/corpus.ts";
import { want } from "../support/need.ts";

const w = want(...CORPUS_NEEDS, "shared");

describe.skipIf(w.skip)(w.title("the 6.12 selftests, linked"), () => {
  it("give the instructions that libbpf gave the kernel", async () => {
    const r = await measureLoader();
    expect(r.differences).toEqual([]);
    expect([r.equal, r.attributesEqual]).toEqual([r.programs, r.attributes]);
    expect(r.programs).toBeGreaterThan(3000);
    expect(r.relocated).toBeGreaterThan(500);
    expect(r.chosen).toBeLessThan(100);
  }, 1_200_000);
});

// All objects: `npm run parity -- loader`.
const SOME = [
  "access_map_in_map",
  "arena_list",
  "bpf_cubic",
  "bpf_dctcp",
  "core_kern",
  "fexit_bpf2bpf",
  "freplace_get_constant",
  "local_storage",
  "map_kptr",
  "prog_array_init",
  "profiler1",
  "pyperf50",
  "sockmap_verdict_prog",
  "strobemeta",
  "struct_ops_module",
  "tailcall_bpf2bpf1",
  "test_btf_map_in_map",
  "test_core_extern",
  "test_ksyms_btf",
  "test_map_init",
  "test_skeleton",
  "test_usdt",
  "test_vmlinux",
  "verifier_spill_fill",
  "xdp_synproxy_kern",
];

const l = want(...CORPUS_NEEDS, "libelf");

describe.skipIf(l.skip)(l.title("selftests on a backend that only listens"), () => {
  it("get what libbpf passes to bpf(2): maps, programs, contents, BTF", async () => {
    const r = await measureAgainstLibbpf(SOME);
    expect(r.differences).toEqual([]);
    expect(r.attributesEqual).toBe(r.attributes);
    expect(r.programs).toBeGreaterThan(80);
    expect(r.maps).toBeGreaterThan(60);
  }, 600_000);
});
