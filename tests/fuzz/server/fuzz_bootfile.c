/*
 * What strangers say to the netboot server.  First line: a Host field; second: a
 * Range field; the rest: a script.  No byte of a Host gets into the script but those
 * of names and addresses, and no range leaves the file.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "server/bootfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

#define SIZE 1000u

static void
check_range(const char *field)
{
	uint64_t from = 0, n = SIZE;
	int rc = bootfile_range(field, SIZE, &from, &n);

	if (rc < -1 || rc > 1 || (rc == 0 && (from != 0 || n != SIZE)) ||
	    (rc == 1 && (n == 0 || from >= SIZE || n > SIZE - from)))
		abort();
}

static size_t
count(const uint8_t *p, size_t len, const char *of)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += p[i] != '\0' && strchr(of, p[i]) != NULL;
	return n;
}

/* What was made of the script has its words and lines, and nothing for iPXE to expand
 * that it had not. */
static int
kept(const struct buf *out, const uint8_t *script, size_t n)
{
	return count(out->p, out->len, " \r\n") == count(script, n, " \r\n") &&
	       count(out->p, out->len, "${}&|") <= count(script, n, "${}&|");
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct buf out = BUF_INIT(64u << 20);
	struct err err = ERR_INIT;
	char *text = malloc(len + 1), *range, *script;

	if (text == NULL)
		return 0;
	memcpy(text, p, len);
	text[len] = '\0';
	range = memchr(text, '\n', len);
	script = range != NULL ? memchr(range + 1, '\n', len - (size_t)(range + 1 - text))
			       : NULL;
	if (script != NULL) {
		size_t n;

		*range++ = '\0';
		*script++ = '\0';
		n = len - (size_t)(script - text);
		check_range(range);
		check_range(NULL);
		if (bootfile_readdress(script, n, text, &out, &err) == 0 &&
		    !kept(&out, (const uint8_t *)script, n))
			abort();
		buf_clear(&out);
		if (bootfile_readdress(script, n, NULL, &out, &err) != 0 ||
		    out.len != n || (n > 0 && memcmp(out.p, script, n) != 0))
			abort();
	}
	buf_free(&out);
	free(text);
	return 0;
}
