/* json.c - see json.h. One pass with an explicit stack of bits: the text's author does not choose our stack's depth. */
#include "json.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum { MAX_DEPTH = 16 };

struct json {
	const char *at, *end;
	bool in_object[MAX_DEPTH];
	unsigned depth;
	const char *wanted[2]; /* member names at depth 1 and 2 */
	unsigned matched;      /* how many names lead to where we are */
	bool name_matches;     /* the member being read is wanted[matched] */
	uint64_t *value;
};

static void skip_space(struct json *j)
{
	while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
		j->at++;
}

static bool take(struct json *j, char c)
{
	skip_space(j);
	if (j->at == j->end || *j->at != c)
		return false;
	j->at++;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool escape(struct json *j)
{
	if (j->at == j->end)
		return false;
	char c = *j->at++;
	if (c != 'u')
		return c != '\0' && strchr("\"\\/bfnrt", c) != NULL;
	for (unsigned i = 0; i < 4; i++)
		if (j->at == j->end || !is_hex(*j->at++))
			return false;
	return true;
}

/* The text between the quotes, escapes not resolved. */
static bool string(struct json *j, const char **text, size_t *length)
{
	if (!take(j, '"'))
		return false;
	*text = j->at;
	while (j->at < j->end && *j->at != '"') {
		char c = *j->at++;
		if ((unsigned char)c < 0x20 || (c == '\\' && !escape(j)))
			return false;
	}
	*length = (size_t)(j->at - *text);
	return take(j, '"');
}

static bool digits(struct json *j)
{
	const char *begin = j->at;
	while (j->at < j->end && is_digit(*j->at))
		j->at++;
	return j->at > begin;
}

static void store(const struct json *j, const char *begin)
{
	uint64_t value = 0;
	for (const char *c = begin; c < j->at; c++)
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*c - '0'), &value))
			return;
	*j->value = value;
}

static bool number(struct json *j)
{
	const char *begin = j->at;
	bool integer = *begin != '-';
	if (!integer)
		j->at++;
	const char *first = j->at;
	if (!digits(j) || (*first == '0' && j->at - first > 1))
		return false;
	if (j->at < j->end && *j->at == '.') {
		integer = false;
		j->at++;
		if (!digits(j))
			return false;
	}
	if (j->at < j->end && (*j->at == 'e' || *j->at == 'E')) {
		integer = false;
		j->at++;
		if (j->at < j->end && (*j->at == '+' || *j->at == '-'))
			j->at++;
		if (!digits(j))
			return false;
	}
	if (integer && j->name_matches && j->matched == 1 && j->depth == 2)
		store(j, begin);
	return true;
}

static bool word(struct json *j, const char *text)
{
	size_t length = strlen(text);
	if ((size_t)(j->end - j->at) < length || memcmp(j->at, text, length) != 0)
		return false;
	j->at += length;
	return true;
}

/* A member's name and colon; remembers whether it is the one that is looked for here. */
static bool member(struct json *j)
{
	const char *text;
	size_t length;
	if (!string(j, &text, &length) || !take(j, ':'))
		return false;
	j->name_matches = j->depth == j->matched + 1 && j->matched < 2 && strlen(j->wanted[j->matched]) == length &&
			  memcmp(text, j->wanted[j->matched], length) == 0;
	return true;
}

static bool open_container(struct json *j, bool object)
{
	if (j->depth == MAX_DEPTH)
		return false;
	if (object && j->name_matches && j->matched == 0 && j->depth == 1)
		j->matched = 1;
	j->in_object[j->depth++] = object;
	j->name_matches = false;
	return true;
}

static void close_container(struct json *j)
{
	j->depth--;
	if (j->depth < 2)
		j->matched = 0;
	j->name_matches = false;
}

/* Closes what ends here and steps to the next value. False: broken. *done: the whole text has been read. */
static bool after_value(struct json *j, bool *done)
{
	while (j->depth) {
		bool object = j->in_object[j->depth - 1];
		j->name_matches = false;
		if (take(j, ','))
			return !object || member(j);
		if (!take(j, object ? '}' : ']'))
			return false;
		close_container(j);
	}
	skip_space(j);
	*done = j->at == j->end;
	return *done;
}

/* Reads a scalar, or opens a container. *opened: its first value comes next. */
static bool value(struct json *j, bool *opened)
{
	const char *text;
	size_t length;
	*opened = false;
	skip_space(j);
	if (j->at == j->end)
		return false;
	char c = *j->at;
	if (c == '{' || c == '[') {
		j->at++;
		if (!open_container(j, c == '{'))
			return false;
		if (take(j, c == '{' ? '}' : ']')) {
			close_container(j);
			return true;
		}
		*opened = true;
		return c == '[' || member(j);
	}
	if (c == '"')
		return string(j, &text, &length);
	if (c == '-' || is_digit(c))
		return number(j);
	return word(j, "true") || word(j, "false") || word(j, "null");
}

int vfu_json_find(const char *text, size_t length, const char *object, const char *name, uint64_t *found)
{
	struct json j = {.at = text, .end = text + length, .wanted = {object, name}, .value = found};
	bool done = false, opened;
	while (!done) {
		if (!value(&j, &opened))
			return -EINVAL;
		if (!opened && !after_value(&j, &done))
			return -EINVAL;
	}
	return 0;
}
