/* check.h - for C unit tests: a test is a function, a failure says where and ends the program. */
#ifndef VDSA_TESTS_CHECK_H
#define VDSA_TESTS_CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                     \
	do {                                                                                 \
		if (!(condition)) {                                                          \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                             \
		}                                                                            \
	} while (0)

#define CHECK_EQUAL(actual, expected)                                                        \
	do {                                                                                 \
		int64_t actual_ = (int64_t)(actual), expected_ = (int64_t)(expected);        \
		if (actual_ != expected_) {                                                  \
			fprintf(stderr, "%s:%d: %s is %" PRId64 ", not %" PRId64 "\n", __FILE__, __LINE__, #actual, \
				actual_, expected_);                                         \
			exit(1);                                                             \
		}                                                                            \
	} while (0)

/* Runs a test and prints its name, so that a program that ran nothing is seen. */
#define RUN(test)                      \
	do {                           \
		test();                \
		printf("%s\n", #test); \
		fflush(stdout);        \
	} while (0)

#endif
