/* What the selftest's table of cases needs of the selftests' own runner, and no more: its checks become values. */
#pragma once
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

#define CHECK(condition, ...) (!!(condition))
#define CHECK_FAIL(condition) (!!(condition))
#define ASSERT_OK(value, name) ((value) == 0)
#define ASSERT_OK_PTR(pointer, name) ((pointer) != NULL)
#define ASSERT_GE(a, b, name) ((a) >= (b))
#define ASSERT_FALSE(value, name) (!(value))
#define PRINT_FAIL(...) ((void)0)

bool test__start_subtest(const char *name);
void test__skip(void);
int trigger_module_test_read(int size);
struct { bool has_testmod; } env;
