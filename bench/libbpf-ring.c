// The yardstick of bench/rings.ts: runs a program and reads its ring buffer through libbpf. The caller has made both and
// passes their ids.
//   libbpf-ring PROG_ID MAP_ID RUNS REPEAT    prints: records, those out of order, nanoseconds of reading
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static unsigned long long next, records, wrong;

static int on_record(void *ctx, void *data, size_t size)
{
	unsigned long long count;

	memcpy(&count, data, sizeof(count));
	wrong += count != next++;
	records++;
	return 0;
}

static unsigned long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int main(int argc, char **argv)
{
	char packet[64] = {};
	unsigned long long ns = 0;

	if (argc != 5)
		return 2;
	int prog = bpf_prog_get_fd_by_id(atoi(argv[1])), map = bpf_map_get_fd_by_id(atoi(argv[2]));
	struct ring_buffer *ring = ring_buffer__new(map, on_record, NULL, NULL);

	if (prog < 0 || map < 0 || !ring)
		return 1;
	for (int i = 0; i < atoi(argv[3]); i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet), .repeat = atoi(argv[4]));

		if (bpf_prog_test_run_opts(prog, &opts))
			return 1;
		unsigned long long from = now();
		ring_buffer__consume(ring);
		ns += now() - from;
	}
	printf("%llu %llu %llu\n", records, wrong, ns);
	return 0;
}
