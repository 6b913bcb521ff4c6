/*
 * Prints the cases of tools/testing/selftests/bpf/prog_tests/core_reloc.c, one JSON line each. That file is compiled as
 * it stands in the kernel's tree; run it where the objects are, as the cases that ask for type ids read them.
 */
#include "prog_tests/core_reloc.c"

int trigger_module_test_read(int size)
{
	return size;
}

static void hex(const char *name, const void *bytes, int size)
{
	const unsigned char *p = bytes;

	printf(",\"%s\":\"", name);
	for (int i = 0; p && i < size; i++)
		printf("%02x", p[i]);
	printf("\"");
}

int main(void)
{
	for (size_t i = 0; i < sizeof(test_cases) / sizeof(test_cases[0]); i++) {
		struct core_reloc_test_case c = test_cases[i];

		if (c.setup && c.setup(&c))
			return 1;
		printf("{\"name\":\"%s\",\"object\":\"%s\",\"btf\":\"%s\",\"program\":\"%s\",\"fails\":%s,\"testmod\":%s",
		       c.case_name, c.bpf_obj_file, c.btf_src_file ? c.btf_src_file : "", c.prog_name,
		       c.fails ? "true" : "false", c.needs_testmod ? "true" : "false");
		hex("input", c.input, c.input_len);
		hex("output", c.output, c.output_len);
		printf("}\n");
	}
	return 0;
}
