/*
 * json.h - just enough of JSON (RFC 8259) for the capabilities in VERSION: checks a whole text, and finds one number in it.
 */
#ifndef VDSA_TRANSPORT_JSON_H
#define VDSA_TRANSPORT_JSON_H

#include <stddef.h>
#include <stdint.h>

/*
 * Checks `text` (length bytes, no NUL counted). If the top is an object with a member `object` that is an object with a
 * member `name` that is a non-negative integer, *value is set to it; else *value stays. Names are compared as written.
 * 0, or -EINVAL: not JSON, or nested deeper than 16.
 */
int vfu_json_find(const char *text, size_t length, const char *object, const char *name, uint64_t *value);

#endif
