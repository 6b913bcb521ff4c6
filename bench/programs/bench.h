/* One source, two targets: BPF (an XDP program) and the host's own code (a shared library). */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#define rotl32(x, k) (((x) << (k)) | ((x) >> (32 - (k))))
#define rotl64(x, k) (((x) << (k)) | ((x) >> (64 - (k))))
#define swap16(x) ((u16)__builtin_bswap16(x))
#define swap32(x) __builtin_bswap32(x)

/* The packet that every program gets. */
#define PACKET 2048

#ifdef __bpf__
struct xdp_md {
  u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};
#define SEC(name) __attribute__((section(name), used))
#define PROGRAM(p)                                                          \
  static __attribute__((always_inline)) u32 work(u8 *p);                    \
  SEC("xdp") int program(struct xdp_md *ctx) {                              \
    u8 *data = (u8 *)(long)ctx->data;                                       \
    u8 *end = (u8 *)(long)ctx->data_end;                                    \
    if (data + PACKET > end) return 0;                                      \
    return work(data);                                                      \
  }                                                                         \
  char _license[] SEC("license") = "GPL";                                   \
  static __attribute__((always_inline)) u32 work(u8 *p)
static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
#else
#include <time.h>
#define PROGRAM(p)                                                          \
  static u32 work(u8 *p);                                                   \
  __attribute__((noinline)) u32 program(u8 *data) {                         \
    __asm__ volatile("" : "+r"(data) : : "memory");                         \
    return work(data);                                                      \
  }                                                                         \
  double measure(u8 *data, u32 repeat) {                                    \
    struct timespec a, b;                                                   \
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);                                     \
    for (u32 i = 0; i < repeat; i++) program(data);                         \
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);                                     \
    return ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / repeat; \
  }                                                                         \
  static u32 work(u8 *p)
#endif
