/*
 * Loads every program of an object through libbpf, runs those that BPF_PROG_TEST_RUN knows, and prints what came of it:
 *   load NAME ERRNO | run NAME ERRNO RETVAL | data MAP HEX
 * Nothing is attached. Usage: load OBJECT [my_tid SECTION OFFSET] [syscall_id SECTION OFFSET]
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

/* The selftests act on their own thread's calls only: tell them which one that is. */
static void set_variable(struct bpf_object *obj, long long value, size_t size_of, const char *map_name, unsigned offset)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj, map_name);
	size_t size = 0;
	char *data = map ? bpf_map__initial_value(map, &size) : NULL;

	if (data && offset + size_of <= size)
		memcpy(data + offset, &value, size_of);
}

static void print_data(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) {
		unsigned char value[4096];
		int zero = 0;

		if (!bpf_map__is_internal(map) || bpf_map__value_size(map) > sizeof(value))
			continue;
		if (bpf_map_lookup_elem(bpf_map__fd(map), &zero, value))
			continue;
		printf("data %s ", strchr(bpf_map__name(map), '.') ? strchr(bpf_map__name(map), '.') : bpf_map__name(map));
		for (unsigned i = 0; i < bpf_map__value_size(map); i++)
			printf("%02x", value[i]);
		printf("\n");
	}
}

/* One program at a time: what one is refused for does not hide the others. */
static void load_one(const char *path, const char *wanted, int argc, char **argv)
{
	struct bpf_object *obj = bpf_object__open_file(path, NULL);
	struct bpf_program *prog, *found = NULL;
	int err;

	if (!obj) {
		printf("open %d\n", errno);
		return;
	}
	bpf_object__for_each_program(prog, obj) {
		int is = strcmp(bpf_program__name(prog), wanted) == 0;

		bpf_program__set_autoload(prog, is);
		if (is)
			found = prog;
	}
	for (int i = 0; i + 2 < argc; i += 3) {
		int is_tid = strcmp(argv[i], "my_tid") == 0;
		unsigned offset = 0;

		sscanf(argv[i + 2], "%u", &offset);
		set_variable(obj, is_tid ? syscall(SYS_gettid) : -1, is_tid ? 4 : 8, argv[i + 1], offset);
	}
	err = bpf_object__load(obj);
	printf("load %s %d\n", wanted, err);
	if (err == 0) {
		unsigned long long context[2] = { 0, (unsigned long long)-1 };
		LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = context, .ctx_size_in = sizeof(context));

		err = bpf_prog_test_run_opts(bpf_program__fd(found), &opts);
		printf("run %s %d %u\n", wanted, err, opts.retval);
		print_data(obj);
	}
	bpf_object__close(obj);
}

int main(int argc, char **argv)
{
	struct bpf_object *obj;
	struct bpf_program *prog;

	if (argc < 2)
		return 2;
	libbpf_set_print(silent);
	obj = bpf_object__open_file(argv[1], NULL);
	if (!obj) {
		printf("open %d\n", errno);
		return 0;
	}
	bpf_object__for_each_program(prog, obj)
		load_one(argv[1], bpf_program__name(prog), argc - 2, argv + 2);
	bpf_object__close(obj);
	return 0;
}
