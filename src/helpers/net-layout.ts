// Packets as the kernel side sees them, read by TypeScript (src/) and AssemblyScript (core/) alike: plain constants only.
// A context is the UAPI struct at the front, which the program may touch, and our own state behind it, which it may
// not. All members are u32 unless noted; addresses are offsets in linear memory.

export const ETH_HLEN = 14;
/** Both contexts fit. */
export const NET_CTX_SIZE = 512;

// ---- struct __sk_buff -------------------------------------------------------------------------------------------
export const SK_BUFF_SIZE = 192;
export const SK_BUFF_LEN = 0;
export const SK_BUFF_PKT_TYPE = 4;
export const SK_BUFF_MARK = 8;
export const SK_BUFF_QUEUE_MAPPING = 12;
/** Network byte order. */
export const SK_BUFF_PROTOCOL = 16;
export const SK_BUFF_VLAN_PRESENT = 20;
export const SK_BUFF_VLAN_TCI = 24;
export const SK_BUFF_VLAN_PROTO = 28;
export const SK_BUFF_PRIORITY = 32;
export const SK_BUFF_INGRESS_IFINDEX = 36;
export const SK_BUFF_IFINDEX = 40;
export const SK_BUFF_TC_INDEX = 44;
/** u32[5] */
export const SK_BUFF_CB = 48;
export const SK_BUFF_HASH = 68;
export const SK_BUFF_TC_CLASSID = 72;
export const SK_BUFF_DATA = 76;
export const SK_BUFF_DATA_END = 80;
export const SK_BUFF_NAPI_ID = 84;
export const SK_BUFF_FAMILY = 88;
export const SK_BUFF_REMOTE_IP4 = 92;
export const SK_BUFF_LOCAL_IP4 = 96;
/** u32[4] */
export const SK_BUFF_REMOTE_IP6 = 100;
/** u32[4] */
export const SK_BUFF_LOCAL_IP6 = 116;
export const SK_BUFF_REMOTE_PORT = 132;
export const SK_BUFF_LOCAL_PORT = 136;
export const SK_BUFF_DATA_META = 140;
/** u64 */
export const SK_BUFF_FLOW_KEYS = 144;
/** u64 */
export const SK_BUFF_TSTAMP = 152;
export const SK_BUFF_WIRE_LEN = 160;
export const SK_BUFF_GSO_SEGS = 164;
/** u64 */
export const SK_BUFF_SK = 168;
export const SK_BUFF_GSO_SIZE = 176;
/** u8 */
export const SK_BUFF_TSTAMP_TYPE = 180;
/** u64 */
export const SK_BUFF_HWTSTAMP = 184;

// ---- what of struct sk_buff the program does not see --------------------------------------------------------------
/** First byte of the buffer and the byte behind its last. */
export const SKB_HEAD = 192;
export const SKB_END = 196;
// SKB_DATA, SKB_TAIL, SKB_MAC_HEADER and SKB_NETWORK_HEADER follow (src/vm/layout.ts: LD_ABS reads them too).
/** Address; 0: not set. */
export const SKB_TRANSPORT_HEADER = 216;
/** SKB_F_* */
export const SKB_FLAGS = 220;
/** CHECKSUM_* */
export const SKB_IP_SUMMED = 224;
export const SKB_CSUM = 228;
export const SKB_CSUM_LEVEL = 232;
/** Bytes of metadata before data. */
export const SKB_META_LEN = 236;
/** What is painted for the program now: address and size. */
export const SKB_PAINTED = 240;
export const SKB_PAINTED_SIZE = 244;
/** 1 while __sk_buff.hash holds a computed hash. */
export const SKB_HASH_VALID = 248;
/** PERM_* of the painted range. */
export const SKB_PAINTED_PERM = 252;

/** skb->encapsulation */
export const SKB_F_ENCAPSULATION = 1;
/** The program may write packet bytes directly. */
export const SKB_F_DIRECT_WRITE = 2;

export const CHECKSUM_NONE = 0;
export const CHECKSUM_UNNECESSARY = 1;
export const CHECKSUM_COMPLETE = 2;
export const CHECKSUM_PARTIAL = 3;

/** SKB_MAX_ALLOC: helpers grow a packet up to here. */
export const BPF_SKB_MAX_LEN = 16064;

// ---- struct bpf_sock ----------------------------------------------------------------------------------------------
export const SOCK_SIZE = 80;
export const SOCK_FAMILY = 4;
export const SOCK_SRC_IP4 = 24;
/** u32[4] */
export const SOCK_SRC_IP6 = 28;
export const SOCK_DST_IP4 = 52;
/** u32[4] */
export const SOCK_DST_IP6 = 56;
export const SOCK_STATE = 72;
export const SOCK_RX_QUEUE_MAPPING = 76;

// ---- struct xdp_md ------------------------------------------------------------------------------------------------
export const XDP_MD_SIZE = 24;
export const XDP_MD_DATA = 0;
export const XDP_MD_DATA_END = 4;
export const XDP_MD_DATA_META = 8;
export const XDP_MD_INGRESS_IFINDEX = 12;
export const XDP_MD_RX_QUEUE_INDEX = 16;
export const XDP_MD_EGRESS_IFINDEX = 20;

// ---- struct xdp_buff ----------------------------------------------------------------------------------------------
export const XDP_DATA = 32;
export const XDP_DATA_END = 36;
export const XDP_DATA_META = 40;
export const XDP_DATA_HARD_START = 44;
/** xdp_data_hard_end(): data may grow up to here. */
export const XDP_DATA_HARD_END = 48;
export const XDP_NR_FRAGS = 52;
/** Bytes in all fragments. */
export const XDP_FRAGS_SIZE = 56;
export const XDP_PAINTED = 60;
export const XDP_PAINTED_SIZE = 64;
/** MAX_SKB_FRAGS pairs: address, size. */
export const XDP_FRAGS = 72;

export const MAX_SKB_FRAGS = 17;
export const XDP_PACKET_HEADROOM = 256;
/** sizeof(struct xdp_frame): the part of the headroom that data may not take. */
export const XDP_FRAME_STRUCT_SIZE = 40;
/** SKB_DATA_ALIGN(sizeof(struct skb_shared_info)). */
export const SHARED_INFO_SIZE = 320;
/** PAGE_SIZE: one XDP frame, one fragment. */
export const PAGE_SIZE = 4096;

// ---- struct bpf_redirect_info: in the CPU block -------------------------------------------------------------------
/** ifindex, or key of the map. */
export const REDIRECT_INDEX = 2048;
/** u32 flags of the helper, with the internal ones. */
export const REDIRECT_FLAGS = 2052;
/** Offset of the map, 0: the index is an ifindex. */
export const REDIRECT_MAP = 2056;
/** 1: some redirect helper asked for a target in this run. */
export const REDIRECT_SET = 2060;
