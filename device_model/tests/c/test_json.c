/* test_json.c - the parser of VERSION's capabilities. */
#include <errno.h>
#include <string.h>

#include "../../transport/json.h"
#include "check.h"

static int find(const char *text, uint64_t *value)
{
	/* an exact copy: a read past the end is seen by the address sanitizer */
	size_t length = strlen(text);
	char *copy = malloc(length ? length : 1);
	CHECK(copy);
	memcpy(copy, text, length);
	int result = vfu_json_find(copy, length, "capabilities", "max_data_xfer_size", value);
	free(copy);
	return result;
}

static void check_found(const char *text, uint64_t expected)
{
	uint64_t value = 7;
	CHECK_EQUAL(find(text, &value), 0);
	CHECK_EQUAL(value, expected);
}

static void check_refused(const char *text)
{
	uint64_t value = 7;
	if (find(text, &value) != -EINVAL) {
		fprintf(stderr, "taken: %s\n", text);
		exit(1);
	}
}

static void number_is_found_at_its_place_only(void)
{
	check_found("{\"capabilities\":{\"max_data_xfer_size\":1048576}}", 1048576);
	check_found(" { \"a\" : [1,{\"capabilities\":{\"max_data_xfer_size\":9}}], \"capabilities\" :\n{\"x\":true,"
		    "\"max_data_xfer_size\" : 5 , \"y\":null } } ", 5);
	check_found("{\"max_data_xfer_size\":1}", 7);
	check_found("{\"capabilities\":{\"migration\":{\"max_data_xfer_size\":1}}}", 7);
	check_found("{\"capabilities\":[{\"max_data_xfer_size\":1}]}", 7);
	check_found("{\"capabilities\":{\"a\":[{\"max_data_xfer_size\":1}],\"max_data_xfer_size\":3}}", 3);
	check_found("{\"other\":{\"max_data_xfer_size\":1},\"capabilities\":{}}", 7);
}

static void number_that_is_no_plain_integer_is_passed_over(void)
{
	check_found("{\"capabilities\":{\"max_data_xfer_size\":-1}}", 7);
	check_found("{\"capabilities\":{\"max_data_xfer_size\":1.5}}", 7);
	check_found("{\"capabilities\":{\"max_data_xfer_size\":1e3}}", 7);
	check_found("{\"capabilities\":{\"max_data_xfer_size\":18446744073709551616}}", 7);
	check_found("{\"capabilities\":{\"max_data_xfer_size\":\"5\"}}", 7);
}

static void well_formed_texts_are_taken(void)
{
	check_found("{}", 7);
	check_found("[]", 7);
	check_found("0", 7);
	check_found("\"\\u00e4\\n\\\"\"", 7);
	check_found("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", 7);
	check_found("[-0.5e+10,1E-2,true,false,null,{\"\":{}}]", 7);
}

static void broken_texts_are_refused(void)
{
	static const char *const texts[] = {
		"", " ", "{", "}", "[", "]", "{]", "[}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:2}", "[1,]", "[,1]",
		"[1 2]", "{}{}", "{} x", "01", "-", "1.", ".5", "1e", "+1", "tru", "nul", "nullx", "\"", "\"\\", "\"\\x\"",
		"\"\\u12g4\"", "\"\\u12", "\"\n\"", "{\"capabilities\":{\"max_data_xfer_size\":12", "'a'", "[1}",
		"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check_refused(texts[i]);
}

int main(void)
{
	RUN(number_is_found_at_its_place_only);
	RUN(number_that_is_no_plain_integer_is_passed_over);
	RUN(well_formed_texts_are_taken);
	RUN(broken_texts_are_refused);
	return 0;
}
