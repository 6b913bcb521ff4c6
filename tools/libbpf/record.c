/*
 * What libbpf would hand to bpf(2): opens objects with the real library, answers every bpf(2) command itself, and
 * prints one JSON line per command. Nothing reaches the kernel, so no program is verified and nothing is attached.
 *
 *   record --btf VMLINUX_BTF [--each] OBJECT...     what each load passes
 *   record --btf VMLINUX_BTF --time ROUNDS OBJECT...  nanoseconds of open and load, summed over the objects
 *
 * Links against a static libbpf with --wrap=syscall, --wrap=probe_kern_syscall_wrapper, --wrap=btf__load_vmlinux_btf
 * and --wrap=btf__free: the target's BTF is read once, and not once an object.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
/* Hidden names, within reach of a static link. */
#include "libbpf_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

long __real_syscall(long number, ...);
void __real_btf__free(struct btf *btf);

static struct btf *vmlinux;
static struct bpf_object *current;
static bool recording;

enum { MAX_FD = 65536 };

static void hex(const char *name, const void *bytes, size_t size)
{
	const unsigned char *p = bytes;

	printf(",\"%s\":\"", name);
	for (size_t i = 0; i < size; i++)
		printf("%02x", p[i]);
	printf("\"");
}

static void text(const char *name, const char *value)
{
	printf(",\"%s\":\"", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			printf("\\%c", *value);
		else if ((unsigned char)*value < ' ')
			printf("\\u%04x", *value);
		else
			putchar(*value);
	}
	printf("\"");
}

/* Sizes of the map behind an fd, which libbpf moves by dup3. */
static struct {
	unsigned int key, value;
} sizes[MAX_FD];

static void print_map(const union bpf_attr *a)
{
	printf("{\"event\":\"map\"");
	text("name", a->map_name);
	printf(",\"type\":%u,\"key\":%u,\"value\":%u,\"entries\":%u,\"flags\":%u,\"numa\":%u,\"extra\":\"%llu\"",
	       a->map_type, a->key_size, a->value_size, a->max_entries, a->map_flags, a->numa_node,
	       (unsigned long long)a->map_extra);
	printf(",\"btf\":%d,\"keyType\":%u,\"valueType\":%u,\"vmlinuxValueType\":%u,\"inner\":%d}\n",
	       a->btf_fd != 0, a->btf_key_type_id, a->btf_value_type_id, a->btf_vmlinux_value_type_id,
	       a->inner_map_fd != 0);
}

static void print_program(const union bpf_attr *a)
{
	printf("{\"event\":\"program\"");
	text("name", a->prog_name);
	text("license", (const char *)(long)a->license);
	printf(",\"type\":%u,\"attachType\":%u,\"flags\":%u,\"attachBtfId\":%u,\"kernVersion\":%u", a->prog_type,
	       a->expected_attach_type, a->prog_flags, a->attach_btf_id, a->kern_version);
	hex("insns", (const void *)(long)a->insns, a->insn_cnt * 8ul);
	hex("funcInfo", (const void *)(long)a->func_info, a->func_info_cnt * (size_t)a->func_info_rec_size);
	hex("lineInfo", (const void *)(long)a->line_info, a->line_info_cnt * (size_t)a->line_info_rec_size);
	printf("}\n");
}

static void print_update(const union bpf_attr *a)
{
	printf("{\"event\":\"update\",\"fd\":%u", a->map_fd);
	hex("key", (const void *)(long)a->key, sizes[a->map_fd].key);
	hex("value", (const void *)(long)a->value, sizes[a->map_fd].value);
	printf("}\n");
}

/* What the fds in instructions and values mean, once libbpf tells. */
static void print_fds(struct bpf_object *object)
{
	struct bpf_program *program;
	struct bpf_map *map;
	bool comma = false;

	printf("{\"event\":\"fds\",\"maps\":{");
	bpf_object__for_each_map(map, object) {
		if (bpf_map__fd(map) < 0)
			continue;
		printf("%s\"%d\":\"%s\"", comma ? "," : "", bpf_map__fd(map), bpf_map__name(map));
		comma = true;
	}
	printf("},\"programs\":{");
	comma = false;
	bpf_object__for_each_program(program, object) {
		if (bpf_program__fd(program) < 0)
			continue;
		printf("%s\"%d\":\"%s\"", comma ? "," : "", bpf_program__fd(program), bpf_program__name(program));
		comma = true;
	}
	printf("}}\n");
}

static int fake(int command, const union bpf_attr *a)
{
	int fd;

	switch (command) {
	case BPF_MAP_CREATE:
		if (recording)
			print_map(a);
		break;
	case BPF_PROG_LOAD:
		/* Without a name: libbpf probes whether loading works at all. */
		if (recording && a->prog_name[0])
			print_program(a);
		break;
	case BPF_BTF_LOAD:
		if (recording && current) {
			printf("{\"event\":\"btf\"");
			hex("bytes", (const void *)(long)a->btf, a->btf_size);
			printf("}\n");
		}
		break;
	case BPF_MAP_UPDATE_ELEM:
		if (recording)
			print_update(a);
		return 0;
	case BPF_MAP_FREEZE:
		if (recording)
			printf("{\"event\":\"freeze\",\"fd\":%u}\n", a->map_fd);
		return 0;
	case BPF_OBJ_PIN:
	case BPF_PROG_BIND_MAP:
	case BPF_MAP_DELETE_ELEM:
	case BPF_LINK_DETACH:
		return 0;
	case BPF_LINK_CREATE:
		/* What kernels with uprobe_multi answer to libbpf's probe. */
		if (!recording) {
			errno = a->link_create.uprobe_multi.pid == (__u32)-1 ? EINVAL : EBADF;
			return -1;
		}
		break;
	case BPF_BTF_GET_NEXT_ID:
	case BPF_OBJ_GET:
		errno = ENOENT;
		return -1;
	case BPF_OBJ_GET_INFO_BY_FD:
	/* A token would make libbpf probe its features anew for every object. */
	case BPF_TOKEN_CREATE:
		errno = EINVAL;
		return -1;
	}
	/* A file of its own; can be mapped shared, and closed. */
	fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	if (fd >= 0 && fd < MAX_FD && command == BPF_MAP_CREATE) {
		sizes[fd].key = a->key_size;
		sizes[fd].value = a->value_size;
	}
	return fd;
}

long __wrap_syscall(long number, ...)
{
	va_list args;
	long v[6];

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		v[i] = va_arg(args, long);
	va_end(args);
	if (number == __NR_bpf)
		return fake((int)v[0], (const union bpf_attr *)v[1]);
	if (number == __NR_dup3 && v[0] >= 0 && v[0] < MAX_FD && v[1] >= 0 && v[1] < MAX_FD)
		sizes[v[1]] = sizes[v[0]];
	return __real_syscall(number, v[0], v[1], v[2], v[3], v[4], v[5]);
}

struct btf *__wrap_btf__load_vmlinux_btf(void)
{
	return vmlinux;
}

void __wrap_btf__free(struct btf *btf)
{
	if (btf != vmlinux)
		__real_btf__free(btf);
}

/* The real one would ask for a perf event. */
int __wrap_probe_kern_syscall_wrapper(int token_fd)
{
	return token_fd >= -1;
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN && getenv("RECORD_WARNINGS"))
		return vfprintf(stderr, format, args);
	return 0;
}

/* One load; `only`: of that program alone. */
static int load(const char *path, const char *only)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	struct bpf_map *map;
	int err;

	if (!object)
		return -errno;
	if (only)
		bpf_object__for_each_program(program, object)
			bpf_program__set_autoload(program, strcmp(bpf_program__name(program), only) == 0);
	current = object;
	err = bpf_object__load(object);
	if (!err && recording)
		print_fds(object);
	/* struct_ops maps get their value when they are attached. */
	if (!err && recording)
		bpf_object__for_each_map(map, object)
			if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS && bpf_map__autocreate(map))
				bpf_link__destroy(bpf_map__attach_struct_ops(map));
	current = NULL;
	bpf_object__close(object);
	return err;
}

static void record(const char *path, bool each)
{
	const char *slash = strrchr(path, '/');
	struct bpf_object *object;
	struct bpf_program *program;
	int err;

	recording = false;
	object = bpf_object__open_file(path, NULL);
	err = object ? 0 : -errno;
	printf("{\"event\":\"object\",\"name\":\"%s\",\"err\":%d}\n", slash ? slash + 1 : path, err);
	if (!object)
		return;
	recording = true;
	printf("{\"event\":\"load\",\"program\":null}\n");
	printf("{\"event\":\"end\",\"err\":%d}\n", load(path, NULL));
	if (each)
		bpf_object__for_each_program(program, object) {
			printf("{\"event\":\"load\",\"program\":\"%s\"}\n", bpf_program__name(program));
			printf("{\"event\":\"end\",\"err\":%d}\n", load(path, bpf_program__name(program)));
		}
	recording = false;
	bpf_object__close(object);
}

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

int main(int argc, char **argv)
{
	struct rlimit files = { MAX_FD, MAX_FD };
	bool each = false;
	int rounds = 0;
	int i = 1;
	int fd;

	setrlimit(RLIMIT_NOFILE, &files);
	/* 0 to 2 must be taken: libbpf counts on larger ones. */
	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd < 3)
		;
	close(fd);
	libbpf_set_print(quiet);
	for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		if (strcmp(argv[i], "--each") == 0)
			each = true;
		else if (strcmp(argv[i], "--time") == 0 && i + 1 < argc)
			rounds = atoi(argv[++i]);
		else if (strcmp(argv[i], "--btf") == 0 && i + 1 < argc)
			vmlinux = btf__parse(argv[++i], NULL);
	}
	if (!vmlinux) {
		fprintf(stderr, "usage: record --btf FILE [--each | --time ROUNDS] OBJECT...\n");
		return 2;
	}
	/* Every feature probe runs once, here, and not among what is recorded. */
	for (int id = 0; id < __FEAT_CNT; id++)
		feat_supported(NULL, id);
	if (rounds) {
		for (int round = 0; round < rounds; round++)
			for (int n = i; n < argc; n++) {
				long long start = now();
				int err = load(argv[n], NULL);

				printf("{\"event\":\"time\",\"object\":\"%s\",\"round\":%d,\"err\":%d,\"ns\":%lld}\n",
				       strrchr(argv[n], '/') ? strrchr(argv[n], '/') + 1 : argv[n], round, err,
				       now() - start);
			}
		return 0;
	}
	for (; i < argc; i++)
		record(argv[i], each);
	return 0;
}
