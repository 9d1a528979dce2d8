#include "server/bootfile.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define WORD "holdfast.server="
#define HOST_MAX 255u /* Of a name in DNS. */
#define DIGITS_MAX 18u

/* Bytes of the host in a Host field, brackets too; 0: it is none. */
static size_t
host_len(const char *field)
{
	size_t n;

	if (field[0] == '[') {
		n = strspn(field + 1, "0123456789abcdefABCDEF:.");
		if (n == 0 || field[1 + n] != ']')
			return 0;
		n += 2;
	} else {
		for (n = 0; isalnum((unsigned char)field[n]) ||
			    (field[n] != '\0' && strchr(".-_", field[n]) != NULL);
		     n++)
			;
	}
	return n <= HOST_MAX && (field[n] == '\0' || field[n] == ':') ? n : 0;
}

/* Where the port's colon is in a word that ends before `end`; NULL. */
static const char *
port_of(const char *p, const char *end)
{
	const char *colon = NULL;

	for (; p < end && !isspace((unsigned char)*p); p++) {
		if (*p == ':')
			colon = p;
	}
	return colon;
}

int
bootfile_readdress(const char *text, size_t len, const char *host_header, struct buf *out,
    struct err *err)
{
	size_t host = host_header != NULL ? host_len(host_header) : 0;
	const char *end = text + len, *from = text, *colon;

	for (const char *p = text; host > 0 && end - p > (ptrdiff_t)strlen(WORD); p++) {
		if (memcmp(p, WORD, strlen(WORD)) != 0 ||
		    (colon = port_of(p + strlen(WORD), end)) == NULL)
			continue;
		p += strlen(WORD);
		if (buf_add(out, from, (size_t)(p - from), err) != 0 ||
		    buf_add(out, host_header, host, err) != 0)
			return -1;
		from = p = colon;
	}
	return buf_add(out, from, (size_t)(end - from), err);
}

/* Digits at `*p`, moved past them; 0, or -1 if there are none or too many. */
static int
number(const char **p, uint64_t *out)
{
	size_t n = strspn(*p, "0123456789");

	if (n == 0 || n > DIGITS_MAX)
		return -1;
	*out = strtoull(*p, NULL, 10);
	*p += n;
	return 0;
}

int
bootfile_range(const char *field, uint64_t size, uint64_t *from, uint64_t *len)
{
	const char *p = field;
	uint64_t a = 0, b;

	if (field == NULL || strncmp(field, "bytes=", 6) != 0)
		return 0;
	p += 6;
	if (*p == '-') { /* The last so many. */
		p++;
		if (number(&p, &b) != 0 || *p != '\0')
			return 0;
		if (b == 0 || size == 0)
			return -1;
		*len = b < size ? b : size;
		*from = size - *len;
		return 1;
	}
	if (number(&p, &a) != 0 || *p++ != '-')
		return 0;
	b = UINT64_MAX;
	if (*p != '\0' && (number(&p, &b) != 0 || *p != '\0' || b < a))
		return 0;
	if (a >= size)
		return -1;
	*from = a;
	*len = (b < size ? b + 1 : size) - a;
	return 1;
}
