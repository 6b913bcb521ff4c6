// union bpf_attr and the info structs of Linux 6.18's include/uapi/linux/bpf.h, one table a command. Members that no
// command here sends are left out only at the end of a struct: offsets follow from what comes before.
import { layoutOf, type StructLayout } from "./struct.ts";

/** sizeof(union bpf_attr) that is passed: kernels take a longer one than theirs when the rest is zero. */
export const BPF_ATTR_SIZE = 168;

export const MAP_CREATE: StructLayout = layoutOf(`
  map_type:4 key_size:4 value_size:4 max_entries:4 map_flags:4 inner_map_fd:4 numa_node:4 map_name:16s map_ifindex:4
  btf_fd:4 btf_key_type_id:4 btf_value_type_id:4 btf_vmlinux_value_type_id:4 map_extra:8 value_type_btf_obj_fd:4
  map_token_fd:4`);

export const MAP_ELEM: StructLayout = layoutOf("map_fd:4 key:8 value:8 (next_key:8) flags:8");

export const PROG_LOAD: StructLayout = layoutOf(`
  prog_type:4 insn_cnt:4 insns:8 license:8 log_level:4 log_size:4 log_buf:8 kern_version:4 prog_flags:4 prog_name:16s
  prog_ifindex:4 expected_attach_type:4 prog_btf_fd:4 func_info_rec_size:4 func_info:8 func_info_cnt:4
  line_info_rec_size:4 line_info:8 line_info_cnt:4 attach_btf_id:4 attach_prog_fd:4 (attach_btf_obj_fd:4)
  core_relo_cnt:4 fd_array:8 core_relos:8 core_relo_rec_size:4 log_true_size:4 prog_token_fd:4 fd_array_cnt:4`);

export const TEST_RUN: StructLayout = layoutOf(`
  prog_fd:4 retval:4 data_size_in:4 data_size_out:4 data_in:8 data_out:8 repeat:4 duration:4 ctx_size_in:4
  ctx_size_out:4 ctx_in:8 ctx_out:8 flags:4 cpu:4 batch_size:4`);

export const BTF_LOAD: StructLayout = layoutOf(
  "btf:8 btf_log_buf:8 btf_size:4 btf_log_size:4 btf_log_level:4 btf_log_true_size:4 btf_flags:4 btf_token_fd:4",
);

export const OBJ: StructLayout = layoutOf("pathname:8 bpf_fd:4 file_flags:4");
export const BY_ID: StructLayout = layoutOf("id:4 next_id:4 open_flags:4");
export const INFO: StructLayout = layoutOf("bpf_fd:4 info_len:4 info:8");

/** BPF_MAP_*_BATCH. */
export const BATCH: StructLayout = layoutOf(
  "in_batch:8 out_batch:8 keys:8 values:8 count:4 map_fd:4 elem_flags:8 flags:8",
);
export const PROG_ATTACH: StructLayout = layoutOf(`
  target_fd:4 attach_bpf_fd:4 attach_type:4 attach_flags:4 replace_bpf_fd:4 relative_fd:4 expected_revision:8`);
export const PROG_QUERY: StructLayout = layoutOf(`
  target_fd:4 attach_type:4 query_flags:4 attach_flags:4 prog_ids:8 prog_cnt:4 prog_attach_flags:8 link_ids:8
  link_attach_flags:8 revision:8`);

/** link_create's head, and one layout for each member of its union (at 16). */
const LINK_HEAD = "prog_fd:4 target_fd:4 attach_type:4 flags:4";
const linkLayout = (members: string): StructLayout => layoutOf(`${LINK_HEAD} ${members}`);
type LinkKind =
  | "target_btf_id"
  | "iter"
  | "perf_event"
  | "kprobe_multi"
  | "uprobe_multi"
  | "tracing"
  | "netfilter"
  | "position";
export const LINK_CREATE: Readonly<Record<LinkKind, StructLayout>> = {
  target_btf_id: linkLayout("target_btf_id:4"),
  iter: linkLayout("iter_info:8 iter_info_len:4"),
  perf_event: linkLayout("bpf_cookie:8"),
  kprobe_multi: linkLayout("multi_flags:4 cnt:4 syms:8 addrs:8 cookies:8"),
  uprobe_multi: linkLayout("path:8 offsets:8 ref_ctr_offsets:8 cookies:8 cnt:4 multi_flags:4 pid:4"),
  tracing: linkLayout("target_btf_id:4 cookie:8"),
  netfilter: linkLayout("pf:4 hooknum:4 priority:4 nf_flags:4"),
  /** tcx, netkit, cgroup. */
  position: linkLayout("relative_fd:4 (relative_id:4) expected_revision:8"),
};

export const LINK_UPDATE: StructLayout = layoutOf("link_fd:4 new_prog_fd:4 flags:4 old_prog_fd:4");
export const LINK_DETACH: StructLayout = layoutOf("link_fd:4");
export const RAW_TRACEPOINT_OPEN: StructLayout = layoutOf("name:8 prog_fd:4 cookie:8");
export const ENABLE_STATS: StructLayout = layoutOf("type:4");
export const ITER_CREATE: StructLayout = layoutOf("link_fd:4 flags:4");
export const PROG_BIND_MAP: StructLayout = layoutOf("prog_fd:4 map_fd:4 flags:4");
export const TOKEN_CREATE: StructLayout = layoutOf("flags:4 bpffs_fd:4");

/** `flags_bits` holds gpl_compatible in bit 0. */
export const PROG_INFO: StructLayout = layoutOf(`
  type:4 id:4 tag:8s jited_prog_len:4 xlated_prog_len:4 jited_prog_insns:8 xlated_prog_insns:8 load_time:8
  created_by_uid:4 nr_map_ids:4 map_ids:8 name:16s ifindex:4 flags_bits:4 netns_dev:8 netns_ino:8 nr_jited_ksyms:4
  nr_jited_func_lens:4 jited_ksyms:8 jited_func_lens:8 btf_id:4 func_info_rec_size:4 func_info:8 nr_func_info:4
  nr_line_info:4 line_info:8 jited_line_info:8 nr_jited_line_info:4 line_info_rec_size:4 jited_line_info_rec_size:4
  nr_prog_tags:4 prog_tags:8 run_time_ns:8 run_cnt:8 recursion_misses:8 verified_insns:4 attach_btf_obj_id:4
  attach_btf_id:4`);

export const MAP_INFO: StructLayout = layoutOf(`
  type:4 id:4 key_size:4 value_size:4 max_entries:4 map_flags:4 name:16s ifindex:4 btf_vmlinux_value_type_id:4
  netns_dev:8 netns_ino:8 btf_id:4 btf_key_type_id:4 btf_value_type_id:4 btf_vmlinux_id:4 map_extra:8`);

export const BTF_INFO: StructLayout = layoutOf("btf:8 btf_size:4 id:4 name:8 name_len:4 kernel_btf:4");

/** bpf_link_info: its union starts at 16, and uprobe_multi, the longest member, has 48 bytes (link-info.ts reads it). */
export const LINK_INFO: StructLayout = layoutOf("type:4 id:4 prog_id:4 pad:4 union:48s");

/** The first version of the struct that has what probes and samples need (PERF_ATTR_SIZE_VER5 and its config3). */
export const PERF_EVENT_ATTR: StructLayout = layoutOf(`
  type:4 size:4 config:8 sample_period:8 sample_type:8 read_format:8 flag_bits:8 wakeup_events:4 bp_type:4 config1:8
  config2:8 branch_sample_type:8 sample_regs_user:8 sample_stack_user:4 clockid:4 sample_regs_intr:8 aux_watermark:4
  sample_max_stack:4`);
